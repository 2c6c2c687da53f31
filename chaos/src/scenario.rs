//! Scenarios: an experiment as a file. What cluster and what work, what must hold, how far faults may go, what is done when
//! and to whom, and what is expected to come of it. The same file is run live and in simulation.
//!
//! What does not live here: reading the text (`file`), running it (`crate::run`, `crate::sim`).

use std::time::Duration;

use bytes::Bytes;
use squall_kernel::fault::Share;
use squall_kernel::id::ExchangeName;
use squall_kernel::profile::Profile;
use squall_kernel::registry::{Pattern, Strategy};

use crate::coverage::Sight;
use crate::fault::{Fault, Nodes, Target};
use crate::radius::Budget;

mod beside;
pub mod export;
mod file;
pub mod game;
pub mod library;
mod text;

pub use file::{ScenarioError, read};

/// An experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name, which its faults carry.
    pub name: String,
    /// What one learns from it, in a paragraph.
    pub teaches: String,
    /// Nodes of the cluster that is started for it.
    pub nodes: usize,
    /// Its timer profile.
    pub profile: Profile,
    /// The exchanges it works with.
    pub exchanges: Vec<ExchangePlan>,
    /// From the first moment at which all is steady to the end of the faults.
    pub lasts: Duration,
    /// What must hold.
    pub steady: Steady,
    /// How far faults may go.
    pub budget: Budget,
    /// What is done, by its time.
    pub steps: Vec<Step>,
    /// What is to come of it.
    pub expects: Vec<Expect>,
    /// A step that goes beyond the budget, or means nobody, is left out; it ends the run otherwise.
    pub skips: bool,
}

/// An exchange and the work it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangePlan {
    /// Name.
    pub name: ExchangeName,
    /// What it is for: requests, publishes or tasks.
    pub pattern: Pattern,
    /// Strategy, of requests.
    pub strategy: Strategy,
    /// Handlers, subscribers or workers on each node.
    pub handlers: u32,
    /// Requests, publishes or tasks a second, whatever becomes of those before.
    pub rate: u32,
    /// How long a handler or worker takes for each.
    pub takes: Duration,
}

/// Keys of the requests to an exchange that is sticky.
const KEYS: u64 = 64;

impl ExchangePlan {
    /// The key of the request of that number; empty where requests have none.
    #[must_use]
    pub fn key(&self, number: u64) -> Bytes {
        match self.strategy {
            Strategy::Sticky => Bytes::copy_from_slice(&(number % KEYS).to_be_bytes()),
            _ => Bytes::new(),
        }
    }

    /// True when each of its handlers gets requests in its turn; otherwise some may get none.
    #[must_use]
    pub fn answers_in_turn(&self) -> bool {
        matches!(
            self.strategy,
            Strategy::RoundRobin | Strategy::ConsensusRoundRobin
        )
    }
}

/// What must hold: before the first step, while faults act, and again after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steady {
    /// Requests that are answered, at least; in a window of a second.
    pub good: Share,
    /// 99 of 100 answers come within that.
    pub p99: Duration,
    /// So long it may take after the last fault until that holds again.
    pub recover: Duration,
    /// Requests that are answered while faults act, at least; over all of that time.
    pub during: Option<Share>,
}

/// Something that is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When, from the first moment at which all was steady.
    pub at: Duration,
    /// What.
    pub deed: Deed,
    /// Until it ends by itself.
    pub ttl: Duration,
}

impl Step {
    /// When it is over.
    #[must_use]
    pub fn ends(&self) -> Duration {
        match self.deed {
            Deed::Fault { .. } => self.at + self.ttl,
            Deed::Move { .. } => self.at,
        }
    }
}

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// A fault.
    Fault {
        /// What.
        fault: Fault,
        /// To whom.
        target: Target,
    },
    /// An operator moves an exchange.
    Move {
        /// Which.
        exchange: ExchangeName,
        /// Where to.
        to: Nodes,
    },
}

impl std::fmt::Display for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fault { fault, target } => write!(f, "{fault} at {target}"),
            Self::Move { exchange, to } => write!(f, "move {exchange} to {to}"),
        }
    }
}

/// What is to come of it; what is not said is not asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expect {
    /// Of which exchange; all of them together where none is named.
    pub exchange: Option<ExchangeName>,
    /// Longest time without a good reply.
    pub gap: Option<Duration>,
    /// Requests that end without a reply, at most.
    pub failed: Option<Share>,
    /// Requests that never end, at most.
    pub lost: Option<u64>,
    /// Requests that handlers get twice, at most.
    pub doubled: Option<u64>,
    /// How often another node becomes the owner: least and most.
    pub owner_changes: Option<(u64, u64)>,
    /// How often a meta leader is elected, at most.
    pub elections: Option<u64>,
    /// What must have happened, or the run has shown nothing.
    pub seen: Vec<Sight>,
}
