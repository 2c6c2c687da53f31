//! A lane of a link: what waits at its sender, and how it goes. What waits goes as the live
//! mesh's writer lets it go: by the verdict of the sender's fault table, in order, and judged anew when the table changes.
//!
//! What does not live here: what arrives and what comes back (`ends`), connections (`links`), and when anything happens (the
//! world).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use squall_kernel::fault::{Pacer, Verdict};
use squall_kernel::frame::Frame;
use squall_kernel::id::LinkSeq;
use squall_kernel::time::Instant;

use super::{Departed, Writer, decoded};
use crate::sim::host::Lane;

mod ends;

pub(in crate::sim) use ends::{Arrived, Caught};

/// A frame as it is sent, and what becomes of it on the way.
#[derive(Debug, Clone)]
struct Under {
    seq: u64,
    bytes: Bytes,
    /// The bit that is changed on the way, taken by how many there are.
    changed: Option<u64>,
}

impl Under {
    /// As it arrives.
    fn arrived(&self) -> Option<Frame> {
        let Some(number) = self.changed else {
            return decoded(&self.bytes);
        };
        let mut bytes = self.bytes.to_vec();
        // A place within the bytes fits.
        let bit = usize::try_from(number % (bytes.len() as u64 * 8)).unwrap_or(0);
        bytes[bit / 8] ^= 1 << (bit % 8);
        decoded(&bytes)
    }
}

/// What has not set out.
#[derive(Debug)]
struct Waiting {
    under: Under,
    /// None until a connection takes it for writing: until then it has certainly not left.
    taken: Option<Taken>,
}

#[derive(Debug)]
struct Taken {
    since: Instant,
    /// Its random number: however often it is judged, what it drew stays drawn.
    rng: u64,
    verdict: Verdict,
    /// When it goes; none while nobody knows.
    goes: Option<Instant>,
}

/// A lane.
#[derive(Debug, Default)]
pub(super) struct Track {
    next: u64,
    received: u64,
    /// Oldest first; those that are taken before all others.
    waiting: VecDeque<Waiting>,
    /// On the way, oldest first.
    under_way: VecDeque<Under>,
    /// Arrived, not acknowledged yet, and when it will be; never where that cannot come back.
    unacked: VecDeque<(Option<Instant>, Under)>,
    last_arrival: Instant,
    /// Bytes that the connection has carried while some fault acted.
    carried: u64,
    /// As of what has gone, and of all that waits.
    gone: Pacer,
    paced: Pacer,
    /// When the world asks again.
    asked: Option<Instant>,
}

impl Track {
    /// Takes a frame from the node.
    pub(super) fn push(&mut self, frame: &Frame) {
        self.next += 1;
        let mut bytes = BytesMut::new();
        frame.encode(LinkSeq(self.next), &mut bytes);
        let under = Under {
            seq: self.next,
            bytes: bytes.freeze(),
            changed: None,
        };
        self.waiting.push_back(Waiting { under, taken: None });
    }

    /// A connection takes for writing what none has taken, and asks what becomes of it.
    pub(super) fn take(&mut self, writer: &mut Writer<'_>) {
        let since = writer.now;
        let from = self.waiting.partition_point(|waiting| waiting.taken.is_some());
        let first = from == 0;
        for waiting in self.waiting.range_mut(from..) {
            let (rng, verdict) = if first && writer.faults.is_empty() {
                (0, Verdict::pass(since))
            } else {
                let rng = writer.rng.next();
                (rng, writer.faults.verdict(writer.to, since, rng, 1))
            };
            waiting.taken = Some(Taken {
                since,
                rng,
                verdict,
                goes: self.paced.goes(&verdict, waiting.under.bytes.len() as u64),
            });
        }
    }

    /// Asks again what becomes of all that waits.
    pub(super) fn judge_anew(&mut self, writer: &Writer<'_>) {
        let mut pacer = self.gone;
        for waiting in &mut self.waiting {
            if let Some(taken) = &mut waiting.taken {
                taken.verdict = writer.faults.judge(writer.to, taken.since, writer.now, taken.rng);
                taken.goes = pacer.goes(&taken.verdict, waiting.under.bytes.len() as u64);
            }
        }
        self.paced = pacer;
    }

    /// Writes what is due.
    pub(super) fn write(&mut self, lane: Lane, writer: &mut Writer<'_>, departed: &mut Departed) {
        let now = writer.now;
        if self.asked.is_some_and(|at| at <= now) {
            self.asked = None;
        }
        while let Some(verdict) = self.due(now) {
            let Some(Waiting { under, .. }) = self.waiting.pop_front() else {
                return;
            };
            self.gone.goes(&verdict, under.bytes.len() as u64);
            let copies = if verdict.acts.twice { 2 } else { 1 };
            for _ in 0..copies {
                let whole = self.carries(under.bytes.len() as u64, writer);
                self.under_way.push_back(Under {
                    changed: verdict.acts.corrupt,
                    ..under.clone()
                });
                if !whole {
                    // What is cut short never arrives; the next connection brings it again.
                    departed.full = true;
                    return;
                }
                departed.arrivals.push((lane, self.arrival(writer)));
            }
        }
        let next = self.waiting.front().and_then(|first| first.taken.as_ref()?.goes);
        if let Some(at) = next.filter(|at| self.asked.is_none_or(|asked| asked != *at)) {
            self.asked = Some(at);
            departed.goes.push((lane, at));
        }
    }

    /// What becomes of the first that waits, where it goes now.
    fn due(&self, now: Instant) -> Option<Verdict> {
        let taken = self.waiting.front()?.taken.as_ref()?;
        taken.goes.is_some_and(|at| at <= now).then_some(taken.verdict)
    }

    /// False where a fault lets the connection carry less than so much more.
    fn carries(&mut self, bytes: u64, writer: &Writer<'_>) -> bool {
        if writer.faults.is_empty() {
            return true;
        }
        self.carried += bytes;
        let limit = writer.faults.bears(writer.to, writer.now, writer.now).limit;
        limit.is_none_or(|limit| self.carried <= limit)
    }

    /// When something that sets out now arrives: never before what set out earlier.
    fn arrival(&mut self, writer: &mut Writer<'_>) -> Instant {
        let at = writer.now + writer.spread.draw(writer.rng);
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len() + self.waiting.len()
    }
}
