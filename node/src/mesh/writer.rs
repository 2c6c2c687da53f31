//! Writes what a lane has queued to its connection, held back by faults, and as they leave it. What does not live here: dialling
//! and acknowledgements (`dial`), the queue (`lane`), what becomes of bytes (`spoil`).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use squall_kernel::fault::{Bears, LinkFault, Pacer, Verdict};
use squall_kernel::id::NodeName;
use squall_kernel::time::Instant;
use tokio::net::tcp::WriteHalf;
use tokio::sync::watch;

use super::Shared;
use super::lane::Lane;
use super::limits::ALONE_AFTER;
use super::outbox::Batch;
use super::spoil;
use super::stream::{others_first, write_parts};
use super::traced::sampled;
use crate::faults::{Draw, Touched};

/// The writing end of one connection.
pub(super) struct Writer<'a> {
    shared: &'a Shared,
    lane: &'a Lane,
    to: &'a NodeName,
    draw: &'a mut Draw,
    opened: Instant,
    /// Bytes written while some fault acted.
    carried: u64,
    held: VecDeque<Held>,
    /// As of what has gone, and of all that is held.
    gone: Pacer,
    paced: Pacer,
}

/// Frames that a fault holds back.
struct Held {
    since: Instant,
    /// Its random number: however often it is judged, what it drew stays drawn.
    rng: u64,
    verdict: Verdict,
    /// When they go; none while nobody knows.
    release: Option<Instant>,
    parts: VecDeque<Bytes>,
    batch: Batch,
    /// Those of its messages that are told of: let go when it goes, or when the connection breaks under it.
    touched: Touched,
}

impl<'a> Writer<'a> {
    pub(super) fn new(shared: &'a Shared, lane: &'a Lane, to: &'a NodeName, draw: &'a mut Draw) -> Self {
        Self {
            shared,
            lane,
            to,
            draw,
            opened: shared.faults.now(),
            carried: 0,
            held: VecDeque::new(),
            gone: Pacer::default(),
            paced: Pacer::default(),
        }
    }

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
        let mut wrote: Option<Instant> = None;
        loop {
            let taken = self.lane.take(&mut parts);
            if self.held.is_empty() && self.shared.faults.idle() {
                match taken {
                    Some(batch) => {
                        write_parts(io, &mut parts).await?;
                        self.lane.wrote(batch);
                        wrote = Some(self.shared.faults.now());
                    }
                    // A fault that is set wakes it, too.
                    None => {
                        self.lane.wake.notified().await;
                        let now = self.shared.faults.now();
                        if wrote.is_some_and(|at| now.since(at) < ALONE_AFTER) {
                            others_first().await;
                        }
                    }
                }
                continue;
            }
            let bears = self.shared.faults.bears(self.to, self.opened);
            if bears.broken {
                return Err(self.reset(io));
            }
            if let Some(batch) = taken {
                self.hold(batch, std::mem::take(&mut parts));
            }
            let now = self.shared.faults.now();
            let due = |held: &Held| held.release.is_some_and(|at| at <= now);
            if self.held.front().is_some_and(due)
                && let Some(held) = self.held.pop_front()
            {
                self.put(io, held, &bears).await?;
            } else if taken.is_none() {
                self.wait(&mut changes, bears.next_break).await;
            }
        }
    }

    fn hold(&mut self, batch: Batch, parts: VecDeque<Bytes>) {
        let since = self.shared.faults.now();
        let rng = self.draw.next();
        let verdict = self.shared.faults.verdict(self.to, rng, batch.frames);
        let touched = self.shared.faults.touched(self.to, rng, || sampled(&parts));
        self.held.push_back(Held {
            since,
            rng,
            verdict,
            release: self.paced.goes(&verdict, batch.bytes as u64),
            parts,
            batch,
            touched,
        });
    }

    /// Writes what is due, as its verdict leaves it.
    async fn put(&mut self, io: &mut WriteHalf<'_>, mut held: Held, bears: &Bears) -> io::Result<()> {
        let acts = held.verdict.acts;
        // What goes in slices is held up while it is written.
        let _until_written = acts.slice.map(|_| std::mem::take(&mut held.touched));
        drop(std::mem::take(&mut held.touched));
        self.gone.goes(&held.verdict, held.batch.bytes as u64);
        if let Some(number) = acts.corrupt {
            spoil::corrupt(&mut held.parts, number);
        }
        for _ in 0..if acts.twice { 2 } else { 1 } {
            let mut parts = held.parts.clone();
            let left = bears.limit.map(|limit| limit.saturating_sub(self.carried));
            let ends = left.filter(|left| *left < spoil::len(&parts));
            if let Some(left) = ends {
                spoil::truncate(&mut parts, left);
            }
            self.carried += spoil::len(&parts);
            spoil::write(io, parts, acts.slice).await?;
            if ends.is_some() {
                let limits = |fault: &LinkFault| matches!(fault, LinkFault::Limit(_));
                let faults = &self.shared.faults;
                drop(faults.broke(self.to, limits, || sampled(&held.parts)));
                return Err(self.broken(io, limits));
            }
        }
        self.lane.wrote(held.batch);
        Ok(())
    }

    /// What waited to be written is broken off.
    fn reset(&self, io: &WriteHalf<'_>) -> io::Error {
        let resets = |fault: &LinkFault| matches!(fault, LinkFault::Reset(_));
        let waiting = || self.held.iter().flat_map(|held| sampled(&held.parts)).collect();
        drop(self.shared.faults.broke(self.to, resets, waiting));
        self.broken(io, resets)
    }

    /// A fault breaks the connection: the other side sees it reset.
    fn broken(&self, io: &WriteHalf<'_>, by: impl Fn(&LinkFault) -> bool) -> io::Error {
        self.shared.faults.touch(self.to, by);
        // Where it cannot be set it ends in order, which breaks it as well.
        let _or_in_order = io.as_ref().set_zero_linger();
        io::Error::new(io::ErrorKind::ConnectionReset, "broken by a fault")
    }

    async fn wait(&mut self, changes: &mut watch::Receiver<()>, next_break: Option<Instant>) {
        let faults = &self.shared.faults;
        let due = self.held.front().and_then(|held| held.release);
        tokio::select! {
            () = self.lane.wake.notified() => {}
            () = faults.until(due) => {}
            () = faults.until(next_break) => {}
            () = faults.changed(changes) => self.judge_anew(),
        }
    }

    fn judge_anew(&mut self) {
        let mut pacer = self.gone;
        for held in &mut self.held {
            held.verdict = self.shared.faults.judge(self.to, held.since, held.rng);
            held.release = pacer.goes(&held.verdict, held.batch.bytes as u64);
            let faults = &self.shared.faults;
            faults.touched_anew(self.to, held.rng, &mut held.touched);
        }
        self.paced = pacer;
    }
}
