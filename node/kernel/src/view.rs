//! A handler's view of its exchange's owner: the fence it stands behind, how far it has followed the owner's messages,
//! and when it attaches again.
//!
//! What does not live here: sending, and what the handler makes of the messages.

use crate::fence::{Fence, Fenced, Pass};
use crate::id::{Counter, Epoch, LeaderEpoch, Pid, Revision};
use crate::limits::{ATTACH_CAP, ATTACH_FIRST};
use crate::message::{System, SystemMessage};
use crate::planted::{self, Bug};
use crate::time::{Instant, Span};

/// What a system message means to a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Something new.
    News,
    /// Nothing new.
    Known,
    /// One before it is missing.
    Gap,
    /// It comes from an owner or leader whose time is over.
    Fenced,
}

/// How far a handler has followed the owner.
#[derive(Debug, Clone)]
pub struct View {
    fence: Fence,
    seen: Option<(Epoch, Counter)>,
    confirmed: Option<Epoch>,
    returned: Option<Revision>,
    backoff: Span,
    next_try: Option<Instant>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            fence: Fence::default(),
            seen: None,
            confirmed: None,
            returned: None,
            backoff: ATTACH_FIRST,
            next_try: None,
        }
    }
}

impl View {
    /// Epoch under which the owner has confirmed the attachment.
    #[must_use]
    pub fn confirmed(&self) -> Option<Epoch> {
        self.confirmed
    }

    /// Lets an effect through the handler's fence.
    ///
    /// # Errors
    /// [`Fenced`] when it comes under an epoch that is over.
    pub fn fence(&mut self, epoch: Epoch, leader: LeaderEpoch) -> Result<Pass, Fenced> {
        self.fence.pass(epoch, leader)
    }

    /// Lets a delivery through the handler's fence. One that goes by signature is refused, too, while the handler waits to be taken
    /// in after a loss: it was sent before, and the signature has gone to another one since.
    ///
    /// # Errors
    /// [`Fenced`] when it is not the handler's any more.
    pub fn deliver(&mut self, epoch: Epoch, leader: LeaderEpoch, by_signature: bool) -> Result<Pass, Fenced> {
        let pass = self.fence(epoch, leader)?;
        if by_signature && self.returned.is_some() {
            return Err(Fenced {
                epoch: self.fence.epoch(),
                leader: self.fence.leader(),
            });
        }
        Ok(pass)
    }

    /// The node was held for lost at that revision: whatever owners have sent until they hear of that is not for the handler
    /// any more, and confirms nothing.
    pub fn lost(&mut self, at: Revision) {
        self.forget();
        self.returned = Some(at);
    }

    /// The loss after which no owner has taken the handler in yet.
    #[must_use]
    pub fn returned(&self) -> Option<Revision> {
        self.returned
    }

    /// An owner takes the handler in again; `returned` is the loss it knows of. True when that was awaited: from here on
    /// what comes on the way of this message was sent after it.
    ///
    /// # Errors
    /// [`Fenced`] when that owner's time is over.
    pub fn taken_in(&mut self, epoch: Epoch, returned: Revision) -> Result<bool, Fenced> {
        let _pass = self.fence.pass(epoch, LeaderEpoch(0))?;
        let awaited = self.returned == Some(returned);
        if awaited {
            self.returned = None;
            if self.seen.is_some_and(|(seen, _)| seen == epoch) {
                self.confirm(epoch);
            }
        }
        Ok(awaited)
    }

    /// Takes a system message; `own` is the handler's pid.
    pub fn hear(&mut self, own: Pid, message: &SystemMessage) -> Heard {
        let leader_epoch = match &message.what {
            System::Leader { leader_epoch, .. } => *leader_epoch,
            System::SlaveUp(_) | System::SlaveDown { .. } => LeaderEpoch(0),
        };
        let anew = matches!(message.what, System::Leader { .. });
        if anew && planted::is(Bug::ForgetEpochOnRestart) {
            self.fence = Fence::default();
        }
        if self.fence.pass(message.epoch, leader_epoch).is_err() {
            return Heard::Fenced;
        }
        let at = (message.epoch, message.counter);
        match &message.what {
            System::Leader { servers, .. } => {
                let mine = servers.contains(own);
                self.whole(at, mine)
            }
            System::SlaveUp(_) | System::SlaveDown { .. } => self.difference(at),
        }
    }

