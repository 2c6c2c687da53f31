//! Makes what is drawn out of the cluster: filters, sorts, cuts to the window, computes ages and sums.
//! Runs inside `update`; the views only draw what stands in [`Prepared`].

pub mod board;
pub mod exchanges;
pub mod faults;
pub mod head;
pub mod keys;
pub mod leaders;
mod least;
pub mod mesh;
pub mod overview;
pub mod page;
pub mod processes;
pub mod question;
pub mod registry;
pub mod timeline;
pub mod traces;
pub mod waterfall;

use ratatui::layout::Rect;
use squall_filter::Field;

use crate::cluster::Cluster;
use crate::cluster::health::Finding;
use crate::console::Board;
use crate::layout::{self, Shell};
use crate::model::{Model, Page, Screen};
use crate::table::{self, Column, Sort, Table};
use crate::theme::Tone;
use crate::units::{Moment, millis};
pub use head::Head;
use page::PageView;

/// Everything that is drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prepared {
    /// What every view shows.
    pub head: Head,
    /// The open view.
    pub body: Body,
    /// How old what it shows is, in words.
    pub age: String,
    /// What the last line offers.
    pub hints: Vec<keys::Hint>,
    /// The help page, while it is open.
    pub help: Option<keys::Help>,
    /// The commands that fit what is typed, while one is.
    pub commands: Vec<crate::palette::Entry>,
    /// The question that is asked before something is done.
    pub asked: Option<question::Asked>,
}

/// The open view.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Body {
    /// Nothing has come yet.
    #[default]
    Loading,
    /// The page of one row.
    Page(page::PageView),
    /// Overview.
    Overview(overview::Overview),
    /// Mesh.
    Mesh(mesh::Mesh),
    /// Exchanges.
    Exchanges(exchanges::Exchanges),
    /// Leaders.
    Leaders(leaders::Leaders),
    /// Processes.
    Processes(processes::Processes),
    /// Registry.
    Registry(registry::Registry),
    /// Timeline.
    Timeline(timeline::Timeline),
    /// Traces.
    Traces(traces::TraceList),
    /// One of them.
    Waterfall(waterfall::Waterfall),
    /// Chaos.
    Chaos(board::BoardView),
}

/// The selected row of a view in full.
#[derive(Debug, Clone, PartialEq)]
pub struct Detail {
    /// What it is about.
    pub title: String,
    /// Lines of label, value, and the value's tone.
    pub lines: Vec<Vec<(&'static str, String, Tone)>>,
}

/// What a view is made from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The time it is shown at.
    pub now: Moment,
    /// Room for it.
    pub body: Rect,
    /// Findings.
    pub findings: &'a [Finding],
    /// What the console says, where there is one.
    pub told: Option<Told<'a>>,
}

/// What the console says of itself. It is of now, whatever moment of the cluster is shown.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// What it says.
    pub board: &'a Board,
    /// How long ago it said something new.
    pub age_ms: Option<u64>,
}

/// Prepares the open view.
pub fn prepare(model: &mut Model) {
    let head = head::of(model);
    let area = Rect::new(0, 0, model.size.0, model.size.1);
    let shell = shell(&head, model.status.is_some(), area);
    let mut pane = std::mem::take(&mut model.panes[model.screen as usize]);
    let mut page = model.page.take();
    let body = body(model, &head.findings, shell.body, &mut page, &mut pane);
    let age = age(model, &body);
    model.panes[model.screen as usize] = pane;
    model.page = page;
    model.prepared = Prepared {
        head,
        body,
        age,
        ..Prepared::default()
    };
    let over = layout::under(area, shell.body);
    model.prepared.asked = question::prepare(model, over);
    model.prepared.hints = keys::hints(model, model.context());
    (model.prepared.help, model.prepared.commands) = keys::overlays(model, over.width, over.height);
}

