//! Passes exports on to another collector, as they came. A collector that is slow or not there costs it spans, which are
//! counted, and nobody else anything.
//!
//! What does not live here: taking exports (`receiver`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::source::{SourceError, Tally};
use crate::limits::{FORWARD_BYTES_MAX, FORWARD_QUEUE};

/// An export that is not taken by then is given up.
const CALL_TIME_MAX: Duration = Duration::from_secs(5);

/// Where to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    url: String,
    endpoint: Endpoint,
}

impl Target {
    /// From `http://host:port` or `host:port`.
    pub(super) fn parse(url: &str) -> Result<Self, SourceError> {
        let wrong = |why: String| SourceError::Url {
            url: url.to_owned(),
            why,
        };
        let whole = match url.split_once("://") {
            None => format!("http://{url}"),
            Some(("http", _)) => url.to_owned(),
            Some(_) => return Err(wrong("only http:// is spoken to collectors".to_owned())),
        };
        let endpoint = Endpoint::from_shared(whole).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            url: url.to_owned(),
            endpoint: endpoint.timeout(CALL_TIME_MAX).connect_timeout(CALL_TIME_MAX),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// An export that waits.
struct Waiting {
    request: ExportTraceServiceRequest,
    spans: usize,
    bytes: usize,
}

/// The queue of exports.
#[derive(Debug)]
pub(super) struct Forward {
    queue: mpsc::Sender<Waiting>,
    bytes: Arc<AtomicUsize>,
    tally: Arc<Tally>,
}

impl Forward {
    /// Starts to pass on.
    pub(super) fn start(target: Target, tally: Arc<Tally>, tasks: &mut JoinSet<()>) -> Self {
        let (queue, waiting) = mpsc::channel(FORWARD_QUEUE);
        let bytes = Arc::new(AtomicUsize::new(0));
        tasks.spawn(pass_on(target, waiting, Arc::clone(&bytes), Arc::clone(&tally)));
        Self { queue, bytes, tally }
    }

    /// Takes an export of so many spans, if there is room.
    pub(super) fn offer(&self, request: ExportTraceServiceRequest, spans: usize) {
        let bytes = request.encoded_len();
        let before = self.bytes.fetch_add(bytes, Relaxed);
        let waiting = Waiting {
            request,
            spans,
            bytes,
        };
        if before + bytes > FORWARD_BYTES_MAX || self.queue.try_send(waiting).is_err() {
            self.bytes.fetch_sub(bytes, Relaxed);
            self.tally.dropped.fetch_add(spans as u64, Relaxed);
        }
    }
}

async fn pass_on(
    target: Target,
    mut waiting: mpsc::Receiver<Waiting>,
    bytes: Arc<AtomicUsize>,
    tally: Arc<Tally>,
) {
    // The channel connects with the first export, and again whenever it has to.
    let mut client: TraceServiceClient<Channel> = TraceServiceClient::new(target.endpoint.connect_lazy());
    while let Some(next) = waiting.recv().await {
        let spans = next.spans as u64;
        match client.export(next.request).await {
            Ok(answer) => {
                let partial = answer.into_inner().partial_success.unwrap_or_default();
                let rejected = u64::try_from(partial.rejected_spans).unwrap_or(0).min(spans);
                tally.received.fetch_add(spans - rejected, Relaxed);
                tally.dropped.fetch_add(rejected, Relaxed);
                tally.say((rejected > 0).then_some(partial.error_message));
            }
            Err(status) => {
                tally.dropped.fetch_add(spans, Relaxed);
                tally.say(Some(status.message().to_owned()));
            }
        }
        bytes.fetch_sub(next.bytes, Relaxed);
    }
}
