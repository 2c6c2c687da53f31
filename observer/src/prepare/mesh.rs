//! The Mesh: a matrix of directed links, and the selected one in full. A→B and B→A are different cells.

mod cell;
mod graph;

use std::collections::{BTreeMap, BTreeSet};

use ratatui::layout::Rect;

use super::{Detail, Source};
use crate::cluster::{Cluster, State};
use crate::facts::{self, LinkFact};
use crate::layout;
use crate::layout::grid::{Grid, Wanted};
use crate::measure::width;
use crate::model::Pane;
use crate::table::{self, Cell, Column, Cursor, Line, Motion, RowId, Sort, Table};
use crate::theme::Tone;
use crate::units::{bytes, micros, millis};

/// Columns of the headless table.
pub(super) const COLUMNS: &[Column] = &[
    Column::words("from", 4, 24, 0),
    Column::words("to", 4, 24, 0),
    Column::words("state", 10, 14, 0),
    Column::number("p50", 7, 0).micros(),
    Column::number("p99", 7, 0).micros(),
    Column::number("phi", 6, 0),
    Column::number("queue", 6, 0).bytes(),
    Column::number("heard", 7, 0).millis(),
    Column::words("fault", 5, 60, 0),
];

/// The Mesh.
#[derive(Debug, Clone, PartialEq)]
pub struct Mesh {
    /// Nodes in the order of rows and columns, with their states.
    pub nodes: Vec<(String, State)>,
    /// Where the matrix stands.
    pub grid: Grid,
    /// Rows of cells, each as lines; without lines where there is no link. Those that do not show have none, too.
    pub cells: Vec<Vec<Lines>>,
    /// What the cells say, in a few words.
    pub legend: &'static str,
    /// Rows and columns of the painted links.
    pub painted: Vec<(usize, usize)>,
    /// Row and column of the selected link.
    pub selected: Option<(usize, usize)>,
    /// The selected link in full.
    pub detail: Option<Detail>,
    /// The graph alone.
    pub alone: bool,
    /// The graph's links, each direction for itself.
    pub ways: Vec<Way>,
    /// Pairs whose directions differ, in words.
    pub uneven: Vec<(String, Tone)>,
}

/// Lines of a cell.
pub type Lines = Vec<(String, Tone)>;

/// A direction of a link in the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// Who sends, by place.
    pub from: usize,
    /// Who receives.
    pub to: usize,
    /// How it stands.
    pub tone: Tone,
    /// Sign for that, where it is not as it should be.
    pub sign: Option<&'static str>,
    /// It is the selected one.
    pub selected: bool,
}

/// Narrowest column of the matrix: a glyph.
const CELL_MIN: u16 = 3;
/// Widest: everything, with air.
const CELL_MAX: u16 = 28;

/// Prepares the view.
pub fn prepare(source: Source<'_>, pane: &mut Pane, painted: &BTreeSet<(String, String)>) -> Mesh {
    let Source {
        cluster, now, body, ..
    } = source;
    let names = names(cluster);
    let links = facts::links(cluster, now);
    let by_ends: BTreeMap<(&str, &str), &LinkFact> = links
        .iter()
        .map(|l| ((l.from.as_str(), l.to.as_str()), l))
        .collect();
    let selected = select(&names, &mut pane.cursor);
    let parts = layout::mesh(body, pane.totals);
    let grid = grid(&names, parts.matrix, selected.unwrap_or_default());
    let size = grid.cell_size();
    let matches = |l: &LinkFact| table::wants(&pane.filter, COLUMNS, &line(&directed(l)));
    let link = |from: usize, to: usize| by_ends.get(&(names[from].as_str(), names[to].as_str())).copied();
    let cell = |from: usize, to: usize| match link(from, to).filter(|l| matches(l)) {
        Some(l) => cell::lines(l, size),
        None if from == to => vec![("—".to_owned(), Tone::Dim)],
        None => vec![("·".to_owned(), Tone::Dim)],
    };
    let all = 0..names.len();
    let cells = all
        .clone()
        .map(|from| all.clone().map(|to| cell(from, to)).collect());
    let pairs = all.clone().flat_map(|a| (0..a).map(move |b| (b, a)));
    let state = |n: &String| {
        cluster
            .nodes
            .get(n)
            .map_or(State::Down, |node| cluster.state(node, now))
    };
    Mesh {
        cells: cells.collect(),
        legend: cell::legend(size),
        ways: graph::ways(names.len(), &link, selected),
        uneven: pairs
            .filter_map(|(a, b)| graph::uneven(link(a, b)?, link(b, a)?))
            .collect(),
        detail: selected.map(|(f, t)| detail(&names[f], &names[t], link(f, t))),
        nodes: names.iter().map(|n| (n.clone(), state(n))).collect(),
        painted: painted
            .iter()
            .filter_map(|(from, to)| place_of(&names, from).zip(place_of(&names, to)))
            .collect(),
        alone: pane.totals,
        grid,
        selected,
    }
}

