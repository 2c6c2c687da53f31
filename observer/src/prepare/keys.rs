//! What the keys of views can do now: the one answer that the dispatch obeys, and that the last line and the help page show, so that
//! none of them promises what another one does not keep.
//!
//! What does not live here: which keys those are (`keymap`), and doing it (`update`).

use crate::keymap::{Action, Context, Keymap};
use crate::model::{Model, Overlay, Screen};
use crate::prepare::question::Asked;
use crate::prepare::{self, Body};
use crate::question::running;
use crate::table::RowId;

/// A hint in the last line: keys and a word.
pub type Hint = (String, &'static str);

/// Why a decision leads to no trace.
pub const NOT_TRACED: &str = "It was not traced: nodes trace a share of all requests (--trace-ratio).";
const NO_ROW: &str = "No row is selected.";
const READ_ONLY: &str = "This observer only watches: start it, and the nodes, with --chaos to break things.";
const HALT_ELSEWHERE: &str = "This observer only watches. squall chaos halt ends all faults.";
const UNLOCK_ELSEWHERE: &str =
    "This observer only watches. squall chaos unlock --reason WHY lets faults act after a halt.";
const NO_SCENARIO: &str = "Scenarios are run from the Chaos view: select one there.";
const NOW: &str = "This is now: nothing comes after it.";

/// Where the viewer is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Rows,
    Page,
    Trace,
}

fn at(model: &Model) -> At {
    match (&model.page, &model.prepared.body) {
        (Some(_), Body::Waterfall(_)) => At::Trace,
        (Some(_), _) => At::Page,
        (None, _) => At::Rows,
    }
}

/// The word for what an action does now, empty for the usual one; or why it does nothing.
///
/// # Errors
/// In words why not.
pub fn offer(model: &Model, action: Action) -> Result<&'static str, String> {
    let refused = |why: &str| Err(why.to_owned());
    let at = at(model);
    match action {
        Action::Open => open(model, at),
        Action::Close => close(model),
        Action::Filter | Action::FilterOut if at == At::Trace => {
            refused("The spans of one trace are not filtered; / searches the list of traces.")
        }
        Action::Filter | Action::FilterOut if at == At::Page => {
            refused("A page is not filtered, its view is: go back first.")
        }
        Action::SortLeft | Action::SortRight | Action::SortInvert => sort(model, at),
        Action::Totals => totals(model, at),
        Action::Left | Action::Right => sideways(model, at, action),
        Action::Owner | Action::Users | Action::Traces | Action::Copy => of_row(model, at, action),
        Action::Chaos | Action::HaltAll | Action::Run | Action::Stop | Action::Unlock
            if model.replay.is_some() =>
        {
            refused("What is recorded cannot be broken, nor ended.")
        }
        Action::HaltAll if !model.console => refused(HALT_ELSEWHERE),
        Action::Unlock if !model.console => refused(UNLOCK_ELSEWHERE),
        Action::Chaos | Action::Run | Action::Stop if !model.console => refused(READ_ONLY),
        Action::Run => run(model),
        Action::Stop if model.board().and_then(running).is_none() => refused("No scenario runs now."),
        Action::Chaos => chaos(model),
        Action::Paint if !model.console => refused(READ_ONLY),
        Action::Paint if model.screen != Screen::Mesh || at != At::Rows => {
            refused("Links are painted in the Mesh.")
        }
        Action::Paint if model.pane().totals => refused("Links are painted in the matrix: w shows it."),
        Action::Down if at == At::Page => Ok(if leads(model) { "choose" } else { "scroll" }),
        Action::Freeze => Ok(freeze(model)),
        Action::StepOn if model.replay.as_ref().is_some_and(|replay| replay.paused) => Ok(""),
        Action::StepOn | Action::EventOn if !model.is_back() => refused(NOW),
        Action::Live if !model.is_back() => refused("This is the newest there is."),
        Action::Faster | Action::Slower if model.replay.is_none() => {
            refused("Only a recording can be played faster: squall observe --replay FILE")
        }
        _ => Ok(""),
    }
}

