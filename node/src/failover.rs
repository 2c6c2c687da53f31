//! A failover as one tree of spans, made by several nodes without a word between them: the ids of its root, and of the loss
//! behind it, follow from what all nodes know ([`root_of`], [`loss_of`]). A move in order makes such a tree, too.
//!
//! Who tells what: the next owner the root and `announce` (`takeover`); the meta leader the loss and the phases up to the next
//! owner (`control::lapses`); each node with requesters its `first good reply`, and which of its requests the loss has ended
//! (`requests`).
//!
//! What does not live here: owners and losses themselves (the registry), and faults (`faults`).

mod requests;
mod takeover;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use squall_kernel::frame::TraceContext;
use squall_kernel::id::{ClusterId, Epoch, ExchangeName, Incarnation, NodeName};
use squall_kernel::registry::{ExchangeRecord, NodeRecord, Registry};
use squall_kernel::time::Span;

pub(crate) use requests::Failovers;
pub(crate) use takeover::Takeover;

use crate::metrics::{Histogram, Times};
use crate::telemetry::told::derived;

/// The root of the tree about how an exchange came to the owner that has it under that epoch.
#[must_use]
pub fn root_of(cluster: ClusterId, exchange: &ExchangeName, epoch: Epoch) -> TraceContext {
    let (cluster, epoch) = (cluster.0.to_be_bytes(), epoch.0.to_be_bytes());
    derived(&[b"failover", &cluster, exchange.as_str().as_bytes(), &epoch])
}

/// The span about the loss of that run of a node. Whoever ends a node points to it before anybody knows of the loss; where the
/// node was not declared lost there is none.
#[must_use]
pub fn loss_of(cluster: ClusterId, node: &NodeName, run: Incarnation) -> TraceContext {
    let (cluster, run) = (cluster.0.to_be_bytes(), run.0.to_be_bytes());
    derived(&[b"loss", &cluster, node.as_str().as_bytes(), &run])
}

/// A run of a node as people read it: `b#3` is the third one on its data directory.
#[must_use]
pub fn run_of(node: &NodeRecord) -> String {
    format!("{}#{}", node.name, node.boot.0)
}

/// Why an exchange went to another owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The run of the owner before has ended.
    Lost,
    /// The owner before lives and has no lease.
    Weak,
    /// It moved, in order.
    Moved,
}

/// What this node got from other owners: how often, and how long it took where that has a beginning. An owner that is too slow has
/// none that anybody knows.
#[derive(Debug, Default)]
pub struct FailoverTimes {
    lost: Histogram,
    moved: Histogram,
    weak: AtomicU64,
}

impl FailoverTimes {
    pub(crate) fn took(&self, cause: Cause, time: Span) {
        match cause {
            Cause::Lost => self.lost.record(time),
            Cause::Moved => self.moved.record(time),
            Cause::Weak => {
                self.weak.fetch_add(1, Relaxed);
            }
        }
    }

    /// How often, by why it was, in a word.
    pub fn counted(&self) -> [(&'static str, u64); 3] {
        let [(lost, lost_times), (moved, moved_times)] = self.read();
        [
            (lost, lost_times.count()),
            ("weak", self.weak.load(Relaxed)),
            (moved, moved_times.count()),
        ]
    }

    /// How long it took, by why it was.
    pub fn read(&self) -> [(&'static str, Times); 2] {
        [("lost", self.lost.read()), ("moved", self.moved.read())]
    }
}

/// An exchange that has gone from one owner to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handover<'a> {
    pub(crate) cluster: ClusterId,
    /// As it is now.
    pub(crate) exchange: &'a ExchangeRecord,
    /// The owner before, as it was.
    pub(crate) before: &'a NodeRecord,
    pub(crate) cause: Cause,
}

impl Handover<'_> {
    pub(crate) fn root(&self) -> TraceContext {
        root_of(self.cluster, &self.exchange.name, self.exchange.epoch)
    }

    pub(crate) fn loss(&self) -> TraceContext {
        loss_of(self.cluster, &self.before.name, self.before.incarnation)
    }

    /// The attribute that names the run of the owner before.
    pub(crate) const fn key(&self) -> &'static str {
        match self.cause {
            Cause::Lost => "squall.lost",
            Cause::Weak => "squall.weak",
            Cause::Moved => "squall.from",
        }
    }
}

/// The exchanges that have gone to another owner, in the order of their numbers: of very many only the first
/// [`FAILOVERS_TOLD_MAX`](crate::limits::FAILOVERS_TOLD_MAX) are told of, the same ones at every node. What both registries share is passed over: this is
/// asked at every change.
pub(crate) fn handovers<'a>(
    old: &'a Registry,
    new: &'a Registry,
) -> impl Iterator<Item = Handover<'a>> + use<'a> {
    let changes = new.exchanges.changes(&old.exchanges);
    changes.filter_map(move |changed| handover(old, new, changed.before?, changed.now?))
}

fn handover<'a>(
    old: &'a Registry,
    new: &'a Registry,
    was: &ExchangeRecord,
    exchange: &'a ExchangeRecord,
) -> Option<Handover<'a>> {
    if was.epoch == exchange.epoch {
        return None;
    }
    let cluster = new.cluster?;
    let owner = exchange.owner?;
    let before = old.nodes.get(&was.owner?)?;
    let cause = if has_ended(before, new) {
        Cause::Lost
    } else if owner == before.id {
        // A move that was cancelled.
        return None;
    } else if exchange.kept {
        Cause::Moved
    } else {
        Cause::Weak
    };
    Some(Handover {
        cluster,
        exchange,
        before,
        cause,
    })
}

/// True when that run, which was up, is not any more.
pub(crate) fn has_ended(before: &NodeRecord, new: &Registry) -> bool {
    let goes_on = |now: &NodeRecord| now.is_up() && now.incarnation == before.incarnation;
    !new.nodes.get(&before.id).is_some_and(goes_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_counted_also_that_without_a_beginning() {
        let times = FailoverTimes::default();
        for cause in [Cause::Lost, Cause::Weak, Cause::Moved, Cause::Weak] {
            times.took(cause, Span::from_ms(3));
        }
        assert_eq!(times.counted(), [("lost", 1), ("weak", 2), ("moved", 1)]);
        assert_eq!(times.read().map(|(cause, _)| cause), ["lost", "moved"]);
    }
}
