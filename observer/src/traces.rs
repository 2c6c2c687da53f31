//! Traces: what spans there are, kept within bounds, put together to trees, searched; and where they come from.
//!
//! What does not live here: their view (`prepare::traces`, `prepare::waterfall`) and the spans that nodes make.

pub mod critical;
pub mod forward;
mod http;
pub mod jaeger;
pub mod json;
pub mod legacy;
pub mod otlp;
pub mod receiver;
pub mod search;
pub mod source;
pub mod span;
pub mod store;
pub mod tree;

pub use source::{SourceStatus, Sources, TraceFeed};
pub use span::{Span, SpanId, TraceId};
pub use store::{Store, Trace};

/// What is known of traces, and of where it comes from.
#[derive(Debug, Clone, Default)]
pub struct Traces {
    /// The spans.
    pub store: Store,
    /// The sources; none when the observer was started without.
    pub sources: Vec<SourceStatus>,
}
