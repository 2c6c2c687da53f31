//! Failovers as a node with requesters sees them: the first good reply after one, and the requests that a loss has ended.
//!
//! What does not live here: how requests end (`router`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use squall_kernel::frame::TraceContext;
use squall_kernel::id::{Epoch, ExchangeId, NodeId};
use squall_kernel::registry::Registry;

use super::{Cause, FailoverTimes, handovers, loss_of, run_of};
use crate::data::Change;
use crate::limits::FAILOVERS_TOLD_MAX;
use crate::spans::Traced;
use crate::telemetry::told::{SpanSink, Told};

/// An answer that comes later is the first of other requests, and none that waited for the failover.
const REPLY_WITHIN: Duration = Duration::from_secs(30);

/// The latest failover of each exchange that had one.
#[derive(Debug, Default)]
pub(crate) struct Failovers {
    sink: SpanSink,
    times: FailoverTimes,
    open: Mutex<BTreeMap<ExchangeId, Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    epoch: Epoch,
    root: TraceContext,
    cause: Cause,
    /// The run of the owner before.
    before: String,
    since: SystemTime,
    /// There was a good reply.
    answered: bool,
}

impl Waiting {
    fn is_fresh(&self) -> bool {
        self.since.elapsed().is_ok_and(|elapsed| elapsed <= REPLY_WITHIN)
    }
}

impl Failovers {
    pub(crate) fn new(sink: SpanSink) -> Self {
        Self {
            sink,
            times: FailoverTimes::default(),
            open: Mutex::default(),
        }
    }

    /// How long failovers to this node took.
    pub(crate) const fn times(&self) -> &FailoverTimes {
        &self.times
    }

    /// The registry has moved.
    pub(crate) fn registry_changed(&self, change: &Change) {
        if !self.sink.is_on() {
            return;
        }
        let mut open = self.lock();
        for of in handovers(&change.old, &change.new).take(FAILOVERS_TOLD_MAX) {
            let waiting = Waiting {
                epoch: of.exchange.epoch,
                root: of.root(),
                cause: of.cause,
                before: run_of(of.before),
                since: SystemTime::now(),
                answered: false,
            };
            open.insert(of.exchange.id, waiting);
        }
        open.retain(|exchange, _| change.exchange(*exchange).is_some());
    }

    /// Somebody here got an answer for the first time under that epoch.
    pub(crate) fn replied(&self, exchange: ExchangeId, epoch: Epoch) {
        if !self.sink.is_on() {
            return;
        }
        let mut open = self.lock();
        let Some(known) = open.get_mut(&exchange).filter(|known| known.epoch <= epoch) else {
            return;
        };
        let first = !std::mem::replace(&mut known.answered, true);
        // An owner whose epoch nobody was answered under was none for long enough.
        if first && known.epoch == epoch && known.is_fresh() {
            let reply = Told::below(known.root, "first good reply", known.since);
            drop(open);
            self.sink.tell(reply.until(SystemTime::now()));
        }
    }

    /// A request has ended because `node`, which had it, was lost, or is no owner any more: it says so, and points to the failover
    /// of its exchange, or to the loss where the exchange had another owner.
    pub(crate) fn lost(&self, request: &mut Traced, exchange: ExchangeId, node: NodeId, change: &Change) {
        if !request.is_on() {
            return;
        }
        let known = change.old.nodes.get(&node).zip(change.new.cluster);
        let Some((before, cluster)) = known else { return };
        let run = run_of(before);
        let failed_over = self.failed_over(request, exchange, |known| !known.answered && known.before == run);
        if !failed_over && change.is_lost(node) {
            let loss = loss_of(cluster, &before.name, before.incarnation);
            request.note("squall.lost", run, loss);
        }
    }

    /// A request has ended because its exchange has no owner that answers yet, after the one before was lost.
    pub(crate) fn unavailable(&self, request: &mut Traced, exchange: ExchangeId) {
        if request.is_on() {
            self.failed_over(request, exchange, |known| !known.answered);
        }
    }

    /// A request has ended that waited from `began` on for somebody who takes it: where its exchange got another owner meanwhile,
    /// for that.
    pub(crate) fn waited(&self, request: &mut Traced, exchange: ExchangeId, began: SystemTime) {
        if !request.has_notes() {
            self.failed_over(request, exchange, |known| known.since >= began);
        }
    }

    /// A request has ended because what is sent to `node` does not arrive. Nobody has declared it lost yet; where somebody does,
    /// this is the loss.
    pub(crate) fn unreached(&self, request: &mut Traced, node: NodeId, registry: &Registry) {
        if !request.is_on() {
            return;
        }
        if let Some((node, cluster)) = registry.nodes.get(&node).zip(registry.cluster) {
            let loss = loss_of(cluster, &node.name, node.incarnation);
            request.note("squall.unreached", run_of(node), loss);
        }
    }

    /// Points to the latest failover of the exchange, where that is true of it.
    fn failed_over(&self, request: &mut Traced, exchange: ExchangeId, of: impl Fn(&Waiting) -> bool) -> bool {
        let open = self.lock();
        let meant = |known: &&Waiting| known.cause != Cause::Moved && known.is_fresh() && of(known);
        let Some(known) = open.get(&exchange).filter(meant) else {
            return false;
        };
        let key = match known.cause {
            Cause::Weak => "squall.weak",
            Cause::Lost | Cause::Moved => "squall.lost",
        };
        request.note(key, known.before.clone(), known.root);
        true
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ExchangeId, Waiting>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
