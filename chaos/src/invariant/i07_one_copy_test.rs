//! Tests of I7 on made-up histories.

use squall_kernel::id::Epoch;
use squall_kernel::limits::DEDUP_IDS_MAX;
use squall_kernel::publishing::Confirm;
use squall_kernel::time::Span;

use super::super::story::{
    applied, at, broken, ended, granted, handler, holds, request, routed, started, unknown,
};
use super::*;

fn news(ms: u64, node: u64, what: PublishEvent) -> Event {
    let exchange = ExchangeId(1);
    at(ms, node, What::Publish { exchange, what })
}

fn begun(ms: u64, n: u64, confirm: Confirm) -> Event {
    let (publish, publisher, key) = (request(n), handler(9), "news.north".to_owned());
    let what = PublishEvent::Begun {
        publish,
        publisher,
        key,
        confirm,
        to_one: false,
    };
    news(ms, 9, what)
}

fn got(ms: u64, n: u64, by: u64) -> Event {
    let (publish, subscriber) = (request(n), handler(by));
    news(ms, by, PublishEvent::Got { publish, subscriber })
}

fn passed(ms: u64, from: u64, to: u64) -> Event {
    let (publish, to) = (request(1), NodeId(to));
    news(ms, from, PublishEvent::Passed { publish, to })
}

fn taken(ms: u64, epoch: u64, known: bool) -> Event {
    let what = PublishEvent::Taken {
        publish: request(1),
        epoch: Epoch(epoch),
        id: Some(("a 1".to_owned(), Span::from_ms(1_000))),
        known,
    };
    news(ms, epoch, what)
}

fn above(ms: u64, at: u64, node: Option<u64>, owner: u64) -> Event {
    let (node, owner) = (node.map(NodeId), Some(NodeId(owner)));
    news(ms, at, PublishEvent::Above { node, owner })
}

/// Nodes 1 and 2 have a subscriber each; 1 owns the exchange.
fn subscribed() -> Vec<Event> {
    let mut story = vec![granted(0, 1, 1, 1)];
    for node in [1, 2] {
        let (subscriber, pattern) = (handler(node), "news.*".to_owned());
        story.push(above(1, node, (node != 1).then_some(1), 1));
        story.push(news(
            1,
            node,
            PublishEvent::Asked {
                subscriber,
                pattern: pattern.clone(),
            },
        ));
        story.push(news(2, node, PublishEvent::Subscribed { subscriber, pattern }));
    }
    story
}

#[test]
fn a_second_copy_is_a_breach() {
    let mut story = subscribed();
    story.extend([
        begun(3, 1, Confirm::None),
        got(4, 1, 1),
        got(4, 1, 2),
        got(5, 2, 2),
    ]);
    holds(OneCopy::default(), &story);
    story.push(got(6, 1, 2));
    assert!(broken(OneCopy::default(), &story).text.contains("twice"));
}

#[test]
fn one_frame_goes_to_a_node_unless_it_is_tried_again() {
    let mut story = subscribed();
    story.extend([begun(3, 1, Confirm::None), passed(4, 1, 2)]);
    let again = news(5, 9, PublishEvent::Again { publish: request(1) });
    let mut twice = story.clone();
    twice.push(passed(6, 1, 2));
    broken(OneCopy::default(), &twice);
    story.extend([again, passed(6, 1, 2), got(7, 1, 2)]);
    holds(OneCopy::default(), &story);
    story.push(passed(8, 1, 3));
    let text = broken(OneCopy::default(), &story).text;
    assert!(text.contains("no subscriber"), "{text}");
}

