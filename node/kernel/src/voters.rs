//! Who votes: always 1, 3 or 5 nodes. The rule that keeps it so, by itself and when an operator asks.
//!
//! What does not live here: how the members of the Raft group are changed, and who gathers what the rule looks at (the
//! shell). Suspicion is no reason to take a vote: only a record that is gone, an explicit rule, a node that leaves, or
//! an operator is.

mod attendance;
mod operator;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

pub use attendance::Attendance;
pub use operator::{demote, promote, remove};

use crate::id::{NodeId, NodeName};
use crate::limits::VOTERS_MAX;
use crate::registry::{Duty, Registry};
use crate::time::Span;

/// The members of the Raft group, as its leader sees them. No change of them is under way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// The leader.
    pub leader: NodeId,
    /// Who votes.
    pub voters: BTreeSet<NodeId>,
    /// Learners, and where their meshes listen. Those of voters are here, too.
    pub addresses: BTreeMap<NodeId, String>,
    /// Live learners whose log is as good as the leader's.
    pub ready: BTreeSet<NodeId>,
}

/// What the cluster and its leader know of the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roll {
    /// Members of the registry.
    pub members: BTreeMap<NodeId, Standing>,
    /// Members of the Raft group that the registry no longer has, or never had, and that show no sign of life.
    pub gone: BTreeSet<NodeId>,
    /// After how long a voter that is down is replaced; none for never.
    pub replace_after: Option<Span>,
}

/// What the leader knows of one member of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: NodeName,
    /// Where its mesh listens.
    pub address: String,
    /// Up in the registry, and heard by the leader.
    pub live: bool,
    /// How long the registry has had it down, by the leader's clock; none while it is up.
    pub down_for: Option<Span>,
    /// Its duty.
    pub duty: Duty,
}

impl Standing {
    fn leaves(&self) -> bool {
        self.duty.leaves()
    }
}

impl Roll {
    /// The roll of a registry; `live` tells who is heard, `down_for` how long a node has been down.
    #[must_use]
    pub fn of(
        registry: &Registry,
        live: impl Fn(NodeId) -> bool,
        down_for: impl Fn(NodeId) -> Span,
        gone: BTreeSet<NodeId>,
    ) -> Self {
        let standing = |n: &crate::registry::NodeRecord| Standing {
            name: n.name.clone(),
            address: n.mesh_addr.clone(),
            live: n.is_up() && live(n.id),
            down_for: (!n.is_up()).then(|| down_for(n.id)),
            duty: n.duty,
        };
        Self {
            members: registry.nodes.values().map(|n| (n.id, standing(n))).collect(),
            gone,
            replace_after: registry.replace_voters_after,
        }
    }

    /// The roll where nothing is known but addresses and who is heard: nobody is down for good, leaves, or is gone.
    pub fn of_heard(members: impl Iterator<Item = (NodeId, String, bool)>) -> Self {
        let standing = |(id, address, live): (NodeId, String, bool)| {
            let name = NodeName::new(&alloc::format!("{:x}", id.0)).ok()?;
            let standing = Standing {
                name,
                address,
                live,
                down_for: None,
                duty: Duty::Full,
            };
            Some((id, standing))
        };
        Self {
            members: members.filter_map(standing).collect(),
            ..Self::default()
        }
    }

    /// Brings the roll up to a later registry: what an operator asks for may follow at once on what he saw there.
    pub fn renew(&mut self, registry: &Registry) {
        self.members.retain(|id, _| registry.nodes.contains_key(id));
        for record in registry.nodes.values() {
            let Some(standing) = self.members.get_mut(&record.id) else {
                continue;
            };
            standing.duty = record.duty;
            standing.live &= record.is_up();
            standing.down_for = match standing.down_for {
                _ if record.is_up() => None,
                known => known.or(Some(Span::ZERO)),
            };
        }
        self.replace_after = registry.replace_voters_after;
    }

    /// The member of that name.
    #[must_use]
    pub fn named(&self, name: &NodeName) -> Option<(NodeId, &Standing)> {
        let mut members = self.members.iter();
        members.find(|(_, s)| s.name == *name).map(|(id, s)| (*id, s))
    }

