//! The node's fault table as its links ask it, shared between runtimes. What a fault means is the kernel's
//! (`squall_kernel::fault`); who may set one is the chaos service's.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use squall_kernel::fault::{Bears, Fault, FaultError, FaultKind, FaultTable, LinkFault, Verdict};
use squall_kernel::id::NodeName;
use squall_kernel::spread::mix;
use squall_kernel::time::{Instant, Span};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use super::limits::LINGERING_MAX;
use crate::clock::Clock;
use crate::journal::{Fact, Recorder};

/// The faults of this node.
#[derive(Debug)]
pub struct FaultPlane {
    clock: Clock,
    table: Mutex<FaultTable>,
    /// False while the table is empty: the hot path looks no further.
    active: AtomicBool,
    changed: watch::Sender<()>,
    recorder: Recorder,
    lingering: Arc<Semaphore>,
}

impl FaultPlane {
    /// No faults.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self::recorded(clock, Recorder::new(None, clock))
    }

    /// No faults; each that comes and goes is told to `recorder`.
    #[must_use]
    pub fn recorded(clock: Clock, recorder: Recorder) -> Self {
        let table = Mutex::new(FaultTable::default());
        Self {
            clock,
            table,
            active: AtomicBool::new(false),
            changed: watch::Sender::new(()),
            recorder,
            lingering: Arc::new(Semaphore::new(LINGERING_MAX)),
        }
    }

    /// Sets a fault, in place of the one with the same id; an empty id lets the table choose one.
    ///
    /// # Errors
    /// [`FaultError`]; nothing has changed then.
    pub fn set(&self, id: &str, kind: FaultKind, ttl: Span, by: &str) -> Result<Fault, FaultError> {
        let now = self.clock.now();
        let fault = {
            let mut table = self.lock();
            self.over(&table.expire(now));
            let id = table.set(now, id, kind, ttl, by)?;
            let fault = table.list(now).find(|fault| fault.id == id).cloned();
            let fault = fault.expect("a fault that was just set lives longer than nothing");
            self.active.store(true, Relaxed);
            // Told while the table is held: so the journal has what comes and goes in order.
            self.recorder.tell(|| Fact::Fault {
                id: fault.id.clone(),
                text: fault.kind.to_string(),
                ends: fault.ends,
            });
            fault
        };
        self.changed.send_replace(());
        Ok(fault)
    }

    /// Ends one fault; none when it is not there.
    pub fn clear(&self, id: &str) -> Option<Fault> {
        let cleared = self.with(|table| {
            let cleared = table.clear(id);
            self.over(cleared.as_slice());
            cleared
        });
        self.changed.send_replace(());
        cleared
    }

    /// Ends all faults; returns them.
    pub fn halt(&self) -> Vec<Fault> {
        let cleared = self.with(|table| {
            let cleared = table.halt();
            self.over(&cleared);
            cleared
        });
        self.changed.send_replace(());
        cleared
    }

    /// The faults in force.
    #[must_use]
    pub fn list(&self) -> Vec<Fault> {
        let now = self.clock.now();
        self.with(|table| table.list(now).cloned().collect())
    }

    /// The fault on bytes to that peer that ends last: in words, and what is left of it.
    #[must_use]
    pub fn on(&self, to: &NodeName) -> Option<(String, Span)> {
        if self.idle() {
            return None;
        }
        let now = self.clock.now();
        let table = self.lock();
        let last = table
            .list(now)
            .filter(|fault| fault.kind.to() == to)
            .max_by_key(|fault| fault.ends)?;
        Some((last.kind.to_string(), last.ends.since(now)))
    }

    /// True while there is certainly no fault.
    pub(super) fn idle(&self) -> bool {
        !self.active.load(Relaxed)
    }

    /// What becomes of `frames` that set out now.
    pub(super) fn verdict(&self, to: &NodeName, rng: u64, frames: usize) -> Verdict {
        let now = self.clock.now();
        self.with(|table| table.verdict(to, now, rng, frames as u64))
    }

    /// What becomes, as the table stands now, of frames that set out at `since` and were counted then.
    pub(super) fn judge(&self, to: &NodeName, since: Instant, rng: u64) -> Verdict {
        let now = self.clock.now();
        self.with(|table| table.judge(to, since, now, rng))
    }

    /// What a connection to that peer that was opened at `opened` has to bear now.
    pub(super) fn bears(&self, to: &NodeName, opened: Instant) -> Bears {
        if self.idle() {
            return Bears::default();
        }
        let now = self.clock.now();
        self.with(|table| table.bears(to, opened, now))
    }

    /// Ends a connection to that peer, slowly where a fault wants that; of those that are held open there are at most
    /// [`LINGERING_MAX`].
    pub(super) fn close(&self, to: &NodeName, stream: TcpStream) {
        let by = self.bears(to, Instant::default()).slow_close;
        if by == Span::ZERO {
            return;
        }
        let Ok(place) = Arc::clone(&self.lingering).try_acquire_owned() else {
            return;
        };
        self.touch(to, |fault| matches!(fault, LinkFault::SlowClose(_)));
        let over = self.until(Some(self.clock.now() + by));
        tokio::spawn(async move {
            over.await;
            drop((stream, place));
        });
    }

    /// Counts a connection to that peer as touched.
    pub(super) fn touch(&self, to: &NodeName, by: impl Fn(&LinkFault) -> bool) {
        let now = self.clock.now();
        self.with(|table| table.touch(to, now, by));
    }

    /// Tells of changes from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns when the table has changed, by hand or by time.
    pub(super) async fn changed(&self, changes: &mut watch::Receiver<()>) {
        let next = self.lock().next_timeout();
        tokio::select! {
            // The sender lives in `self`.
            _ = changes.changed() => {}
            () = self.until(next) => {}
        }
    }

    /// Waits out the verdict on a step toward `to` that is no frame: a dial, a message of the handshake.
    pub(super) async fn pass(&self, to: &NodeName, draw: &mut Draw) {
        if self.idle() {
            return;
        }
        let mut changes = self.changes();
        let (since, rng) = (self.clock.now(), draw.next());
        let mut verdict = self.verdict(to, rng, 0);
        loop {
            let release = (!verdict.held).then_some(verdict.at);
            if release.is_some_and(|at| at <= self.clock.now()) {
                return;
            }
            tokio::select! {
                () = self.changed(&mut changes) => {}
                () = self.until(release) => return,
            }
            verdict = self.judge(to, since, rng);
        }
    }

    /// Sleeps until then; without a time for ever.
    pub(super) fn until(&self, at: Option<Instant>) -> impl Future<Output = ()> + Send + use<> {
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
        self.over(&expired);
        if !expired.is_empty() {
            // Whoever looks first finds that a fault has ended. A link that looks afterwards sees no time to wait for any more:
            // it has to be told, or what it holds back is held for ever.
            self.changed.send_replace(());
        }
        let result = act(&mut table);
        self.active.store(!table.is_empty(), Relaxed);
        result
    }

    /// Tells of those that act no more; the table is held.
    fn over(&self, faults: &[Fault]) {
        for fault in faults {
            self.recorder.tell(|| Fact::FaultOver { id: fault.id.clone() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, FaultTable> {
        self.table.lock().expect("no holder of the lock panics")
    }
}

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
}

/// A link's own random numbers (splitmix64): the same seed, the same delays.
#[derive(Debug, Clone)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}
