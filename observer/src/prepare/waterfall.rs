//! The page of one trace: its tree with a bar over time for each span, the critical path, and what the selected span tells.
//!
//! What does not live here: the tree and the path themselves (`traces`).

mod line;

use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use super::page::Piece;
use super::traces::View;
use crate::layout;
use crate::model::{Page, Pane};
use crate::table::{Cursor, RowId};
use crate::theme::Tone;
use crate::traces::critical::{Segment, critical_path};
use crate::traces::tree::{Entry, What, tree};
use crate::traces::{SpanId, Trace, TraceId};
use crate::units::{clock, micros};
use line::Drawing;

/// Columns that the name of a span and its place in the tree take, of so many.
const NAME_MIN: u16 = 22;
/// Columns of durations.
pub const DURATION: u16 = 8;
/// Columns of nodes, where there is room.
const NODE: u16 = 10;
/// Width from which there is.
const NODE_FROM: u16 = 90;

/// What the viewer has done with the page, and what is known of its trace.
#[derive(Debug, Clone, Default)]
pub struct Unfolded {
    trace: Option<TraceId>,
    version: u64,
    tree: Vec<Entry>,
    path: BTreeMap<SpanId, Vec<Segment>>,
    folded: BTreeSet<What>,
    cursor: Cursor,
}

/// What is drawn of the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Waterfall {
    /// Name of the root, and the trace's id.
    pub title: String,
    /// Figures.
    pub note: String,
    /// The lines that show.
    pub lines: Vec<SpanLine>,
    /// Which of them is selected.
    pub selected: Option<usize>,
    /// Columns of a line's parts.
    pub columns: Columns,
    /// What the selected line is about.
    pub about: String,
    /// What it tells.
    pub detail: Vec<Vec<Piece>>,
    /// Lines of it that found no room.
    pub more: usize,
}

/// Columns of a line's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// Name, with its place in the tree.
    pub name: u16,
    /// Node; 0 where there is no room.
    pub node: u16,
    /// The bar.
    pub bar: u16,
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanLine {
    /// Place in the tree, and name.
    pub name: String,
    /// Its tone.
    pub tone: Tone,
    /// The root waited for it.
    pub critical: bool,
    /// Node, or service.
    pub node: String,
    /// How long it took.
    pub duration: String,
    /// When, as a bar.
    pub bar: String,
}

impl Unfolded {
    /// Folds what is selected, or else goes to what it belongs to; or unfolds it.
    pub fn fold(&mut self, fold: bool) {
        let Some((at, what)) = self.selected() else { return };
        if !fold {
            self.folded.remove(&what);
        } else if self.tree[at].below > 0 && !self.folded.contains(&what) {
            self.folded.insert(what);
        } else if let (Some(parent), Some(trace)) = (self.tree[at].parent, self.trace) {
            self.cursor.hold(RowId::Span(trace, self.tree[parent].what));
        }
    }

    /// Folds what is selected, or unfolds it.
    pub fn toggle(&mut self) {
        if let Some((at, what)) = self.selected()
            && self.tree[at].below > 0
            && !self.folded.remove(&what)
        {
            self.folded.insert(what);
        }
    }

    /// The selected span, where the selected line is one.
    #[must_use]
    pub fn span(&self) -> Option<SpanId> {
        match self.selected()?.1 {
            What::Span(id) => Some(id),
            What::Missing(_) | What::Circle(_) => None,
        }
    }

    fn selected(&self) -> Option<(usize, What)> {
        let Some(RowId::Span(_, what)) = self.cursor.id else {
            return None;
        };
        let at = self.tree.iter().position(|entry| entry.what == what)?;
        Some((at, what))
    }