    /// The nodes that are heard.
    #[must_use]
    pub fn live(&self) -> BTreeSet<NodeId> {
        let live = self.members.iter().filter(|(_, s)| s.live);
        live.map(|(id, _)| *id).collect()
    }

    fn is_live(&self, node: NodeId) -> bool {
        self.members.get(&node).is_some_and(|s| s.live)
    }

    fn leaves(&self, node: NodeId) -> bool {
        self.members.get(&node).is_some_and(Standing::leaves)
    }

    fn is_expired(&self, node: NodeId) -> bool {
        let down_for = self.members.get(&node).and_then(|s| s.down_for);
        self.replace_after
            .zip(down_for)
            .is_some_and(|(after, down)| down > after)
    }

    /// Gone from the registry, or down in it.
    fn is_out(&self, node: NodeId) -> bool {
        let down = |s: &Standing| s.down_for.is_some();
        self.gone.contains(&node) || self.members.get(&node).is_some_and(down)
    }
}

/// A change of the members that the rule asks for; one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adjustment {
    /// These vote from now on, by one joint change.
    Voters(BTreeSet<NodeId>),
    /// A member of the registry has no copy of the log: it becomes a learner.
    Learner {
        /// Node.
        node: NodeId,
        /// Where its mesh listens.
        address: String,
    },
    /// Learners that are gone are forgotten.
    Forget(BTreeSet<NodeId>),
}

/// The largest of 1, 3, 5 that `members` nodes can fill; 0 for none.
#[must_use]
pub fn voters_for(members: usize) -> usize {
    match members.min(VOTERS_MAX) {
        0 => 0,
        n if n % 2 == 1 => n,
        n => n - 1,
    }
}

/// The voters of a cluster that `founder` founds with `nodes`, itself among them: the founder, for only a voter can, and
/// the lowest other ids, as many as the rule allows. The others join as learners.
#[must_use]
pub fn founding_voters(founder: NodeId, nodes: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let others = nodes.iter().copied().filter(|id| *id != founder);
    core::iter::once(founder)
        .chain(others)
        .take(voters_for(nodes.len()))
        .collect()
}

/// The learners to promote, in one change; empty when there is nothing to do. A dead voter does not count as a
/// member, so that two fresh voters never make a majority out of reach; nobody is ever demoted here.
///
/// `ready` are live learners that have caught up; ids are taken in ascending order, so that every leader decides
/// alike.
#[must_use]
pub fn promotions(
    voters: &BTreeSet<NodeId>,
    live_voters: &BTreeSet<NodeId>,
    ready: &BTreeSet<NodeId>,
) -> BTreeSet<NodeId> {
    let alive = voters.intersection(live_voters).count();
    let candidates: BTreeSet<NodeId> = ready.difference(voters).copied().collect();
    let target = voters_for(alive + candidates.len());
    candidates
        .into_iter()
        .take(target.saturating_sub(voters.len()))
        .collect()
}

/// What should change now, if anything. Every set of voters it asks for has 1, 3 or 5 members, a majority of which is
/// live; voters are replaced rather than dropped, and dropped only when one of them leaves.
#[must_use]
pub fn adjust(group: &Group, roll: &Roll) -> Option<Adjustment> {
    renewed(group, roll)
        .or_else(|| grown(group, roll))
        .map(Adjustment::Voters)
        .or_else(|| missing_learner(group, roll))
        .or_else(|| forgotten(group, roll))
}

/// The voters without those that are gone, down for too long, or leaving.
fn renewed(group: &Group, roll: &Roll) -> Option<BTreeSet<NodeId>> {
    let mut next = group.voters.clone();
    let mut candidates = candidates(group, roll);
    let mut leaving = Vec::new();
    for old in outgoing(group, roll) {
        match take_successor(group, &mut candidates, old) {
            Some(new) => {
                next.remove(&old);
                next.insert(new);
            }
            None if roll.leaves(old) => leaving.push(old),
            None => {}
        }
    }
    for node in leaving {
        if next.contains(&node)
            && let Some(other) = companion(group, roll, &next, node)
        {
            next.remove(&node);
            next.remove(&other);
        }
    }
    (next != group.voters && is_sound(&next, roll)).then_some(next)
}

