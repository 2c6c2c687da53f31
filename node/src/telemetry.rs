//! Traces over OTLP/gRPC, and the log. Spans end in a bounded queue that a thread of its own sends away: a collector
//! that is absent or slow costs spans, never traffic.
//!
//! What does not live here: which spans there are (`spans`, `faults` and `failover` of the node), and metrics
//! (`metrics::push`).

pub mod batch;
pub mod collector;
pub mod context;
pub mod logging;
pub mod sampling;
pub mod settings;
pub mod told;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use squall_kernel::id::{Incarnation, NodeName};
use tokio::runtime::Builder;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

pub use batch::ExportFigures;
pub use sampling::{Sampling, Share};
pub use settings::{Otlp, SettingsError};
pub use told::{SpanSink, Told};

use batch::{Batcher, Figures, Worker};

/// Target of the spans that become traces; all else is for the log.
pub const TRACE_TARGET: &str = "squall::trace";
/// How long a stop waits for spans to be sent.
pub const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);
/// Whose spans they are, as instrumentation goes.
pub(crate) const SCOPE: &str = "squall";

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The thread or its runtime cannot be had.
    #[error("the telemetry thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Traces of one node.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
    sink: SpanSink,
    worker: Worker,
    figures: Arc<Figures>,
}

impl Telemetry {
    /// Starts sending spans of the node `name` to the collector. Does not wait for it.
    ///
    /// # Errors
    /// [`TelemetryError`] when there is no thread to be had.
    pub fn start(otlp: &Otlp, name: &NodeName, incarnation: Incarnation) -> Result<Self, TelemetryError> {
        Self::start_as(otlp, of_node(&otlp.service_name, name, incarnation))
    }

    /// The same of a program that is no node.
    ///
    /// # Errors
    /// [`TelemetryError`], likewise.
    pub fn start_beside(otlp: &Otlp) -> Result<Self, TelemetryError> {
        Self::start_as(otlp, resource(&otlp.service_name, []))
    }

    fn start_as(otlp: &Otlp, resource: Resource) -> Result<Self, TelemetryError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let figures = Arc::new(Figures::default());
        let (batcher, worker) = Batcher::start(runtime, &otlp.collector, &resource, Arc::clone(&figures))?;
        let sink = SpanSink::to(&batcher, Sampling::of(otlp.share, otlp.follows));
        // Who gets this far was drawn before.
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource)
            .with_span_processor(batcher)
            .build();
        Ok(Self {
            provider,
            sink,
            worker,
            figures,
        })
    }

    /// The layer that turns the spans of messages into OpenTelemetry's.
    #[must_use]
    pub fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        // What the layer can tell beyond the spans' own fields is about our source code, not about the message.
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SCOPE))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(|metadata| metadata.target() == TRACE_TARGET))
            .boxed()
    }

    /// The way to the collector for spans that are made when they are over: see [`told`].
    #[must_use]
    pub fn sink(&self) -> SpanSink {
        self.sink.clone()
    }

    /// What became of the spans.
    #[must_use]
    pub fn figures(&self) -> ExportFigures {
        self.figures.read()
    }

    /// Sends what is queued and stops; takes at most [`FLUSH_TIME_MAX`], whatever the collector does. Blocks.
    pub fn shutdown(self) -> ExportFigures {
        self.worker.stop(FLUSH_TIME_MAX);
        self.figures.read()
    }
}

/// Who a run of a node is, whatever it tells a collector: traces and metrics say the same.
pub(crate) fn of_node(service_name: &str, name: &NodeName, incarnation: Incarnation) -> Resource {
    let run = KeyValue::new(
        "squall.incarnation",
        i64::try_from(incarnation.0).unwrap_or(i64::MAX),
    );
    let instance = KeyValue::new("service.instance.id", name.to_string());
    resource(service_name, [instance, run])
}

fn resource(service_name: &str, who: impl IntoIterator<Item = KeyValue>) -> Resource {
    Resource::builder()
        .with_service_name(service_name.to_owned())
        .with_attributes(who)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

#[cfg(test)]
#[path = "telemetry_test.rs"]
mod tests;
