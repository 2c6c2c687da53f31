//! Events of several journals as one history: every try with the number of its request, and where the nodes had settled. One event at a time, so that a run can be judged while it goes on.
//!
//! What does not live here: reading journals, and bringing events in order.

use std::collections::{HashMap, VecDeque};

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::MessageId;
use squall_kernel::time::Instant;

use super::Try;
use super::settling::Settler;
use crate::history::{Event, TaskEvent, What};
use crate::limits::REQUESTS_REMEMBERED;

/// What must be known of tries before events about them can be told.
#[derive(Debug)]
pub(super) struct Assembly {
    tries: HashMap<RequestKey, MessageId>,
    /// Those that have passed, the oldest first; those beyond the bound are forgotten: their requests have long ended. What is read
    /// and waits for its turn counts for nothing: all that is told of those tries waits, too.
    passed: VecDeque<RequestKey>,
    bound: usize,
    settler: Settler,
}

impl Assembly {
    /// For a history that is read as a whole.
    pub(super) fn unbounded() -> Self {
        Self {
            tries: HashMap::new(),
            passed: VecDeque::new(),
            bound: usize::MAX,
            settler: Settler::default(),
        }
    }

    /// For a run that goes on.
    pub(super) fn bounded() -> Self {
        Self::remembering(REQUESTS_REMEMBERED)
    }

    /// For one in which so many tries are remembered.
    pub(super) fn remembering(bound: usize) -> Self {
        Self {
            bound,
            ..Self::unbounded()
        }
    }

    /// Learns which tries are of which requests.
    pub(super) fn know(&mut self, tries: &[Try]) {
        let of = |tried: &Try| (tried.number, tried.request);
        self.tries.extend(tries.iter().map(of));
    }

    /// A try has its turn among the events: all that was told before is in the history.
    pub(super) fn pass_try(&mut self, number: RequestKey) {
        self.passed.push_back(number);
        if self.passed.len() > self.bound
            && let Some(oldest) = self.passed.pop_front()
        {
            self.tries.remove(&oldest);
        }
    }

    /// Takes the next event in order of time; gives what belongs into the history.
    pub(super) fn pass(&mut self, mut event: Event) -> impl Iterator<Item = Event> + use<> {
        if let What::Handled { request, .. }
        | What::GivenBack { request, .. }
        | What::Kept { request, .. }
        | What::Routed { request, .. }
        | What::Late { request }
        | What::Task {
            what: TaskEvent::Accepted { request, .. },
            ..
        } = &mut event.what
            && let Some(first) = self.tries.get(request)
        {
            request.message = *first;
        }
        if let What::Publish { what, .. } = &mut event.what
            && let Some(publish) = what.publish_mut()
            && let Some(first) = self.tries.get(publish)
        {
            publish.message = *first;
        }
        let (settled, event) = self.settler.pass(event);
        settled.into_iter().chain([event])
    }
}

/// Moves the ends that an event names to another clock.
pub(super) fn move_ends(what: &mut What, to: impl Fn(Instant) -> Instant) {
    if let What::Lease { until } | What::Leads { until, .. } | What::Fault { ends_by: until, .. } = what {
        *until = to(*until);
    }
}
