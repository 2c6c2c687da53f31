//! Tier T2: the registry's log is real. openraft runs on its deterministic runtime, the node's own storage on redb over
//! simulated disks, and what the nodes' Rafts say to each other is encoded as it is live. Sockets, time and disks alone
//! are simulated.
//!
//! What does not live here: everything beside the log, which is the same in both tiers.

mod disk;
mod engine;
mod port;
mod runtime;
mod start;

pub use engine::Engine;

#[cfg(test)]
#[path = "raft/storm_test.rs"]
mod storm_tests;

#[cfg(test)]
#[path = "raft/run_test.rs"]
mod run_tests;
