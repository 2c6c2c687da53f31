//! One node's session: connect, say hello, watch rows and events, and begin again when it breaks.
//! What does not live here: finding the nodes ([`super::grpc`]), frames ([`super::assemble`]).

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use squall_proto::v1;
use squall_proto::v1::introspection_client::IntrospectionClient;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};

use super::assemble::{Assembler, Step};
use super::backoff::Backoff;
use super::detail::Details;
use super::grpc::{Found, uri};
use super::pending::Outbox;
use super::{Link, REFUSED, Update, Wants};
use crate::limits::MESSAGE_BYTES_MAX;

/// A connection that does not stand by then is given up: without it a call can hang for ever.
const CONNECT_MS: u64 = 1_000;
/// A node that accepts but does not answer is stopped or overloaded.
const ANSWER_MS: u64 = 1_500;
/// Time without a frame after which a stream is opened anew; nodes send at least once a second.
const SILENCE_MS: u64 = 5_000;
/// HTTP/2 pings find a connection that a partition has killed.
const PING_MS: u64 = 1_000;

/// What a session needs.
pub(super) struct Target {
    pub(super) node: String,
    pub(super) addresses: watch::Receiver<Vec<String>>,
    pub(super) wanted: watch::Receiver<Wants>,
    pub(super) outbox: Outbox,
    pub(super) found: mpsc::Sender<Found>,
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) why: String,
    pub(super) refused: bool,
}

impl Failure {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            refused: false,
        }
    }

    fn status(status: &tonic::Status) -> Self {
        if status.code() == Code::Unimplemented {
            return Self::new("no node of this version");
        }
        let chain = StdError::source(status).map(|s| Self::of(s).why);
        let said = chain.unwrap_or_else(|| status.message().to_owned());
        // Not every server says more than a code.
        Self::new(if said.is_empty() {
            status.code().description().to_owned()
        } else {
            said
        })
    }

    /// The innermost cause says most; "transport error" says nothing.
    fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut cause = error;
        let mut refused = false;
        loop {
            let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
            refused |= kind == Some(io::ErrorKind::ConnectionRefused);
            let Some(next) = cause.source() else { break };
            cause = next;
        }
        let why = if refused {
            REFUSED.to_owned()
        } else {
            cause.to_string()
        };
        Self { why, refused }
    }
}

/// What survives from one session to the next: where the events and the gap count stand.
#[derive(Debug, Default)]
struct Memory {
    incarnation: u64,
    next_event: u64,
    gaps: u64,
    interest: u32,
}

/// Runs sessions with one node until the task is aborted.
pub(super) async fn run(mut target: Target) {
    let mut backoff = Backoff::default();
    let mut memory = Memory::default();
    for attempt in 0usize.. {
        let addr = {
            let all = target.addresses.borrow_and_update();
            all.get(attempt % all.len().max(1)).cloned().unwrap_or_default()
        };
        let failure = session(&mut target, &addr, &mut memory, &mut backoff).await;
        let state = Link::Down {
            why: failure.why,
            refused: failure.refused,
        };
        target.outbox.put(Update::Connection {
            node: target.node.clone(),
            state,
        });
        tokio::select! {
            () = sleep(backoff.next(rand::random())) => {}
            // A closed channel means that the directory has ended, and this task with it.
            Ok(()) = target.addresses.changed() => {}
        }
    }
}

