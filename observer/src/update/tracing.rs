//! Between traces and the rows of other views: the traces of a row, and the row that a span is about.
//!
//! What does not live here: the page of a trace (`prepare::waterfall`).

use super::{going, notice, typing};
use crate::model::{Model, Screen};
use crate::table::RowId;
use crate::traces::Span;

/// The traces that have to do with the selected row.
pub(super) fn of_row(model: &mut Model) {
    let filter = match model.selected().cloned() {
        Some(RowId::Exchange(name)) => format!("exchange = \"{name}\""),
        Some(RowId::Node(node) | RowId::Fault(node, _)) => format!("node = \"{node}\""),
        Some(RowId::Event(key)) => format!("node = \"{}\"", key.node),
        Some(RowId::Link(from, to)) => format!("node = \"{from}\" and node = \"{to}\""),
        Some(RowId::Process(_, pid)) => format!("\"{pid}\""),
        Some(RowId::Trace(_) | RowId::Span(..)) => {
            return notice(model, "Traces", "These are the traces.", false);
        }
        None => return notice(model, "Traces", "No row is selected.", false),
    };
    model.open(Screen::Traces);
    typing::set_filter(model, filter);
}

/// Folds or unfolds the selected line of a trace's page.
pub(super) fn toggle(model: &mut Model) {
    if matches!(model.page.as_ref().map(|p| &p.id), Some(RowId::Trace(_))) {
        model.pane_mut().waterfall.toggle();
    }
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
        None => notice(
            model,
            "Owner",
            "It names no exchange, no process and no node.",
            false,
        ),
    }
}

/// The row that a span is about.
fn about(span: &Span) -> Option<(Screen, RowId)> {
    let handler = span.attribute("squall.handler").and(span.pid());
    if let Some(pid) = handler {
        let inner = pid.trim_start_matches('<');
        let node = inner
            .rsplit_once('.')
            .map_or(span.origin.node.as_str(), |(node, _)| node);
        let row = RowId::Process(node.to_owned(), pid.to_owned());
        return Some((Screen::Processes, row));
    }
    if let Some(exchange) = span.exchange() {
        return Some((Screen::Exchanges, RowId::Exchange(exchange.to_owned())));
    }
    let node = &span.origin.node;
    (!node.is_empty()).then(|| (Screen::Overview, RowId::Node(node.clone())))
}