/// A node may follow the registry before it tells of it, and one that lags behind tells late of an owner that was.
#[test]
fn a_frame_without_a_subscriber_is_found_after_a_failover_too() {
    let after = |told: &[Event]| {
        let published = [begun(6, 1, Confirm::None), got(7, 1, 2), passed(8, 2, 3)];
        [&subscribed()[..], told, &published].concat()
    };
    let early = [above(4, 3, Some(2), 2), granted(5, 3, 2, 2)];
    broken(OneCopy::default(), &after(&early));
    let late = [granted(4, 1, 2, 2), granted(4, 3, 1, 1), above(5, 3, Some(2), 2)];
    broken(OneCopy::default(), &after(&late));
    // With a proxy anybody may pass anything on; so it is where nobody said who the owner is, as before format 6.
    holds(OneCopy::default(), &after(&[above(4, 3, Some(1), 2)]));
    let (node, owner) = (Some(NodeId(2)), None);
    let unsaid = news(4, 3, PublishEvent::Above { node, owner });
    holds(OneCopy::default(), &after(&[unsaid]));
}

#[test]
fn what_a_killed_node_asked_for_last_may_not_have_been_told() {
    let mut story = subscribed();
    story.extend([
        begun(3, 1, Confirm::None),
        at(4, 3, What::Ended { graceful: false }),
    ]);
    holds(
        OneCopy::default(),
        &[story.clone(), vec![got(4, 1, 1), passed(5, 1, 3)]].concat(),
    );
    let incarnation = squall_kernel::id::Incarnation(9);
    story.extend([at(5, 3, What::Started { incarnation }), passed(6, 1, 3)]);
    broken(OneCopy::default(), &story);
}

#[test]
fn an_id_is_taken_once_as_long_as_owners_tell_each_other() {
    let own = |epoch| {
        let (exchange, epoch) = (ExchangeId(1), Epoch(epoch));
        at(10, epoch.0, What::Own { exchange, epoch })
    };
    let knows = |epoch| news(10, epoch, PublishEvent::Remembers { epoch: Epoch(epoch) });
    let first = || vec![got(0, 7, 1), own(1), taken(1, 1, false)];
    let story = |more: &[Event]| [first(), more.to_vec()].concat();
    broken(OneCopy::default(), &story(&[taken(2, 1, false)]));
    holds(
        OneCopy::default(),
        &story(&[taken(2, 1, true), taken(1_100, 1, false)]),
    );
    broken(
        OneCopy::default(),
        &story(&[own(2), knows(2), taken(20, 2, false)]),
    );
    holds(OneCopy::default(), &story(&[own(2), taken(20, 2, false)]));
    holds(
        OneCopy::default(),
        &story(&[own(2), own(3), knows(3), taken(20, 3, false)]),
    );
}

fn taken_as(ms: u64, id: String) -> Event {
    let what = PublishEvent::Taken {
        publish: request(1),
        epoch: Epoch(1),
        id: Some((id, Span::from_ms(1_000))),
        known: false,
    };
    news(ms, 1, what)
}

/// As many ids as an owner remembers, from that time on.
fn many_ids(ms: u64) -> impl Iterator<Item = Event> {
    (0..DEDUP_IDS_MAX).map(move |n| taken_as(ms, format!("{ms} {n}")))
}

#[test]
fn ids_are_judged_for_as_long_as_a_run_lasts() {
    let mut story = vec![got(0, 7, 1)];
    story.extend(many_ids(1));
    story.push(taken(2_000, 1, false));
    holds(OneCopy::default(), &story);
    story.push(taken(2_001, 1, false));
    broken(OneCopy::default(), &story);
}

#[test]
fn an_owner_that_has_more_ids_than_it_remembers_may_take_one_again() {
    let mut story = vec![got(0, 7, 1), taken(1, 1, false)];
    story.extend(many_ids(2).take(DEDUP_IDS_MAX - 1));
    let mut all = story.clone();
    all.push(taken(3, 1, false));
    broken(OneCopy::default(), &all);
    story.extend([taken_as(3, "one more".to_owned()), taken(3, 1, false)]);
    holds(OneCopy::default(), &story);
    // When they have had their time, each is judged again.
    story.extend([taken(2_000, 1, false), taken(2_001, 1, false)]);
    broken(OneCopy::default(), &story);
}

#[test]
fn with_an_exchange_its_ids_are_forgotten() {
    let exchange = ExchangeId(1);
    let mut check = OneCopy::default();
    for event in [taken(1, 1, false), at(2, 1, What::Deleted { exchange })] {
        assert_eq!(check.see(&event), Ok(()));
    }
    assert!(check.ids.is_empty());
}

