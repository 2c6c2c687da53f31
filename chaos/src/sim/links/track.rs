//! A lane of a link: what waits at its sender, what is on its way, and what its receiver has. What waits goes as the live
//! mesh's writer lets it go: by the verdict of the sender's fault table, in order, and judged anew when the table changes.
//!
//! What does not live here: connections (`links`), and when anything happens (the world).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use squall_kernel::fault::{Pacer, Verdict};
use squall_kernel::frame::Frame;
use squall_kernel::id::LinkSeq;
use squall_kernel::time::{Instant, Span};

use super::{Departed, Returned, Writer, decoded};
use crate::sim::host::Lane;

/// Longest wait of an acknowledgement, as in the mesh.
const ACK: Span = Span::from_ms(10);

/// What arrives.
pub(in crate::sim) enum Arrival {
    /// Nothing: nobody reads there any more.
    Nothing,
    /// What is not as it was sent, or comes again: the receiver reads no further. In words, for counting.
    Caught(&'static str),
    /// A frame.
    Frame {
        /// As it was sent.
        frame: Frame,
        /// Its checksum.
        checksum: u64,
    },
}

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

    /// The next one arrives; `back` writes the acknowledgement.
    pub(super) fn arrive(&mut self, back: &mut Writer<'_>) -> Arrival {
        let Some(under) = self.under_way.pop_front() else {
            return Arrival::Nothing;
        };
        let Some(frame) = under.arrived() else {
            assert!(under.changed.is_some(), "what was encoded can be decoded");
            self.under_way.push_front(under);
            return Arrival::Caught("frames caught as changed");
        };
        assert!(under.changed.is_none(), "a checksum catches a changed bit");
        if under.seq <= self.received {
            return Arrival::Caught("frames dropped as repeated");
        }
        assert_eq!(under.seq, self.received + 1, "a lane keeps its order");
        self.received = under.seq;
        let checksum = under.bytes[4..8]
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.acknowledge(under, back);
        Arrival::Frame { frame, checksum }
    }

    /// An acknowledgement is of all before as well.
    fn acknowledge(&mut self, under: Under, back: &mut Writer<'_>) {
        let verdict = if back.faults.is_empty() {
            Verdict::pass(back.now)
        } else {
            let rng = back.rng.next();
            back.faults.verdict(back.to, back.now, rng, 0)
        };
        let acked = (!verdict.held).then(|| verdict.at + back.rng.span(Span::ZERO, ACK));
        let over = |(at, _): &(Option<Instant>, Under)| at.is_some_and(|at| at <= back.now);
        while self.unacked.front().is_some_and(over) {
            self.unacked.pop_front();
        }
        self.unacked.push_back((acked, under));
    }

    /// Another connection to the same run: the receiver has told what it has, and the rest goes again.
    pub(super) fn resume(&mut self) {
        self.unacked.clear();
        let mut seq = self.received;
        let under_way = std::mem::take(&mut self.under_way).into_iter();
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        for under in under_way.chain(waiting.map(|waiting| waiting.under)) {
            // What was sent twice goes once.
            if under.seq > seq {
                seq = under.seq;
                let under = Under {
                    changed: None,
                    ..under
                };
                self.waiting.push_back(Waiting { under, taken: None });
            }
        }
        (self.carried, self.asked) = (0, None);
        (self.gone, self.paced) = (Pacer::default(), Pacer::default());
    }

    /// Everything comes back that the sender does not know to have arrived.
    pub(super) fn drain(self, now: Instant, returned: &mut Returned) {
        let doubtful = |(at, _): &(Option<Instant>, Under)| at.is_none_or(|at| at > now);
        let unacked = self.unacked.into_iter().filter(doubtful).map(|(_, under)| under);
        let (mut seq, mut written) = (0, Vec::new());
        for under in unacked.chain(self.under_way) {
            if under.seq > seq {
                seq = under.seq;
                written.push(under);
            }
        }
        for waiting in self.waiting {
            if waiting.taken.is_some() {
                written.push(waiting.under);
            } else {
                returned.unwritten.extend(decoded(&waiting.under.bytes));
            }
        }
        let frames = written.iter().filter_map(|under| decoded(&under.bytes));
        returned.written.extend(frames);
    }

    /// The sender is gone.
    pub(super) fn forget(&mut self, lost: bool) {
        self.waiting.clear();
        self.unacked.clear();
        if lost {
            self.under_way.clear();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len() + self.waiting.len()
    }
}