fn grown(group: &Group, roll: &Roll) -> Option<BTreeSet<NodeId>> {
    let ready = candidates(group, roll).into_iter().collect();
    let chosen = promotions(&group.voters, &roll.live(), &ready);
    let next: BTreeSet<NodeId> = group.voters.union(&chosen).copied().collect();
    (next != group.voters && is_sound(&next, roll)).then_some(next)
}

/// Such a node joined while its place in the log was being given up.
fn missing_learner(group: &Group, roll: &Roll) -> Option<Adjustment> {
    let missing = |id: &NodeId, s: &Standing| s.live && !group.addresses.contains_key(id);
    let (node, standing) = roll.members.iter().find(|(id, s)| missing(id, s))?;
    Some(Adjustment::Learner {
        node: *node,
        address: standing.address.clone(),
    })
}

fn forgotten(group: &Group, roll: &Roll) -> Option<Adjustment> {
    let ids: BTreeSet<NodeId> = group.addresses.keys().copied().collect();
    let learners = ids.difference(&group.voters);
    let gone: BTreeSet<NodeId> = learners.filter(|id| roll.gone.contains(id)).copied().collect();
    (!gone.is_empty()).then_some(Adjustment::Forget(gone))
}

/// Voters that should not be, those that matter most first. A leader that leaves hands over first: it keeps its vote while
/// there is one who could lead in its place.
fn outgoing(group: &Group, roll: &Roll) -> Vec<NodeId> {
    let stays = |id: &NodeId| *id != group.leader && roll.is_live(*id) && !roll.leaves(*id);
    let has_heir = group.voters.iter().any(stays);
    let place = |id: &NodeId| match *id {
        id if roll.gone.contains(&id) => Some(0),
        id if roll.is_expired(id) => Some(1),
        id if id == group.leader && has_heir => None,
        id if roll.leaves(id) => Some(if id == group.leader { 3 } else { 2 }),
        _ => None,
    };
    let mut all: Vec<(u8, NodeId)> = group
        .voters
        .iter()
        .filter_map(|id| place(id).map(|p| (p, *id)))
        .collect();
    all.sort_unstable();
    all.into_iter().map(|(_, id)| id).collect()
}

/// Learners that may be given a vote, the best first: a node that cannot hold a lease is far from the others.
fn candidates(group: &Group, roll: &Roll) -> Vec<NodeId> {
    let mut all: Vec<(bool, NodeId)> = group
        .ready
        .iter()
        .filter(|id| !group.voters.contains(id))
        .filter_map(|id| roll.members.get(id).map(|s| (id, s)))
        .filter(|(_, s)| s.live && !s.leaves())
        .map(|(id, s)| (s.duty != Duty::Full, *id))
        .collect();
    all.sort_unstable();
    all.into_iter().map(|(_, id)| id).collect()
}

/// The candidate that came back at the same address, else the best one.
fn take_successor(group: &Group, candidates: &mut Vec<NodeId>, old: NodeId) -> Option<NodeId> {
    let address = group.addresses.get(&old);
    let same = |id: &NodeId| address.is_some() && group.addresses.get(id) == address;
    let at = candidates.iter().position(same).unwrap_or(0);
    (at < candidates.len()).then(|| candidates.remove(at))
}

/// Who goes together with `node` when nobody can take its place, so that the number stays odd: one that is of no use
/// anyway, else the highest id, but the leader last.
fn companion(group: &Group, roll: &Roll, voters: &BTreeSet<NodeId>, node: NodeId) -> Option<NodeId> {
    if voters.len() < 3 {
        return None;
    }
    let worth = |id: &NodeId| {
        let gone = roll.gone.contains(id);
        (
            !gone,
            !roll.is_out(*id),
            roll.is_live(*id),
            !roll.leaves(*id),
            *id == group.leader,
        )
    };
    let others = voters.iter().copied().filter(|id| *id != node);
    others.min_by_key(|id| (worth(id), core::cmp::Reverse(*id)))
}

/// 1, 3 or 5 voters, a majority of them live.
fn is_sound(voters: &BTreeSet<NodeId>, roll: &Roll) -> bool {
    let live = voters.iter().filter(|id| roll.is_live(**id)).count();
    !voters.is_empty() && voters_for(voters.len()) == voters.len() && live > voters.len() / 2
}

#[cfg(test)]
#[path = "voters_test.rs"]
mod tests;