fn open(model: &Model, at: At) -> Result<&'static str, String> {
    let chosen = model.page.as_ref().and_then(|page| page.chosen.as_ref());
    match (at, chosen) {
        (At::Rows, _) if model.pane().cursor.id.is_none() => Err(NO_ROW.to_owned()),
        (At::Rows, _) => Ok("open"),
        (At::Trace, _) => Ok("fold"),
        (At::Page, Some(RowId::Decision(of))) if of.trace.is_none() => Err(NOT_TRACED.to_owned()),
        (At::Page, Some(RowId::Decision(_))) => Ok("its trace"),
        (At::Page, Some(_)) => Ok("open"),
        (At::Page, None) if leads(model) => {
            Err("Nothing is chosen: up and down choose lines that lead on.".to_owned())
        }
        (At::Page, None) => Err("Nothing on this page leads on.".to_owned()),
    }
}

fn leads(model: &Model) -> bool {
    matches!(&model.prepared.body, Body::Page(v) if !v.leads.is_empty())
}

fn close(model: &Model) -> Result<&'static str, String> {
    let filtered = !model.pane().filter_text.is_empty();
    match model.back.last() {
        Some(place) if model.page.is_none() && model.pane().filter_text != place.arrived => Ok("filter off"),
        Some(_) => Ok("back"),
        None if model.page.is_some() => Ok("back"),
        None if filtered => Ok("all rows"),
        None => Err("There is nothing to leave here; q quits.".to_owned()),
    }
}

fn sort(model: &Model, at: At) -> Result<&'static str, String> {
    match (at, prepare::columns(model.screen).1) {
        (At::Rows, Some(_)) => Ok("sort"),
        (At::Rows, None) => Err(format!("{} has an order of its own.", model.screen.title())),
        (At::Page | At::Trace, _) => Err("A page has no order to choose.".to_owned()),
    }
}

fn totals(model: &Model, at: At) -> Result<&'static str, String> {
    let totals = model.pane().totals;
    match (at, model.screen) {
        (At::Rows, Screen::Overview | Screen::Exchanges | Screen::Processes) if totals => Ok("rates"),
        (At::Rows, Screen::Overview | Screen::Exchanges | Screen::Processes) => Ok("totals"),
        (At::Rows, Screen::Mesh) if totals => Ok("matrix"),
        (At::Rows, Screen::Mesh) => Ok("graph"),
        _ => Err("There are no rates here to turn into totals.".to_owned()),
    }
}

fn sideways(model: &Model, at: At, action: Action) -> Result<&'static str, String> {
    let last = prepare::overview::load::STEPS.len() - 1;
    let charted = matches!(&model.prepared.body, Body::Overview(v) if v.charted);
    match (at, model.screen) {
        (At::Rows, Screen::Overview) if !charted => Err("There is no room for charts here.".to_owned()),
        (At::Rows, Screen::Overview) if action == Action::Left && model.pane().zoom >= last => {
            Err("The charts show the last ten minutes: no more is kept.".to_owned())
        }
        (At::Rows, Screen::Overview) if action == Action::Right && model.pane().zoom == 0 => {
            Err("One column a second is as close as it gets.".to_owned())
        }
        (At::Rows, Screen::Overview) => Ok(""),
        (At::Trace, _) | (At::Rows, Screen::Mesh | Screen::Leaders) => Ok(""),
        (At::Rows, Screen::Chaos) if lists(model) > 1 => Ok(""),
        (At::Rows, Screen::Chaos) => Err("There is one list here; < and > sort it.".to_owned()),
        (At::Page, _) => Err("There is nothing beside a page.".to_owned()),
        (At::Rows, _) => Err("Rows have no cells to choose here; < and > sort.".to_owned()),
    }
}

