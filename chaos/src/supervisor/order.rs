//! Orders to a supervisor, why it refuses one, and the effects it has. What does not live here: which order has which
//! effect (`roster`).

use squall_kernel::id::NodeName;
use squall_kernel::time::Span;

use crate::limits::TTL_MAX;

/// A process id of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OsPid(pub u32);

/// What to do to a node.
pub use crate::fault::NodeDeed as Deed;

/// A request to act on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Name of the node, as given.
    pub node: String,
    /// What to do.
    pub deed: Deed,
    /// Time until it is undone; zero means the default.
    pub ttl: Span,
    /// The process the caller means.
    pub expect: Option<OsPid>,
}

/// Why an order was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such node.
    #[error("unknown node {node:?}; known are {}", .known.join(", "))]
    UnknownNode {
        /// Name given.
        node: String,
        /// Names there are.
        known: Vec<String>,
    },
    /// The node does not run.
    #[error("node {node} does not run ({last_exit})")]
    NotRunning {
        /// Node.
        node: NodeName,
        /// How it ended.
        last_exit: String,
    },
    /// The node runs under another process id than the caller saw.
    #[error("node {node} runs as process {actual} by now, not {expected}: look again")]
    OtherPid {
        /// Node.
        node: NodeName,
        /// Process the caller saw.
        expected: u32,
        /// Process it is.
        actual: u32,
    },
    /// The TTL is too long.
    #[error("a fault lasts at most {} s, not {asked_s} s", TTL_MAX.as_ms() / 1000)]
    TtlTooLong {
        /// Seconds asked for.
        asked_s: u64,
    },
    /// The cluster is being ended.
    #[error("the cluster is being ended")]
    Ending,
    /// Started without `--chaos`.
    #[error("this cluster takes no faults: start it with --chaos")]
    ChaosOff,
    /// It was halted, and nobody is struck yet.
    #[error("halted by {by} ({reason}): no new faults until `squall chaos unlock --reason …`")]
    Locked {
        /// Who locked.
        by: String,
        /// Why.
        reason: String,
    },
    /// The guard process is gone, and with it the promise that a pause ends.
    #[error("the guard process is gone: nothing would thaw a paused node; start the cluster again")]
    NoGuard,
}

/// What happens to a child that ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartPolicy {
    /// It stays down, and its exit is shown.
    #[default]
    Never,
    /// It is started again, after a pause that doubles up to a bound.
    Backoff,
}

/// What the shell must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start the node; answer with `started` or `start_failed`.
    Start(NodeName),
    /// Remove the node's data, then start it, as above.
    StartWiped(NodeName),
    /// SIGKILL.
    Kill(NodeName),
    /// SIGTERM.
    Term(NodeName),
    /// SIGSTOP, held by the guard for so long.
    Pause(NodeName, Span),
    /// SIGCONT.
    Thaw(NodeName),
}
