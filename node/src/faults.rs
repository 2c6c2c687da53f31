//! The node's fault table, shared between runtimes: links, the data plane and the parts of the node itself that obey ask it
//! here. What a fault means is the kernel's (`squall_kernel::fault`); who may set one is the chaos service's.

use std::future::Future;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use squall_kernel::fault::{Fault, FaultError, FaultKind, FaultTable};
use squall_kernel::time::{Instant, Span};
use tokio::sync::{Semaphore, watch};

use crate::clock::Clock;
use crate::journal::{Fact, Recorder};
use crate::mesh::LINGERING_MAX;

mod acts;
mod burn;
mod links;
mod messages;
mod spans;
pub(crate) use spans::kind;
mod touched;

pub use acts::Acts;
pub(crate) use links::Draw;
pub(crate) use messages::Standstill;
use spans::End;
pub use spans::FaultSpans;
pub(crate) use touched::Touched;

/// Which kinds of faults may act: what the hot path looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) const LINK: Self = Self(1);
    pub(crate) const PROCESS: Self = Self(2);
    pub(crate) const MESSAGE: Self = Self(4);
    /// Deliveries are held back for handlers, perhaps for a moment longer than the fault acts.
    pub(crate) const HELD: Self = Self(8);

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn of(table: &FaultTable, now: Instant) -> Self {
        let bits = table.list(now).map(|fault| match fault.kind {
            FaultKind::Link { .. } => Self::LINK.0,
            FaultKind::Process { .. } => Self::PROCESS.0,
            FaultKind::Message { .. } => Self::MESSAGE.0,
            FaultKind::Clock(_) | FaultKind::Disk(_) | FaultKind::Burn { .. } => 0,
        });
        Self(bits.fold(0, |all, bit| all | bit))
    }
}

/// Why a node takes no new faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultLock {
    /// Who locked; empty for somebody.
    pub by: String,
    /// Why; empty when nothing was said.
    pub reason: String,
}

/// The faults of this node.
#[derive(Debug)]
pub struct FaultPlane {
    /// No fault touches it: each ends in time, whatever becomes of the node's clock.
    clock: Clock,
    table: Mutex<FaultTable>,
    /// [`Kinds`] that may act: while there are none the hot path looks no further.
    kinds: AtomicU8,
    changed: watch::Sender<()>,
    recorder: Recorder,
    spans: FaultSpans,
    acts: Acts,
    lingering: Arc<Semaphore>,
    /// Messages that were drawn for.
    drawn: AtomicU64,
    /// While it is there, no new faults are to be taken: whoever sets faults asks for it.
    lock: Mutex<Option<FaultLock>>,
}

