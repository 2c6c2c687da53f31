//! The Mesh: a matrix of directed links, and the selected one in full. A→B and B→A are different cells.

use std::collections::{BTreeMap, BTreeSet};

use super::{Detail, Source};
use crate::cluster::{Cluster, State};
use crate::facts::{self, LinkFact};
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
    /// Rows of cells; none where there is no link.
    pub cells: Vec<Vec<Option<MeshCell>>>,
    /// Row and column of the selected link.
    pub selected: Option<(usize, usize)>,
    /// The selected link in full.
    pub detail: Option<Detail>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshCell {
    /// Glyph of the state.
    pub glyph: &'static str,
    /// Its tone.
    pub tone: Tone,
    /// Word for the state.
    pub word: &'static str,
    /// Median round trip.
    pub rtt: String,
    /// Suspicion.
    pub phi: String,
    /// A fault acts on it.
    pub fault: bool,
    /// What it says is old.
    pub stale: bool,
}

/// Prepares the view.
pub fn prepare(source: Source<'_>, pane: &mut Pane) -> Mesh {
    let Source { cluster, now, .. } = source;
    let names = names(cluster);
    let links = facts::links(cluster, now);
    let by_ends: BTreeMap<(&str, &str), &LinkFact> = links
        .iter()
        .map(|l| ((l.from.as_str(), l.to.as_str()), l))
        .collect();
    let matches = |l: &LinkFact| table::wants(&pane.filter, COLUMNS, &line(l));
    let cell = |from: &String, to: &String| {
        by_ends
            .get(&(from.as_str(), to.as_str()))
            .filter(|l| matches(l))
            .map(|l| mesh_cell(l))
    };
    let cells = names
        .iter()
        .map(|from| names.iter().map(|to| cell(from, to)).collect())
        .collect();
    let selected = select(&names, &mut pane.cursor);
    let chosen = selected.map(|(f, t)| (names[f].as_str(), names[t].as_str()));
    let state = |n: &String| {
        cluster
            .nodes
            .get(n)
            .map_or(State::Down, |node| cluster.state(node, now))
    };
    Mesh {
        cells,
        selected,
        detail: chosen.map(|(f, t)| detail(f, t, by_ends.get(&(f, t)).copied())),
        nodes: names.iter().map(|n| (n.clone(), state(n))).collect(),
    }
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
        Motion::By(by) | Motion::Pages(by) => (from.saturating_add_signed(by).min(last), by.signum()),
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

fn place(names: &[String], cursor: &Cursor) -> Option<(usize, usize)> {
    if names.len() < 2 {
        return None;
    }
    let at = |name: &String| names.iter().position(|n| n == name);
    match &cursor.id {
        Some(RowId::Link(from, to)) => at(from).zip(at(to)).or(Some((0, 1))),
        _ => Some((0, 1)),
    }
}

fn mesh_cell(l: &LinkFact) -> MeshCell {
    let (glyph, tone) = glyph(l.state);
    MeshCell {
        glyph: if l.fault.is_some() { "✶" } else { glyph },
        tone: if l.fault.is_some() { Tone::Warn } else { tone },
        word: l.state,
        rtt: micros(l.rtt_p50_us),
        phi: phi(l.phi),
        fault: l.fault.is_some(),
        stale: l.stale_ms.is_some(),
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

fn detail(from: &str, to: &str, link: Option<&LinkFact>) -> Detail {
    let title = format!("{from} → {to}");
    let Some(l) = link else {
        let none = vec![("", format!("{from} reports no link to {to}"), Tone::Dim)];
        return Detail {
            title,
            lines: vec![none],
        };
    };
    let (_, tone) = glyph(l.state);
    let stale = l
        .stale_ms
        .map(|ms| format!(" · stale {}", millis(ms)))
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
        ("state", format!("{}{stale}", l.state), tone),
        ("p50", micros(l.rtt_p50_us), Tone::Plain),
        ("p99", micros(l.rtt_p99_us), Tone::Plain),
        ("phi", phi(l.phi), Tone::Plain),
    ];
    if let Some(why) = &l.why {
        state.push(("why", why.clone(), Tone::Bad));
    }
    let flow = vec![
        ("heard", format!("{} ago", millis(l.last_heard_ms)), Tone::Plain),
        ("queue", bytes(l.queue_bytes), Tone::Plain),
        (
            "sent",
            format!("{} in {} frames", bytes(l.bytes_out), l.frames_out),
            Tone::Plain,
        ),
        ("connects", l.connects.to_string(), Tone::Plain),
    ];
    Detail {
        title,
        lines: vec![state, vec![fault], flow],
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
