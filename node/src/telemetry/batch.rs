//! The way of ended spans to the collector: a bounded queue, and a thread with a runtime of its own that sends
//! batches. A span that finds the queue full is dropped and counted. The SDK's own batch processor does the same but
//! keeps its count of drops to itself and is not bounded in its shutdown by an exporter that hangs; and the exporter of
//! `opentelemetry-otlp` tells nobody of spans that a collector has refused, and copies each batch before it sends it.
//!
//! What does not live here: the connection (`collector`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message as _;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use super::SCOPE;
use super::collector::{self, Collector, Loss, Losses, Signal};

/// Spans waiting to be sent.
pub const QUEUE_MAX: usize = 4096;
/// Spans in one batch.
pub const BATCH_MAX: usize = 512;
/// How long a span waits for others to fill its batch.
pub const BATCH_WAIT_MAX: Duration = Duration::from_secs(1);
/// How often a batch is sent again that a collector could not take for the moment, within the time of one export.
const AGAIN_MAX: u32 = 3;
/// How long the first of these waits; each later one twice as long.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What became of the spans, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExportFigures {
    /// Sent and accepted.
    pub exported: u64,
    /// Dropped because the queue was full or the exporter had ended.
    pub dropped: u64,
    /// Lost because their batch could not be sent, or not before the stop, or because the collector refused them.
    pub failed: u64,
}