fn of_row(model: &Model, at: At, action: Action) -> Result<&'static str, String> {
    let chosen = model.page.as_ref().and_then(|page| page.chosen.as_ref());
    match (action, chosen.or(model.selected())) {
        (_, None) => Err(NO_ROW.to_owned()),
        (Action::Copy, Some(_)) => Ok(""),
        (_, Some(RowId::Invariants)) => Err("The invariants are of the whole cluster.".to_owned()),
        (_, Some(RowId::Scenario(_))) => Err("A scenario is about the whole cluster.".to_owned()),
        (Action::Users, Some(RowId::Trace(_) | RowId::Span(..))) => {
            Err("o leads to what the selected span is about.".to_owned())
        }
        (Action::Traces, Some(RowId::Trace(_) | RowId::Span(..))) => Err("These are the traces.".to_owned()),
        (Action::Traces, Some(RowId::Decision(of))) if of.trace.is_none() => Err(NOT_TRACED.to_owned()),
        (Action::Traces, Some(RowId::Decision(_))) => Ok("its trace"),
        (Action::Traces, Some(_)) if at == At::Page => Ok("traces"),
        (Action::Owner, Some(_)) if at == At::Trace => Ok("to its row"),
        _ => Ok(""),
    }
}

fn chaos(model: &Model) -> Result<&'static str, String> {
    match model.selected() {
        None => Err(NO_ROW.to_owned()),
        Some(RowId::Trace(_) | RowId::Span(..)) => {
            Err("A trace cannot be broken; o leads to what it is about.".to_owned())
        }
        Some(RowId::Invariants) => {
            Err("Invariants are not broken by hand; x breaks what is selected in another view.".to_owned())
        }
        Some(RowId::Scenario(_)) => Err(format!("{} runs the scenario.", keys_of(model, Action::Run))),
        Some(_) => Ok(""),
    }
}

/// The lists of the Chaos view that have rows.
fn lists(model: &Model) -> usize {
    match &model.prepared.body {
        Body::Chaos(v) => v.groups.len(),
        _ => 0,
    }
}

fn run(model: &Model) -> Result<&'static str, String> {
    let Some(RowId::Scenario(name)) = model.selected() else {
        return Err(NO_SCENARIO.to_owned());
    };
    let board = model.board();
    if let Some(run) = board.and_then(running) {
        let stop = keys_of(model, Action::Stop);
        return Err(format!("{} runs now; {stop} ends it.", run.scenario));
    }
    let mut offered = board.iter().flat_map(|board| &board.scenarios);
    if offered.any(|scenario| scenario.name == *name) {
        Ok("")
    } else {
        Err("It is not offered any more.".to_owned())
    }
}

/// The keys of an action, or its name for the palette where it has none.
fn keys_of(model: &Model, action: Action) -> String {
    let keys = model.keymap.labels(&[action]);
    if keys.is_empty() {
        format!(":{}", action.name())
    } else {
        keys
    }
}

fn freeze(model: &Model) -> &'static str {
    match (&model.replay, model.is_back()) {
        (Some(replay), _) if replay.paused => "play",
        (Some(_), _) => "stand still",
        (None, true) => "live",
        (None, false) => "freeze",
    }
}

/// What the last line offers where the viewer is.
#[must_use]
pub fn hints(model: &Model, context: Context) -> Vec<Hint> {
    let keymap: &Keymap = &model.keymap;
    if context == Context::Question && !model.prepared.asked.as_ref().is_some_and(Asked::scrolls) {
        return keymap
            .hints(context)
            .filter(|(_, word)| *word != "scroll")
            .collect();
    }
    if context != Context::Main {
        return keymap.hints(context).collect();
    }
    let mut hints: Vec<Hint> = Vec::new();
    for binding in keymap.bindings() {
        if !binding.contexts.contains(&Context::Main) || binding.keys.is_empty() {
            continue;
        }
        let Ok(now) = offer(model, binding.action) else {
            continue;
        };
        let word = if now.is_empty() { binding.hint } else { now };
        if word.is_empty() || !is_shown(model, binding.action) {
            continue;
        }
        let label = match binding.action {
            Action::SortLeft => keymap.labels(&[Action::SortLeft, Action::SortRight, Action::SortInvert]),
            Action::Down => keymap.firsts(&[Action::Up, Action::Down]),
            _ => binding.label.clone(),
        };
        hints.push((label, word));
    }
    // How to leave a page matters more than what else it offers.
    let back = hints.iter().position(|(_, word)| *word == "back");
    if let Some(back) = back {
        hints[..=back].rotate_right(1);
    }
    hints
}

