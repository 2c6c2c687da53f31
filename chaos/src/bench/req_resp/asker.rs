//! Who sends a request and waits for its end: an embedded process, or a native client. What does not live here: the gRPC session
//! (`session`), and when they ask (`closed`, `open`).

use std::sync::Arc;

use bytes::Bytes;
use squall_client::{Client, RequestOptions};
use squall_kernel::frame::Status;
use squall_kernel::id::{ExchangeId, Pid};
use squall_node::data::DataPlane;
use squall_node::process::{Inbox, Mailbox, ProcessKind, mailbox};
use squall_node::router::{Outcome, OutcomeSink, ReplyTo, Request};

use super::EXCHANGE;

/// Room for outcomes beyond the one that is due: they are what must not be.
const OUTCOMES: usize = 4;
/// What is wrong with another request's reply.
pub(in crate::bench) const NOT_ITS_OWN: &str = "the reply is not the request's own";

/// Sends one request at a time.
pub(in crate::bench) trait Asker: Send + 'static {
    /// Sends a request, whose number tells it from the one before, and waits for its end: what was wrong with that, if anything.
    fn ask(&mut self, number: u64) -> impl Future<Output = Option<String>> + Send;

    /// Ends the connection, where whoever is at its other end would else take that for an error.
    fn close(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        async {}
    }

    /// What came beyond the ends that were due, if anything.
    fn rest(&mut self) -> Option<String> {
        None
    }
}

/// Takes outcomes in for a requester.
struct Post(Mailbox<(u64, Outcome)>);

impl OutcomeSink for Post {
    fn outcome(&self, id: u64, outcome: Outcome) -> bool {
        self.0.push((id, outcome)).is_ok()
    }
}

/// An embedded one: a process with a mailbox, seen in the node's table.
pub(super) struct Requester {
    plane: Arc<DataPlane>,
    exchange: ExchangeId,
    post: Arc<Post>,
    inbox: Inbox<(u64, Outcome)>,
}

impl Requester {
    pub(super) fn new(plane: Arc<DataPlane>, exchange: ExchangeId) -> Self {
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
}

impl Requester {
    pub(super) fn pid(&self) -> Pid {
        self.post.0.process().pid()
    }
}

impl Asker for Requester {
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
            Some(NOT_ITS_OWN.into())
        } else {
            None
        }
    }

    fn rest(&mut self) -> Option<String> {
        let more = self.inbox.try_next();
        more.map(|_| "a request had a second outcome".into())
    }
}

impl Asker for Client {
    async fn ask(&mut self, number: u64) -> Option<String> {
        let payload = payload(number);
        let outcome = self
            .request(EXCHANGE, payload.clone(), RequestOptions::default())
            .await;
        match outcome {
            Ok(reply) if reply.payload == payload => None,
            Ok(_) => Some(NOT_ITS_OWN.into()),
            Err(error) => Some(error.to_string()),
        }
    }
}

/// Four bytes that tell this request from the one before.
pub(in crate::bench) fn payload(number: u64) -> Bytes {
    let [a, b, c, d, ..] = number.to_le_bytes();
    Bytes::copy_from_slice(&[a, b, c, d])
}