#[test]
fn without_publishes_nothing_is_said() {
    unknown(OneCopy::default(), &subscribed());
}

fn confirmed(ms: u64, known: bool) -> Event {
    let publish = request(1);
    news(ms, 9, PublishEvent::Confirmed { publish, known })
}

#[test]
fn what_is_confirmed_as_received_is_with_all_who_were_told_before_that_they_get_it() {
    let story = |more: &[Event]| {
        let mut story = subscribed();
        story.extend([begun(3, 1, Confirm::Received), got(4, 1, 1)]);
        story.extend(more.iter().cloned());
        story.push(confirmed(6, false));
        story
    };
    let text = broken(OneCopy::default(), &story(&[])).text;
    assert!(text.contains("has not got it"), "{text}");
    holds(OneCopy::default(), &story(&[got(5, 1, 2)]));
    // Told after the publish had begun.
    let late = PublishEvent::Subscribed {
        subscriber: handler(3),
        pattern: "#".to_owned(),
    };
    holds(OneCopy::default(), &story(&[got(5, 1, 2), news(5, 3, late)]));
    // The publisher waited for less, or was told that the id is known.
    let mut less = subscribed();
    less.extend([begun(3, 1, Confirm::Accepted), got(4, 1, 1), confirmed(6, false)]);
    holds(OneCopy::default(), &less);
    let mut known = subscribed();
    known.extend([begun(3, 1, Confirm::Received), got(4, 1, 1), confirmed(6, true)]);
    holds(OneCopy::default(), &known);
}

/// With many subscribers copies are many more than publishes: a confirm that comes late is judged by all of its own.
#[test]
fn who_has_a_publish_is_known_until_it_is_confirmed() {
    let mut story = subscribed();
    story.extend([begun(3, 1, Confirm::Received), got(4, 1, 1), got(4, 1, 2)]);
    let others = 2..2 + REQUESTS_REMEMBERED as u64;
    story.extend(others.map(|n| got(5, n, 2)));
    story.push(confirmed(6, false));
    holds(OneCopy::default(), &story);
}

#[test]
fn nothing_is_promised_on_nodes_that_end_or_are_held_for_lost() {
    let lost = |ms| {
        let (lost, before) = (NodeId(2), squall_kernel::id::Boot(2));
        at(ms, 1, What::Lost { lost, before })
    };
    let up = |ms| at(ms, 1, What::Up { node: NodeId(2) });
    let told = |ms| {
        let (subscriber, pattern) = (handler(2), "#".to_owned());
        news(ms, 2, PublishEvent::Subscribed { subscriber, pattern })
    };
    let published = || {
        [
            begun(10, 1, Confirm::Received),
            got(11, 1, 1),
            confirmed(12, false),
        ]
    };
    let story = |before: &[Event]| [subscribed(), before.to_vec(), published().to_vec()].concat();
    broken(OneCopy::default(), &story(&[]));
    holds(
        OneCopy::default(),
        &story(&[at(3, 2, What::Ended { graceful: false })]),
    );
    holds(OneCopy::default(), &story(&[lost(3)]));
    holds(OneCopy::default(), &story(&[lost(3), told(4)]));
    broken(OneCopy::default(), &story(&[lost(3), up(4), told(5)]));
    // It was held for lost, and is up again, before it has heard of either.
    let behind = [applied(3, 1, 5, 1), lost(3), up(4), told(5)];
    holds(OneCopy::default(), &story(&behind));
    let caught_up = [applied(3, 1, 5, 1), lost(3), up(4), applied(4, 2, 6, 2), told(5)];
    broken(OneCopy::default(), &story(&caught_up));
    let unheard = PublishEvent::Unheard {
        nodes: vec![NodeId(2)],
    };
    holds(OneCopy::default(), &story(&[news(3, 1, unheard.clone())]));
    holds(
        OneCopy::default(),
        &story(&[news(3, 1, unheard.clone()), told(4)]),
    );
    broken(
        OneCopy::default(),
        &story(&[news(3, 1, unheard), above(4, 2, Some(1), 1), told(5)]),
    );
}

