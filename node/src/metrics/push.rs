//! Metrics over OTLP/gRPC: the same that a scrape gets, sent to a collector again and again, from a thread of its own over one
//! connection. What was not sent is not sent again: counters go on from the start of the node, so that the next export says it all.
//!
//! What does not live here: what is measured (`sources::measures`), and how a collector is told of it (`otlp`).

mod settings;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_sdk::Resource;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::otlp::{self, Measured};
use super::{Family, Scrape};
pub use settings::{INTERVAL_DEFAULT, Push, PushError};

/// How long one export may take, the connection included, before it is given up.
pub const EXPORT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the last one may take, when the node ends.
pub const LAST_TIME_MAX: Duration = Duration::from_millis(500);
/// A collector that takes no metrics is asked again after so long: it may have been replaced by one that does.
pub const ASK_AGAIN: Duration = Duration::from_secs(300);
/// A connection that carries nothing back is asked for a sign of life after so long, and given up after as long again: within an
/// export's time, so that the next one has another connection.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// Largest answer taken from a collector: there is next to nothing in it.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Largest list of headers likewise.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

const _: () = assert!(2 * KEEPALIVE.as_millis() < EXPORT_TIME_MAX.as_millis());

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
    /// When there is no thread to be had, or no address in the settings.
    pub fn start(
        push: &Push,
        origin: &Origin,
        measure: impl Fn(&mut Scrape) + Send + 'static,
        exports: Arc<Exports>,
    ) -> io::Result<Self> {
        let address = settings::address(&push.endpoint).map_err(io::Error::other)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (closing, closed) = watch::channel(false);
        let (end, ended) = oneshot::channel();
        let (every, since) = (push.every, origin.since);
        let resource = otlp::resource(&origin.resource);
        std::thread::Builder::new()
            .name("metrics".into())
            .spawn(move || {
                let work = async {
                    let exporter = Exporter {
                        // The channel spawns its worker when it is made: on the runtime that drives it.
                        send: over(&address),
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

/// Sends over one connection, which is made when it is needed, and anew when it broke.
fn over(
    address: &Endpoint,
) -> impl FnMut(ExportMetricsServiceRequest) -> BoxFuture<'static, Answer> + Send + use<> {
    let channel = address
        .clone()
        .connect_timeout(EXPORT_TIME_MAX)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .connect_lazy();
    let client = MetricsServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    move |request| {
        let mut client = client.clone();
        Box::pin(async move { client.export(request).await.map(tonic::Response::into_inner) })
    }
}

/// What is on the thread.
struct Exporter<S, F> {
    send: S,
    families: F,
    measured: Measured,
    exports: Arc<Exports>,
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
                    self.turn(EXPORT_TIME_MAX).await;
                } => {}
            }
        };
        if in_order {
            self.turn(LAST_TIME_MAX).await;
        }
    }

    /// One export, unless the collector is to be left alone.
    async fn turn(&mut self, within: Duration) {
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.measured.at_ns = nanos(SystemTime::now());
        let requests = otlp::requests((self.families)(), &self.measured);
        let late = |_| Status::deadline_exceeded("no answer in time");
        let sent = timeout(within, self.send_all(requests)).await;
        match sent.map_err(late).flatten() {
            Ok(()) => {
                self.exports.sent.fetch_add(1, Relaxed);
                self.not_before = None;
            }
            Err(status) => {
                self.exports.failed.fetch_add(1, Relaxed);
                self.failed(&status);
            }
        }
    }

    async fn send_all(&mut self, requests: Vec<ExportMetricsServiceRequest>) -> Result<(), Status> {
        for request in requests {
            let answer = (self.send)(request).await?;
            if let Some(part) = answer
                .partial_success
                .filter(|part| part.rejected_data_points > 0)
            {
                return Err(Status::invalid_argument(part.error_message));
            }
        }
        Ok(())
    }

    /// Whatever a collector says is shown with its control characters written out.
    fn failed(&mut self, status: &Status) {
        if status.code() != Code::Unimplemented {
            return tracing::debug!(code = ?status.code(), said = ?status.message(), "metrics were not sent");
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
