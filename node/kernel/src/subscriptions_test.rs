use alloc::format;
use alloc::string::String;
use alloc::vec;

use bytes::Bytes;

use super::SubscriptionEffect as Out;
use super::SubscriptionInput as In;
use super::*;
use crate::id::Boot;

pub(super) const ME: NodeId = NodeId(1);
pub(super) const ABOVE: NodeId = NodeId(2);
pub(super) const BELOW: NodeId = NodeId(3);
pub(super) const EPOCH: Epoch = Epoch(5);

pub(super) fn pattern(text: &str) -> KeyPattern {
    KeyPattern::new(text).unwrap()
}

pub(super) fn pid(n: u32) -> Pid {
    Pid::new(ME, Boot(1), n)
}

pub(super) fn subscribe(n: u32, tag: &'static str, text: &str) -> In {
    In::Subscribe {
        subscriber: pid(n),
        connection: Bytes::from_static(tag.as_bytes()),
        pattern: pattern(text),
    }
}

pub(super) fn unsubscribe(n: u32, tag: &'static str, text: Option<&str>) -> In {
    In::Unsubscribe {
        subscriber: pid(n),
        connection: Bytes::from_static(tag.as_bytes()),
        pattern: text.map(pattern),
    }
}

pub(super) fn stamp(incarnation: u64, epoch: Epoch, counter: u64) -> Stamp {
    Stamp {
        incarnation: Incarnation(incarnation),
        epoch,
        counter: Counter(counter),
    }
}

pub(super) fn snapshot(patterns: &[&str]) -> Interest {
    Interest::Snapshot {
        first: true,
        last: true,
        patterns: patterns.iter().map(|text| pattern(text)).collect(),
    }
}

pub(super) fn delta(add: &[&str], remove: &[&str]) -> Interest {
    Interest::Delta {
        add: add.iter().map(|text| pattern(text)).collect(),
        remove: remove.iter().map(|text| pattern(text)).collect(),
    }
}

pub(super) fn below(counter: u64, interest: Interest) -> In {
    In::Downstream {
        node: BELOW,
        stamp: stamp(1, EPOCH, counter),
        interest,
    }
}

pub(super) fn announce(counter: u64, interest: Interest) -> Out {
    Out::Announce {
        to: ABOVE,
        stamp: stamp(1, EPOCH, counter),
        interest,
    }
}

pub(super) fn at(upstream: Upstream) -> Subscriptions {
    let mut it = Subscriptions::new(Instant(0), ME, Incarnation(1));
    step(
        &mut it,
        In::Upstream {
            epoch: EPOCH,
            upstream,
        },
    );
    it
}

pub(super) fn step(it: &mut Subscriptions, input: In) -> Vec<Out> {
    let mut out = Vec::new();
    it.step(input, &mut out);
    out
}

pub(super) fn flush(it: &mut Subscriptions) -> Vec<Out> {
    let mut out = Vec::new();
    it.flush(&mut out);
    out
}

pub(super) fn confirm(it: &mut Subscriptions, counter: u64) -> Vec<Out> {
    step(
        it,
        In::Confirmed {
            by: ABOVE,
            stamp: stamp(1, EPOCH, counter),
        },
    )
}

/// Subscribers with their tags, and nodes.
pub(super) fn route(
    it: &mut Subscriptions,
    key: &str,
    except: Option<NodeId>,
) -> (Vec<(u64, String)>, Vec<NodeId>) {
    let mut fanout = Fanout::default();
    let pass = it.admit(EPOCH).unwrap();
    it.route(&pass, &Key::new(key).unwrap(), except, &mut fanout);
    let copies = fanout.copies().iter().map(|copy| {
        let tags: Vec<_> = fanout
            .connections(copy)
            .map(|tag| core::str::from_utf8(tag).unwrap())
            .collect();
        (copy.subscriber.serial & 0xffff, tags.join("+"))
    });
    (copies.collect(), fanout.nodes().to_vec())
}

pub(super) fn ready(n: u32, tag: &'static str, text: &str) -> Out {
    Out::Ready {
        subscriber: pid(n),
        connection: Bytes::from_static(tag.as_bytes()),
        pattern: pattern(text),
    }
}

