//! Bounds, refusals, parts of large snapshots, and state that outlives a run or a move.

use alloc::format;
use alloc::string::String;

use bytes::Bytes;

use super::SubscriptionEffect as Out;
use super::SubscriptionInput as In;
use super::tests::{
    ABOVE, BELOW, EPOCH, ME, at, below, confirm, delta, flush, pattern, pid, route, snapshot, stamp, step,
    subscribe,
};
use super::*;
use crate::reason::SubscribeRefusal;

#[test]
fn many_patterns_travel_in_parts() {
    let mut it = at(Upstream::At(ABOVE));
    let count = limits::INTEREST_PATTERNS_MAX + 1;
    for n in 0..count {
        let who = u32::try_from(n / limits::PATTERNS_PER_SUBSCRIBER_MAX).unwrap();
        step(&mut it, subscribe(who, "", &format!("key{n}")));
    }
    let sizes = |out: &[Out]| -> Vec<String> {
        let announced = out.iter().filter_map(|effect| match effect {
            Out::Announce { stamp, interest, .. } => Some(format!("{} {interest}", stamp.counter)),
            _ => None,
        });
        announced.collect()
    };
    assert_eq!(sizes(&flush(&mut it)), ["2 delta +4096 -0", "3 delta +1 -0"]);
    let again = step(&mut it, In::SnapshotAsked { by: ABOVE });
    let parts = [
        "4 snapshot first part of 4096 patterns",
        "5 snapshot last part of 1 patterns",
    ];
    assert_eq!(sizes(&again), parts);
    assert_eq!(sizes(&step(&mut it, In::Relinked { node: ABOVE })).len(), 2);
    let out = step(&mut it, In::Relinked { node: BELOW });
    assert_eq!(format!("{}", out[0]), "announce 1/5/7 to 3: leave");
}

#[test]
fn what_a_node_above_refuses_ends_here_with_the_reason() {
    let mut it = at(Upstream::At(ABOVE));
    step(&mut it, subscribe(1, "t", "a"));
    step(&mut it, below(1, snapshot(&["a", "b"])));
    flush(&mut it);
    let reason = SubscribeRefusal::PatternsOfExchange;
    let patterns = alloc::vec![pattern("a"), pattern("unknown")];
    let out = step(
        &mut it,
        In::Refused {
            by: ABOVE,
            reason,
            patterns,
        },
    );
    let here = Out::Refuse {
        subscriber: pid(1),
        connection: Bytes::from_static(b"t"),
        pattern: pattern("a"),
        reason,
    };
    let there = Out::RefuseInterest {
        to: BELOW,
        reason,
        patterns: alloc::vec![pattern("a")],
    };
    assert_eq!(out, [here, there]);
    assert_eq!(
        (flush(&mut it), it.patterns(), it.subscribers()),
        (Vec::new(), 1, 0)
    );
    step(&mut it, below(2, delta(&[], &["a", "b"])));
    assert_eq!(it.patterns(), 0);
}

#[test]
fn a_flood_meets_a_bound_with_a_name() {
    let refusals = |it: &mut Subscriptions, input| -> Vec<SubscribeRefusal> {
        let reason = |effect: &Out| match effect {
            Out::Refuse { reason, .. } | Out::RefuseInterest { reason, .. } => Some(*reason),
            _ => None,
        };
        step(it, input).iter().filter_map(reason).collect()
    };
    let mut it = at(Upstream::Root);
    for n in 0..limits::PATTERNS_PER_SUBSCRIBER_MAX {
        assert_eq!(refusals(&mut it, subscribe(1, "", &format!("key{n}"))), []);
    }
    assert_eq!(
        refusals(&mut it, subscribe(1, "", "more")),
        [SubscribeRefusal::OfSubscriber]
    );
    assert_eq!(
        refusals(&mut it, subscribe(1, "", "key7")),
        [],
        "that one is there"
    );
    assert_eq!(refusals(&mut it, subscribe(2, "", "more")), []);
    let long = In::Subscribe {
        subscriber: pid(3),
        connection: Bytes::from(alloc::vec![b'x'; 256]),
        pattern: pattern("a"),
    };
    assert_eq!(refusals(&mut it, long), [SubscribeRefusal::ConnectionTag]);
    assert_eq!(it.subscribers(), 2);

    let many = (it.patterns()..=limits::PATTERNS_PER_EXCHANGE_MAX).map(|n| pattern(&format!("many{n}")));
    let interest = Interest::Delta {
        add: many.collect(),
        remove: Vec::new(),
    };
    step(&mut it, below(1, snapshot(&[])));
    assert_eq!(
        refusals(&mut it, below(2, interest)),
        [SubscribeRefusal::PatternsOfExchange]
    );
    assert_eq!(it.patterns(), limits::PATTERNS_PER_EXCHANGE_MAX);
    assert_eq!(
        refusals(&mut it, subscribe(3, "", "new")),
        [SubscribeRefusal::PatternsOfExchange]
    );
    assert_eq!(it.subscribers(), 2, "a refused one leaves nothing behind");
    assert_eq!(
        refusals(&mut it, subscribe(3, "", "more")),
        [],
        "a pattern that is there costs none"
    );
}

