//! Critical paths, as tables: spans as (id, parent, start, end), stretches as (id, from, to).

use std::collections::BTreeMap;

use super::*;
use crate::traces::span::TraceId;
use crate::traces::tree::tree;

type Row = (u64, u64, u64, u64);

fn spans(rows: &[Row]) -> BTreeMap<SpanId, Span> {
    let span = |&(id, parent, start_ns, end_ns): &Row| {
        let parent = (parent != 0).then_some(SpanId(parent));
        let span = Span {
            start_ns,
            end_ns,
            ..Span::new(TraceId(1), SpanId(id), parent, "s")
        };
        (span.id, span)
    };
    rows.iter().map(span).collect()
}

fn path(rows: &[Row]) -> Vec<(u64, u64, u64)> {
    let spans = spans(rows);
    let path = critical_path(&tree(&spans), &spans, SpanId(1));
    path.iter().map(|s| (s.span.0, s.from_ns, s.to_ns)).collect()
}

#[test]
fn the_path_goes_through_what_ended_last_before_it_was_needed() {
    type Table = [(&'static str, &'static [Row], &'static [(u64, u64, u64)])];
    let table: &Table = &[
        ("alone", &[(1, 0, 0, 10)], &[(1, 0, 10)]),
        (
            "one after the other",
            &[(1, 0, 0, 100), (2, 1, 10, 30), (3, 1, 40, 90)],
            &[(1, 0, 10), (2, 10, 30), (1, 30, 40), (3, 40, 90), (1, 90, 100)],
        ),
        (
            "side by side: the longer one counts",
            &[(1, 0, 0, 100), (2, 1, 10, 50), (3, 1, 20, 90)],
            &[(1, 0, 20), (3, 20, 90), (1, 90, 100)],
        ),
        (
            "nested",
            &[(1, 0, 0, 100), (2, 1, 10, 90), (3, 2, 20, 80)],
            &[(1, 0, 10), (2, 10, 20), (3, 20, 80), (2, 80, 90), (1, 90, 100)],
        ),
        (
            "a child that outlives the root counts until the root's end",
            &[(1, 0, 0, 100), (2, 1, 50, 170)],
            &[(1, 0, 50), (2, 50, 100)],
        ),
        (
            "what begins after the root's end does not count",
            &[(1, 0, 0, 100), (2, 1, 150, 170)],
            &[(1, 0, 100)],
        ),
        (
            "request, route, handle, reply: each is over when the next begins",
            &[(1, 0, 0, 100), (2, 1, 10, 12), (3, 2, 15, 90), (4, 3, 95, 95)],
            &[(1, 0, 10), (2, 10, 12), (1, 12, 15), (3, 15, 90), (1, 90, 100)],
        ),
        (
            "a child that outlives its parent, which was over meanwhile",
            &[(1, 0, 0, 100), (2, 1, 10, 50), (3, 2, 40, 90)],
            &[(1, 0, 10), (2, 10, 40), (3, 40, 90), (1, 90, 100)],
        ),
        (
            "a clock that is behind: the child begins before its parent",
            &[(1, 0, 50, 100), (2, 1, 20, 80)],
            &[(2, 20, 80), (1, 80, 100)],
        ),
        (
            "an end before the start is no time at all",
            &[(1, 0, 0, 100), (2, 1, 60, 10)],
            &[(1, 0, 100)],
        ),
    ];
    for (name, rows, expected) in table {
        assert_eq!(path(rows), *expected, "{name}");
    }
}

#[test]
fn without_a_root_it_begins_with_the_span_that_is_asked_for() {
    let rows = [(1, 9, 10, 20), (2, 1, 12, 15)];
    assert_eq!(path(&rows), [(1, 10, 12), (2, 12, 15), (1, 15, 20)]);
    assert_eq!(path(&[(5, 0, 0, 1)]), []);
}

proptest::proptest! {
    /// Whatever the spans: stretches lie behind each other, within the root's end, and the walk ends.
    #[test]
    fn stretches_never_overlap(
        rows in proptest::collection::vec((1u64..20, 0u64..20, 0u64..100, 0u64..100), 1..60)
    ) {
        let mut rows = rows;
        rows[0] = (1, 0, 10, 90);
        let last: Vec<Row> = rows.into_iter().rev().collect();
        let path = path(&last);
        let mut before = 0;
        for (_, from, to) in path {
            proptest::prop_assert!(before <= from && from < to && to <= 90);
            before = to;
        }
    }
}
