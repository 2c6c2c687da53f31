//! Tests of the core: exact effects of single steps, and the dance of three cores over a perfect wire.

use alloc::string::String;
use alloc::vec;

use alloc::collections::BTreeSet;

use super::*;
use crate::id::{Boot, ClusterId, ExchangeName, Incarnation, NodeName, Term};
use crate::limits::DRIFT_PPM;
use crate::profile::Profile;
use crate::registry::{Outcome, Pattern, Strategy};

pub(super) fn introduction(id: u64) -> Introduction {
    let name = ["a", "b", "c", "d", "e"][usize::try_from(id - 1).expect("few nodes")];
    Introduction {
        id: NodeId(id),
        name: NodeName::new(name).expect("a good name"),
        incarnation: Incarnation(10),
        boot: Boot(1),
        mesh_addr: String::new(),
        grpc_addr: String::new(),
        functions: Vec::new(),
        zone: None,
    }
}

/// Three cores, one log, messages that arrive at once unless a node is dead.
pub(super) struct Cluster {
    pub(super) now: Instant,
    /// What does not arrive.
    pub(super) swallows: fn(NodeId, NodeId, &PeerMessage) -> bool,
    pub(super) cores: BTreeMap<NodeId, NodeCore>,
    pub(super) registry: Registry,
    pub(super) dead: BTreeSet<NodeId>,
    /// Effects that are for the shell, as (node, effect).
    pub(super) seen: Vec<(NodeId, CoreEffect)>,
}

impl Cluster {
    pub(super) fn new(n: u64) -> Self {
        let mut registry = Registry::default();
        registry.apply(
            Revision(1),
            &Command::Found {
                cluster: ClusterId(1),
                profile: Profile::Lan,
            },
        );
        for id in 1..=n {
            registry.apply(Revision(1 + id), &Command::NodeUp(introduction(id)));
        }
        let config = |id| CoreConfig {
            me: introduction(id),
            profile: Profile::Lan,
        };
        let cores = (1..=n)
            .map(|id| (NodeId(id), NodeCore::new(Instant(0), &config(id))))
            .collect();
        let mut cluster = Self {
            now: Instant(0),
            swallows: |_, _, _| false,
            cores,
            registry,
            dead: BTreeSet::new(),
            seen: Vec::new(),
        };
        cluster.publish();
        cluster.lead(1);
        for from in 1..=n {
            for to in (1..=n).filter(|to| *to != from) {
                cluster.input(NodeId(from), &CoreInput::Connected { node: NodeId(to) });
            }
        }
        cluster
    }

    pub(super) fn lead(&mut self, leader: u64) {
        let voters: BTreeSet<NodeId> = self.cores.keys().copied().collect();
        for id in self.cores.keys().copied().collect::<Vec<_>>() {
            let leads = id == NodeId(leader);
            let meta = MetaView {
                term: Term(leader),
                voters: voters.clone().into(),
                leads,
                quorum: leads,
            };
            self.input(id, &CoreInput::Meta(meta));
        }
    }

    pub(super) fn publish(&mut self) {
        let registry = Arc::new(self.registry.clone());
        for id in self.cores.keys().copied().collect::<Vec<_>>() {
            self.input(id, &CoreInput::Registry(Arc::clone(&registry)));
        }
    }

    pub(super) fn propose(&mut self, command: &Command) -> Outcome {
        let outcome = self
            .registry
            .apply(Revision(self.registry.revision.0 + 1), command);
        self.publish();
        outcome
    }

    pub(super) fn declare(&mut self, owner: &str) {
        self.propose(&Command::Declare {
            name: ExchangeName::new("x").expect("a good name"),
            pattern: Pattern::RequestResponse,
            strategy: Strategy::RoundRobin,
            function: None,
            settings: crate::registry::Settings::default(),
            failover: vec![NodeName::new(owner).expect("a good name")],
            takeover: None,
        });
    }

    pub(super) fn input(&mut self, id: NodeId, input: &CoreInput) {
        if self.dead.contains(&id) {
            return;
        }
        let mut out = Vec::new();
        self.cores
            .get_mut(&id)
            .expect("a core")
            .step(self.now, input, &mut out);
        for effect in out {
            match effect {
                CoreEffect::Send { to, message } if (self.swallows)(id, to, &message) => {}
                CoreEffect::Send { to, message } => self.input(to, &CoreInput::Message { from: id, message }),
                CoreEffect::Propose(command) => {
                    self.seen.push((id, CoreEffect::Propose(command.clone())));
                    self.propose(&command);
                }
                other => self.seen.push((id, other)),
            }
        }
    }

