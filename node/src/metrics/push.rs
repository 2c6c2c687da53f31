//! Metrics over OTLP/gRPC: the same that a scrape gets, sent to a collector again and again, from a thread of its own over one
//! connection. What was not sent is not sent again: counters go on from the start of the node, so that the next export says it all.
//!
//! What does not live here: what is measured (`sources::measures`), how a collector is told of it (`otlp`), and the connection
//! (`telemetry::collector`).

mod settings;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_sdk::Resource;
use prost::Message as _;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tonic::{Code, Status};

use super::otlp::{self, Measured};
use super::{Family, Scrape};
use crate::telemetry::collector::{self, Collector, Loss, Losses, Signal};
pub use settings::{INTERVAL_DEFAULT, Push};

/// How long the last one may take, when the node ends.
pub const LAST_TIME_MAX: Duration = Duration::from_millis(500);
/// A collector that takes no metrics is asked again after so long: it may have been replaced by one that does.
pub const ASK_AGAIN: Duration = Duration::from_secs(300);
/// What became of exports since the start.
#[derive(Debug, Default)]
pub struct Exports {
    sent: AtomicU64,
    failed: AtomicU64,
}

impl Exports {
    /// Exports that the collector took whole.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Exports that did not arrive, or not in time, or that the collector refused in whole or in part.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }
}

/// What goes with every export.
#[derive(Debug)]
pub struct Origin {
    /// Who measures.
    pub resource: Resource,
    /// Since when counters count.
    pub since: SystemTime,
}

/// The thread "metrics". Dropped, it ends by itself and sends nothing more.
#[derive(Debug)]
pub struct Pusher {
    closing: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

impl Pusher {
    /// Starts to send what `measure` finds, at once and then again and again; what becomes of it is counted in `exports`. Does not
    /// wait for the collector.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        push: &Push,
        origin: &Origin,
        measure: impl Fn(&mut Scrape) + Send + 'static,
        exports: Arc<Exports>,
    ) -> io::Result<Self> {
        let collector = push.collector.clone();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (closing, closed) = watch::channel(false);
        let (end, ended) = oneshot::channel();
        let (every, since) = (push.every, origin.since);
        let resource = collector::resource(&origin.resource);
        std::thread::Builder::new()
            .name("metrics".into())
            .spawn(move || {
                let work = async {
                    let exporter = Exporter {
                        // The channel spawns its worker when it is made: on the runtime that drives it.
                        send: over(&collector),
                        families: move || {
                            let mut scrape = Scrape::default();
                            measure(&mut scrape);
                            scrape.finish()
                        },
                        measured: Measured {
                            resource,
                            since_ns: nanos(since),
                            at_ns: 0,
                        },
                        exports,
                        within: collector.time(),
                        losses: Losses::new(Signal::Metrics, &collector),
                        not_before: None,
                        told: false,
                    };
                    exporter.work(every, closed).await;
                };
                runtime.block_on(work);
                runtime.shutdown_background();
                // Nobody waits when the node ends without an orderly stop.
                let _ = end.send(());
            })?;
        Ok(Self { closing, ended })
    }

    /// The node ends: one more export, and no other. Does not wait for it.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Returns when the thread has ended after [`Self::close`], at most [`LAST_TIME_MAX`] later.
    pub async fn ended(self) {
        // Late or gone: there is nothing more to wait for.
        let _ = timeout(LAST_TIME_MAX, self.ended).await;
    }
}

type Answer = Result<ExportMetricsServiceResponse, Status>;

/// Sends over one connection.
fn over(
    collector: &Collector,
) -> impl FnMut(ExportMetricsServiceRequest) -> BoxFuture<'static, Answer> + use<> {
    let way = collector.connect(Signal::Metrics);
    move |request| Box::pin(way.clone().export(request.encode_to_vec().into()))
}

/// What became of an export that is not whole at the collector.
enum NotSent {
    /// The collector says why it leaves a part of it.
    Refused(String),
    Failed(Status),
}

/// What is on the thread.
struct Exporter<S, F> {
    send: S,
    families: F,
    measured: Measured,
    exports: Arc<Exports>,
    within: Duration,
    losses: Losses,
    /// The collector takes no metrics, and is left alone until then.
    not_before: Option<Instant>,
    /// That was said already.
    told: bool,
}

impl<S, F> Exporter<S, F>
where
    S: FnMut(ExportMetricsServiceRequest) -> BoxFuture<'static, Answer>,
    F: Fn() -> Vec<Family>,
{
    /// Until the node ends; once more then.
    async fn work(mut self, every: Duration, mut closing: watch::Receiver<bool>) {
        let mut turns = interval(every);
        // After an export that took long the next one has its time, too.
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let in_order = loop {
            tokio::select! {
                biased;
                // An error means that nobody holds the other end any more.
                closed = closing.wait_for(|closing| *closing) => break closed.is_ok(),
                () = async {
                    turns.tick().await;
                    self.turn(self.within).await;
                } => {}
            }
        };
        if in_order {
            self.turn(LAST_TIME_MAX.min(self.within)).await;
        }
    }

    /// One export, unless the collector is to be left alone.
    async fn turn(&mut self, within: Duration) {
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.measured.at_ns = nanos(SystemTime::now());
        let requests = otlp::requests((self.families)(), &self.measured);
        let late = |_| NotSent::Failed(Status::deadline_exceeded("no answer in time"));
        let sent = timeout(within, self.send_all(requests)).await;
        match sent.map_err(late).flatten() {
            Ok(()) => {
                self.exports.sent.fetch_add(1, Relaxed);
                self.not_before = None;
                self.losses.arrived();
            }
            Err(NotSent::Refused(said)) => {
                self.exports.failed.fetch_add(1, Relaxed);
                tracing::debug!(?said, "metrics were refused in part");
                self.losses.lost(1, Loss::Refused);
            }
            Err(NotSent::Failed(status)) => {
                self.exports.failed.fetch_add(1, Relaxed);
                self.failed(&status);
            }
        }
    }

    async fn send_all(&mut self, requests: Vec<ExportMetricsServiceRequest>) -> Result<(), NotSent> {
        for request in requests {
            let answer = (self.send)(request).await.map_err(NotSent::Failed)?;
            if let Some(part) = answer
                .partial_success
                .filter(|part| part.rejected_data_points > 0)
            {
                return Err(NotSent::Refused(part.error_message));
            }
        }
        Ok(())
    }

    /// Whatever a collector says is shown with its control characters written out.
    fn failed(&mut self, status: &Status) {
        if status.code() != Code::Unimplemented {
            tracing::debug!(code = ?status.code(), said = ?status.message(), "metrics were not sent");
            return self.losses.lost(1, Loss::Unsent(status.code()));
        }
        self.not_before = Some(Instant::now() + ASK_AGAIN);
        if !std::mem::replace(&mut self.told, true) {
            tracing::info!(
                "the collector takes no metrics: it is asked again every {} minutes; OTEL_METRICS_EXPORTER=none sends none",
                ASK_AGAIN.as_secs() / 60
            );
        }
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "push_test.rs"]
mod tests;
