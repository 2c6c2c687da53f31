//! Closed loops: each requester has one request open and sends the next when it ends. What does not live here: the
//! processes they run in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use squall_client::{Client, RequestOptions};
use squall_kernel::frame::Status;
use squall_kernel::id::ExchangeId;
use squall_node::data::DataPlane;
use squall_node::process::{Inbox, Mailbox, ProcessKind, mailbox};
use squall_node::router::{Outcome, OutcomeSink, ReplyTo, Request};

use super::EXCHANGE;
use crate::bench::{BenchError, Histogram};

/// Room for outcomes beyond the one that is due: they are what must not be.
const OUTCOMES: usize = 4;

/// When requests are sent, and from when on they count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    counts_from: Instant,
    until: Instant,
}

impl Window {
    fn opens(warm_up: Duration, measured: Duration) -> Self {
        let counts_from = Instant::now() + warm_up;
        Self {
            counts_from,
            until: counts_from + measured,
        }
    }
}

/// What requesters saw.
#[derive(Debug, Default)]
pub(in crate::bench) struct Tally {
    /// Requests sent, those of the warm-up included.
    pub(super) asked: u64,
    /// How long those took that ended within the measured time.
    pub(in crate::bench) took: Histogram,
    /// Requests that did not end in exactly their own reply.
    pub(super) failed: u64,
    /// What happened to the first of them.
    pub(in crate::bench) failure: Option<String>,
}

impl Tally {
    fn ended(&mut self, window: &Window, begun: Instant, ended: Instant, wrong: Option<String>) {
        self.asked += 1;
        if let Some(wrong) = wrong {
            self.fail(wrong);
        } else if ended >= window.counts_from && ended <= window.until {
            self.took.count(ended - begun);
        }
    }

    fn fail(&mut self, what: String) {
        self.failed += 1;
        self.failure.get_or_insert(what);
    }

    fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.failed += other.failed;
        self.took.add(&other.took);
        if let Some(failure) = other.failure {
            self.failure.get_or_insert(failure);
        }
    }
}

/// Lets `in_flight` embedded requesters ask: each a process with a mailbox, seen in the node's table.
pub(super) async fn embedded(
    plane: &Arc<DataPlane>,
    exchange: ExchangeId,
    in_flight: usize,
    (warm_up, measured): (Duration, Duration),
) -> Result<Tally, BenchError> {
    let window = Window::opens(warm_up, measured);
    let runtime = plane.context.runtime.clone();
    let ask = |_| runtime.spawn(Requester::new(Arc::clone(plane), exchange).run(window));
    let mut tally = gather((0..in_flight).map(ask)).await?;
    match plane.router.open() {
        0 => {}
        open => tally.fail(format!("{open} requests are still open")),
    }
    Ok(tally)
}

/// Lets `in_flight` requests at a time go through one client.
pub(super) async fn of_client(
    client: &Client,
    in_flight: usize,
    (warm_up, measured): (Duration, Duration),
) -> Result<Tally, BenchError> {
    let window = Window::opens(warm_up, measured);
    gather((0..in_flight).map(|_| tokio::spawn(ask_through(client.clone(), window)))).await
}

async fn gather(
    requesters: impl Iterator<Item = tokio::task::JoinHandle<Tally>>,
) -> Result<Tally, BenchError> {
    let requesters: Vec<_> = requesters.collect();
    let mut all = Tally::default();
    for tally in join_all(requesters).await {
        all.add(tally.map_err(|error| BenchError::Unsound(format!("a requester: {error}")))?);
    }
    Ok(all)
}

/// Takes outcomes in for a requester.
struct Post(Mailbox<(u64, Outcome)>);

impl OutcomeSink for Post {
    fn outcome(&self, id: u64, outcome: Outcome) -> bool {
        self.0.push((id, outcome)).is_ok()
    }
}

struct Requester {
    plane: Arc<DataPlane>,
    exchange: ExchangeId,
    post: Arc<Post>,
    inbox: Inbox<(u64, Outcome)>,
}

impl Requester {
    fn new(plane: Arc<DataPlane>, exchange: ExchangeId) -> Self {
        let context = &plane.context;
        let now = context.clock.now();
        let process = context
            .processes
            .enter(ProcessKind::Requester, EXCHANGE, OUTCOMES, now);
        let (post, inbox) = mailbox(process, context.clock.clone(), OUTCOMES);
        Self {
            plane,
            exchange,
            post: Arc::new(Post(post)),
            inbox,
        }
    }

    async fn run(mut self, window: Window) -> Tally {
        let mut tally = Tally::default();
        let mut begun = Instant::now();
        let mut number = 0;
        while begun < window.until {
            number += 1;
            let wrong = self.ask(number).await;
            let ended = Instant::now();
            tally.ended(&window, begun, ended, wrong);
            begun = ended;
        }
        if self.inbox.try_next().is_some() {
            tally.fail("a request had a second outcome".into());
        }
        tally
    }

    /// What was wrong with the outcome, if anything.
    async fn ask(&mut self, number: u64) -> Option<String> {
        let payload = payload(number);
        let request = Request {
            from: self.post.0.process().pid(),
            ..Request::new(self.exchange, payload.clone())
        };
        let reply_to = ReplyTo::Sink(Arc::clone(&self.post) as Arc<dyn OutcomeSink>, number);
        self.plane.router.submit(request, reply_to);
        let ((id, outcome), _) = self.inbox.next().await.expect("the post is held here");
        if id != number {
            Some(format!("request {id} had a second outcome: {:?}", outcome.status))
        } else if outcome.status != Status::Reply {
            Some(outcome.reason())
        } else if outcome.payload != payload || outcome.more {
            Some("the reply is not the request's own".into())
        } else {
            None
        }
    }
}

async fn ask_through(client: Client, window: Window) -> Tally {
    let mut tally = Tally::default();
    let mut begun = Instant::now();
    let mut number = 0;
    while begun < window.until {
        number += 1;
        let payload = payload(number);
        let outcome = client
            .request(EXCHANGE, payload.clone(), RequestOptions::default())
            .await;
        let ended = Instant::now();
        let wrong = match outcome {
            Ok(reply) if reply.payload == payload => None,
            Ok(_) => Some("the reply is not the request's own".into()),
            Err(error) => Some(error.to_string()),
        };
        tally.ended(&window, begun, ended, wrong);
        begun = ended;
    }
    tally
}

/// Four bytes that tell this request from the one before.
fn payload(number: u64) -> Bytes {
    let [a, b, c, d, ..] = number.to_le_bytes();
    Bytes::copy_from_slice(&[a, b, c, d])
}
