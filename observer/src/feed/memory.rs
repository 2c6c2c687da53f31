//! A feed without a network: updates are put in by hand. Used by the pictures and the tests.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::pending::{Inbox, Outbox, channel};
use super::{Feed, Update, Wants};

/// A feed fed by hand.
#[derive(Debug)]
pub struct MemoryFeed {
    inbox: Inbox,
    /// What was wanted last.
    pub wants: Wants,
}

impl MemoryFeed {
    /// The feed and the end that fills it.
    #[must_use]
    pub fn new() -> (Outbox, Self) {
        let (outbox, inbox) = channel();
        (
            outbox,
            Self {
                inbox,
                wants: Wants::default(),
            },
        )
    }
}

impl Feed for MemoryFeed {
    fn next(&mut self) -> BoxFuture<'_, Option<Vec<Update>>> {
        async { Some(self.inbox.take().await) }.boxed()
    }

    fn want(&mut self, wants: Wants) {
        self.wants = wants;
    }
}
