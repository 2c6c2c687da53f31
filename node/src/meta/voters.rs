//! Who votes: always 1, 3 or 5 nodes. A pure rule; asking for the change is `membership`'s part.

use std::collections::BTreeSet;

use squall_kernel::id::NodeId;
use squall_kernel::limits::VOTERS_MAX;

/// The largest of 1, 3, 5 that `members` nodes can fill; 0 for none.
#[must_use]
pub fn voters_for(members: usize) -> usize {
    match members.min(VOTERS_MAX) {
        0 => 0,
        n if n % 2 == 1 => n,
        n => n - 1,
    }
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

/// The voters of a cluster founded by `nodes`: the lowest ids, as many as the rule allows. The others join as
/// learners.
#[must_use]
pub fn founding_voters(nodes: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    nodes.iter().copied().take(voters_for(nodes.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
        ids.into_iter().map(NodeId).collect()
    }

    #[test]
    fn voters_are_one_three_or_five() {
        let sizes: Vec<usize> = (0..=8).map(voters_for).collect();
        assert_eq!(sizes, [0, 1, 1, 3, 3, 5, 5, 5, 5]);
    }

    #[test]
    fn learners_are_promoted_in_pairs() {
        let one = ids([10]);
        assert_eq!(promotions(&one, &one, &ids([])), ids([]));
        assert_eq!(promotions(&one, &one, &ids([3])), ids([]));
        assert_eq!(promotions(&one, &one, &ids([3, 20])), ids([3, 20]));
        assert_eq!(promotions(&one, &one, &ids([3, 5, 20])), ids([3, 5]));
        assert_eq!(promotions(&one, &one, &ids([3, 5, 20, 21])), ids([3, 5, 20, 21]));
        let five = ids(1..=5);
        assert_eq!(promotions(&five, &five, &ids([6, 7])), ids([]));
    }

    #[test]
    fn a_dead_voter_does_not_count_as_a_member() {
        let three = ids([1, 2, 3]);
        assert_eq!(promotions(&three, &ids([1, 2]), &ids([4, 5])), ids([]));
        assert_eq!(promotions(&three, &ids([1, 2]), &ids([4, 5, 6])), ids([4, 5]));
        assert_eq!(promotions(&three, &three, &ids([4, 5])), ids([4, 5]));
    }

    #[test]
    fn the_number_of_voters_stays_odd_whatever_happens() {
        for voters in [1usize, 3, 5] {
            for alive in 0..=voters {
                for ready in 0..6usize {
                    let all = ids(0..voters as u64);
                    let up = ids(0..alive as u64);
                    let new = promotions(&all, &up, &ids((10..).take(ready)));
                    assert!(
                        [1, 3, 5].contains(&(voters + new.len())),
                        "{voters} {alive} {ready}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_cluster_of_four_founders_begins_with_three_voters() {
        assert_eq!(founding_voters(&ids([4, 2, 9, 7])), ids([2, 4, 7]));
    }
}
