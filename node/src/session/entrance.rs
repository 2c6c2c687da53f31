//! The end of a session that others put messages into, bounded.
//!
//! What does not live here: taking them out again (the session).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use squall_kernel::fence::Pass;
use squall_kernel::frame::Frame;
use squall_kernel::reason::DetachReason;
use tokio::sync::Notify;

use super::Event;
use super::subscribing::Readable;
use super::talking::TalkQueue;
use crate::data::DataContext;
use crate::handlers::{Attachment, HandlerSink, Told};
use crate::limits::SESSION_REQUESTS_MAX;
use crate::process::{Load, Mailbox, Push};
use crate::router::{Outcome, OutcomeSink};

/// The end of a session that others put messages into.
pub(super) struct Entrance {
    pub(super) context: Arc<DataContext>,
    pub(super) mailbox: Mailbox<Event>,
    pub(super) talks: Arc<TalkQueue>,
    pub(super) requests: AtomicUsize,
    pub(super) overflowed: AtomicBool,
    pub(super) overflow: Notify,
    pub(super) readable: Readable,
    /// Of deliveries and tasks that wait in the mailbox.
    pub(super) load: Load,
}

impl Entrance {
    /// Deliveries and system messages leave room for the outcomes, which must not be lost.
    #[expect(
        clippy::result_large_err,
        reason = "a delivery that fits must not cost an allocation"
    )]
    fn push_if_room(&self, event: Event) -> Result<(), Push<Event>> {
        if self.mailbox.room() <= SESSION_REQUESTS_MAX {
            self.mailbox.process().count_dropped();
            return Err(Push::Full(event));
        }
        self.mailbox.push(event)
    }
}

impl HandlerSink for Entrance {
    fn deliver(
        &self,
        _pass: Pass,
        handler: &Arc<Attachment>,
        frame: Box<Frame>,
    ) -> Result<(), Push<Box<Frame>>> {
        let bytes = frame.payload.len();
        if !self.load.put(bytes) {
            self.mailbox.process().count_dropped();
            return Err(Push::Full(frame));
        }
        let pushed = self.push_if_room(Event::Deliver(frame));
        if pushed.is_ok() {
            handler.process().count_enqueued(self.context.clock.now());
        } else {
            self.load.take(bytes);
        }
        pushed.map_err(|push| match push {
            Push::Full(Event::Deliver(frame)) => Push::Full(frame),
            Push::Closed(Event::Deliver(frame)) => Push::Closed(frame),
            _ => unreachable!("a mailbox gives back what was put in"),
        })
    }

    fn system(&self, handler: &Arc<Attachment>, told: &Arc<Told>) -> bool {
        self.push_if_room(Event::System {
            handler: handler.pid().serial,
            told: Arc::clone(told),
        })
        .is_ok()
    }

    fn settled(&self, _handler: &Arc<Attachment>, frame: Frame) {
        // Without room its worker says it again.
        let _asked_again = self.push_if_room(Event::Deliver(frame.into()));
    }

    fn too_late(&self, _handler: &Arc<Attachment>, frame: Frame) {
        // Without room it goes untold: it was counted.
        let _counted = self.push_if_room(Event::Talk(frame));
    }

    fn leads(&self, handler: &Arc<Attachment>) {
        // Without room the client is answered when it asks the next time.
        let _asked_again = self.push_if_room(Event::Leads {
            handler: handler.pid().serial,
        });
    }

    fn detached(&self, handler: &Arc<Attachment>, reason: DetachReason) {
        // Without room the session is about to be closed anyway.
        let _no_room = self.mailbox.push(Event::Detached {
            handler: handler.pid().serial,
            reason,
        });
    }
}

impl OutcomeSink for Entrance {
    fn outcome(&self, id: u64, outcome: Outcome) -> bool {
        let taken = self.mailbox.push(Event::Outcome { id, outcome });
        if matches!(taken, Err(Push::Full(_))) {
            self.overflowed.store(true, Ordering::Release);
            self.overflow.notify_one();
        }
        taken.is_ok()
    }
}
