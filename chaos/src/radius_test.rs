//! Tables: order and picture in, lines out.

use squall_kernel::fault::Share;
use squall_observer::console::{PictureExchange, PictureNode};

use super::*;
use crate::fault::{Links, Target};

/// Nodes as "a", "b!" (down), "c-" (does not vote); exchanges as (name, owner).
fn picture(nodes: &[&str], exchanges: &[(&str, &str)], meta_leader: &str) -> Picture {
    let node = |text: &&str| PictureNode {
        name: text.trim_end_matches(['!', '-']).to_owned(),
        voter: !text.ends_with('-'),
        up: !text.ends_with('!'),
    };
    let exchange = |(name, owner): &(&str, &str)| PictureExchange {
        name: (*name).into(),
        owner: Some((*owner).into()),
        leader: None,
        handlers: Vec::new(),
    };
    Picture {
        nodes: nodes.iter().map(node).collect(),
        exchanges: exchanges.iter().map(exchange).collect(),
        meta_leader: Some(meta_leader.to_owned()),
    }
}

/// What the fault would do to that cluster, as it is written.
fn told(fault: &str, target: &str, ttl_ms: u64, picture: &Picture) -> Radius {
    let fault: Fault = fault.parse().expect("a fault");
    let target = Target::parse(target, fault.aim()).expect("a target");
    let acts = fault.at(&target, picture).expect("somebody");
    radius(&acts, Duration::from_millis(ttl_ms), picture)
}

#[test]
fn killing_the_meta_leader_of_three_moves_its_exchanges_and_wants_its_name_typed() {
    let picture = picture(&["a", "b", "c"], &[("orders", "a"), ("users", "b")], "a");
    let radius = told("kill", "a", 30_000, &picture);
    assert_eq!(
        radius.lines,
        [
            "2 of 3 voters left: quorum holds, the next loss breaks it",
            "a is the meta leader: an election",
            "1 exchange moves to another node: orders",
            "a starts again after 30 s",
        ]
    );
    assert_eq!(
        (radius.quorum_lost, radius.confirm_by_typing.as_deref()),
        (false, Some("a"))
    );
}

#[test]
fn the_first_line_tells_the_state_of_the_quorum() {
    let table: [(&[&str], &str, bool); 7] = [
        (
            &["a", "b", "c", "d", "e"],
            "4 of 5 voters left: quorum holds",
            false,
        ),
        (
            &["a", "b", "c"],
            "2 of 3 voters left: quorum holds, the next loss breaks it",
            false,
        ),
        (
            &["a", "b", "c!"],
            "1 of 3 voters left: quorum LOST, the registry stands still",
            true,
        ),
        (
            &["a"],
            "0 of 1 voters left: quorum LOST, the registry stands still",
            true,
        ),
        (&["a-", "b", "c", "d"], "a does not vote: quorum unchanged", false),
        (
            &["a", "b!", "c!"],
            "0 of 3 voters left: the quorum is LOST already",
            true,
        ),
        (&["a-"], "the voters are not known: the quorum may be lost", false),
    ];
    for (nodes, line, lost) in table {
        let radius = told("pause", "a", 1500, &picture(nodes, &[], "b"));
        assert_eq!(
            (radius.lines[0].as_str(), radius.quorum_lost),
            (line, lost),
            "{nodes:?}"
        );
        assert_eq!(radius.confirm_by_typing.is_some(), lost, "{nodes:?}");
    }
}

#[test]
fn without_a_quorum_every_exchange_stalls() {
    let names = ["e1", "e2", "e3", "e4", "e5"];
    let owned: Vec<(&str, &str)> = names.iter().map(|name| (*name, "b")).collect();
    let radius = told("pause", "a", 1500, &picture(&["a", "b", "c!"], &owned, "b"));
    assert_eq!(radius.lines[1], "5 exchanges stall: e1, e2, e3, e4 and 1 more");
}

#[test]
fn a_node_that_is_down_cannot_do_harm() {
    let radius = told(
        "kill",
        "c",
        30_000,
        &picture(&["a", "b", "c!"], &[("orders", "a")], "a"),
    );
    assert_eq!(radius.lines, ["c is down already", "c starts again after 30 s"]);
}

