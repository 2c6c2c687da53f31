//! The critical path: what a trace's root waited for, moment by moment, found by walking back from its end.
//!
//! As in Jaeger and CRISP (Zhang et al., USENIX ATC 2022) a span waits for the child that ended last, and what outlives the root
//! counts until the root's end. Unlike there, work that outlives its parent is followed too: a message is handled when the span
//! that sent it is long over. Such a span belongs to the nearest ancestor that was still there at its end, and before it the
//! path goes on with what sent it.
//!
//! What does not live here: the tree, and how the path is drawn.

use std::collections::BTreeMap;

use super::span::{Span, SpanId};
use super::tree::{Entry, What};

/// A stretch of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The span that the root waited for.
    pub span: SpanId,
    /// From, in nanoseconds since the Unix epoch.
    pub from_ns: u64,
    /// To.
    pub to_ns: u64,
}

/// The path of the tree's part that begins with `root`, the earliest stretch first.
#[must_use]
pub fn critical_path(tree: &[Entry], spans: &BTreeMap<SpanId, Span>, root: SpanId) -> Vec<Segment> {
    let Some(top) = tree.iter().position(|entry| entry.what == What::Span(root)) else {
        return Vec::new();
    };
    let mut walk = Walk::new(tree, spans, top);
    walk.back();
    walk.path.reverse();
    walk.path
}

/// One span of the part of the tree.
struct Place {
    span: SpanId,
    start: u64,
    end: u64,
    /// What caused it.
    parent: usize,
    /// The nearest ancestor that ended no earlier.
    frame: usize,
    /// Those that have it for their frame, the last to end last; taken off as the walk goes back.
    waits_for: Vec<usize>,
    taken: bool,
}

struct Walk {
    /// The root first.
    places: Vec<Place>,
    path: Vec<Segment>,
}

const ROOT: usize = 0;

impl Walk {
    fn new(tree: &[Entry], spans: &BTreeMap<SpanId, Span>, top: usize) -> Self {
        let part = &tree[top..=top + tree[top].below];
        let mut places: Vec<Place> = Vec::with_capacity(part.len());
        for entry in part {
            let What::Span(id) = entry.what else { continue };
            let (start, end) = spans.get(&id).map_or((0, 0), Span::interval);
            let limit = places.first().map_or(u64::MAX, |root| root.end);
            places.push(Place {
                span: id,
                start,
                end: end.min(limit),
                parent: entry.parent.map_or(ROOT, |p| p.saturating_sub(top)),
                frame: ROOT,
                waits_for: Vec::new(),
                taken: false,
            });
        }
        let root_end = places[ROOT].end;
        for i in 1..places.len() {
            let mut frame = places[i].parent;
            while frame != ROOT && places[frame].end < places[i].end {
                frame = places[frame].parent;
            }
            places[i].frame = frame;
            if places[i].start <= root_end {
                places[frame].waits_for.push(i);
            }
        }
        let order: Vec<(u64, u64)> = places.iter().map(|p| (p.end, p.start)).collect();
        for place in &mut places {
            place.waits_for.sort_by_key(|i| (order[*i], *i));
        }
        Self {
            places,
            path: Vec::new(),
        }
    }

    /// Every turn goes down to a span that was not taken yet, or up: it ends.
    fn back(&mut self) {
        let (mut at, mut now) = (ROOT, self.places[ROOT].end);
        loop {
            if let Some(child) = self.last_before(at, now) {
                let end = self.places[child].end;
                self.waited(at, end, now);
                (at, now) = (child, end);
                continue;
            }
            let start = self.places[at].start.min(now);
            self.waited(at, start, now);
            now = start;
            if at == ROOT {
                return;
            }
            let (cause, frame) = (self.places[at].parent, self.places[at].frame);
            if cause != frame {
                // On its way from what caused it.
                let until = self.places[cause].end.min(now);
                self.waited(frame, until, now);
                now = until;
                self.places[cause].taken = true;
            }
            at = cause;
        }
    }

    /// The span that ended last until `now` of those that `at` waits for.
    fn last_before(&mut self, at: usize, now: u64) -> Option<usize> {
        // The walk only goes back: what ended later is of no use any more.
        while let Some(child) = self.places[at].waits_for.pop() {
            let place = &mut self.places[child];
            if place.end <= now && !place.taken {
                place.taken = true;
                return Some(child);
            }
        }
        None
    }

    fn waited(&mut self, at: usize, from_ns: u64, to_ns: u64) {
        let span = self.places[at].span;
        // What took no time between two stretches of one span does not part them.
        if let Some(after) = self.path.last_mut()
            && after.span == span
            && after.from_ns == to_ns
        {
            after.from_ns = from_ns;
        } else if from_ns < to_ns {
            self.path.push(Segment { span, from_ns, to_ns });
        }
    }
}

#[cfg(test)]
#[path = "critical_test.rs"]
mod tests;
