//! The one connection of a client: dialled, kept, and replaced when it breaks. Its writer is a task of its own.

mod asking;
mod dial;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::ClusterId;
use squall_kernel::limits::FRAME_BYTES_MAX;
use squall_kernel::message::{ClientMessage, NodeMessage, control, parse};
use squall_kernel::reason::{NoReply, Refusal};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::asking::Asking;
use self::dial::{DialError, Dialled};
pub(crate) use self::writer::Queue;
use self::writer::Writer;
use crate::attachment::answer;
use crate::backoff::Backoff;
use crate::error::{ConnectError, Ended, Tried};
use crate::limits;
use crate::link::{Generation, Link, Peer};
use crate::state::{Outgoing, Shared};
use crate::tasks::unseen;

/// Call number of messages whose answer nobody waits for.
const NO_CALL: u64 = 0;

/// Keeps the client connected until it is closed.
pub(crate) async fn keep(shared: Arc<Shared>, mut queue: Queue, mut closed: watch::Receiver<bool>) {
    let mut keeper = Keeper {
        shared: Arc::clone(&shared),
        generation: Generation(0),
        cluster: None,
        backoff: Backoff::new(limits::BACKOFF_FIRST, limits::BACKOFF_LAST),
        tried: Vec::new(),
    };
    while !*closed.borrow() {
        let dialled = tokio::select! {
            _ = closed.wait_for(|closed| *closed) => break,
            dialled = keeper.dial() => dialled,
        };
        queue = keeper.serve(dialled, queue, &mut closed).await;
        shared.down();
    }
    shared.link.send_replace(Link::Closed);
    shared.give_up_waiting();
}

struct Keeper {
    shared: Arc<Shared>,
    generation: Generation,
    cluster: Option<ClusterId>,
    backoff: Backoff,
    /// Addresses that failed since the last connection, the latest word of each.
    tried: Vec<Tried>,
}

impl Keeper {
    /// Goes round the addresses until one answers.
    async fn dial(&mut self) -> Dialled {
        loop {
            let Some((addr, last)) = self.shared.next_address() else {
                return std::future::pending().await;
            };
            match dial::dial(&self.shared.options, &addr).await {
                Ok(dialled) => return dialled,
                Err(error) => self.failed(addr, &error),
            }
            if last {
                self.round_failed().await;
            }
        }
    }

    fn failed(&mut self, addr: String, error: &DialError) {
        tracing::debug!(%addr, %error, "no connection");
        if let DialError::Refused {
            refusal: refusal @ (Refusal::Cookie | Refusal::Version),
            detail,
        } = error
        {
            // Another attempt would be refused likewise: whoever waits for the first connection is told at once.
            let detail = detail.clone();
            let refused = ConnectError::Refused {
                addr: addr.clone(),
                refusal: *refusal,
                detail,
            };
            self.shared.link.send_replace(Link::Down(Some(refused)));
        }
        self.tried.retain(|tried| tried.addr != addr);
        self.tried.push(Tried {
            addr,
            why: error.to_string(),
        });
    }

    async fn round_failed(&mut self) {
        let tried = ConnectError::Unreachable(self.tried.clone());
        self.shared.link.send_if_modified(|link| match link {
            Link::Down(Some(ConnectError::Refused { .. })) => false,
            _ => {
                *link = Link::Down(Some(tried));
                true
            }
        });
        sleep(self.backoff.take(rand::random())).await;
    }

