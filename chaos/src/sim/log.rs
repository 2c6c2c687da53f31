//! The seam between a simulated cluster and its registry's log: the one thing in which the tiers differ. The world says
//! what happens to nodes and hands in what arrives for their logs; the log tells, in order, what comes of it.
//!
//! What does not live here: the logs. T1's is a small model, T2's is real (`raft`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use squall_kernel::id::NodeId;
use squall_kernel::message::{PeerMessage, ProposeResult};
use squall_kernel::registry::{Command, Introduction, Registry};
use squall_kernel::time::{Instant, Span};
use squall_node::meta::MetaState;

/// Number of a question, chosen by who asks, given back with the answer.
pub type Ticket = u64;

/// What comes of a step.
#[derive(Debug, Clone)]
pub enum LogOutput {
    /// A message for another node's log.
    Send {
        /// From there.
        from: NodeId,
        /// To there.
        to: NodeId,
        /// `Raft` or `RaftAnswer`.
        message: PeerMessage,
    },
    /// A node's part in the log is another than before, or, on a leader, a heartbeat has passed.
    State {
        /// Node.
        node: NodeId,
        /// What it is.
        state: MetaState,
    },
    /// A node's registry moved.
    Registry {
        /// Node.
        node: NodeId,
        /// What it is now.
        registry: Arc<Registry>,
    },
    /// What became of a question.
    Answer {
        /// Node that was asked.
        node: NodeId,
        /// Number of the question.
        ticket: Ticket,
        /// What became of it.
        result: ProposeResult,
    },
    /// A node cannot go on: its storage failed. It must be ended.
    Failed {
        /// Node.
        node: NodeId,
        /// In words.
        why: String,
    },
}

/// The logs of all nodes of a cluster, driven step by step.
pub trait Log {
    /// Runs until something comes of it, or until then, in true time. Returns now.
    fn run(&mut self, until: Instant) -> Instant;

    /// What came of it so far, in order.
    fn outputs(&mut self) -> Vec<LogOutput>;

    /// Starts a node on what its disk holds; `ppm` is how much faster than true time its clock runs, `run` counts its
    /// runs.
    fn start(&mut self, node: NodeId, ppm: i64, run: u64);

    /// Ends a node's run at once. After a power loss its disk holds what was synced and, of what was not, anything.
    fn end(&mut self, node: NodeId, power_loss: bool);

    /// Lets a node stand still, or go on.
    fn pause(&mut self, node: NodeId, paused: bool);

    /// From now on a node's clock runs at that rate.
    fn set_rate(&mut self, node: NodeId, ppm: i64);

    /// From now on syncs of a node's disk take so much longer.
    fn set_slower(&mut self, node: NodeId, by: Span);

    /// From now on nothing can be written to a node's disk, or it can.
    fn set_full(&mut self, node: NodeId, full: bool);

    /// Empties the disk of a node that does not run.
    fn wipe(&mut self, node: NodeId);

    /// Tells a node whether it has a link to another one.
    fn link(&mut self, node: NodeId, peer: NodeId, up: bool);

    /// A message of another node's log arrives; anything else than `Raft` and `RaftAnswer` is ignored.
    fn message(&mut self, node: NodeId, from: NodeId, message: PeerMessage);

    /// Founds the cluster with these voters and their addresses, as far as this node is concerned.
    fn found(&mut self, node: NodeId, voters: BTreeMap<NodeId, String>);

    /// Proposes a command through that node, which should lead.
    fn propose(&mut self, node: NodeId, ticket: Ticket, command: Command);

    /// Takes a node in through the one that should lead: a learner of the log, then a member of the registry.
    fn admit(&mut self, node: NodeId, ticket: Ticket, introduction: Introduction);

    /// Looks after the voters, as the leader does now and then.
    fn adjust_voters(&mut self, node: NodeId, live: BTreeSet<NodeId>);

    /// Asks another voter to lead in this one's place.
    fn transfer(&mut self, node: NodeId, to: NodeId);

    /// Allows or forbids a node to start elections.
    fn set_elections(&mut self, node: NodeId, allowed: bool);
}
