//! What was seen in the last ten minutes, so that a viewer can go back: every update as it came, and now and then the whole
//! cluster, from which any moment between is made again.
//!
//! What does not live here: which moment is shown (`update`), and files (`recording`).

use std::collections::VecDeque;

use crate::cluster::Cluster;
use crate::feed::Update;
use crate::limits::{HISTORY_BYTES, HISTORY_MS, KEYFRAME_MS, KEYFRAME_MS_MAX};
use crate::units::Moment;

/// The ring. It holds as much as fits in its bound of bytes, and ten minutes at most.
#[derive(Debug, Clone, Default)]
pub struct History {
    entries: VecDeque<Entry>,
    /// Number of the first entry, counted from the start.
    first: u64,
    bytes: usize,
    frames: VecDeque<Keyframe>,
    /// Bytes that came since the last of them.
    since_frame: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    at: Moment,
    updates: Vec<Update>,
    bytes: usize,
}

/// The whole cluster before the entry of that number.
#[derive(Debug, Clone)]
struct Keyframe {
    next: u64,
    at: Moment,
    cluster: Cluster,
    bytes: usize,
}

impl History {
    /// Takes in what has just come, before `cluster` takes it in.
    pub fn push(&mut self, now: Moment, updates: &[Update], cluster: &Cluster) {
        if self.is_due(now) {
            self.keep(now, cluster);
        }
        // Events are kept by the log of the cluster, longer than this; details are not kept.
        let kept = updates
            .iter()
            .filter(|update| !matches!(update, Update::Events { .. } | Update::Detail { .. }));
        let updates: Vec<Update> = kept.cloned().collect();
        let bytes = updates.iter().map(Update::bytes).sum();
        self.bytes += bytes;
        self.since_frame += bytes;
        self.entries.push_back(Entry {
            at: now,
            updates,
            bytes,
        });
        self.forget(now);
    }

    /// A whole picture is worth its room once as much has come as it takes, and at the latest after a while.
    fn is_due(&self, now: Moment) -> bool {
        self.frames.back().is_none_or(|last| {
            let age = now.since(last.at);
            age >= KEYFRAME_MS_MAX || (age >= KEYFRAME_MS && self.since_frame >= last.bytes)
        })
    }

    fn keep(&mut self, now: Moment, cluster: &Cluster) {
        let cluster = cluster.without_events();
        let bytes = cluster.bytes();
        self.bytes += bytes;
        self.since_frame = 0;
        self.frames.push_back(Keyframe {
            next: self.first + self.entries.len() as u64,
            at: now,
            cluster,
            bytes,
        });
    }

    /// What is too old, or too much, goes from the front: up to the second whole picture, without which nothing before it
    /// can be made again.
    fn forget(&mut self, now: Moment) {
        while self.frames.len() > 1 {
            let second = &self.frames[1];
            let old = now.since(second.at) >= HISTORY_MS;
            if !old && self.bytes <= HISTORY_BYTES {
                return;
            }
            let next = second.next;
            if let Some(gone) = self.frames.pop_front() {
                self.bytes -= gone.bytes;
            }
            while self.first < next
                && let Some(gone) = self.entries.pop_front()
            {
                self.bytes -= gone.bytes;
                self.first += 1;
            }
        }
    }

    /// The first moment that can be shown; none before anything came.
    #[must_use]
    pub fn since(&self) -> Option<Moment> {
        self.frames.front().map(|frame| frame.at)
    }

    /// About how much it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The cluster as it was at a moment, which is brought within what is held, with the events of `live` up to then; none
    /// before anything came.
    #[must_use]
    pub fn at(&self, wanted: Moment, live: &Cluster) -> Option<(Cluster, Moment)> {
        let wanted = wanted.max(self.since()?);
        let frame = self.frames.iter().rev().find(|frame| frame.at <= wanted)?;
        let mut cluster = frame.cluster.clone();
        let skipped = usize::try_from(frame.next - self.first).unwrap_or(usize::MAX);
        let after = self.entries.iter().skip(skipped);
        for entry in after.take_while(|entry| entry.at <= wanted) {
            cluster.sample(entry.at);
            for update in &entry.updates {
                cluster.apply(entry.at, update.clone());
            }
        }
        cluster.sample(wanted);
        cluster.events = live.events.until(wanted);
        Some((cluster, wanted))
    }
}

#[cfg(test)]
#[path = "history_test.rs"]
mod tests;
