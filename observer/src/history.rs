//! What was seen in the last ten minutes, so that a viewer can go back: every update as it came, and now and then the whole
//! cluster, from which any moment between is made again. Of processes, of which there are many, the newest of each second.
//!
//! What does not live here: the thread that it lives in ([`crate::keeper`]), which moment is shown (`update`), and files
//! (`recording`).

mod packed;
mod seconds;

use std::collections::VecDeque;

use crate::cluster::{Cluster, PAST};
use crate::feed::{RowsUpdate, Update};
use crate::limits::{HISTORY_BYTES, HISTORY_MS, KEYFRAME_BYTES, KEYFRAME_MS, KEYFRAME_MS_MAX};
use crate::units::Moment;
use packed::{Kept, Packed};
use seconds::Seconds;

/// The ring. It holds as much as fits in its bound of bytes, and ten minutes at most.
#[derive(Debug, Clone, Default)]
pub struct History {
    stretches: VecDeque<Stretch>,
    /// Bytes of all but the last stretch.
    settled: usize,
    seconds: Seconds,
    /// The cluster as of what came last, without its events.
    latest: Cluster,
    /// How often something came.
    pushed: u64,
}

/// The whole cluster at a moment, and what came from then on.
#[derive(Debug, Clone)]
struct Stretch {
    at: Moment,
    cluster: Cluster,
    /// Bytes of the cluster.
    frame: usize,
    came: Packed,
}

impl Stretch {
    fn bytes(&self) -> usize {
        self.frame + self.came.bytes()
    }

    /// A whole picture is worth its room once what came takes as much again, and at the latest after a while, or when
    /// going through what came would take too long.
    fn is_over(&self, now: Moment) -> bool {
        let age = now.since(self.at);
        let large = self.came.bytes() >= 2 * self.frame || self.came.came() >= KEYFRAME_BYTES;
        age >= KEYFRAME_MS_MAX || (age >= KEYFRAME_MS && large)
    }
}

/// Events are kept by the log of the cluster, longer than here; details are not kept.
#[must_use]
pub fn is_kept(update: &Update) -> bool {
    !matches!(update, Update::Events { .. } | Update::Detail { .. })
}

impl History {
    /// One that goes on from a cluster, of which nothing was seen before.
    #[must_use]
    pub fn beginning(now: Moment, cluster: Cluster) -> Self {
        let mut history = Self {
            latest: cluster,
            ..Self::default()
        };
        history.begin(now);
        history
    }

    /// Takes in what has just come.
    pub fn push(&mut self, now: Moment, updates: Vec<Update>) {
        self.pushed += 1;
        if self.stretches.back().is_none_or(|last| last.is_over(now)) {
            self.begin(now);
        }
        self.latest.sample(now);
        for update in updates {
            match update {
                ref update if !is_kept(update) => continue,
                Update::Rows(ref rows) if !rows.whole => {
                    let rest = self.seconds.gather(now, rows.clone());
                    self.keep(now, Kept::Update(Update::Rows(rest)));
                }
                // What was gathered came before it.
                ref update => {
                    let rest = self.seconds.rest();
                    self.put_away(now, rest);
                    self.keep(now, Kept::Update(update.clone()));
                }
            }
            self.latest.apply(now, update);
        }
        let some = self.seconds.some(now);
        self.put_away(now, some);
        self.forget(now);
    }

    fn begin(&mut self, now: Moment) {
        let rest = self.seconds.rest();
        self.put_away(now, rest);
        self.settled += self.stretches.back().map_or(0, Stretch::bytes);
        let cluster = self.latest.without_events();
        self.stretches.push_back(Stretch {
            at: now,
            frame: cluster.bytes(),
            cluster,
            came: Packed::default(),
        });
    }

    fn put_away(&mut self, now: Moment, processes: Vec<RowsUpdate>) {
        for rows in processes {
            self.keep(now, Kept::Processes(rows));
        }
    }

    fn keep(&mut self, now: Moment, kept: Kept) {
        if let Some(last) = self.stretches.back_mut() {
            last.came.push(now, kept);
        }
    }

    /// What is too old, or too much, goes from the front: up to the second whole picture, without which nothing before it
    /// can be made again.
    fn forget(&mut self, now: Moment) {
        while self.stretches.len() > 1 {
            let old = now.since(self.stretches[1].at) >= HISTORY_MS;
            if !old && self.bytes() <= HISTORY_BYTES {
                return;
            }
            if let Some(gone) = self.stretches.pop_front() {
                self.settled -= gone.bytes();
            }
        }
    }

    /// The first moment that can be shown; none before anything came.
    #[must_use]
    pub fn since(&self) -> Option<Moment> {
        self.stretches.front().map(|stretch| stretch.at)
    }

    /// About how much it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.settled + self.stretches.back().map_or(0, Stretch::bytes)
    }

    /// The cluster as it was at a moment, which is brought within what is held, without events; none before anything came.
    #[must_use]
    pub fn at(&self, wanted: Moment) -> Option<(Cluster, Moment)> {
        let wanted = wanted.max(self.since()?);
        let stretch = self.stretches.iter().rev().find(|stretch| stretch.at <= wanted)?;
        let mut cluster = stretch.cluster.clone();
        cluster.into_past();
        for (at, kept) in stretch.came.until(wanted) {
            cluster.sample(at);
            match kept {
                Kept::Update(update) => cluster.apply(at, update),
                Kept::Processes(rows) => cluster.processes(rows),
            }
        }
        for rows in self.seconds.until(wanted) {
            cluster.processes(rows);
        }
        cluster.sample(wanted);
        cluster.version = PAST | mixed(wanted.0, self.pushed);
        Some((cluster, wanted))
    }
}

/// A number that no other moment has, nor the same one after more has come.
fn mixed(at: u64, pushed: u64) -> u64 {
    let mut mixed = at.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ pushed.wrapping_mul(0xD1B5_4A32_D192_ED03);
    mixed ^= mixed >> 32;
    mixed.wrapping_mul(0x94D0_49BB_1331_11EB) >> 1
}

#[cfg(test)]
#[path = "history_test.rs"]
mod tests;
