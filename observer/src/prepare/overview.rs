//! The Overview: a line per node, the totals, the load of the last minutes with its marks.

pub mod load;

use super::Source;
use crate::cluster::State;
use crate::cluster::checks::{self, Check};
use crate::cluster::events::MarkKind;
use crate::cluster::health::{Finding, Level};
use crate::facts::{self, NodeFact};
use crate::layout;
use crate::measure::width;
use crate::model::Pane;
use crate::table::{Cell, Column, Line, RowId, Sort, Table, titled};
use crate::theme::Tone;
use crate::units::{bytes, clock, count, millis, percent, rate};

/// Columns that show totals instead of rates, when that is asked for.
const TOTALS: &[(&str, &str)] = &[("in/s", "in"), ("out/s", "out")];

/// Columns of the table.
pub const COLUMNS: &[Column] = &[
    Column::words("node", 5, 16, 0),
    Column::words("state", 9, 22, 0),
    Column::words("role", 8, 8, 1),
    Column::number("cpu", 5, 2).percent(),
    Column::number("rss", 5, 2).bytes(),
    Column::number("fds", 5, 6),
    Column::number("procs", 6, 5),
    Column::number("in/s", 6, 1),
    Column::number("out/s", 6, 1),
    Column::number("uptime", 7, 3).millis(),
    Column::number("incarn", 7, 4),
    Column::number("revision", 9, 3),
    Column::number("lease", 6, 7).millis(),
    Column::number("late", 6, 8).millis(),
    Column::number("dropped", 7, 8),
    Column::words("version", 7, 12, 9),
];

/// By name.
pub const OWN_SORT: Sort = Sort {
    column: 0,
    descending: false,
};

/// The Overview.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// Nodes.
    pub nodes: Table,
    /// Their sums: a cell per column.
    pub totals: Vec<Cell>,
    /// Load per node.
    pub load: Vec<Load>,
    /// The most of all that shows: one scale for all, so that nodes can be compared.
    pub top: f32,
    /// How many things are wrong, in words.
    pub note: String,
    /// Marks, by columns from the right.
    pub marks: Vec<(u16, MarkKind)>,
    /// Labels of the charts' axis, by columns from the right.
    pub axis: Vec<(u16, String)>,
    /// What a column is.
    pub scale: &'static str,
    /// There is room for charts.
    pub charted: bool,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What must hold, with its figures; what does not hold comes first.
    pub checks: Vec<Check>,
    /// The newest events: time, node, words.
    pub latest: Vec<(String, String, String)>,
}

/// The load of one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Node.
    pub node: String,
    /// Messages in per second by columns, the newest last; none is a gap.
    pub samples: Vec<Option<f32>>,
    /// The newest in words.
    pub last: String,
    /// The node is up.
    pub up: bool,
}

/// Prepares the view.
pub fn prepare(source: Source<'_>, pane: &mut Pane) -> Overview {
    let Source {
        cluster,
        now,
        body,
        findings,
        told: _,
    } = source;
    let mut checks = checks::checks(cluster, now);
    checks.sort_by_key(|c| c.holds);
    let (wrong, said) = (findings.len(), findings.len() + checks.len());
    let parts = layout::overview(body, cluster.nodes.len() as u16, wrong as u16, said as u16);
    // The totals take a line.
    let height = layout::lines(parts.nodes).saturating_sub(1).max(1);
    let names = cluster.nodes.keys().map(|name| width(name)).max().unwrap_or(0);
    let plot = layout::chart(parts.load, names).1.width;
    let (most, step) = (
        usize::from(plot),
        load::STEPS[pane.zoom.min(load::STEPS.len() - 1)],
    );
    let chart = |n: &crate::cluster::node::Node| Load {
        node: n.name.clone(),
        samples: load::columns(&n.load, now, step, most),
        last: rate(n.rate_in.per_s(n.taken_ms)),
        up: cluster.state(n, now) == State::Up,
    };
    let charts: Vec<Load> = cluster.nodes.values().map(chart).collect();
    Overview {
        nodes: table(source, pane, height),
        totals: totals(&facts::nodes(cluster, now)),
        top: top(&charts),
        load: charts,
        note: note(findings, &checks),
        marks: load::marks(&cluster.marks(), now, step, most),
        axis: load::axis(step, plot),
        scale: match step {
            1 => "messages in per second · one column a second",
            2 => "messages in per second · one column 2s",
            5 => "messages in per second · one column 5s",
            _ => "messages in per second · one column 10s",
        },
        charted: !parts.load.is_empty(),
        findings: findings.to_vec(),
        checks,
        latest: latest(source, parts.latest.height.into()),
    }
}