    /// Ticks every core whenever it wants to, for `span`.
    pub(super) fn run(&mut self, span: Span) {
        let end = self.now + span;
        while self.now < end {
            let next = self.cores.iter().filter(|(id, _)| !self.dead.contains(id));
            let next = next.map(|(_, c)| c.next_timeout()).min().expect("a live core");
            self.now = next.max(self.now + Span(1)).min(end);
            for id in self.cores.keys().copied().collect::<Vec<_>>() {
                if self.cores[&id].next_timeout() <= self.now {
                    let due = self.now;
                    self.input(id, &CoreInput::Tick { due });
                }
            }
        }
    }

    pub(super) fn kill(&mut self, id: u64) {
        self.dead.insert(NodeId(id));
        for other in self
            .cores
            .keys()
            .copied()
            .filter(|o| *o != NodeId(id))
            .collect::<Vec<_>>()
        {
            self.input(other, &CoreInput::Broken { node: NodeId(id) });
        }
    }

    pub(super) fn holds_lease(&self, id: u64) -> bool {
        self.cores[&NodeId(id)].lease_until() > self.now
    }

    pub(super) fn take_seen(&mut self) -> Vec<(NodeId, CoreEffect)> {
        let mut seen = core::mem::take(&mut self.seen);
        seen.retain(|(_, e)| !matches!(e, CoreEffect::Lease { .. }));
        seen
    }
}

#[test]
fn every_node_gets_a_lease_and_keeps_it_while_all_is_well() {
    let mut cluster = Cluster::new(3);
    cluster.run(Span::from_ms(1000));
    assert!((1..=3).all(|id| cluster.holds_lease(id)));
    cluster.run(Span::from_ms(5000));
    assert_eq!(cluster.take_seen(), [], "nobody is suspected, nothing is lost");
}

#[test]
fn a_single_node_promises_to_itself() {
    let mut cluster = Cluster::new(1);
    cluster.run(Span::from_ms(400));
    assert!(cluster.holds_lease(1));
}

#[test]
fn a_killed_owner_is_declared_lost_only_when_its_promises_have_run_out() {
    let mut cluster = Cluster::new(3);
    cluster.declare("b");
    cluster.run(Span::from_ms(1000));
    cluster.take_seen();
    let lease_end = cluster.cores[&NodeId(2)].lease_until();
    cluster.kill(2);
    assert!(
        cluster
            .seen
            .iter()
            .all(|(_, e)| !matches!(e, CoreEffect::Propose(_))),
        "not at once"
    );
    cluster.run(Span::from_ms(200));
    let tenure = Tenure(1);
    let lost = Command::NodeLost {
        node: NodeId(2),
        tenure,
        reason: Lost::Silent,
    };
    assert_eq!(
        cluster.take_seen(),
        [
            (
                NodeId(1),
                CoreEffect::Suspect {
                    node: NodeId(2),
                    suspect: true
                }
            ),
            (
                NodeId(3),
                CoreEffect::Suspect {
                    node: NodeId(2),
                    suspect: true
                }
            ),
            (NodeId(1), CoreEffect::Propose(lost)),
            (
                NodeId(1),
                CoreEffect::Own {
                    exchange: ExchangeId(1),
                    epoch: Epoch(2)
                }
            ),
        ]
    );
    assert!(cluster.now > lease_end);
}

#[test]
fn the_new_owner_starts_after_the_old_ones_lease_even_in_the_worst_case() {
    let mut cluster = Cluster::new(3);
    cluster.declare("b");
    cluster.run(Span::from_ms(1000));
    let lease_end = cluster.cores[&NodeId(2)].lease_until();
    cluster.kill(2);
    while cluster.registry.exchanges[&ExchangeId(1)].owner == Some(NodeId(2)) {
        cluster.run(Span(500));
    }
    assert!(
        cluster.now > lease_end,
        "{} is not after {lease_end}",
        cluster.now
    );
    let bound = Profile::Lan.times().promise.lengthened(2 * DRIFT_PPM);
    assert!(cluster.now <= lease_end + bound, "the wait is bounded");
}

