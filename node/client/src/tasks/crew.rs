//! Runs a worker: as many tasks beside each other as its credit says.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use squall_kernel::message::Settlement;
use tokio::sync::mpsc;

use super::{Done, Task, Worker};
use crate::attachment::{Event, Taken};
use crate::state::Shared;

pub(super) struct Crew<W> {
    shared: Arc<Shared>,
    worker: W,
}

impl<W: Worker> Crew<W> {
    pub(super) const fn new(shared: Arc<Shared>, worker: W) -> Self {
        Self { shared, worker }
    }

    /// Runs until the worker is detached and everything in hand has ended. What is in hand is bounded by the credit.
    pub(super) async fn run(self, mut events: mpsc::Receiver<Event>) {
        let mut in_hand = FuturesUnordered::new();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Delivery(taken)) => in_hand.push(self.one(taken)),
                    // Whom its node attached it as, and who else works there, is nothing to a worker.
                    Some(Event::Attached { .. } | Event::Notice(_)) => {}
                    None => break,
                },
                Some(()) = in_hand.next() => {}
            }
        }
        while in_hand.next().await.is_some() {}
    }

    async fn one(&self, taken: Taken) {
        // The worker may keep its task; the place is free when the task has ended, or with the end of this.
        let place = Arc::clone(&taken.place);
        let task = Task::new(Arc::clone(&self.shared), taken);
        self.carry_out(task).await;
        place.free();
    }

    async fn carry_out(&self, task: Task) {
        let work = AssertUnwindSafe(async { self.worker.work(task.clone()).await }).catch_unwind();
        let done = work.await.unwrap_or_else(|_| Done::failed("the worker panicked"));
        if task.is_settled() {
            return;
        }
        if let Err(error) = task.finally(Settlement::from(done)).await {
            tracing::debug!(task = %task.id(), %error, "a worker's word does not count");
        }
    }
}