/// The open view, or the page over it. The page of a trace that went goes, too.
fn body(
    model: &Model,
    findings: &[Finding],
    room: Rect,
    page: &mut Option<Page>,
    pane: &mut crate::model::Pane,
) -> Body {
    let (cluster, now) = model.shown();
    let source = Source {
        cluster,
        now,
        body: room,
        findings,
        told: told(model),
    };
    let traced = traces::View {
        traces: &model.traces,
        until: model.frozen.as_ref().map(|f| f.at),
        replayed: model.replay.is_some(),
    };
    if let Some(open) = page {
        if let Some(trace) = waterfall::prepare(source, traced, open, pane) {
            return Body::Waterfall(trace);
        }
        if waterfall::is_gone(open, pane) {
            *page = None;
        } else {
            return Body::Page(page::prepare(source, open, pane));
        }
    }
    // Traces have sources of their own.
    if model.screen != Screen::Traces && cluster.nodes.values().all(|n| n.row.is_none()) {
        return Body::Loading;
    }
    match model.screen {
        Screen::Overview => Body::Overview(overview::prepare(source, pane)),
        Screen::Mesh => Body::Mesh(mesh::prepare(source, pane, &model.painted)),
        Screen::Exchanges => Body::Exchanges(exchanges::prepare(source, pane)),
        Screen::Leaders => Body::Leaders(leaders::prepare(source, pane)),
        Screen::Processes => Body::Processes(processes::prepare(source, pane)),
        Screen::Registry => Body::Registry(registry::prepare(source, pane)),
        Screen::Timeline => Body::Timeline(timeline::prepare(source, pane)),
        Screen::Traces => Body::Traces(traces::prepare(source, traced, pane)),
        Screen::Chaos => {
            let mut shown = board::prepare(source, pane);
            if !model.console {
                "no fault acts".clone_into(&mut shown.why_none);
            }
            Body::Chaos(shown)
        }
    }
}

/// What the console says, where there is one.
fn told(model: &Model) -> Option<Told<'_>> {
    Some(Told {
        board: model.board()?,
        age_ms: model.board_at.map(|at| model.now.since(at)),
    })
}

/// How old what stands in the panes is: what the nodes that are up said, the oldest of it; of one node's page what that one said.
fn age(model: &Model, body: &Body) -> String {
    let (cluster, now) = model.shown();
    let since = |n: &crate::cluster::node::Node| now.since(n.heard);
    let heard = || cluster.nodes.values().filter(|n| n.row.is_some());
    let ms = match body {
        Body::Loading => None,
        Body::Traces(_) | Body::Waterfall(_) => model.traced.map(|at| model.now.since(at)),
        Body::Page(PageView { age_ms: Some(ms), .. }) => Some(*ms),
        _ => {
            let newest = || heard().map(since).min();
            cluster.fresh(now).map(since).max().or_else(newest)
        }
    };
    match ms {
        None if model.screen == Screen::Traces => "no spans yet".to_owned(),
        None => String::new(),
        Some(ms) if ms < 10_000 => format!("{}.{}s old", ms / 1000, ms % 1000 / 100),
        Some(ms) => format!("{} old", millis(ms)),
    }
}

/// Cuts the screen up for what the head has to say.
#[must_use]
pub fn shell(head: &Head, status: bool, area: Rect) -> Shell {
    let banners = [head.alarm.is_some(), head.breach.is_some(), head.faults.count > 0];
    let banners = banners.map(u16::from).into_iter().sum();
    layout::shell(area, banners, status)
}

/// The table of the open view that a click may select a line of, and the row of the screen where its lines begin.
#[must_use]
pub fn table_on(prepared: &Prepared, body: Rect) -> Option<(&Table, u16)> {
    // Below the border and the headings.
    const ABOVE: u16 = 2;
    let table = match &prepared.body {
        Body::Overview(v) => &v.nodes,
        Body::Exchanges(v) => &v.table,
        Body::Processes(v) => &v.table,
        Body::Registry(v) => &v.table,
        Body::Timeline(v) => &v.table,
        Body::Traces(v) => &v.table,
        Body::Chaos(v) => return Some((&v.table, v.parts.table.y + ABOVE)),
        Body::Loading | Body::Page(_) | Body::Waterfall(_) | Body::Mesh(_) | Body::Leaders(_) => {
            return None;
        }
    };
    Some((table, body.y + ABOVE))
}

