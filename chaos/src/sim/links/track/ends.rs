//! The ends of a lane: what arrives and is acknowledged, what goes again over the next connection, and what comes back where
//! there is none.
//!
//! What does not live here: how things set out (`track`).

use squall_kernel::fault::{Pacer, Verdict};
use squall_kernel::frame::Frame;
use squall_kernel::time::{Instant, Span};

use super::{Track, Under, Waiting};
use crate::sim::links::{Returned, Writer, decoded};

/// Longest wait of an acknowledgement, as in the mesh.
const ACK: Span = Span::from_ms(10);

/// A frame at its receiver.
pub(in crate::sim) struct Arrived {
    pub(in crate::sim) frame: Frame,
    pub(in crate::sim) checksum: u64,
}

/// Something is not as it was sent, or comes again: the receiver reads no further. In words, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) struct Caught(pub(in crate::sim) &'static str);

impl Track {
    /// The next one arrives; `back` writes the acknowledgement.
    pub(in crate::sim::links) fn arrive(&mut self, back: &mut Writer<'_>) -> Result<Option<Arrived>, Caught> {
        let Some(under) = self.under_way.pop_front() else {
            return Ok(None);
        };
        let Some(frame) = under.arrived() else {
            assert!(under.changed.is_some(), "what was encoded can be decoded");
            self.under_way.push_front(under);
            return Err(Caught("frames caught as changed"));
        };
        assert!(under.changed.is_none(), "a checksum catches a changed bit");
        if under.seq <= self.received {
            return Err(Caught("frames dropped as repeated"));
        }
        assert_eq!(under.seq, self.received + 1, "a lane keeps its order");
        self.received = under.seq;
        let checksum = under.bytes[4..8]
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.acknowledge(under, back);
        Ok(Some(Arrived { frame, checksum }))
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
    pub(in crate::sim::links) fn resume(&mut self) {
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
    pub(in crate::sim::links) fn drain(self, now: Instant, returned: &mut Returned) {
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
    pub(in crate::sim::links) fn forget(&mut self, lost: bool) {
        self.waiting.clear();
        self.unacked.clear();
        if lost {
            self.under_way.clear();
        }
    }
}
