//! Tests of I7 on made-up histories.

use squall_kernel::id::Epoch;
use squall_kernel::publishing::Confirm;
use squall_kernel::time::Span;

use super::super::story::{at, broken, granted, handler, holds, request, unknown};
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

/// Nodes 1 and 2 have a subscriber each; 1 owns the exchange.
fn subscribed() -> Vec<Event> {
    let mut story = vec![granted(0, 1, 1, 1)];
    for node in [1, 2] {
        let (subscriber, pattern) = (handler(node), "news.*".to_owned());
        let above = (node != 1).then_some(NodeId(1));
        story.push(news(1, node, PublishEvent::Above { node: above }));
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

#[test]
fn without_publishes_nothing_is_said() {
    unknown(OneCopy::default(), &subscribed());
}
