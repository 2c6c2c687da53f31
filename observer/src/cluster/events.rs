//! The events of all nodes, merged by time, bounded. The oldest go first, and what went is counted.

use std::collections::BTreeMap;

use squall_proto::v1;

use crate::clean;
use crate::limits::{EVENTS_MAX, MARKS_MAX};
use crate::units::Moment;

/// Identity of an event; its order is the order of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey {
    /// When, by the clock of the node it happened on.
    pub unix_ms: u64,
    /// Node.
    pub node: String,
    /// Incarnation the number belongs to.
    pub incarnation: u64,
    /// Number.
    pub seq: u64,
}

/// What a mark on a chart stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    /// An owner or the meta leader changed.
    Failover,
    /// A fault was set.
    Fault,
    /// A node was lost.
    Lost,
}

/// A mark on the charts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub unix_ms: u64,
    /// What.
    pub kind: MarkKind,
}

/// Events by time.
#[derive(Debug, Clone, Default)]
pub struct EventLog {
    events: BTreeMap<EventKey, v1::Event>,
    /// Events that were lost: at the nodes, or dropped here for room.
    pub lost: u64,
}

impl EventLog {
    /// Adds events of a node; one that is there already is not added again.
    pub fn add(&mut self, node: &str, incarnation: u64, events: Vec<v1::Event>, lost: u64) {
        self.lost = self.lost.saturating_add(lost);
        for mut event in events {
            clean::event(&mut event);
            let key = EventKey {
                unix_ms: event.unix_ms,
                node: node.to_owned(),
                incarnation,
                seq: event.seq,
            };
            self.events.insert(key, event);
        }
        while self.events.len() > EVENTS_MAX {
            self.events.pop_first();
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// Events, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = (&EventKey, &v1::Event)> {
        self.events.iter().rev()
    }

    /// Those up to a moment.
    #[must_use]
    pub fn until(&self, at: Moment) -> Self {
        let upto = self.events.iter().take_while(|(key, _)| key.unix_ms <= at.0);
        Self {
            events: upto.map(|(key, event)| (key.clone(), event.clone())).collect(),
            lost: self.lost,
        }
    }

    /// When the last thing before a moment happened.
    #[must_use]
    pub fn before(&self, at: Moment) -> Option<Moment> {
        let mut earlier = self.events.keys().rev().map(|key| Moment(key.unix_ms));
        earlier.find(|then| *then < at)
    }

    /// When the next thing after a moment happened.
    #[must_use]
    pub fn after(&self, at: Moment) -> Option<Moment> {
        let mut later = self.events.keys().map(|key| Moment(key.unix_ms));
        later.find(|then| *then > at)
    }

    /// The event of that key, while it is kept.
    #[must_use]
    pub fn get(&self, key: &EventKey) -> Option<&v1::Event> {
        self.events.get(key)
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The newest marks, the newest first.
    #[must_use]
    pub fn marks(&self) -> Vec<Mark> {
        let mark = |(key, event): (&EventKey, &v1::Event)| {
            kind_of(&event.kind).map(|kind| Mark {
                unix_ms: key.unix_ms,
                kind,
            })
        };
        self.newest_first().filter_map(mark).take(MARKS_MAX).collect()
    }
}

/// Which mark an event of this kind leaves.
fn kind_of(kind: &str) -> Option<MarkKind> {
    match kind {
        "owner-changed" | "meta-leader" => Some(MarkKind::Failover),
        "fault-set" => Some(MarkKind::Fault),
        "node-down" | "node-lost" => Some(MarkKind::Lost),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, unix_ms: u64, kind: &str) -> v1::Event {
        v1::Event {
            seq,
            unix_ms,
            kind: kind.to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn events_of_all_nodes_stand_in_the_order_of_time() {
        let mut log = EventLog::default();
        log.add("a", 1, vec![event(1, 100, "x"), event(2, 300, "x")], 0);
        log.add("b", 1, vec![event(1, 200, "x")], 0);
        log.add("a", 1, vec![event(2, 300, "x")], 0);
        let order: Vec<_> = log
            .newest_first()
            .map(|(k, _)| (k.node.as_str(), k.unix_ms))
            .collect();
        assert_eq!(order, [("a", 300), ("b", 200), ("a", 100)]);
    }

    #[test]
    fn the_log_is_bounded_and_counts_what_went() {
        let mut log = EventLog::default();
        let many = (0..EVENTS_MAX as u64 + 3).map(|i| event(i + 1, i, "x")).collect();
        log.add("a", 1, many, 2);
        assert_eq!((log.len(), log.lost), (EVENTS_MAX, 5));
    }

    #[test]
    fn failovers_and_faults_leave_marks() {
        let mut log = EventLog::default();
        log.add(
            "a",
            1,
            vec![
                event(1, 1, "owner-changed"),
                event(2, 2, "chat"),
                event(3, 3, "fault-set"),
            ],
            0,
        );
        let kinds: Vec<_> = log.marks().iter().map(|m| m.kind).collect();
        assert_eq!(kinds, [MarkKind::Fault, MarkKind::Failover]);
    }
}
