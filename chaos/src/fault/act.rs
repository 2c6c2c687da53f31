//! What a fault comes to on the cluster of now: single deeds, each on one node. What does not live here: finding out on
//! whom (`resolve`).

use std::fmt;

use squall_kernel::fault::{FaultKind, LinkFault};

/// What is done to a node's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeDeed {
    /// SIGKILL; started again when its time is over, unless it is to stay down.
    Kill {
        /// Nobody starts it again.
        stay_down: bool,
    },
    /// SIGTERM, then as for a kill.
    Stop {
        /// Nobody starts it again.
        stay_down: bool,
    },
    /// SIGSTOP; thawed when its time is over.
    Pause,
    /// SIGCONT.
    Resume,
    /// SIGKILL if it runs, then start.
    Restart,
    /// SIGKILL, and a start without its data when its time is over.
    Wipe,
}

impl NodeDeed {
    /// Its word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::Stop { .. } => "stop",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Restart => "restart",
            Self::Wipe => "wipe",
        }
    }

    /// True when the node is not there for a while.
    #[must_use]
    pub const fn takes_away(&self) -> bool {
        !matches!(self, Self::Resume)
    }

    /// True when it lasts for a time that is named with it.
    #[must_use]
    pub const fn lasts(&self) -> bool {
        matches!(
            self,
            Self::Kill { stay_down: false } | Self::Stop { stay_down: false } | Self::Pause | Self::Wipe
        )
    }
}

impl fmt::Display for NodeDeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Kill { stay_down: true } | Self::Stop { stay_down: true } => f.write_str(" stay-down"),
            _ => Ok(()),
        }
    }
}

/// One deed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// To a node's process.
    Node {
        /// Node.
        node: String,
        /// What.
        deed: NodeDeed,
    },
    /// To what one node sends to another.
    Link {
        /// Node that sends, and holds the fault.
        from: String,
        /// Node that receives.
        to: String,
        /// What.
        what: LinkFault,
    },
    /// To a node itself, its handlers, or messages of what it owns.
    Hold {
        /// Node that holds the fault.
        node: String,
        /// What.
        kind: FaultKind,
    },
}

impl Act {
    /// The node that it is done at.
    #[must_use]
    pub fn node(&self) -> &str {
        match self {
            Self::Node { node, .. } | Self::Hold { node, .. } => node,
            Self::Link { from, .. } => from,
        }
    }

    /// The deed, where it is done at once and cannot be renewed: a fault that acts, and a pause, can.
    #[must_use]
    pub fn done_at_once(&self) -> Option<NodeDeed> {
        match self {
            Self::Node { deed, .. } if *deed != NodeDeed::Pause => Some(*deed),
            _ => None,
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { node, deed } => write!(f, "{deed} {node}"),
            Self::Link { from, to, what } => {
                let fault = super::Fault::Link(*what);
                write!(f, "{fault} {from} -> {to}")
            }
            Self::Hold { node, kind } => write!(f, "{kind} on {node}"),
        }
    }
}