/// Connects and asks who is there.
pub(super) async fn greet(addr: &str) -> Result<(IntrospectionClient<Channel>, v1::HelloResponse), Failure> {
    let endpoint = Endpoint::from_shared(uri(addr).to_string())
        .map_err(|_| Failure::new(format!("{addr} is no address")))?
        .connect_timeout(Duration::from_millis(CONNECT_MS))
        .http2_keep_alive_interval(Duration::from_millis(PING_MS))
        .keep_alive_timeout(Duration::from_millis(PING_MS * 2))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    let connecting = timeout(Duration::from_millis(ANSWER_MS), endpoint.connect());
    let channel = match connecting.await {
        Ok(connected) => connected.map_err(|e| Failure::of(&e))?,
        Err(_) => return Err(Failure::new("no answer in time")),
    };
    let mut client = IntrospectionClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let request = v1::HelloRequest {
        client_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let hello = in_time(client.hello(request)).await?;
    Ok((client, hello))
}

async fn session(t: &mut Target, addr: &str, memory: &mut Memory, backoff: &mut Backoff) -> Failure {
    match watch_node(t, addr, memory, backoff).await {
        Ok(()) => Failure::new("the node closed the stream"),
        Err(failure) => failure,
    }
}

async fn watch_node(
    t: &mut Target,
    addr: &str,
    memory: &mut Memory,
    backoff: &mut Backoff,
) -> Result<(), Failure> {
    let (mut client, hello) = greet(addr).await?;
    if hello.node != t.node {
        return Err(Failure::new(format!("{addr} is node {:?} now", hello.node)));
    }
    if hello.incarnation != memory.incarnation {
        (memory.incarnation, memory.next_event) = (hello.incarnation, 0);
    }
    tell(t, hello.members.clone());
    t.outbox.put(Update::Hello {
        node: t.node.clone(),
        hello,
    });

    let (interests, outgoing) = mpsc::channel(4);
    memory.interest = memory.interest.wrapping_add(1).max(1);
    let first = t.wanted.borrow_and_update().interest(memory.interest);
    // The receiver is alive in `outgoing` and the channel is empty: there is room.
    let _ = interests.try_send(first);
    let frames = in_time(client.watch(ReceiverStream::new(outgoing))).await?;
    let request = v1::EventsRequest {
        from_seq: memory.next_event,
        incarnation: memory.incarnation,
    };
    let events = in_time(client.events(request)).await?;
    backoff.reset();
    let mut open = Open {
        assembler: Assembler::new(t.node.clone(), memory.interest, memory.gaps),
        interests,
        members: Vec::new(),
        events_heard: false,
        details: Details::default(),
        client,
    };
    let result = open.pump(t, memory, frames, events).await;
    memory.gaps = open.assembler.gaps();
    result
}

/// An open stream.
struct Open {
    assembler: Assembler,
    interests: mpsc::Sender<v1::Interest>,
    members: Vec<v1::Member>,
    events_heard: bool,
    details: Details,
    client: IntrospectionClient<Channel>,
}

impl Open {
    async fn pump(
        &mut self,
        t: &mut Target,
        memory: &mut Memory,
        mut frames: Streaming<v1::Frame>,
        mut events: Streaming<v1::EventBatch>,
    ) -> Result<(), Failure> {
        let silence = Duration::from_millis(SILENCE_MS);
        let mut deadline = Instant::now() + silence;
        self.follow(t);
        loop {
            tokio::select! {
                frame = timeout_at(deadline, frames.message()) => {
                    let Ok(frame) = frame else { return Err(Failure::new("silent for too long")) };
                    let Some(frame) = frame.map_err(|s| Failure::status(&s))? else { return Ok(()) };
                    deadline = Instant::now() + silence;
                    self.frame(t, memory, frame)?;
                }
                batch = events.message() => {
                    let Some(batch) = batch.map_err(|s| Failure::status(&s))? else { return Ok(()) };
                    self.events(t, memory, batch);
                }
                update = self.details.next(&t.node) => t.outbox.put(update),
                Ok(()) = t.wanted.changed() => {
                    let id = self.assembler.ask();
                    self.ask(t, memory, id)?;
                    self.follow(t);
                }
            }
        }
    }

    fn follow(&mut self, t: &Target) {
        let wanted = t.wanted.borrow().detail.clone();
        self.details.follow(&self.client, &t.node, wanted.as_ref());
    }

    fn frame(&mut self, t: &mut Target, memory: &mut Memory, frame: v1::Frame) -> Result<(), Failure> {
        match self.assembler.take(frame) {
            Step::Nothing => {}
            Step::Rows(update) => {
                self.learn(t, &update.rows);
                t.outbox.put(Update::Rows(update));
            }
            Step::AskAgain(id) => self.ask(t, memory, id)?,
            Step::Refused(reason) => t.outbox.put(Update::Refused {
                node: t.node.clone(),
                reason,
            }),
            Step::Broken(why) => return Err(Failure::new(why)),
        }
        Ok(())
    }

    fn events(&mut self, t: &Target, memory: &mut Memory, batch: v1::EventBatch) {
        if let Some(last) = batch.events.last() {
            memory.next_event = last.seq.saturating_add(1);
            memory.incarnation = batch.incarnation;
        }
        // The first batch is passed on even when empty: it says that there is nothing to wait for.
        if !batch.events.is_empty() || batch.lost > 0 || !std::mem::replace(&mut self.events_heard, true) {
            let v1::EventBatch {
                events,
                lost,
                incarnation,
            } = batch;
            t.outbox.put(Update::Events {
                node: t.node.clone(),
                incarnation,
                events,
                lost,
            });
        }
    }

    fn ask(&self, t: &mut Target, memory: &mut Memory, id: u32) -> Result<(), Failure> {
        memory.interest = id;
        let interest = t.wanted.borrow_and_update().interest(id);
        self.interests
            .try_send(interest)
            .map_err(|_| Failure::new("the node reads no interests"))
    }

    /// Passes new members on.
    fn learn(&mut self, t: &Target, rows: &[v1::Row]) {
        let own = rows.iter().find_map(|r| match &r.row {
            Some(v1::row::Row::Node(node)) => Some(&node.members),
            _ => None,
        });
        let place = |m: &v1::Member| (m.name.clone(), m.grpc_addr.clone(), m.mesh_addr.clone());
        if let Some(members) = own.filter(|m| !m.iter().map(place).eq(self.members.iter().map(place))) {
            self.members.clone_from(members);
            tell(t, members.clone());
        }
    }
}

fn tell(t: &Target, members: Vec<v1::Member>) {
    // A full channel loses nothing: members are told again with every change and every hello.
    let _ = t.found.try_send(Found {
        asked: None,
        node: t.node.clone(),
        members,
    });
}

async fn in_time<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, Failure> {
    match timeout(Duration::from_millis(ANSWER_MS), call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(Failure::status(&status)),
        Err(_) => Err(Failure::new("no answer in time")),
    }
}
