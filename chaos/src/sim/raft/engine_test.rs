//! The log of a small cluster, with a network that only takes its time.

use squall_kernel::id::{Boot, ExchangeName, Incarnation, NodeName, Revision};
use squall_kernel::registry::{Pattern, Registry, Strategy};

use super::*;
use crate::sim::log::LogState;
use crate::sim::outcome::Digest;

const TRAVEL: Span = Span(700);
const SYNC: Spread = Spread {
    least: Span(100),
    more: Span(400),
    slow_per_mille: 0,
    slow: Span::ZERO,
};

pub(in crate::sim::raft) struct Cluster {
    pub(in crate::sim::raft) engine: Engine,
    pub(in crate::sim::raft) now: Instant,
    pub(in crate::sim::raft) travelling: BTreeMap<(Instant, u64), (NodeId, NodeId, PeerMessage)>,
    pub(in crate::sim::raft) sent: u64,
    pub(in crate::sim::raft) states: BTreeMap<NodeId, LogState>,
    pub(in crate::sim::raft) registries: BTreeMap<NodeId, Arc<Registry>>,
    pub(in crate::sim::raft) answers: BTreeMap<Ticket, ProposeResult>,
    pub(in crate::sim::raft) failed: BTreeMap<NodeId, String>,
    pub(in crate::sim::raft) cut: BTreeSet<NodeId>,
    /// Every step of any node's registry.
    pub(in crate::sim::raft) steps: BTreeMap<Revision, Command>,
    /// How much longer than `TRAVEL` a message may take.
    pub(in crate::sim::raft) jitter: Span,
    pub(in crate::sim::raft) draw: Rng,
    pub(in crate::sim::raft) trace: Digest,
}

pub(in crate::sim::raft) fn id(n: u64) -> NodeId {
    NodeId(n)
}

impl Cluster {
    pub(in crate::sim::raft) fn founded(seed: u64, voters: u64) -> Self {
        let mut engine = Engine::new(seed, Profile::Lan, SYNC);
        (1..=voters).for_each(|n| engine.start(id(n), 0, 1));
        let mut cluster = Self {
            engine,
            now: Instant(0),
            travelling: BTreeMap::new(),
            sent: 0,
            states: BTreeMap::new(),
            registries: BTreeMap::new(),
            answers: BTreeMap::new(),
            failed: BTreeMap::new(),
            cut: BTreeSet::new(),
            steps: BTreeMap::new(),
            jitter: Span::ZERO,
            draw: Rng::fork(seed, "network"),
            trace: Digest::default(),
        };
        cluster.until("all have started", |c| {
            c.states.len() == usize::try_from(voters).unwrap()
        });
        cluster.go(Span::from_ms(5));
        let all: BTreeSet<NodeId> = (1..=voters).map(id).collect();
        all.iter().for_each(|node| cluster.engine.found(*node, &all));
        cluster.until("it is founded", |c| {
            c.registries.len() == all.len() && c.registries.values().all(|r| r.cluster.is_some())
        });
        cluster
    }

    pub(in crate::sim::raft) fn step(&mut self, until: Instant) {
        let next = self
            .travelling
            .keys()
            .next()
            .map_or(until, |(at, _)| (*at).min(until));
        self.now = self.engine.run(next);
        for output in self.engine.outputs() {
            self.output(output);
        }
        while let Some(entry) = self.travelling.first_entry().filter(|e| e.key().0 <= self.now) {
            let (from, to, message) = entry.remove();
            if !self.cut.contains(&from) && !self.cut.contains(&to) {
                self.engine.message(to, from, message);
            }
        }
    }

    pub(in crate::sim::raft) fn output(&mut self, output: Output) {
        self.trace.display(&format!("{} {output:?}", self.now));
        match output {
            Output::Send { from, to, message } => {
                self.sent += 1;
                let arrives = self.now + TRAVEL + Span(self.draw.between(0, self.jitter.0));
                self.travelling.insert((arrives, self.sent), (from, to, message));
            }
            Output::State { node, state } => drop(self.states.insert(node, state)),
            Output::Registry {
                node,
                registry,
                command,
            } => {
                if let Some((revision, command)) = command {
                    let known = self.steps.entry(revision).or_insert_with(|| command.clone());
                    assert_eq!(*known, command, "two commands are revision {revision}");
                }
                self.registries.insert(node, registry);
            }
            Output::Answer { ticket, result, .. } => drop(self.answers.insert(ticket, result)),
            Output::TailLost { .. } => {}
            Output::Failed { node, why, .. } => drop(self.failed.insert(node, why)),
        }
    }

    pub(in crate::sim::raft) fn go(&mut self, span: Span) {
        let end = self.now + span;
        while self.now < end {
            self.step(end);
        }
    }

