//! What a decision of an exchange's owner costs, in nanoseconds: the kernel's step alone, and with a function before it.
//!
//!     cargo bench -p squall-node --bench functions

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant as Clock;

use bytes::Bytes;
use squall_kernel::exchange::{Choice, Exchange, ExchangeConfig, ExchangeInput, RequestKey};
use squall_kernel::id::{Boot, Epoch, ExchangeId, MessageId, NodeId, Pid};
use squall_kernel::registry::Strategy;
use squall_kernel::time::{Instant, Span};
use squall_node::functions::{Candidate, Question};
use squall_node::script::Script;

const HANDLERS: u32 = 16;
const ROUNDS: u64 = 300_000;
/// Requests before the clock runs.
const WARM_UP: u64 = 50_000;
const FAR: Instant = Instant(u64::MAX / 2);

fn pid(n: u32) -> Pid {
    Pid::new(NodeId(1), Boot(1), n)
}

fn exchange(strategy: Strategy) -> Exchange {
    let config = ExchangeConfig {
        id: ExchangeId(1),
        strategy,
        epoch: Epoch(1),
        leader: None,
        leader_gone: false,
        settle: Span::from_ms(100),
        awaited: Vec::new(),
        promise: Span::from_ms(50),
    };
    let mut exchange = Exchange::new(Instant(0), config);
    for n in 1..=HANDLERS {
        let input = ExchangeInput::Attach {
            handler: pid(n),
            service_tag: String::new(),
            bound: Vec::new(),
        };
        exchange.step(Instant(0), &input, &mut Vec::new());
    }
    exchange
}

/// Routes requests of a thousand keys, each as `choose` says.
fn measure(name: &str, strategy: Strategy, mut choose: impl FnMut(&Bytes) -> Choice) {
    let mut exchange = exchange(strategy);
    let keys: Vec<Bytes> = (0..1000).map(|n| Bytes::from(format!("customer-{n}"))).collect();
    let mut effects = Vec::new();
    let mut begun = Clock::now();
    for n in 0..ROUNDS + WARM_UP {
        if n == WARM_UP {
            begun = Clock::now();
        }
        let key = &keys[usize::try_from(n % 1000).expect("below a thousand")];
        let input = ExchangeInput::Request {
            request: RequestKey {
                origin: NodeId(9),
                message: MessageId(n),
            },
            epoch: Epoch(1),
            service_tag: Bytes::new(),
            key: key.clone(),
            choice: choose(key),
            deadline: FAR,
            lease_until: FAR,
        };
        effects.clear();
        exchange.step(Instant(n), &input, &mut effects);
        black_box(&effects);
    }
    let each = begun.elapsed().as_nanos() / u128::from(ROUNDS);
    println!("| {name} | {each} |");
}

fn scripted(name: &str, strategy: Strategy, source: &str) {
    let script = Script::compile(source).expect("a good script");
    let candidates = (1..=HANDLERS).map(|n| Candidate {
        pid: pid(n),
        text: pid(n).to_string(),
        service_tag: String::new(),
    });
    let handlers = Arc::new(candidates.collect::<Vec<_>>());
    let (payload, empty) = (Bytes::from(vec![7; 256]), Bytes::new());
    measure(name, strategy, |key| {
        let question = Question {
            key,
            service_tag: &empty,
            request_tag: &empty,
            payload: &payload,
            handlers: &handlers,
        };
        script.route(&question).expect("it answers").choice
    });
}

fn main() {
    println!("| strategy | ns per request |\n|---|---|");
    measure("round-robin", Strategy::RoundRobin, |_| Choice::None);
    measure("sticky, a known key", Strategy::Sticky, |_| Choice::None);
    measure("fun, a Rust function", Strategy::Fun, |key| {
        Choice::Pick(pid(1 + u32::from(key[key.len() - 1]) % HANDLERS))
    });
    scripted("sticky-fun, the script `key`", Strategy::StickyFun, "key");
    scripted(
        "fun, the script `pick(payload_len % handlers.len)`",
        Strategy::Fun,
        "pick(payload_len % handlers.len)",
    );
    scripted(
        "fun, a script that looks through all handlers",
        Strategy::Fun,
        "let best = 0; for h in handlers { if h.service_tag == \"\" { best = h.place; } } pick(best)",
    );
}
