//! The Chaos view: what must hold, what was broken, the faults that act, the scenarios and their runs. One selection goes through all
//! of its lists.
//!
//! What does not live here: the faults themselves (`faults`), where the parts stand (`layout/chaos`), and the pages that Enter opens
//! (`page/invariants`, `page/scenario`).

pub mod bar;
pub mod scenarios;

use ratatui::layout::{Position, Rect};

use super::faults;
use super::page::Piece;
use super::{Source, Told};
use crate::console::Lock;
use crate::layout::chaos::{ChaosParts, Group, Wanted, chaos};
use crate::layout::lines;
use crate::model::Pane;
use crate::table::{Cursor, RowId, Table};
use crate::units::millis;
use bar::Bar;
use scenarios::{ScenarioLine, Side};

/// What is drawn of the view.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BoardView {
    /// Where everything stands.
    pub parts: ChaosParts,
    /// What must hold.
    pub bar: Bar,
    /// It is selected.
    pub bar_selected: bool,
    /// What was broken: the lines of it, and whether they are all that there is to say.
    pub breach: (Vec<Vec<Piece>>, bool),
    /// Faults that act.
    pub table: Table,
    /// What to say where there is none.
    pub why_none: String,
    /// That no new one acts, and what to do about it.
    pub lock: Option<String>,
    /// Faults that began and ended lately, and what came of them: time, node, words.
    pub lately: Vec<(String, String, String)>,
    /// The scenarios that show.
    pub scenarios: Vec<ScenarioLine>,
    /// Which of them are those, in words.
    pub scenarios_note: String,
    /// What there is to say beside them.
    pub sides: Vec<Side>,
    /// How old what the console says is, in words.
    pub told: String,
    /// The first row of each list that has any.
    pub groups: Vec<(Group, RowId)>,
    /// The list in which something is selected.
    pub on: Group,
}

impl BoardView {
    /// The row at a place of the screen.
    #[must_use]
    pub fn at(&self, place: Position) -> Option<RowId> {
        match self.parts.at(place)? {
            (Group::Bar, _) => self.first(Group::Bar).cloned(),
            (Group::Faults, line) => self.table.lines.get(line).map(|line| line.id.clone()),
            (Group::Scenarios, line) => self
                .scenarios
                .get(line)
                .map(|line| RowId::Scenario(line.name.clone())),
        }
    }

    /// The first row of the list before or after the one in which something is selected.
    #[must_use]
    pub fn beside(&self, by: isize) -> Option<&RowId> {
        let at = self.groups.iter().position(|(group, _)| *group == self.on)?;
        let next = at.checked_add_signed(by)?;
        self.groups.get(next).map(|(_, id)| id)
    }

    fn first(&self, wanted: Group) -> Option<&RowId> {
        let mut of = self.groups.iter();
        of.find(|(group, _)| *group == wanted).map(|(_, id)| id)
    }
}

/// The list that a row is in.
fn group_of(id: &RowId) -> Group {
    match id {
        RowId::Invariants => Group::Bar,
        RowId::Scenario(_) => Group::Scenarios,
        _ => Group::Faults,
    }
}

/// How old what the console says is, in words.
#[must_use]
pub(super) fn age(told: Told<'_>) -> String {
    match told.age_ms {
        None => String::new(),
        Some(ms) if ms < 10_000 => format!("{}.{}s old", ms / 1000, ms % 1000 / 100),
        Some(ms) => format!("{} old", millis(ms)),
    }
}

fn unlocks(lock: &Lock) -> String {
    format!(
        "no fault acts, and no new one on {}: {}",
        lock.nodes.join(", "),
        lock.reason
    )
}

/// Prepares the view.
pub fn prepare(source: Source<'_>, pane: &mut Pane) -> BoardView {
    let body = source.body;
    let names = scenarios::names(source.told);
    let mut table = all_faults(source, pane);
    let judged = source.told.and_then(|told| told.board.bar.as_ref());
    let mut ids: Vec<RowId> = Vec::new();
    ids.extend(judged.map(|_| RowId::Invariants));
    ids.extend(table.lines.iter().map(|line| line.id.clone()));
    ids.extend(names.iter().map(|name| RowId::Scenario((*name).to_owned())));
    let selected = select(&mut pane.cursor, &ids, body);
    let on = selected.map_or(Group::default(), |i| group_of(&ids[i]));
    let mut groups: Vec<(Group, RowId)> = Vec::new();
    for id in &ids {
        if groups.last().is_none_or(|(last, _)| *last != group_of(id)) {
            groups.push((group_of(id), id.clone()));
        }
    }
    let bar = bar::prepare(source);
    let breach = bar::breach(source.told, body.width);
    let rows = |all: usize| u16::try_from(all).unwrap_or(u16::MAX);
    let widest = names.iter().map(|name| scenarios::width(source.told, name));
    let parts = chaos(
        body,
        Wanted {
            bar: rows(bar.rows.len()),
            breach: rows(breach.len()),
            faults: rows(table.total),
            scenarios: rows(names.len()),
            named: widest.max().unwrap_or(0),
            both: source.told.is_some_and(|told| told.board.run.is_some()),
            on,
        },
    );
    let id = selected.map(|i| &ids[i]);
    cut(&mut table, id, lines(parts.table));
    let (shown, note) = scenarios::window(source.told, &names, id, parts.scenarios);
    let room = usize::from(parts.breach.height.saturating_sub(2));
    let whole = breach.len() <= room;
    let lock = source.told.and_then(|told| told.board.lock.as_ref());
    BoardView {
        bar,
        bar_selected: id == Some(&RowId::Invariants),
        breach: (breach.into_iter().take(room).collect(), whole),
        table,
        why_none: lock.map_or_else(|| faults::why_none(source).to_owned(), unlocks),
        lock: lock.map(|lock| format!("locked by {}: U unlocks", lock.by)),
        lately: faults::lately(source, parts.lately.height.into()),
        scenarios: shown,
        scenarios_note: note,
        sides: scenarios::sides(source.told, id, &parts),
        told: source.told.map(age).unwrap_or_default(),
        groups,
        on,
        parts,
    }
}

/// All faults that the filter lets through, in their order.
fn all_faults(source: Source<'_>, pane: &mut Pane) -> Table {
    let cursor = std::mem::take(&mut pane.cursor);
    let table = faults::table(source, pane, usize::MAX);
    pane.cursor = cursor;
    table
}

/// Moves the selection among the rows of all lists; the index of the selected one.
fn select(cursor: &mut Cursor, ids: &[RowId], body: Rect) -> Option<usize> {
    let found = cursor
        .id
        .as_ref()
        .and_then(|id| ids.iter().position(|known| known == id));
    let selected = cursor.place(ids.len(), found, usize::from(body.height / 2));
    cursor.id = selected.map(|i| ids[i].clone());
    selected
}

/// Cuts the faults to the lines that show: the selected one among them.
fn cut(table: &mut Table, selected: Option<&RowId>, height: usize) {
    let of = |line: &crate::table::Line| Some(&line.id) == selected;
    table.selected = table.lines.iter().position(of);
    table.first = first(table.selected, height);
    let lines = std::mem::take(&mut table.lines).into_iter();
    table.lines = lines.skip(table.first).take(height).collect();
}

/// The first of the lines that show, so that the selected one is among them.
fn first(selected: Option<usize>, height: usize) -> usize {
    selected.map_or(0, |at| (at + 1).saturating_sub(height.max(1)))
}
