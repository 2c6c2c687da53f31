//! The handler's end. It runs twice: beside the handler, where it says when to wait, and at the handler's node, which lets
//! nothing through that breaks the rules.

use crate::limits::{CHUNK_CREDIT_MAX, QUESTIONS_MAX};
use crate::planted::{self, Bug};
use crate::reason::TalkFault;
use crate::talk::{is_end_mark, sized};

/// The handler's end of a talk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerEnd {
    /// Chunks that the requester takes now.
    credit: u32,
    /// Chunks sent.
    sent: u32,
    last: bool,
    /// Questions asked, and whether the latest has no answer yet.
    asked: u32,
    open: bool,
    over: Option<TalkFault>,
}

impl HandlerEnd {
    /// Of a request whose requester takes so many chunks; more than may be are not taken at their word.
    #[must_use]
    pub fn new(credit: u32) -> Self {
        Self {
            credit: credit.min(CHUNK_CREDIT_MAX),
            sent: 0,
            last: false,
            asked: 0,
            open: false,
            over: None,
        }
    }

    /// Why nothing more may be sent; none while something may.
    #[must_use]
    pub fn is_over(&self) -> Option<TalkFault> {
        self.over
    }

    /// True when chunks were sent and the last one was not.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.sent > 0 && !self.last && self.over.is_none()
    }

    /// The next chunk of the handler: its number, or none while the requester takes no more.
    ///
    /// # Errors
    /// [`TalkFault`] when there can be no next chunk, or not this one.
    pub fn next_chunk(&mut self, last: bool, len: usize) -> Result<Option<u32>, TalkFault> {
        if let Some(over) = self.over {
            return Err(over);
        }
        sized(len)?;
        let index = self.sent + 1;
        let count = if last { index } else { 0 };
        match self.admit(index, count, len) {
            Err(TalkFault::BeyondCredit) => Ok(None),
            admitted => admitted.map(|()| Some(index)),
        }
    }

    /// A chunk as it came from the handler. What breaks the rules ends the talk.
    ///
    /// # Errors
    /// [`TalkFault`].
    pub fn chunk(&mut self, index: u32, count: u32, len: usize) -> Result<(), TalkFault> {
        if let Some(over) = self.over {
            return Err(over);
        }
        let admitted = sized(len).and_then(|()| self.admit(index, count, len));
        self.over = admitted.err();
        admitted
    }

    fn admit(&mut self, index: u32, count: u32, len: usize) -> Result<(), TalkFault> {
        if self.last {
            return Err(TalkFault::AfterLast);
        }
        in_order(index, count, self.sent)?;
        if !is_end_mark(count, len) {
            self.credit = self.credit.checked_sub(1).ok_or(TalkFault::BeyondCredit)?;
        }
        self.sent = index;
        self.last = count > 0;
        Ok(())
    }

    /// The requester takes more.
    ///
    /// # Errors
    /// [`TalkFault::CreditAbuse`]; what was granted before still counts. [`TalkFault::Over`] after the end.
    pub fn credit(&mut self, more: u32) -> Result<(), TalkFault> {
        if self.over.is_some() {
            return Err(TalkFault::Over);
        }
        self.credit = granted(self.credit, more)?;
        Ok(())
    }

    /// The number of the handler's next question.
    ///
    /// # Errors
    /// [`TalkFault`] when it may ask none now.
    pub fn next_question(&mut self, len: usize) -> Result<u32, TalkFault> {
        let number = self.asked + 1;
        self.question(number, len).map(|()| number)
    }

    /// A question as it came from the handler. One that is refused changes nothing.
    ///
    /// # Errors
    /// [`TalkFault`].
    pub fn question(&mut self, number: u32, len: usize) -> Result<(), TalkFault> {
        if let Some(over) = self.over {
            return Err(over);
        }
        sized(len)?;
        may_ask(number, self.asked, self.open)?;
        (self.asked, self.open) = (number, true);
        Ok(())
    }

    /// The answer to a question, or that it was refused.
    ///
    /// # Errors
    /// [`TalkFault::NoSuchQuestion`] when that question is not open.
    pub fn answer(&mut self, number: u32) -> Result<(), TalkFault> {
        if !self.open || number != self.asked {
            return Err(TalkFault::NoSuchQuestion);
        }
        self.open = false;
        Ok(())
    }

    /// Nothing more may be sent: the request has ended, or the requester is gone. The first reason counts.
    pub fn end(&mut self, why: TalkFault) {
        self.over.get_or_insert(why);
    }
}

pub(super) fn in_order(index: u32, count: u32, before: u32) -> Result<(), TalkFault> {
    if index <= before {
        return Err(TalkFault::Repeated);
    }
    if index > before + 1 && !planted::is(Bug::AcceptGaps) {
        return Err(TalkFault::Gap);
    }
    if count != 0 && count != index {
        return Err(TalkFault::WrongCount);
    }
    Ok(())
}

pub(super) fn may_ask(number: u32, asked: u32, open: bool) -> Result<(), TalkFault> {
    if open {
        return Err(TalkFault::QuestionOpen);
    }
    if number != asked + 1 {
        return Err(TalkFault::QuestionOrder);
    }
    if number > QUESTIONS_MAX {
        return Err(TalkFault::TooManyQuestions);
    }
    Ok(())
}

pub(super) fn granted(now: u32, more: u32) -> Result<u32, TalkFault> {
    let sum = now.checked_add(more).filter(|sum| *sum <= CHUNK_CREDIT_MAX);
    sum.filter(|_| more > 0).ok_or(TalkFault::CreditAbuse)
}
