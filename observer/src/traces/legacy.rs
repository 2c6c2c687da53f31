//! Spans as Jaeger's older query API has them: `data[]` of traces with `spans` and `processes`, times in microseconds.
//!
//! What does not live here: asking (`jaeger`), and the newer form (`json`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::json::{JsonError, number};
use super::span::{self, Attribute, Origin, Room, Span, SpanEvent, SpanId, SpanKind, TraceId};
use crate::clean;

/// The spans of an answer.
///
/// # Errors
/// [`JsonError`] when it has no traces.
pub fn spans(body: &[u8]) -> Result<Vec<Span>, JsonError> {
    let answer: Value = serde_json::from_slice(body).map_err(|e| JsonError::Syntax(e.to_string()))?;
    let traces = match &answer["data"] {
        Value::Array(traces) => traces.as_slice(),
        // What Go writes for a list that is empty.
        Value::Null if answer.get("data").is_some() => &[],
        _ => return Err(JsonError::Form("'data'")),
    };
    Ok(traces.iter().flat_map(trace).collect())
}

fn trace(of: &Value) -> Vec<Span> {
    let processes = of["processes"].as_object();
    let origins: BTreeMap<&str, Arc<Origin>> = processes
        .into_iter()
        .flatten()
        .map(|(id, process)| (id.as_str(), origin(process)))
        .collect();
    let spans = list(&of["spans"]);
    spans.iter().filter_map(|of| span(of, &origins)).collect()
}

fn origin(process: &Value) -> Arc<Origin> {
    let mut attributes = tags(&mut Room::default(), &process["tags"]);
    let service = process["serviceName"].as_str().unwrap_or_default();
    attributes.push(("service.name".to_owned(), service.to_owned()));
    span::origin(attributes)
}

fn span(of: &Value, origins: &BTreeMap<&str, Arc<Origin>>) -> Option<Span> {
    let text = |key: &str| of[key].as_str().unwrap_or_default();
    let trace = TraceId::parse(text("traceID"))?;
    let mut room = Room::default();
    let mut attributes = tags(&mut room, &of["tags"]);
    let mut events = Vec::new();
    for log in list(&of["logs"]) {
        if room.event(events.len()) {
            events.push(event(&mut room, log));
        }
    }
    let mut take = |key: &str| {
        let at = attributes.iter().position(|(k, _)| k == key)?;
        Some(attributes.remove(at).1)
    };
    let (kind, failed, code) = (take("span.kind"), take("error"), take("otel.status_code"));
    let message = take("otel.status_description").unwrap_or_default();
    let start_us = number(of.get("startTime"));
    Some(Span {
        end_ns: start_us
            .saturating_add(number(of.get("duration")))
            .saturating_mul(1000),
        start_ns: start_us.saturating_mul(1000),
        kind: kind.map(|word| SpanKind::named(&word)).unwrap_or_default(),
        error: failed.as_deref() == Some("true") || code.as_deref() == Some("ERROR"),
        message,
        origin: origins.get(text("processID")).cloned().unwrap_or_default(),
        attributes,
        events,
        left_out: room.left_out,
        ..Span::new(
            trace,
            SpanId::parse(text("spanID"))?,
            parent(of),
            text("operationName"),
        )
    })
}

/// The span it is a child of, or follows, in the same trace.
fn parent(of: &Value) -> Option<SpanId> {
    let own = of["traceID"].as_str();
    let references = list(&of["references"]).iter();
    let mut here = references.filter(|r| r["traceID"].as_str() == own);
    let all: Vec<&Value> = here.by_ref().collect();
    let child = all.iter().find(|r| r["refType"] == "CHILD_OF").or(all.first());
    let id = child.map_or(&of["parentSpanID"], |r| &r["spanID"]);
    SpanId::parse(id.as_str()?)
}

fn event(room: &mut Room, log: &Value) -> SpanEvent {
    let mut attributes = tags(room, &log["fields"]);
    let at = attributes.iter().position(|(key, _)| key == "event");
    SpanEvent {
        unix_ns: number(log.get("timestamp")).saturating_mul(1000),
        name: at.map_or_else(|| "log".to_owned(), |at| clean::name(&attributes.remove(at).1)),
        attributes,
    }
}

fn tags(room: &mut Room, of: &Value) -> Vec<Attribute> {
    let pairs = list(of)
        .iter()
        .filter_map(|tag| Some((tag["key"].as_str()?, &tag["value"])));
    room.attributes(pairs, |value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

fn list(of: &Value) -> &[Value] {
    of.as_array().map_or(&[], Vec::as_slice)
}
