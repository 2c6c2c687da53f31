//! A span for each fault, from when it is set to when it acts no more, and what it is called in traces.
//!
//! What does not live here: what faults did to messages (`touched`), and which faults there are (the kernel's table).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use squall_kernel::fault::{Fault, FaultKind, LinkFault, MessageFault, ProcessFault};
use squall_kernel::frame::TraceContext;
use squall_kernel::id::NodeName;

use super::touched::By;
use crate::grpc::chaos::what;
use crate::telemetry::told::{SpanSink, Told, fresh};

/// Why a fault acts no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its time is over.
    Time,
    /// Somebody ended it.
    Cleared,
    /// Somebody ended all.
    Halted,
    /// Another one has its id.
    Replaced,
    /// The node ends.
    WithNode,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "by its time",
            Self::Cleared => "cleared",
            Self::Halted => "halted",
            Self::Replaced => "replaced",
            Self::WithNode => "with its node",
        }
    }
}

/// The spans of the faults that act now: no more than the table holds.
#[derive(Debug)]
pub struct FaultSpans {
    sink: SpanSink,
    node: Option<NodeName>,
    acting: Mutex<BTreeMap<String, Acting>>,
}

#[derive(Debug)]
struct Acting {
    context: TraceContext,
    began: SystemTime,
}

impl FaultSpans {
    /// Tells `sink` of the faults of that node.
    #[must_use]
    pub fn of(node: NodeName, sink: SpanSink) -> Self {
        Self {
            sink,
            node: Some(node),
            acting: Mutex::default(),
        }
    }

    /// Tells nobody.
    pub(super) fn none() -> Self {
        Self {
            sink: SpanSink::default(),
            node: None,
            acting: Mutex::default(),
        }
    }

    pub(super) const fn sink(&self) -> &SpanSink {
        &self.sink
    }

    pub(super) fn began(&self, fault: &Fault) {
        if !self.sink.is_on() {
            return;
        }
        let acting = Acting {
            context: fresh(),
            began: SystemTime::now(),
        };
        self.lock().insert(fault.id.clone(), acting);
    }

    pub(super) fn ended(&self, fault: &Fault, how: End) {
        if !self.sink.is_on() {
            return;
        }
        let (Some(acting), Some(node)) = (self.lock().remove(&fault.id), &self.node) else {
            return;
        };
        let name = format!("fault {}", what(node, &fault.kind));
        let ms = fault.ends.since(fault.began).as_ms();
        let told = Told::root(acting.context, name, acting.began)
            .until(SystemTime::now())
            .with("chaos.fault_id", fault.id.clone())
            .with("chaos.fault", kind(&fault.kind))
            .with("chaos.target", target(node, &fault.kind))
            .with("chaos.by", fault.by.clone())
            .number("chaos.ttl_ms", ms)
            .with("chaos.ended", how.as_str())
            .number("chaos.touched", fault.touched);
        self.sink.tell(told);
    }

    /// What a message that it touches tells of it; none where nothing is exported, or it did nothing that has a name.
    pub(super) fn by(&self, fault: &Fault) -> Option<By> {
        let context = self.lock().get(&fault.id)?.context;
        Some(By {
            id: fault.id.clone(),
            kind: kind(&fault.kind),
            deed: deed(&fault.kind)?,
            link: fault.kind.to().map(|_| self.target(&fault.kind)),
            fault: context,
            since: SystemTime::now(),
        })
    }

    fn target(&self, kind: &FaultKind) -> String {
        self.node
            .as_ref()
            .map_or_else(String::new, |node| target(node, kind))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Acting>> {
        self.acting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kind of a fault, in the words of the command line.
pub(crate) const fn kind(kind: &FaultKind) -> &'static str {
    match kind {
        FaultKind::Link { what, .. } => what.word(),
        FaultKind::Clock(_) => "clock",
        FaultKind::Disk(_) => "disk",
        FaultKind::Burn { .. } => "burn",
        FaultKind::Process { what, .. } => match what {
            ProcessFault::Kill => "process kill",
            ProcessFault::Suspend => "process suspend",
            ProcessFault::Slow { .. } => "process slow",
            ProcessFault::Panic => "process panic",
            ProcessFault::Fill => "process fill",
        },
        FaultKind::Message { what, .. } => match what {
            MessageFault::Drop => "message drop",
            MessageFault::Delay { .. } => "message delay",
            MessageFault::Duplicate => "message duplicate",
        },
    }
}

/// What it acts on: a link, an exchange, or the node.
fn target(node: &NodeName, kind: &FaultKind) -> String {
    match (kind.to(), kind.exchange()) {
        (Some(to), _) => format!("{node} -> {to}"),
        (None, Some(exchange)) => exchange.to_string(),
        (None, None) => node.to_string(),
    }
}

/// What becomes of a message that it touches: the name of the message's span.
const fn deed(kind: &FaultKind) -> Option<&'static str> {
    Some(match kind {
        FaultKind::Link { what, .. } => match what {
            LinkFault::Delay(_) | LinkFault::Rate(_) => "delayed by fault",
            // A link loses nothing for good: what is lost is sent again.
            LinkFault::Loss(_) => "sent again by fault",
            LinkFault::Reorder { .. } => "reordered by fault",
            LinkFault::Cut | LinkFault::Clog(_) => "held back by fault",
            LinkFault::Corrupt(_) => "corrupted by fault",
            LinkFault::Duplicate(_) => "duplicated by fault",
            LinkFault::Reset(_) | LinkFault::Limit(_) => "cut off by fault",
            LinkFault::Slice(_) => "sliced by fault",
            LinkFault::SlowClose(_) => return None,
        },
        FaultKind::Process { what, .. } => match what {
            ProcessFault::Kill => "killed by fault",
            ProcessFault::Suspend => "held back by fault",
            ProcessFault::Slow { .. } => "slowed by fault",
            ProcessFault::Panic => "failed by fault",
            ProcessFault::Fill => "refused by fault",
        },
        FaultKind::Message { what, .. } => match what {
            MessageFault::Drop => "dropped by fault",
            MessageFault::Delay { .. } => "delayed by fault",
            MessageFault::Duplicate => "duplicated by fault",
        },
        FaultKind::Clock(_) | FaultKind::Disk(_) | FaultKind::Burn { .. } => return None,
    })
}