fn handed(ms: u64, n: u64, by: u64) -> Event {
    let (publish, handler) = (request(n), handler(by));
    news(ms, by, PublishEvent::Handed { publish, handler })
}

fn begun_to_one(ms: u64, n: u64, confirm: Confirm) -> Event {
    let (publish, publisher, key) = (request(n), handler(9), "k".to_owned());
    let what = PublishEvent::Begun {
        publish,
        publisher,
        key,
        confirm,
        to_one: true,
    };
    news(ms, 9, what)
}

#[test]
fn a_publish_for_one_handler_goes_to_no_other_one_and_is_with_it_when_received() {
    let confirmed = |ms| {
        let (publish, known) = (request(1), false);
        news(ms, 9, PublishEvent::Confirmed { publish, known })
    };
    let begun = begun_to_one(1, 1, Confirm::Received);
    let good = [begun.clone(), handed(2, 1, 1), confirmed(3)];
    holds(OneCopy::default(), &good);
    let twice = [begun.clone(), handed(2, 1, 1), handed(3, 1, 2)];
    let text = broken(OneCopy::default(), &twice).text;
    assert!(text.contains("<1.1:1> and <2.1:1> have it"), "{text}");
    let untrue = [begun, confirmed(3)];
    let text = broken(OneCopy::default(), &untrue).text;
    assert!(text.ends_with("no handler has it"), "{text}");
    // Nothing is said about a handler where only the owner was waited for.
    let accepted = [
        begun_to_one(1, 1, Confirm::Accepted),
        confirmed(2),
        handed(3, 1, 1),
    ];
    holds(OneCopy::default(), &accepted);
}

/// A node is killed with its last lines unwritten: its history ends before it has the publish, and perhaps before that began.
#[test]
fn what_a_killed_handlers_node_has_may_not_have_been_told() {
    let confirmed = confirmed(6, false);
    let begun = begun_to_one(3, 1, Confirm::Received);
    let story = |events: &[Event]| [events, std::slice::from_ref(&confirmed)].concat();
    let (to_two, to_three) = (routed(4, 1, "", 2), routed(4, 1, "", 3));
    broken(OneCopy::default(), &story(&[begun.clone(), to_two.clone()]));
    let open = [got(0, 7, 1), begun.clone(), to_two.clone(), ended(5, 2)];
    holds(OneCopy::default(), &story(&open));
    let before = [got(0, 7, 1), ended(2, 2), begun.clone(), to_two.clone()];
    holds(OneCopy::default(), &story(&before));
    let followed = [
        got(0, 7, 1),
        ended(2, 2),
        begun.clone(),
        to_two.clone(),
        started(5, 2),
    ];
    holds(OneCopy::default(), &story(&followed));
    // The next run tells what it has, and another node's end hides nothing.
    broken(
        OneCopy::default(),
        &story(&[ended(1, 2), started(2, 2), begun.clone(), to_two.clone()]),
    );
    broken(
        OneCopy::default(),
        &story(&[ended(2, 2), begun.clone(), to_three.clone()]),
    );
    // An owner that told nothing, or nothing since it is tried again, may have passed it on to itself.
    holds(
        OneCopy::default(),
        &story(&[got(0, 7, 1), ended(2, 4), begun.clone()]),
    );
    let again = news(5, 9, PublishEvent::Again { publish: request(1) });
    let elsewhere = [got(0, 7, 1), ended(2, 4), begun, to_three, again];
    holds(OneCopy::default(), &story(&elsewhere));
}

#[test]
fn an_id_that_was_given_up_is_new_again() {
    let given_up = news(2, 1, PublishEvent::GivenUp { id: "a 1".to_owned() });
    let again = [
        begun_to_one(0, 1, Confirm::None),
        handed(1, 1, 1),
        taken(1, 1, false),
    ];
    let mut story = again.to_vec();
    story.push(taken(3, 1, false));
    broken(OneCopy::default(), &story);
    story.insert(3, given_up);
    holds(OneCopy::default(), &story);
}
