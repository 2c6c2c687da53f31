//! What is kept, within which bounds, and what is said of it.

use std::sync::Arc;

use super::*;
use crate::traces::span::{EXCHANGE, Origin};

/// 14:00:00 of some day.
const START: u64 = 1_700_056_800_000_000_000;

fn span(trace: u128, id: u64, parent: u64, from: u64, to: u64) -> Span {
    let parent = (parent != 0).then_some(SpanId(parent));
    Span {
        start_ns: START + from,
        end_ns: START + to,
        ..Span::new(TraceId(trace), SpanId(id), parent, &format!("span {id}"))
    }
}

#[test]
fn spans_of_several_processes_are_one_trace() {
    let of = |node: &str, span: Span| Span {
        origin: Arc::new(Origin {
            service: "squall".to_owned(),
            node: node.to_owned(),
            attributes: Vec::new(),
        }),
        attributes: vec![(EXCHANGE.to_owned(), "orders".to_owned())],
        ..span
    };
    let mut store = Store::default();
    store.insert([of("b", span(7, 2, 1, 20, 30))]);
    let early = &store.get(TraceId(7)).unwrap().summary;
    assert_eq!((early.root, early.name.as_str()), (None, "span 2"));
    let failed = Span {
        error: true,
        ..span(7, 3, 2, 25, 70)
    };
    store.insert([of("a", span(7, 1, 0, 10, 50)), of("c", failed)]);
    let trace = store.get(TraceId(7)).unwrap();
    let of = &trace.summary;
    assert_eq!(
        (
            of.root,
            of.name.as_str(),
            of.duration_ns(),
            of.errors,
            trace.spans.len()
        ),
        (Some(SpanId(1)), "span 1", 60, 1, 3)
    );
    let all = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        (all(&of.services), all(&of.nodes), all(&of.exchanges)),
        ("squall".into(), "a b c".into(), "orders".into())
    );
}

#[test]
fn the_oldest_traces_go_first_and_are_counted() {
    let bounds = Bounds {
        traces: 3,
        ..Bounds::default()
    };
    let mut store = Store::bounded(bounds);
    store.insert((1..=5).map(|trace| span(trace, 1, 0, 0, 1)));
    let left: Vec<u128> = store.traces().map(|trace| trace.id.0).collect();
    assert_eq!((left, store.evicted), (vec![3, 4, 5], 2));
}

#[test]
fn bytes_are_bounded_whatever_is_sent() {
    let bounds = Bounds {
        bytes: 50_000,
        bytes_per_trace: 10_000,
        ..Bounds::default()
    };
    let mut store = Store::bounded(bounds);
    let long = |trace, id| Span {
        attributes: vec![("key".to_owned(), "x".repeat(900))],
        ..span(trace, id, 0, 0, 1)
    };
    for trace in 1..=40 {
        store.insert((1..=30).map(|id| long(trace, id)));
        assert!(store.bytes() <= bounds.bytes, "{}", store.bytes());
    }
    let last = store.get(TraceId(40)).unwrap();
    assert!(last.left_out > 0 && last.spans.len() + last.left_out as usize == 30);
    let sum: usize = store
        .traces()
        .flat_map(|t| t.spans.values())
        .map(Span::bytes)
        .sum();
    assert_eq!(sum, store.bytes());
}

#[test]
fn what_comes_again_changes_nothing_and_what_ended_later_does() {
    let mut store = Store::default();
    store.insert([span(1, 1, 0, 0, 10)]);
    let version = store.get(TraceId(1)).unwrap().version;
    store.insert([span(1, 1, 0, 0, 10), span(1, 1, 0, 0, 5)]);
    assert_eq!(store.get(TraceId(1)).unwrap().version, version);
    store.insert([span(1, 1, 0, 0, 20)]);
    let trace = store.get(TraceId(1)).unwrap();
    assert!(trace.version > version && trace.summary.duration_ns() == 20);
}

#[test]
fn absurd_times_do_not_stretch_a_trace() {
    let odd = |id, start_ns, end_ns| Span {
        start_ns,
        end_ns,
        ..span(1, id, 1, 0, 0)
    };
    let mut store = Store::default();
    store.insert([
        span(1, 1, 0, 0, 100),
        odd(2, 0, 5),
        odd(3, START + 50, u64::MAX),
        odd(4, u64::MAX, u64::MAX),
        odd(5, START + 50, START + 10),
    ]);
    let of = &store.get(TraceId(1)).unwrap().summary;
    // Only a clock that is far ahead, and consistent with itself, would.
    assert_eq!((of.start_ns, of.root), (START, Some(SpanId(1))));
    store.insert([odd(4, u64::MAX - 1, u64::MAX - 1)]);
    let alone = Span {
        start_ns: 3,
        end_ns: 2,
        ..span(2, 1, 0, 0, 0)
    };
    store.insert([alone]);
    assert_eq!(store.get(TraceId(2)).unwrap().summary.duration_ns(), 0);
}
