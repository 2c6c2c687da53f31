//! Trees of spans, drawn as text: a depth, and what stands there.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::traces::span::TraceId;
use crate::traces::store::Store;

fn span(id: u64, parent: u64, start_ns: u64) -> Span {
    let parent = (parent != 0).then_some(SpanId(parent));
    Span {
        start_ns,
        end_ns: start_ns + 5,
        ..Span::new(TraceId(1), SpanId(id), parent, "s")
    }
}

fn drawn(spans: impl IntoIterator<Item = Span>) -> Vec<String> {
    let spans: BTreeMap<SpanId, Span> = spans.into_iter().map(|s| (s.id, s)).collect();
    let line = |entry: &Entry| {
        let what = match entry.what {
            What::Span(id) => id.0.to_string(),
            What::Missing(id) => format!("missing {}", id.0),
            What::Circle(_) => "circle".to_owned(),
        };
        format!("{}{what}", "-".repeat(entry.depth))
    };
    tree(&spans).iter().map(line).collect()
}

#[test]
fn children_stand_below_their_parents_by_their_starts() {
    let spans = [span(3, 1, 30), span(1, 0, 10), span(4, 2, 25), span(2, 1, 20)];
    assert_eq!(drawn(spans), ["1", "-2", "--4", "-3"]);
}

#[test]
fn those_whose_parent_was_not_sent_stand_under_a_line_that_says_so() {
    let spans = [span(2, 9, 20), span(1, 0, 10), span(3, 9, 30), span(4, 8, 5)];
    assert_eq!(drawn(spans), ["missing 8", "-4", "1", "missing 9", "-2", "-3"]);
}

#[test]
fn parents_in_a_circle_end_and_lose_nothing() {
    assert_eq!(drawn([span(1, 2, 10), span(2, 1, 20)]), ["circle", "-1", "--2"]);
    assert_eq!(drawn([span(1, 1, 10)]), ["circle", "-1"]);
    let with_tail = [span(1, 2, 10), span(2, 1, 20), span(3, 2, 30), span(4, 0, 1)];
    assert_eq!(drawn(with_tail), ["4", "circle", "-1", "--2", "---3"]);
}

#[test]
fn a_chain_of_thousands_is_no_deep_recursion() {
    let chain = (1..=5_000).map(|id| span(id, id - 1, id));
    let lines = drawn(chain);
    assert_eq!(lines.len(), 5_000);
    assert_eq!(lines[4_999].len(), 4_999 + 4);
}

#[test]
fn lines_know_how_many_belong_to_them() {
    let spans: BTreeMap<SpanId, Span> = [span(1, 0, 1), span(2, 1, 2), span(3, 2, 3), span(4, 1, 4)]
        .into_iter()
        .map(|s| (s.id, s))
        .collect();
    let below: Vec<usize> = tree(&spans).iter().map(|entry| entry.below).collect();
    assert_eq!(below, [3, 1, 0, 0]);
}

proptest! {
    /// Spans may come in any order, in any parts, and more than once.
    #[test]
    fn any_order_of_arrival_gives_the_same_tree(
        rows in prop::collection::vec((1u64..24, 0u64..24, 0u64..50), 1..60),
        order in any::<prop::sample::Index>(),
        part in 1usize..7,
    ) {
        let spans: Vec<Span> = rows.iter().map(|&(id, parent, start)| span(id, parent, start)).collect();
        let mut one = Store::default();
        one.insert(spans.clone());
        let mut turned = spans.clone();
        turned.rotate_left(order.index(spans.len()));
        turned.reverse();
        turned.extend(spans);
        let mut other = Store::default();
        for part in turned.chunks(part) {
            other.insert(part.to_vec());
        }
        let (a, b) = (one.get(TraceId(1)).unwrap(), other.get(TraceId(1)).unwrap());
        prop_assert_eq!(tree(&a.spans), tree(&b.spans));
        prop_assert_eq!(&a.summary, &b.summary);
        // Nothing is lost.
        let shown = tree(&a.spans);
        let spans = shown.iter().filter(|entry| matches!(entry.what, What::Span(_))).count();
        prop_assert_eq!(spans, a.spans.len());
    }
}
