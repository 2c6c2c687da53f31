//! The tree of a trace's spans, as lines from the top. A span whose parent is not there stands under a line that says so, and
//! spans that are each other's parents stand under one of their own: nothing is lost, whatever was sent.
//!
//! What does not live here: which lines are folded, and how they are drawn.

use std::collections::{BTreeMap, BTreeSet};

use super::span::{Span, SpanId};

/// A line of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What stands on it.
    pub what: What,
    /// How deep.
    pub depth: usize,
    /// The line above it that it belongs to.
    pub parent: Option<usize>,
    /// Lines below it that belong to it.
    pub below: usize,
}

/// What stands on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A span.
    Span(SpanId),
    /// A parent that its children name and nobody has sent.
    Missing(SpanId),
    /// Spans that are each other's parents, of which this is the first.
    Circle(SpanId),
}

/// Children by their parent, each list by start, the first last.
type Children<'a> = BTreeMap<SpanId, Vec<&'a Span>>;

/// The lines, each before those that belong to it.
#[must_use]
pub fn tree(spans: &BTreeMap<SpanId, Span>) -> Vec<Entry> {
    let mut by_start: Vec<&Span> = spans.values().collect();
    by_start.sort_by_key(|span| (span.start_ns, span.id));
    let mut children: Children<'_> = BTreeMap::new();
    for span in by_start.iter().rev() {
        if let Some(parent) = span.parent {
            children.entry(parent).or_default().push(span);
        }
    }
    let mut lines = Lines {
        entries: Vec::with_capacity(spans.len()),
        done: BTreeSet::new(),
        children,
    };
    for span in &by_start {
        match span.parent {
            None => lines.branch(What::Span(span.id)),
            Some(parent) if !spans.contains_key(&parent) => lines.branch(What::Missing(parent)),
            Some(_) => {}
        }
    }
    // What is left has parents, all of them here, and none of them leads to a top.
    for span in &by_start {
        if !lines.done.contains(&What::Span(span.id)) {
            lines.branch(What::Circle(span.id));
        }
    }
    lines.entries
}

struct Lines<'a> {
    entries: Vec<Entry>,
    done: BTreeSet<What>,
    children: Children<'a>,
}

impl Lines<'_> {
    /// A top and all that belongs to it. Not recursive: a trace may be a chain of thousands.
    fn branch(&mut self, top: What) {
        let mut open = vec![(top, None)];
        let first = self.entries.len();
        while let Some((what, parent)) = open.pop() {
            if !self.done.insert(what) {
                continue;
            }
            let at = self.entries.len();
            let depth = parent.map_or(0, |p: usize| self.entries[p].depth + 1);
            self.entries.push(Entry {
                what,
                depth,
                parent,
                below: 0,
            });
            match what {
                What::Span(id) | What::Missing(id) => {
                    let children = self.children.get(&id).into_iter().flatten();
                    open.extend(children.map(|span| (What::Span(span.id), Some(at))));
                }
                What::Circle(id) => open.push((What::Span(id), Some(at))),
            }
        }
        for at in (first + 1..self.entries.len()).rev() {
            if let Some(parent) = self.entries[at].parent {
                self.entries[parent].below += self.entries[at].below + 1;
            }
        }
    }
}

#[cfg(test)]
#[path = "tree_test.rs"]
mod tests;