#[test]
fn a_subscriber_gets_one_copy_with_all_tags_that_match() {
    let mut it = at(Upstream::Root);
    for (n, tag, text) in [
        (1, "eu", "news.*"),
        (1, "all", "#"),
        (1, "all", "news.eu"),
        (2, "", "news.eu"),
    ] {
        assert_eq!(step(&mut it, subscribe(n, tag, text)), [ready(n, tag, text)]);
    }
    step(&mut it, subscribe(1, "us", "news.us"));
    let copies = [(1, "all+eu".into()), (2, String::new())];
    assert_eq!(route(&mut it, "news.eu", None), (copies.to_vec(), Vec::new()));
    assert_eq!((it.subscribers(), it.subscriptions(), it.patterns()), (2, 5, 4));
    step(&mut it, unsubscribe(1, "all", None));
    let copies = [(2, String::new()), (1, "eu".into())];
    assert_eq!(route(&mut it, "news.eu", None).0, copies);
    step(&mut it, In::SubscriberGone { subscriber: pid(1) });
    step(&mut it, unsubscribe(2, "", Some("news.eu")));
    assert_eq!((it.subscribers(), it.subscriptions(), it.patterns()), (0, 0, 0));
}

#[test]
fn the_node_above_is_told_each_pattern_once() {
    let mut it = at(Upstream::At(ABOVE));
    for n in 0..50 {
        assert_eq!(step(&mut it, subscribe(n, "", "news.eu")), []);
    }
    step(&mut it, below(1, snapshot(&["news.eu", "news.us"])));
    assert_eq!(flush(&mut it), [announce(2, delta(&["news.eu", "news.us"], &[]))]);
    for n in 0..50 {
        step(&mut it, In::SubscriberGone { subscriber: pid(n) });
    }
    assert_eq!(flush(&mut it), [], "the node below still wants it");
    step(&mut it, below(2, delta(&[], &["news.eu"])));
    assert_eq!(flush(&mut it), [announce(3, delta(&[], &["news.eu"]))]);
    step(&mut it, subscribe(1, "", "a"));
    step(&mut it, unsubscribe(1, "", Some("a")));
    assert_eq!(flush(&mut it), [], "come and gone between two announcements");
    step(&mut it, subscribe(1, "", "a"));
    flush(&mut it);
    step(&mut it, unsubscribe(1, "", Some("a")));
    step(&mut it, subscribe(2, "", "a"));
    assert_eq!(flush(&mut it), [], "gone and come again");
}

#[test]
fn a_subscription_is_ready_when_everything_above_knows() {
    let mut it = at(Upstream::At(ABOVE));
    step(&mut it, subscribe(1, "", "a"));
    assert_eq!(confirm(&mut it, 1), [], "that was the first snapshot");
    step(&mut it, below(1, snapshot(&["b"])));
    flush(&mut it);
    let confirmed = Out::Confirm {
        to: BELOW,
        stamp: stamp(1, EPOCH, 1),
    };
    assert_eq!(confirm(&mut it, 2), [ready(1, "", "a"), confirmed]);
    assert_eq!(step(&mut it, subscribe(2, "", "b")), [ready(2, "", "b")]);
    let other_epoch = In::Confirmed {
        by: ABOVE,
        stamp: stamp(1, Epoch(4), 900),
    };
    step(&mut it, subscribe(1, "", "c"));
    flush(&mut it);
    assert_eq!(step(&mut it, other_epoch), []);
}

#[test]
fn a_gap_is_repaired_by_a_snapshot() {
    let mut it = at(Upstream::Root);
    step(&mut it, below(1, snapshot(&["a", "b"])));
    let ask = Out::AskSnapshot { of: BELOW };
    assert_eq!(
        step(&mut it, below(3, delta(&["c"], &[]))),
        core::slice::from_ref(&ask)
    );
    assert_eq!(step(&mut it, below(4, delta(&["d"], &[]))), [], "asked once");
    assert_eq!(
        route(&mut it, "a", None).1,
        [BELOW],
        "what is known stands until then"
    );
    step(&mut it, below(5, snapshot(&["b", "c"])));
    assert_eq!(step(&mut it, below(4, delta(&["d"], &[]))), [], "late");
    for (key, nodes) in [("a", 0), ("b", 1), ("c", 1), ("d", 0)] {
        assert_eq!(route(&mut it, key, None).1.len(), nodes, "{key}");
    }
    let stranger = In::Downstream {
        node: NodeId(9),
        stamp: stamp(1, EPOCH, 7),
        interest: delta(&["a"], &[]),
    };
    assert_eq!(step(&mut it, stranger), [Out::AskSnapshot { of: NodeId(9) }]);
}

