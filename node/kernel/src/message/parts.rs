//! The state of a move in pieces: the queue of an exchange with tasks may be larger than a message.
//!
//! What does not live here: sending them, and when (the shell).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{MoveState, PeerMessage, parse};
use crate::id::{Epoch, ExchangeId};
use crate::limits::{SNAPSHOT_CHUNK_BYTES, TASK_BYTES_MAX};

/// Parts of one state at most: the tasks with what belongs to them, and as much again for everything else.
const PARTS_MAX: u32 = (4 * TASK_BYTES_MAX / SNAPSHOT_CHUNK_BYTES) as u32;

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
    use crate::message::Server;
    use alloc::string::String;

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
