//! Tests of functions in the registry: what a declaration may say, and where such an exchange lives.

use alloc::vec;
use alloc::vec::Vec;

use super::super::tests::{Log, lost, name, node};
use super::*;
use crate::id::{Epoch, NodeId, NodeName};
use crate::registry::{Command, Outcome, Pattern};

fn function(text: &str) -> FunctionName {
    FunctionName::new(text).expect("a good name")
}

fn declare(strategy: Strategy, function: Option<RoutingFunction>) -> Command {
    Command::Declare {
        name: name("x"),
        pattern: Pattern::RequestResponse,
        strategy,
        function,
        settings: crate::registry::Settings::default(),
        failover: vec![NodeName::new("a").expect("a good name")],
        takeover: None,
    }
}

/// The node of that id, started anew with these functions.
fn node_with(id: u64, called: &str, incarnation: u64, functions: &[&str]) -> Command {
    let Command::NodeUp(mut introduction) = node(id, called, incarnation) else {
        panic!("a node comes up")
    };
    introduction.functions = functions.iter().map(|f| function(f)).collect();
    Command::NodeUp(introduction)
}

#[test]
fn a_function_comes_with_the_strategies_that_need_one_and_only_there() {
    let mut log = Log::of_three();
    for strategy in [Strategy::Fun, Strategy::StickyFun] {
        assert_eq!(
            log.run(&declare(strategy, None)),
            Outcome::Refused(Refused::Function(alloc::format!(
                "the strategy '{}' needs one",
                strategy.as_str()
            )))
        );
    }
    let script = Some(RoutingFunction::script("pick(0)"));
    assert_eq!(
        log.run(&declare(Strategy::Sticky, script.clone())),
        Outcome::Refused(Refused::Function("the strategy 'sticky' takes none".into()))
    );
    assert_eq!(log.run(&declare(Strategy::Fun, script)), Outcome::Done);
}

/// A7.
#[test]
fn declaring_again_with_another_function_says_which_it_has() {
    let mut log = Log::of_three();
    let script = RoutingFunction::script("pick(0)");
    assert_eq!(
        log.run(&declare(Strategy::Fun, Some(script.clone()))),
        Outcome::Done
    );
    assert_eq!(
        log.run(&declare(Strategy::Fun, Some(script.clone()))),
        Outcome::Unchanged
    );
    let Outcome::Refused(Refused::Differs { what, existing, .. }) =
        log.run(&declare(Strategy::Fun, Some(RoutingFunction::script("pick(1)"))))
    else {
        panic!("another script must be refused")
    };
    assert_eq!(
        (what.as_str(), existing),
        ("function", alloc::format!("{script}"))
    );
}

#[test]
fn a_script_that_is_too_long_or_whose_hash_lies_is_refused() {
    let mut log = Log::of_three();
    let long = "1".repeat(SCRIPT_BYTES_MAX + 1);
    assert!(matches!(
        log.run(&declare(Strategy::Fun, Some(RoutingFunction::script(&long)))),
        Outcome::Refused(Refused::Full { .. })
    ));
    let lie = RoutingFunction::Script {
        source: "pick(0)".into(),
        hash: 7,
    };
    assert!(matches!(
        log.run(&declare(Strategy::Fun, Some(lie))),
        Outcome::Refused(Refused::Function(_))
    ));
}

#[test]
fn an_exchange_lives_only_where_its_registered_function_is() {
    let mut log = Log::of_three();
    let geo = Some(RoutingFunction::Registered(function("geo")));
    log.run(&declare(Strategy::Fun, geo));
    assert_eq!(log.owner("x"), (None, Epoch(0)));
    let missing = |log: &Log| {
        let exchange = log.0.exchange(&name("x")).expect("declared");
        log.0.missing_function(exchange).cloned()
    };
    assert_eq!(missing(&log), Some(function("geo")));
    log.run(&node_with(2, "b", 11, &["geo", "other"]));
    assert_eq!(
        log.owner("x"),
        (Some(NodeId(2)), Epoch(1)),
        "the first of its list has no such function"
    );
    assert_eq!(missing(&log), None);
    let elsewhere = Command::Move {
        exchange: name("x"),
        to: Some(NodeName::new("c").expect("a good name")),
        epoch: None,
    };
    assert!(matches!(
        log.run(&elsewhere),
        Outcome::Refused(Refused::NotFit { why, .. }) if why == "without function geo"
    ));
    log.run(&lost(2, 2));
    assert_eq!(log.owner("x").0, None);
    log.run(&node_with(3, "c", 11, &["geo"]));
    assert_eq!(log.owner("x").0, Some(NodeId(3)));
}

#[test]
fn a_node_brings_a_bounded_number_of_functions() {
    let many: Vec<FunctionName> = (0..FUNCTIONS_PER_NODE_MAX + 9)
        .map(|n| function(&alloc::format!("f{n:04}")))
        .collect();
    assert_eq!(bounded(&many).len(), FUNCTIONS_PER_NODE_MAX);
    assert_eq!(bounded(&[function("b"), function("a"), function("b")]).len(), 2);
}