#[test]
fn a_snapshot_in_parts_ends_what_it_does_not_name() {
    let part = |first, last, texts: &[&str]| Interest::Snapshot {
        first,
        last,
        patterns: texts.iter().map(|text| pattern(text)).collect(),
    };
    let mut it = at(Upstream::Root);
    step(&mut it, below(1, snapshot(&["a", "b"])));
    assert_eq!(step(&mut it, below(2, part(true, false, &["c"]))), []);
    assert_eq!(it.patterns(), 3, "not before its last part");
    let confirmed = Out::Confirm {
        to: BELOW,
        stamp: stamp(1, EPOCH, 3),
    };
    assert_eq!(step(&mut it, below(3, part(false, true, &["a"]))), [confirmed]);
    assert_eq!(it.patterns(), 2);
    step(&mut it, below(4, part(true, false, &["d"])));
    let lost_part = step(&mut it, below(6, part(false, true, &["e"])));
    assert_eq!(lost_part, [Out::AskSnapshot { of: BELOW }]);
}

#[test]
fn interest_of_an_epoch_that_is_over_is_fenced() {
    let mut it = at(Upstream::Root);
    let old = In::Downstream {
        node: BELOW,
        stamp: stamp(9, Epoch(4), 100),
        interest: snapshot(&["a"]),
    };
    let fenced = Out::Fenced {
        to: BELOW,
        seen: EPOCH,
    };
    assert_eq!(step(&mut it, old), [fenced]);
    assert_eq!(it.patterns(), 0);
    let left = In::Downstream {
        node: BELOW,
        stamp: stamp(9, Epoch(4), 100),
        interest: Interest::Leave,
    };
    assert_eq!(step(&mut it, left), [], "leaving needs no epoch");
    let ahead = In::Downstream {
        node: BELOW,
        stamp: stamp(1, Epoch(6), 1),
        interest: snapshot(&["a"]),
    };
    step(&mut it, ahead);
    assert_eq!(
        it.admit(EPOCH).unwrap_err().epoch,
        Epoch(6),
        "it is owner no more"
    );
}

#[test]
fn a_publish_does_not_go_back_to_where_it_came_from() {
    let mut it = at(Upstream::At(ABOVE));
    let other = In::Downstream {
        node: NodeId(2),
        stamp: stamp(1, EPOCH, 1),
        interest: snapshot(&["a", "#"]),
    };
    step(&mut it, below(1, snapshot(&["a"])));
    step(&mut it, other);
    assert_eq!(route(&mut it, "a", None).1, [NodeId(2), BELOW]);
    assert_eq!(route(&mut it, "a", Some(BELOW)).1, [NodeId(2)]);
}

#[test]
fn another_node_above_confirms_before_the_old_one_is_left() {
    let mut it = at(Upstream::At(ABOVE));
    confirm(&mut it, 1);
    step(&mut it, subscribe(1, "", "a"));
    flush(&mut it);
    let to = NodeId(7);
    let over = In::Upstream {
        epoch: EPOCH,
        upstream: Upstream::At(to),
    };
    let told = |node, counter, interest| Out::Announce {
        to: node,
        stamp: stamp(1, EPOCH, counter),
        interest,
    };
    assert_eq!(step(&mut it, over), [told(to, 3, snapshot(&["a"]))]);
    let publisher = Pid::new(NodeId(8), Boot(1), 1);
    for (from, event, arrival) in [
        (ABOVE, 1, Arrival::First),
        (to, 1, Arrival::Again),
        (to, 2, Arrival::First),
        (ABOVE, 2, Arrival::Again),
        (NodeId(9), 3, Arrival::Stranger),
    ] {
        assert_eq!(it.arrive(from, publisher, MessageId(event)), arrival);
    }
    assert_eq!(
        step(&mut it, In::SnapshotAsked { by: ABOVE }),
        [],
        "it keeps what it has"
    );
    let by_the_new = |counter| In::Confirmed {
        by: to,
        stamp: stamp(1, EPOCH, counter),
    };
    assert_eq!(confirm(&mut it, 3), [], "from the old one: not what it takes");
    let left = told(ABOVE, 3, Interest::Leave);
    assert_eq!(step(&mut it, by_the_new(3)), [ready(1, "", "a"), left.clone()]);
    assert_eq!(
        it.arrive(ABOVE, publisher, MessageId(4)),
        Arrival::First,
        "was on its way"
    );
    assert_eq!(step(&mut it, In::SnapshotAsked { by: ABOVE }), [left]);
    assert_eq!(step(&mut it, by_the_new(3)), []);
}

