//! What an exchange's owner hands over when the exchange moves, and how it is cut up where it is larger than a message: the
//! queue of an exchange with tasks may be, and so may the ids of publishes.
//!
//! What does not live here: sending it, and when (the shell); what the next owner makes of it (`exchange`).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{PeerMessage, Server, parse};
use crate::dedup::DedupState;
use crate::exchange::{RequestKey, Signature};
use crate::id::{Epoch, ExchangeId, NodeId, Pid};
use crate::limits::{SNAPSHOT_CHUNK_BYTES, TASK_BYTES_MAX};
use crate::tasks::QueueState;
use crate::time::Span;

/// Parts of one state at most: the tasks with what belongs to them, and as much again for everything else.
const PARTS_MAX: u32 = (4 * TASK_BYTES_MAX / SNAPSHOT_CHUNK_BYTES) as u32;

/// What an exchange's owner knows that the next one needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MoveState {
    /// Handlers in the order they attached.
    pub servers: Vec<Server>,
    /// Per service tag, whose turn it is; the empty tag stands for all.
    pub turns: Vec<(String, Pid)>,
    /// Requests passed on lately, so that those of a lost node can be ended.
    pub routes: Vec<MovedRoute>,
    /// How long leases granted to the leader may still hold.
    pub granted: Span,
    /// To whom they were granted.
    pub holder: Option<Pid>,
    /// Which signatures each handler has.
    pub bindings: Vec<(Pid, Vec<Signature>)>,
    /// Nodes that have not told of all their handlers yet.
    pub awaited: Vec<NodeId>,
    /// The queue of an exchange with tasks.
    pub tasks: Option<Box<QueueState>>,
    /// Ids of publishes that were passed on, where they are remembered.
    pub ids: DedupState,
}

impl MoveState {
    /// True when it may be larger than a message, so that it travels in parts.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.tasks.is_some() || !self.ids.ids.is_empty()
    }
}

/// A request that was passed on, on its way to the next owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedRoute {
    /// Request.
    pub request: RequestKey,
    /// Handler that has it.
    pub handler: Pid,
    /// Time until its deadline.
    pub left: Span,
    /// Number of the copy.
    pub index: u32,
    /// Copies delivered.
    pub count: u32,
}

/// A state cut up to be sent, each part as often as it takes.
#[derive(Debug, Clone)]
pub struct Parts {
    sum: u32,
    parts: Vec<Bytes>,
    next: usize,
}

impl Parts {
    /// Cuts a state up.
    ///
    /// # Panics
    /// Never: a state is plain data, and its queue is bounded.
    #[must_use]
    pub fn of(state: &MoveState) -> Self {
        let whole = Bytes::from(postcard::to_allocvec(state).expect("plain data"));
        let sum = crc32c::crc32c(&whole);
        let starts = (0..whole.len()).step_by(SNAPSHOT_CHUNK_BYTES);
        let parts = starts.map(|at| whole.slice(at..whole.len().min(at + SNAPSHOT_CHUNK_BYTES)));
        Self {
            sum,
            parts: parts.collect(),
            next: 0,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// The part that is next in turn, for the next owner.
    #[must_use]
    pub fn next(&self, exchange: ExchangeId, epoch: Epoch) -> Option<PeerMessage> {
        Some(PeerMessage::MovePart {
            exchange,
            epoch,
            sum: self.sum,
            part: u32::try_from(self.next).ok()?,
            parts: u32::try_from(self.parts.len()).ok()?,
            bytes: self.parts.get(self.next)?.clone(),
        })
    }

    /// It was sent: another one is next, the first one after the last.
    pub fn sent(&mut self) {
        self.next = (self.next + 1) % self.parts.len().max(1);
    }
}

/// A state that arrives in parts, in any order, each perhaps more than once.
#[derive(Debug, Clone, Default)]
pub struct Whole {
    sum: u32,
    parts: u32,
    have: BTreeMap<u32, Bytes>,
}

impl Whole {
    /// Takes a part; gives the state once it is whole. A part of another state begins anew.
    pub fn take(&mut self, sum: u32, part: u32, parts: u32, bytes: Bytes) -> Option<MoveState> {
        if part >= parts || parts > PARTS_MAX || bytes.len() > SNAPSHOT_CHUNK_BYTES {
            return None;
        }
        if (self.sum, self.parts) != (sum, parts) {
            self.have.clear();
            (self.sum, self.parts) = (sum, parts);
        }
        self.have.insert(part, bytes);
        if self.have.len() < parts as usize {
            return None;
        }
        let whole: Vec<u8> = core::mem::take(&mut self.have).into_values().flatten().collect();
        (crc32c::crc32c(&whole) == sum)
            .then(|| parse(&whole).ok())
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_put_together_from_parts_in_any_order() {
        let server = Server {
            pid: crate::id::Pid {
                node: crate::id::NodeId(1),
                serial: 7,
            },
            service_tag: String::from_utf8(alloc::vec![b'x'; 250]).expect("text"),
        };
        let state = MoveState {
            servers: alloc::vec![server; 10_000],
            ..MoveState::default()
        };
        let mut parts = Parts::of(&state);
        assert!(parts.count() > 2);
        let mut messages = Vec::new();
        for _ in 0..parts.count() {
            messages.push(parts.next(ExchangeId(1), Epoch(2)).expect("a part"));
            parts.sent();
        }
        assert_eq!(
            parts.next(ExchangeId(1), Epoch(2)).as_ref(),
            messages.first(),
            "from the start"
        );
        let mut whole = Whole::default();
        whole.take(parts.sum + 1, 0, 2, Bytes::from_static(b"another attempt"));
        let mut end = None;
        for message in messages.into_iter().rev() {
            let PeerMessage::MovePart {
                sum,
                part,
                parts,
                bytes,
                ..
            } = message
            else {
                panic!("{message:?}");
            };
            assert_eq!(end, None);
            end = whole.take(sum, part, parts, bytes);
        }
        assert_eq!(end, Some(state));
    }
}
