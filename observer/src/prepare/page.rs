//! The page of one row, in full: lines under headings, which the viewer scrolls through.
//!
//! What does not live here: what stands on the pages, one file each, and drawing.

mod event;
mod exchange;
mod inside;
mod link;
mod node;
mod process;
mod why;

use ratatui::layout::Rect;

use super::Source;
use crate::cluster::Cluster;
use crate::model::{Page, Pane};
use crate::table::{Motion, RowId};
use crate::theme::Tone;
use crate::units::{Moment, clock};

/// A piece of text and how it is drawn.
pub type Piece = (String, Tone);

/// What is drawn of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct PageView {
    /// What it is about.
    pub title: String,
    /// The lines that show.
    pub lines: Vec<Vec<Piece>>,
    /// Number of the first of them.
    pub first: usize,
    /// Lines there are.
    pub total: usize,
}

/// Lines under headings, as they are put together.
#[derive(Debug, Default)]
struct Sheet {
    lines: Vec<Vec<Piece>>,
}

/// Columns of a table on a page that hold numbers.
type Numbers = &'static [usize];

impl Sheet {
    fn heading(&mut self, text: impl Into<String>) {
        if !self.lines.is_empty() {
            self.lines.push(Vec::new());
        }
        self.lines.push(vec![(text.into(), Tone::Head)]);
    }

    /// A line of labels and values.
    fn fields(&mut self, fields: &[(&str, String, Tone)]) {
        let mut line: Vec<Piece> = vec![("  ".to_owned(), Tone::Plain)];
        for (label, value, tone) in fields {
            if !label.is_empty() {
                line.push((format!("{label} "), Tone::Dim));
            }
            line.push((value.clone(), *tone));
            line.push(("   ".to_owned(), Tone::Plain));
        }
        self.lines.push(line);
    }

    fn say(&mut self, text: impl Into<String>, tone: Tone) {
        self.lines
            .push(vec![("  ".to_owned(), Tone::Plain), (text.into(), tone)]);
    }

    /// A table whose columns are as wide as they need to be.
    fn table(&mut self, head: &[&str], numbers: Numbers, rows: &[Vec<Piece>]) {
        let wide = |text: &str| crate::view::paint::width(text) as usize;
        let width = |i: usize| {
            let cells = rows
                .iter()
                .filter_map(|row| row.get(i))
                .map(|(text, _)| wide(text));
            cells.max().unwrap_or(0).max(wide(head[i])).min(48)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let line = |cells: Vec<Piece>| {
            let mut line: Vec<Piece> = vec![("  ".to_owned(), Tone::Plain)];
            for (i, (text, tone)) in cells.into_iter().enumerate() {
                let text = crate::view::paint::fit(&text, widths[i] as u16).into_owned();
                let blank = " ".repeat(widths[i].saturating_sub(wide(&text)));
                let padded = if numbers.contains(&i) {
                    format!("{blank}{text}  ")
                } else {
                    format!("{text}{blank}  ")
                };
                line.push((padded, tone));
            }
            line
        };
        self.lines.push(line(
            head.iter().map(|text| ((*text).to_owned(), Tone::Dim)).collect(),
        ));
        self.lines.extend(rows.iter().cloned().map(line));
    }

    /// The newest events that fit a description.
    fn events(
        &mut self,
        source: Source<'_>,
        most: usize,
        wanted: impl Fn(&str, &squall_proto::v1::Event) -> bool,
    ) {
        self.heading("What happened");
        let newest = source.cluster.events.newest_first();
        let of = newest.filter(|(key, event)| wanted(&key.node, event)).take(most);
        let before = self.lines.len();
        for (key, event) in of {
            self.lines.push(vec![
                (format!("  {}  ", clock(key.unix_ms)), Tone::Dim),
                (format!("{} ", key.node), Tone::Accent),
                (format!("{}: {}", event.kind, event.text), Tone::Plain),
            ]);
        }
        if self.lines.len() == before {
            self.say("nothing that is kept", Tone::Dim);
        }
    }
}

/// Prepares a page; none when what it is about is not known any more.
pub fn prepare(source: Source<'_>, page: &mut Page, pane: &mut Pane) -> Option<PageView> {
    let (title, sheet) = whole(source, &page.id, pane)?;
    let height = usize::from(source.body.height.saturating_sub(2)).max(1);
    let last = sheet.lines.len().saturating_sub(height);
    page.first = match std::mem::take(&mut page.motion) {
        Motion::Stay => page.first,
        Motion::By(by) => page.first.saturating_add_signed(by),
        Motion::Pages(by) => page.first.saturating_add_signed(by * height as isize),
        Motion::First => 0,
        Motion::Last => last,
    }
    .min(last);
    let total = sheet.lines.len();
    Some(PageView {
        title,
        lines: sheet.lines.into_iter().skip(page.first).take(height).collect(),
        first: page.first,
        total,
    })
}

/// A whole page as text: its title, and its lines.
#[must_use]
pub fn text(cluster: &Cluster, now: Moment, id: &RowId) -> Option<String> {
    let source = Source {
        cluster,
        now,
        body: Rect::new(0, 0, u16::MAX, u16::MAX),
        findings: &[],
    };
    let (title, sheet) = whole(source, id, &mut Pane::default())?;
    let line = |line: &Vec<Piece>| {
        let text: String = line.iter().map(|(text, _)| text.as_str()).collect();
        text.trim_end().to_owned()
    };
    let lines: Vec<String> = sheet.lines.iter().map(line).collect();
    Some(format!("{title}\n\n{}\n", lines.join("\n")))
}

fn whole(source: Source<'_>, id: &RowId, pane: &mut Pane) -> Option<(String, Sheet)> {
    Some(match id {
        RowId::Node(name) => node::sheet(source, name)?,
        RowId::Exchange(name) => exchange::sheet(source, name)?,
        RowId::Process(node, pid) => process::sheet(source, node, pid, pane)?,
        RowId::Link(from, to) => link::sheet(source, from, to),
        RowId::Event(key) => event::sheet(source, key)?,
        RowId::Fault(node, id) => event::fault(source, node, id)?,
        // A page of its own: `waterfall`.
        RowId::Trace(_) | RowId::Span(..) => return None,
    })
}

fn plain(label: &'static str, text: impl Into<String>) -> (&'static str, String, Tone) {
    (label, text.into(), Tone::Plain)
}

/// Nothing has come yet: who is asked.
fn asking(sheet: &mut Sheet, source: Source<'_>, node: Option<&str>) {
    if source.cluster.details.past {
        let why = "not kept of the past: nodes show it only while somebody watches";
        return sheet.say(why, Tone::Dim);
    }
    let all = || {
        source
            .cluster
            .nodes
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let whom = node.map_or_else(all, str::to_owned);
    sheet.say(format!("asking {whom} …"), Tone::Dim);
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}
