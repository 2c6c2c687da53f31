//! One open request: what it is, where it is, and which of its copies have ended.
//!
//! What does not live here: the table that it is in (`table`), its way through middleware (`way`), its talk (`talking`).

use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{ExchangeId, MessageId, NodeId};
use squall_kernel::publishing::{Place, Places};
use squall_kernel::reason::NoReply;
use squall_kernel::talk::RequesterEnd;
use squall_kernel::time::{Instant, Span};

use super::Request;
use super::outcome::ReplyTo;
use super::stats::Ticket;
use super::way::Way;
use crate::spans::Traced;

/// An open request.
pub(super) struct Open {
    pub(super) request: Request,
    pub(super) reply_to: ReplyTo,
    pub(super) stats: Ticket,
    pub(super) traced: Traced,
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    /// End of the tries, from the first refusal on.
    pub(super) retry_until: Option<Instant>,
    pub(super) backoff: Span,
    pub(super) stage: Stage,
    pub(super) copies: Copies,
    /// What goes between requester and handler beside the reply, where the requester takes more.
    pub(super) talk: Option<Box<RequesterEnd>>,
    /// Exchanges that sent it on.
    pub(super) hops: u8,
    /// Middleware that it has come to.
    pub(super) steps: u8,
    /// What is before it, where its exchange has middleware.
    pub(super) way: Option<Box<Way>>,
    /// Its number in the journal, where one is kept: every try has another one on the wire.
    pub(super) told: Option<MessageId>,
    /// A publish that its exchange passed on to one handler, which did not take it.
    pub(super) given_back: bool,
    /// The exchange that was asked for: another one may answer, and middleware is asked before.
    pub(super) asked: ExchangeId,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not sent yet.
    New,
    /// Sent to the owner.
    Sent {
        owner: NodeId,
        /// Who knows where it went: the owner, or who owns the exchange since it moved.
        keeper: NodeId,
    },
    /// Certainly not delivered; waits for the next try.
    Waiting { reason: NoReply },
}

impl Open {
    /// Why a publish whose last word is this one did not reach all nodes, where its publisher hears of nothing but the end.
    pub(super) fn unheard_failure(&self, last: Status) -> Option<NoReply> {
        let alone = self.reply_to.hears_the_end_alone();
        self.copies.failure(last).filter(|_| alone)
    }

    /// How it ended as a whole, when this is its last word: what it told whoever hears the end alone; where each copy's end was
    /// told, the worst of them.
    pub(super) fn as_a_whole(&self, last: Status) -> Status {
        match self.copies.worst {
            Some(worst) if !self.reply_to.hears_the_end_alone() => worse(worst, last),
            _ => last,
        }
    }
}

/// The one that leaves more to do: what may have been carried out and nobody knows, then what certainly was not, then a no of a
/// handler's. Of equals the first.
const fn worse(first: Status, second: Status) -> Status {
    if badness(second) > badness(first) {
        second
    } else {
        first
    }
}

const fn badness(status: Status) -> u8 {
    match status {
        Status::Reply => 0,
        Status::Declined | Status::Redirect | Status::Pass | Status::Rewrite => 1,
        Status::None(NoReply::Timeout | NoReply::Interrupted | NoReply::Failed) => 3,
        Status::None(_) => 2,
    }
}

/// Which copies of a request have ended.
#[derive(Debug, Default)]
pub(super) struct Copies {
    ended: Vec<u64>,
    pub(super) left: Option<u32>,
    /// Of a publish: nodes divide their places among others.
    places: Places,
    /// Some node did not take it.
    pub(super) failed: Option<NoReply>,
    /// Some node has it.
    reached: bool,
    /// How the worst of those ended that were told of one by one.
    worst: Option<Status>,
}

impl Copies {
    /// Ends a copy; false when it had ended before or there is no such copy.
    pub(super) fn end(&mut self, index: u32, count: u32) -> bool {
        if index == 0 || index > count {
            return false;
        }
        let (word, bit) = ((index as usize - 1) / 64, 1u64 << ((index - 1) % 64));
        if self.ended.is_empty() {
            self.ended.resize((count as usize).div_ceil(64), 0);
        }
        let Some(word) = self.ended.get_mut(word).filter(|word| **word & bit == 0) else {
            return false;
        };
        *word |= bit;
        self.left = Some(self.left.unwrap_or(count).saturating_sub(1));
        true
    }

