//! Publishers: in closed loops each publishes the next when the one before is whole, that is confirmed by every node and with all its
//! subscribers; in an open loop one publishes at every intended moment. What does not live here: who reads them (`audience`).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use squall_kernel::frame::Status;
use squall_kernel::id::{ExchangeId, Pid};
use squall_kernel::publishing::Confirm;
use squall_kernel::time::Span;
use squall_node::data::DataPlane;
use squall_node::process::ProcessKind;
use squall_node::router::{Publish, Request};
use tokio::time::timeout;

use super::PUBLISHERS_MAX;
use super::audience::Audience;
use super::ledger::{Ledger, Notice};
use super::plan::Plan;
use crate::bench::req_resp::tally::{Tally, Times, Window};
use crate::bench::usage::processor_time_within;
use crate::bench::{BenchError, Load, io_error};
use crate::load::open_loop::{Asks, OpenLoop};

/// A publish that has not reached all by then never will.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);

/// What publishers saw.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// From a publish to its last delivery; failures.
    pub(super) tally: Tally,
    /// Deliveries of the publishes that ended within the measured time.
    pub(super) deliveries: u64,
    /// Processor time within it, of everything.
    pub(super) processor: Duration,
    /// Events that should have gone from node to node, those of the warm-up included.
    pub(super) events_due: u64,
    /// Copies for subscribers at the owner itself, counted as one for each publish.
    pub(super) own: u64,
}

/// Lets publishers at the owner publish.
pub(super) async fn publish(audience: &Audience, load: Load, times: Times) -> Result<Published, BenchError> {
    let plan = Arc::new(audience.plan.clone());
    let mut all = first(audience, &plan).await?;
    let window = Window::opens(times);
    let publisher = |number| Publisher::new(audience, &plan, number);
    let loops = async {
        match load {
            Load::Closed(publishers) => closed(audience, (0..publishers).map(publisher), window).await,
            Load::Open(rate) => open(audience, (0..PUBLISHERS_MAX).map(publisher), rate, window).await,
        }
    };
    let (processor, done) = tokio::join!(processor_time_within(window), loops);
    all.processor = processor;
    done?.into_iter().for_each(|one| all.add(one));
    if let Some(wrong) = audience.ledger.wrong() {
        all.tally.fail(wrong);
    }
    Ok(all)
}

/// Each publishes the next when the one before is whole.
async fn closed(
    audience: &Audience,
    publishers: impl Iterator<Item = Publisher>,
    window: Window,
) -> Result<Vec<Published>, BenchError> {
    let runtime = &audience.owner().context.runtime;
    let tasks: Vec<_> = publishers
        .map(|publisher| runtime.spawn(publisher.run(window)))
        .collect();
    let done = join_all(tasks).await.into_iter();
    done.map(|one| one.map_err(|error| BenchError::Unsound(format!("a publisher: {error}"))))
        .collect()
}

/// One publishes at every intended moment at which not all of them have a publish under way.
async fn open(
    audience: &Audience,
    publishers: impl Iterator<Item = Publisher>,
    rate: u32,
    window: Window,
) -> Result<Vec<Published>, BenchError> {
    let idle: Vec<Publisher> = publishers.collect();
    let bound = u32::try_from(idle.len()).expect("publishers are bounded");
    let load = Arc::new(AtMoments {
        idle: Mutex::new(idle),
        window,
        begun: AtomicUsize::new(0),
        held_back: AtomicU64::new(0),
    });
    let runtime = audience.owner().context.runtime.clone();
    let open = OpenLoop::start_fine(Arc::clone(&load), rate, bound, window.moments(), runtime);
    let open = open.map_err(io_error("a thread"))?;
    tokio::time::sleep_until(window.until.into()).await;
    open.end(2 * WHOLE_WITHIN).await;
    let mut done: Vec<Published> = lock(&load.idle)
        .drain(..)
        .map(|publisher| publisher.published)
        .collect();
    let mut beside = Published::default();
    beside.tally.held_back = load.held_back.load(Ordering::Relaxed);
    let missing = bound as usize - done.len();
    if missing > 0 {
        beside.tally.fail(format!("{missing} publishes had no end"));
    }
    done.push(beside);
    Ok(done)
}

/// An open loop of publishes.
struct AtMoments {
    /// Publishers without a publish under way.
    idle: Mutex<Vec<Publisher>>,
    window: Window,
    begun: AtomicUsize,
    held_back: AtomicU64,
}

impl Asks for AtMoments {
    type Question = ();

    fn begin(&self, _: tokio::time::Instant) {}

