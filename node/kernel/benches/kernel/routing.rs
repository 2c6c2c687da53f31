//! The step of an exchange's owner that routes one request, under each strategy.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion};
use squall_kernel::exchange::{
    Choice, Exchange, ExchangeConfig, ExchangeEffect, ExchangeInput, RequestKey, Signature,
};
use squall_kernel::id::{Boot, Epoch, ExchangeId, LeaderEpoch, MessageId, NodeId, Pid};
use squall_kernel::registry::{LeaderRecord, Strategy};
use squall_kernel::time::{Instant, Span};

/// Handlers attached: a usual number, and one at which a search through all of them would show.
const HANDLERS: [u32; 2] = [5, 1000];
/// Later than anything that is measured.
const FAR: Instant = Instant(u64::MAX / 2);

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("routing");
    for strategy in Strategy::ALL {
        for handlers in HANDLERS {
            // To all handlers: a thousand deliveries are not one step among others.
            if strategy == Strategy::Default && handlers > 5 {
                continue;
            }
            let mut exchange = exchange(strategy, handlers);
            let mut input = request(strategy);
            let mut effects = Vec::new();
            let mut number = 0;
            let id = BenchmarkId::new(strategy.as_str(), handlers);
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    number += 1;
                    renumber(&mut input, number);
                    effects.clear();
                    exchange.step(Instant(number), black_box(&input), &mut effects);
                    black_box(effects.len())
                });
            });
            let delivered = effects
                .iter()
                .any(|effect| matches!(effect, ExchangeEffect::Deliver { .. }));
            assert!(effects.is_empty() || delivered, "{strategy:?}: {effects:?}");
        }
    }
    group.finish();
}

fn pid(serial: u32) -> Pid {
    Pid::new(NodeId(1), Boot(1), serial)
}

fn exchange(strategy: Strategy, handlers: u32) -> Exchange {
    let leader = strategy.has_leader().then_some(LeaderRecord {
        pid: pid(1),
        epoch: LeaderEpoch(1),
    });
    let config = ExchangeConfig {
        id: ExchangeId(1),
        strategy,
        epoch: Epoch(1),
        leader,
        leader_gone: false,
        settle: Span::from_ms(100),
        awaited: Vec::new(),
        promise: Span::from_ms(50),
    };
    let mut exchange = Exchange::new(Instant(0), config);
    for serial in 1..=handlers {
        let attach = ExchangeInput::Attach {
            handler: pid(serial),
            service_tag: String::new(),
            bound: Vec::new(),
            returned: None,
        };
        exchange.step(Instant(0), &attach, &mut Vec::new());
    }
    exchange
}

fn request(strategy: Strategy) -> ExchangeInput {
    ExchangeInput::Request {
        request: RequestKey {
            origin: NodeId(9),
            message: MessageId(0),
        },
        epoch: Epoch(1),
        service_tag: Bytes::new(),
        key: Bytes::from_static(b"customer-7"),
        choice: match strategy {
            Strategy::Fun => Choice::Pick(pid(3)),
            Strategy::StickyFun => Choice::Signature(Signature::new(7)),
            _ => Choice::None,
        },
        deadline: FAR,
        lease_until: FAR,
    }
}

fn renumber(input: &mut ExchangeInput, number: u64) {
    if let ExchangeInput::Request { request, .. } = input {
        request.message = MessageId(number);
    }
}