    /// A message with the whole picture: it also confirms the attachment when the handler is in it.
    fn whole(&mut self, at: (Epoch, Counter), mine: bool) -> Heard {
        if self.seen.is_some_and(|seen| seen > at) {
            return Heard::Known;
        }
        if mine && self.returned.is_none() {
            self.confirm(at.0);
        }
        if self.seen.replace(at) == Some(at) {
            Heard::Known
        } else {
            Heard::News
        }
    }

    fn confirm(&mut self, epoch: Epoch) {
        self.confirmed = Some(epoch);
        self.next_try = None;
        self.backoff = ATTACH_FIRST;
    }

    /// A message that only makes sense after the one before it. A handler that is not confirmed yet gets the whole
    /// picture soon.
    fn difference(&mut self, at: (Epoch, Counter)) -> Heard {
        match self.seen {
            Some((epoch, counter)) if epoch == at.0 && self.confirmed == Some(epoch) => {
                if at.1 <= counter {
                    return Heard::Known;
                }
                if at.1 != Counter(counter.0 + 1) {
                    return Heard::Gap;
                }
                self.seen = Some(at);
                Heard::News
            }
            Some((epoch, counter)) if self.returned.is_some() && epoch == at.0 && at.1 > counter => {
                // It is not told of this before it is taken in: what it has seen is not the whole picture any more.
                self.seen = None;
                Heard::Known
            }
            _ => Heard::Known,
        }
    }

    /// Wants the whole picture anew.
    pub fn forget(&mut self) {
        if planted::is(Bug::ForgetEpochOnRestart) {
            self.fence = Fence::default();
        }
        self.seen = None;
        self.confirmed = None;
    }

    /// The next tries follow each other quickly again.
    pub fn hurry(&mut self) {
        self.backoff = ATTACH_FIRST;
        self.next_try = None;
    }

    /// When the attachment is sent again, if that is not settled already.
    pub fn next_try(&mut self, now: Instant) -> Option<Instant> {
        if self.next_try.is_some_and(|at| at > now) {
            return None;
        }
        let at = now + self.backoff;
        self.backoff = Span((self.backoff.0 * 2).min(ATTACH_CAP.0));
        self.next_try = Some(at);
        Some(at)
    }

    /// True when the try planned for `at` is to be made.
    pub fn is_due(&mut self, at: Instant, epoch: Option<Epoch>) -> bool {
        if self.next_try != Some(at) {
            return false;
        }
        self.next_try = None;
        self.confirmed.is_none() || self.confirmed != epoch
    }
}

#[cfg(test)]
mod tests {
    use crate::id::{Boot, ExchangeId, NodeId};
    use crate::message::{Server, Servers};
    use alloc::string::String;
    use alloc::vec;

    use super::*;

    fn own() -> Pid {
        Pid::new(NodeId(1), Boot(1), 5)
    }

    fn message(epoch: u64, counter: u64, what: System) -> SystemMessage {
        SystemMessage {
            exchange: ExchangeId(1),
            epoch: Epoch(epoch),
            counter: Counter(counter),
            what,
        }
    }

    fn lost() -> View {
        let mut view = View::default();
        assert_eq!(view.hear(own(), &whole(1, 1)), Heard::News);
        view.lost(Revision(7));
        view
    }

    #[test]
    fn after_a_loss_only_an_owner_that_knows_of_it_takes_the_handler_in() {
        let mut view = lost();
        assert_eq!((view.confirmed(), view.returned()), (None, Some(Revision(7))));
        // Sent before the loss.
        assert_eq!(view.hear(own(), &whole(1, 2)), Heard::News);
        assert_eq!(view.confirmed(), None);
        assert_eq!(view.taken_in(Epoch(1), Revision(4)), Ok(false), "an earlier loss");
        assert_eq!(view.hear(own(), &whole(1, 4)), Heard::News);
        assert_eq!(view.taken_in(Epoch(1), Revision(7)), Ok(true));
        assert_eq!((view.confirmed(), view.returned()), (Some(Epoch(1)), None));
        assert_eq!(view.taken_in(Epoch(1), Revision(7)), Ok(false), "said twice");
        assert_eq!(view.hear(own(), &up(1, 5)), Heard::News);
    }

