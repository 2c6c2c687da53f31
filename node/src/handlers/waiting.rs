//! Requests that wait at their handler's node while it takes no more: where the exchange was declared with a mailbox of its
//! own, or with what a full one does (B9). Elsewhere a handler's credit, or the mailbox of one inside the node, is the bound.
//!
//! What does not live here: the order and the policies (the kernel's `order`), and subscribers (`pubsub`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_kernel::fence::Pass;
use squall_kernel::frame::Frame;
use squall_kernel::limits::MAILBOX_BOUND;
use squall_kernel::order::{Gone, NotTaken, PriorityQueue, WhenFull};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::Settings;
use squall_kernel::time::{Instant, Span};

use super::{Attachment, Handlers};
use crate::held::Held;
use crate::limits::{MAILBOX_BYTES_MAX, REQUESTS_HELD_MAX};

/// What waits for one handler.
pub(super) struct Line(Mutex<State>);

struct State {
    queue: PriorityQueue<Waiting>,
    /// What a full queue under `block` holds back.
    held: Held<Waiting>,
    /// The handler is detached.
    closed: bool,
}

struct Waiting {
    pass: Pass,
    frame: Box<Frame>,
    put: Instant,
}

/// Frames that leave the line unhandled, and what is said of each; nothing to requesters whose time is over.
type Turned = Vec<(Box<Frame>, Option<NoReply>)>;

