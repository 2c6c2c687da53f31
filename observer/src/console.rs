//! What the observer asks of a chaos console. The `chaos` crate implements it; the observer knows no
//! more of faults than what stands here.

use std::time::Duration;

use futures::future::BoxFuture;

/// Something destructive, aimed at named nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// SIGKILL; the supervisor starts the node again after `ttl` unless `stay_down`.
    Kill {
        /// Node.
        node: String,
        /// Time until it is started again.
        ttl: Duration,
        /// Never start it again by itself.
        stay_down: bool,
        /// Process id seen on the screen; the order is refused when the node runs under another now.
        expect_os_pid: Option<u64>,
    },
    /// SIGSTOP, thawed after `ttl`.
    Pause {
        /// Node.
        node: String,
        /// Time until it is thawed.
        ttl: Duration,
        /// As for `Kill`.
        expect_os_pid: Option<u64>,
    },
    /// SIGCONT.
    Resume {
        /// Node.
        node: String,
    },
    /// SIGKILL if it runs, then start.
    Restart {
        /// Node.
        node: String,
        /// As for `Kill`.
        expect_os_pid: Option<u64>,
    },
    /// Delays frames from one node to another.
    Delay {
        /// Node that sends.
        from: String,
        /// Node that receives.
        to: String,
        /// Delay.
        delay: Duration,
        /// Uniform jitter, plus or minus.
        jitter: Duration,
        /// Time until it ends.
        ttl: Duration,
    },
    /// Loses a share of what goes from one node to another: it comes late, and what is behind it waits.
    Loss {
        /// Node that sends.
        from: String,
        /// Node that receives.
        to: String,
        /// What is lost, in parts per million.
        share_ppm: u32,
        /// Time until it ends.
        ttl: Duration,
    },
    /// Lets nothing through from one node to another.
    Cut {
        /// Node that sends.
        from: String,
        /// Node that receives.
        to: String,
        /// Time until it ends.
        ttl: Duration,
    },
}

/// The cluster as the watcher sees it when a dialog opens: what a preview is computed from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// Members.
    pub nodes: Vec<PictureNode>,
    /// Exchanges with their owners.
    pub exchanges: Vec<PictureExchange>,
    /// Meta leader, when one is known.
    pub meta_leader: Option<String>,
}

/// A member in a [`Picture`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureNode {
    /// Name.
    pub name: String,
    /// Votes in the registry's Raft group.
    pub voter: bool,
    /// Heard from in time.
    pub up: bool,
}

/// An exchange in a [`Picture`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureExchange {
    /// Name.
    pub name: String,
    /// Owner; none while there is none.
    pub owner: Option<String>,
}

/// Blast radius: what an order will do, shown before it is fired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Radius {
    /// One-line statements, the worst first, e.g. "2 of 3 voters left: quorum holds".
    pub lines: Vec<String>,
    /// The registry loses its quorum.
    pub quorum_lost: bool,
    /// Text that must be typed before the order may be fired; none when a plain confirmation is enough.
    pub confirm_by_typing: Option<String>,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsoleError {
    /// Refused: names the reason and what to do.
    #[error("{0}")]
    Refused(String),
    /// The node or its supervisor could not be reached.
    #[error("{0}")]
    Unreachable(String),
}

/// A chaos console behind the observer.
pub trait Console: Send + Sync + 'static {
    /// Blast radius of `order` on the cluster of `picture`. Pure and quick: called while drawing a dialog.
    fn preview(&self, order: &Order, picture: &Picture) -> Radius;
    /// Carries `order` out; the text says what was done.
    fn fire(&self, order: Order) -> BoxFuture<'static, Result<String, ConsoleError>>;
    /// Ends all faults everywhere; the text says how many.
    fn halt(&self) -> BoxFuture<'static, Result<String, ConsoleError>>;
}