/// Whether the last line has a place for it: what everybody knows, and what hardly matters, stands on the help page alone.
fn is_shown(model: &Model, action: Action) -> bool {
    let at = at(model);
    match action {
        Action::SortRight | Action::SortInvert | Action::Up => false,
        Action::Down => at == At::Page && (leads(model) || scrolls(model)),
        Action::HaltAll => model.prepared.head.faults.count > 0,
        Action::Stop | Action::Unlock => model.screen == Screen::Chaos,
        Action::Totals | Action::Paint => model.screen == Screen::Mesh,
        Action::Traces => at == At::Page && model.screen != Screen::Traces && !on_decision(model),
        Action::Owner => at == At::Trace,
        _ => true,
    }
}

/// A decision is chosen: Enter leads to its trace as well.
fn on_decision(model: &Model) -> bool {
    let chosen = model.page.as_ref().and_then(|page| page.chosen.as_ref());
    matches!(chosen, Some(RowId::Decision(_)))
}

fn scrolls(model: &Model) -> bool {
    matches!(&model.prepared.body, Body::Page(v) if v.total > v.lines.len())
}

/// The help page: what there is to say, and the part that shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Help {
    /// The lines that show: keys, what they do, and whether they do it here; then signs and what they mean.
    pub lines: Vec<(String, &'static str, bool)>,
    /// The first row that shows.
    pub first: usize,
    /// Rows that show.
    pub rows: usize,
    /// Rows there are.
    pub total: usize,
    /// Columns they stand in.
    pub columns: usize,
}

/// Rows of the help page that are no lines of it: its borders.
pub const HELP_EXTRA: u16 = 2;

/// Signs, and what they mean.
const SIGNS: [(&str, &str); 14] = [
    ("✔", "holds, passed"),
    ("●", "fine"),
    ("○", "said long ago"),
    ("◐", "overdue, no lease"),
    ("✖", "down, none"),
    ("⊘", "refused"),
    ("★", "leads"),
    ("☆", "says so, hears no majority"),
    ("→", "routes"),
    ("!", "two owners"),
    ("✶", "fault"),
    ("▲", "failover or notice"),
    ("▶", "selected"),
    ("–", "not known, not measured"),
];

/// Columns of the help page where it has two of them.
pub const HELP_WIDTH: u16 = 80;

/// The help page for a room of that size.
#[must_use]
pub fn help(model: &Model, first: usize, width: u16, height: u16) -> Help {
    let keymap: &Keymap = &model.keymap;
    let here = |action: Action| offer(model, action).is_ok();
    let mut all: Vec<(String, &'static str, bool)> = Vec::new();
    for binding in keymap.bindings() {
        if binding.contexts.contains(&Context::Main) && !binding.keys.is_empty() {
            all.push((binding.label.clone(), binding.help, here(binding.action)));
        }
    }
    all.extend(SIGNS.map(|(sign, meaning)| (sign.to_owned(), meaning, true)));
    let columns = if width >= HELP_WIDTH { 2 } else { 1 };
    let total = all.len().div_ceil(columns);
    let rows = usize::from(height.saturating_sub(HELP_EXTRA)).clamp(1, total.max(1));
    let first = first.min(total - rows);
    let shown = |i: usize| (first..first + rows).contains(&(i % total.max(1)));
    let mut i = 0;
    all.retain(|_| {
        i += 1;
        shown(i - 1)
    });
    Help {
        lines: all,
        first,
        rows,
        total,
        columns,
    }
}

/// What stands over the view, where it is made of more than the model says.
pub(super) fn overlays(model: &Model, width: u16, height: u16) -> (Option<Help>, Vec<crate::palette::Entry>) {
    match &model.overlay {
        Overlay::Help(first) => (Some(help(model, *first, width, height)), Vec::new()),
        Overlay::Palette(typed) => (None, typed.fitting(&model.keymap)),
        _ => (None, Vec::new()),
    }
}
