//! Nodes that die, and queues that move.

use squall_kernel::id::NodeId;
use squall_kernel::tasks::{Backup, TaskConfig, TaskInput, TaskQueue, TaskReplica};
use squall_kernel::time::Instant;

use super::{Broken, World, config};

impl World {
    /// Only when one lost node may not cost anything.
    pub(super) fn kill_owner(&mut self) -> Result<(), Broken> {
        let Backup::On(next) = self.backup else {
            return Ok(());
        };
        if self.losses > 0 {
            return Ok(());
        }
        if !self.replica.is_whole() {
            return Err("every task is said to be at two nodes, and the backup has no whole copy".into());
        }
        self.failovers += 1;
        let replica = std::mem::take(&mut self.replica);
        self.take_over(next, |config, now| TaskQueue::from_replica(config, now, replica))
    }

    /// With what copy there is, if any. What had been acknowledged may be gone.
    pub(super) fn disaster(&mut self) -> Result<(), Broken> {
        let replica = std::mem::take(&mut self.replica);
        let other = self.up.iter().find(|node| **node != self.owner).copied();
        self.disasters += 1;
        self.acknowledged.clear();
        match (self.backup, other) {
            (Backup::On(next), _) => {
                self.take_over(next, |config, now| TaskQueue::from_replica(config, now, replica))
            }
            (_, Some(next)) => self.take_over(next, |config, now| TaskQueue::after_loss(config, now, None)),
            (_, None) => Ok(()),
        }
    }

    fn take_over(
        &mut self,
        next: NodeId,
        queue: impl FnOnce(TaskConfig, Instant) -> TaskQueue,
    ) -> Result<(), Broken> {
        self.up.remove(&self.owner);
        self.owner = next;
        self.cut();
        self.asked.clear();
        self.queue = queue(config(next, self.queue.epoch().0 + 1, self.shape), self.now);
        self.backup = Backup::Awaited;
        self.losses = 1;
        for hand in self.hands.values_mut() {
            hand.attached = false;
        }
        self.step(&TaskInput::Tick)
    }

    pub(super) fn kill_backup(&mut self) -> Result<(), Broken> {
        let Backup::On(node) = self.backup else {
            return Ok(());
        };
        self.up.remove(&node);
        self.cut();
        self.replica = TaskReplica::new();
        self.backup = Backup::Awaited;
        self.losses += 1;
        self.step(&TaskInput::NodeLost { node })
    }

    pub(super) fn name(&mut self) -> Result<(), Broken> {
        if let Backup::On(_) = self.backup {
            return Ok(());
        }
        let other = self.up.iter().find(|node| **node != self.owner);
        self.backup = other.map_or(Backup::Alone, |node| Backup::On(*node));
        self.replica = TaskReplica::new();
        self.losses = self.losses.max(1);
        self.step(&TaskInput::BackupChanged { backup: self.backup })
    }

    /// The state goes to the next owner. Where that was the backup, the old owner becomes it.
    pub(super) fn move_to(&mut self, to: NodeId) -> Result<(), Broken> {
        if to == self.owner || !self.up.contains(&to) {
            return Ok(());
        }
        self.moves += 1;
        let state = self.queue.leave(self.now);
        let coded = postcard::to_allocvec(&state).map_err(|e| e.to_string())?;
        let state = postcard::from_bytes(&coded).map_err(|e| e.to_string())?;
        let config = config(to, self.queue.epoch().0 + 1, self.shape);
        let next = TaskQueue::from_state(config, self.now, state);
        let old = std::mem::replace(&mut self.queue, next);
        self.cut();
        if !matches!(self.backup, Backup::On(node) if node != to) {
            self.replica = old.into_replica();
            self.backup = Backup::On(self.owner);
        }
        self.owner = to;
        self.step(&TaskInput::BackupChanged { backup: self.backup })
    }

    fn cut(&mut self) {
        self.batches.clear();
        self.answers.clear();
    }
}