    pub(in crate::sim::raft) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = self.now + Span::from_ms(20_000);
        while !holds(self) {
            assert!(self.now < end, "never: {what}");
            self.step(end);
        }
    }

    pub(in crate::sim::raft) fn leader(&mut self) -> NodeId {
        let leads = |c: &Self| {
            c.states
                .iter()
                .find(|(_, s)| s.leads && s.quorum)
                .map(|(id, _)| *id)
        };
        self.until("somebody leads", |c| leads(c).is_some());
        leads(self).unwrap()
    }

    pub(in crate::sim::raft) fn declare(&mut self, ticket: Ticket, through: NodeId) {
        let command = Command::Declare {
            name: ExchangeName::new(&format!("x{ticket}")).unwrap(),
            pattern: Pattern::RequestResponse,
            strategy: Strategy::RoundRobin,
            function: None,
            settings: squall_kernel::registry::Settings::default(),
            failover: vec![],
            takeover: None,
        };
        self.engine.propose(through, ticket, command, None);
    }

    pub(in crate::sim::raft) fn committed(&mut self, ticket: Ticket) -> Revision {
        self.until("the command is answered", |c| c.answers.contains_key(&ticket));
        match self.answers.get(&ticket).unwrap() {
            ProposeResult::Committed { revision, .. } => *revision,
            other => panic!("not committed: {other:?}"),
        }
    }

    /// Proposes until it is committed: who says that it leads may not know better yet.
    pub(in crate::sim::raft) fn insist(&mut self, first: Ticket) -> Revision {
        (first..first + 50)
            .find_map(|ticket| {
                let leader = self.leader();
                self.declare(ticket, leader);
                self.until("the command is answered", |c| c.answers.contains_key(&ticket));
                match self.answers[&ticket] {
                    ProposeResult::Committed { revision, .. } => Some(revision),
                    _ => {
                        self.go(Span::from_ms(50));
                        None
                    }
                }
            })
            .expect("a connected majority commits")
    }

    pub(in crate::sim::raft) fn kill(&mut self, node: NodeId) {
        self.engine.end(node);
        self.states.remove(&node);
        self.registries.remove(&node);
    }
}

#[test]
fn three_found_a_cluster_and_agree_on_a_command() {
    let mut cluster = Cluster::founded(1, 3);
    let leader = cluster.leader();
    cluster.declare(1, leader);
    let revision = cluster.committed(1);
    cluster.until("all have it", |c| {
        c.registries.values().all(|r| r.revision >= revision)
    });
    let registries: BTreeSet<String> = cluster.registries.values().map(|r| format!("{r:?}")).collect();
    assert_eq!(registries.len(), 1);
}

#[test]
fn a_dead_leader_is_replaced_and_finds_everything_again() {
    let mut cluster = Cluster::founded(2, 3);
    let old = cluster.leader();
    cluster.declare(1, old);
    let revision = cluster.committed(1);
    cluster.kill(old);
    let new = cluster.leader();
    assert_ne!(new, old);
    cluster.declare(2, new);
    cluster.committed(2);
    cluster.engine.start(old, 0, 2);
    cluster.until("it is back", |c| {
        c.registries
            .get(&old)
            .is_some_and(|r| r.exchanges.len() == 2 && r.revision > revision)
    });
    assert!(cluster.failed.is_empty(), "{:?}", cluster.failed);
}

#[test]
fn a_paused_leader_finds_itself_deposed() {
    let mut cluster = Cluster::founded(3, 3);
    let old = cluster.leader();
    cluster.engine.pause(old, true);
    cluster.states.remove(&old);
    let new = cluster.leader();
    assert_ne!(new, old);
    cluster.engine.pause(old, false);
    cluster.until("it follows", |c| {
        c.states.get(&old).is_some_and(|s| s.leader == Some(new))
    });
}

#[test]
fn a_node_joins_as_a_learner_and_a_pair_is_promoted() {
    let mut cluster = Cluster::founded(4, 1);
    for n in [2, 3] {
        cluster.engine.start(id(n), 0, 1);
        cluster.until("it has started", |c| c.states.contains_key(&id(n)));
        cluster.go(Span::from_ms(5));
        let introduction = Introduction {
            id: id(n),
            name: NodeName::new(&format!("n{n}")).unwrap(),
            incarnation: Incarnation(1),
            boot: Boot(1),
            mesh_addr: format!("n{n}"),
            grpc_addr: String::new(),
            functions: Vec::new(),
            zone: None,
        };
        cluster.engine.admit(id(1), n, introduction);
        cluster.committed(n);
    }
    cluster.until("they hold the registry", |c| {
        c.registries.values().all(|r| r.nodes.len() == 2)
    });
    let heard = (1..=3).map(|n| (id(n), format!("n{n}"), true));
    cluster.engine.keep_voters(id(1), Roll::of_heard(heard));
    cluster.until("all vote", |c| {
        c.states
            .get(&id(3))
            .is_some_and(|s| s.voters.contains(id(3)) && s.voters.ids().len() == 3)
    });
}

#[test]
fn a_full_disk_fails_the_node_and_a_restart_mends_it() {
    let mut cluster = Cluster::founded(5, 3);
    let leader = cluster.leader();
    let other = id(leader.0 % 3 + 1);
    cluster.engine.set_full(other, true);
    cluster.declare(1, leader);
    cluster.committed(1);
    cluster.until("it fails", |c| c.failed.contains_key(&other));
    cluster.engine.end(other);
    cluster.engine.set_full(other, false);
    cluster.registries.remove(&other);
    cluster.engine.start(other, 0, 2);
    cluster.until("it is back", |c| {
        c.registries.get(&other).is_some_and(|r| r.exchanges.len() == 1)
    });
}

#[test]
fn a_slow_disk_delays_and_loses_nothing() {
    let mut cluster = Cluster::founded(6, 3);
    let leader = cluster.leader();
    (1..=3).for_each(|n| cluster.engine.set_slower(id(n), Span::from_ms(20)));
    let begun = cluster.now;
    cluster.declare(1, leader);
    cluster.committed(1);
    assert!(cluster.now.since(begun) >= Span::from_ms(20));
}

fn busy(seed: u64) -> u64 {
    let mut cluster = Cluster::founded(seed, 3);
    for round in 1..=5 {
        let leader = cluster.leader();
        cluster.declare(round, leader);
        cluster.go(Span::from_ms(100));
        cluster.kill(leader);
        cluster.go(Span::from_ms(500));
        cluster
            .engine
            .start(leader, 50, u32::try_from(round).unwrap() + 1);
        cluster.go(Span::from_ms(300));
    }
    cluster.trace.value()
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    assert_eq!(busy(7), busy(7));
    assert_ne!(busy(7), busy(8));
}
