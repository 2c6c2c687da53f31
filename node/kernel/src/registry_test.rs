//! Tests of the registry: each is a log and what must have become of it.

use alloc::string::ToString;
use alloc::vec;

use super::*;
use crate::id::{Boot, Incarnation, LeaderEpoch};

pub(super) fn node(id: u64, name: &str, incarnation: u64) -> Command {
    Command::NodeUp(Introduction {
        id: NodeId(id),
        name: NodeName::new(name).expect("a good name"),
        incarnation: Incarnation(incarnation),
        boot: Boot(1),
        mesh_addr: alloc::format!("127.0.0.1:{}", 7400 + id),
        grpc_addr: alloc::format!("127.0.0.1:{}", 7500 + id),
        functions: Vec::new(),
        zone: None,
    })
}

pub(super) fn name(text: &str) -> ExchangeName {
    ExchangeName::new(text).expect("a good name")
}

pub(super) fn declare(exchange: &str, strategy: Strategy, failover: &[&str]) -> Command {
    Command::Declare {
        name: name(exchange),
        pattern: Pattern::RequestResponse,
        strategy,
        function: None,
        settings: crate::registry::Settings::default(),
        failover: failover
            .iter()
            .map(|n| NodeName::new(n).expect("a good name"))
            .collect(),
        takeover: None,
    }
}

pub(super) fn lost(id: u64, tenure: u64) -> Command {
    Command::NodeLost {
        node: NodeId(id),
        tenure: Tenure(tenure),
        reason: Lost::Silent,
    }
}

pub(super) struct Log(pub(super) Registry);

impl Log {
    pub(super) fn of_three() -> Self {
        let mut log = Self(Registry::default());
        log.run(&Command::Found {
            cluster: ClusterId(1),
            profile: Profile::Lan,
        });
        for (id, name) in [(1, "a"), (2, "b"), (3, "c")] {
            assert_eq!(log.run(&node(id, name, 10)), Outcome::Done);
        }
        log
    }

    pub(super) fn run(&mut self, command: &Command) -> Outcome {
        let at = Revision(self.0.revision.0 + 1);
        self.0.apply(at, command)
    }

    pub(super) fn owner(&self, exchange: &str) -> (Option<NodeId>, Epoch) {
        let record = self.0.exchange(&name(exchange)).expect("declared");
        (record.owner, record.epoch)
    }
}

#[test]
fn nothing_comes_before_the_founding_and_it_comes_once() {
    let mut log = Log(Registry::default());
    assert_eq!(log.run(&node(1, "a", 1)), Outcome::Refused(Refused::NotFounded));
    let found = Command::Found {
        cluster: ClusterId(9),
        profile: Profile::Slow,
    };
    assert_eq!(log.run(&found), Outcome::Done);
    assert_eq!(
        log.run(&found),
        Outcome::Refused(Refused::FoundedAlready(ClusterId(9)))
    );
    assert_eq!(log.0.revision, Revision(3));
}

#[test]
fn a_declared_exchange_goes_to_the_failover_list_then_to_the_least_loaded() {
    let mut log = Log::of_three();
    log.run(&declare("x", Strategy::RoundRobin, &["c", "b"]));
    log.run(&declare("y", Strategy::RoundRobin, &[]));
    log.run(&declare("z", Strategy::RoundRobin, &[]));
    assert_eq!(log.owner("x"), (Some(NodeId(3)), Epoch(1)));
    assert_eq!(log.owner("y"), (Some(NodeId(1)), Epoch(1)));
    assert_eq!(log.owner("z"), (Some(NodeId(2)), Epoch(1)));
}

#[test]
fn declaring_again_is_harmless_unless_it_differs() {
    let mut log = Log::of_three();
    assert_eq!(log.run(&declare("x", Strategy::Consensus, &[])), Outcome::Done);
    assert_eq!(
        log.run(&declare("x", Strategy::Consensus, &[])),
        Outcome::Unchanged
    );
    let Outcome::Refused(Refused::Differs {
        what,
        existing,
        wanted,
        ..
    }) = log.run(&declare("x", Strategy::Default, &[]))
    else {
        panic!("a different strategy must be refused")
    };
    assert_eq!(
        (what.as_str(), existing.as_str(), wanted.as_str()),
        ("strategy", "consensus", "default")
    );
}

#[test]
fn other_settings_and_a_strategy_without_a_meaning_are_refused_in_words() {
    let mut log = Log::of_three();
    let mails = |strategy, seconds: u64| Command::Declare {
        name: name("mails"),
        pattern: Pattern::Task,
        strategy,
        function: None,
        settings: Settings {
            ttl: Some(crate::time::Span::from_ms(seconds * 1000)),
            ..Settings::default()
        },
        failover: Vec::new(),
        takeover: None,
    };
    let Outcome::Refused(refused) = log.run(&mails(Strategy::RoundRobin, 3)) else {
        panic!("no strategy picks workers")
    };
    assert_eq!(
        refused.to_string(),
        "exchange 'mails' is to be task, where no strategy picks handlers: 'round-robin' has no meaning there"
    );
    assert_eq!(log.run(&mails(Strategy::Default, 3)), Outcome::Done);
    let Outcome::Refused(refused) = log.run(&mails(Strategy::Default, 5)) else {
        panic!("other settings must be refused")
    };
    assert_eq!(
        refused.to_string(),
        "exchange 'mails' is declared already with ttl '3s', not '5s'"
    );
}

