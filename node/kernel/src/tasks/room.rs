//! A queue that is full: one more task is turned away, or the oldest makes room for it, or it is held back until there is some,
//! as the exchange says.
//!
//! What does not live here: what counts against the bounds (`store`), and which task would make room (`line`).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{DeadReason, NoReply, Right, Submit, TaskEffect, TaskQueue, limits, refused};
use crate::order::WhenFull;
use crate::time::Instant;

/// How many tasks may be open, and what becomes of one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Open tasks at most; [`TASKS_MAX`](limits::TASKS_MAX) holds besides.
    pub tasks: usize,
    /// What becomes of one more.
    pub when_full: WhenFull,
}

impl Default for Bound {
    fn default() -> Self {
        Self {
            tasks: limits::TASKS_MAX,
            when_full: WhenFull::Reject,
        }
    }
}

/// What a queue did with submits for which it had no room, since this owner has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overflow {
    /// Turned away.
    pub rejected: u64,
    /// Tasks that made room, as dead letters.
    pub dropped: u64,
    /// Held back, and not taken in before their submitter gave up.
    pub expired: u64,
    /// Held back.
    pub held: u64,
}

/// Submits that are held back, in the order in which they came. Bounded by number and bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    submits: BTreeMap<u64, Submit>,
    ends: BTreeSet<(Instant, u64)>,
    bytes: usize,
    came: u64,
}

impl Held {
    /// Gives it back where there is no room here either.
    fn put<'a>(&mut self, submit: &'a Submit) -> Result<(), &'a Submit> {
        let bytes = self.bytes + submit.spec.bytes();
        if self.submits.len() >= limits::SUBMITS_HELD_MAX || bytes > limits::TASK_BYTES_MAX {
            return Err(submit);
        }
        self.bytes = bytes;
        self.came += 1;
        self.ends.insert((submit.patience, self.came));
        self.submits.insert(self.came, submit.clone());
        Ok(())
    }

    fn remove(&mut self, number: u64) -> Option<Submit> {
        let submit = self.submits.remove(&number)?;
        self.ends.remove(&(submit.patience, number));
        self.bytes -= submit.spec.bytes();
        Some(submit)
    }

    /// The one whose submitter has given up, if there is one.
    fn ended(&mut self, now: Instant) -> Option<Submit> {
        let (_, number) = self.ends.first().copied().filter(|(until, _)| *until <= now)?;
        self.remove(number)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.ends.first().map(|(until, _)| *until)
    }
}

impl TaskQueue {
    /// What it did with submits for which it had no room.
    #[must_use]
    pub fn overflow(&self) -> Overflow {
        self.overflow
    }

    /// Submits that are held back now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.submits.len()
    }

    /// Whoever is held back comes before a newcomer.
    pub(super) fn has_room(&self, submit: &Submit) -> bool {
        self.held.submits.is_empty() && self.fits(submit)
    }

    fn fits(&self, submit: &Submit) -> bool {
        self.store.has_room(submit.spec.bytes(), self.config.bound.tasks)
    }

    /// There is no room for a task.
    pub(super) fn overflows(
        &mut self,
        right: &Right,
        now: Instant,
        submit: &Submit,
        out: &mut Vec<TaskEffect>,
    ) {
        let turned_away = match self.config.bound.when_full {
            WhenFull::Reject => true,
            WhenFull::DropOldest => !self.makes_room(now, submit),
            WhenFull::Block => self.held.put(submit).is_err(),
        };
        if turned_away {
            self.overflow.rejected += 1;
            out.push(refused(submit, NoReply::Rejected));
        } else if self.config.bound.when_full == WhenFull::Block {
            self.overflow.held += 1;
        } else {
            self.enter(right, now, submit, out);
        }
    }

    /// Waiting tasks of the lowest priority become dead letters, the oldest first, until there is room. None of a higher
    /// priority than the newcomer's does, and none that a worker has in hand.
    fn makes_room(&mut self, now: Instant, submit: &Submit) -> bool {
        for _ in 0..limits::TASK_ENDS_AT_ONCE_MAX {
            if self.fits(submit) {
                return true;
            }
            let Some(oldest) = self.line.first_to_go(submit.spec.priority) else {
                return false;
            };
            let said = self.said(oldest);
            self.bury(now, oldest, DeadReason::MadeRoom, said);
            self.overflow.dropped += 1;
        }
        self.fits(submit)
    }

    /// Takes in what was held back, as far as there is room by now.
    pub(super) fn let_in(&mut self, right: &Right, now: Instant, out: &mut Vec<TaskEffect>) {
        while self.held.ended(now).is_some() {
            self.overflow.expired += 1;
        }
        while let Some((number, first)) = self.held.submits.first_key_value() {
            let (number, same) = (*number, self.store.same(now, &first.spec.unique));
            if self.copying.is_full() || (same.is_none() && !self.fits(first)) {
                return;
            }
            let Some(submit) = self.held.remove(number) else {
                return;
            };
            match same {
                _ if submit.deadline.is_some_and(|at| now >= at) => {
                    out.push(refused(&submit, NoReply::Timeout));
                }
                Some(task) => self.acknowledge(&submit, task, true, out),
                None => self.enter(right, now, &submit, out),
            }
        }
    }

    /// It is another owner's now: whoever is held back goes there.
    pub(super) fn send_on(&mut self, out: &mut Vec<TaskEffect>) {
        let held = core::mem::take(&mut self.held);
        let submits = held.submits.values();
        out.extend(submits.map(|submit| refused(submit, NoReply::Moved)));
    }
}

#[cfg(test)]
#[path = "room_test.rs"]
mod tests;
