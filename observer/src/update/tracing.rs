//! Between traces and the rows of other views: the traces of a row, and the row that a span is about.
//!
//! What does not live here: the page of a trace (`prepare::waterfall`).

use super::{going, tell};
use crate::model::{Cmd, Model, Page, Screen};
use crate::prepare::keys::NOT_TRACED;
use crate::table::{Decision, RowId};
use crate::traces::Span;

/// The traces that have to do with the selected row; of a decision its own.
pub(super) fn of_row(model: &mut Model) -> Vec<Cmd> {
    let chosen = model.page.as_ref().and_then(|page| page.chosen.clone());
    if let Some(RowId::Decision(decision)) = chosen {
        return of_decision(model, &decision);
    }
    let filter = match model.selected().cloned() {
        Some(RowId::Exchange(name)) => format!("exchange = \"{name}\""),
        Some(RowId::Node(node)) => format!("node = \"{node}\""),
        // The fault's own span and those of what it touched, on whatever node.
        Some(RowId::Fault(_, id)) => format!("\"{id}\""),
        Some(RowId::Event(key)) => format!("node = \"{}\"", key.node),
        Some(RowId::Link(from, to)) => format!("node = \"{from}\" and node = \"{to}\""),
        Some(RowId::Process(_, pid)) => format!("\"{pid}\""),
        Some(
            RowId::Trace(_) | RowId::Span(..) | RowId::Decision(_) | RowId::Invariants | RowId::Scenario(_),
        )
        | None => return Vec::new(),
    };
    going::filtered(model, Screen::Traces, filter);
    Vec::new()
}

/// The trace of a decision, from where there is a way back to it.
pub(super) fn of_decision(model: &mut Model, decision: &Decision) -> Vec<Cmd> {
    let Some(trace) = decision.trace else {
        tell(model, NOT_TRACED);
        return Vec::new();
    };
    model.visit(Screen::Traces, Some(Page::new(RowId::Trace(trace))));
    vec![Cmd::Trace(trace)]
}

/// Folds or unfolds the selected line of a trace's page; false where there is none.
pub(super) fn toggle(model: &mut Model) -> bool {
    let is_trace = matches!(model.page.as_ref().map(|p| &p.id), Some(RowId::Trace(_)));
    if is_trace {
        model.pane_mut().waterfall.toggle();
    }
    is_trace
}

/// To the row that the selected span is about: the process that handled, the exchange, or the node. Of a trace in the list
/// it is the span that it begins with.
pub(super) fn to_row(model: &mut Model) {
    let Some(RowId::Trace(id)) = model.selected().cloned() else {
        return;
    };
    let trace = model.traces.store.get(id);
    let span = match (&model.page, trace) {
        (Some(_), Some(trace)) => {
            let selected = model.pane().waterfall.span();
            selected.and_then(|id| trace.spans.get(&id))
        }
        (None, Some(trace)) => trace.first(),
        (_, None) => None,
    };
    match span.and_then(about) {
        Some((screen, row)) => going::select(model, screen, row),
        None => tell(model, "It names no exchange, no process and no node."),
    }
}

/// The row that a span is about.
fn about(span: &Span) -> Option<(Screen, RowId)> {
    let handler = span.attribute("squall.handler").and(span.pid());
    if let Some(row) = handler.and_then(RowId::of_pid) {
        return Some((Screen::Processes, row));
    }
    if let Some(exchange) = span.exchange() {
        return Some((Screen::Exchanges, RowId::Exchange(exchange.to_owned())));
    }
    let node = &span.origin.node;
    (!node.is_empty()).then(|| (Screen::Overview, RowId::Node(node.clone())))
}