#[test]
fn a_node_that_never_served_is_left_at_once() {
    let mut it = at(Upstream::At(ABOVE));
    confirm(&mut it, 1);
    let over = |node| In::Upstream {
        epoch: EPOCH,
        upstream: Upstream::At(NodeId(node)),
    };
    step(&mut it, over(7));
    let out: Vec<String> = step(&mut it, over(8))
        .iter()
        .map(|effect| format!("{effect}"))
        .collect();
    assert_eq!(
        out,
        [
            "announce 1/5/2 to 7: leave",
            "announce 1/5/3 to 8: snapshot of 0 patterns"
        ]
    );
    let publisher = Pid::new(NodeId(8), Boot(1), 1);
    assert_eq!(
        it.arrive(ABOVE, publisher, MessageId(1)),
        Arrival::First,
        "it serves on"
    );
    let back = step(&mut it, over(2));
    let out: Vec<String> = back.iter().map(|effect| format!("{effect}")).collect();
    assert_eq!(
        out,
        [
            "announce 1/5/3 to 8: leave",
            "announce 1/5/4 to 2: snapshot of 0 patterns"
        ]
    );
    let owner = In::Upstream {
        epoch: Epoch(6),
        upstream: Upstream::Root,
    };
    let out: Vec<String> = step(&mut it, owner)
        .iter()
        .map(|effect| format!("{effect}"))
        .collect();
    assert_eq!(out, ["announce 1/6/4 to 2: leave"]);
}

#[test]
fn a_table_is_joined_once_the_node_above_has_heard_of_it_and_until_it_is_forgotten() {
    let mut it = at(Upstream::At(ABOVE));
    assert!(!it.is_joined(), "what comes now is for the run before");
    confirm(&mut it, 1);
    assert!(it.is_joined());
    let over = In::Upstream {
        epoch: EPOCH,
        upstream: Upstream::At(NodeId(7)),
    };
    let told = step(&mut it, over);
    assert!(it.is_joined(), "the one before serves on");
    assert_eq!(told.len(), 1);
    step(&mut it, In::Forgotten);
    assert!(!it.is_joined());
    confirm(&mut it, 9);
    assert!(!it.is_joined(), "the word of a node that was left");
    let by_the_new = |counter| In::Confirmed {
        by: NodeId(7),
        stamp: stamp(1, EPOCH, counter),
    };
    step(&mut it, by_the_new(2));
    assert!(!it.is_joined(), "of an announcement before that");
    step(&mut it, by_the_new(3));
    assert!(it.is_joined());
}

#[test]
fn whoever_has_passed_on_is_remembered_when_all_have_left() {
    let mut it = at(Upstream::At(ABOVE));
    step(&mut it, below(1, Interest::Leave));
    assert!(!it.has_passed_on());
    step(&mut it, below(2, snapshot(&["a"])));
    step(&mut it, below(2, Interest::Leave));
    assert_eq!(it.downstream_nodes(), 0);
    assert!(it.has_passed_on());
}

#[test]
fn whoever_is_owner_no_more_leaves_those_below_to_the_next_owner() {
    let mut it = at(Upstream::Root);
    step(&mut it, below(1, snapshot(&["a"])));
    step(&mut it, subscribe(1, "", "b"));
    assert_eq!(route(&mut it, "a", None).1, [BELOW]);
    let over = In::Upstream {
        epoch: Epoch(EPOCH.0 + 1),
        upstream: Upstream::At(ABOVE),
    };
    let told: Vec<String> = step(&mut it, over)
        .iter()
        .map(|effect| format!("{effect}"))
        .collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].ends_with("to 2: snapshot of 1 patterns"), "{told:?}");
    assert_eq!((it.downstream_nodes(), it.patterns()), (0, 1));

    // It is told already what it needs when the exchange comes back.
    let mut it = at(Upstream::Root);
    step(&mut it, below(1, snapshot(&["a"])));
    let moved = MovedInterest {
        node: BELOW,
        incarnation: Incarnation(1),
        patterns: vec![pattern("a")],
    };
    let (epoch, state) = (Epoch(EPOCH.0 + 2), vec![moved]);
    step(&mut it, In::Resume { epoch, state });
    let over = In::Upstream {
        epoch: Epoch(EPOCH.0 + 1),
        upstream: Upstream::At(ABOVE),
    };
    step(&mut it, over);
    assert_eq!(it.downstream_nodes(), 1);
}
