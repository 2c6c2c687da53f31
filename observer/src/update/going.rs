//! From the selected row to what belongs to it: its owner, those that use it, a row by its name; and its name to the
//! clipboard.
//!
//! What does not live here: how the selection follows its row (`table`).

use super::{notice, tracing, typing};
use crate::facts;
use crate::model::{Cmd, Model, Page, Screen};
use crate::prepare;
use crate::table::{Motion, RowId};

/// The page of the selected row.
pub(super) fn open(model: &mut Model) -> Vec<Cmd> {
    if model.page.is_some() {
        tracing::toggle(model);
        return Vec::new();
    }
    let id = model.pane().cursor.id.clone();
    match id.clone() {
        Some(id) => {
            model.page = Some(Page {
                id,
                first: 0,
                motion: Motion::Stay,
            });
        }
        None => notice(model, "Details", "No row is selected.", false),
    }
    match id {
        Some(RowId::Trace(trace)) => vec![Cmd::Trace(trace)],
        _ => Vec::new(),
    }
}

/// The name of the selected row, for the terminal's clipboard.
pub(super) fn copy(model: &mut Model) -> Vec<Cmd> {
    match model.selected().map(name_of) {
        Some(name) => vec![Cmd::Copy(name)],
        None => {
            notice(model, "Copy", "No row is selected.", false);
            Vec::new()
        }
    }
}

fn name_of(id: &RowId) -> String {
    match id {
        RowId::Node(name) | RowId::Exchange(name) | RowId::Process(_, name) | RowId::Fault(_, name) => {
            name.clone()
        }
        RowId::Link(from, to) => format!("{from} {to}"),
        RowId::Event(key) => format!("{} {} {}", key.node, key.incarnation, key.seq),
        RowId::Trace(trace) | RowId::Span(trace, _) => trace.to_string(),
    }
}

/// To the node that owns the selected exchange, or that a process, a fault or an event is on.
pub(super) fn owner(model: &mut Model) {
    let Some(id) = model.selected().cloned() else {
        return notice(model, "Owner", "No row is selected.", false);
    };
    let node = match id {
        RowId::Exchange(name) => {
            let (cluster, now) = model.shown();
            let all = facts::exchanges(cluster, now);
            let owner = all.into_iter().find(|e| e.name == name).and_then(|e| e.owner);
            match owner {
                Some(owner) => owner,
                None => return notice(model, "Owner", "Nobody owns it now.", false),
            }
        }
        RowId::Node(node) | RowId::Process(node, _) | RowId::Fault(node, _) | RowId::Link(node, _) => node,
        RowId::Event(key) => key.node,
        RowId::Trace(_) | RowId::Span(..) => return tracing::to_row(model),
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
        Some(RowId::Trace(_) | RowId::Span(..)) => {
            return notice(
                model,
                "Users",
                "o leads to what the selected span is about.",
                false,
            );
        }
        None => return notice(model, "Users", "No row is selected.", false),
    };
    model.open(Screen::Processes);
    typing::set_filter(model, filter);
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
    let ids = || table.lines.iter().map(|line| &line.id);
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

pub(super) fn select(model: &mut Model, screen: Screen, id: RowId) {
    model.open(screen);
    model.pane_mut().cursor.hold(id);
}