    fn hold_back(&self, intended: tokio::time::Instant) {
        if self.window.holds(intended.into_std()) {
            self.held_back.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn ask(&self, intended: tokio::time::Instant, (): ()) {
        let publisher = lock(&self.idle).pop();
        // There are as many as may be under way, until the loop was given up.
        let Some(mut publisher) = publisher else { return };
        let turn = self.begun.fetch_add(1, Ordering::Relaxed);
        let intended = intended.into_std();
        let counts = self.window.holds(intended);
        publisher.publish(turn, intended, |_| counts).await;
        lock(&self.idle).push(publisher);
    }
}

/// One publish before anything is measured.
async fn first(audience: &Audience, plan: &Arc<Plan>) -> Result<Published, BenchError> {
    let mut publisher = Publisher::new(audience, plan, 0);
    let topic = publisher.topics[0];
    let reached = timeout(WHOLE_WITHIN, publisher.one(topic)).await;
    let reached = reached.unwrap_or_else(|_| Err(publisher.late(topic)));
    reached.map_err(|wrong| BenchError::Unsound(format!("the first publish: {wrong}")))?;
    publisher.published.tally.asked += 1;
    Ok(publisher.published)
}

impl Published {
    fn add(&mut self, other: Self) {
        self.tally.add(other.tally);
        self.deliveries += other.deliveries;
        self.events_due += other.events_due;
        self.own += other.own;
    }
}

struct Publisher {
    plane: Arc<DataPlane>,
    plan: Arc<Plan>,
    ledger: Arc<Ledger>,
    exchange: ExchangeId,
    number: usize,
    pid: Pid,
    topics: Vec<u32>,
    published: Published,
}

impl Publisher {
    fn new(audience: &Audience, plan: &Arc<Plan>, number: usize) -> Self {
        let plane = Arc::clone(audience.owner());
        let context = &plane.context;
        let process = context
            .processes
            .enter(ProcessKind::Requester, "fanout", 0, context.clock.now());
        Self {
            pid: process.pid(),
            plan: Arc::clone(plan),
            ledger: Arc::clone(&audience.ledger),
            exchange: audience.exchange,
            number,
            topics: plan.topics(),
            published: Published::default(),
            plane,
        }
    }

    async fn run(mut self, window: Window) -> Published {
        let mut begun = Instant::now();
        // Publishers begin at different topics.
        let mut turn = self.number;
        while begun < window.until && self.published.tally.failure.is_none() {
            self.publish(turn, begun, |ended| window.holds(ended)).await;
            turn += 1;
            begun = Instant::now();
        }
        self.published
    }

    /// Publishes on the topic whose turn it is; `counts` says of the moment at which it had reached all whether it is counted.
    async fn publish(&mut self, turn: usize, begun: Instant, counts: impl Fn(Instant) -> bool) {
        let topic = self.topics[turn % self.topics.len()];
        let (ended, wrong) = match timeout(WHOLE_WITHIN, self.one(topic)).await {
            Ok(Ok(ended)) => (ended, None),
            Ok(Err(wrong)) => (Instant::now(), Some(wrong)),
            Err(_) => (Instant::now(), Some(self.late(topic))),
        };
        let counts = counts(ended);
        if wrong.is_none() && counts {
            self.published.deliveries += self.plan.receivers(topic) as u64;
        }
        self.published.tally.ended(counts.then(|| ended - begun), wrong);
    }

    fn late(&self, topic: u32) -> String {
        let (missing, all) = (self.ledger.missing(self.number), self.plan.receivers(topic));
        let seconds = WHOLE_WITHIN.as_secs();
        format!(
            "after {seconds} s a publish had not reached {missing} of {all} subscribers, or was not confirmed"
        )
    }

    /// One publish, until it is confirmed and with everybody; gives when the last one got it.
    async fn one(&mut self, topic: u32) -> Result<Instant, String> {
        let own = u64::from(self.plan.receivers_at(0, topic) > 0);
        self.published.own += own;
        self.published.events_due += self.plan.receiving_nodes(topic) as u64 - own;
        let number = self.ledger.open(self.number, self.plan.receivers(topic));
        let notice = Notice {
            publisher: u32::try_from(self.number).expect("publishers are bounded"),
            topic,
            number,
        };
        let head = Publish {
            confirm: Confirm::Received,
            ..Publish::default()
        };
        let key = Bytes::from(Plan::key(topic));
        let request = Request {
            from: self.pid,
            timeout: Span::from_ms(u64::try_from(WHOLE_WITHIN.as_millis()).unwrap_or(u64::MAX)),
            ..Request::publish(self.exchange, key, notice.payload(), head)
        };
        let mut outcomes = self.plane.router.request_all(request);
        while let Some(outcome) = outcomes.recv().await {
            if outcome.status != Status::Reply {
                return Err(format!("a publish was not confirmed: {}", outcome.reason()));
            }
        }
        Ok(self.ledger.whole(self.number).await)
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