#[test]
fn a_lost_node_loses_its_exchanges_under_a_new_epoch_and_only_once() {
    let mut log = Log::of_three();
    log.run(&declare("x", Strategy::RoundRobin, &["a", "b"]));
    assert_eq!(log.run(&lost(1, 1)), Outcome::Done);
    assert_eq!(log.owner("x"), (Some(NodeId(2)), Epoch(2)));
    assert_eq!(
        log.run(&lost(1, 1)),
        Outcome::Refused(Refused::Fenced { seen: 2 })
    );
    assert_eq!(log.run(&lost(1, 2)), Outcome::Unchanged);
    assert_eq!(log.owner("x"), (Some(NodeId(2)), Epoch(2)));
}

#[test]
fn renewing_a_tenure_voids_a_loss_that_comes_late_and_moves_nothing() {
    let mut log = Log::of_three();
    log.run(&declare("x", Strategy::RoundRobin, &["a"]));
    assert_eq!(
        log.run(&Command::RenewTenure {
            node: NodeId(1),
            tenure: Tenure(1)
        }),
        Outcome::Done
    );
    assert_eq!(
        log.run(&lost(1, 1)),
        Outcome::Refused(Refused::Fenced { seen: 2 })
    );
    assert_eq!(log.owner("x"), (Some(NodeId(1)), Epoch(1)));
}

#[test]
fn a_restarted_node_gets_its_exchanges_under_a_new_epoch() {
    let mut log = Log::of_three();
    log.run(&declare("x", Strategy::RoundRobin, &["a"]));
    assert_eq!(log.run(&node(1, "a", 10)), Outcome::Unchanged);
    assert_eq!(log.run(&node(1, "a", 11)), Outcome::Done);
    assert_eq!(log.owner("x"), (Some(NodeId(1)), Epoch(2)));
    assert_eq!(log.0.nodes[&NodeId(1)].tenure, Tenure(2));
    assert_eq!(
        log.run(&node(1, "a", 9)),
        Outcome::Refused(Refused::OldIncarnation {
            offered: Incarnation(9),
            seen: Incarnation(11)
        })
    );
}

#[test]
fn a_name_is_taken_over_only_from_a_node_that_is_down() {
    let mut log = Log::of_three();
    let wiped = node(9, "a", 20);
    assert_eq!(
        log.run(&wiped),
        Outcome::Refused(Refused::NameTaken(NodeName::new("a").expect("good")))
    );
    log.run(&lost(1, 1));
    assert_eq!(log.run(&wiped), Outcome::Done);
    assert!(!log.0.nodes.contains_key(&NodeId(1)), "the ghost is gone");
    // Should its data directory come back, it finds no tenure that was its own before.
    log.run(&lost(9, 3));
    log.run(&node(1, "a", 30));
    assert_eq!(log.0.nodes[&NodeId(1)].tenure, Tenure(5));
}

#[test]
fn with_every_node_lost_an_exchange_waits_and_the_first_one_back_gets_it() {
    let mut log = Log::of_three();
    log.run(&declare("x", Strategy::RoundRobin, &["a"]));
    for id in [1, 2, 3] {
        log.run(&lost(id, 1));
    }
    assert_eq!(log.owner("x"), (None, Epoch(3)));
    log.run(&node(3, "c", 11));
    assert_eq!(log.owner("x"), (Some(NodeId(3)), Epoch(4)));
}

#[test]
fn a_leader_is_appointed_only_under_the_current_epoch_and_each_has_a_higher_one() {
    let mut log = Log::of_three();
    log.run(&declare("x", Strategy::Consensus, &["a", "b"]));
    let pid = |n| Some(Pid::new(NodeId(2), Boot(1), n));
    let appoint = |epoch, leader| Command::AppointLeader {
        exchange: ExchangeId(1),
        epoch: Epoch(epoch),
        leader,
    };
    assert_eq!(log.run(&appoint(1, pid(5))), Outcome::Done);
    assert_eq!(log.run(&appoint(1, pid(5))), Outcome::Unchanged);
    assert_eq!(log.run(&appoint(1, None)), Outcome::Done);
    assert_eq!(log.run(&appoint(1, pid(6))), Outcome::Done);
    let leader = log
        .0
        .exchange(&name("x"))
        .and_then(|e| e.leader)
        .expect("appointed");
    assert_eq!(
        leader,
        LeaderRecord {
            pid: Pid::new(NodeId(2), Boot(1), 6),
            epoch: LeaderEpoch(2)
        }
    );
    log.run(&lost(1, 1));
    assert_eq!(
        log.run(&appoint(1, pid(7))),
        Outcome::Refused(Refused::Fenced { seen: 2 })
    );
    assert_eq!(
        log.0.exchange(&name("x")).and_then(|e| e.leader),
        Some(leader),
        "the leader stays over a failover"
    );
}