#[test]
fn a_cluster_has_no_more_nodes_than_bits() {
    let mut it = at(Upstream::Root);
    let from = |n: u64| In::Downstream {
        node: NodeId(100 + n),
        stamp: stamp(1, EPOCH, 1),
        interest: snapshot(&["a"]),
    };
    for n in 0..64 {
        step(&mut it, from(n));
    }
    let refused = Out::RefuseInterest {
        to: NodeId(164),
        reason: SubscribeRefusal::Nodes,
        patterns: alloc::vec![pattern("a")],
    };
    assert_eq!(step(&mut it, from(64)), [refused]);
    let nodes: Vec<NodeId> = (100..164).map(NodeId).collect();
    assert_eq!(route(&mut it, "a", None).1, nodes);
    let lost = In::NodeLost {
        node: NodeId(120),
        incarnation: Incarnation(1),
    };
    step(&mut it, lost);
    step(&mut it, from(64));
    assert_eq!(route(&mut it, "a", None).1.last(), Some(&NodeId(164)));
}

#[test]
fn buffers_stay_as_they_are() {
    let mut it = at(Upstream::Root);
    for n in 0..100 {
        step(&mut it, subscribe(n % 10, "t", &format!("news.*.{}", n / 10)));
        step(&mut it, subscribe(n, "", "news.#"));
    }
    let mut fanout = Fanout::default();
    let pass = it.admit(EPOCH).unwrap();
    let key = Key::new("news.eu.7").unwrap();
    it.route(&pass, &key, None, &mut fanout);
    let before = (fanout.copies().as_ptr(), fanout.copies().to_vec());
    it.route(&pass, &key, None, &mut fanout);
    assert_eq!((fanout.copies().as_ptr(), fanout.copies().to_vec()), before);
    assert_eq!(fanout.copies().len(), 100);
}

#[test]
fn a_node_that_came_back_before_it_was_declared_lost_keeps_its_new_interest() {
    let mut it = at(Upstream::Root);
    step(&mut it, below(900, snapshot(&["a"])));
    let again = In::Downstream {
        node: BELOW,
        stamp: stamp(2, EPOCH, 1),
        interest: snapshot(&["b"]),
    };
    step(&mut it, again);
    step(
        &mut it,
        In::NodeLost {
            node: BELOW,
            incarnation: Incarnation(1),
        },
    );
    assert_eq!(
        (
            route(&mut it, "a", None).1.len(),
            route(&mut it, "b", None).1.len()
        ),
        (0, 1)
    );
    step(
        &mut it,
        In::NodeLost {
            node: BELOW,
            incarnation: Incarnation(2),
        },
    );
    assert_eq!((it.patterns(), it.downstream_nodes()), (0, 0));
}

