//! What links ask of the node's faults: what becomes of what they send, and of their connections, and what is told of it.
//!
//! What does not live here: what a fault means (the kernel's), and doing it (the mesh).

use std::sync::Arc;

use squall_kernel::fault::{Bears, Fault, FaultKind, LinkFault, Verdict};
use squall_kernel::frame::TraceContext;
use squall_kernel::id::NodeName;
use squall_kernel::spread::mix;
use squall_kernel::time::{Instant, Span};
use tokio::net::TcpStream;

use super::{FaultPlane, Kinds, Touched};

impl FaultPlane {
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
            .filter(|fault| fault.kind.to() == Some(to))
            .max_by_key(|fault| fault.ends)?;
        Some((last.kind.to_string(), last.ends.since(now)))
    }

    /// True while there is certainly no fault on a link.
    pub(crate) fn idle(&self) -> bool {
        !self.act(Kinds::LINK)
    }

    /// What becomes of `frames` that set out now.
    pub(crate) fn verdict(&self, to: &NodeName, rng: u64, frames: usize) -> Verdict {
        let now = self.clock.now();
        self.with(|table| table.verdict(to, now, rng, frames as u64))
    }

    /// What becomes, as the table stands now, of frames that set out at `since` and were counted then.
    pub(crate) fn judge(&self, to: &NodeName, since: Instant, rng: u64) -> Verdict {
        let now = self.clock.now();
        self.with(|table| table.judge(to, since, now, rng))
    }

    /// The messages among what sets out now that are told of, by the faults that touch it. `messages` is asked for only where a
    /// fault does, and spans are exported.
    pub(crate) fn touched(
        &self,
        to: &NodeName,
        rng: u64,
        messages: impl FnOnce() -> Vec<TraceContext>,
    ) -> Touched {
        if !self.spans.sink().is_on() {
            return Touched::default();
        }
        let now = self.clock.now();
        let by = self.with(|table| {
            let touching = table.touching(to, now, rng);
            touching
                .filter_map(|fault| self.spans.by(fault))
                .collect::<Vec<_>>()
        });
        if by.is_empty() {
            return Touched::default();
        }
        Touched::new(self.spans.sink(), by, messages())
    }

    /// What is held is judged anew: other faults may touch it now.
    pub(crate) fn touched_anew(&self, to: &NodeName, rng: u64, touched: &mut Touched) {
        if !touched.is_some() {
            return;
        }
        let now = self.clock.now();
        let by = self.with(|table| {
            let touching = table.touching(to, now, rng);
            touching.filter_map(|fault| self.spans.by(fault)).collect()
        });
        touched.by_now(by);
    }

    /// The messages that were on a connection when those faults of that peer broke it.
    pub(crate) fn broke(
        &self,
        to: &NodeName,
        by: impl Fn(&LinkFault) -> bool,
        messages: impl FnOnce() -> Vec<TraceContext>,
    ) -> Touched {
        if !self.spans.sink().is_on() {
            return Touched::default();
        }
        let breaks =
            |fault: &&Fault| matches!(&fault.kind, FaultKind::Link { to: on, what } if on == to && by(what));
        let now = self.clock.now();
        let by = self.with(|table| {
            let breaking = table.list(now).filter(breaks);
            breaking.filter_map(|fault| self.spans.by(fault)).collect()
        });
        Touched::new(self.spans.sink(), by, messages())
    }

    /// What a connection to that peer that was opened at `opened` has to bear now.
    pub(crate) fn bears(&self, to: &NodeName, opened: Instant) -> Bears {
        if self.idle() {
            return Bears::default();
        }
        let now = self.clock.now();
        self.with(|table| table.bears(to, opened, now))
    }

    /// Ends a connection to that peer, slowly where a fault wants that; of those that are held open there are at most
    /// [`LINGERING_MAX`](crate::mesh::LINGERING_MAX).
    pub(crate) fn close(&self, to: &NodeName, stream: TcpStream) {
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
    pub(crate) fn touch(&self, to: &NodeName, by: impl Fn(&LinkFault) -> bool) {
        let now = self.clock.now();
        self.with(|table| table.touch(to, now, by));
    }

    /// Waits out the verdict on a step toward `to` that is no frame: a dial, a message of the handshake.
    pub(crate) async fn pass(&self, to: &NodeName, draw: &mut Draw) {
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
}

/// A link's own random numbers (splitmix64): the same seed, the same delays.
#[derive(Debug, Clone)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}
