//! Spans as OTLP's JSON has them: the answers of Jaeger's `api_v3`. Read leniently, since gateways of different versions write
//! ids, numbers and words of closed lists in different ways.
//!
//! What does not live here: asking (`jaeger`), and the older form (`legacy`).

use std::sync::Arc;

use base64::Engine as _;
use serde_json::Value;

use super::otlp::STATUS_ERROR;
use super::span::{self, Attribute, Origin, Room, Span, SpanEvent, SpanId, SpanKind, TraceId};
use crate::clean;

/// What an answer is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON at all.
    #[error("the answer is no JSON: {0}")]
    Syntax(String),
    /// JSON of another form.
    #[error("the answer has no {0}")]
    Form(&'static str),
}

/// The spans of an answer: one object with `resourceSpans`, or several behind each other, bare or as `result`.
///
/// # Errors
/// [`JsonError`] when there is none.
pub fn spans(body: &[u8]) -> Result<Vec<Span>, JsonError> {
    let mut all = Vec::new();
    let mut found = false;
    for object in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
        let object = object.map_err(|error| JsonError::Syntax(error.to_string()))?;
        let data = object.get("result").unwrap_or(&object);
        let Some(resources) = field(data, "resourceSpans", "resource_spans").and_then(Value::as_array) else {
            // No traces at all is an empty object.
            found |= data.as_object().is_some_and(serde_json::Map::is_empty);
            continue;
        };
        found = true;
        for of_resource in resources {
            let origin = span::origin(attributes(&mut Room::default(), &of_resource["resource"]));
            let scopes = list(field(of_resource, "scopeSpans", "scope_spans"));
            let spans = scopes.iter().flat_map(|scope| list(scope.get("spans")));
            all.extend(spans.filter_map(|span| self::span(span, &origin)));
        }
    }
    if found {
        Ok(all)
    } else {
        Err(JsonError::Form("'resourceSpans'"))
    }
}

fn span(of: &Value, origin: &Arc<Origin>) -> Option<Span> {
    let id = |camel, snake| {
        field(of, camel, snake)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let trace = TraceId::parse(&hex(id("traceId", "trace_id"), 32))?;
    let own = SpanId::parse(&hex(id("spanId", "span_id"), 16))?;
    let parent = SpanId::parse(&hex(id("parentSpanId", "parent_span_id"), 16));
    let mut room = Room::default();
    let attributes = attributes(&mut room, of);
    let mut events = Vec::new();
    for event in list(of.get("events")) {
        if room.event(events.len()) {
            events.push(SpanEvent {
                unix_ns: number(field(event, "timeUnixNano", "time_unix_nano")),
                name: clean::name(event["name"].as_str().unwrap_or_default()),
                attributes: self::attributes(&mut room, event),
            });
        }
    }
    let status = &of["status"];
    Some(Span {
        end_ns: number(field(of, "endTimeUnixNano", "end_time_unix_nano")),
        start_ns: number(field(of, "startTimeUnixNano", "start_time_unix_nano")),
        kind: match &of["kind"] {
            Value::String(word) => SpanKind::named(word),
            other => SpanKind::from_otlp(other.as_i64().unwrap_or(0)),
        },
        error: status["code"] == STATUS_ERROR || status["code"] == "STATUS_CODE_ERROR",
        message: clean::text(status["message"].as_str().unwrap_or_default()),
        origin: Arc::clone(origin),
        attributes,
        events,
        left_out: room.left_out,
        ..Span::new(trace, own, parent, of["name"].as_str().unwrap_or_default())
    })
}

fn field<'a>(of: &'a Value, camel: &str, snake: &str) -> Option<&'a Value> {
    of.get(camel).or_else(|| of.get(snake))
}

fn list(of: Option<&Value>) -> &[Value] {
    of.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A number, which in JSON may be a text: 64 bits are more than a double holds.
pub(super) fn number(of: Option<&Value>) -> u64 {
    match of {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(other) => other.as_u64().unwrap_or(0),
        None => 0,
    }
}

/// An id of so many digits; some gateways write bytes as base64.
fn hex(id: &str, digits: usize) -> String {
    if id.len() == digits || !id.ends_with('=') {
        return id.to_owned();
    }
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(id)
        .unwrap_or_default();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(room: &mut Room, of: &Value) -> Vec<Attribute> {
    let all = list(of.get("attributes"));
    let pairs = all.iter().filter_map(|a| Some((a["key"].as_str()?, &a["value"])));
    room.attributes(pairs, value)
}

/// A value of OTLP's `AnyValue`.
fn value(of: &Value) -> String {
    let inner = of.as_object().and_then(|object| object.values().next());
    match inner {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
#[path = "json_test.rs"]
mod tests;
