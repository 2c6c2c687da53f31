use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::id::{Revision, Term};

const LENGTH: Span = Span::from_ms(120);
const X: NodeId = NodeId(7);

fn ids(ids: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

fn voters(n: u64) -> Electorate {
    ids(1..=n).into()
}

fn ms(ms: u64) -> Instant {
    Instant(ms * 1000)
}

#[test]
fn a_fresh_voter_is_silent_for_a_promise_length_and_answers_for_its_past() {
    let mut voter = Voter::new(ms(0), LENGTH);
    assert_eq!(voter.ask(ms(1), X, Tenure(1), Some(Tenure(1))), Promise::Withheld);
    assert!(voter.end(ms(1), X, Tenure(1)) >= Span::from_ms(119));
    let mut voter = Voter::new(ms(0), LENGTH);
    assert_eq!(
        voter.ask(ms(122), X, Tenure(1), Some(Tenure(1))),
        Promise::Given(LENGTH)
    );
}

#[test]
fn a_voter_that_was_started_with_other_times_promises_by_those_of_the_cluster_and_is_silent_no_shorter() {
    let long = Span::from_ms(900);
    let mut voter = Voter::new(ms(0), LENGTH);
    voter.set_length(long);
    let asked = |voter: &mut Voter, at| voter.ask(ms(at), X, Tenure(1), Some(Tenure(1)));
    assert_eq!(asked(&mut voter, 500), Promise::Withheld);
    assert_eq!(asked(&mut voter, 910), Promise::Given(long));
    let mut voter = Voter::new(ms(0), long);
    voter.set_length(LENGTH);
    assert_eq!(asked(&mut voter, 500), Promise::Withheld);
    assert_eq!(asked(&mut voter, 910), Promise::Given(LENGTH));
}

#[test]
fn a_gathering_does_not_count_a_voter_that_may_have_started_again_since() {
    let mut gather = Gather::new(Tenure(1));
    for voter in [1, 2] {
        gather.answer(ms(10), NodeId(voter), Span::ZERO);
    }
    assert!(gather.ready_at(ms(20), &voters(3), LENGTH, Instant(0)).is_some());
    gather.forget(NodeId(2));
    assert_eq!(gather.ready_at(ms(20), &voters(3), LENGTH, Instant(0)), None);
}

#[test]
fn an_ended_tenure_gets_no_promise_and_the_next_one_does() {
    let mut voter = Voter::new(ms(0), LENGTH);
    voter.ask(ms(200), X, Tenure(1), Some(Tenure(1)));
    assert_eq!(voter.end(ms(250), X, Tenure(1)), Span::from_ms(70));
    assert_eq!(voter.ask(ms(260), X, Tenure(1), Some(Tenure(1))), Promise::Ended);
    assert_eq!(
        voter.ask(ms(260), X, Tenure(2), Some(Tenure(1))),
        Promise::Withheld
    );
    assert_eq!(
        voter.ask(ms(260), X, Tenure(2), Some(Tenure(2))),
        Promise::Given(LENGTH)
    );
}

#[test]
fn an_ended_tenure_stays_ended_while_the_voters_registry_is_behind_the_asking_leaders() {
    let mut voter = Voter::new(ms(0), LENGTH);
    voter.end(ms(200), X, Tenure(13));
    // Here the node's earlier run, of tenure 12, has just been removed; the leader has its next one already.
    voter.retain(|_| false, Tenure(12));
    assert_eq!(
        voter.ask(ms(210), X, Tenure(13), Some(Tenure(13))),
        Promise::Ended
    );
    // The run in question was removed: no tenure of that number will come again.
    voter.retain(|_| false, Tenure(13));
    assert_eq!(
        voter.ask(ms(220), X, Tenure(13), Some(Tenure(13))),
        Promise::Given(LENGTH)
    );
}

#[test]
fn a_lease_holds_as_long_as_a_majority_promised_counted_from_the_asking() {
    let mut lease = Lease::default();
    lease.set_tenure(Tenure(1));
    lease.set_voters(&voters(3));
    lease.promised(NodeId(1), Tenure(1), VotersAt::default(), ms(1000), LENGTH);
    assert_eq!(lease.until(), Instant(0), "one of three is no majority");
    lease.promised(NodeId(2), Tenure(1), VotersAt::default(), ms(1050), LENGTH);
    assert_eq!(lease.until(), ms(1000) + LENGTH.shortened(DRIFT_PPM));
    lease.promised(NodeId(3), Tenure(1), VotersAt::default(), ms(1040), LENGTH);
    assert_eq!(lease.until(), ms(1040) + LENGTH.shortened(DRIFT_PPM));
    lease.promised(NodeId(9), Tenure(1), VotersAt::default(), ms(9000), LENGTH);
    lease.promised(NodeId(1), Tenure(2), VotersAt::default(), ms(9000), LENGTH);
    assert_eq!(
        lease.until(),
        ms(1040) + LENGTH.shortened(DRIFT_PPM),
        "neither a stranger nor another tenure counts"
    );
    lease.set_tenure(Tenure(2));
    lease.set_voters(&voters(3));
    assert_eq!(lease.until(), Instant(0));
}

#[test]
fn the_wait_before_a_loss_outlasts_every_lease_of_the_lost() {
    let ids = voters(3);
    let (mut lease, mut gather) = (Lease::default(), Gather::new(Tenure(1)));
    lease.set_tenure(Tenure(1));
    lease.set_voters(&ids);
    let fresh = |id| (id, Voter::new(ms(0), LENGTH));
    let mut asked: BTreeMap<NodeId, Voter> = ids.ids().into_iter().map(fresh).collect();
    for (id, voter) in &mut asked {
        if let Promise::Given(length) = voter.ask(ms(1000 + id.0), X, Tenure(1), Some(Tenure(1))) {
            lease.promised(*id, Tenure(1), VotersAt::default(), ms(1000), length);
        }
    }
    for id in [NodeId(1), NodeId(3)] {
        let remaining = asked.get_mut(&id).expect("a voter").end(ms(1010), X, Tenure(1));
        gather.answer(ms(1012), id, remaining);
    }
    let ready = gather
        .ready_at(ms(1012), &ids, LENGTH, Instant(0))
        .expect("two of three answered");
    assert!(ready > lease.until(), "{ready} must come after {}", lease.until());
}

#[test]
fn a_gathering_needs_a_majority_of_fresh_answers() {
    let mut gather = Gather::new(Tenure(1));
    gather.answer(ms(10), NodeId(1), Span::ZERO);
    assert_eq!(gather.ready_at(ms(10), &voters(3), LENGTH, Instant(0)), None);
    gather.answer(ms(20), NodeId(2), Span::ZERO);
    assert!(gather.ready_at(ms(20), &voters(3), LENGTH, Instant(0)).is_some());
    assert_eq!(
        gather.ready_at(ms(500), &voters(3), LENGTH, Instant(0)),
        None,
        "both may have restarted since"
    );
    assert_eq!(gather.ready_at(ms(20), &voters(5), LENGTH, Instant(0)), None);
}

#[test]
fn a_gathering_that_outlives_its_voters_waits_for_what_others_may_have_promised() {
    // 1 and 2 had promised; then 1 alone votes, and what 2 said is not asked for any more.
    let mut gather = Gather::new(Tenure(1));
    gather.answer(ms(10), NodeId(1), Span::ZERO);
    gather.answer(ms(10), NodeId(2), LENGTH);
    let alone = voters(1);
    let (seen, promise) = (ms(15), LENGTH.lengthened(DRIFT_PPM));
    assert_eq!(
        gather.ready_at(ms(15), &alone, LENGTH, seen + promise),
        Some(seen + promise)
    );
}

fn at(revision: u64) -> VotersAt {
    VotersAt {
        term: Term(1),
        revision: Revision(revision),
    }
}

fn electorate(revision: u64, halves: &[&[u64]]) -> Electorate {
    Electorate {
        at: at(revision),
        halves: halves.iter().map(|half| ids(half.iter().copied())).collect(),
    }
}

#[test]
fn while_voters_change_a_majority_of_each_half_is_needed() {
    let joint = electorate(9, &[&[1, 2, 3], &[1, 4, 5]]);
    let mut lease = Lease::default();
    lease.set_tenure(Tenure(1));
    lease.set_voters(&joint);
    for voter in [1, 2, 3] {
        lease.promised(NodeId(voter), Tenure(1), at(9), ms(1000), LENGTH);
        assert_eq!(lease.until(), Instant(0), "one of 1, 4, 5 is no majority");
    }
    lease.promised(NodeId(5), Tenure(1), at(9), ms(1000), LENGTH);
    assert_eq!(lease.until(), ms(1000) + LENGTH.shortened(DRIFT_PPM));

    let mut gather = Gather::new(Tenure(1));
    for voter in [2, 3, 4] {
        gather.answer(ms(10), NodeId(voter), Span::ZERO);
        assert_eq!(gather.ready_at(ms(11), &joint, LENGTH, Instant(0)), None);
    }
    gather.answer(ms(10), NodeId(1), Span::ZERO);
    assert!(gather.ready_at(ms(11), &joint, LENGTH, Instant(0)).is_some());
}

#[test]
fn promises_count_only_under_the_owners_own_entry_and_a_lease_outlives_it() {
    let mut lease = Lease::default();
    lease.set_tenure(Tenure(1));
    lease.set_voters(&electorate(3, &[&[1, 2, 3]]));
    lease.promised(NodeId(1), Tenure(1), at(3), ms(1000), LENGTH);
    lease.promised(NodeId(2), Tenure(1), at(3), ms(1000), LENGTH);
    let first = ms(1000) + LENGTH.shortened(DRIFT_PPM);
    assert_eq!(lease.until(), first);
    for voter in [1, 2, 4] {
        lease.promised(NodeId(voter), Tenure(1), at(8), ms(1050), LENGTH);
        assert_eq!(lease.until(), first, "the entry 8 is not applied here");
    }
    lease.set_voters(&electorate(8, &[&[1, 2, 3], &[1, 2, 4]]));
    let second = ms(1050) + LENGTH.shortened(DRIFT_PPM);
    assert_eq!(lease.until(), second, "what was promised counts from its asking");
    lease.set_voters(&electorate(9, &[&[1, 2, 4]]));
    assert_eq!(lease.until(), second, "a lease that is held goes on");
    lease.promised(NodeId(1), Tenure(1), at(8), ms(1100), LENGTH);
    lease.promised(NodeId(2), Tenure(1), at(9), ms(1100), LENGTH);
    assert_eq!(lease.until(), second, "one each of two entries");
    lease.set_tenure(Tenure(2));
    assert_eq!(lease.until(), Instant(0));
}

/// What a log says of voters, entry by entry, and which entry each node has.
#[derive(Debug)]
struct Chain {
    entries: Vec<Electorate>,
    has: BTreeMap<NodeId, usize>,
}

impl Chain {
    /// From one set of voters to the next by way of both, as far as Raft would let it: an entry is written when a majority
    /// of the one before has that. `reached` tells for each entry which nodes it comes to.
    fn grow(sets: &[BTreeSet<NodeId>], reached: &[u8]) -> Self {
        let mut wanted = vec![vec![sets[0].clone()]];
        for pair in sets.windows(2) {
            wanted.extend([pair.to_vec(), vec![pair[1].clone()]]);
        }
        let mut chain = Self {
            entries: Vec::new(),
            has: (0..8).map(|n| (NodeId(n), 0)).collect(),
        };
        for (i, (halves, reached)) in wanted.into_iter().zip(reached).enumerate() {
            let committed = |last: &Electorate| last.has_majority(|v| chain.has[&v] + 1 == i);
            if chain.entries.last().is_some_and(|last| !committed(last)) {
                break;
            }
            let entry = Electorate {
                at: at(i as u64),
                halves,
            };
            chain.entries.push(entry);
            for (node, has) in &mut chain.has {
                if reached & (1 << node.0) != 0 {
                    *has = i;
                }
            }
        }
        chain
    }
}

fn any_voters() -> impl Strategy<Value = BTreeSet<NodeId>> {
    let size = proptest::sample::select(vec![1usize, 3, 5]);
    let nodes = Just((0..8).map(NodeId).collect::<Vec<_>>()).prop_shuffle();
    (size, nodes).prop_map(|(size, nodes)| nodes.into_iter().take(size).collect())
}

proptest! {
    #[test]
    fn a_lease_under_old_voters_meets_the_gathering_or_gets_no_promises(
        sets in proptest::collection::vec(any_voters(), 1..4),
        reached in proptest::collection::vec(prop_oneof![any::<u8>(), Just(255u8)], 7),
    ) {
        let chain = Chain::grow(&sets, &reached);
        let Some((now, before)) = chain.entries.split_last() else { return Ok(()) };
        for (i, old) in before.iter().enumerate() {
            if i + 1 < before.len() {
                let leased = old.has_majority(|v| chain.has[&v] == i);
                prop_assert!(!leased, "a majority still votes by entry {i}: {chain:?}");
                continue;
            }
            for mask in 0..=255u8 {
                let promise = |v: NodeId| mask & (1 << v.0) != 0;
                let apart = old.has_majority(promise) && now.has_majority(|v| !promise(v));
                prop_assert!(!apart, "majorities of {old:?} and {now:?} that do not meet");
            }
        }
    }
}
