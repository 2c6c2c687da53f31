//! How a message gets to a node of the cluster, this one included: the seam to the mesh, and what is counted there.
//!
//! What does not live here: links and lanes (the mesh), and what becomes of a frame that has arrived (the data plane).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind, Status, Tags, TraceContext};
use squall_kernel::id::{Epoch, ExchangeId, LeaderEpoch, MessageId, NodeId, Pid};
use squall_kernel::message::{self, PeerMessage};
use squall_kernel::planted::{self, Bug};
use squall_kernel::publishing::{GIVEN_BACK, ONE_WAY, ONE_WAY_CONFIRMED};
use squall_kernel::reason::NoReply;
use squall_kernel::spread::mix;

use crate::client_faults::ClientFaults;
use crate::data::Parts;
use crate::striped::Count;

/// The data lanes to the other nodes. Order holds for frames with the same key.
pub trait PeerLink: Send + Sync {
    /// Queues a frame for a peer.
    ///
    /// # Errors
    /// [`LinkError`]: the frame was certainly not sent.
    fn send(&self, to: NodeId, key: u64, frame: Frame) -> Result<(), LinkError>;
}

/// Why a frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// There is no link to that node now.
    #[error("no link to the node")]
    Down,
    /// The lane has as much unacknowledged as it may.
    #[error("the link is full")]
    Full,
}

impl LinkError {
    /// What a requester is told.
    #[must_use]
    pub const fn reason(self) -> NoReply {
        match self {
            Self::Down => NoReply::Unreachable,
            Self::Full => NoReply::Rejected,
        }
    }
}

/// What the data plane counts.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests of own requesters, and messages from peers.
    pub taken_in: Count,
    /// Outcomes to own requesters, and messages to peers.
    pub sent_out: Count,
    /// Replies that were second, late, or to nothing known.
    pub late_replies: AtomicU64,
    /// Replies that could not be sent to the requester's node.
    pub lost_replies: AtomicU64,
    /// Messages refused because their epoch was over.
    pub fenced: AtomicU64,
    /// Control frames that were none, or none for the data plane.
    pub garbled: AtomicU64,
    /// Requests whose deadline had passed before their handler took them up.
    pub expired: AtomicU64,
    /// Outcomes nobody was there to take.
    pub unclaimed: AtomicU64,
    /// Chunks, credit, questions and answers that broke a rule. Who sent them is told.
    pub talk_faults: AtomicU64,
    /// Requests declined because the function of their exchange failed. Their requesters are told.
    pub functions_failed: AtomicU64,
    /// Routing decisions explained, for whoever watches an exchange in detail.
    pub explained: AtomicU64,
    /// Detail streams that are open.
    pub detail_watchers: AtomicU64,
    /// Events that did not reach a node with subscribers.
    pub events_lost: AtomicU64,
    /// What was refused to clients of this node. They are told, so nothing of it is dropped.
    pub client_faults: ClientFaults,
}

impl Tally {
    /// Messages dropped, for any reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        [
            &self.late_replies,
            &self.lost_replies,
            &self.fenced,
            &self.garbled,
            &self.expired,
            &self.unclaimed,
            &self.events_lost,
            &self.talk_faults,
        ]
        .iter()
        .map(|n| n.load(Relaxed))
        .sum()
    }
}

/// Counts one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// The way to any node. Set up in two steps, because mesh and data plane need each other.
#[derive(Default)]
pub struct Wire {
    node: NodeId,
    link: OnceLock<Arc<dyn PeerLink>>,
    /// Read for every message that stays here, by all threads: nothing is counted for that.
    local: ArcSwapOption<Parts>,
    /// Nodes that swallow what is sent to them; empty most of the time.
    unreachable: RwLock<BTreeSet<NodeId>>,
    any_unreachable: AtomicBool,
    /// What is counted.
    pub tally: Tally,
}