impl FaultPlane {
    /// No faults, and none that is set acts on the disk or the calendar of any node.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let recorder = Recorder::new(None, clock.clone());
        Self::recorded(Acts::on(clock), recorder)
    }

    /// No faults; each that comes and goes is told to `recorder`, and what is done to the node itself is done to `acts`.
    #[must_use]
    pub fn recorded(acts: Acts, recorder: Recorder) -> Self {
        Self {
            clock: acts.clock().untouched(),
            table: Mutex::new(FaultTable::default()),
            kinds: AtomicU8::new(0),
            changed: watch::Sender::new(()),
            recorder,
            spans: FaultSpans::none(),
            acts,
            lingering: Arc::new(Semaphore::new(LINGERING_MAX)),
            drawn: AtomicU64::new(0),
            lock: Mutex::default(),
        }
    }

    /// The same, and a span of each goes to `spans`.
    #[must_use]
    pub fn traced(self, spans: FaultSpans) -> Self {
        Self { spans, ..self }
    }

    /// Sets a fault, in place of the one with the same id; an empty id lets the table choose one.
    ///
    /// # Errors
    /// [`FaultError`]; nothing has changed then.
    pub fn set(&self, id: &str, kind: FaultKind, ttl: Span, by: &str) -> Result<Fault, FaultError> {
        let now = self.clock.now();
        let set = self.with(|table| {
            let before = table.list(now).find(|fault| fault.id == id).cloned();
            let id = table.set(now, id, kind, ttl, by)?;
            if let Some(before) = before {
                self.spans.ended(&before, End::Replaced);
            }
            let fault = table.list(now).find(|fault| fault.id == id).cloned();
            let fault = fault.expect("a fault that was just set lives longer than nothing");
            // Before anything obeys: what it touches points to it.
            self.spans.began(&fault);
            self.obey(table, now);
            // Told while the table is held: so the journal has what comes and goes in order.
            self.recorder.tell(|| Fact::Fault {
                id: fault.id.clone(),
                text: fault.kind.to_string(),
                ends: self.acts.clock().now() + ttl,
            });
            Ok(fault)
        });
        self.changed.send_replace(());
        set
    }

    /// Ends one fault; none when it is not there.
    pub fn clear(&self, id: &str) -> Option<Fault> {
        let clear = |table: &mut FaultTable| table.clear(id).into_iter().collect();
        self.change(clear, End::Cleared).pop()
    }

    /// Ends all faults; returns them.
    pub fn halt(&self) -> Vec<Fault> {
        self.change(FaultTable::halt, End::Halted)
    }

    /// The node ends, and its faults with it.
    pub(crate) fn end(&self) {
        self.change(FaultTable::halt, End::WithNode);
    }

    /// The faults in force.
    #[must_use]
    pub fn list(&self) -> Vec<Fault> {
        let now = self.clock.now();
        self.with(|table| table.list(now).cloned().collect())
    }

    /// What keeps new faults out, while something does.
    #[must_use]
    pub fn locked(&self) -> Option<FaultLock> {
        self.locking().clone()
    }

    fn locking(&self) -> MutexGuard<'_, Option<FaultLock>> {
        // Every change of it is one assignment: a panic leaves it whole.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False while there is certainly no fault of these kinds.
    pub(crate) fn act(&self, kinds: Kinds) -> bool {
        self.kinds.load(Relaxed) & kinds.0 != 0
    }

    /// Whether deliveries are held back for handlers.
    pub(crate) fn holds(&self, held: bool) {
        if held {
            self.kinds.fetch_or(Kinds::HELD.0, Relaxed);
        } else {
            self.kinds.fetch_and(!Kinds::HELD.0, Relaxed);
        }
    }

    /// Tells of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns when the table has changed, by hand or by time: what is over then is out of it.
    pub(crate) async fn changed(&self, changes: &mut watch::Receiver<()>) {
        let next = self.lock().next_timeout();
        tokio::select! {
            // The sender lives in `self`.
            _ = changes.changed() => {}
            () = self.until(next) => self.with(|_| ()),
        }
    }

    /// Ends each fault when its time is over, for ever, whether or not anybody looks.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        let mut changes = self.changes();
        loop {
            self.changed(&mut changes).await;
        }
    }

    /// Sleeps until then; without a time for ever.
    pub(crate) fn until(&self, at: Option<Instant>) -> impl Future<Output = ()> + Send + use<> {
        let wait = at.map(|at| Duration::from_micros(at.since(self.clock.now()).0));
        async move {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        }
    }

    /// The clock that `Fault::ends` is on.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    fn with<T>(&self, act: impl FnOnce(&mut FaultTable) -> T) -> T {
        let now = self.clock.now();
        let mut table = self.lock();
        let expired = table.expire(now);
        if !expired.is_empty() {
            self.over(&expired, End::Time);
            self.obey(&table, now);
            // Whoever looks first finds that a fault has ended. A link that looks afterwards sees no time to wait for any more:
            // it has to be told, or what it holds back is held for ever.
            self.changed.send_replace(());
        }
        act(&mut table)
    }

    /// Ends those that `end` takes out; returns them.
    fn change(&self, end: impl FnOnce(&mut FaultTable) -> Vec<Fault>, how: End) -> Vec<Fault> {
        let now = self.clock.now();
        let ended = self.with(|table| {
            let ended = end(table);
            self.over(&ended, how);
            self.obey(table, now);
            ended
        });
        self.changed.send_replace(());
        ended
    }

    /// The table has changed: what it does to the node itself is done, and the hot path looks for what is left.
    fn obey(&self, table: &FaultTable, now: Instant) {
        let acting = Kinds::of(table, now).0;
        let with = |kinds: u8| Some(acting | (kinds & Kinds::HELD.0));
        let _always_some = self.kinds.fetch_update(Relaxed, Relaxed, with);
        self.acts.obey(table, now);
    }

    /// Tells of those that act no more; the table is held.
    fn over(&self, faults: &[Fault], how: End) {
        for fault in faults {
            self.spans.ended(fault, how);
            self.recorder.tell(|| Fact::FaultOver { id: fault.id.clone() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, FaultTable> {
        self.table.lock().expect("no holder of the lock panics")
    }
}

#[cfg(test)]
#[path = "faults/spans_test.rs"]
mod spans_tests;

/// As the chaos service uses it.
impl crate::grpc::FaultPlane for FaultPlane {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn set(&self, id: &str, kind: FaultKind, ttl: Span, by: &str) -> Result<String, FaultError> {
        Self::set(self, id, kind, ttl, by).map(|fault| fault.id)
    }

    fn clear(&self, id: &str) -> bool {
        Self::clear(self, id).is_some()
    }

    fn halt(&self) -> usize {
        Self::halt(self).len()
    }

    fn list(&self) -> Vec<Fault> {
        Self::list(self)
    }

    fn lock(&self, lock: FaultLock) {
        *self.locking() = Some(lock);
    }

    fn unlock(&self) -> Option<FaultLock> {
        self.locking().take()
    }

    fn locked(&self) -> Option<FaultLock> {
        Self::locked(self)
    }
}