impl Line {
    /// The line of a handler of such an exchange; none where nothing was said about it.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        if settings.mailbox.is_none() && settings.when_full == WhenFull::default() {
            return None;
        }
        let bound = settings.mailbox.map_or(MAILBOX_BOUND, |bound| {
            usize::try_from(bound).unwrap_or(usize::MAX)
        });
        Some(Self(Mutex::new(State {
            queue: PriorityQueue::new(bound, settings.when_full).weighed(MAILBOX_BYTES_MAX, Waiting::bytes),
            held: Held::new(REQUESTS_HELD_MAX, MAILBOX_BYTES_MAX, Waiting::bytes),
            closed: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// It comes in; `full` where a fault says that there is no room, whatever there is.
    fn put(&mut self, now: Instant, waiting: Waiting, full: bool, to: &Attachment, turned: &mut Turned) {
        if self.closed {
            return turned.push((waiting.frame, Some(NoReply::Unreachable)));
        }
        if !self.held.is_empty() {
            return self.hold(waiting, to, turned);
        }
        if full {
            return match self.queue.when_full() {
                WhenFull::Block => self.hold(waiting, to, turned),
                WhenFull::Reject | WhenFull::DropOldest => reject(waiting, to, turned),
            };
        }
        let mut gone = Vec::new();
        let (priority, until) = (waiting.frame.priority, waiting.until());
        match self.queue.push(now, priority, Some(until), waiting, &mut gone) {
            Ok(()) => to.process().count_enqueued(now),
            Err(NotTaken::Rejected(waiting)) => reject(waiting, to, turned),
            Err(NotTaken::Blocked(waiting)) => self.hold(waiting, to, turned),
        }
        turn(gone, to, turned);
    }

    fn hold(&mut self, waiting: Waiting, to: &Attachment, turned: &mut Turned) {
        match self.held.push(waiting) {
            Ok(()) => to.counts().held(),
            Err(waiting) => reject(waiting, to, turned),
        }
    }

    fn next(&mut self, now: Instant, full: bool, to: &Attachment, turned: &mut Turned) -> Option<Waiting> {
        let mut gone = Vec::new();
        let mut next = self.queue.pop(now, &mut gone);
        if !full {
            self.let_in(now, to, &mut gone);
        }
        if next.is_none() {
            next = self.queue.pop(now, &mut gone);
        }
        turn(gone, to, turned);
        let next = next?;
        to.process().count_dequeued(next.put);
        to.process().count_wait(now.since(next.put));
        Some(next)
    }

    /// What was held back comes in, as far as there is room.
    fn let_in(&mut self, now: Instant, to: &Attachment, gone: &mut Vec<(Gone, Waiting)>) {
        while let Some(waiting) = self.held.pop_if(|first| self.queue.has_room(first.bytes())) {
            let (priority, until) = (waiting.frame.priority, waiting.until());
            let taken = self.queue.push(now, priority, Some(until), waiting, gone);
            if taken.is_ok() {
                to.process().count_enqueued(now);
            }
        }
    }
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.frame.payload.len()
    }

    /// Its requester waits no longer.
    fn until(&self) -> Instant {
        self.put + Span::from_ms(u64::from(self.frame.left_ms))
    }

    fn taken(mut self, now: Instant) -> (Pass, Box<Frame>) {
        let waited = u32::try_from(now.since(self.put).as_ms()).unwrap_or(u32::MAX);
        self.frame.left_ms = self.frame.left_ms.saturating_sub(waited).max(1);
        (self.pass, self.frame)
    }
}

fn reject(waiting: Waiting, to: &Attachment, turned: &mut Turned) {
    to.counts().rejected();
    to.process().count_dropped();
    turned.push((waiting.frame, Some(NoReply::Rejected)));
}

fn turn(gone: Vec<(Gone, Waiting)>, to: &Attachment, turned: &mut Turned) {
    for (why, waiting) in gone {
        to.process().count_dequeued(waiting.put);
        to.process().count_dropped();
        let told = match why {
            Gone::Expired => {
                to.counts().expired();
                None
            }
            Gone::Dropped => {
                to.counts().dropped();
                Some(NoReply::Rejected)
            }
        };
        turned.push((waiting.frame, told));
    }
}

impl Handlers {
    /// A delivery waits for its turn, which may be now.
    pub(super) fn line_up(
        &self,
        attachment: &Arc<Attachment>,
        line: &Line,
        pass: Pass,
        mut frame: Box<Frame>,
    ) {
        let put = self.context.clock.now();
        let mut turned = Vec::new();
        let full = self.counts_as_full(attachment, &mut frame);
        let waiting = Waiting { pass, frame, put };
        line.lock().put(put, waiting, full, attachment, &mut turned);
        self.turn_away(attachment, turned);
        self.next_in_line(attachment);
    }

    /// The handler takes more: it gets what waits, in order. To be called whenever it was given credit.
    pub(crate) fn next_in_line(&self, attachment: &Arc<Attachment>) {
        let Some(line) = attachment.line() else { return };
        let (now, full) = (self.context.clock.now(), self.is_filled(attachment));
        let (mut turned, mut confirms) = (Vec::new(), Vec::new());
        let mut state = line.lock();
        while attachment.take_credit() {
            let Some(next) = state.next(now, full, attachment, &mut turned) else {
                attachment.give_credit();
                break;
            };
            let (pass, frame) = next.taken(now);
            match self.hand_over(attachment, pass, frame) {
                Ok(confirm) => confirms.extend(confirm),
                Err((frame, reason)) => {
                    turned.push((frame, Some(reason)));
                    break;
                }
            }
        }
        drop(state);
        for confirm in confirms {
            self.context.wire.reply(confirm);
        }
        self.turn_away(attachment, turned);
    }

    /// The handler is detached: what waits for it was not handled and may go to another one.
    pub(super) fn close_line(&self, attachment: &Arc<Attachment>) {
        let Some(line) = attachment.line() else { return };
        let mut state = line.lock();
        state.closed = true;
        let held = state.held.take();
        let waiting: Vec<Waiting> = state.queue.drain().chain(held).collect();
        drop(state);
        let turned = waiting
            .into_iter()
            .map(|waiting| (waiting.frame, Some(NoReply::Unreachable)));
        self.turn_away(attachment, turned.collect());
    }

    fn turn_away(&self, attachment: &Attachment, turned: Turned) {
        for (frame, reason) in turned {
            self.given_back(attachment, &frame);
            if let Some(reason) = reason {
                self.refuse(attachment, &frame, reason);
            }
        }
    }
}
