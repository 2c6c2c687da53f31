//! Since when which members are away, as one node has seen it. Every node keeps count, whether it leads or not: the next
//! leader must not begin anew.
//!
//! What does not live here: what follows from it (the rule, one level up).

use alloc::collections::{BTreeMap, BTreeSet};

use super::Roll;
use crate::id::NodeId;
use crate::registry::Registry;
use crate::time::{Instant, Span};

/// Between two looks at the set of voters.
const LOOK_EVERY: Span = Span::from_ms(250);
/// A member of the log without a record in the registry, and without a link, is gone after so long: a node that joins is
/// in the log a moment before it is in the registry.
const GONE_AFTER: Span = Span::from_ms(5_000);

/// Who is away.
#[derive(Debug, Clone, Default)]
pub struct Attendance {
    looked: Option<Instant>,
    /// Since when the registry has had a node down.
    down_since: BTreeMap<NodeId, Instant>,
    /// Since when a member of the log has been without record and link.
    gone_since: BTreeMap<NodeId, Instant>,
}

impl Attendance {
    /// Takes note of who is down.
    pub fn note(&mut self, now: Instant, registry: &Registry) {
        let down = |id: &NodeId| registry.nodes.get(id).is_some_and(|n| !n.is_up());
        self.down_since.retain(|id, _| down(id));
        for id in registry.nodes.keys().filter(|id| down(id)) {
            self.down_since.entry(*id).or_insert(now);
        }
    }

    /// True when it is time for [`Attendance::look`]. Cheap: may be asked after every input.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.looked.is_none_or(|at| now >= at + LOOK_EVERY)
    }

    /// Looks at the members of the log; `linked` tells to whom this node has a link.
    pub fn look(
        &mut self,
        now: Instant,
        registry: &Registry,
        members: impl Iterator<Item = NodeId>,
        linked: impl Fn(NodeId) -> bool,
    ) {
        self.looked = Some(now);
        let known = |id: NodeId| registry.nodes.contains_key(&id) || linked(id);
        let strangers: BTreeSet<NodeId> = members.filter(|id| !known(*id)).collect();
        self.gone_since.retain(|id, _| strangers.contains(id));
        for id in strangers {
            self.gone_since.entry(id).or_insert(now);
        }
    }

    /// What the rule is asked with; `live` tells who is heard.
    #[must_use]
    pub fn roll(&self, now: Instant, registry: &Registry, live: impl Fn(NodeId) -> bool) -> Roll {
        let down_for = |id| {
            let since = self.down_since.get(&id);
            since.map_or(Span::ZERO, |at| now.since(*at))
        };
        let long = self.gone_since.iter().filter(|(_, at)| now >= **at + GONE_AFTER);
        Roll::of(registry, live, down_for, long.map(|(id, _)| *id).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ClusterId, Incarnation, NodeName, Revision, Tenure};
    use crate::profile::Profile;
    use crate::reason::Lost;
    use crate::registry::{Command, Introduction};

    const A: NodeId = NodeId(1);
    const STRANGER: NodeId = NodeId(9);

    fn at(ms: u64) -> Instant {
        Instant(ms * 1000)
    }

    fn registry(lost: bool) -> Registry {
        let mut registry = Registry::default();
        let found = Command::Found {
            cluster: ClusterId(1),
            profile: Profile::Lan,
        };
        let up = Command::NodeUp(Introduction {
            id: A,
            name: NodeName::new("a").expect("a good name"),
            incarnation: Incarnation(1),
            boot: crate::id::Boot(1),
            mesh_addr: "a:1".into(),
            grpc_addr: "a:2".into(),
            functions: alloc::vec::Vec::new(),
            zone: None,
        });
        registry.apply(Revision(1), &found);
        registry.apply(Revision(2), &up);
        if lost {
            let (tenure, reason) = (Tenure(1), Lost::Silent);
            registry.apply(
                Revision(3),
                &Command::NodeLost {
                    node: A,
                    tenure,
                    reason,
                },
            );
        }
        registry
    }

    #[test]
    fn a_node_is_down_since_the_registry_said_so_first_and_not_before_it_came_back() {
        let mut attendance = Attendance::default();
        attendance.note(at(10), &registry(true));
        attendance.note(at(500), &registry(true));
        let down = |attendance: &Attendance, ms, lost| {
            let roll = attendance.roll(at(ms), &registry(lost), |_| true);
            roll.members[&A].down_for
        };
        assert_eq!(down(&attendance, 700, true), Some(Span::from_ms(690)));
        attendance.note(at(800), &registry(false));
        assert_eq!(down(&attendance, 900, false), None);
        attendance.note(at(1000), &registry(true));
        assert_eq!(down(&attendance, 1001, true), Some(Span::from_ms(1)));
    }

    #[test]
    fn a_stranger_without_a_link_is_gone_after_a_while() {
        let mut attendance = Attendance::default();
        let registry = registry(false);
        let gone = |attendance: &Attendance, ms| attendance.roll(at(ms), &registry, |_| true).gone;
        assert!(attendance.is_due(at(0)));
        attendance.look(at(0), &registry, [A, STRANGER].into_iter(), |_| false);
        assert!(!attendance.is_due(at(249)) && attendance.is_due(at(250)));
        assert!(gone(&attendance, 4_999).is_empty());
        assert_eq!(gone(&attendance, 5_000), BTreeSet::from([STRANGER]));
        attendance.look(at(5_000), &registry, [A, STRANGER].into_iter(), |id| {
            id == STRANGER
        });
        assert!(gone(&attendance, 5_000).is_empty());
    }
}
