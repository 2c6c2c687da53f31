//! Random crashes, pauses, cuts, slow and full disks, for the log of a cluster alone.

use std::collections::{BTreeMap, BTreeSet};

use squall_kernel::id::NodeId;
use squall_kernel::message::ProposeResult;
use squall_kernel::registry::Command;
use squall_kernel::time::{Instant, Span};

use super::engine::tests::{Cluster, id};
use crate::sim::log::Log as _;
use crate::sim::rng::Rng;

/// Nodes that are dead, stand still, or have a full disk, and until when.
#[derive(Default)]
struct Storm {
    down: BTreeMap<NodeId, (Instant, u32)>,
    paused: BTreeMap<NodeId, Instant>,
    full: BTreeMap<NodeId, Instant>,
    runs: BTreeMap<NodeId, u32>,
}

impl Storm {
    fn blow(&mut self, cluster: &mut Cluster, rng: &mut Rng, nodes: u64) {
        let node = id(rng.between(1, nodes));
        let ends = cluster.now + rng.span(Span::from_ms(5), Span::from_ms(600));
        let up = !self.down.contains_key(&node) && !self.paused.contains_key(&node);
        match rng.below(9) {
            0..3 if up => {
                self.kill(cluster, node, ends);
            }
            3 if up => {
                cluster.engine.pause(node, true);
                self.paused.insert(node, ends);
            }
            4 if up => {
                cluster.engine.set_full(node, true);
                self.full.insert(node, ends);
            }
            5 => cluster.cut.clear(),
            6 => cluster
                .engine
                .set_slower(node, rng.span(Span(0), Span::from_ms(30))),
            _ => cluster.jitter = rng.span(Span(0), Span::from_ms(20)),
        }
    }

    fn kill(&mut self, cluster: &mut Cluster, node: NodeId, until: Instant) {
        cluster.kill(node);
        let run = self.runs.entry(node).or_insert(1);
        *run += 1;
        self.down.insert(node, (until, *run));
    }

    fn pass(&mut self, cluster: &mut Cluster) {
        let now = cluster.now;
        for node in self.full.keys().copied().collect::<Vec<_>>() {
            if cluster.failed.remove(&node).is_some() && !self.down.contains_key(&node) {
                self.paused.remove(&node);
                self.kill(cluster, node, self.full[&node]);
            }
        }
        for (node, _) in self.full.extract_if(.., |_, ends| *ends <= now) {
            cluster.engine.set_full(node, false);
        }
        for (node, (_, run)) in self.down.extract_if(.., |_, (ends, _)| *ends <= now) {
            cluster.engine.start(node, 0, run);
        }
        for (node, _) in self.paused.extract_if(.., |_, ends| *ends <= now) {
            cluster.engine.pause(node, false);
        }
    }

    fn calm(&mut self, cluster: &mut Cluster) {
        cluster.cut.clear();
        cluster.jitter = Span::ZERO;
        (1..=5).for_each(|n| cluster.engine.set_slower(id(n), Span::ZERO));
        cluster.go(Span::from_ms(700));
        self.pass(cluster);
        cluster.go(Span::from_ms(700));
        self.pass(cluster);
        assert!(self.down.is_empty() && self.paused.is_empty());
    }
}

/// Declares exchanges through whoever says that it leads, in a storm; what was acknowledged is there afterwards.
fn storm(seed: u64, nodes: u64) -> u64 {
    let mut cluster = Cluster::founded(seed, nodes);
    let (mut storm, mut rng) = (Storm::default(), Rng::fork(seed, "storm"));
    for ticket in 1..=60 {
        let leaders: Vec<NodeId> = cluster
            .states
            .iter()
            .filter(|(_, s)| s.leads)
            .map(|(id, _)| *id)
            .collect();
        leaders.iter().for_each(|leader| cluster.declare(ticket, *leader));
        if rng.chance(400) {
            storm.blow(&mut cluster, &mut rng, nodes);
        }
        cluster.go(rng.span(Span::from_ms(1), Span::from_ms(60)));
        storm.pass(&mut cluster);
    }
    storm.calm(&mut cluster);
    let last = cluster.insist(1000);
    cluster.until("all have everything", |c| {
        c.registries.len() == usize::try_from(nodes).unwrap()
            && c.registries.values().all(|r| r.revision >= last)
    });
    let contents: BTreeSet<String> = cluster
        .registries
        .values()
        .map(|r| format!("{:?}", r.exchanges))
        .collect();
    assert_eq!(contents.len(), 1, "seed {seed}: registries differ");
    for (ticket, result) in &cluster.answers {
        if let ProposeResult::Committed { revision, .. } = result {
            let name = format!("x{ticket}");
            let step = cluster.steps.get(revision);
            let there = matches!(step, Some(Command::Declare { name: n, .. }) if n.as_str() == name);
            assert!(
                there,
                "seed {seed}: {name} was acknowledged as revision {revision}, which is {step:?}"
            );
        }
    }
    assert!(cluster.failed.is_empty(), "seed {seed}: {:?}", cluster.failed);
    cluster.trace.value()
}

#[test]
fn no_storm_takes_what_was_acknowledged() {
    for seed in 0..20 {
        storm(seed, [1, 3, 3, 5][usize::try_from(seed % 4).unwrap()]);
    }
}
