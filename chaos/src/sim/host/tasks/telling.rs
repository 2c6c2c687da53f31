//! What a queue's steps mean for the history.

use squall_kernel::id::ExchangeId;
use squall_kernel::tasks::TaskEffect;

use crate::history::TaskEvent;
use crate::sim::host::Host;

impl Host {
    pub(super) fn tell_effect(&mut self, id: ExchangeId, effect: &TaskEffect) {
        if let Some(told) = TaskEvent::of(effect) {
            self.task_event(id, told);
        }
    }

    /// Who has a second copy, where that is news.
    pub(super) fn tell_doubled(&mut self, id: ExchangeId) {
        let Some(tasks) = self.tasks(id) else { return };
        let told = TaskEvent::doubled(&tasks.queue);
        if tasks.doubled.as_ref() != Some(&told) {
            tasks.doubled = Some(told.clone());
            self.task_event(id, told);
        }
    }

    /// The run ends: what the queues here know.
    pub fn tell_queues(&mut self) {
        let queues = self.owned.iter().filter(|(_, owned)| !owned.left);
        let queues = queues.filter_map(|(id, owned)| {
            let queue = &owned.tasks.as_ref()?.queue;
            Some((*id, queue.epoch(), queue.known()))
        });
        let queues: Vec<_> = queues.collect();
        for (id, epoch, tasks) in queues {
            self.task_event(id, TaskEvent::Ends { epoch, tasks });
        }
    }
}
