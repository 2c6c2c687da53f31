//! What an operator may do to the voters. Each answers with the set of voters to change to; one that is the same as now
//! means that there is nothing to do.

use alloc::collections::BTreeSet;

use super::{Group, Roll, Standing, candidates, companion, is_sound, take_successor};
use crate::id::{NodeId, NodeName};
use crate::limits::VOTERS_MAX;
use crate::membership::MemberRefused;

/// Gives a node the vote: in place of a voter that is gone or down, else together with another learner.
///
/// # Errors
/// [`MemberRefused`]; nothing should change then.
pub fn promote(group: &Group, roll: &Roll, name: &NodeName) -> Result<BTreeSet<NodeId>, MemberRefused> {
    let (node, standing) = find(roll, name)?;
    let mut next = group.voters.clone();
    if next.contains(&node) {
        return Ok(next);
    }
    check_fit(group, node, standing)?;
    if let Some(old) = dispensable(group, roll, None) {
        next.remove(&old);
        next.insert(node);
    } else if next.len() >= VOTERS_MAX {
        let voters = u32::try_from(next.len()).unwrap_or(u32::MAX);
        return Err(MemberRefused::Full { voters });
    } else {
        let mut others = candidates(group, roll).into_iter().filter(|id| *id != node);
        let partner = others
            .next()
            .ok_or_else(|| MemberRefused::NoPartner(name.clone()))?;
        next.extend([node, partner]);
    }
    sound(next, roll, name)
}

/// Takes a node's vote: a learner takes its place, or it goes together with a voter that is gone or down. One that leaves
/// for good or is down may take a live one along.
///
/// # Errors
/// [`MemberRefused`]; nothing should change then.
pub fn demote(group: &Group, roll: &Roll, name: &NodeName) -> Result<BTreeSet<NodeId>, MemberRefused> {
    let (node, standing) = find(roll, name)?;
    let stays = standing.down_for.is_none() && !standing.leaves();
    let other = dispensable(group, roll, Some(node));
    if stays
        && group.voters.len() > 1
        && group.voters.contains(&node)
        && other.is_none()
        && candidates(group, roll).is_empty()
    {
        return Err(MemberRefused::NoReplacement(name.clone()));
    }
    without(group, roll, node, name)
}

/// The voters without a node that is to be forgotten: a learner takes its place, or it goes together with another
/// voter.
///
/// # Errors
/// [`MemberRefused`]; nothing should change then.
pub fn remove(group: &Group, roll: &Roll, name: &NodeName) -> Result<BTreeSet<NodeId>, MemberRefused> {
    let (node, standing) = find(roll, name)?;
    if standing.down_for.is_none() {
        return Err(MemberRefused::Up(name.clone()));
    }
    without(group, roll, node, name)
}

fn without(
    group: &Group,
    roll: &Roll,
    node: NodeId,
    name: &NodeName,
) -> Result<BTreeSet<NodeId>, MemberRefused> {
    let mut next = group.voters.clone();
    if !next.remove(&node) {
        return Ok(next);
    }
    if let Some(new) = take_successor(group, &mut candidates(group, roll), node) {
        next.insert(new);
    } else {
        let other = companion(group, roll, &group.voters, node);
        next.remove(&other.ok_or_else(|| MemberRefused::LastVoter(name.clone()))?);
    }
    sound(next, roll, name)
}

fn find<'a>(roll: &'a Roll, name: &NodeName) -> Result<(NodeId, &'a Standing), MemberRefused> {
    roll.named(name)
        .ok_or_else(|| MemberRefused::UnknownNode(name.as_str().into()))
}

fn check_fit(group: &Group, node: NodeId, standing: &Standing) -> Result<(), MemberRefused> {
    let name = || standing.name.clone();
    if standing.down_for.is_some() {
        return Err(MemberRefused::Down(name()));
    }
    if standing.leaves() {
        return Err(MemberRefused::Leaving(name()));
    }
    if !standing.live || !group.ready.contains(&node) {
        return Err(MemberRefused::Behind(name()));
    }
    Ok(())
}

/// A voter, other than `but`, that is gone, or else down in the registry.
fn dispensable(group: &Group, roll: &Roll, but: Option<NodeId>) -> Option<NodeId> {
    let others = || group.voters.iter().copied().filter(|id| Some(*id) != but);
    others()
        .find(|id| roll.gone.contains(id))
        .or_else(|| others().find(|id| roll.is_out(*id)))
}

fn sound(voters: BTreeSet<NodeId>, roll: &Roll, name: &NodeName) -> Result<BTreeSet<NodeId>, MemberRefused> {
    if is_sound(&voters, roll) {
        Ok(voters)
    } else {
        Err(MemberRefused::QuorumCritical(name.clone()))
    }
}