    /// The tree and the path, anew when the trace has changed.
    fn learn(&mut self, trace: &Trace) {
        if self.trace != Some(trace.id) {
            *self = Self {
                trace: Some(trace.id),
                ..Self::default()
            };
        }
        if self.version == trace.version {
            return;
        }
        self.version = trace.version;
        self.tree = tree(&trace.spans);
        self.path.clear();
        let root = trace.first().map(|span| span.id);
        let path = root.map(|root| critical_path(&self.tree, &trace.spans, root));
        for segment in path.into_iter().flatten() {
            self.path.entry(segment.span).or_default().push(segment);
        }
    }

    /// Places in the tree of the lines that are not folded away.
    fn open(&self) -> Vec<usize> {
        let mut open = Vec::new();
        let mut at = 0;
        while let Some(entry) = self.tree.get(at) {
            open.push(at);
            at += 1;
            if self.folded.contains(&entry.what) {
                at += entry.below;
            }
        }
        open
    }
}

/// Prepares the page of a trace; none when it is another page, or the trace is not kept any more.
pub fn prepare(source: Source<'_>, of: View<'_>, page: &mut Page, pane: &mut Pane) -> Option<Waterfall> {
    let RowId::Trace(id) = page.id else { return None };
    let trace = of.traces.store.get(id)?;
    let state = &mut pane.waterfall;
    state.learn(trace);
    let parts = layout::waterfall(source.body);
    let open = state.open();
    let height = usize::from(parts.table.height.saturating_sub(layout::BORDERS)).max(1);
    let found = state
        .selected()
        .and_then(|(at, _)| open.iter().position(|o| *o == at));
    state.cursor.motion = std::mem::take(&mut page.motion);
    let selected = state.cursor.place(open.len(), found, height);
    state.cursor.id = selected.map(|i| RowId::Span(id, state.tree[open[i]].what));
    let first = state.cursor.first();
    let columns = columns(source.body.width);
    let drawing = Drawing {
        trace,
        state,
        columns,
    };
    let shown = open.iter().skip(first).take(height);
    let lines = shown.map(|at| drawing.line(&state.tree[*at])).collect();
    let (about, mut detail) = drawing.detail(source.body.width.saturating_sub(4));
    if let Some(pages) = of.traces.sources.iter().find_map(|source| source.pages.as_ref()) {
        // In front: it is the one line that nothing else on the screen tells.
        let address = (format!("{pages}/trace/{id}"), Tone::Accent);
        detail.insert(0, vec![("Jaeger ".to_owned(), Tone::Dim), address]);
    }
    let room = usize::from(parts.detail.height.saturating_sub(layout::BORDERS));
    let more = detail.len().saturating_sub(room);
    detail.truncate(room);
    Some(Waterfall {
        title: format!("{} · {}", trace.summary.name, &id.to_string()[..8]),
        note: note(trace),
        lines,
        selected: selected.map(|i| i - first),
        columns,
        about,
        detail,
        more,
    })
}

/// True when the page is of a trace that was shown, and is not kept any more.
#[must_use]
pub fn is_gone(page: &Page, pane: &Pane) -> bool {
    matches!(page.id, RowId::Trace(id) if pane.waterfall.trace == Some(id))
}

fn columns(width: u16) -> Columns {
    // Borders, the mark, a sign for the path, and blanks between.
    let room = width.saturating_sub(2 + 2 + 2 + DURATION + 2);
    let node = if width >= NODE_FROM { NODE } else { 0 };
    let name = (room * 2 / 5).max(NAME_MIN).min(room);
    Columns {
        name,
        node,
        bar: room.saturating_sub(name + node + u16::from(node > 0)),
    }
}

fn note(trace: &Trace) -> String {
    let of = &trace.summary;
    let spans = match trace.spans.len() {
        1 => "1 span".to_owned(),
        spans => format!("{spans} spans"),
    };
    let mut note = format!(
        "{} · {spans} · {}",
        clock(of.start_ns / 1_000_000),
        micros(of.duration_ns() / 1000)
    );
    if of.errors > 0 {
        note.push_str(&format!(" · [!] {}", of.errors));
    }
    if trace.left_out > 0 {
        note.push_str(&format!(" · {} left out", trace.left_out));
    }
    note
}
