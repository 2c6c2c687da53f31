//! The Leaders: the registry's own leader as every node sees it, and the matrix of opinions. A cell is what
//! that node would act on now. Two owners in one row are a split.

use std::collections::BTreeMap;

use super::Source;
use crate::cluster::{State, health};
use crate::facts::{self, LeaderFact, NodeFact};
use crate::layout;
use crate::layout::grid::{Grid, Wanted};
use crate::measure::width;
use crate::model::Pane;
use crate::table::{self, Cell, Column, Cursor, Line, RowId, Sort, Table};
use crate::theme::Tone;
use crate::units::{clock, millis};

/// Columns of the registry's table.
pub const REGISTRY: &[Column] = &[
    Column::words("node", 4, 16, 0),
    Column::words("role", 8, 9, 0),
    Column::words("follows", 7, 14, 0),
    Column::number("term", 5, 0),
    Column::number("revision", 9, 0),
    Column::number("lag", 5, 1),
    Column::words("quorum", 8, 10, 0),
    Column::number("lease", 6, 2),
    Column::words("state", 9, 22, 3),
];

/// Columns of the headless table and of the details.
pub const OPINIONS: &[Column] = &[
    Column::words("exchange", 8, 24, 0),
    Column::words("node", 4, 16, 0),
    Column::words("acts as", 10, 12, 0),
    Column::number("epoch", 5, 0),
    Column::words("leader", 6, 14, 0),
    Column::words("sends to", 8, 14, 0),
    Column::words("believed by", 11, 24, 1),
    Column::number("lease", 6, 2).millis(),
    Column::words("", 1, 16, 3),
];

/// Narrowest column of the matrix: a glyph and an epoch.
const CELL_MIN: u16 = 9;
/// Widest: everything.
const CELL_MAX: u16 = 40;

/// The Leaders.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaders {
    /// The registry, node by node.
    pub registry: Table,
    /// Nodes, the columns of the matrix, with whether they are up.
    pub nodes: Vec<(String, bool)>,
    /// Rows of the matrix, cut to the window.
    pub rows: Vec<Row>,
    /// Index of the first row.
    pub first: usize,
    /// Rows there are.
    pub total: usize,
    /// Index of the selected row.
    pub selected: Option<usize>,
    /// The node whose opinion is chosen, as a column.
    pub column: Option<usize>,
    /// Where the matrix stands.
    pub grid: Grid,
    /// What must be said of the rows.
    pub note: String,
    /// All opinions on the selected exchange.
    pub detail: Table,
    /// The selected exchange.
    pub chosen: Option<String>,
    /// What happened to it, the newest first: time, node, words.
    pub history: Vec<(String, String, String)>,
}

/// A row of the matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Exchange.
    pub exchange: String,
    /// Two nodes act as owner.
    pub split: bool,
    /// No live node acts as owner.
    pub ownerless: bool,
    /// An opinion per node, none where it has said nothing.
    pub cells: Vec<Option<LeaderFact>>,
}

