//! What is told of the tasks of an exchange to whoever measures, without a word to the exchange's process and without its queue's
//! lock: how the queue stands, and what this node has done with tasks since it started.
//!
//! What does not live here: what is to be counted (`metrics`), and pages of tasks (`queue`).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use squall_kernel::tasks::{Figures, Glance, TaskEffect};
use squall_kernel::time::{Instant, Span};

/// What the node has done with tasks of an exchange while it owned it, all ownerships of this run of the node together: so it never
/// goes down, whoever owns the exchange in between.
#[derive(Debug, Default)]
pub(in crate::exchanges) struct Tally {
    accepted: AtomicU64,
    completed: AtomicU64,
    tried_again: AtomicU64,
    dead: AtomicU64,
    lost: AtomicU64,
}

/// What a node has done with tasks of an exchange whose owner it is or was, since the node started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskChanges {
    /// Tasks taken in; whoever sends one again under its id is not counted again.
    pub accepted: u64,
    /// Completed.
    pub completed: u64,
    /// Given out again, after an attempt that ended without a completion.
    pub tried_again: u64,
    /// Ended as dead letters.
    pub dead: u64,
    /// Lost with the nodes that had them, as far as their number is known: counted by the owner that finds it out.
    pub lost: u64,
}

impl Tally {
    /// Counts what one step of the queue has done.
    pub(super) fn stepped(&self, before: &Figures, after: &Figures, effects: &[TaskEffect]) {
        let grown = |to: &AtomicU64, before: u64, after: u64| {
            if after > before {
                to.fetch_add(after - before, Relaxed);
            }
        };
        grown(&self.accepted, before.submitted, after.submitted);
        grown(&self.completed, before.confirmed, after.confirmed);
        grown(&self.dead, before.dead, after.dead);
        for effect in effects {
            match effect {
                TaskEffect::Deliver(delivery) if delivery.attempt > 1 => {
                    self.tried_again.fetch_add(1, Relaxed);
                }
                TaskEffect::Lost {
                    acknowledged: Some(tasks),
                } => {
                    self.lost.fetch_add(*tasks, Relaxed);
                }
                _ => {}
            }
        }
    }

    pub(in crate::exchanges) fn read(&self) -> TaskChanges {
        TaskChanges {
            accepted: self.accepted.load(Relaxed),
            completed: self.completed.load(Relaxed),
            tried_again: self.tried_again.load(Relaxed),
            dead: self.dead.load(Relaxed),
            lost: self.lost.load(Relaxed),
        }
    }
}

/// When nothing is open.
const NOTHING: i64 = i64::MAX;

/// How a queue stood when it was stepped last.
#[derive(Debug)]
pub(super) struct Shown {
    open: AtomicU64,
    in_hand: AtomicU64,
    dead: AtomicU64,
    /// When the oldest open task was submitted, in microseconds of the node's clock: below 0 where that was before the node
    /// started.
    oldest: AtomicI64,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            open: AtomicU64::default(),
            in_hand: AtomicU64::default(),
            dead: AtomicU64::default(),
            oldest: AtomicI64::new(NOTHING),
        }
    }
}

/// How a queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TasksShown {
    /// Open tasks that nobody has in hand.
    pub waiting: u64,
    /// Tasks that workers have in hand.
    pub in_hand: u64,
    /// Dead letters kept.
    pub dead: u64,
    /// Time since the oldest open task was submitted; none where none is open.
    pub oldest: Option<Span>,
}

impl Shown {
    pub(super) fn show(&self, glance: &Glance) {
        self.open.store(glance.open as u64, Relaxed);
        self.in_hand.store(glance.in_hand as u64, Relaxed);
        self.dead.store(glance.dead as u64, Relaxed);
        let micros = |n: u64| i64::try_from(n).unwrap_or(NOTHING - 1);
        let born = |(at, age): (Instant, Span)| micros(at.0) - micros(age.0);
        self.oldest.store(glance.oldest.map_or(NOTHING, born), Relaxed);
    }

    /// What was shown last. Each figure is right; between two of them a step may lie.
    pub(super) fn read(&self, now: Instant) -> TasksShown {
        let (open, in_hand) = (self.open.load(Relaxed), self.in_hand.load(Relaxed));
        let born = Some(self.oldest.load(Relaxed)).filter(|born| *born != NOTHING);
        let age = |born: i64| {
            let age = i128::from(now.0) - i128::from(born);
            // A task of this very moment may be younger than the look at the clock.
            Span(u64::try_from(age.max(0)).unwrap_or(u64::MAX))
        };
        TasksShown {
            waiting: open.saturating_sub(in_hand),
            in_hand,
            dead: self.dead.load(Relaxed),
            oldest: born.map(age),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glance(oldest: Option<(Instant, Span)>) -> Glance {
        Glance {
            figures: Figures::default(),
            open: 5,
            in_hand: 2,
            dead: 1,
            oldest,
        }
    }

    #[test]
    fn a_task_that_is_older_than_this_run_of_the_node_keeps_its_age() {
        let shown = Shown::default();
        assert_eq!(shown.read(Instant(7)), TasksShown::default());
        shown.show(&glance(Some((Instant(1_000), Span(60_000)))));
        let read = shown.read(Instant(3_000));
        assert_eq!((read.waiting, read.in_hand, read.dead), (3, 2, 1));
        assert_eq!(read.oldest, Some(Span(62_000)));
        assert_eq!(shown.read(Instant(0)).oldest, Some(Span(59_000)));
        shown.show(&glance(None));
        assert_eq!(shown.read(Instant(3_000)).oldest, None);
    }

    #[test]
    fn a_queue_that_begins_anew_takes_nothing_back() {
        let tally = Tally::default();
        let figures = |submitted, confirmed| Figures {
            submitted,
            confirmed,
            ..Figures::default()
        };
        tally.stepped(&figures(10, 4), &figures(12, 5), &[]);
        // Owned here again, after others that lost some: what this node has done stands.
        tally.stepped(&figures(3, 1), &figures(4, 1), &[]);
        tally.stepped(&figures(4, 1), &figures(2, 0), &[]);
        let read = tally.read();
        assert_eq!((read.accepted, read.completed), (3, 1));
    }

    #[test]
    fn tasks_that_are_lost_are_counted_as_far_as_their_number_is_known() {
        let tally = Tally::default();
        let lost = |acknowledged| TaskEffect::Lost { acknowledged };
        let figures = Figures::default();
        tally.stepped(&figures, &figures, &[lost(Some(3)), lost(None)]);
        assert_eq!(tally.read().lost, 3);
    }
}
