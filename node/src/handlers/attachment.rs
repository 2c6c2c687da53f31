//! One attachment: where its deliveries go, its fence, and how far it has followed the owner's messages.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_kernel::fence::{Fence, Fenced};
use squall_kernel::frame::Frame;
use squall_kernel::id::{Counter, Epoch, ExchangeId, ExchangeName, LeaderEpoch, Pid};
use squall_kernel::message::{System, SystemMessage};
use squall_kernel::reason::DetachReason;
use squall_kernel::time::{Instant, Span};

use super::HandlerTags;
use crate::limits::{ATTACH_CAP, ATTACH_FIRST};
use crate::process::{Process, Push};

/// Where the messages of a handler go. Nothing here waits.
pub trait HandlerSink: Send + Sync {
    /// Takes a delivery.
    ///
    /// # Errors
    /// [`Push`] gives it back.
    #[expect(
        clippy::result_large_err,
        reason = "a delivery that fits must not cost an allocation"
    )]
    fn deliver(&self, handler: &Arc<Attachment>, frame: Frame) -> Result<(), Push<Frame>>;
    /// Takes a system message. False when there is no room: the handler's view is built anew then.
    fn system(&self, handler: &Arc<Attachment>, message: &SystemMessage) -> bool;
    /// The handler is detached.
    fn detached(&self, handler: &Arc<Attachment>, reason: DetachReason);
}

/// A handler attached through this node.
pub struct Attachment {
    exchange: ExchangeId,
    name: ExchangeName,
    tags: HandlerTags,
    credit: u32,
    open: AtomicU32,
    process: Arc<Process>,
    sink: Arc<dyn HandlerSink>,
    view: Mutex<View>,
}

impl Attachment {
    pub(super) fn new(
        exchange: ExchangeId,
        name: ExchangeName,
        tags: HandlerTags,
        credit: u32,
        process: Arc<Process>,
        sink: Arc<dyn HandlerSink>,
    ) -> Self {
        Self {
            exchange,
            name,
            tags,
            credit,
            open: AtomicU32::new(0),
            process,
            sink,
            view: Mutex::default(),
        }
    }

    /// Pid of the handler.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Exchange.
    #[must_use]
    pub fn exchange(&self) -> ExchangeId {
        self.exchange
    }

    /// Name of the exchange.
    #[must_use]
    pub fn name(&self) -> &ExchangeName {
        &self.name
    }

    /// Tags.
    #[must_use]
    pub fn tags(&self) -> &HandlerTags {
        &self.tags
    }

    /// Its row in the process table.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    pub(super) fn sink(&self) -> &Arc<dyn HandlerSink> {
        &self.sink
    }

    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one of the deliveries the handler accepts at once; false when all are out.
    pub(super) fn take_credit(&self) -> bool {
        let taken = self.open.fetch_add(1, Ordering::Relaxed) < self.credit;
        if !taken {
            self.give_credit();
        }
        taken
    }

    /// A delivery was answered.
    pub(crate) fn give_credit(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a system message means to a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
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
#[derive(Debug)]
pub(super) struct View {
    fence: Fence,
    seen: Option<(Epoch, Counter)>,
    confirmed: Option<Epoch>,
    backoff: Span,
    next_try: Option<Instant>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            fence: Fence::default(),
            seen: None,
            confirmed: None,
            backoff: ATTACH_FIRST,
            next_try: None,
        }
    }
}

impl View {
    /// Epoch under which the owner has confirmed the attachment.
    pub(super) fn confirmed(&self) -> Option<Epoch> {
        self.confirmed
    }

    pub(super) fn fence(&mut self, epoch: Epoch, leader: LeaderEpoch) -> Result<(), Fenced> {
        self.fence.pass(epoch, leader)
    }

    pub(super) fn hear(&mut self, own: Pid, message: &SystemMessage) -> Heard {
        let leader_epoch = match &message.what {
            System::Leader { leader_epoch, .. } => *leader_epoch,
            System::SlaveUp(_) | System::SlaveDown { .. } => LeaderEpoch(0),
        };
        if self.fence.pass(message.epoch, leader_epoch).is_err() {
            return Heard::Fenced;
        }
        let at = (message.epoch, message.counter);
        match &message.what {
            System::Leader { servers, .. } => {
                let mine = servers.iter().any(|s| s.pid == own);
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
        if mine {
            self.confirmed = Some(at.0);
            self.next_try = None;
            self.backoff = ATTACH_FIRST;
        }
        if self.seen.replace(at) == Some(at) {
            Heard::Known
        } else {
            Heard::News
        }
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
            _ => Heard::Known,
        }
    }

    /// Wants the whole picture anew.
    pub(super) fn forget(&mut self) {
        self.seen = None;
        self.confirmed = None;
    }

    /// The next tries follow each other quickly again.
    pub(super) fn hurry(&mut self) {
        self.backoff = ATTACH_FIRST;
        self.next_try = None;
    }

    /// When the attachment is sent again, if that is not settled already.
    pub(super) fn next_try(&mut self, now: Instant) -> Option<Instant> {
        if self.next_try.is_some_and(|at| at > now) {
            return None;
        }
        let at = now + self.backoff;
        self.backoff = Span((self.backoff.0 * 2).min(ATTACH_CAP.0));
        self.next_try = Some(at);
        Some(at)
    }

    /// True when the try planned for `at` is to be made.
    pub(super) fn is_due(&mut self, at: Instant, epoch: Option<Epoch>) -> bool {
        if self.next_try != Some(at) {
            return false;
        }
        self.next_try = None;
        self.confirmed.is_none() || self.confirmed != epoch
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::{Boot, NodeId};
    use squall_kernel::message::Server;

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

    fn whole(epoch: u64, counter: u64) -> SystemMessage {
        let servers = vec![Server {
            pid: own(),
            service_tag: String::new(),
        }];
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
