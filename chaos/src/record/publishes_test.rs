//! Tests of publishes in live runs: what publisher, owner and subscriber tell in three journals is one story, and judged as such.

use squall_kernel::exchange::{RequestKey, Signature};
use squall_kernel::id::{Epoch, ExchangeId, LeaderEpoch, MessageId, NodeId, Pid};
use squall_kernel::publishing::Confirm;
use squall_kernel::time::Instant;
use squall_node::journal::{Ending, Fact};

use super::tests::{handler, marked, recorded, verdict};
use super::*;
use crate::history::{PublishEvent, What};
use crate::invariant::Verdict;

const EXCHANGE: ExchangeId = ExchangeId(1);

fn publish(message: u64) -> RequestKey {
    RequestKey {
        origin: NodeId(3),
        message: MessageId(message),
    }
}

fn journal(node: u64, story: &[(u64, PublishEvent)]) -> Vec<u8> {
    recorded(node, 5_000, |journal| {
        for (now, what) in story {
            let (exchange, what) = (EXCHANGE, what.clone());
            journal.fact(Instant(*now), &Fact::Publish { exchange, what });
        }
        journal.fact(Instant(900), &Fact::Left);
    })
}

/// Publishes number 1, whose first try comes back, and 4; the tries are 2, 3 and 5.
fn publisher() -> Vec<u8> {
    let begun = |message| Fact::Publish {
        exchange: EXCHANGE,
        what: PublishEvent::Begun {
            publish: publish(message),
            publisher: Pid {
                node: NodeId(3),
                serial: 9,
            },
            key: "k".to_owned(),
            confirm: Confirm::Accepted,
            to_one: false,
        },
    };
    let tried = |request, message| Fact::Tried {
        request: MessageId(request),
        message: MessageId(message),
    };
    let ended = Fact::Outcome {
        request: MessageId(1),
        exchange: EXCHANGE,
        ending: Ending::Reply(handler(1)),
        more: false,
    };
    recorded(3, 5_000, |journal| {
        let facts = [begun(1), tried(1, 2), tried(1, 3), begun(4), tried(4, 5), ended];
        for (now, fact) in (10..).zip(facts) {
            journal.fact(Instant(now), &fact);
        }
        journal.fact(Instant(900), &Fact::Left);
    })
}

fn owner() -> Vec<u8> {
    let taken = |message| PublishEvent::Taken {
        publish: publish(message),
        epoch: Epoch(1),
        id: None,
        known: false,
    };
    journal(1, &[(20, taken(3)), (21, taken(5))])
}

fn subscriber(order: &[u64]) -> Vec<u8> {
    let got = |message: &u64| PublishEvent::Got {
        publish: publish(*message),
        subscriber: handler(2),
    };
    let story: Vec<_> = (30..).zip(order.iter().map(got)).collect();
    journal(2, &story)
}

fn history(order: &[u64]) -> Vec<Event> {
    marked(&[publisher(), owner(), subscriber(order)], &Marks::default())
}

#[test]
fn a_publish_is_known_by_one_number_wherever_it_is() {
    let history = history(&[3, 5]);
    let lines = history.iter().map(ToString::to_string);
    let lines: Vec<String> = lines.filter(|line| line.contains("publish")).collect();
    assert_eq!(
        lines,
        [
            "0.000010s 3 #1: publish 3/1 of <3.0:9>: k, confirm accepted",
            "0.000012s 3 #1: publish 3/1 goes out again",
            "0.000013s 3 #1: publish 3/4 of <3.0:9>: k, confirm accepted",
            "0.000020s 1 #1: publish 3/1 taken at epoch 1, id ''",
            "0.000021s 1 #1: publish 3/4 taken at epoch 1, id ''",
            "0.000030s 2 #1: publish 3/1 is with <2.1:1>",
            "0.000031s 2 #1: publish 3/4 is with <2.1:1>",
        ]
    );
    assert_eq!(verdict(&history, 7), Verdict::Ok);
    assert_eq!(verdict(&history, 10), Verdict::Ok);
}

#[test]
fn a_second_copy_and_a_wrong_order_are_found_by_any_try() {
    let Verdict::Fail(twice) = verdict(&history(&[2, 3]), 7) else {
        panic!("it has it twice");
    };
    assert_eq!(twice.text, "<2.1:1> got publish 3/1 twice");
    let Verdict::Fail(late) = verdict(&history(&[5, 3]), 10) else {
        panic!("it was published last and came first");
    };
    assert!(
        late.text.ends_with("after a later one of the same publisher"),
        "{}",
        late.text
    );
}

#[test]
fn what_binds_a_request_to_its_handler_is_told_by_the_number_of_the_request() {
    let node = recorded(3, 5_000, |journal| {
        let (request, message) = (MessageId(1), MessageId(2));
        journal.fact(Instant(10), &Fact::Tried { request, message });
        let passed = Fact::Passed {
            request: publish(2),
            exchange: EXCHANGE,
            handler: handler(3),
            epoch: Epoch(1),
            leader_epoch: LeaderEpoch(0),
            signature: Signature::of_wire(7),
        };
        journal.fact(Instant(20), &passed);
        let handler = handler(3);
        journal.fact(Instant(30), &Fact::Detached { handler });
    });
    let history = marked(&[node], &Marks::default());
    let kept = history.iter().find_map(|event| match &event.what {
        What::Kept { request, .. } => Some(request.message),
        _ => None,
    });
    assert_eq!(kept, Some(MessageId(1)));
    let detached = What::Detached { handler: handler(3) };
    assert!(history.iter().any(|event| event.what == detached));
}
