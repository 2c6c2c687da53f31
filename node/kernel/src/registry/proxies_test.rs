//! Tests of proxies in the registry.

use super::super::tests::{Log, declare, lost, name};
use super::super::{Command, Outcome, Pattern, Refused, Settings, Strategy};
use crate::id::{NodeId, NodeName};

fn named(text: &str) -> NodeName {
    NodeName::new(text).expect("a good name")
}

fn set(exchange: &str, node: &str, on: bool) -> Command {
    Command::SetProxy {
        exchange: name(exchange),
        node: named(node),
        on,
    }
}

/// `news` is owned by node 1, of nodes a, b, c.
fn with_news() -> Log {
    let mut log = Log::of_three();
    let news = Command::Declare {
        name: name("news"),
        pattern: Pattern::PublishSubscribe,
        strategy: Strategy::Default,
        function: None,
        settings: Settings::default(),
        failover: alloc::vec![named("a")],
        takeover: None,
    };
    assert_eq!(log.run(&news), Outcome::Done);
    log
}

fn sources(log: &Log) -> alloc::vec::Vec<NodeId> {
    let record = log.0.exchange(&name("news")).expect("declared");
    log.0.sources(record).map(|node| node.id).collect()
}

/// A38.
#[test]
fn proxies_come_and_go_live_and_twice_is_once() {
    let mut log = with_news();
    assert_eq!(log.run(&set("news", "b", true)), Outcome::Done);
    assert_eq!(log.run(&set("news", "b", true)), Outcome::Unchanged);
    assert_eq!(sources(&log), [NodeId(2), NodeId(1)]);
    assert_eq!(log.run(&set("news", "b", false)), Outcome::Done);
    assert_eq!(log.run(&set("news", "b", false)), Outcome::Unchanged);
    assert_eq!(sources(&log), [NodeId(1)]);
}

#[test]
fn a_proxy_that_cannot_be_is_refused_in_words() {
    let mut log = with_news();
    log.run(&declare("orders", Strategy::RoundRobin, &[]));
    let refused = |log: &mut Log, command: &Command| match log.run(command) {
        Outcome::Refused(refused) => refused,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refused(&mut log, &set("orders", "b", true)),
        Refused::NoProxies {
            exchange: name("orders"),
            pattern: Pattern::RequestResponse
        }
    );
    assert!(matches!(
        refused(&mut log, &set("olds", "b", true)),
        Refused::UnknownExchange(_)
    ));
    assert!(matches!(
        refused(&mut log, &set("news", "z", true)),
        Refused::UnknownNodeName(_)
    ));
}

#[test]
fn a_proxy_that_is_down_serves_nobody_and_one_that_is_removed_is_none() {
    let mut log = with_news();
    log.run(&set("news", "b", true));
    log.run(&set("news", "a", true));
    assert_eq!(sources(&log), [NodeId(2), NodeId(1)], "the owner once");
    log.run(&lost(2, 1));
    assert_eq!(sources(&log), [NodeId(1)]);
    log.run(&Command::RemoveNode { node: named("b") });
    let record = log.0.exchange(&name("news")).expect("declared");
    assert_eq!(
        record.proxies.iter().collect::<alloc::vec::Vec<_>>(),
        [&NodeId(1)]
    );
}