fn top(load: &[Load]) -> f32 {
    let samples = load.iter().flat_map(|l| &l.samples);
    samples.flatten().copied().fold(1.0, f32::max)
}

fn note(findings: &[Finding], checks: &[Check]) -> String {
    let alerts = findings.iter().filter(|f| f.level == Level::Alert).count();
    match findings.len() {
        0 if checks.iter().all(|c| c.holds) => "✔ all well".to_owned(),
        0 => String::new(),
        n => format!("{} · {}", many(alerts, "alert"), many(n - alerts, "notice")),
    }
}

fn many(n: usize, word: &str) -> String {
    if n == 1 {
        format!("1 {word}")
    } else {
        format!("{n} {word}s")
    }
}

/// The newest events that fit.
fn latest(source: Source<'_>, rows: usize) -> Vec<(String, String, String)> {
    let events = source.cluster.events.newest_first().take(rows);
    events
        .map(|(key, e)| (clock(key.unix_ms), key.node.clone(), words(e)))
        .collect()
}

/// An event in a line; most texts name their subject.
fn words(e: &squall_proto::v1::Event) -> String {
    if e.subject.is_empty() || e.text.contains(&e.subject) {
        format!("{}: {}", e.kind, e.text)
    } else {
        format!("{} {}: {}", e.kind, e.subject, e.text)
    }
}

/// The nodes' table.
pub fn table(source: Source<'_>, pane: &mut Pane, height: usize) -> Table {
    let nodes = facts::nodes(source.cluster, source.now);
    let lines = nodes.into_iter().map(|n| line(&n, pane.totals)).collect();
    let sort = Some(pane.sort.unwrap_or(OWN_SORT));
    Table::new(
        &titled(COLUMNS, TOTALS, pane.totals),
        lines,
        &pane.filter,
        sort,
        &mut pane.cursor,
        height,
    )
}

fn total(n: u64) -> Cell {
    Cell::number(n as f64, count(n))
}

fn line(n: &NodeFact, totals: bool) -> Line {
    let unheard = n.version.is_empty();
    let figure = |value: u64, text: String| {
        if unheard {
            Cell::unknown("–")
        } else {
            Cell::number(value as f64, text)
        }
    };
    let lag = if n.revision_lag > 0 {
        format!("{} -{}", n.revision, n.revision_lag)
    } else {
        n.revision.to_string()
    };
    Line {
        id: RowId::Node(n.name.clone()),
        cells: vec![
            Cell::new(n.name.clone()).tone(Tone::Accent),
            state(n),
            role(n),
            Cell::perhaps(n.cpu_percent, percent(n.cpu_percent.unwrap_or(-1.0))),
            figure(n.rss_bytes, bytes(n.rss_bytes)),
            figure(n.fds, count(n.fds)),
            figure(n.processes, count(n.processes)),
            if totals {
                total(n.messages_in)
            } else {
                Cell::perhaps(n.in_per_s, rate(n.in_per_s))
            },
            if totals {
                total(n.messages_out)
            } else {
                Cell::perhaps(n.out_per_s, rate(n.out_per_s))
            },
            figure(n.uptime_ms, millis(n.uptime_ms)),
            figure(n.incarnation, short(n.incarnation)),
            figure(n.revision, lag).tone(if n.revision_lag > 0 {
                Tone::Warn
            } else {
                Tone::Plain
            }),
            figure(
                n.lease_left_ms,
                if n.lease_left_ms > 0 {
                    millis(n.lease_left_ms)
                } else {
                    "–".to_owned()
                },
            ),
            figure(n.timer_late_ms, millis(n.timer_late_ms)),
            figure(n.dropped, count(n.dropped)).tone(if n.dropped > 0 { Tone::Warn } else { Tone::Plain }),
            Cell::new(n.version.clone()).tone(Tone::Dim),
        ],
        dim: n.state != State::Up,
    }
}

