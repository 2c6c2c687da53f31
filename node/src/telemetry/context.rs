//! Trace contexts: between kernel frames, W3C `traceparent` and OpenTelemetry. What does not live here: carrying
//! them.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use squall_kernel::frame::TraceContext;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Why a text is no `traceparent` (W3C Trace Context, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a W3C traceparent: 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, in lower case, not all zero"
)]
pub struct BadTraceparent;

/// The context of a frame as the parent of spans made here; without one, a context without a span.
#[must_use]
pub fn context_from(trace: TraceContext) -> Context {
    let context = Context::new();
    if !trace.is_some() {
        return context;
    }
    context.with_remote_span_context(SpanContext::new(
        TraceId::from_bytes(trace.trace_id),
        SpanId::from_bytes(trace.span_id),
        flags(trace.sampled),
        true,
        TraceState::NONE,
    ))
}

/// What a frame must carry so that spans made from it are children of this one.
#[must_use]
pub fn trace_context(span: &SpanContext) -> TraceContext {
    if !span.is_valid() {
        return TraceContext::default();
    }
    TraceContext {
        trace_id: span.trace_id().to_bytes(),
        span_id: span.span_id().to_bytes(),
        sampled: span.is_sampled(),
    }
}

/// The same for a span of `tracing`, where the layer of OpenTelemetry is installed; without one, none.
#[must_use]
pub fn trace_context_of(span: &tracing::Span) -> TraceContext {
    trace_context(span.context().span().span_context())
}

/// Reads a `traceparent`; versions above 00 may have more fields at the end.
///
/// # Errors
/// [`BadTraceparent`].
pub fn parse_traceparent(text: &str) -> Result<TraceContext, BadTraceparent> {
    let mut fields = text.split('-');
    let mut field = || fields.next().ok_or(BadTraceparent);
    let [version] = bytes(field()?)?;
    let trace = TraceContext {
        trace_id: bytes(field()?)?,
        span_id: bytes(field()?)?,
        sampled: bytes::<1>(field()?)?[0] & 1 != 0,
    };
    let more = fields.next().is_some();
    let zero = trace.trace_id == [0; 16] || trace.span_id == [0; 8];
    if version == 0xff || (version == 0 && more) || zero {
        Err(BadTraceparent)
    } else {
        Ok(trace)
    }
}

/// The id of a trace as tools for traces write it; none without one.
#[must_use]
pub fn trace_id_text(trace: &TraceContext) -> Option<String> {
    trace
        .is_some()
        .then(|| format!("{:032x}", u128::from_be_bytes(trace.trace_id)))
}

/// Writes a `traceparent`; empty without a context.
#[must_use]
pub fn format_traceparent(trace: TraceContext) -> String {
    if !trace.is_some() {
        return String::new();
    }
    let (trace_id, span_id) = (
        u128::from_be_bytes(trace.trace_id),
        u64::from_be_bytes(trace.span_id),
    );
    format!(
        "00-{trace_id:032x}-{span_id:016x}-{:02x}",
        u8::from(trace.sampled)
    )
}

fn flags(sampled: bool) -> TraceFlags {
    if sampled {
        TraceFlags::SAMPLED
    } else {
        TraceFlags::default()
    }
}

/// Exactly `N` bytes in lower-case hexadecimal.
fn bytes<const N: usize>(text: &str) -> Result<[u8; N], BadTraceparent> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return Err(BadTraceparent);
    }
    let mut out = [0; N];
    for (byte, digits) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = (digit(digits[0])? << 4) | digit(digits[1])?;
    }
    Ok(out)
}

fn digit(c: u8) -> Result<u8, BadTraceparent> {
    match c {
        b'0'..=b'9' => Ok(c - b'0'),
        b'a'..=b'f' => Ok(c - b'a' + 10),
        _ => Err(BadTraceparent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_survives_the_way_through_frames_and_opentelemetry() {
        let trace = parse_traceparent(GOOD).expect("the example of the W3C");
        assert!(trace.sampled);
        assert_eq!(format_traceparent(trace), GOOD);
        let context = context_from(trace);
        assert!(context.span().span_context().is_remote());
        assert_eq!(trace_context(context.span().span_context()), trace);
        let unsampled = TraceContext {
            sampled: false,
            ..trace
        };
        assert!(format_traceparent(unsampled).ends_with("-00"));
    }

    #[test]
    fn no_context_stays_none() {
        let none = TraceContext::default();
        assert_eq!(format_traceparent(none), "");
        assert!(!context_from(none).span().span_context().is_valid());
        assert_eq!(trace_context_of(&tracing::Span::none()), none);
    }

    #[test]
    fn garbage_is_refused() {
        for text in [
            "",
            "00",
            "garbage",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse_traceparent(text), Err(BadTraceparent), "{text:?}");
        }
        assert!(parse_traceparent(&GOOD.replacen("00", "01", 1)).is_ok());
        assert!(parse_traceparent(&format!("{}-more", GOOD.replacen("00", "01", 1))).is_ok());
    }
}