#[test]
fn a_deleted_exchange_is_gone_and_its_number_is_not_used_again() {
    let mut log = Log::of_three();
    log.run(&declare("x", Strategy::Default, &[]));
    assert_eq!(log.run(&Command::Delete { name: name("x") }), Outcome::Done);
    assert_eq!(
        log.run(&Command::Delete { name: name("x") }),
        Outcome::Refused(Refused::UnknownExchange("x".into()))
    );
    log.run(&declare("x", Strategy::Default, &[]));
    assert_eq!(log.0.exchange(&name("x")).map(|e| e.id), Some(ExchangeId(2)));
    assert_eq!(
        vec![ExchangeId(2)],
        log.0.exchanges.keys().copied().collect::<Vec<_>>()
    );
}

#[test]
fn an_exchange_declared_again_goes_on_above_every_epoch_that_was_given_out() {
    let mut log = Log::of_three();
    log.run(&declare("x", Strategy::Consensus, &["a"]));
    let appoint = |log: &mut Log, serial| {
        let (exchange, epoch) = log
            .0
            .exchange(&name("x"))
            .map(|e| (e.id, e.epoch))
            .expect("declared");
        let leader = Some(Pid::new(NodeId(1), Boot(1), serial));
        assert_eq!(
            log.run(&Command::AppointLeader {
                exchange,
                epoch,
                leader
            }),
            Outcome::Done
        );
    };
    (1..=5).for_each(|serial| appoint(&mut log, serial));
    let to = Some(NodeName::new("b").expect("a good name"));
    log.run(&Command::Move {
        exchange: name("x"),
        to,
        epoch: None,
    });
    let before = log.0.exchange(&name("x")).cloned().expect("declared");
    let promised = before.moving.expect("it moves").epoch;
    assert!(promised > before.epoch);
    log.run(&Command::Delete { name: name("x") });
    log.run(&declare("x", Strategy::Consensus, &["a"]));
    assert!(log.owner("x").1 > promised, "{:?}", log.owner("x"));
    appoint(&mut log, 6);
    let leader = log
        .0
        .exchange(&name("x"))
        .and_then(|e| e.leader)
        .expect("appointed");
    assert_eq!(
        leader.epoch,
        LeaderEpoch(6),
        "a token for the outside never goes back"
    );
    // The highest counts, not the latest: deleting a younger exchange takes nothing back.
    log.run(&declare("y", Strategy::Default, &[]));
    let used = log.0.epochs_used;
    log.run(&Command::Delete { name: name("y") });
    assert!(log.0.epochs_used.owner >= used.owner && log.0.epochs_used.leader == used.leader);
}

#[test]
fn a_recovery_gives_up_all_but_the_survivor_and_leaps_over_epochs_it_cannot_know() {
    let mut log = Log::of_three();
    for (exchange, owner) in [("orders", "b"), ("mail", "a")] {
        log.run(&declare(exchange, Strategy::Consensus, &[owner]));
    }
    let before = log.0.clone();
    let recover = Command::Recover {
        cluster: ClusterId(2),
        survivor: NodeId(1),
    };
    assert_eq!(log.run(&recover), Outcome::Done);
    let registry = &log.0;
    assert_eq!(registry.cluster, Some(ClusterId(2)));
    assert!(registry.nodes[&NodeId(1)].is_up());
    for id in [2, 3] {
        let node = &registry.nodes[&NodeId(id)];
        assert_eq!(node.life, NodeLife::Down(Lost::Recovered));
        assert!(node.tenure > before.nodes[&NodeId(id)].tenure);
    }
    for (id, exchange) in &registry.exchanges {
        assert_eq!(exchange.owner, Some(NodeId(1)));
        assert!(exchange.epoch.0 > before.exchanges[id].epoch.0 + limits::RECOVERY_EPOCHS);
        assert_eq!(exchange.leader, None);
    }
    assert_eq!(log.run(&recover), Outcome::Unchanged);
    let stranger = Command::Recover {
        cluster: ClusterId(3),
        survivor: NodeId(9),
    };
    assert_eq!(
        log.run(&stranger),
        Outcome::Refused(Refused::UnknownNode(NodeId(9)))
    );
    // The lost majority may have had exchanges that this registry never saw.
    log.run(&declare("new", Strategy::Consensus, &[]));
    assert!(log.owner("new").1.0 > limits::RECOVERY_EPOCHS);
}