#[test]
fn a_peer_that_comes_back_before_it_is_lost_gets_a_new_tenure_and_keeps_its_exchanges() {
    let mut cluster = Cluster::new(3);
    cluster.declare("b");
    cluster.run(Span::from_ms(1000));
    for id in [1, 3] {
        cluster.input(NodeId(id), &CoreInput::Broken { node: NodeId(2) });
    }
    cluster.input(NodeId(1), &CoreInput::Connected { node: NodeId(2) });
    cluster.input(NodeId(3), &CoreInput::Connected { node: NodeId(2) });
    cluster.run(Span::from_ms(300));
    let record = &cluster.registry.nodes[&NodeId(2)];
    assert_eq!((record.is_up(), record.tenure), (true, Tenure(2)));
    assert_eq!(cluster.registry.exchanges[&ExchangeId(1)].epoch, Epoch(1));
    assert!(
        cluster.holds_lease(2),
        "voters promise again under the new tenure"
    );
}

#[test]
fn a_node_that_lost_everybody_loses_its_lease_and_says_so() {
    let mut cluster = Cluster::new(3);
    cluster.run(Span::from_ms(1000));
    cluster.take_seen();
    cluster.dead.extend([NodeId(1), NodeId(3)]);
    cluster.run(Span::from_ms(400));
    assert!(!cluster.holds_lease(2));
    assert!(!cluster.cores[&NodeId(2)].sees_quorum());
    assert!(cluster.take_seen().contains(&(NodeId(2), CoreEffect::LeaseLost)));
}

#[test]
fn nobody_is_called_isolated_while_all_have_just_started() {
    let mut cluster = Cluster::new(3);
    let times = Profile::Lan.times();
    // Promises of voters that are let in late are late.
    cluster.swallows = |_, _, message| matches!(message, PeerMessage::HeartbeatAck { .. });
    cluster.run(Span(3 * times.silence.0));
    let isolated = |seen: &[(NodeId, CoreEffect)]| {
        let said =
            |effect: &CoreEffect| matches!(effect, CoreEffect::Isolated { .. } | CoreEffect::HandOver { .. });
        seen.iter().any(|(_, effect)| said(effect))
    };
    assert!(!isolated(&cluster.take_seen()));
    cluster.run(Span(3 * times.silence.0));
    assert!(isolated(&cluster.take_seen()), "that is not how long it takes");
}

#[test]
fn two_that_are_connected_hear_each_other_though_neither_knows_of_the_other() {
    let mut cluster = Cluster::new(3);
    let registry_of = |ids: &[u64]| {
        let mut registry = Registry::default();
        let (cluster, profile) = (ClusterId(1), Profile::Lan);
        registry.apply(Revision(1), &Command::Found { cluster, profile });
        for (revision, id) in (2..).zip(ids) {
            registry.apply(Revision(revision), &Command::NodeUp(introduction(*id)));
        }
        CoreInput::Registry(Arc::new(registry))
    };
    // The leader was let in after the last entry that the third has, and the third not yet.
    cluster.input(NodeId(1), &registry_of(&[2, 1]));
    cluster.input(NodeId(2), &registry_of(&[2, 1]));
    cluster.input(NodeId(3), &registry_of(&[2]));
    cluster.run(Span(4 * Profile::Lan.times().silence.0));
    assert!(cluster.cores[&NodeId(1)].is_alive(NodeId(3)));
    assert!(cluster.cores[&NodeId(3)].is_alive(NodeId(1)));
    cluster.kill(3);
    assert!(!cluster.cores[&NodeId(1)].is_alive(NodeId(3)));
    cluster.input(NodeId(1), &registry_of(&[2, 1]));
    assert!(!cluster.cores[&NodeId(1)].is_alive(NodeId(3)), "forgotten");
}

#[test]
fn a_meta_leader_that_leaves_hands_over_to_one_that_stays() {
    let mut cluster = Cluster::new(3);
    cluster.run(Span::from_ms(1000));
    cluster.take_seen();
    for name in ["b", "a"] {
        let node = NodeName::new(name).expect("a good name");
        cluster.propose(&Command::Drain { node, leave: true });
    }
    cluster.run(Profile::Lan.times().silence);
    let handed: Vec<(NodeId, CoreEffect)> = cluster
        .take_seen()
        .into_iter()
        .filter(|(_, effect)| matches!(effect, CoreEffect::HandOver { .. }))
        .collect();
    assert_eq!(
        handed,
        [(NodeId(1), CoreEffect::HandOver { to: NodeId(3) })],
        "once"
    );
}

