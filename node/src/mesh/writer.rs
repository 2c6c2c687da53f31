//! Writes what a lane has queued to its connection, held back by faults. What does not live here: dialling and
//! acknowledgements (`dial`), the queue (`lane`).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use squall_kernel::fault::Verdict;
use squall_kernel::id::NodeName;
use squall_kernel::time::Instant;
use tokio::net::tcp::WriteHalf;
use tokio::sync::watch;

use super::Shared;
use super::faults::Draw;
use super::lane::Lane;
use super::outbox::Batch;
use super::stream::write_parts;

/// The writing end of one connection.
pub(super) struct Writer<'a> {
    pub(super) shared: &'a Shared,
    pub(super) lane: &'a Lane,
    pub(super) to: &'a NodeName,
    pub(super) draw: &'a mut Draw,
    pub(super) held: VecDeque<Held>,
}

/// Frames that a fault holds back.
pub(super) struct Held {
    since: Instant,
    /// Its random number: however often it is judged, what it drew stays drawn.
    rng: u64,
    /// When they go; none while nobody knows.
    release: Option<Instant>,
    parts: VecDeque<Bytes>,
    batch: Batch,
}

impl Writer<'_> {
    /// Returns why it cannot go on.
    pub(super) async fn run(&mut self, io: &mut WriteHalf<'_>) -> io::Error {
        match self.write_queued(io).await {
            Err(error) => error,
        }
    }

    /// Writes whatever is queued and may go, and waits for more.
    async fn write_queued(&mut self, io: &mut WriteHalf<'_>) -> io::Result<Infallible> {
        let mut changes = self.shared.faults.changes();
        let mut parts = VecDeque::new();
        loop {
            let taken = self.lane.take(&mut parts);
            if let Some(batch) = taken {
                if self.held.is_empty() && self.shared.faults.idle() {
                    write_parts(io, &mut parts).await?;
                    self.lane.wrote(batch);
                    continue;
                }
                self.hold(batch, std::mem::take(&mut parts));
            }
            let now = self.shared.faults.now();
            if self
                .held
                .front()
                .is_some_and(|held| held.release.is_some_and(|at| at <= now))
            {
                let mut due = self.held.pop_front().expect("it was just seen");
                write_parts(io, &mut due.parts).await?;
                self.lane.wrote(due.batch);
            } else if taken.is_none() {
                self.wait(&mut changes).await;
            }
        }
    }

    fn hold(&mut self, batch: Batch, parts: VecDeque<Bytes>) {
        let since = self.shared.faults.now();
        let rng = self.draw.next();
        let verdict = self.shared.faults.verdict(self.to, rng, batch.frames);
        self.held.push_back(Held {
            since,
            rng,
            release: release(verdict, since),
            parts,
            batch,
        });
    }

    async fn wait(&mut self, changes: &mut watch::Receiver<()>) {
        let faults = &self.shared.faults;
        let Some(front) = self.held.front() else {
            return self.lane.wake.notified().await;
        };
        tokio::select! {
            () = self.lane.wake.notified() => {}
            () = faults.until(front.release) => {}
            () = faults.changed(changes) => {
                for held in &mut self.held {
                    held.release = release(faults.judge(self.to, held.since, held.rng), held.since);
                }
            }
        }
    }
}

fn release(verdict: Verdict, since: Instant) -> Option<Instant> {
    match verdict {
        Verdict::Pass => Some(since),
        Verdict::DelayUntil(at) => Some(at),
        Verdict::Hold => None,
    }
}
