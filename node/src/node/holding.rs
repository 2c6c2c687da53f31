//! How much a node that keeps a journal holds in its bounded places, told once a second: what judges a run can say then
//! that nothing grew without bound. Read from counters and snapshots, as introspection does.
//!
//! What does not live here: keeping the bounds, which each place does itself.

use std::sync::Arc;
use std::time::Duration;

use squall_kernel::fault::FAULTS_MAX;
use squall_kernel::limits::{EXCHANGES_MAX, HANDLERS_PER_EXCHANGE_MAX, NODES_MAX, OPEN_REQUESTS_MAX};
use tokio::time::{MissedTickBehavior, interval};

use crate::data::DataPlane;
use crate::journal::{Fact, Recorder};
use crate::limits::MESSAGES_LATE_MAX;
use crate::mesh::{FaultPlane, LINK_BYTES_MAX, Mesh};
use crate::process::ProcessKind;

/// Between two looks: seldom enough to cost nothing, often enough to see a queue that only grows.
const EVERY: Duration = Duration::from_secs(1);
/// A thread that puts something in counts it before it knows whether it fits: more threads than any node has.
const COUNTED_AHEAD: u64 = 64;

/// Where things are held.
pub(super) struct Holding {
    pub(super) data: Arc<DataPlane>,
    pub(super) mesh: Arc<Mesh>,
    pub(super) faults: Arc<FaultPlane>,
    pub(super) recorder: Recorder,
}

impl Holding {
    /// Tells for ever, where somebody listens.
    pub(super) async fn run(self) {
        if !self.recorder.listens() {
            return;
        }
        let mut look = interval(EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            self.look();
        }
    }

    fn look(&self) {
        let registry = self.data.context.registry_kept();
        let ahead = |bound: usize| bound as u64 + COUNTED_AHEAD;
        self.tell("open requests", self.data.router.open(), ahead(OPEN_REQUESTS_MAX));
        self.tell("nodes", registry.nodes.len(), NODES_MAX as u64);
        self.tell("exchanges", registry.exchanges.len(), EXCHANGES_MAX as u64);
        self.tell("faults", self.faults.list().len(), FAULTS_MAX as u64);
        self.tell(
            "late messages",
            self.data.context.late.len(),
            ahead(MESSAGES_LATE_MAX),
        );
        let handlers = self
            .data
            .exchanges
            .owned()
            .iter()
            .map(|owned| owned.handlers)
            .max();
        let handlers = handlers.unwrap_or_default();
        self.tell(
            "handlers of one exchange",
            handlers,
            HANDLERS_PER_EXCHANGE_MAX as u64,
        );
        let queued = self.mesh.links().iter().map(|link| link.queue_bytes).max();
        self.tell(
            "bytes to one peer",
            queued.unwrap_or_default(),
            LINK_BYTES_MAX as u64,
        );
        self.mailboxes();
    }

    /// The fullest mailbox of each kind stands for all.
    fn mailboxes(&self) {
        for (kind, place) in [
            (ProcessKind::Exchange, "the fullest mailbox of an exchange"),
            (ProcessKind::Handler, "the fullest mailbox of a handler"),
            (ProcessKind::Session, "the fullest mailbox of a session"),
        ] {
            let mut fullest: Option<(u64, u64)> = None;
            self.data.context.processes.each(|process| {
                let (depth, bound) = process.fill();
                let fuller = |(other, its): (u64, u64)| depth * its > other * bound;
                if process.kind() == kind && bound > 0 && fullest.is_none_or(fuller) {
                    fullest = Some((depth, bound));
                }
            });
            if let Some((depth, bound)) = fullest {
                self.tell(place, depth, bound + COUNTED_AHEAD);
            }
        }
    }

    fn tell(&self, place: &str, count: impl TryInto<u64>, bound: u64) {
        let count = count.try_into().unwrap_or(u64::MAX);
        self.recorder.tell(|| Fact::Holds {
            place: place.to_owned(),
            count,
            bound,
        });
    }
}