#[test]
fn a_node_that_was_removed_while_it_was_cut_off_hears_it_from_the_others() {
    let mut cluster = Cluster::new(3);
    cluster.run(Span::from_ms(1000));
    cluster.kill(2);
    cluster.run(Span::from_ms(1000));
    let name = NodeName::new("b").expect("a good name");
    let removed = Command::RemoveNode { node: name };
    assert_eq!(cluster.propose(&removed), Outcome::Done);
    // The log does not go to it any more; what it knows is of the time before.
    cluster.dead.clear();
    cluster.take_seen();
    let times = Profile::Lan.times();
    cluster.run(times.silence);
    assert!(!cluster.take_seen().contains(&(NodeId(2), CoreEffect::Rejoin)));
    cluster.run(Span(3 * times.silence.0));
    let asked = cluster.take_seen();
    let rejoins = asked.iter().filter(|(_, effect)| *effect == CoreEffect::Rejoin);
    assert!((1..=2).contains(&rejoins.count()), "{asked:?}");
    assert!(!cluster.holds_lease(2));
    assert_eq!(cluster.propose(&Command::NodeUp(introduction(2))), Outcome::Done);
    cluster.run(Span::from_ms(200));
    assert!(cluster.holds_lease(2));
}

#[test]
fn a_paused_node_that_was_lost_asks_to_be_let_in_again() {
    let mut cluster = Cluster::new(3);
    cluster.declare("b");
    cluster.run(Span::from_ms(1000));
    cluster.kill(2);
    cluster.run(Span::from_ms(300));
    cluster.dead.clear();
    cluster.take_seen();
    cluster.publish();
    cluster.run(Span::from_ms(200));
    assert!(cluster.take_seen().contains(&(NodeId(2), CoreEffect::Rejoin)));
    assert!(!cluster.holds_lease(2), "the voters do not promise to the lost");
    assert_eq!(cluster.propose(&Command::NodeUp(introduction(2))), Outcome::Done);
    cluster.run(Span::from_ms(200));
    assert!(cluster.holds_lease(2));
    assert_eq!(
        cluster.registry.exchanges[&ExchangeId(1)].owner,
        Some(NodeId(1)),
        "what moved stays"
    );
}

#[test]
fn a_goodbye_needs_no_waiting() {
    let mut cluster = Cluster::new(3);
    cluster.declare("b");
    cluster.run(Span::from_ms(1000));
    cluster.dead.insert(NodeId(2));
    let message = PeerMessage::Goodbye { tenure: Tenure(1) };
    cluster.input(
        NodeId(1),
        &CoreInput::Message {
            from: NodeId(2),
            message,
        },
    );
    assert_eq!(cluster.registry.exchanges[&ExchangeId(1)].owner, Some(NodeId(1)));
}

#[test]
fn a_node_whose_own_timers_are_late_accuses_nobody_and_starts_no_election() {
    let mut cluster = Cluster::new(3);
    cluster.run(Span::from_ms(1000));
    cluster.take_seen();
    let due = cluster.now;
    cluster.now = cluster.now + Span::from_ms(400);
    cluster.input(NodeId(1), &CoreInput::Tick { due });
    let mine = |seen: Vec<(NodeId, CoreEffect)>| -> Vec<CoreEffect> {
        seen.into_iter()
            .filter(|(id, _)| *id == NodeId(1))
            .map(|(_, e)| e)
            .collect()
    };
    let effects = mine(cluster.take_seen());
    assert!(
        effects.contains(&CoreEffect::Elections { allowed: false }),
        "{effects:?}"
    );
    assert!(
        !effects
            .iter()
            .any(|e| matches!(e, CoreEffect::Suspect { suspect: true, .. })),
        "{effects:?}"
    );
    cluster.run(Span::from_ms(600));
    assert!(mine(cluster.take_seen()).contains(&CoreEffect::Elections { allowed: true }));
}

#[test]
fn a_leader_without_quorum_declares_nobody_lost() {
    let mut cluster = Cluster::new(3);
    cluster.run(Span::from_ms(1000));
    cluster.take_seen();
    let voters: BTreeSet<NodeId> = cluster.cores.keys().copied().collect();
    let meta = MetaView {
        term: Term(1),
        voters: voters.into(),
        leads: true,
        quorum: false,
    };
    cluster.input(NodeId(1), &CoreInput::Meta(meta));
    cluster.kill(2);
    cluster.run(Span::from_ms(1000));
    assert!(
        !cluster
            .take_seen()
            .iter()
            .any(|(_, e)| matches!(e, CoreEffect::Propose(_)))
    );
}

#[test]
fn the_same_inputs_give_the_same_effects() {
    let run = || {
        let mut cluster = Cluster::new(3);
        cluster.declare("b");
        cluster.run(Span::from_ms(700));
        cluster.kill(2);
        cluster.run(Span::from_ms(700));
        cluster.seen
    };
    assert_eq!(run(), run());
}
