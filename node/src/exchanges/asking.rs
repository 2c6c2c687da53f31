//! Asks the function of an exchange where a request goes, before the kernel's machine is stepped.
//!
//! What does not live here: functions and scripts, and what the answer means.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use squall_kernel::exchange::Choice;
use squall_kernel::frame::Frame;
use squall_kernel::id::Counter;
use squall_kernel::time::Instant;

use super::run::{Running, group};
use crate::functions::{Candidate, Question, Ready, Routed};
use crate::wire::count;

/// The function of an exchange, and the handlers it chooses from.
pub(super) struct Asking {
    function: Ready,
    /// As the machine has them at that counter.
    candidates: Option<(Counter, Arc<Vec<Candidate>>)>,
}

impl Asking {
    pub(super) const fn new(function: Ready) -> Self {
        Self {
            function,
            candidates: None,
        }
    }
}

impl Running {
    /// What the exchange's function makes of a request. A request that the machine will refuse anyway costs no call; a
    /// function that fails declines.
    pub(super) fn routed(&mut self, now: Instant, lease_until: Instant, frame: &Frame) -> Routed {
        if now >= lease_until || frame.epoch != self.core.epoch() {
            return Routed::to(Choice::None);
        }
        let Some(mut asking) = self.asking.take() else {
            return Routed::to(Choice::None);
        };
        let handlers = self.candidates(&mut asking);
        let answered = asking.function.ask(&Question {
            key: &frame.tags.key,
            service_tag: group(frame),
            request_tag: &frame.tags.request,
            payload: &frame.payload,
            handlers: &handlers,
        });
        self.asking = Some(asking);
        let answer = answered.and_then(|routed| routed.fitting(self.strategy));
        answer.unwrap_or_else(|failed| {
            self.post.failed.fetch_add(1, Ordering::Relaxed);
            count(&self.context.wire.tally.functions_failed);
            Routed::decline(failed.to_string())
        })
    }

    fn candidates(&self, asking: &mut Asking) -> Arc<Vec<Candidate>> {
        let counter = self.core.counter();
        if let Some((known, candidates)) = &asking.candidates
            && *known == counter
        {
            return Arc::clone(candidates);
        }
        let all = self.attached.iter().map(|(pid, tag)| Candidate {
            pid: *pid,
            text: self.context.pid_text(*pid),
            service_tag: tag.clone(),
        });
        let all = Arc::new(all.collect::<Vec<_>>());
        asking.candidates = Some((counter, Arc::clone(&all)));
        all
    }
}
