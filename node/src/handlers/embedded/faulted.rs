//! What a handler inside the node makes of faults: it dies, it stands still, it takes longer, it panics.
//!
//! What does not live here: who is told of which (`suffering`).

use squall_client::handler::Handler;
use squall_kernel::fault::{HandlersSuffer, ProcessFault};
use squall_kernel::time::Span;

use super::{Embedded, KILL_WORDS};

impl<H: Handler> Embedded<H> {
    /// What it suffers has changed, or it is killed.
    pub(super) fn told_of_faults(&mut self, killed: bool) {
        let before = self.suffers.suspended;
        self.suffers = if self.fate.has_left() {
            HandlersSuffer::default()
        } else {
            self.context.faults.handlers(&self.exchange)
        };
        if self.suffers.suspended && !before {
            self.touch(|what| what == ProcessFault::Suspend);
        }
        if killed && !self.over {
            self.panicked(KILL_WORDS);
        }
    }

    /// Whether the delivery that it takes up now is the one at which a fault lets it panic.
    pub(super) fn panics_now(&self) -> bool {
        let set = self.suffers.panics;
        let panics = set.is_some() && self.attachment.upgrade().is_some_and(|a| a.panics_now(set));
        if panics {
            self.touch(|what| what == ProcessFault::Panic);
        }
        panics
    }

    /// Waits for as long as a delivery takes longer, or until none does any more.
    pub(super) async fn take_longer(&mut self) {
        let faults = self.context.faults.clone();
        self.touch(|what| matches!(what, ProcessFault::Slow { .. }));
        let began = faults.now();
        while self.suffers.slow > Span::ZERO {
            let until = began + self.suffers.slow;
            tokio::select! {
                () = faults.until(Some(until)) => return,
                () = self.fate.stirred() => self.told_of_faults(false),
            }
        }
    }

    fn touch(&self, by: impl Fn(ProcessFault) -> bool) {
        self.context.faults.touch_handlers(&self.exchange, by);
    }
}
