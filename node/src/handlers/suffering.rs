//! What faults do to handlers and workers attached through this node: those of clients here, on the way to their session;
//! those inside the node by telling them.
//!
//! What does not live here: which faults act (`faults`), and what a handler inside the node makes of it (`embedded`).

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_kernel::fault::ProcessFault;
use squall_kernel::fence::Pass;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::ExchangeName;
use squall_kernel::reason::{DetachReason, NoReply};
use squall_kernel::tasks::Retry;
use squall_kernel::time::{Instant, Span};
use tokio::sync::Notify;

use super::embedded::words;
use super::{Attachment, Handlers};
use crate::faults::{Kinds, Touched};
use crate::held::Held;
use crate::limits::{CREDIT_MAX, MAILBOX_BYTES_MAX};
use crate::process::Push;
use crate::telemetry::logging::about;
use crate::wire::{ReturnPath, count};

/// What a handler that a fault lets panic is said to have said.
pub(super) const PANIC_WORDS: &str = "a fault lets it panic";
/// The same of one that a fault kills.
pub(super) const KILL_WORDS: &str = "a fault kills it";

/// Deliveries that are held back for handlers of clients, by the handler's serial. Bounded as a mailbox is.
#[derive(Default)]
pub(super) struct Paused {
    lines: Mutex<HashMap<u64, Held<Delivery>>>,
    earlier: Notify,
}

struct Delivery {
    pass: Pass,
    frame: Box<Frame>,
    /// When it came.
    put: Instant,
    /// Not before that, on the clock of the faults.
    from: Instant,
    touched: Touched,
}

impl Paused {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Held<Delivery>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holds_for(&self, serial: u64) -> bool {
        self.lock().contains_key(&serial)
    }

    /// When something is due next that is not due already: what is and stays held is suspended, and the end of that is told.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let lines = self.lock();
        let firsts = lines.values().filter_map(Held::first).map(|first| first.from);
        firsts.filter(|from| *from > now).min()
    }
}

impl Handlers {
    /// True where mailboxes of the handler's exchange count as full.
    pub(super) fn is_filled(&self, attachment: &Attachment) -> bool {
        self.context.faults.handlers(attachment.name()).full
    }

    /// The same of a delivery that comes now.
    pub(super) fn counts_as_full(&self, attachment: &Attachment, frame: &mut Frame) -> bool {
        let full = self.is_filled(attachment);
        if full {
            let faults = &self.context.faults;
            drop(faults.touch_handlers(attachment.name(), frame, |what| what == ProcessFault::Fill));
        }
        full
    }

    /// Gives a delivery or a task to a handler that has room for it, as faults let it.
    pub(super) fn give(
        &self,
        attachment: &Arc<Attachment>,
        pass: Pass,
        mut frame: Box<Frame>,
    ) -> Result<(), Push<Box<Frame>>> {
        let faults = &self.context.faults;
        if !faults.act(Kinds::PROCESS.or(Kinds::HELD)) || attachment.sink().fate().is_some() {
            return attachment.sink().deliver(pass, attachment, frame);
        }
        let suffer = faults.handlers(attachment.name());
        if attachment.panics_now(suffer.panics) {
            self.panic_at(attachment, frame);
            return Ok(());
        }
        let goes = !suffer.suspended && suffer.slow == Span::ZERO;
        if goes && !self.paused.holds_for(attachment.pid().serial) {
            return attachment.sink().deliver(pass, attachment, frame);
        }
        let put = faults.now();
        let touched = faults.touch_handlers(attachment.name(), &mut frame, |what| {
            matches!(what, ProcessFault::Suspend | ProcessFault::Slow { .. })
        });
        let from = put + suffer.slow;
        let delivery = Delivery {
            pass,
            frame,
            put,
            from,
            touched,
        };
        self.hold_back(attachment, delivery)
    }

    fn hold_back(&self, attachment: &Attachment, delivery: Delivery) -> Result<(), Push<Box<Frame>>> {
        let mut lines = self.paused.lock();
        let weigh = |delivery: &Delivery| delivery.frame.payload.len();
        let bound = usize::try_from(CREDIT_MAX).unwrap_or(usize::MAX);
        let line = lines
            .entry(attachment.pid().serial)
            .or_insert_with(|| Held::new(bound, MAILBOX_BYTES_MAX, weigh));
        line.push(delivery)
            .map_err(|delivery| Push::Full(delivery.frame))?;
        self.context.faults.holds(true);
        drop(lines);
        self.paused.earlier.notify_one();
        Ok(())
    }

    /// As if the handler had panicked at it: its client never sees it.
    fn panic_at(&self, attachment: &Attachment, mut frame: Box<Frame>) {
        let faults = &self.context.faults;
        drop(faults.touch_handlers(attachment.name(), &mut frame, |what| what == ProcessFault::Panic));
        attachment.process().count_restart();
        about(frame.trace, || self.failed(attachment, PANIC_WORDS.as_bytes()));
        if frame.kind == Kind::Task {
            self.give_back_task(attachment, &frame, PANIC_WORDS.to_owned(), Retry::Backoff);
            return;
        }
        attachment.give_credit();
        let failed = Status::None(NoReply::Failed);
        let reply = ReturnPath::of(&frame).reply(attachment.pid(), failed, words(PANIC_WORDS.to_owned()));
        self.context.wire.reply(reply);
    }