fn grid(names: &[String], matrix: Rect, selected: (usize, usize)) -> Grid {
    let widest = names.iter().map(|n| width(n)).max().unwrap_or(0);
    let wanted = Wanted {
        size: (names.len(), names.len()),
        names: widest.clamp(7, 14),
        width: (CELL_MIN, CELL_MAX),
        height: cell::HEIGHT,
        selected,
        first: None,
    };
    Grid::new(layout::inside(matrix), wanted)
}

/// The links as a table.
pub fn table(source: Source<'_>, pane: &mut Pane) -> Table {
    let lines = facts::links(source.cluster, source.now)
        .into_iter()
        .map(|l| line(&l))
        .collect();
    let sort = Some(Sort {
        column: 0,
        descending: false,
    });
    Table::new(COLUMNS, lines, &pane.filter, sort, &mut pane.cursor, usize::MAX)
}

/// Names of all ends of links: the nodes known, and peers that only others know.
#[must_use]
pub fn names(cluster: &Cluster) -> Vec<String> {
    let peers = cluster.nodes.values().flat_map(|n| n.links.keys());
    cluster
        .nodes
        .keys()
        .chain(peers)
        .cloned()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Moves the selection to the next column that is not the row's own.
pub fn move_to(names: &[String], cursor: &mut Cursor, by: isize) {
    let Some((from, to)) = place(names, cursor) else {
        return;
    };
    let mut next = to;
    loop {
        let Some(step) = next.checked_add_signed(by).filter(|n| *n < names.len()) else {
            return;
        };
        next = step;
        if next != from {
            break;
        }
    }
    cursor.id = Some(RowId::Link(names[from].clone(), names[next].clone()));
}

/// Makes the motion that was wished for, up and down, and says where the selection is.
fn select(names: &[String], cursor: &mut Cursor) -> Option<(usize, usize)> {
    let motion = std::mem::take(&mut cursor.motion);
    let (from, to) = place(names, cursor)?;
    let last = names.len() - 1;
    let (mut row, step) = match motion {
        Motion::Stay => (from, 0),
        Motion::By(by) | Motion::Scroll(by) | Motion::Pages(by) => {
            (from.saturating_add_signed(by).min(last), by.signum())
        }
        Motion::First => (0, 1),
        Motion::Last => (last, -1),
    };
    if row == to {
        // The diagonal is stepped over; at an edge the selection stays.
        row = row
            .checked_add_signed(step)
            .filter(|r| *r <= last)
            .unwrap_or(from);
    }
    cursor.id = Some(RowId::Link(names[row].clone(), names[to].clone()));
    Some((row, to))
}

fn place_of(names: &[String], name: &str) -> Option<usize> {
    names.iter().position(|known| known == name)
}

fn place(names: &[String], cursor: &Cursor) -> Option<(usize, usize)> {
    if names.len() < 2 {
        return None;
    }
    let at = |name: &String| place_of(names, name);
    match &cursor.id {
        Some(RowId::Link(from, to)) => at(from).zip(at(to)).or(Some((0, 1))),
        _ => Some((0, 1)),
    }
}

pub(super) fn glyph(state: &str) -> (&'static str, Tone) {
    match state {
        "up" => ("●", Tone::Good),
        "connecting" => ("◌", Tone::Warn),
        "suspect" => ("◐", Tone::Warn),
        "down" => ("✖", Tone::Bad),
        "refused" => ("⊘", Tone::Bad),
        _ => ("?", Tone::Dim),
    }
}

pub(super) fn phi(value: f64) -> String {
    match value {
        v if !v.is_finite() => "∞".to_owned(),
        v if v < 9.95 => format!("{v:.1}"),
        v if v < 999.5 => format!("{v:.0}"),
        _ => "999+".to_owned(),
    }
}

/// The record with what both ends say of the direction in place of what its sender says of the other end.
fn directed(l: &LinkFact) -> LinkFact {
    LinkFact {
        state: l.way,
        phi: l.way_phi.unwrap_or(f64::INFINITY),
        last_heard_ms: l.way_heard_ms.unwrap_or(u64::MAX),
        ..l.clone()
    }
}

/// How long ago the other end heard this one, in words; a dash while nobody says.
pub(super) fn heard(l: &LinkFact) -> String {
    l.way_heard_ms
        .map_or_else(|| "–".to_owned(), |ms| format!("{} ago", millis(ms)))
}

/// The suspicion of the other end.
pub(super) fn way_phi(l: &LinkFact) -> String {
    l.way_phi.map_or_else(|| "–".to_owned(), phi)
}

fn detail(from: &str, to: &str, link: Option<&LinkFact>) -> Detail {
    let title = format!("{from} → {to}");
    let Some(l) = link else {
        let none = vec![("", format!("{from} reports no link to {to}"), Tone::Dim)];
        return Detail {
            title,
            lines: vec![none],
        };
    };
    let (_, tone) = glyph(l.way);
    let stale = l
        .stale_ms
        .map(|ms| format!(", {from} stale {}", millis(ms)))
        .unwrap_or_default();
    let fault = match &l.fault {
        Some(fault) => (
            "fault",
            format!("{fault} · {} left", millis(l.fault_left_ms)),
            Tone::Warn,
        ),
        None => ("fault", "none".to_owned(), Tone::Dim),
    };
    let mut state = vec![
        ("state", format!("{}{stale}", l.way), tone),
        ("p50", micros(l.rtt_p50_us), Tone::Plain),
        ("p99", micros(l.rtt_p99_us), Tone::Plain),
        ("queue", bytes(l.queue_bytes), Tone::Plain),
    ];
    if let Some(why) = &l.why {
        state.push(("why", why.clone(), Tone::Bad));
    }
    let arrives = vec![
        fault,
        ("heard there", heard(l), Tone::Plain),
        ("phi", way_phi(l), Tone::Plain),
    ];
    let flow = vec![
        (
            "sent",
            format!("{} in {} frames", bytes(l.bytes_out), l.frames_out),
            Tone::Plain,
        ),
        ("connects", l.connects.to_string(), Tone::Plain),
    ];
    Detail {
        title,
        lines: vec![state, arrives, flow],
    }
}

fn line(l: &LinkFact) -> Line {
    let (glyph, tone) = glyph(l.state);
    let fault = l
        .fault
        .as_ref()
        .map_or_else(String::new, |f| format!("{f} ({})", millis(l.fault_left_ms)));
    Line {
        id: RowId::Link(l.from.clone(), l.to.clone()),
        cells: vec![
            Cell::new(l.from.clone()),
            Cell::new(l.to.clone()),
            Cell::new(format!("{glyph} {}", l.state)).tone(tone).word(l.state),
            Cell::number(l.rtt_p50_us as f64, micros(l.rtt_p50_us)),
            Cell::number(l.rtt_p99_us as f64, micros(l.rtt_p99_us)),
            Cell::number(l.phi, phi(l.phi)),
            Cell::number(l.queue_bytes as f64, bytes(l.queue_bytes)),
            Cell::number(l.last_heard_ms as f64, millis(l.last_heard_ms)),
            Cell::new(fault).tone(Tone::Warn),
        ],
        dim: l.stale_ms.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(moves: &[(char, isize)]) -> Option<(usize, usize)> {
        let names = ["a", "b", "c"].map(str::to_owned);
        let mut cursor = Cursor::default();
        let mut at = select(&names, &mut cursor);
        for (way, by) in moves {
            if *way == 'x' {
                move_to(&names, &mut cursor, *by);
            } else {
                cursor.motion = Motion::By(*by);
            }
            at = select(&names, &mut cursor);
        }
        at
    }

    #[test]
    fn the_selection_steps_over_the_diagonal() {
        assert_eq!(walk(&[]), Some((0, 1)));
        assert_eq!(walk(&[('y', 1)]), Some((2, 1)));
        assert_eq!(walk(&[('x', 1)]), Some((0, 2)));
        assert_eq!(walk(&[('x', -1)]), Some((0, 1)));
        assert_eq!(walk(&[('x', 1), ('y', 1), ('y', 1)]), Some((1, 2)));
    }

    #[test]
    fn one_node_has_no_link_to_select() {
        assert_eq!(select(&["a".to_owned()], &mut Cursor::default()), None);
    }
}
