//! Tests of searching in pieces.

use squall_filter::Filter;

use super::*;
use crate::traces::Traces;
use crate::traces::span::{Span, SpanId};

const NOW: Moment = Moment(1_700_000_001_000);

fn span(trace: u64, id: u64, name: &str) -> Span {
    let start_ns = 1_700_000_000_000_000_000 + trace;
    Span {
        start_ns,
        end_ns: start_ns + 1000,
        ..Span::new(TraceId(u128::from(trace) + 1), SpanId(id), None, name)
    }
}

fn store(traces: u64) -> Traces {
    let mut all = Traces::default();
    let name = |n: u64| {
        if n.is_multiple_of(2) {
            "request orders"
        } else {
            "request users"
        }
    };
    let span = |n: u64| span(n, n + 1, name(n));
    all.store.insert((0..traces).map(span));
    all
}

fn ask(found: &mut Found, text: &str, of: &Traces, bytes: usize) -> usize {
    let filter = Filter::parse(text, &[]).expect("a text");
    found.wanted(&filter, of.store.traces(), NOW, bytes).len()
}

#[test]
fn so_many_are_asked_at_a_time_until_none_is_left() {
    let of = store(100);
    let one = of.store.traces().map(Trace::bytes).max().unwrap_or_default();
    let mut found = Found::default();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let wanted = ask(&mut found, "orders", &of, 25 * one);
        seen.push((wanted, found.left));
    }
    let lefts: Vec<usize> = seen.iter().map(|(_, left)| *left).collect();
    assert!(
        lefts.is_sorted_by(|a, b| a >= b) && lefts[0] >= 70 && lefts[4] == 0,
        "{seen:?}"
    );
    assert_eq!(seen[4].0, 50);
}

#[test]
fn another_text_begins_anew_and_a_trace_that_changed_is_asked_again() {
    let mut of = store(10);
    let mut found = Found::default();
    assert_eq!(ask(&mut found, "orders", &of, usize::MAX), 5);
    assert_eq!(
        (ask(&mut found, "users", &of, 0), found.left),
        (0, 10),
        "asked of none yet"
    );
    assert_eq!((ask(&mut found, "users", &of, usize::MAX), found.left), (5, 0));
    of.store.insert([span(0, 77, "users again")]);
    assert_eq!((ask(&mut found, "users", &of, 0), found.left), (5, 1));
    assert_eq!(ask(&mut found, "users", &of, usize::MAX), 6);
}
