//! Requests and time: a try again a little later, and deadlines.
//!
//! What does not live here: the tries (`router`), and what is due when (`table`).

use std::sync::Arc;

use squall_kernel::reason::NoReply;
use squall_kernel::time::{Instant, Span};

use super::Router;
use super::open::{Open, Stage};
use crate::limits::{RETRY_CAP, RETRY_FOR};

impl Router {
    /// Keeps a request that certainly was not delivered, to try it again: a little later, or when the registry
    /// changes, until its deadline or [`RETRY_FOR`].
    pub(super) fn wait(&self, mut open: Box<Open>, reason: NoReply) {
        let now = self.context.clock.now();
        let until = *open
            .retry_until
            .get_or_insert((now + RETRY_FOR).min(open.deadline));
        if now >= until || (open.request.publish.is_some() && *self.context.isolated.borrow()) {
            return self.end(open, reason);
        }
        open.traced.waits(reason);
        let due = (now + open.backoff).min(until);
        open.backoff = Span((open.backoff.0 * 2).min(RETRY_CAP.0));
        open.stage = Stage::Waiting { reason };
        self.table.insert(self.table.next_id(), open, due);
    }

    /// Ends or tries again what is due, for ever.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        loop {
            let next = self.table.next_due();
            tokio::select! {
                () = self.table.earlier() => {}
                () = self.context.clock.wait(next) => self.tick(self.context.clock.now()),
            }
        }
    }

    fn tick(&self, now: Instant) {
        let mut due = self.table.take_due(now);
        due.sort_by_key(|open| open.started);
        for open in due {
            match open.stage {
                Stage::Waiting { reason } if open.retry_until.is_some_and(|until| now >= until) => {
                    self.end(open, reason);
                }
                Stage::Waiting { .. } => self.dispatch(open, now),
                Stage::New | Stage::Sent { .. } => self.end(open, NoReply::Timeout),
            }
        }
    }
}