    /// Tells handlers what faults do to them, kills those that are to be killed, and gives out what was held back when it is
    /// due; for ever.
    pub(crate) async fn keep_suffering(self: Arc<Self>) {
        let faults = Arc::clone(&self.context.faults);
        let mut changes = faults.changes();
        let mut suffered = BTreeSet::new();
        loop {
            tokio::select! {
                () = faults.changed(&mut changes) => {
                    let suffering = faults.suffering();
                    self.stir(suffered.union(&suffering).cloned().collect());
                    suffered = suffering;
                }
                () = self.paused.earlier.notified() => {}
                () = faults.until(self.paused.next_due(faults.now())) => {}
            }
            self.let_go();
        }
    }

    fn stir(&self, exchanges: BTreeSet<ExchangeName>) {
        for name in exchanges {
            let killed = self.context.faults.handlers(&name).killed;
            let all = self.read();
            let of = all
                .by_serial
                .values()
                .filter(|attachment| *attachment.name() == name);
            let of: Vec<Arc<Attachment>> = of.cloned().collect();
            drop(all);
            for attachment in of {
                if attachment.dies_now(killed) {
                    self.kill(&attachment);
                }
                if let Some(fate) = attachment.sink().fate() {
                    fate.stir();
                }
                self.next_in_line(&attachment);
            }
        }
    }

    /// One inside the node ends what it does, and its supervision decides. Of one of a client the owner hears that its client
    /// is gone, and so does the client, which may attach it again.
    fn kill(&self, attachment: &Arc<Attachment>) {
        let faults = &self.context.faults;
        faults.count_handlers(attachment.name(), |what| what == ProcessFault::Kill);
        match attachment.sink().fate() {
            Some(fate) => fate.kill(),
            None => {
                self.detach(attachment.pid().serial, DetachReason::ClientGone);
            }
        }
    }

    /// Gives out what was held back and is due, in order.
    fn let_go(&self) {
        let serials: Vec<u64> = self.paused.lock().keys().copied().collect();
        for serial in serials {
            let attachment = self.read().by_serial.get(&serial).cloned();
            if let Some(attachment) = attachment {
                self.let_go_of(&attachment);
            }
        }
        let mut lines = self.paused.lock();
        lines.retain(|_, line| !line.is_empty());
        if lines.is_empty() {
            self.context.faults.holds(false);
        }
    }

    fn let_go_of(&self, attachment: &Arc<Attachment>) {
        let suffer = self.context.faults.handlers(attachment.name());
        let now = self.context.faults.now();
        let goes = |from: Instant| !suffer.suspended && (from <= now || suffer.slow == Span::ZERO);
        loop {
            let next = {
                let mut lines = self.paused.lock();
                let line = lines.get_mut(&attachment.pid().serial);
                line.and_then(|line| line.pop_if(|first| goes(first.from)))
            };
            let Some(next) = next else { return };
            let Delivery {
                pass,
                frame,
                put,
                touched,
                ..
            } = next;
            drop(touched);
            let Some(frame) = in_time(frame, now.since(put)) else {
                // Its requester has given up: work on it would only delay the others.
                count(&self.context.wire.tally.expired);
                attachment.give_credit();
                continue;
            };
            let given = attachment.sink().deliver(pass, attachment, frame);
            if let Err(Push::Full(frame) | Push::Closed(frame)) = given {
                self.not_taken(attachment, &frame);
            }
        }
    }

    /// The handler is detached: what was held back for it was not handled and may go to another one.
    pub(super) fn drop_paused(&self, attachment: &Arc<Attachment>) {
        if !self.context.faults.act(Kinds::HELD) {
            return;
        }
        let line = self.paused.lock().remove(&attachment.pid().serial);
        for delivery in line.into_iter().flat_map(|mut line| line.take()) {
            self.not_taken(attachment, &delivery.frame);
        }
    }

    fn not_taken(&self, attachment: &Arc<Attachment>, frame: &Frame) {
        if frame.kind == Kind::Task {
            return self.give_back_unseen(attachment, frame);
        }
        attachment.give_credit();
        self.given_back(attachment, frame);
        self.refuse(attachment, frame, NoReply::Unreachable);
    }
}

/// With what is left of its time; none when that is over. A task has a lease instead, which its owner ends.
fn in_time(mut frame: Box<Frame>, waited: Span) -> Option<Box<Frame>> {
    if frame.kind == Kind::Task {
        return Some(frame);
    }
    let waited = u32::try_from(waited.as_ms()).unwrap_or(u32::MAX);
    frame.left_ms = frame.left_ms.checked_sub(waited).filter(|left| *left > 0)?;
    Some(frame)
}
