//! The seam between simulated nodes and the log of their registry. Two things stand behind it: a small model of Raft
//! (`log_model`, T1), and openraft with its storage (T2).
//!
//! What does not live here: the network. What logs say to each other travels on the same simulated links as all else.

use std::collections::BTreeSet;
use std::sync::Arc;

use squall_kernel::id::{NodeId, Revision, Term};
use squall_kernel::message::{PeerMessage, ProposeResult};
use squall_kernel::promises::{Electorate, VotersAt};
use squall_kernel::registry::{Command, Introduction, Registry};
use squall_kernel::time::{Instant, Span};
use squall_kernel::voters::Roll;

/// Number of a question, chosen by who asks, unique in its node's run, given back with the answer.
pub type Ticket = u64;

/// A node's part in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogState {
    /// Term.
    pub term: Term,
    /// Voters in force.
    pub voters: Electorate,
    /// All that have a copy of the log, or are to have one: voters and learners.
    pub members: BTreeSet<NodeId>,
    /// Who leads, as far as this node knows.
    pub leader: Option<NodeId>,
    /// This node says that it leads.
    pub leads: bool,
    /// A majority acknowledged this leader lately.
    pub quorum: bool,
    /// Its log is not empty.
    pub initialized: bool,
}

/// What comes of running a log.
#[derive(Debug, Clone)]
pub enum Output {
    /// A message for another node's log.
    Send {
        /// From there.
        from: NodeId,
        /// To there.
        to: NodeId,
        /// `Raft` or `RaftAnswer`.
        message: PeerMessage,
    },
    /// A node's part in the log is another than before.
    State {
        /// Node.
        node: NodeId,
        /// What it is.
        state: LogState,
    },
    /// A node's registry moved.
    Registry {
        /// Node.
        node: NodeId,
        /// What it is now.
        registry: Arc<Registry>,
        /// The command that was the last revision, where that is known.
        command: Option<(Revision, Command)>,
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
    /// A node cannot go on: its storage failed.
    Failed {
        /// Node.
        node: NodeId,
        /// In words.
        why: String,
        /// True when its disk was full: that may happen, and nothing else may.
        full: bool,
    },
    /// A crash lost writes that were not durable.
    TailLost {
        /// Node.
        node: NodeId,
    },
}

/// The logs of all nodes of a cluster, on true time.
pub trait Log {
    /// Runs until something comes of it, or until then. Returns how far it came.
    fn run(&mut self, until: Instant) -> Instant;
    /// What came of it so far, in order.
    fn outputs(&mut self) -> Vec<Output>;
    /// Starts a node on what its disk holds; `ppm` is how much faster than true time its clock runs, `run` counts its
    /// runs.
    fn start(&mut self, node: NodeId, ppm: i32, run: u32);
    /// Ends a node's run at once; what was not synced may be lost.
    fn end(&mut self, node: NodeId);
    /// Lets a node stand still, or go on.
    fn pause(&mut self, node: NodeId, paused: bool);
    /// From now on a node's clock runs at that rate.
    fn set_rate(&mut self, node: NodeId, ppm: i32);
    /// From now on syncs of a node's disk take so much longer.
    fn set_slower(&mut self, node: NodeId, by: Span);
    /// From now on nothing can be written to a node's disk, or it can.
    fn set_full(&mut self, node: NodeId, full: bool);
    /// Tells a node whether it has a link to another one.
    fn link(&mut self, node: NodeId, peer: NodeId, up: bool);
    /// A message of another node's log arrives.
    fn message(&mut self, node: NodeId, from: NodeId, message: PeerMessage);
    /// Founds the cluster with these voters, as far as this node is concerned.
    fn found(&mut self, node: NodeId, voters: &BTreeSet<NodeId>);
    /// Proposes a command through that node, which should lead; `under`: only while the voters are those of that entry.
    fn propose(&mut self, node: NodeId, ticket: Ticket, command: Command, under: Option<VotersAt>);
    /// Takes a node in: a learner of the log, then a member of the registry.
    fn admit(&mut self, node: NodeId, ticket: Ticket, introduction: Introduction);
    /// Looks after the voters, as the leader does now and then.
    fn keep_voters(&mut self, node: NodeId, roll: Roll);
    /// True where voters can be changed.
    fn changes_voters(&self) -> bool;
    /// Asks another voter to lead in this one's place.
    fn transfer(&mut self, node: NodeId, to: NodeId);
    /// Allows or forbids a node to start elections.
    fn set_elections(&mut self, node: NodeId, allowed: bool);
}
