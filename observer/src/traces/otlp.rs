//! Spans as OTLP's protocol buffers have them.
//!
//! What does not live here: taking them off the wire (`receiver`), and OTLP's JSON (`json`).

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1 as wire;

use super::span::{self, Attribute, Origin, Room, Span, SpanEvent, SpanId, SpanKind, TraceId};
use crate::clean;
use crate::limits::TEXT_CHARS_MAX;

/// How deep lists within values are written out.
const DEPTH_MAX: usize = 4;
/// OTLP's number for a span that failed.
pub(super) const STATUS_ERROR: i64 = 2;

/// How many spans a request holds.
#[must_use]
pub fn count(request: &ExportTraceServiceRequest) -> usize {
    let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

/// The spans of a request; those without a valid id are left out.
#[must_use]
pub fn spans(request: &ExportTraceServiceRequest) -> Vec<Span> {
    let mut all = Vec::new();
    for of_resource in &request.resource_spans {
        let attributes = of_resource.resource.as_ref().map_or(&[][..], |r| &r.attributes);
        let origin = span::origin(self::attributes(&mut Room::default(), attributes));
        let spans = of_resource.scope_spans.iter().flat_map(|scope| &scope.spans);
        all.extend(spans.filter_map(|span| self::span(span, &origin)));
    }
    all
}

fn span(of: &wire::Span, origin: &Arc<Origin>) -> Option<Span> {
    let trace = u128::from_be_bytes(of.trace_id.as_slice().try_into().ok()?);
    let id = span_id(&of.span_id)?;
    let mut room = Room::default();
    let status = of.status.as_ref();
    let mut events = Vec::new();
    let attributes = attributes(&mut room, &of.attributes);
    for event in &of.events {
        if room.event(events.len()) {
            events.push(SpanEvent {
                unix_ns: event.time_unix_nano,
                name: clean::name(&event.name),
                attributes: self::attributes(&mut room, &event.attributes),
            });
        }
    }
    let dropped = u64::from(of.dropped_attributes_count) + u64::from(of.dropped_events_count);
    Some(Span {
        end_ns: of.end_time_unix_nano,
        start_ns: of.start_time_unix_nano,
        kind: SpanKind::from_otlp(of.kind.into()),
        error: status.is_some_and(|s| i64::from(s.code) == STATUS_ERROR),
        message: status.map(|s| clean::text(&s.message)).unwrap_or_default(),
        origin: Arc::clone(origin),
        attributes,
        events,
        left_out: room.left_out + dropped,
        ..Span::new(
            (trace != 0).then_some(TraceId(trace))?,
            id,
            span_id(&of.parent_span_id),
            &of.name,
        )
    })
}

fn span_id(bytes: &[u8]) -> Option<SpanId> {
    let id = u64::from_be_bytes(bytes.try_into().ok()?);
    (id != 0).then_some(SpanId(id))
}

fn attributes(room: &mut Room, all: &[KeyValue]) -> Vec<Attribute> {
    room.attributes(all.iter().map(|a| (a.key.as_str(), a.value.as_ref())), |value| {
        let mut out = String::new();
        write(&mut out, value, 0);
        out
    })
}

/// Writes a value until it is longer than what is kept of it.
fn write(out: &mut String, value: Option<&AnyValue>, depth: usize) {
    // A character has at most four bytes.
    let room = (4 * TEXT_CHARS_MAX + 4).saturating_sub(out.len());
    match value.and_then(|v| v.value.as_ref()) {
        _ if room == 0 => {}
        None => {}
        Some(Value::StringValue(text)) => out.extend(text.chars().take(TEXT_CHARS_MAX + 1)),
        Some(Value::BoolValue(value)) => out.push_str(if *value { "true" } else { "false" }),
        Some(Value::IntValue(value)) => out.push_str(&value.to_string()),
        Some(Value::DoubleValue(value)) => out.push_str(&value.to_string()),
        Some(Value::BytesValue(bytes)) => {
            out.extend(bytes.iter().take(room).map(|byte| format!("{byte:02x}")));
        }
        Some(Value::ArrayValue(_) | Value::KvlistValue(_)) if depth == DEPTH_MAX => out.push('…'),
        Some(Value::ArrayValue(list)) => {
            let items = list.values.iter().take(TEXT_CHARS_MAX);
            list_of(out, items, |out, item| write(out, Some(item), depth + 1));
        }
        Some(Value::KvlistValue(list)) => {
            list_of(out, list.values.iter().take(TEXT_CHARS_MAX), |out, pair| {
                out.extend(pair.key.chars().take(TEXT_CHARS_MAX));
                out.push('=');
                write(out, pair.value.as_ref(), depth + 1);
            });
        }
        Some(Value::StringValueStrindex(_)) => out.push('…'),
    }
}

fn list_of<T>(out: &mut String, items: impl Iterator<Item = T>, mut item: impl FnMut(&mut String, T)) {
    out.push('[');
    for (i, value) in items.enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        if out.len() > 4 * TEXT_CHARS_MAX {
            break;
        }
        item(out, value);
    }
    out.push(']');
}