/// The counters behind [`ExportFigures`].
#[derive(Debug, Default)]
pub struct Figures {
    accepted: AtomicU64,
    exported: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Figures {
    /// The figures now.
    #[must_use]
    pub fn read(&self) -> ExportFigures {
        ExportFigures {
            exported: self.exported.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Whatever was accepted and not exported when the worker ends is lost.
    fn settle(&self) {
        let lost = self
            .accepted
            .load(Ordering::Relaxed)
            .saturating_sub(self.exported.load(Ordering::Relaxed));
        self.failed.store(lost, Ordering::Relaxed);
    }
}

/// The near end of the queue, as the SDK knows it.
#[derive(Debug, Clone)]
pub struct Batcher {
    queue: mpsc::Sender<SpanData>,
    figures: Arc<Figures>,
}

/// The far end: the thread "telemetry".
#[derive(Debug)]
pub struct Worker {
    closing: watch::Sender<Option<Duration>>,
    ended: std_mpsc::Receiver<()>,
}

impl Batcher {
    /// What became of the spans.
    #[must_use]
    pub fn figures(&self) -> ExportFigures {
        self.figures.read()
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn start(
        runtime: Runtime,
        collector: &Collector,
        resource: &opentelemetry_sdk::Resource,
        figures: Arc<Figures>,
    ) -> io::Result<(Self, Worker)> {
        let (queue, inbox) = mpsc::channel(QUEUE_MAX);
        let (closing, closed) = watch::channel(None);
        let (end, ended) = std_mpsc::sync_channel(1);
        let counted = Arc::clone(&figures);
        let (collector, resource) = (collector.clone(), collector::resource(resource));
        std::thread::Builder::new()
            .name("telemetry".into())
            .spawn(move || {
                let all = async {
                    // The channel spawns its worker when it is made: on the runtime that drives it.
                    let send = over(&collector);
                    let exporter = Exporter::new(send, &collector, resource, Arc::clone(&counted));
                    work(inbox, exporter, closed).await;
                };
                runtime.block_on(all);
                counted.settle();
                runtime.shutdown_background();
                // Nobody waits when the node ends without an orderly stop.
                let _ = end.send(());
            })?;
        Ok((Self { queue, figures }, Worker { closing, ended }))
    }
}

#[cfg(test)]
impl Batcher {
    /// One whose spans nobody sends: the test takes them.
    pub(crate) fn caught() -> (Self, mpsc::Receiver<SpanData>) {
        let (queue, inbox) = mpsc::channel(QUEUE_MAX);
        let figures = Arc::default();
        (Self { queue, figures }, inbox)
    }
}

impl Batcher {
    /// True where a span finds room now; one that finds none need not be made, and is counted as dropped.
    pub(crate) fn has_room(&self) -> bool {
        let room = self.queue.capacity() > 0;
        if !room {
            self.figures.dropped.fetch_add(1, Ordering::Relaxed);
        }
        room
    }
}

impl SpanProcessor for Batcher {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        let figures = &self.figures;
        let counter = if self.queue.try_send(span).is_ok() {
            &figures.accepted
        } else {
            &figures.dropped
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// The worker is stopped by its own handle; a provider that is dropped must not wait for a collector.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Worker {
    /// Sends what is queued for at most `limit`, then ends the thread. Blocks for as long, and not much longer.
    pub fn stop(self, limit: Duration) {
        self.closing.send_replace(Some(limit));
        // The thread ends by itself; the margin is for one that gets no processor time.
        if self.ended.recv_timeout(limit + limit / 4) == Err(std_mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("the telemetry thread did not end in time and is left behind");
        }
    }
}

type Answer = Result<ExportTraceServiceResponse, Status>;

/// Sends over one connection.
fn over(collector: &Collector) -> impl FnMut(Bytes) -> BoxFuture<'static, Answer> + use<> {
    let way = collector.connect(Signal::Traces);
    move |message| Box::pin(way.clone().export(message))
}

/// What is on the thread.
struct Exporter<S> {
    send: S,
    resource: Resource,
    within: Duration,
    figures: Arc<Figures>,
    losses: Losses,
    /// Of the spans that were dropped, those that were told of.
    dropped: u64,
}

/// Ends when the queue is closed and empty, or when its time after closing is over.
async fn work<S>(
    inbox: mpsc::Receiver<SpanData>,
    exporter: Exporter<S>,
    closing: watch::Receiver<Option<Duration>>,
) where
    S: FnMut(Bytes) -> BoxFuture<'static, Answer>,
{
    let mut closed = closing.clone();
    let overdue = async {
        let limit = *match closed.wait_for(Option::is_some).await {
            Ok(limit) => limit,
            // The handle is gone without a stop: whoever dropped it does not wait either.
            Err(_) => return,
        };
        sleep(limit.unwrap_or_default()).await;
    };
    tokio::select! {
        () = exporter.send_all(inbox, closing) => {}
        () = overdue => {}
    }
}

impl<S> Exporter<S>
where
    S: FnMut(Bytes) -> BoxFuture<'static, Answer>,
{
    fn new(send: S, collector: &Collector, resource: Resource, figures: Arc<Figures>) -> Self {
        Self {
            send,
            resource,
            within: collector.time(),
            figures,
            losses: Losses::new(Signal::Traces, collector),
            dropped: 0,
        }
    }

    async fn send_all(
        mut self,
        mut inbox: mpsc::Receiver<SpanData>,
        mut closing: watch::Receiver<Option<Duration>>,
    ) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while gather(&mut inbox, &mut batch, &mut closing).await {
            let spans = batch.len() as u64;
            let message = encoded(&self.resource, batch.drain(..));
            let late = |_| Status::deadline_exceeded("no answer in time");
            let sent = timeout(self.within, self.deliver(message)).await;
            let (failed, why) = match sent.map_err(late).flatten() {
                Ok(0) => (0, None),
                Ok(refused) => (refused.min(spans), Some(Loss::Refused)),
                Err(status) => {
                    // Whatever a collector says is shown with its control characters written out.
                    tracing::debug!(code = ?status.code(), said = ?status.message(), spans, "spans were not sent");
                    (spans, Some(Loss::Unsent(status.code())))
                }
            };
            self.figures.exported.fetch_add(spans - failed, Ordering::Relaxed);
            self.figures.failed.fetch_add(failed, Ordering::Relaxed);
            self.tell(failed, why);
        }
    }

    /// Sends a batch, again where that may help (OpenTelemetry Protocol, "Failures"); gives how many spans the collector refused.
    async fn deliver(&mut self, message: Bytes) -> Result<u64, Status> {
        let mut wait = AGAIN_AFTER;
        for _ in 0..AGAIN_MAX {
            match (self.send)(message.clone()).await {
                Err(status) if may_pass(status.code()) => {}
                answer => return answer.map(|answer| refused(&answer)),
            }
            // Nodes that lost the same collector do not come back to it in the same moment.
            sleep(wait + wait.mul_f64(rand::random())).await;
            wait *= 2;
        }
        (self.send)(message).await.map(|answer| refused(&answer))
    }

    /// The log hears of what failed with this batch, and of what was dropped meanwhile.
    fn tell(&mut self, failed: u64, why: Option<Loss>) {
        let dropped = self.figures.dropped.load(Ordering::Relaxed);
        let new = dropped - std::mem::replace(&mut self.dropped, dropped);
        match why.or((new > 0).then_some(Loss::Full)) {
            Some(why) => self.losses.lost(failed + new, why),
            None => self.losses.arrived(),
        }
    }
}

/// The spans as a collector takes them, each of them moved.
fn encoded(resource: &Resource, spans: impl Iterator<Item = SpanData>) -> Bytes {
    let scope = InstrumentationScope {
        name: SCOPE.into(),
        ..InstrumentationScope::default()
    };
    let of_scope = ScopeSpans {
        scope: Some(scope),
        spans: spans.map(Into::into).collect(),
        ..ScopeSpans::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![of_scope],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec().into()
}

/// How many spans a collector refused of those that it was sent. What it says of them is its own.
fn refused(answer: &ExportTraceServiceResponse) -> u64 {
    let Some(part) = &answer.partial_success else {
        return 0;
    };
    let spans = part.rejected_spans;
    tracing::debug!(spans, said = ?part.error_message, "the collector answers with a remark");
    u64::try_from(spans).unwrap_or(0)
}

/// Whether the same may succeed a moment later.
const fn may_pass(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// Fills `batch` until it is full, or its first span has waited long enough, or the node stops; false when there
/// is nothing more to come.
async fn gather(
    inbox: &mut mpsc::Receiver<SpanData>,
    batch: &mut Vec<SpanData>,
    closing: &mut watch::Receiver<Option<Duration>>,
) -> bool {
    tokio::select! {
        biased;
        _ = closing.wait_for(Option::is_some) => inbox.close(),
        taken = inbox.recv_many(batch, BATCH_MAX) => if taken == 0 { return false },
    }
    let mut waited = std::pin::pin!(sleep(BATCH_WAIT_MAX));
    while batch.len() < BATCH_MAX {
        let room = BATCH_MAX - batch.len();
        tokio::select! {
            biased;
            taken = inbox.recv_many(batch, room) => if taken == 0 { break },
            _ = closing.wait_for(Option::is_some), if !inbox.is_closed() => inbox.close(),
            () = &mut waited => break,
        }
    }
    !batch.is_empty()
}

#[cfg(test)]
#[path = "batch_test.rs"]
mod tests;
