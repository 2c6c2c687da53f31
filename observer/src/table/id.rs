//! Identities of rows: selections, pages and jumps follow them, never an index.

use crate::cluster::events::EventKey;
use crate::traces::TraceId;
use crate::traces::tree::What;

/// Identity of a row of any table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowId {
    /// A node.
    Node(String),
    /// A directed link.
    Link(String, String),
    /// An exchange.
    Exchange(String),
    /// A process on a node.
    Process(String, String),
    /// An event.
    Event(EventKey),
    /// A fault on a node.
    Fault(String, String),
    /// A trace.
    Trace(TraceId),
    /// A line of a trace's tree.
    Span(TraceId, What),
    /// A routing decision on the page of its exchange.
    Decision(Decision),
    /// The invariants, as the console judges them.
    Invariants,
    /// A scenario that the console can run.
    Scenario(String),
}

impl RowId {
    /// The process of a pid, which names its node: `<node.serial>`.
    #[must_use]
    pub fn of_pid(pid: &str) -> Option<Self> {
        let inner = pid.strip_prefix('<')?.strip_suffix('>')?;
        let (node, _) = inner.rsplit_once('.').filter(|(node, _)| !node.is_empty())?;
        Some(Self::Process(node.to_owned(), pid.to_owned()))
    }
}

/// Identity of a routing decision: the request that it was on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Node where the request entered the cluster.
    pub origin: String,
    /// Its number there.
    pub message: u64,
    /// A request that is tried again is decided on again.
    pub number: u64,
    /// Its trace, where it has one.
    pub trace: Option<TraceId>,
}
