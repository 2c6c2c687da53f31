use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const HERE: Here<'static> = Here {
    node: NodeId(1),
    zone: Some("east"),
};

fn at(node: u64, zone: &'static str, rtt_us: u64) -> Candidate<'static> {
    Candidate {
        node: NodeId(node),
        zone: Some(zone),
        rtt: Some(Span(rtt_us)),
        reachable: true,
    }
}

fn first_choice(candidates: &[Candidate<'_>]) -> Option<u64> {
    Nearest::default().choose(HERE, candidates).map(|node| node.0)
}

#[test]
fn this_node_then_this_zone_then_the_shortest_round_trip_then_the_lowest_id() {
    let far = [at(5, "west", 900), at(4, "west", 300), at(3, "west", 300)];
    assert_eq!(first_choice(&[]), None);
    assert_eq!(first_choice(&far), Some(3));
    let mut some = far.to_vec();
    some.push(at(9, "east", 5000));
    assert_eq!(first_choice(&some), Some(9));
    some.push(Candidate {
        rtt: None,
        ..at(1, "east", 0)
    });
    assert_eq!(first_choice(&some), Some(1));
}

#[test]
fn an_unreachable_one_is_never_chosen_and_an_unmeasured_one_last_of_its_class() {
    let dead = Candidate {
        reachable: false,
        ..at(2, "east", 1)
    };
    let unmeasured = Candidate {
        rtt: None,
        ..at(3, "east", 0)
    };
    assert_eq!(first_choice(&[dead]), None);
    assert_eq!(first_choice(&[dead, unmeasured, at(4, "west", 1)]), Some(3));
    assert_eq!(first_choice(&[dead, unmeasured, at(4, "east", 70_000)]), Some(4));
}

#[test]
fn nodes_without_a_zone_share_none() {
    let nowhere = |node, rtt_us| Candidate {
        zone: None,
        ..at(node, "", rtt_us)
    };
    let here = Here { zone: None, ..HERE };
    let chosen = Nearest::default().choose(here, &[nowhere(2, 900), at(3, "east", 100)]);
    assert_eq!(chosen, Some(NodeId(3)));
}

#[test]
fn noise_changes_nothing_and_a_fifth_does() {
    let mut nearest = Nearest::default();
    let mut choose = |candidates: &[Candidate<'_>]| nearest.choose(HERE, candidates).map(|node| node.0);
    assert_eq!(choose(&[at(2, "west", 1000), at(3, "west", 1001)]), Some(2));
    assert_eq!(choose(&[at(2, "west", 1000), at(3, "west", 801)]), Some(2));
    assert_eq!(choose(&[at(2, "west", 1000), at(3, "west", 800)]), Some(3));
    assert_eq!(choose(&[at(2, "west", 700), at(3, "west", 800)]), Some(3));
    assert_eq!(choose(&[at(2, "west", 1)]), Some(2), "the current one is gone");
    assert_eq!(
        choose(&[at(2, "west", 1), at(3, "east", 90_000)]),
        Some(3),
        "a zone is no noise"
    );
    let cut_off = Candidate {
        reachable: false,
        ..at(3, "east", 1)
    };
    assert_eq!(choose(&[at(2, "west", 90_000), cut_off]), Some(2));
    assert_eq!(choose(&[]), None);
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate<'static>>> {
    let one = (
        1u64..8,
        proptest::option::of(proptest::sample::select(std::vec!["east", "west"])),
        proptest::option::of((0u64..3000).prop_map(Span)),
        any::<bool>(),
    );
    proptest::collection::btree_map(1u64..8, one, 0..6).prop_map(|nodes| {
        let candidate = |(node, (_, zone, rtt, reachable))| Candidate {
            node: NodeId(node),
            zone,
            rtt,
            reachable,
        };
        nodes.into_iter().map(candidate).collect()
    })
}

proptest! {
    #[test]
    fn the_choice_is_never_worse_than_a_fifth_and_settles(rounds in proptest::collection::vec(any_candidates(), 1..8)) {
        let mut nearest = Nearest::default();
        for candidates in rounds {
            let chosen = nearest.choose(HERE, &candidates);
            let usable: Vec<_> = candidates.iter().filter(|c| c.reachable || c.node == HERE.node).collect();
            prop_assert_eq!(chosen.is_none(), usable.is_empty());
            let Some(chosen) = usable.iter().find(|c| Some(c.node) == chosen) else { continue };
            for other in &usable {
                prop_assert!(class(HERE, chosen) <= class(HERE, other));
                if class(HERE, chosen) == class(HERE, other) {
                    prop_assert!(other.rtt.is_none() || chosen.rtt.is_some());
                    let (mine, theirs) = (rtt(chosen).0 / 5 * 4, rtt(other).0);
                    prop_assert!(theirs.saturating_add(4) > mine, "{} {}", theirs, mine);
                }
            }
            prop_assert_eq!(nearest.choose(HERE, &candidates), Some(chosen.node));
        }
    }
}