    /// One has ended, and others are still out.
    pub(super) fn note(&mut self, status: Status) {
        self.worst = Some(self.worst.map_or(status, |worst| worse(worst, status)));
    }

    /// Why not all have it, in one word, when this is the last one.
    fn failure(&self, last: Status) -> Option<NoReply> {
        let last = match last {
            Status::None(reason) => Some(reason),
            _ => None,
        };
        let failed = last.map_or(self.failed, |last| Some(self.worse_than(last)))?;
        // Others have it: sent again it would come to those twice.
        Some(if self.reached && failed.may_be_sent_again() {
            NoReply::Interrupted
        } else {
            failed
        })
    }

    /// That reason, or what was said before where that leaves more to do: where nobody knows whether a node has it, another one that
    /// certainly has not makes that no more certain.
    fn worse_than(&self, reason: NoReply) -> NoReply {
        match self.failed {
            Some(before) if badness(Status::None(before)) > badness(Status::None(reason)) => before,
            _ => reason,
        }
    }

    /// Takes in a node's word on a publish, and gives it the number in which it came. False when it had come before.
    pub(super) fn end_place(&mut self, frame: &mut Frame) -> bool {
        if !self.places.take(Place::of(frame.index, frame.count)) {
            return false;
        }
        (frame.index, frame.count) = (self.places.came(), self.places.known());
        self.left = Some(u32::from(!self.places.is_whole()));
        match frame.status {
            Status::Reply => self.reached = true,
            Status::None(reason) => self.failed = Some(self.worse_than(reason)),
            _ => self.failed = Some(self.worse_than(NoReply::Rejected)),
        }
        true
    }
}

/// True when the frame may be about this request, as it was last sent.
pub(super) fn is_out(open: &Open, frame: &Frame) -> bool {
    matches!(open.stage, Stage::Sent { .. }) && open.request.exchange == frame.exchange
}

#[cfg(test)]
mod tests {
    use squall_kernel::frame::Kind;

    use super::*;

    #[test]
    fn each_copy_ends_once() {
        let mut copies = Copies::default();
        assert!(copies.end(2, 3) && !copies.end(2, 3));
        assert!(!copies.end(0, 3) && !copies.end(4, 3));
        assert!(copies.end(1, 3) && copies.end(3, 3));
        assert_eq!(copies.left, Some(0));
    }

    #[test]
    fn of_several_ends_the_one_that_leaves_most_to_do_counts() {
        let unknown = Status::None(NoReply::Interrupted);
        let refused = Status::None(NoReply::NoResponders);
        let in_order = [Status::Reply, Status::Declined, refused, unknown];
        for (n, better) in in_order.into_iter().enumerate() {
            for other in &in_order[n..] {
                assert_eq!(worse(better, *other), *other);
                assert_eq!(worse(*other, better), *other);
            }
        }
        let mut copies = Copies::default();
        for status in [Status::Reply, unknown, Status::None(NoReply::Timeout), refused] {
            copies.note(status);
        }
        assert_eq!(copies.worst, Some(unknown));
    }

    #[test]
    fn who_hears_the_end_alone_is_not_told_to_send_again_what_some_have() {
        let (has, away) = (Status::Reply, Status::None(NoReply::Unreachable));
        let failure = |words: [Status; 2]| {
            let mut copies = Copies::default();
            for (place, status) in Place::all(2).zip(words) {
                let (index, count) = place.numbers();
                let mut word = Frame {
                    status,
                    index,
                    count,
                    ..Frame::new(Kind::Reply)
                };
                assert!(copies.end_place(&mut word));
            }
            assert_eq!(copies.left, Some(0));
            copies.failure(words[1])
        };
        assert_eq!(failure([has, has]), None);
        assert_eq!(failure([away, away]), Some(NoReply::Unreachable));
        for mixed in [[away, has], [has, away]] {
            assert_eq!(failure(mixed), Some(NoReply::Interrupted));
        }
        let full = Status::None(NoReply::Rejected);
        assert_eq!(failure([has, full]), Some(NoReply::Rejected));
        let unknown = Status::None(NoReply::Interrupted);
        for mixed in [[away, unknown], [unknown, away]] {
            assert_eq!(failure(mixed), Some(NoReply::Interrupted), "nobody knows");
        }
    }
}
