//! Publishers in closed loops: each publishes the next when the one before is confirmed by every node and is with all its
//! subscribers. What does not live here: who reads them (`audience`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use squall_kernel::frame::Status;
use squall_kernel::id::{ExchangeId, Pid};
use squall_kernel::publishing::Confirm;
use squall_kernel::time::Span;
use squall_node::data::DataPlane;
use squall_node::process::ProcessKind;
use squall_node::router::{Publish, Request};
use tokio::time::timeout;

use super::audience::Audience;
use super::ledger::{Ledger, Notice};
use super::plan::Plan;
use crate::bench::BenchError;
use crate::bench::req_resp::tally::{Tally, Window};
use crate::bench::usage::processor_time_within;

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

/// Lets so many publishers at the owner publish at the same time.
pub(super) async fn publish(
    audience: &Audience,
    publishers: usize,
    (warm_up, measured): (Duration, Duration),
) -> Result<Published, BenchError> {
    let plan = Arc::new(audience.plan.clone());
    let mut all = first(audience, &plan).await?;
    let window = Window::opens((warm_up, measured));
    let runtime = &audience.owner().context.runtime;
    let tasks = (0..publishers).map(|number| {
        let publisher = Publisher::new(audience, &plan, number);
        runtime.spawn(publisher.run(window))
    });
    let tasks: Vec<_> = tasks.collect();
    let (processor, done) = tokio::join!(processor_time_within(window), futures::future::join_all(tasks));
    all.processor = processor;
    for one in done {
        all.add(one.map_err(|error| BenchError::Unsound(format!("a publisher: {error}")))?);
    }
    if let Some(wrong) = audience.ledger.wrong() {
        all.tally.fail(wrong);
    }
    Ok(all)
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
            let topic = self.topics[turn % self.topics.len()];
            turn += 1;
            let (ended, wrong) = match timeout(WHOLE_WITHIN, self.one(topic)).await {
                Ok(Ok(ended)) => (ended, None),
                Ok(Err(wrong)) => (Instant::now(), Some(wrong)),
                Err(_) => (Instant::now(), Some(self.late(topic))),
            };
            if wrong.is_none() && ended >= window.counts_from && ended <= window.until {
                self.published.deliveries += self.plan.receivers(topic) as u64;
            }
            let took = window.holds(ended).then(|| ended - begun);
            self.published.tally.ended(took, wrong);
            begun = Instant::now();
        }
        self.published
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
        let own = u64::from(self.plan.receives(0, topic));
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
