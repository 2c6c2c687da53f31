//! The page of one trace: its tree with a bar over time for each span, the critical path, and what the selected span tells.
//!
//! What does not live here: the tree and the path themselves (`traces`).

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
use crate::traces::{Span, SpanId, Trace, TraceId};
use crate::units::{clock, micros};
use crate::view::paint::width;

/// Columns that the name of a span and its place in the tree take, of so many.
const NAME_MIN: u16 = 22;
/// Columns of durations.
pub const DURATION: u16 = 8;
/// Columns of nodes, where there is room.
const NODE: u16 = 10;
/// Width from which there is.
const NODE_FROM: u16 = 90;
/// Indentation that is drawn; deeper spans stand there, too.
const INDENT_MAX: usize = 12;

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
    let mut note = format!(
        "{} · {} spans · {}",
        clock(of.start_ns / 1_000_000),
        trace.spans.len(),
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

struct Drawing<'a> {
    trace: &'a Trace,
    state: &'a Unfolded,
    columns: Columns,
}

impl Drawing<'_> {
    fn line(&self, entry: &Entry) -> SpanLine {
        let sign = match (entry.below, self.state.folded.contains(&entry.what)) {
            (0, _) => "  ".to_owned(),
            (_, false) => "▾ ".to_owned(),
            (below, true) => format!("▸ +{below} "),
        };
        let place = format!("{}{sign}", "  ".repeat(entry.depth.min(INDENT_MAX)));
        let without = |name: String| SpanLine {
            name: format!("{place}{name}"),
            tone: Tone::Warn,
            critical: false,
            node: String::new(),
            duration: String::new(),
            bar: String::new(),
        };
        match entry.what {
            What::Missing(id) => without(format!("missing parent {id}")),
            What::Circle(_) => without("parents in a circle".to_owned()),
            What::Span(id) => match self.trace.spans.get(&id) {
                Some(span) => self.span(span, &place),
                None => without(id.to_string()),
            },
        }
    }

    fn span(&self, span: &Span, place: &str) -> SpanLine {
        let critical = self.state.path.get(&span.id);
        let failed = if span.error { "[!] " } else { "" };
        SpanLine {
            name: format!("{place}{failed}{}", span.name),
            tone: if span.error { Tone::Bad } else { Tone::Plain },
            critical: critical.is_some(),
            node: place_of(span).to_owned(),
            duration: took(span),
            bar: self.bar(span, critical.map_or(&[], Vec::as_slice)),
        }
    }

    /// Where on the trace's time the span lies: thick where the root waited for it.
    fn bar(&self, span: &Span, critical: &[Segment]) -> String {
        let of = &self.trace.summary;
        let cells = u64::from(self.columns.bar);
        let all = of.duration_ns().max(1);
        let (start, end) = span.interval();
        if cells == 0 {
            return String::new();
        }
        if end < of.start_ns || start > of.end_ns {
            // Its clock is not to be believed.
            let before = end < of.start_ns;
            let blank = " ".repeat(self.columns.bar.saturating_sub(1).into());
            return if before {
                "‹".to_owned()
            } else {
                format!("{blank}›")
            };
        }
        let cell = |ns: u64| {
            let offset = u128::from(ns.saturating_sub(of.start_ns).min(all));
            (offset * u128::from(cells) / u128::from(all)).min(u128::from(cells - 1)) as u64
        };
        // What ends where a cell begins is not in it.
        let last = |from: u64, to: u64| cell(to.saturating_sub(1).max(from));
        let thick: Vec<(u64, u64)> = critical
            .iter()
            .map(|s| (cell(s.from_ns), last(s.from_ns, s.to_ns)))
            .collect();
        let sign = |i: u64| {
            if thick.iter().any(|(from, to)| (*from..=*to).contains(&i)) {
                '█'
            } else {
                '▄'
            }
        };
        let (from, to) = (cell(start), last(start, end));
        let blank = " ".repeat(from as usize);
        if start == end {
            return format!("{blank}│");
        }
        blank.chars().chain((from..=to).map(sign)).collect()
    }

    /// What the selected line is about, and what it tells.
    fn detail(&self, room: u16) -> (String, Vec<Vec<Piece>>) {
        let Some((at, what)) = self.state.selected() else {
            return ("Span".to_owned(), Vec::new());
        };
        let say = |text: &str| vec![vec![(text.to_owned(), Tone::Plain)]];
        match what {
            What::Missing(id) => {
                let below = self.state.tree[at].below;
                let text =
                    format!("Lines below that belong to a span that was not sent, or not yet: {below}");
                (format!("missing parent {id}"), say(&text))
            }
            What::Circle(_) => (
                "parents in a circle".to_owned(),
                say("These spans are each other's parents."),
            ),
            What::Span(id) => match self.trace.spans.get(&id) {
                Some(span) => (span.name.clone(), self.told(span, room)),
                None => (id.to_string(), Vec::new()),
            },
        }
    }

    fn told(&self, span: &Span, room: u16) -> Vec<Vec<Piece>> {
        let after = span.start_ns.saturating_sub(self.trace.summary.start_ns);
        let mut pairs: Vec<(String, String, Tone)> = Vec::new();
        let mut say = |key: &str, value: String, tone: Tone| pairs.push((key.to_owned(), value, tone));
        if span.error {
            let why = match span.message.as_str() {
                "" => "failed",
                message => message,
            };
            say("[!]", why.to_owned(), Tone::Bad);
        }
        say("after", micros(after / 1000), Tone::Plain);
        say("took", took(span), Tone::Plain);
        if let Some(path) = self.state.path.get(&span.id) {
            let waited: u64 = path.iter().map(|s| s.to_ns - s.from_ns).sum();
            say("◆ waited for", micros(waited / 1000), Tone::Strong);
        }
        if span.end_ns < span.start_ns {
            say("clock", "it ends before it starts".to_owned(), Tone::Warn);
        }
        for (key, value) in [("service", &span.origin.service), ("node", &span.origin.node)] {
            if !value.is_empty() {
                say(key, value.clone(), Tone::Accent);
            }
        }
        say("kind", span.kind.as_str().to_owned(), Tone::Dim);
        for (key, value) in span.attributes.iter().chain(&span.origin.attributes) {
            say(key, value.clone(), Tone::Plain);
        }
        for event in &span.events {
            let after = event.unix_ns.saturating_sub(span.start_ns);
            let attributes = event.attributes.iter().map(|(k, v)| format!(" {k} {v}"));
            let text = format!("{}{}", event.name, attributes.collect::<String>());
            say(&format!("+{}", micros(after / 1000)), text, Tone::Plain);
        }
        if span.left_out > 0 {
            say("left out", span.left_out.to_string(), Tone::Warn);
        }
        filled(pairs, room)
    }
}

/// Pairs in lines, as many as fit each.
fn filled(pairs: Vec<(String, String, Tone)>, room: u16) -> Vec<Vec<Piece>> {
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    let mut used = 0;
    for (key, value, tone) in pairs {
        let wide = width(&key).saturating_add(width(&value)).saturating_add(4);
        if lines.is_empty() || used + wide > room {
            lines.push(Vec::new());
            used = 0;
        }
        used = used.saturating_add(wide);
        if let Some(line) = lines.last_mut() {
            line.extend([
                (format!("{key} "), Tone::Dim),
                (value, tone),
                ("   ".to_owned(), Tone::Plain),
            ]);
        }
    }
    lines
}

fn took(span: &Span) -> String {
    match span.duration_ns() {
        0 => "0µs".to_owned(),
        ns if ns < 1000 => "<1µs".to_owned(),
        ns => micros(ns / 1000),
    }
}

fn place_of(span: &Span) -> &str {
    match span.origin.node.as_str() {
        "" => &span.origin.service,
        node => node,
    }
}
