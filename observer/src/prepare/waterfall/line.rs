//! The lines of a trace's page: names, bars, and what a span tells.
//!
//! What does not live here: which lines show.

use super::{Columns, SpanLine, Unfolded};
use crate::measure::width;
use crate::prepare::page::Piece;
use crate::theme::Tone;
use crate::traces::critical::Segment;
use crate::traces::tree::{Entry, What};
use crate::traces::{Span, Trace};
use crate::units::micros;

/// Indentation that is drawn; deeper spans stand there, too.
const INDENT_MAX: usize = 12;

/// What lines are written from.
pub(super) struct Drawing<'a> {
    pub(super) trace: &'a Trace,
    pub(super) state: &'a Unfolded,
    pub(super) columns: Columns,
}

impl Drawing<'_> {
    /// A line of the tree.
    pub(super) fn line(&self, entry: &Entry) -> SpanLine {
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
    pub(super) fn detail(&self, room: u16) -> (String, Vec<Vec<Piece>>) {
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