/// Moves the selection left or right where a view has columns of its own.
pub fn move_sideways(model: &mut Model, by: isize) {
    if matches!(model.prepared.body, Body::Waterfall(_)) {
        return model.pane_mut().waterfall.fold(by < 0);
    }
    match model.screen {
        Screen::Mesh => {
            let names = mesh::names(model.shown().0);
            mesh::move_to(&names, &mut model.pane_mut().cursor, by);
        }
        Screen::Overview => {
            let pane = model.pane_mut();
            let last = overview::load::STEPS.len() - 1;
            pane.zoom = pane.zoom.saturating_add_signed(-by).min(last);
        }
        Screen::Leaders => {
            let names: Vec<String> = model.shown().0.nodes.keys().cloned().collect();
            let pane = model.pane_mut();
            pane.column = leaders::move_to(&names, pane.column.as_deref(), by);
        }
        Screen::Chaos => {
            let next = match &model.prepared.body {
                Body::Chaos(v) => v.beside(by).cloned(),
                _ => None,
            };
            if let Some(id) = next {
                model.pane_mut().cursor.hold(id);
            }
        }
        // Tables have no columns to stand on; sorting has its own keys.
        Screen::Exchanges | Screen::Processes | Screen::Registry | Screen::Timeline | Screen::Traces => {}
    }
}

/// Columns of a view's table, and its own order where it can be sorted.
#[must_use]
pub fn columns(screen: Screen) -> (&'static [Column], Option<Sort>) {
    match screen {
        Screen::Overview => (overview::COLUMNS, Some(overview::OWN_SORT)),
        Screen::Exchanges => (exchanges::COLUMNS, Some(exchanges::OWN_SORT)),
        Screen::Processes => (processes::COLUMNS, Some(processes::OWN_SORT)),
        Screen::Registry => (registry::COLUMNS, Some(registry::OWN_SORT)),
        Screen::Timeline => (timeline::COLUMNS, None),
        Screen::Traces => (traces::COLUMNS, Some(traces::OWN_SORT)),
        Screen::Chaos => (faults::COLUMNS, Some(faults::OWN_SORT)),
        Screen::Mesh | Screen::Leaders => (&[], None),
    }
}

/// The fields that a filter of a view may name.
#[must_use]
pub fn fields(screen: Screen) -> Vec<Field> {
    match screen {
        Screen::Mesh => table::fields(mesh::COLUMNS),
        Screen::Leaders => table::fields(leaders::OPINIONS),
        _ => table::fields(columns(screen).0),
    }
}

/// The column by which nodes choose their first processes, and whether they choose the last.
#[must_use]
pub fn process_sort(model: &Model) -> (&'static str, bool) {
    let pane = &model.panes[Screen::Processes as usize];
    let sort = pane.sort.unwrap_or(processes::OWN_SORT);
    let columns = processes::titles(pane.totals);
    columns
        .get(sort.column)
        .map_or(("mailbox", false), |c| processes::wire_sort(c, sort.descending))
}

/// The whole table of a view without a window, for the headless output.
#[must_use]
pub fn whole_table(cluster: &Cluster, now: Moment, screen: Screen, pane: &mut crate::model::Pane) -> Table {
    let source = Source {
        cluster,
        now,
        body: Rect::new(0, 0, u16::MAX, u16::MAX),
        findings: &[],
        told: None,
    };
    match screen {
        Screen::Overview => overview::table(source, pane, usize::MAX),
        Screen::Mesh => mesh::table(source, pane),
        Screen::Exchanges => exchanges::table(source, pane, usize::MAX),
        Screen::Leaders => leaders::table(source, pane),
        Screen::Processes => processes::table(source, pane, usize::MAX),
        Screen::Registry => registry::table(source, pane, usize::MAX),
        Screen::Timeline => timeline::table(source, pane, usize::MAX),
        // They are no part of the cluster: `headless::traces` has them.
        Screen::Traces => Table::default(),
        Screen::Chaos => faults::table(source, pane, usize::MAX),
    }
}