    #[test]
    fn what_goes_by_signature_is_refused_from_a_loss_until_the_handler_is_taken_in() {
        let mut view = lost();
        let passes =
            |view: &mut View, by_signature| view.deliver(Epoch(1), LeaderEpoch(0), by_signature).is_ok();
        assert!(!passes(&mut view, true) && passes(&mut view, false));
        assert_eq!(view.taken_in(Epoch(1), Revision(7)), Ok(true));
        assert!(passes(&mut view, true));
        let earlier = view.deliver(Epoch(0), LeaderEpoch(0), true);
        assert_eq!(earlier.map_err(|fenced| fenced.epoch), Err(Epoch(1)));
    }

    #[test]
    fn taken_in_before_the_whole_picture_comes_or_when_it_is_out_of_date_it_waits_for_the_next() {
        let mut view = lost();
        assert_eq!(view.taken_in(Epoch(1), Revision(7)), Ok(true));
        assert_eq!(view.confirmed(), None);
        assert_eq!(view.hear(own(), &whole(1, 4)), Heard::News);
        assert_eq!(view.confirmed(), Some(Epoch(1)));

        let mut view = lost();
        assert_eq!(view.hear(own(), &whole(1, 4)), Heard::News);
        assert_eq!(view.hear(own(), &up(1, 5)), Heard::Known);
        assert_eq!(view.taken_in(Epoch(1), Revision(7)), Ok(true));
        assert_eq!(view.confirmed(), None, "one that it was not told of");
        assert_eq!(view.hear(own(), &whole(1, 5)), Heard::News);
        assert_eq!(view.confirmed(), Some(Epoch(1)));
    }

    #[test]
    fn an_earlier_owner_takes_nobody_in() {
        let mut view = lost();
        assert_eq!(view.hear(own(), &whole(2, 1)), Heard::News);
        assert!(view.taken_in(Epoch(1), Revision(7)).is_err());
        assert_eq!(view.confirmed(), None);
        assert_eq!(view.taken_in(Epoch(2), Revision(7)), Ok(true));
        assert_eq!(view.confirmed(), Some(Epoch(2)));
    }

    fn whole(epoch: u64, counter: u64) -> SystemMessage {
        let servers = Servers::from(vec![Server {
            pid: own(),
            service_tag: String::new(),
        }]);
        message(
            epoch,
            counter,
            System::Leader {
                leader: None,
                leader_epoch: LeaderEpoch(0),
                servers,
            },
        )
    }

    fn up(epoch: u64, counter: u64) -> SystemMessage {
        message(
            epoch,
            counter,
            System::SlaveUp(Server {
                pid: own(),
                service_tag: String::new(),
            }),
        )
    }

    #[test]
    fn a_gap_is_noticed_and_a_repetition_is_not_told_twice() {
        let mut view = View::default();
        assert_eq!(view.hear(own(), &up(1, 1)), Heard::Known, "not confirmed yet");
        assert_eq!(view.hear(own(), &whole(1, 1)), Heard::News);
        assert_eq!(view.confirmed(), Some(Epoch(1)));
        assert_eq!(view.hear(own(), &up(1, 2)), Heard::News);
        assert_eq!(view.hear(own(), &up(1, 2)), Heard::Known);
        assert_eq!(view.hear(own(), &up(1, 4)), Heard::Gap);
        assert_eq!(view.hear(own(), &whole(1, 4)), Heard::News);
        assert_eq!(view.hear(own(), &whole(1, 4)), Heard::Known);
    }

    #[test]
    fn a_message_of_an_earlier_owner_is_fenced() {
        let mut view = View::default();
        assert_eq!(view.hear(own(), &whole(3, 1)), Heard::News);
        assert_eq!(view.hear(own(), &whole(2, 9)), Heard::Fenced);
        assert!(view.fence(Epoch(2), LeaderEpoch(0)).is_err());
    }

    #[test]
    fn only_the_try_planned_last_is_made() {
        let mut view = View::default();
        let first = view.next_try(Instant(0)).expect("none planned");
        assert_eq!(view.next_try(Instant(0)), None, "one is planned");
        view.hurry();
        let second = view.next_try(Instant(5)).expect("planned anew");
        assert!(!view.is_due(first, Some(Epoch(1))));
        assert!(view.is_due(second, Some(Epoch(1))));
    }
}
