//! What a queue's steps mean, for the journal. Told while the queue stands still: so nobody can tell of what follows from a
//! step before the step itself is told.
//!
//! What does not live here: the words (`journal`), and copies of other owners' queues (`replicas`).

use squall_kernel::id::ExchangeId;
use squall_kernel::tasks::{TaskEffect, TaskQueue};

use super::SharedQueue;
use crate::data::DataContext;
use crate::exchanges::Exchanges;
use crate::exchanges::post::Owned;
use crate::journal::{Fact, QueueFrom, TaskEvent};

impl DataContext {
    /// Records what happened to tasks here, where a journal is kept.
    pub(in crate::exchanges) fn tell_of_tasks(&self, exchange: ExchangeId, what: impl FnOnce() -> TaskEvent) {
        self.tell(|| Fact::Task {
            exchange,
            what: what(),
        });
    }
}

pub(super) fn begins(queue: &TaskQueue, from: QueueFrom) -> TaskEvent {
    TaskEvent::Begins {
        epoch: queue.epoch(),
        from,
        tasks: queue.known(),
    }
}

/// Who has the second copy, where that is other than was told last in `before`; and what is to be done.
pub(super) fn stepped(
    context: &DataContext,
    exchange: ExchangeId,
    queue: &TaskQueue,
    effects: &[TaskEffect],
    before: &mut Option<TaskEvent>,
) {
    if context.journal.is_none() {
        return;
    }
    let doubled = TaskEvent::doubled(queue);
    if before.as_ref() != Some(&doubled) {
        *before = Some(doubled.clone());
        context.tell_of_tasks(exchange, || doubled);
    }
    for what in effects.iter().filter_map(TaskEvent::of) {
        context.tell_of_tasks(exchange, || what);
    }
}

impl Exchanges {
    /// The node ends, and a queue is still here: what it knows.
    pub(in crate::exchanges) fn tell_end(&self, exchange: ExchangeId, owned: &Owned) {
        owned.queue.tell_end(&self.context, exchange);
    }
}

impl SharedQueue {
    fn tell_end(&self, context: &DataContext, exchange: ExchangeId) {
        if let Some(queue) = self.lock().as_ref() {
            context.tell_of_tasks(exchange, || TaskEvent::Ends {
                epoch: queue.epoch(),
                tasks: queue.known(),
            });
        }
    }
}