#[test]
fn a_cut_loses_the_quorum_only_when_no_third_voter_links_the_two() {
    let three = told(
        "cut",
        "a -> b",
        5000,
        &picture(&["a", "b", "c"], &[("orders", "b")], "a"),
    );
    assert_eq!(
        three.lines,
        [
            "a → b: nothing passes for 5 s; b → a still does",
            "a is the meta leader: registry changes wait for a majority without b",
            "b owns orders: requests by way of a are late or lost",
        ]
    );
    assert!(!three.quorum_lost);
    let two = told("cut", "a -> b", 5000, &picture(&["a", "b", "c!"], &[], "c"));
    assert!(two.quorum_lost && two.lines[0].contains("LOST"));
    assert_eq!(two.confirm_by_typing.as_deref(), Some("a"));
}

#[test]
fn losses_are_told_with_what_comes_of_them() {
    let picture = picture(&["a", "b", "c"], &[], "c");
    assert_eq!(
        told("loss 5%", "a -> b", 30_000, &picture).lines,
        ["a → b: 5% is lost and comes 200 ms later or more, all behind it waits, for 30 s; b → a as before"]
    );
    let again = radius(
        &[Act::Link {
            from: "a".into(),
            to: "b".into(),
            what: LinkFault::Loss(Share::from_percent(5)),
        }],
        Duration::from_secs(30),
        &picture,
    );
    assert_eq!(again, told("loss 5%", "a -> b", 30_000, &picture));
}

#[test]
fn delays_are_told_with_their_jitter() {
    let picture = picture(&["a", "b", "c"], &[], "c");
    let line = |fault| told(fault, "a -> b", 30_000, &picture).lines.remove(0);
    assert_eq!(
        line("delay 200ms ±50ms"),
        "a → b: every frame 200ms ±50ms later, for 30 s; b → a as before"
    );
    assert_eq!(
        line("delay 200ms"),
        "a → b: every frame 200ms later, for 30 s; b → a as before"
    );
}

#[test]
fn an_owner_cut_off_from_all_loses_its_exchanges_and_a_bridge_keeps_the_quorum() {
    let five = picture(
        &["a", "b", "c", "d", "e"],
        &[("orders", "b"), ("users", "c")],
        "a",
    );
    let isolated = told("cut", "owner(orders)", 5000, &five);
    assert_eq!(
        isolated.lines[1],
        "b no longer reaches a majority both ways: orders moves to another node"
    );
    let bridge = told("cut", "bridge(c)", 5000, &five);
    assert!(!bridge.quorum_lost, "c reaches all: {:?}", bridge.lines);
    let halves = told("cut", "halves", 5000, &five);
    assert!(!halves.quorum_lost, "three of five are left: {:?}", halves.lines);
    let four = picture(&["a", "b", "c", "d"], &[], "a");
    assert!(
        told("cut", "halves", 5000, &four).quorum_lost,
        "two of four are none"
    );
    let three = picture(&["a", "b", "c"], &[("orders", "a")], "a");
    let both = told("kill", "a, b", 5000, &three);
    assert_eq!(
        both.lines,
        [
            "1 of 3 voters left: quorum LOST, the registry stands still",
            "a is the meta leader: nobody follows",
            "1 exchange stalls: orders",
            "a, b start again after 5 s",
        ]
    );
}

#[test]
fn a_budget_names_the_limit_that_is_gone_beyond() {
    let picture = picture(&["a", "b", "c"], &[("orders", "a"), ("users", "a")], "b");
    let extent = |fault: &str, target: &str| {
        let fault: Fault = fault.parse().expect("a fault");
        let target = Target::parse(target, fault.aim()).expect("a target");
        Extent::of(&fault.at(&target, &picture).expect("somebody"), &picture)
    };
    let small = Budget {
        nodes: 1,
        links: 2,
        exchanges: 1,
        keep_quorum: true,
    };
    assert_eq!(
        small.allows(&extent("kill", "a, b")),
        Err(Beyond::Quorum),
        "the worst comes first"
    );
    assert_eq!(
        small.allows(&extent("kill", "a")),
        Err(Beyond::Many {
            what: "exchanges",
            would: 2,
            allowed: 1
        })
    );
    assert_eq!(small.allows(&extent("pause", "c")), Ok(()));
    assert_eq!(
        small.allows(&extent("loss 5%", "c -> a, b")),
        Ok(()),
        "two links of one node"
    );
    assert_eq!(
        small.allows(&extent("loss 5%", "c")),
        Err(Beyond::Many {
            what: "nodes",
            would: 3,
            allowed: 1
        })
    );
    let whole = Links::Isolate(crate::fault::Nodes::Named("c".into()));
    assert_eq!(whole.ways(&picture).expect("links").len(), 4);
}
