//! Closed loops over any number of exchanges with payloads of any size. What does not live here: what they are asked in
//! (`scene`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use squall_kernel::frame::Status;
use squall_kernel::id::ExchangeId;
use squall_node::data::DataPlane;
use squall_node::process::{Inbox, Mailbox, ProcessKind, mailbox};
use squall_node::router::{Outcome, OutcomeSink, ReplyTo, Request};

use super::scene::Scene;
use crate::bench::BenchError;
use crate::bench::req_resp::closed::gather;
use crate::bench::req_resp::tally::{Tally, Window};
use crate::bench::usage::processor_time_within;

/// Room for outcomes beyond the one that is due: they are what must not be.
const OUTCOMES: usize = 4;

/// Lets so many requesters ask at the same time, each the next exchange with every request; gives what they saw, and the
/// processor time used within the measured time by everything.
pub(super) async fn ask(
    scene: &Scene,
    in_flight: usize,
    payload: usize,
    (warm_up, measured): (Duration, Duration),
) -> Result<(Tally, Duration), BenchError> {
    // Payloads are made beforehand: what it costs to fill them is nothing that a broker can help.
    let payloads = [0x55, 0xaa].map(|fill| Bytes::from(vec![fill; payload]));
    let plane = scene.plane();
    let window = Window::opens((warm_up, measured));
    let ask = |place| {
        let requester = Requester::new(scene, payloads.clone());
        plane
            .context
            .runtime
            .spawn(requester.run(window, place, in_flight))
    };
    let requesters: Vec<_> = (0..in_flight).map(ask).collect();
    let (processor, tally) = tokio::join!(processor_time_within(window), gather(requesters.into_iter()));
    let mut tally = tally?;
    match plane.router.open() {
        0 => {}
        open => tally.fail(format!("{open} requests are still open")),
    }
    Ok((tally, processor))
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
    exchanges: Arc<[ExchangeId]>,
    /// In turn, so that the reply to the request before is another one. Its length and ends tell: what is between them, checksums
    /// see to.
    payloads: [Bytes; 2],
    post: Arc<Post>,
    inbox: Inbox<(u64, Outcome)>,
}

impl Requester {
    fn new(scene: &Scene, payloads: [Bytes; 2]) -> Self {
        let plane = Arc::clone(scene.plane());
        let context = &plane.context;
        let now = context.clock.now();
        let process = context
            .processes
            .enter(ProcessKind::Requester, "bench", OUTCOMES, now);
        let (post, inbox) = mailbox(process, context.clock.clone(), OUTCOMES);
        Self {
            exchanges: Arc::clone(&scene.exchanges),
            payloads,
            post: Arc::new(Post(post)),
            inbox,
            plane,
        }
    }

    /// Begins at the exchange of its own place: all requesters together ask all exchanges.
    async fn run(mut self, window: Window, place: usize, requesters: usize) -> Tally {
        let mut tally = Tally::default();
        let mut begun = Instant::now();
        let (mut number, mut at) = (0, place);
        while begun < window.until {
            number += 1;
            let exchange = self.exchanges[at % self.exchanges.len()];
            at += requesters;
            let wrong = self.ask(number, exchange).await;
            let ended = Instant::now();
            tally.ended(window.holds(ended).then(|| ended - begun), wrong);
            begun = ended;
        }
        if self.inbox.try_next().is_some() {
            tally.fail("a request had a second outcome".into());
        }
        tally
    }

    /// What was wrong with the outcome, if anything.
    async fn ask(&mut self, number: u64, exchange: ExchangeId) -> Option<String> {
        let payload = &self.payloads[usize::from(number.is_multiple_of(2))];
        let request = Request {
            from: self.post.0.process().pid(),
            ..Request::new(exchange, payload.clone())
        };
        let reply_to = ReplyTo::Sink(Arc::clone(&self.post) as Arc<dyn OutcomeSink>, number);
        self.plane.router.submit(request, reply_to);
        let ((id, outcome), _) = self.inbox.next().await.expect("the post is held here");
        if id != number {
            Some(format!("request {id} had a second outcome: {:?}", outcome.status))
        } else if outcome.status != Status::Reply {
            Some(outcome.reason())
        } else if outcome.payload.len() != payload.len()
            || outcome.payload.first() != payload.first()
            || outcome.payload.last() != payload.last()
            || outcome.more
        {
            Some("the reply is not the request's own".into())
        } else {
            None
        }
    }
}