/// The end of a long number, which is where two runs of a node differ.
fn short(incarnation: u64) -> String {
    if incarnation < 1_000_000 {
        incarnation.to_string()
    } else {
        format!("…{:05}", incarnation % 100_000)
    }
}

/// The state with its glyph, and its age where it is not fresh.
fn state(n: &NodeFact) -> Cell {
    let stale = n
        .stale_ms
        .map(|ms| format!(" stale {}", millis(ms)))
        .unwrap_or_default();
    let (glyph, word, tone) = state_word(n);
    Cell::new(format!("{glyph} {word}{stale}")).tone(tone).word(word)
}

/// Glyph, word and tone of a node's state; one that is up may be weak, or hand over what it owns.
pub(super) fn state_word(n: &NodeFact) -> (&'static str, &'static str, Tone) {
    match (n.state, n.duty) {
        (State::Up, "weak") => ("▽", "weak", Tone::Warn),
        (State::Up, "draining") => ("⇥", "draining", Tone::Warn),
        (State::Up, "leaving") => ("⇥", "leaving", Tone::Warn),
        (State::Up, _) => ("●", n.state.as_str(), Tone::Good),
        (State::Suspect, _) => ("◐", n.state.as_str(), Tone::Warn),
        (State::Down, _) => ("✖", n.state.as_str(), Tone::Bad),
    }
}

fn role(n: &NodeFact) -> Cell {
    let cell = match n.role {
        "leader" if n.stale_ms.is_some() => Cell::new("◌ leader").tone(Tone::Dim),
        "leader" if n.quorum => Cell::new("★ leader").tone(Tone::Strong),
        // A leader that hears no majority still says that it leads.
        "leader" => Cell::new("☆ leader").tone(Tone::Warn),
        "unknown" => Cell::new("–").tone(Tone::Dim),
        other => Cell::new(format!("  {other}")),
    };
    cell.word(n.role)
}

fn totals(nodes: &[NodeFact]) -> Vec<Cell> {
    let live = || nodes.iter().filter(|n| n.state == State::Up);
    let sum = |f: fn(&NodeFact) -> u64| live().map(f).sum::<u64>();
    let sum_rate = |f: fn(&NodeFact) -> Option<f64>| {
        let rates: Vec<_> = live().filter_map(f).collect();
        (!rates.is_empty()).then(|| rates.iter().sum())
    };
    // The sum of no floats at all is -0.
    let cpu = live()
        .filter_map(|n| n.cpu_percent)
        .fold(0.0, |sum, cpu| sum + cpu);
    let mut cells = vec![Cell::default(); COLUMNS.len()];
    let texts = [
        (0, "total".to_owned()),
        (1, format!("{} of {} up", live().count(), nodes.len())),
        (3, percent(cpu)),
        (4, bytes(sum(|n| n.rss_bytes))),
        (5, count(sum(|n| n.fds))),
        (6, count(sum(|n| n.processes))),
        (7, rate(sum_rate(|n| n.in_per_s))),
        (8, rate(sum_rate(|n| n.out_per_s))),
        (14, count(sum(|n| n.dropped))),
    ];
    for (column, text) in texts {
        cells[column] = Cell::new(text).tone(Tone::Strong);
    }
    cells
}
