//! What a handler inside the node makes of faults: it dies, it stands still, it takes longer, it panics; and what it tells of
//! the deliveries that waited meanwhile.
//!
//! What does not live here: who is told of which (`suffering`).

use std::sync::Arc;
use std::time::SystemTime;

use squall_client::handler::Handler;
use squall_kernel::fault::{HandlersSuffer, ProcessFault};
use squall_kernel::frame::Frame;
use squall_kernel::time::{Instant, Span};

use super::{Embedded, KILL_WORDS};
use crate::faults::{Standstill, Touched};
use crate::telemetry::told::ago;

/// The latest time it stood still, by the node's clock. Deliveries of before its end that it has not taken up yet are told of.
#[derive(Debug)]
pub(super) struct Paused {
    by: Standstill,
    from: Instant,
    until: Option<Instant>,
}

impl<H: Handler> Embedded<H> {
    /// What it suffers, as it was told last.
    pub(super) fn suffers(&self) -> HandlersSuffer {
        let trouble = self.trouble.as_ref();
        trouble.map_or_else(HandlersSuffer::default, |trouble| trouble.suffers)
    }

    /// It suffers that from now on.
    pub(super) fn suffer(&mut self, suffers: HandlersSuffer) {
        if self.trouble.is_some() || suffers != HandlersSuffer::default() {
            self.trouble().suffers = suffers;
        }
    }

    /// What it suffers has changed, or it is killed.
    pub(super) fn told_of_faults(&mut self, killed: bool) {
        let before = self.suffers().suspended;
        let seat = Arc::clone(&self.seat);
        let faults = &seat.context.faults;
        self.suffer(if seat.fate.has_left() {
            HandlersSuffer::default()
        } else {
            faults.handlers(&seat.exchange)
        });
        if self.suffers().suspended && !before {
            faults.count_handlers(&seat.exchange, |what| what == ProcessFault::Suspend);
        }
        self.note_standstill();
        if killed && !self.over {
            self.panicked(KILL_WORDS);
        }
    }

    /// It stands still from now on, or goes on.
    pub(super) fn note_standstill(&mut self) {
        let Some(trouble) = &mut self.trouble else { return };
        let context = &self.seat.context;
        let now = context.clock.now();
        let stands = trouble
            .paused
            .as_ref()
            .is_some_and(|paused| paused.until.is_none());
        if trouble.suffers.suspended && !stands {
            trouble.paused = context.faults.standstill(&self.seat.exchange).map(|by| Paused {
                by,
                from: now,
                until: None,
            });
        } else if !trouble.suffers.suspended
            && let Some(paused) = trouble.paused.as_mut().filter(|_| stands)
        {
            paused.until = Some(now);
        }
    }

    /// A delivery that came at `put` is taken up: whether it waited for the end of a standstill.
    pub(super) fn tell_of_standstill(&mut self, frame: &mut Frame, put: Instant) {
        let Some(trouble) = &mut self.trouble else { return };
        let Some(paused) = &trouble.paused else { return };
        let context = &self.seat.context;
        let until = paused.until.unwrap_or_else(|| context.clock.now());
        if put >= until {
            trouble.paused = None;
        } else {
            let now = context.clock.now();
            let (from, until) = (ago(now.since(put.max(paused.from))), ago(now.since(until)));
            let touched = context.faults.stood_still(&paused.by, &mut frame.trace);
            touched.since(from).until(until);
        }
    }

    /// Whether the delivery that it takes up now is the one at which a fault lets it panic.
    pub(super) fn panics_now(&self, frame: &mut Frame) -> bool {
        let set = self.suffers().panics;
        let panics = set.is_some() && self.attachment.upgrade().is_some_and(|a| a.panics_now(set));
        if panics {
            drop(self.touch(frame, |what| what == ProcessFault::Panic));
        }
        panics
    }

    /// It is killed with a delivery in hand that it took up then.
    pub(super) fn killed_with(&self, frame: &mut Frame, since: SystemTime) {
        let kill = |what| what == ProcessFault::Kill;
        let faults = &self.seat.context.faults;
        drop(faults.touches(&self.seat.exchange, frame, kill).since(since));
    }

    /// Waits for as long as a delivery takes longer, or until none does any more.
    pub(super) async fn take_longer(&mut self, frame: &mut Frame) {
        let seat = Arc::clone(&self.seat);
        let faults = &seat.context.faults;
        let _until_it_goes_on = self.touch(frame, |what| matches!(what, ProcessFault::Slow { .. }));
        let began = faults.now();
        while self.suffers().slow > Span::ZERO {
            let until = began + self.suffers().slow;
            tokio::select! {
                () = faults.until(Some(until)) => return,
                () = seat.fate.stirred() => self.told_of_faults(false),
            }
        }
    }

    fn touch(&self, frame: &mut Frame, by: impl Fn(ProcessFault) -> bool) -> Touched {
        self.seat
            .context
            .faults
            .touch_handlers(&self.seat.exchange, frame, by)
    }
}