/// Prepares the view.
pub fn prepare(source: Source<'_>, pane: &mut Pane) -> Leaders {
    let Source {
        cluster, now, body, ..
    } = source;
    let nodes = facts::nodes(cluster, now);
    let facts = facts::leaders(cluster, now);
    let mut by_exchange: BTreeMap<&str, BTreeMap<&str, &LeaderFact>> = BTreeMap::new();
    for f in &facts {
        by_exchange.entry(&f.exchange).or_default().insert(&f.node, f);
    }
    // An exchange is shown when some node's opinion on it matches.
    let is_wanted = |opinions: &BTreeMap<&str, &LeaderFact>| {
        let mut opinions = opinions.values();
        pane.filter.is_all() || opinions.any(|f| table::wants(&pane.filter, OPINIONS, &line(f)))
    };
    let all: Vec<&str> = by_exchange
        .keys()
        .copied()
        .filter(|n| is_wanted(&by_exchange[n]))
        .collect();
    let parts = layout::leaders(body, nodes.len() as u16, rows_of(all.len()));
    let id = |name: &str| RowId::Exchange(name.to_owned());
    let column = pane
        .column
        .as_ref()
        .and_then(|node| nodes.iter().position(|n| n.name == *node));
    let found = pane
        .cursor
        .id
        .as_ref()
        .and_then(|sought| all.iter().position(|n| id(n) == *sought));
    let height = layout::lines(parts.matrix).max(1);
    let selected = pane.cursor.place(all.len(), found, height);
    pane.cursor.id = selected.map(|i| id(all[i]));
    let (splits, ownerless) = (health::splits(cluster, now), health::ownerless(cluster, now));
    let row = |name: &&str| Row {
        exchange: (*name).to_owned(),
        split: splits.contains(*name),
        ownerless: ownerless.contains(*name),
        cells: nodes
            .iter()
            .map(|n| by_exchange[*name].get(n.name.as_str()).map(|f| (*f).clone()))
            .collect(),
    };
    let chosen = selected.map(|i| all[i].to_owned());
    let on_chosen = facts
        .iter()
        .filter(|f| Some(&f.exchange) == chosen.as_ref())
        .map(line)
        .collect();
    let mut detail = still(OPINIONS, on_chosen, layout::lines(parts.detail));
    detail.selected = column.filter(|i| *i < detail.lines.len());
    let split = splits.len();
    let first = pane.cursor.first();
    let shown = all.iter().skip(first).take(height);
    let widest = shown.map(|name| width(name)).max().unwrap_or(0);
    let wanted = Wanted {
        size: (all.len(), nodes.len()),
        names: widest.clamp(8, 24),
        width: (CELL_MIN, CELL_MAX),
        height: 1,
        selected: (selected.unwrap_or(0), column.unwrap_or(0)),
        first: Some(first),
    };
    Leaders {
        grid: Grid::new(layout::inside(parts.matrix), wanted),
        column,
        note: match split {
            0 => "what each node would act on now".to_owned(),
            n => format!("! {n} SPLIT"),
        },
        registry: registry(&nodes, layout::lines(parts.registry)),
        rows: all
            .iter()
            .skip(pane.cursor.first())
            .take(height)
            .map(row)
            .collect(),
        nodes: nodes
            .iter()
            .map(|n| (n.name.clone(), n.state == State::Up))
            .collect(),
        first: pane.cursor.first(),
        total: all.len(),
        selected,
        history: history(source, chosen.as_deref(), parts.history.height.into()),
        detail,
        chosen,
    }
}

/// The column beside the one that is chosen; none is the whole row.
pub(super) fn move_to(nodes: &[String], chosen: Option<&str>, by: isize) -> Option<String> {
    let at = chosen.and_then(|chosen| nodes.iter().position(|n| n == chosen));
    let next = match at {
        None if by > 0 => Some(0),
        None => None,
        Some(at) => at.checked_add_signed(by).map(|next| next.min(nodes.len() - 1)),
    };
    next.and_then(|i| nodes.get(i)).cloned()
}

/// So many exchanges as rows; more than a screen has are as many as fit.
pub(crate) fn rows_of(exchanges: usize) -> u16 {
    u16::try_from(exchanges).unwrap_or(u16::MAX)
}

/// What happened to an exchange, as far as it fits.
fn history(source: Source<'_>, exchange: Option<&str>, rows: usize) -> Vec<(String, String, String)> {
    if rows == 0 {
        return Vec::new();
    }
    let events = source.cluster.events.newest_first();
    let on_it = events
        .filter(|(_, e)| Some(e.subject.as_str()) == exchange)
        .take(rows);
    on_it
        .map(|(key, e)| {
            (
                clock(key.unix_ms),
                key.node.clone(),
                format!("{}: {}", e.kind, e.text),
            )
        })
        .collect()
}

/// The opinions as a table.
pub fn table(source: Source<'_>, pane: &mut Pane) -> Table {
    let lines = facts::leaders(source.cluster, source.now)
        .iter()
        .map(line)
        .collect();
    let sort = Some(Sort {
        column: 0,
        descending: false,
    });
    Table::new(OPINIONS, lines, &pane.filter, sort, &mut pane.cursor, usize::MAX)
}

