//! Tables: order and picture in, lines out.

use squall_observer::console::PictureExchange;

use super::*;

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
    };
    Picture {
        nodes: nodes.iter().map(node).collect(),
        exchanges: exchanges.iter().map(exchange).collect(),
        meta_leader: Some(meta_leader.to_owned()),
    }
}

fn kill(node: &str) -> Order {
    Order::Kill {
        node: node.into(),
        ttl: Duration::from_secs(30),
        stay_down: false,
        expect_os_pid: None,
    }
}

fn pause(node: &str) -> Order {
    Order::Pause {
        node: node.into(),
        ttl: Duration::from_millis(1500),
        expect_os_pid: None,
    }
}

fn cut(from: &str, to: &str) -> Order {
    Order::Cut {
        from: from.into(),
        to: to.into(),
        ttl: Duration::from_secs(5),
    }
}

#[test]
fn killing_the_meta_leader_of_three_moves_its_exchanges_and_wants_its_name_typed() {
    let picture = picture(&["a", "b", "c"], &[("orders", "a"), ("users", "b")], "a");
    let radius = radius(&kill("a"), &picture);
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
        (&[], "the voters are not known: the quorum may be lost", false),
    ];
    for (nodes, line, lost) in table {
        let radius = radius(&pause("a"), &picture(nodes, &[], "b"));
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
    let radius = radius(&pause("a"), &picture(&["a", "b", "c!"], &owned, "b"));
    assert_eq!(radius.lines[1], "5 exchanges stall: e1, e2, e3, e4 and 1 more");
}

#[test]
fn a_node_that_is_down_cannot_do_harm() {
    let radius = radius(&kill("c"), &picture(&["a", "b", "c!"], &[("orders", "a")], "a"));
    assert_eq!(radius.lines, ["c is down already", "c starts again after 30 s"]);
}

#[test]
fn a_cut_loses_the_quorum_only_when_no_third_voter_links_the_two() {
    let three = radius(
        &cut("a", "b"),
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
    let two = radius(&cut("a", "b"), &picture(&["a", "b", "c!"], &[], "c"));
    assert!(two.quorum_lost && two.lines[0].contains("LOST"));
    assert_eq!(two.confirm_by_typing.as_deref(), Some("a"));
}

#[test]
fn losses_are_told_with_what_comes_of_them() {
    let order = Order::Loss {
        from: "a".into(),
        to: "b".into(),
        share_ppm: 50_000,
        ttl: Duration::from_secs(30),
    };
    let lines = radius(&order, &picture(&["a", "b", "c"], &[], "c")).lines;
    assert_eq!(
        lines,
        ["a → b: 5% is lost and comes 200 ms later or more, all behind it waits, for 30 s; b → a as before"]
    );
}

#[test]
fn delays_are_told_with_their_jitter() {
    let order = |jitter| Order::Delay {
        from: "a".into(),
        to: "b".into(),
        delay: Duration::from_millis(200),
        jitter: Duration::from_millis(jitter),
        ttl: Duration::from_secs(30),
    };
    let line = |jitter| {
        radius(&order(jitter), &picture(&["a", "b", "c"], &[], "c"))
            .lines
            .remove(0)
    };
    assert_eq!(
        line(50),
        "a → b: every frame 200 ms ±50 ms later, for 30 s; b → a as before"
    );
    assert_eq!(
        line(0),
        "a → b: every frame 200 ms later, for 30 s; b → a as before"
    );
}