impl Wire {
    /// The wire of that node; without a link nothing leaves it.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            ..Self::default()
        }
    }

    /// Sets the link to the peers. A second one is not taken.
    pub fn connect(&self, link: Arc<dyn PeerLink>) {
        if self.link.set(link).is_err() {
            tracing::error!("the data plane has a link already");
        }
    }

    /// Whether what is sent to `node` arrives. Requests and deliveries to a node that is not reached are not sent: they
    /// can go elsewhere, or be refused for certain. Everything else waits on the link.
    pub(crate) fn reach(&self, node: NodeId, reachable: bool) {
        let mut unreachable = self.unreachable.write().unwrap_or_else(PoisonError::into_inner);
        if reachable {
            unreachable.remove(&node);
        } else {
            unreachable.insert(node);
        }
        self.any_unreachable.store(!unreachable.is_empty(), Relaxed);
    }

    fn swallows(&self, node: NodeId) -> bool {
        self.any_unreachable.load(Relaxed)
            && self
                .unreachable
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&node)
    }

    /// Whether requests to a node are sent, as far as is known.
    pub(crate) fn reaches(&self, node: NodeId) -> bool {
        !self.swallows(node)
    }

    /// Sets who takes in what is sent to this node; nobody does once the data plane has ended.
    pub(crate) fn set_local(&self, parts: Option<Arc<Parts>>) {
        self.local.store(parts);
    }

    /// Sends a frame to a node.
    ///
    /// # Errors
    /// [`LinkError`]: it was certainly not sent.
    pub fn frame(&self, to: NodeId, key: u64, frame: impl Into<Box<Frame>>) -> Result<(), LinkError> {
        let frame = frame.into();
        if to == self.node {
            let local = self.local.load();
            local.as_ref().ok_or(LinkError::Down)?.take_in(to, frame);
            return Ok(());
        }
        if matches!(
            frame.kind,
            Kind::Request | Kind::Deliver | Kind::Publish | Kind::Event | Kind::Submit | Kind::Task
        ) && self.swallows(to)
        {
            return Err(LinkError::Down);
        }
        self.link.get().ok_or(LinkError::Down)?.send(to, key, *frame)?;
        self.tally.sent_out.one();
        Ok(())
    }

    /// Sends a control message of an exchange to a node, in order among those of that exchange.
    ///
    /// # Errors
    /// [`LinkError`]: it was certainly not sent.
    pub fn message(&self, to: NodeId, exchange: ExchangeId, message: PeerMessage) -> Result<(), LinkError> {
        self.control(to, (exchange, 0), message)
    }

    /// Sends a control message about a handler to its node, in order among the deliveries to that handler.
    ///
    /// # Errors
    /// [`LinkError`]: it was certainly not sent.
    pub fn message_behind_deliveries(
        &self,
        handler: Pid,
        exchange: ExchangeId,
        message: PeerMessage,
    ) -> Result<(), LinkError> {
        self.control(handler.node, (exchange, handler.serial), message)
    }

    fn control(
        &self,
        to: NodeId,
        (exchange, key): (ExchangeId, u64),
        message: PeerMessage,
    ) -> Result<(), LinkError> {
        if to == self.node {
            self.local().ok_or(LinkError::Down)?.message(to, message);
            return Ok(());
        }
        let frame = Frame {
            exchange,
            ..message::control(&message)
        };
        self.link
            .get()
            .ok_or(LinkError::Down)?
            .send(to, lane_key(exchange, key), frame)
    }

    /// Sends the end of a request to its requester's node. A reply that cannot be sent is counted; the requester's
    /// deadline ends the request.
    pub fn reply(&self, frame: impl Into<Box<Frame>>) {
        let mut frame = frame.into();
        match frame.count {
            ONE_WAY => return,
            ONE_WAY_CONFIRMED => (frame.index, frame.count) = (GIVEN_BACK, 0),
            _ => {}
        }
        let (to, key) = (frame.origin, frame.message.0);
        if self.frame(to, key, frame).is_err() {
            count(&self.tally.lost_replies);
        }
    }

    /// Gives a publish that no owner took to the subscribers on this node. False where its exchange has no such thing.
    pub(crate) fn publish_here(&self, event: Frame) -> bool {
        let local = self.local.load();
        local
            .as_ref()
            .is_some_and(|parts| parts.pubsub.publish_here(event))
    }

    /// The data plane of this node, while it runs.
    pub(crate) fn local(&self) -> Option<Arc<Parts>> {
        self.local.load_full()
    }
}

