//! The simulator: whole clusters in one thread, on simulated time, from one number. A seed draws a [`plan::Plan`]; a tier
//! runs it and gives an [`outcome::Run`], whose history the same checkers read as a live one's (`invariant`).
//!
//! What does not live here: judging a history (`invariant`), and the command line.

pub mod batch;
pub mod clock;
pub mod fault;
pub mod host;
mod links;
pub mod log;
pub mod log_model;
pub mod outcome;
pub mod plan;
pub mod raft;
pub mod rehearse;
pub mod rng;
mod workload;
pub mod world;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How much of a node is real in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// The kernel, the registry and the codec; the log is a small model of Raft.
    T1,
    /// The same with openraft and the real storage over simulated disks.
    T2,
}

impl Tier {
    /// Its word, as on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::T1 => "t1",
            Self::T2 => "t2",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Runs a plan.
#[must_use]
pub fn run(tier: Tier, plan: &plan::Plan) -> outcome::Run {
    world(tier, plan).run()
}

/// The cluster of a plan, before its run.
#[must_use]
pub fn world(tier: Tier, plan: &plan::Plan) -> world::World {
    let log: Box<dyn log::Log> = match tier {
        Tier::T1 => Box::new(log_model::LogModel::new(plan.seed, plan.profile, plan.disk)),
        Tier::T2 => Box::new(raft::Engine::of(plan)),
    };
    world::World::new(tier, plan, log)
}

/// Takes out of a map what is wanted, in order.
fn extract<K: Ord + Copy, V>(map: &mut BTreeMap<K, V>, wanted: impl Fn(&K, &V) -> bool) -> Vec<(K, V)> {
    let keys: Vec<K> = map
        .iter()
        .filter(|(k, v)| wanted(k, v))
        .map(|(k, _)| *k)
        .collect();
    keys.into_iter()
        .filter_map(|key| map.remove_entry(&key))
        .collect()
}

#[cfg(test)]
#[path = "sim/sim_test.rs"]
mod tests;