    /// Runs a connection to its end and gives the queue back.
    async fn serve(&mut self, dialled: Dialled, queue: Queue, closed: &mut watch::Receiver<bool>) -> Queue {
        self.generation.0 += 1;
        self.tried.clear();
        if self.cluster.is_some() && dialled.cluster.is_some() && self.cluster != dialled.cluster {
            tracing::warn!(node = %dialled.node.name, "another cluster answers than before");
            self.shared.give_up_waiting();
        }
        self.cluster = dialled.cluster.or(self.cluster);
        let mut members = dialled.members.clone();
        members.push(dialled.node.clone());
        self.shared.learn(&members);
        let peer = Peer {
            generation: self.generation,
            cluster: dialled.cluster,
            node: dialled.node.clone(),
        };
        tracing::info!(node = %peer.node.name, addr = %peer.node.mesh_addr, "connected");
        let began = Instant::now();
        let (queue, end) = Connection::start(Arc::clone(&self.shared), peer, dialled)
            .run(queue, closed)
            .await;
        tracing::info!(%end, "disconnected");
        if began.elapsed() >= limits::STABLE_AFTER {
            self.backoff.reset();
        } else if !*closed.borrow() {
            sleep(self.backoff.take(rand::random())).await;
        }
        queue
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client was closed")]
    Closed,
    #[error("the node closed it")]
    Eof,
    #[error("the node leaves")]
    Left,
    #[error("nothing was heard for {0:?}")]
    Silent(Duration),
    #[error("reading failed: {0}")]
    Read(std::io::Error),
    #[error("writing failed: {0}")]
    Write(std::io::Error),
    #[error("{0}")]
    Frame(#[from] squall_kernel::frame::FrameError),
    #[error("{0}")]
    Message(#[from] squall_kernel::message::NotAMessage),
    #[error("the node sent a frame that only clients send")]
    Unexpected,
}

struct Connection {
    shared: Arc<Shared>,
    generation: Generation,
    dialled: Dialled,
    heard: Instant,
    asked_members: Option<Instant>,
    /// Since when the node leaves.
    leaving: Option<Instant>,
    /// The writer holds requests back once this is set.
    hold: Arc<AtomicBool>,
    asking: Asking,
}

impl Connection {
    fn start(shared: Arc<Shared>, peer: Peer, dialled: Dialled) -> Self {
        let generation = peer.generation;
        shared.up(&dialled.addr, peer);
        Self {
            shared,
            generation,
            dialled,
            heard: Instant::now(),
            asked_members: None,
            leaving: None,
            hold: Arc::new(AtomicBool::new(false)),
            asking: Asking::default(),
        }
    }

    async fn run(mut self, queue: Queue, closed: &mut watch::Receiver<bool>) -> (Queue, End) {
        let (stop, stopped) = oneshot::channel();
        let writer = Writer {
            shared: Arc::clone(&self.shared),
            generation: self.generation,
            hold: Arc::clone(&self.hold),
        };
        let half = self
            .dialled
            .write
            .take()
            .expect("a fresh connection has its write half");
        let mut writer = tokio::spawn(writer.run(queue, half, stopped));
        let end = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => End::Closed,
            end = self.read() => end,
            written = &mut writer => {
                let (queue, error) = written.expect("the writer does not panic");
                return (queue, error.map_or(End::Closed, End::Write));
            }
        };
        drop(stop);
        let (queue, _) = writer.await.expect("the writer does not panic");
        (queue, end)
    }

    async fn read(&mut self) -> End {
        let mut tick = interval(self.shared.options.keepalive.min(Duration::from_millis(200)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut input = std::mem::take(&mut self.dialled.input);
        loop {
            if let Err(end) = self.take_frames(&mut input) {
                return end;
            }
            if let Some(end) = self.left() {
                return end;
            }
            input.reserve(limits::READ_BYTES);
            tokio::select! {
                read = self.dialled.read.read_buf(&mut input) => match read {
                    Ok(0) => return End::Eof,
                    Ok(_) => self.heard = Instant::now(),
                    Err(error) => return End::Read(error),
                },
                _ = tick.tick() => if let Some(end) = self.tick() { return end },
                () = self.asking.due() => self.ask_for_leases(),
                // Looked at above: a handler may have answered the last delivery meanwhile.
                () = sleep(limits::LEAVING_LOOK), if self.leaving.is_some() => {}
            }
        }
    }

    fn take_frames(&mut self, input: &mut BytesMut) -> Result<(), End> {
        while let Some((_, frame)) = Frame::decode(input, FRAME_BYTES_MAX)? {
            match frame.kind {
                Kind::Reply => self.shared.complete(frame),
                Kind::Deliver => self.deliver(Box::new(frame)),
                Kind::Task => self.task(Box::new(frame)),
                Kind::Settle => self.shared.settled(&frame),
                Kind::Control => self.message(parse(&frame.payload)?),
                Kind::Chunk | Kind::Credit | Kind::Ask | Kind::Tell if frame.to == 0 => {
                    self.shared.talked(frame);
                }
                Kind::Chunk | Kind::Credit | Kind::Ask | Kind::Tell => self.shared.lines.hear(&frame),
                Kind::Request => return Err(End::Unexpected),
                Kind::Event => self.shared.subscribers.event(self.generation, frame),
                Kind::Ack | Kind::Publish | Kind::Submit => {}
            }
        }
        Ok(())
    }

    fn message(&mut self, message: NodeMessage) {
        match message {
            NodeMessage::Members { call, ref members } => {
                self.shared.learn(members);
                self.shared.answer(self.generation, call, message);
            }
            NodeMessage::System { handler, message } => {
                if let Some(route) = self.shared.handler(handler) {
                    route.notice(self.generation, message);
                    self.asking.again(route.grants());
                }
            }
            NodeMessage::Detached { handler, reason } => {
                if let Some(route) = self.shared.remove_handler(handler) {
                    route.detached(self.generation, reason);
                }
            }
            NodeMessage::Leadership {
                handler,
                asked_at,
                leader_epoch,
                remaining,
                again,
            } => self.granted(handler, asked_at, leader_epoch, remaining, again),
            NodeMessage::SubscriberEnded {
                subscriber,
                reason,
                deleted,
            } => {
                let ended = if deleted {
                    Ended::Unavailable
                } else {
                    Ended::Refused
                };
                self.shared
                    .subscribers
                    .ended(self.generation, subscriber, ended(reason));
            }
            NodeMessage::Leaving { why } => {
                tracing::info!(node = %self.dialled.node.name, %why, "sent away");
                self.leaving = Some(Instant::now());
                self.hold.store(true, Ordering::Release);
                self.shared
                    .sent_away(&[&self.dialled.addr, &self.dialled.node.mesh_addr]);
            }
            NodeMessage::Found { call, .. }
            | NodeMessage::Attached { call, .. }
            | NodeMessage::Refused { call, .. }
            | NodeMessage::Proposed { call, .. }
            | NodeMessage::Subscribed { call, .. }
            | NodeMessage::Pong { call } => self.shared.answer(self.generation, call, message),
        }
    }

    /// Hands a delivery to its handler, or turns it away. Never waits: a node that sends more than the handler's credit
    /// is told that it is overloaded; to a handler that is gone nothing was delivered.
    fn deliver(&mut self, frame: Box<Frame>) {
        let (frame, reason) = match self.shared.handler(frame.to) {
            None => (frame, NoReply::Unreachable),
            Some(route) => match route.offer(&self.shared, self.generation, frame) {
                None => return,
                Some(frame) => (frame, NoReply::Rejected),
            },
        };
        self.send(answer(
            &frame,
            self.dialled.node.id,
            Status::None(reason),
            Bytes::new(),
        ));
    }

    /// Hands a task to its worker, or gives it back: the worker is gone, or takes no more.
    fn task(&mut self, frame: Box<Frame>) {
        let back = match self.shared.handler(frame.to) {
            None => Some(frame),
            Some(route) => route.offer(&self.shared, self.generation, frame),
        };
        if let Some(frame) = back {
            self.send(unseen(&frame));
        }
    }

    fn tick(&mut self) -> Option<End> {
        let silence = self.shared.options.silence;
        if self.heard.elapsed() >= silence {
            return Some(End::Silent(silence));
        }
        if self.leaving.is_some() {
            return self.left();
        }
        if self
            .asked_members
            .is_none_or(|asked| asked.elapsed() >= limits::MEMBERS_EVERY)
        {
            self.asked_members = Some(Instant::now());
            self.send(control(&ClientMessage::Members { call: NO_CALL }));
        } else if self.heard.elapsed() >= self.shared.options.keepalive {
            self.send(control(&ClientMessage::Ping { call: NO_CALL }));
        }
        None
    }

    /// The node has sent the client away, and nothing is open there any more, or for too long.
    fn left(&self) -> Option<End> {
        let since = self.leaving?;
        let idle = self.shared.written() == 0 && self.shared.delivering() == 0;
        (idle || since.elapsed() >= limits::LEAVING_GRACE).then_some(End::Left)
    }

    /// Sends what may be lost when the queue is full: a full queue is a sign of life of its own.
    fn send(&self, frame: Frame) {
        if self
            .shared
            .outbound
            .try_send(Outgoing::bound(self.generation, frame))
            .is_err()
        {
            tracing::debug!("the queue is full");
        }
    }
}