/// The key of what must stay in order: spread, so that lanes are used evenly.
#[must_use]
pub fn lane_key(exchange: ExchangeId, key: u64) -> u64 {
    mix(key
        .wrapping_add(u64::from(exchange.0) << 32)
        .wrapping_add(0x9e37_79b9_7f4a_7c15))
}

/// The key of an event on its way to a node: what one publisher publishes stays in its order.
#[must_use]
pub fn event_key(event: &Frame) -> u64 {
    let one_lane_for_each = planted::is(Bug::EventsOnAnyLane);
    let key = if one_lane_for_each {
        event.message.0
    } else {
        event.from.serial
    };
    lane_key(event.exchange, key)
}

/// Where the answer to a request goes, and what it must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnPath {
    /// Exchange.
    pub exchange: ExchangeId,
    /// Epoch under which it was routed.
    pub epoch: Epoch,
    /// Epoch of the leader it was routed to.
    pub leader_epoch: LeaderEpoch,
    /// Node of the requester.
    pub origin: NodeId,
    /// Number there.
    pub message: MessageId,
    /// Number of the copy.
    pub index: u32,
    /// Copies.
    pub count: u32,
    /// Trace context of the answer.
    pub trace: TraceContext,
    /// Request tag.
    pub request_tag: Bytes,
}

impl ReturnPath {
    /// The way back of a request or delivery.
    #[must_use]
    pub fn of(frame: &Frame) -> Self {
        Self {
            exchange: frame.exchange,
            epoch: frame.epoch,
            leader_epoch: frame.leader_epoch,
            origin: frame.origin,
            message: frame.message,
            index: frame.index,
            count: frame.count,
            trace: frame.trace,
            request_tag: frame.tags.request.clone(),
        }
    }

    /// The answer from `from`.
    #[must_use]
    pub fn reply(self, from: Pid, status: Status, payload: Bytes) -> Frame {
        Frame {
            status,
            exchange: self.exchange,
            epoch: self.epoch,
            leader_epoch: self.leader_epoch,
            message: self.message,
            origin: self.origin,
            from,
            index: self.index,
            count: self.count,
            trace: self.trace,
            tags: Tags {
                request: self.request_tag,
                ..Tags::default()
            },
            payload,
            ..Frame::new(Kind::Reply)
        }
    }

    /// The answer from `from` to that request or delivery, in its place.
    #[must_use]
    pub fn answer(
        mut frame: Box<Frame>,
        from: Pid,
        (trace, status): (TraceContext, Status),
        payload: Bytes,
    ) -> Box<Frame> {
        let Frame {
            exchange,
            epoch,
            leader_epoch,
            message,
            origin,
            index,
            count,
            ..
        } = *frame;
        let request = std::mem::take(&mut frame.tags.request);
        *frame = Frame {
            status,
            exchange,
            epoch,
            leader_epoch,
            message,
            origin,
            from,
            index,
            count,
            trace,
            tags: Tags {
                request,
                ..Tags::default()
            },
            payload,
            ..Frame::new(Kind::Reply)
        };
        frame
    }

    /// The end without a reply.
    #[must_use]
    pub fn none(self, from: Pid, reason: NoReply) -> Frame {
        self.reply(from, Status::None(reason), Bytes::new())
    }
}