/// Role of a node for an exchange: glyph, word and tone.
#[must_use]
pub fn role(f: &LeaderFact) -> (&'static str, &'static str, Tone) {
    // What a silent node said last is no opinion it holds now.
    if f.stale_ms.is_some() {
        return match f.role {
            "owner" | "owner-no-lease" => ("◌", "was owner", Tone::Dim),
            "router" => ("◌", "was router", Tone::Dim),
            _ => ("◌", "unknown", Tone::Dim),
        };
    }
    match f.role {
        "owner" if f.split => ("!", "SPLIT", Tone::Bad),
        "owner" if f.moving_to.is_some() => ("⇄", "moving", Tone::Warn),
        "owner" => ("●", "owner", Tone::Good),
        "owner-no-lease" => ("◐", "no lease", Tone::Warn),
        "router" if f.believed_owner.is_none() => ("✖", "nobody", Tone::Bad),
        "router" => ("→", "routes", Tone::Plain),
        raw => ("?", raw, Tone::Dim),
    }
}

/// A table that is only looked at.
fn still(columns: &[Column], lines: Vec<Line>, height: usize) -> Table {
    let all = squall_filter::Filter::default();
    let mut table = Table::new(columns, lines, &all, None, &mut Cursor::default(), height);
    table.selected = None;
    table
}

fn registry(nodes: &[NodeFact], height: usize) -> Table {
    let line = |n: &NodeFact| {
        let up = n.state == State::Up;
        let leads = n.role == "leader";
        let role = match (leads, n.quorum) {
            _ if !up => Cell::new(format!("◌ {}", n.role)),
            (true, true) => Cell::new("★ leader").tone(Tone::Strong),
            (true, false) => Cell::new("☆ leader").tone(Tone::Warn),
            _ => Cell::new(format!("  {}", n.role)),
        };
        let follows = n.meta_leader.clone().map_or_else(
            || Cell::new("nobody").tone(Tone::Bad),
            |l| Cell::new(l).tone(Tone::Accent),
        );
        let quorum = match (up, n.quorum) {
            (false, _) => Cell::new("? stale"),
            (true, true) => Cell::new("✔ held").tone(Tone::Good),
            (true, false) => Cell::new("✖ lost").tone(Tone::Bad),
        };
        let stale = n
            .stale_ms
            .map(|ms| format!(" {}", millis(ms)))
            .unwrap_or_default();
        Line {
            id: RowId::Node(n.name.clone()),
            cells: vec![
                Cell::new(n.name.clone()).tone(Tone::Accent),
                role,
                follows,
                Cell::new(n.term.to_string()),
                Cell::new(n.revision.to_string()),
                Cell::new(if up {
                    n.revision_lag.to_string()
                } else {
                    "–".to_owned()
                })
                .tone(if n.revision_lag > 0 {
                    Tone::Warn
                } else {
                    Tone::Plain
                }),
                quorum,
                Cell::new(if n.lease_left_ms > 0 {
                    millis(n.lease_left_ms)
                } else {
                    "–".to_owned()
                }),
                Cell::new(format!("{}{stale}", super::overview::state_word(n).1)),
            ],
            dim: !up,
        }
    };
    still(REGISTRY, nodes.iter().map(line).collect(), height)
}

fn line(f: &LeaderFact) -> Line {
    let (glyph, word, tone) = role(f);
    let dash = || "–".to_owned();
    Line {
        id: RowId::Exchange(f.exchange.clone()),
        cells: vec![
            Cell::new(f.exchange.clone()).tone(Tone::Accent),
            Cell::new(f.node.clone()),
            Cell::new(format!("{glyph} {word}")).tone(tone).word(word),
            Cell::number(f.epoch as f64, f.epoch.to_string()),
            Cell::new(f.leader.clone().unwrap_or_else(dash)),
            match &f.believed_owner {
                Some(owner) => Cell::new(owner.clone()),
                None => Cell::new("refuses").tone(Tone::Warn),
            },
            Cell::new(if f.believed_by.is_empty() {
                dash()
            } else {
                f.believed_by.join(" ")
            }),
            if f.lease_left_ms > 0 {
                Cell::number(f.lease_left_ms as f64, millis(f.lease_left_ms))
            } else {
                Cell::unknown("–")
            },
            Cell::new(
                f.stale_ms
                    .map(|ms| format!("stale {}", millis(ms)))
                    .unwrap_or_default(),
            ),
        ],
        dim: f.stale_ms.is_some(),
    }
}
