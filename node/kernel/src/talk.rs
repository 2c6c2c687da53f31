//! What passes between a requester and its handler beside the request and its reply: chunks of a response paced by the
//! requester's credit (A106, B4), and questions that the handler asks back (A107). One machine for each end.
//!
//! All of it travels directly between the requester's node and the handler's. Chunks are numbered from 1; the last one
//! carries their count, and where it is empty it is the bare end mark, which is no chunk for the requester and costs no
//! credit. Questions are numbered from 1, one is open at a time. The reply still ends the request; it is the only end
//! that is a success, and it is one only after the last chunk.
//!
//! What does not live here: the request itself (`exchange`), its deadline and its one outcome, and sending.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::frame::{Frame, Kind, Status};
use crate::id::{Epoch, LeaderEpoch, MessageId, NodeId, Pid};
use crate::limits::{CHUNK_BYTES_MAX, CHUNK_CREDIT_MAX};
use crate::message;
use crate::reason::{NoReply, TalkFault};

mod handler;
mod requester;

pub use handler::HandlerEnd;
pub use requester::{RequesterEnd, Taken};

/// What a requester takes beside one reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Terms {
    /// Chunks it takes before it says that it takes more; 0 for a response in one piece.
    pub credit: u32,
    /// It answers questions.
    pub questions: bool,
}

impl Terms {
    /// Whether such terms may be asked for.
    ///
    /// # Errors
    /// [`TalkFault::CreditAbuse`] above [`CHUNK_CREDIT_MAX`].
    pub fn check(self) -> Result<(), TalkFault> {
        if self.credit > CHUNK_CREDIT_MAX {
            return Err(TalkFault::CreditAbuse);
        }
        Ok(())
    }

    /// True when they say no more than any request does.
    #[must_use]
    pub fn is_plain(self) -> bool {
        self == Self::default()
    }
}

/// A delivered request, at one handler of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TalkKey {
    /// Node of the requester.
    pub origin: NodeId,
    /// Number of the request there.
    pub message: MessageId,
    /// Serial of the handler.
    pub handler: u64,
}

impl TalkKey {
    /// Of a frame to the handler.
    #[must_use]
    pub const fn to_handler(frame: &Frame) -> Self {
        Self {
            origin: frame.origin,
            message: frame.message,
            handler: frame.to,
        }
    }

    /// Of a frame from the handler.
    #[must_use]
    pub const fn from_handler(frame: &Frame) -> Self {
        Self {
            origin: frame.origin,
            message: frame.message,
            handler: frame.from.serial,
        }
    }
}

/// Who speaks for the handler, and under which epochs it got the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaker {
    /// Handler.
    pub handler: Pid,
    /// Epoch of the exchange.
    pub epoch: Epoch,
    /// Epoch of the leader; 0 without one.
    pub leader_epoch: LeaderEpoch,
}

impl Speaker {
    /// Of a frame from a handler.
    #[must_use]
    pub fn of(frame: &Frame) -> Self {
        Self {
            handler: frame.from,
            epoch: frame.epoch,
            leader_epoch: frame.leader_epoch,
        }
    }
}

/// True for the frame that says that there are no more chunks, and is none itself.
#[must_use]
pub fn is_end_mark(count: u32, len: usize) -> bool {
    count > 0 && len == 0
}

/// That frame comes back to whoever sent it: the same kind and number, and what was wrong with it.
#[must_use]
pub fn refusal(of: &Frame, fault: TalkFault) -> Frame {
    Frame {
        status: Status::None(NoReply::Rejected),
        exchange: of.exchange,
        epoch: of.epoch,
        leader_epoch: of.leader_epoch,
        message: of.message,
        origin: of.origin,
        to: of.from.serial,
        index: of.index,
        payload: fault_bytes(fault),
        ..Frame::new(of.kind)
    }
}

/// Says to a handler that its requester takes nothing more: why the request ended there, and what the handler did wrong,
/// if that is why.
#[must_use]
pub fn stop(why: NoReply, fault: Option<TalkFault>) -> Frame {
    Frame {
        status: Status::None(why),
        payload: fault.map(fault_bytes).unwrap_or_default(),
        ..Frame::new(Kind::Credit)
    }
}

/// What a refusal says was wrong; [`TalkFault::Over`] where it does not say.
#[must_use]
pub fn fault_of(frame: &Frame) -> TalkFault {
    message::parse(&frame.payload).unwrap_or(TalkFault::Over)
}

fn fault_bytes(fault: TalkFault) -> Bytes {
    message::control(&fault).payload
}

fn sized(len: usize) -> Result<(), TalkFault> {
    if len > CHUNK_BYTES_MAX {
        return Err(TalkFault::TooLarge);
    }
    Ok(())
}

#[cfg(test)]
#[path = "talk_model_test.rs"]
mod model;
#[cfg(test)]
#[path = "talk_test.rs"]
mod tests;
