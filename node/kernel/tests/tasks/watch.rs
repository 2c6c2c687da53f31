//! What everybody is told, held against what may be told; and the reckoning at the end.

use std::collections::BTreeSet;

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{NodeId, Pid};
use squall_kernel::tasks::{Delivery, LeaseNo, SettleResult, TaskEffect, TaskId, TaskQueue};

use super::{Broken, World, config};

impl World {
    pub(super) fn watch(&mut self, effect: TaskEffect) -> Result<(), Broken> {
        if !self.right && !is_refusal(&effect) {
            return Err(format!("without the right to act: {effect}"));
        }
        match effect {
            TaskEffect::Replicate { batch, .. } => self.batches.push_back(batch),
            TaskEffect::Accepted { task, submitter, .. } => {
                self.answered(submitter)?;
                self.acknowledged.insert(task);
            }
            TaskEffect::Deliver(delivery) => self.delivered(delivery)?,
            TaskEffect::Settled {
                worker,
                task,
                lease,
                result,
            } => self.settled(worker, task, lease, result)?,
            TaskEffect::DeadLettered { letter, .. } => {
                if self.completed.contains_key(&letter.task) {
                    return Err(format!("{} is completed and a dead letter", letter.task));
                }
                self.dead.insert(letter.task);
            }
            TaskEffect::Lost { .. } if self.disasters == 0 => return Err(effect.to_string()),
            TaskEffect::ScheduleAsk(ask) => self.asked.push(ask.task),
            TaskEffect::Refused { submitter, .. } => self.answered(submitter)?,
            // A worker that does not stop is the harder case.
            TaskEffect::Lost { .. } | TaskEffect::LeaseEnded { .. } => {}
        }
        Ok(())
    }

    /// Nobody is told twice what became of a submit.
    fn answered(&mut self, submitter: RequestKey) -> Result<(), Broken> {
        if self.answered.insert(submitter) {
            Ok(())
        } else {
            Err(format!("{submitter} is answered twice"))
        }
    }

    fn delivered(&mut self, delivery: Delivery) -> Result<(), Broken> {
        let Delivery {
            task,
            lease,
            attempt,
            attempts,
            worker,
            ..
        } = delivery;
        let before = self.latest.insert(task, (lease, attempt));
        let grows = before.is_none_or(|(l, a)| {
            let counted = u32::from(!self.unseen.contains(&l));
            l < lease && a + counted <= attempt
        });
        if !grows || attempt > attempts {
            return Err(format!("{delivery} after {before:?}"));
        }
        if self.completed.contains_key(&task) || self.dead.contains(&task) {
            return Err(format!("{delivery}, which has ended"));
        }
        if self.shape.ordered && !delivery.spec.key.is_empty() {
            self.in_order(&delivery)?;
        }
        if let Some(hand) = self.hands.get_mut(&worker) {
            hand.tasks.insert(task, lease);
        }
        self.deliveries.push(delivery);
        Ok(())
    }

    /// Every acknowledged task of the key with a lower number has ended: one that was delivered last under another lease may
    /// have ended unseen, when its owner was killed.
    fn in_order(&self, delivery: &Delivery) -> Result<(), Broken> {
        let open = self.deliveries.iter().find(|d| {
            d.spec.key == delivery.spec.key && d.task < delivery.task && self.queue.lease_of(d.task).is_some()
        });
        match open {
            Some(first) => Err(format!("{delivery} before {} has ended", first.task)),
            None => Ok(()),
        }
    }

    fn settled(
        &mut self,
        worker: Pid,
        task: TaskId,
        lease: LeaseNo,
        result: SettleResult,
    ) -> Result<(), Broken> {
        match result {
            SettleResult::Confirmed => {
                let before = self.completed.insert(task, lease);
                let current = self.latest.get(&task).map(|(lease, _)| *lease) == Some(lease);
                if before.is_some() || self.dead.contains(&task) || !current {
                    return Err(format!("{task} completed by {lease} after {before:?}"));
                }
            }
            SettleResult::AlreadyConfirmed => {
                let counted = *self.completed.entry(task).or_insert(lease);
                if counted != lease {
                    return Err(format!("{task} completed by {lease} and by {counted}"));
                }
            }
            SettleResult::Extended { .. } | SettleResult::Refused(_) => return Ok(()),
            _ => {}
        }
        if let Some(hand) = self.hands.get_mut(&worker)
            && hand.tasks.get(&task) == Some(&lease)
        {
            hand.tasks.remove(&task);
        }
        Ok(())
    }

    /// What the backup would go on with is what the owner has.
    fn same_dead_letters(&self) -> Result<(), Broken> {
        let config = config(NodeId(9), self.queue.epoch().0 + 1, self.shape);
        let next = TaskQueue::from_replica(config, self.now, self.replica.clone());
        if next.dead_letters().eq(self.queue.dead_letters()) {
            return Ok(());
        }
        let (has, owner) = (next.view(), self.queue.view());
        Err(format!(
            "dead letters differ: the backup {has:?}, the owner {owner:?}"
        ))
    }

    pub(super) fn judge(&self) -> Result<(), Broken> {
        let letters: BTreeSet<TaskId> = self.queue.dead_letters().map(|l| l.task).collect();
        for task in &self.acknowledged {
            let completed = self.completed.contains_key(task);
            let dead = self.dead.contains(task) || letters.contains(task);
            // One whose answer was lost with its owner ended unseen; the figures below count it.
            if !completed && !dead && !self.latest.contains_key(task) {
                return Err(format!("{task} was acknowledged and is gone"));
            }
        }
        let view = self.queue.view();
        let figures = view.figures;
        if figures.open() != view.open as u64 {
            return Err(format!("figures that do not add up: {view:?}"));
        }
        if self.replica.figures() != Some(figures) || self.replica.tasks() != 0 || !view.doubled {
            return Err(format!(
                "the backup has {:?}, the owner {figures:?}",
                self.replica.figures()
            ));
        }
        self.same_dead_letters()?;
        if self.disasters > 0 {
            return Ok(());
        }
        if figures.leased != figures.confirmed + figures.returned {
            return Err(format!("figures that do not add up: {figures:?}"));
        }
        let fewer = figures.submitted < self.acknowledged.len() as u64
            || figures.confirmed < self.completed.len() as u64
            || figures.confirmed + figures.dead < self.acknowledged.len() as u64;
        if fewer || figures.lost > 0 {
            return Err(format!("{} acknowledged: {figures:?}", self.acknowledged.len()));
        }
        Ok(())
    }
}

fn is_refusal(effect: &TaskEffect) -> bool {
    matches!(
        effect,
        TaskEffect::Refused { .. }
            | TaskEffect::Settled {
                result: SettleResult::Refused(_),
                ..
            }
    )
}
