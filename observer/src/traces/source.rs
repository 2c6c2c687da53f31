//! Where spans come from: any of a receiver of one's own and a Jaeger that is asked. What they bring waits in one bounded queue,
//! so that neither a key nor a frame ever waits for the network; what finds no room is counted.
//!
//! What does not live here: the receiver and the client themselves.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::forward::{Forward, Target};
use super::http::Base;
use super::receiver::{Receiver, ReceiverError};
use super::span::{Span, TraceId};
use super::{jaeger, receiver};
use crate::clean;
use crate::limits::{SPANS_AT_ONCE, SPANS_QUEUE};

/// What a source has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceStatus {
    /// Kind and address.
    pub name: String,
    /// Spans that came.
    pub received: u64,
    /// Spans that found no room here, or were none.
    pub dropped: u64,
    /// What was wrong last; none when it went well since.
    pub error: Option<String>,
    /// Times it brought all there is, where it can tell.
    pub rounds: u64,
    /// It listens beyond loopback without mutual TLS.
    pub insecure: bool,
    /// Where people look at its traces; none when it is no Jaeger.
    pub pages: Option<String>,
}

/// The counts of a source, kept by itself.
#[derive(Debug, Default)]
pub(super) struct Tally {
    name: String,
    pages: Option<String>,
    insecure: bool,
    pub(super) received: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) rounds: AtomicU64,
    error: Mutex<Option<String>>,
}

impl Tally {
    fn new(name: &str) -> Self {
        Self {
            name: clean::name(name),
            ..Self::default()
        }
    }

    /// What is wrong now; none when it went well.
    pub(super) fn say(&self, error: Option<String>) {
        let error = error.map(|text| clean::text(&text));
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn status(&self) -> SourceStatus {
        SourceStatus {
            name: self.name.clone(),
            received: self.received.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            error: self.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            rounds: self.rounds.load(Relaxed),
            insecure: self.insecure,
            pages: self.pages.clone(),
        }
    }
}

/// Where a source puts its spans.
#[derive(Debug, Clone)]
pub(super) struct Outlet {
    queue: mpsc::Sender<Vec<Span>>,
}

impl Outlet {
    /// Hands spans over in parts; how many found no room.
    pub(super) fn offer(&self, spans: Vec<Span>) -> usize {
        let mut refused = 0;
        let mut spans = spans.into_iter().peekable();
        while spans.peek().is_some() {
            let part: Vec<Span> = spans.by_ref().take(SPANS_AT_ONCE).collect();
            let count = part.len();
            if self.queue.try_send(part).is_err() {
                refused += count;
            }
        }
        refused
    }

    /// The same, but waits for room; false when nobody reads any more.
    pub(super) async fn hand_over(&self, spans: Vec<Span>) -> bool {
        let mut spans = spans.into_iter().peekable();
        while spans.peek().is_some() {
            let part: Vec<Span> = spans.by_ref().take(SPANS_AT_ONCE).collect();
            if self.queue.send(part).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// The sources, while they are put together. They work as soon as they are added, and end with what they feed.
#[derive(Debug)]
pub struct Sources {
    feed: TraceFeed,
    outlet: Outlet,
}

/// What the sources bring.
#[derive(Debug)]
pub struct TraceFeed {
    spans: mpsc::Receiver<Vec<Span>>,
    tallies: Vec<Arc<Tally>>,
    wanted: watch::Sender<Option<TraceId>>,
    tasks: JoinSet<()>,
}

/// Why a source cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The receiver cannot be started.
    #[error(transparent)]
    Receiver(#[from] ReceiverError),
    /// The address of a collector or of a Jaeger is none.
    #[error("'{url}' is no address: {why}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Default for Sources {
    fn default() -> Self {
        let (queue, spans) = mpsc::channel(SPANS_QUEUE);
        Self {
            feed: TraceFeed {
                spans,
                tallies: Vec::new(),
                wanted: watch::Sender::default(),
                tasks: JoinSet::new(),
            },
            outlet: Outlet { queue },
        }
    }
}

impl Sources {
    /// Takes spans over OTLP/gRPC at this address, and passes them on to `forward` where that is given. Needs a tokio
    /// runtime. What comes back is the address with its port.
    ///
    /// # Errors
    /// [`SourceError`]: the port is taken, or the other address is none.
    pub fn listen(&mut self, at: SocketAddr, forward: Option<&str>) -> Result<SocketAddr, SourceError> {
        let target = forward.map(Target::parse).transpose()?;
        let listener = receiver::bind(at)?;
        let at = listener.1;
        if let Some(target) = target.as_ref().filter(|target| target.is(at)) {
            return Err(SourceError::Url {
                url: target.to_string(),
                why: "that is this receiver itself; what it takes would go round for ever".to_owned(),
            });
        }
        let forward = target.map(|target| {
            let tally = self.counted(Tally::new(&format!("to {target}")));
            Forward::start(target, tally, &mut self.feed.tasks)
        });
        let receiver = Receiver {
            outlet: self.outlet.clone(),
            tally: self.counted(Tally {
                insecure: !at.ip().is_loopback(),
                ..Tally::new(&format!("OTLP {at}"))
            }),
            forward,
        };
        self.feed.tasks.spawn(receiver::serve(receiver, listener.0));
        Ok(at)
    }

    /// Asks the query service of a Jaeger every few seconds. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`SourceError::Url`].
    pub fn jaeger(&mut self, url: &str) -> Result<(), SourceError> {
        let base = Base::parse(url)?;
        let tally = self.counted(Tally {
            pages: Some(clean::name(&base.to_string())),
            ..Tally::new(&format!("Jaeger {base}"))
        });
        let client = jaeger::Client::new(base, tally, self.outlet.clone());
        self.feed.tasks.spawn(client.run(self.feed.wanted.subscribe()));
        Ok(())
    }

    /// A source that is not there, and why: the view says so.
    pub fn without(&mut self, name: &str, why: &str) {
        self.counted(Tally::new(name)).say(Some(why.to_owned()));
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.feed.tallies.is_empty()
    }

    /// What they bring.
    #[must_use]
    pub fn feed(self) -> TraceFeed {
        self.feed
    }

    fn counted(&mut self, tally: Tally) -> Arc<Tally> {
        let tally = Arc::new(tally);
        self.feed.tallies.push(Arc::clone(&tally));
        tally
    }
}

impl TraceFeed {
    /// The next spans; none when no source is left.
    pub async fn next(&mut self) -> Option<Vec<Span>> {
        self.spans.recv().await
    }

    /// How the sources stand.
    #[must_use]
    pub fn status(&self) -> Vec<SourceStatus> {
        self.tallies.iter().map(|tally| tally.status()).collect()
    }

    /// A trace that somebody looks at: sources that can ask for it do.
    pub fn want(&self, trace: TraceId) {
        self.wanted.send_replace(Some(trace));
    }
}
