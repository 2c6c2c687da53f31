//! The page of one row, in full: lines under headings, which the viewer scrolls through.
//!
//! What does not live here: what stands on the pages, one file each, and drawing.

mod event;
mod exchange;
mod inside;
mod invariants;
mod link;
mod node;
mod process;
mod scenario;
mod scroll;
mod sheet;
mod why;

use ratatui::layout::Rect;

use super::Source;
use crate::cluster::Cluster;
use crate::model::{Page, Pane};
use crate::table::RowId;
use crate::theme::Tone;
use crate::units::Moment;
use sheet::{Leading, Sheet};
pub use why::Decisions;

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
    /// Which of those that show is chosen.
    pub chosen: Option<usize>,
    /// Lines that lead on, by their numbers, with what they lead to.
    pub leads: Vec<(usize, RowId)>,
    /// How old what it says is, in milliseconds, where that is of one node.
    pub age_ms: Option<u64>,
}

/// Prepares a page. What it is about may not be known any more, or not yet: then it says so.
pub fn prepare(source: Source<'_>, page: &mut Page, pane: &mut Pane) -> PageView {
    pane.decisions.chosen = matches!(page.chosen, Some(RowId::Decision(_)));
    let (title, sheet) = whole(source, &page.id, pane).unwrap_or_else(|| unknown(&page.id));
    let sheet = sheet.wrapped(source.body.width.saturating_sub(3));
    let height = usize::from(source.body.height.saturating_sub(2)).max(1);
    scroll::scroll(page, &sheet.leads, sheet.lines.len(), height);
    let chosen = page.chosen.as_ref();
    let at = chosen.and_then(|id| sheet.leads.iter().find(|(_, to)| to == id));
    PageView {
        title,
        total: sheet.lines.len(),
        lines: sheet.lines.into_iter().skip(page.first).take(height).collect(),
        first: page.first,
        chosen: at.and_then(|(line, _)| line.checked_sub(page.first)),
        leads: sheet.leads,
        age_ms: match page.id {
            RowId::Invariants | RowId::Scenario(_) => source.told.and_then(|told| told.age_ms),
            _ => of_node(&page.id)
                .and_then(|node| source.cluster.nodes.get(node))
                .filter(|node| node.row.is_some())
                .map(|node| source.now.since(node.heard)),
        },
    }
}

/// The node that a page is of, where it is of one alone.
fn of_node(id: &RowId) -> Option<&str> {
    match id {
        RowId::Node(node) | RowId::Process(node, _) | RowId::Fault(node, _) => Some(node),
        _ => None,
    }
}

/// What is not known now.
fn unknown(id: &RowId) -> (String, Sheet) {
    let mut sheet = Sheet::default();
    let (title, why) = match id {
        RowId::Node(name) => (format!("Node {name}"), "it is not known now".to_owned()),
        RowId::Exchange(name) => (
            format!("Exchange {name}"),
            "no live node has it: it was deleted, or its nodes have not told yet".to_owned(),
        ),
        RowId::Process(node, pid) => (
            format!("Process {pid}"),
            format!("{node} has not told of it yet, or it has ended"),
        ),
        RowId::Fault(node, _) => (format!("Fault on {node}"), "it has ended".to_owned()),
        RowId::Trace(id) | RowId::Span(id, _) => (
            format!("Trace {id}"),
            "no source has sent it yet, or it was not kept: nodes send spans every few seconds".to_owned(),
        ),
        RowId::Invariants => (
            "What must hold".to_owned(),
            "nobody judges the invariants of this cluster from here".to_owned(),
        ),
        RowId::Scenario(name) => (
            format!("Scenario {name}"),
            "it is not offered any more".to_owned(),
        ),
        RowId::Link(..) | RowId::Event(_) | RowId::Decision(_) => {
            ("Details".to_owned(), "it is not kept any more".to_owned())
        }
    };
    sheet.heading("Nothing to show");
    sheet.say(why, Tone::Warn);
    (title, sheet)
}

/// A whole page as text: its title, and its lines.
#[must_use]
pub fn text(cluster: &Cluster, now: Moment, id: &RowId) -> Option<String> {
    let source = Source {
        cluster,
        now,
        body: Rect::new(0, 0, u16::MAX, u16::MAX),
        findings: &[],
        told: None,
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
        RowId::Exchange(name) => exchange::sheet(source, name, &mut pane.decisions)?,
        RowId::Process(node, pid) => process::sheet(source, node, pid, pane)?,
        RowId::Link(from, to) => link::sheet(source, from, to),
        RowId::Event(key) => event::sheet(source, key)?,
        RowId::Fault(node, id) => event::fault(source, node, id)?,
        RowId::Invariants => invariants::sheet(source)?,
        RowId::Scenario(name) => scenario::sheet(source, name)?,
        // A page of its own: `waterfall`.
        RowId::Trace(_) | RowId::Span(..) | RowId::Decision(_) => return None,
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