#[test]
fn a_move_takes_interest_along_until_the_nodes_speak_for_themselves() {
    let mut old = at(Upstream::Root);
    step(&mut old, below(1, snapshot(&["a", "b"])));
    step(&mut old, subscribe(1, "", "a"));
    let wire = postcard::to_allocvec(&old.state()).unwrap();
    let state: Vec<MovedInterest> = postcard::from_bytes(&wire).unwrap();

    let mut new = Subscriptions::new(Instant(0), NodeId(9), Incarnation(4));
    step(
        &mut new,
        In::Upstream {
            epoch: EPOCH,
            upstream: Upstream::Root,
        },
    );
    let epoch = EPOCH;
    let state_of = state.clone();
    step(
        &mut new,
        In::Resume {
            epoch,
            state: state_of,
        },
    );
    assert_eq!(route(&mut new, "a", None).1, [ME, BELOW]);
    step(&mut new, below(7, snapshot(&["b"])));
    step(&mut new, In::Resume { epoch, state });
    assert_eq!(route(&mut new, "a", None).1, [ME], "it has said what it wants");
    step(&mut new, In::Settled);
    assert_eq!(route(&mut new, "a", None).1, []);
    assert_eq!(route(&mut new, "b", None).1, [BELOW]);
}

#[test]
fn what_is_left_of_an_earlier_epoch_does_not_hide_what_a_move_brings() {
    let (epoch, upstream) = (EPOCH, Upstream::Root);
    let earlier = |counter, interest| In::Downstream {
        node: BELOW,
        stamp: stamp(1, Epoch(EPOCH.0 - 2), counter),
        interest,
    };
    let mut it = Subscriptions::new(Instant(0), ME, Incarnation(4));
    step(&mut it, earlier(1, snapshot(&["a"])));
    step(&mut it, In::Upstream { epoch, upstream });
    let patterns = alloc::vec![pattern("b")];
    let state = alloc::vec![MovedInterest {
        node: BELOW,
        incarnation: Incarnation(1),
        patterns,
    }];
    step(&mut it, In::Resume { epoch, state });
    assert_eq!(route(&mut it, "b", None).1, [BELOW]);
    step(
        &mut it,
        In::Downstream {
            node: BELOW,
            stamp: stamp(1, Epoch(EPOCH.0 - 2), 2),
            interest: Interest::Leave,
        },
    );
    assert_eq!(route(&mut it, "b", None).1, [BELOW], "it left this node long ago");
}

#[test]
fn an_owner_that_has_handed_off_confirms_nothing_more_until_the_move_is_over() {
    let mut it = at(Upstream::Root);
    assert_eq!(step(&mut it, subscribe(1, "", "a")).len(), 1, "ready at once");
    step(&mut it, In::HandedOff);
    assert_eq!(step(&mut it, subscribe(1, "", "b")), []);
    assert_eq!(step(&mut it, below(1, snapshot(&["c"]))), []);
    let epoch = Epoch(EPOCH.0 + 2);
    let upstream = Upstream::Root;
    let told = step(&mut it, In::Upstream { epoch, upstream });
    assert_eq!(told.len(), 2, "the move was cancelled: {told:?}");
}

#[test]
fn a_table_made_anew_in_the_same_run_is_heard() {
    let mut owner = at(Upstream::Root);
    step(&mut owner, below(1_000, snapshot(&["a"])));
    let mut anew = Subscriptions::new(Instant(2_000), BELOW, Incarnation(1));
    let out = step(
        &mut anew,
        In::Upstream {
            epoch: EPOCH,
            upstream: Upstream::At(ME),
        },
    );
    let [Out::Announce { stamp, interest, .. }] = &out[..] else {
        panic!("{out:?}");
    };
    let input = In::Downstream {
        node: BELOW,
        stamp: *stamp,
        interest: interest.clone(),
    };
    assert_eq!(step(&mut owner, input).len(), 1);
    assert_eq!(owner.patterns(), 0);
}

#[test]
fn a_node_below_is_confirmed_by_the_node_that_is_above_now() {
    let mut it = at(Upstream::At(ABOVE));
    confirm(&mut it, 1);
    step(&mut it, below(1, snapshot(&["b"])));
    flush(&mut it);
    let to = NodeId(7);
    let over = In::Upstream {
        epoch: EPOCH,
        upstream: Upstream::At(to),
    };
    step(&mut it, over);
    assert_eq!(confirm(&mut it, 2), []);
    assert_eq!(flush(&mut it), []);
    let by_the_new = In::Confirmed {
        by: to,
        stamp: stamp(1, EPOCH, 3),
    };
    let confirmed = Out::Confirm {
        to: BELOW,
        stamp: stamp(1, EPOCH, 1),
    };
    assert_eq!(step(&mut it, by_the_new).first(), Some(&confirmed));
}
