//! Events of several journals as one history: every try with the number of its request, nothing that took no effect after all,
//! and where the nodes had settled. One event at a time, so that a run can be judged while it goes on.
//!
//! What does not live here: reading journals, and bringing events in order.

use std::collections::{HashMap, HashSet, VecDeque};

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{MessageId, Pid};
use squall_kernel::time::Instant;

use super::settling::Settler;
use crate::history::{Event, TaskEvent, What};
use crate::limits::REQUESTS_REMEMBERED;

/// What must be known of tries before events about them can be told.
#[derive(Debug)]
pub(super) struct Assembly {
    tries: HashMap<RequestKey, MessageId>,
    given_back: HashSet<(RequestKey, Pid)>,
    /// Tries and what was given back, the oldest first; those beyond the bound are forgotten: their requests have long ended.
    order: VecDeque<RequestKey>,
    order_back: VecDeque<(RequestKey, Pid)>,
    bound: usize,
    settler: Settler,
}

impl Assembly {
    /// For a history that is read as a whole.
    pub(super) fn unbounded() -> Self {
        Self {
            tries: HashMap::new(),
            given_back: HashSet::new(),
            order: VecDeque::new(),
            order_back: VecDeque::new(),
            bound: usize::MAX,
            settler: Settler::default(),
        }
    }

    /// For a run that goes on.
    pub(super) fn bounded() -> Self {
        Self {
            bound: REQUESTS_REMEMBERED,
            ..Self::unbounded()
        }
    }

    /// Learns which tries are of which requests, and which of them took no effect.
    pub(super) fn know(
        &mut self,
        tries: impl IntoIterator<Item = (RequestKey, MessageId)>,
        given_back: impl IntoIterator<Item = (RequestKey, Pid)>,
    ) {
        for (attempt, request) in tries {
            self.tries.insert(attempt, request);
            self.order.push_back(attempt);
        }
        for back in given_back {
            if self.given_back.insert(back) {
                self.order_back.push_back(back);
            }
        }
        while self.order.len() > self.bound {
            if let Some(oldest) = self.order.pop_front() {
                self.tries.remove(&oldest);
            }
        }
        while self.order_back.len() > self.bound {
            if let Some(oldest) = self.order_back.pop_front() {
                self.given_back.remove(&oldest);
            }
        }
    }

    /// Takes the next event in order of time; gives what belongs into the history.
    pub(super) fn pass(&mut self, mut event: Event) -> impl Iterator<Item = Event> + use<> {
        if let What::Handled { request, handler, .. } = &event.what
            && self.given_back.remove(&(*request, *handler))
        {
            return None.into_iter().chain(None);
        }
        if let What::Handled { request, .. }
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
        let (settled, event) = self.settler.pass(event);
        settled.into_iter().chain(Some(event))
    }
}

/// Moves the ends that an event names to another clock.
pub(super) fn move_ends(what: &mut What, to: impl Fn(Instant) -> Instant) {
    if let What::Lease { until } | What::Leads { until, .. } | What::Fault { ends_by: until, .. } = what {
        *until = to(*until);
    }
}
