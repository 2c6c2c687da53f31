//! The way of ended spans to the exporter: a bounded queue, and a thread with a runtime of its own that sends
//! batches. A span that finds the queue full is dropped and counted. The SDK's own batch processor does the same but
//! keeps its count of drops to itself and is not bounded in its shutdown by an exporter that hangs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::EXPORT_TIME_MAX;

/// Spans waiting to be sent.
pub const QUEUE_MAX: usize = 4096;
/// Spans in one batch.
pub const BATCH_MAX: usize = 512;
/// How long a span waits for others to fill its batch.
pub const BATCH_WAIT_MAX: Duration = Duration::from_secs(1);

/// What became of the spans, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExportFigures {
    /// Sent and accepted.
    pub exported: u64,
    /// Dropped because the queue was full or the exporter had ended.
    pub dropped: u64,
    /// Lost because their batch could not be sent, or not before the stop.
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
        exporter: impl SpanExporter + 'static,
        figures: Arc<Figures>,
    ) -> io::Result<(Self, Worker)> {
        let (queue, inbox) = mpsc::channel(QUEUE_MAX);
        let (closing, closed) = watch::channel(None);
        let (end, ended) = std_mpsc::sync_channel(1);
        let counted = Arc::clone(&figures);
        std::thread::Builder::new()
            .name("telemetry".into())
            .spawn(move || {
                runtime.block_on(work(inbox, exporter, closed, &counted));
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

/// Ends when the queue is closed and empty, or when its time after closing is over.
async fn work(
    inbox: mpsc::Receiver<SpanData>,
    exporter: impl SpanExporter,
    closing: watch::Receiver<Option<Duration>>,
    figures: &Figures,
) {
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
        () = send_all(inbox, exporter, closing, figures) => {}
        () = overdue => {}
    }
}

async fn send_all(
    mut inbox: mpsc::Receiver<SpanData>,
    exporter: impl SpanExporter,
    mut closing: watch::Receiver<Option<Duration>>,
    figures: &Figures,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while gather(&mut inbox, &mut batch, &mut closing).await {
        let spans = batch.len() as u64;
        let sent = timeout(EXPORT_TIME_MAX, exporter.export(std::mem::take(&mut batch))).await;
        match sent {
            Ok(Ok(())) => figures.exported.fetch_add(spans, Ordering::Relaxed),
            Ok(Err(error)) => {
                tracing::debug!(%error, spans, "spans were not sent");
                figures.failed.fetch_add(spans, Ordering::Relaxed)
            }
            Err(_) => figures.failed.fetch_add(spans, Ordering::Relaxed),
        };
    }
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
