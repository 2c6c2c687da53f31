//! Who gets a publish: one pattern against a key, and a node's whole table of patterns against it, by their number and kind.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion};
use squall_kernel::id::{Boot, Epoch, Incarnation, NodeId, Pid};
use squall_kernel::keys::{Key, KeyPattern};
use squall_kernel::subscriptions::{Fanout, SubscriptionInput, Subscriptions, Upstream};
use squall_kernel::time::Instant;

const PATTERNS: [u32; 3] = [1, 100, 10_000];

pub(crate) fn bench(criterion: &mut Criterion) {
    one_pattern(criterion);
    let mut group = criterion.benchmark_group("subscriptions");
    for (kind, pattern) in KINDS {
        for patterns in PATTERNS {
            let mut table = table(patterns, pattern);
            let pass = table.admit(Epoch(1)).expect("the first epoch is not over");
            let key = Key::new("stock.0.price.eur").expect("a plain key");
            let mut fanout = Fanout::default();
            table.route(&pass, &key, None, &mut fanout);
            assert!(!fanout.copies().is_empty(), "{kind}: nobody gets it");
            group.bench_function(BenchmarkId::new(kind, patterns), |bencher| {
                bencher.iter(|| {
                    table.route(&pass, black_box(&key), None, &mut fanout);
                    black_box(fanout.copies().len())
                });
            });
        }
    }
    group.finish();
}

type Patterned = fn(u32) -> String;

/// Each number gives another pattern; that of 0 matches the key.
const KINDS: [(&str, Patterned); 3] = [
    ("exact", |n| format!("stock.{n}.price.eur")),
    ("one segment free", |n| format!("stock.{n}.*.eur")),
    ("any segments free", |n| format!("#.{n}.price.#")),
];

fn one_pattern(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pattern");
    let key = Key::new("stock.0.price.eur").expect("a plain key");
    for (kind, pattern) in KINDS {
        let pattern = KeyPattern::new(&pattern(0)).expect("a pattern");
        assert!(pattern.matches(&key));
        group.bench_function(kind, |bencher| {
            bencher.iter(|| black_box(&pattern).matches(black_box(&key)));
        });
    }
    group.finish();
}

fn table(patterns: u32, pattern: Patterned) -> Subscriptions {
    let mut table = Subscriptions::new(Instant(1), NodeId(1), Incarnation(1));
    let mut effects = Vec::new();
    let upstream = SubscriptionInput::Upstream {
        epoch: Epoch(1),
        upstream: Upstream::Root,
    };
    table.step(upstream, &mut effects);
    for n in 0..patterns {
        let subscribe = SubscriptionInput::Subscribe {
            subscriber: Pid::new(NodeId(1), Boot(1), n + 1),
            connection: Bytes::new(),
            pattern: KeyPattern::new(&pattern(n)).expect("a pattern"),
        };
        table.step(subscribe, &mut effects);
        effects.clear();
    }
    table
}
