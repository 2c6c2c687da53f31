//! How deeds are done, and what was done, in words. What does not live here: doing them.

use std::fmt;
use std::time::Duration;

use squall_proto::v1::{Child, ChildState};

use super::listing::{ActiveFault, clean};
use crate::fault::NodeDeed;

/// How deeds are done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firing {
    /// Until each ends by itself; zero for what the nodes take for it, which is 30 s.
    pub ttl: Duration,
    /// Process id of the node acted on, as it was seen; refused where it runs under another one by now.
    pub expect_os_pid: Option<u64>,
    /// The experiment whose faults they are; empty for nobody's. Its faults are its own: no other order replaces them.
    pub experiment: String,
}

impl Firing {
    /// For so long, whatever process it is, for nobody.
    #[must_use]
    pub fn lasting(ttl: Duration) -> Self {
        Self {
            ttl,
            ..Self::default()
        }
    }

    pub(super) fn id(&self, of: &str) -> String {
        match self.experiment.as_str() {
            "" => of.to_owned(),
            experiment => format!("{experiment}/{of}"),
        }
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// To a node's process.
    Process {
        /// What.
        deed: NodeDeed,
        /// The node as it is then.
        child: Child,
    },
    /// A fault was set.
    Fault(ActiveFault),
}

impl Done {
    /// The node that it was done at.
    #[must_use]
    pub fn node(&self) -> &str {
        match self {
            Self::Process { child, .. } => &child.name,
            Self::Fault(fault) => &fault.node,
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { deed, child } => process(f, *deed, child),
            Self::Fault(fault) => write!(f, "{}, for {}", clean(&fault.what), seconds(fault.left_ms)),
        }
    }
}

fn process(f: &mut fmt::Formatter<'_>, deed: NodeDeed, child: &Child) -> fmt::Result {
    let done = match deed {
        NodeDeed::Kill { .. } => "killed",
        NodeDeed::Stop { .. } => "asked to leave",
        NodeDeed::Pause => "paused",
        NodeDeed::Resume => "goes on",
        NodeDeed::Restart => "started again",
        NodeDeed::Wipe => "killed, and its data go",
    };
    write!(f, "{} {done}", clean(&child.name))?;
    match (deed, child.state(), child.left_ms) {
        (NodeDeed::Stop { stay_down: false }, _, 0) => f.write_str(", starts again"),
        (_, ChildState::Running, _) => write!(f, ", process {}", child.os_pid),
        (NodeDeed::Pause, _, 0) => f.write_str(", until it is resumed"),
        (_, _, 0) => f.write_str(", stays down"),
        (_, ChildState::Paused, left) => write!(f, ", goes on in {}", seconds(left)),
        (_, _, left) => write!(f, ", starts again in {}", seconds(left)),
    }
}

/// Seconds, rounded; to tenths where they are few: what is left of a time is a little less than what was asked for.
fn seconds(ms: u64) -> String {
    let tenths = ms.saturating_add(50) / 100;
    if tenths >= 100 || tenths.is_multiple_of(10) {
        format!("{}s", tenths.saturating_add(5) / 10)
    } else {
        format!("{}.{}s", tenths / 10, tenths % 10)
    }
}
