//! The requester's end, at its node: what the requester is given, in order and once, and nothing that comes from another
//! handler or under an epoch that is over.

use crate::id::{Epoch, NodeId, Pid};
use crate::limits::CHUNK_CREDIT_MAX;
use crate::planted::{self, Bug};
use crate::reason::TalkFault;
use crate::talk::handler::{granted, in_order, may_ask};
use crate::talk::{Speaker, Terms, is_end_mark, sized};

/// The requester's end of a talk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequesterEnd {
    terms: Terms,
    /// The request went out under it: no handler has it under a lower one.
    floor: Epoch,
    /// Chunks that the handler may send, as far as it was told.
    credit: u32,
    /// Credit that waits until the handler is known.
    owed: u32,
    chunks: u32,
    last: bool,
    speaker: Option<Speaker>,
    asked: u32,
    open: bool,
}

/// What a chunk means to the requester.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The requester is given it; the bare end mark is no chunk.
    pub give: bool,
    /// Credit that the handler is to be told of now.
    pub credit: u32,
}

impl RequesterEnd {
    /// Of a request on those terms.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            floor: Epoch(0),
            credit: terms.credit,
            owed: 0,
            chunks: 0,
            last: false,
            speaker: None,
            asked: 0,
            open: false,
        }
    }

    /// The request goes out, for the first time or again, under that epoch. Nobody has begun to answer it.
    pub fn sent(&mut self, epoch: Epoch) {
        debug_assert!(self.speaker.is_none(), "what was begun is not sent again");
        self.floor = epoch;
    }

    /// True when a handler has begun to answer: the request is not sent again, whatever comes.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.speaker.is_some()
    }

    /// Chunks that have come.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Questions that have come.
    #[must_use]
    pub fn questions(&self) -> u32 {
        self.asked
    }

    /// Who answers, once it has begun.
    #[must_use]
    pub fn speaker(&self) -> Option<Speaker> {
        self.speaker
    }

    /// True when the talk is with a handler on that node.
    #[must_use]
    pub fn is_with(&self, node: NodeId) -> bool {
        self.speaker.is_some_and(|speaker| speaker.handler.node == node)
    }

    /// Chunks that may come now, told of or not: never more than [`CHUNK_CREDIT_MAX`].
    #[must_use]
    pub fn outstanding(&self) -> u32 {
        self.credit + self.owed
    }

    /// A chunk.
    ///
    /// # Errors
    /// [`TalkFault::Fenced`] changes nothing; after any other one the request is over.
    pub fn chunk(&mut self, from: Speaker, index: u32, count: u32, len: usize) -> Result<Taken, TalkFault> {
        self.fence(from)?;
        sized(len)?;
        if self.last {
            return Err(TalkFault::AfterLast);
        }
        in_order(index, count, self.chunks)?;
        let give = !is_end_mark(count, len);
        if give {
            self.credit = self.credit.checked_sub(1).ok_or(TalkFault::BeyondCredit)?;
        }
        self.chunks = index;
        self.last = count > 0;
        Ok(Taken {
            give,
            credit: self.begin(from),
        })
    }

    /// A question of the handler; gives the credit that it is to be told of now. One that is refused changes nothing.
    ///
    /// # Errors
    /// [`TalkFault`].
    pub fn question(&mut self, from: Speaker, number: u32, len: usize) -> Result<u32, TalkFault> {
        self.fence(from)?;
        sized(len)?;
        if !self.terms.questions {
            return Err(TalkFault::NoQuestions);
        }
        may_ask(number, self.asked, self.open)?;
        (self.asked, self.open) = (number, true);
        Ok(self.begin(from))
    }

    /// The requester takes more chunks, and has `waiting` that it was not handed yet. Gives whom to tell; none while the
    /// handler is not known.
    ///
    /// # Errors
    /// [`TalkFault::CreditAbuse`].
    pub fn credit(&mut self, more: u32, waiting: u32) -> Result<Option<(Pid, u32)>, TalkFault> {
        if self.terms.credit == 0 {
            return Err(TalkFault::CreditAbuse);
        }
        granted(self.outstanding().saturating_add(waiting), more)?;
        debug_assert!(self.outstanding() + more <= CHUNK_CREDIT_MAX, "checked above");
        match self.speaker {
            None => {
                self.owed += more;
                Ok(None)
            }
            Some(_) if self.last => Ok(None),
            Some(speaker) => {
                self.credit += more;
                Ok(Some((speaker.handler, more)))
            }
        }
    }

    /// The requester's answer to a question; gives whom to tell.
    ///
    /// # Errors
    /// [`TalkFault::NoSuchQuestion`] when that question is not open, [`TalkFault::TooLarge`]: the question stays open.
    pub fn answer(&mut self, number: u32, len: usize) -> Result<Speaker, TalkFault> {
        let speaker = self.speaker.filter(|_| self.open && number == self.asked);
        let speaker = speaker.ok_or(TalkFault::NoSuchQuestion)?;
        sized(len)?;
        self.open = false;
        Ok(speaker)
    }

    /// A reply: whether it may end the request with success.
    ///
    /// # Errors
    /// [`TalkFault::Fenced`]: it is none. [`TalkFault::Incomplete`]: chunks are missing, and nobody knows which.
    pub fn reply(&self, from: Speaker) -> Result<(), TalkFault> {
        self.fence(from)?;
        if self.chunks > 0 && !self.last && !planted::is(Bug::AcceptIncomplete) {
            return Err(TalkFault::Incomplete);
        }
        Ok(())
    }

    /// Nothing passes but what comes from the handler that has begun, or from any while none has, under the epoch of the
    /// request or a later one.
    fn fence(&self, from: Speaker) -> Result<(), TalkFault> {
        let stranger = self.speaker.is_some_and(|speaker| speaker != from);
        if stranger || from.epoch < self.floor {
            return Err(TalkFault::Fenced);
        }
        Ok(())
    }

    fn begin(&mut self, from: Speaker) -> u32 {
        self.speaker = Some(from);
        let owed = core::mem::take(&mut self.owed);
        self.credit += owed;
        owed
    }
}
