//! From the selected row to what belongs to it: its owner, those that use it, a row by its name; and its name to the
//! clipboard.
//!
//! What does not live here: how the selection follows its row (`table`).

use super::{notice, tell, tracing, typing};
use crate::console::{Invariant, Verdict};
use crate::facts;
use crate::model::{Cmd, Model, Page, Screen};
use crate::prepare;
use crate::table::RowId;

/// The page of the selected row, or of what is chosen on a page.
pub(super) fn open(model: &mut Model) -> Vec<Cmd> {
    if tracing::toggle(model) {
        return Vec::new();
    }
    let id = match &model.page {
        Some(page) => page.chosen.clone(),
        None => model.pane().cursor.id.clone(),
    };
    match id {
        Some(RowId::Decision(decision)) => tracing::of_decision(model, &decision),
        Some(id) => {
            let trace = match id {
                RowId::Trace(trace) => Some(Cmd::Trace(trace)),
                _ => None,
            };
            model.visit(model.screen, Some(Page::new(id)));
            trace.into_iter().collect()
        }
        None => Vec::new(),
    }
}

/// Back to where the viewer came from, or else all rows again.
pub(super) fn back(model: &mut Model) {
    let Some(place) = model.back.last() else {
        model.page = None;
        return typing::clear_filter(model);
    };
    let typed = model.page.is_none() && model.pane().filter_text != place.arrived;
    let filter = if typed { &place.arrived } else { &place.filter };
    let filter = filter.clone();
    typing::set_filter(model, filter);
    if !typed && let Some(place) = model.back.pop() {
        (model.screen, model.page) = (place.screen, place.page);
    }
}

/// Goes on to a view that shows only what a filter wants.
pub(super) fn filtered(model: &mut Model, screen: Screen, filter: String) {
    model.visit(screen, None);
    typing::set_filter(model, filter.clone());
    if let Some(place) = model.back.last_mut() {
        place.arrived = filter;
    }
}

/// The name of the selected row, for the terminal's clipboard.
pub(super) fn copy(model: &mut Model) -> Vec<Cmd> {
    let chosen = model.page.as_ref().and_then(|page| page.chosen.as_ref());
    let name = chosen.or(model.selected()).map(|id| match id {
        RowId::Invariants => judged(model),
        id => name_of(id),
    });
    name.map(Cmd::Copy).into_iter().collect()
}

/// What was broken, in full, for somebody to be told; else how many hold.
fn judged(model: &Model) -> String {
    let bar = match model.board().and_then(|board| board.bar.as_ref()) {
        Some(Ok(bar)) => bar,
        Some(Err(why)) => return why.clone(),
        None => return String::new(),
    };
    let broken = bar.invariants.iter().filter_map(|i| match &i.verdict {
        Verdict::Broken { text, first, second } => {
            let first = first
                .as_ref()
                .map(|first| format!("{first}\n"))
                .unwrap_or_default();
            Some(format!("{} broken: {text}\n{first}{second}\n", i.id))
        }
        Verdict::Holds | Verdict::Unknown(_) => None,
    });
    let broken: String = broken.collect();
    if broken.is_empty() {
        let holds = |i: &&Invariant| i.verdict == Verdict::Holds;
        let hold = bar.invariants.iter().filter(holds).count();
        return format!("{hold} of {} invariants hold", bar.invariants.len());
    }
    broken
}

fn name_of(id: &RowId) -> String {
    match id {
        RowId::Node(name) | RowId::Exchange(name) | RowId::Process(_, name) | RowId::Fault(_, name) => {
            name.clone()
        }
        RowId::Link(from, to) => format!("{from} {to}"),
        RowId::Event(key) => format!("{} {} {}", key.node, key.incarnation, key.seq),
        RowId::Trace(trace) | RowId::Span(trace, _) => trace.to_string(),
        RowId::Decision(of) => match of.trace {
            Some(trace) => trace.to_string(),
            None => format!("{} {}", of.origin, of.message),
        },
        RowId::Scenario(name) => name.clone(),
        RowId::Invariants => "invariants".to_owned(),
    }
}

/// To the node that owns the selected exchange, or that a process, a fault or an event is on.
pub(super) fn owner(model: &mut Model) {
    let Some(id) = model.selected().cloned() else {
        return;
    };
    let node = match id {
        RowId::Exchange(name) => {
            let (cluster, now) = model.shown();
            let all = facts::exchanges(cluster, now);
            let owner = all.into_iter().find(|e| e.name == name).and_then(|e| e.owner);
            match owner {
                Some(owner) => owner,
                None => return tell(model, "Nobody owns it now."),
            }
        }
        RowId::Node(node) | RowId::Process(node, _) | RowId::Fault(node, _) | RowId::Link(node, _) => node,
        RowId::Event(key) => key.node,
        RowId::Trace(_) | RowId::Span(..) => return tracing::to_row(model),
        RowId::Decision(_) | RowId::Invariants | RowId::Scenario(_) => return,
    };
    select(model, Screen::Overview, RowId::Node(node));
}

/// To the processes that belong to the selected row.
pub(super) fn users(model: &mut Model) {
    let filter = match model.selected().cloned() {
        Some(RowId::Exchange(name)) => format!("name = \"{name}\""),
        Some(RowId::Node(node) | RowId::Fault(node, _) | RowId::Link(node, _)) => {
            format!("node = \"{node}\"")
        }
        Some(RowId::Process(_, pid)) => pid,
        Some(RowId::Event(key)) => format!("node = \"{}\"", key.node),
        Some(
            RowId::Trace(_) | RowId::Span(..) | RowId::Decision(_) | RowId::Invariants | RowId::Scenario(_),
        )
        | None => return,
    };
    filtered(model, Screen::Processes, filter);
}

/// Selects the row of that name in the view, or the first whose name contains it.
pub(super) fn to(model: &mut Model, name: &str) {
    let (cluster, now) = model.shown();
    let mut pane = crate::model::Pane {
        filter: model.pane().filter.clone(),
        ..Default::default()
    };
    let table = if model.screen == Screen::Traces {
        prepare::traces::whole_table(&model.traces, now, &mut pane)
    } else {
        prepare::whole_table(cluster, now, model.screen, &mut pane)
    };
    let scenarios: Vec<RowId> = match model.board() {
        Some(board) if model.screen == Screen::Chaos => {
            let names = board.scenarios.iter().map(|scenario| scenario.name.clone());
            names.map(RowId::Scenario).collect()
        }
        _ => Vec::new(),
    };
    let ids = || table.lines.iter().map(|line| &line.id).chain(&scenarios);
    let wanted = name.to_lowercase();
    let exact = ids().find(|id| name_of(id).eq_ignore_ascii_case(name));
    let found = exact.or_else(|| ids().find(|id| name_of(id).to_lowercase().contains(&wanted)));
    match found.cloned() {
        Some(id) => model.pane_mut().cursor.hold(id),
        None => notice(
            model,
            "Goto",
            &format!("There is no row named '{name}' in this view."),
            true,
        ),
    }
}

/// Goes on to a row of a view; a filter that would hide it goes.
pub(super) fn select(model: &mut Model, screen: Screen, id: RowId) {
    filtered(model, screen, String::new());
    model.pane_mut().cursor.hold(id);
}
