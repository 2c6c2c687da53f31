//! The links of a simulated cluster: directed, with lanes, on which encoded frames stay in order, as on the mesh's TCP
//! connections. Loss is a pause, a cut holds back, and when an end is gone what was under way is lost or comes back.
//!
//! What does not live here: when a link breaks or stands again, and what faults there are; the world asks and tells.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use squall_kernel::fault::retransmission;
use squall_kernel::frame::Frame;
use squall_kernel::handshake::LANES;
use squall_kernel::id::{Incarnation, LinkSeq};
use squall_kernel::limits::FRAME_BYTES_MAX;
use squall_kernel::time::{Instant, Span};

use super::fault::{Seat, SimFault};
use super::host::Lane;
use super::plan::Spread;
use super::rng::Rng;

/// Losses in a row that are counted: three pauses are longer than any fault needs. A live link counts more.
const LOSSES_MAX: u32 = 3;
/// Longest wait of an acknowledgement, as in the mesh.
const ACK: Span = Span::from_ms(10);

/// One way from one node to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) from: Seat,
    pub(super) to: Seat,
}

impl Way {
    pub(super) fn back(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
        }
    }
}

#[derive(Debug, Clone)]
struct Under {
    seq: u64,
    bytes: Bytes,
}

/// A lane: what is on it, and what its receiver has.
#[derive(Debug, Default)]
struct Track {
    next: u64,
    received: u64,
    /// On the way, oldest first.
    under_way: VecDeque<Under>,
    /// Held back by a cut, oldest first; nothing of it has left.
    held: VecDeque<Under>,
    /// Arrived, not acknowledged yet, and when it will be; never where that cannot come back.
    unacked: VecDeque<(Option<Instant>, Under)>,
    last_arrival: Instant,
}

/// How the sender sees a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Takes nothing.
    Down,
    /// Connected to that run of the peer.
    Up(Incarnation),
    /// No connection; takes frames in the hope of a new one to that run.
    Broken(Incarnation),
}

/// A link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) phase: Phase,
    /// Counts connections: what was on an earlier one does not arrive.
    pub(super) connection: u64,
    tracks: [Track; LANES as usize],
}

/// Frames that come back.
#[derive(Debug, Default)]
pub(super) struct Returned {
    pub(super) unwritten: Vec<Frame>,
    pub(super) written: Vec<Frame>,
}

/// A frame at its receiver.
pub(super) struct Arrived {
    pub(super) frame: Frame,
    pub(super) checksum: u64,
    /// True when it comes again behind itself.
    pub(super) repeated: bool,
}

/// What the faults of now do to a link.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weather {
    pub(super) cut: bool,
    pub(super) slower: Span,
    pub(super) jitter: Span,
    pub(super) lost: u32,
    pub(super) repeated: u32,
    /// Begin and length of stalls.
    pub(super) clog: Option<(Instant, Span)>,
}

impl Weather {
    pub(super) fn of<'f>(way: Way, faults: impl Iterator<Item = (Instant, &'f SimFault)>) -> Self {
        let mut weather = Self::default();
        for (since, fault) in faults {
            weather.cut |= fault.cuts(way.from, way.to);
            weather.add(way, since, fault);
        }
        weather
    }

    fn add(&mut self, way: Way, since: Instant, fault: &SimFault) {
        let here = |from: Seat, to: Seat| way == Way { from, to };
        match fault {
            SimFault::Delay { from, to, by, jitter } if here(*from, *to) => {
                self.slower.0 += by.0;
                self.jitter.0 += jitter.0;
            }
            SimFault::Slow { node, by } if way.from == *node || way.to == *node => self.slower.0 += by.0,
            SimFault::Loss { from, to, per_mille } if here(*from, *to) => {
                self.lost = self.lost.max(*per_mille);
            }
            SimFault::Duplicate { from, to, per_mille } if here(*from, *to) => {
                self.repeated = self.repeated.max(*per_mille);
            }
            SimFault::Clog { from, to, stall } if here(*from, *to) => self.clog = Some((since, *stall)),
            _ => {}
        }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self {
            phase: Phase::Down,
            connection: 0,
            tracks: std::array::from_fn(|_| Track::default()),
        }
    }
}

impl Link {
    /// Takes a frame; returns when it arrives, where it can set out now.
    pub(super) fn send(
        &mut self,
        now: Instant,
        lane: Lane,
        frame: &Frame,
        (weather, spread, rng): (&Weather, &Spread, &mut Rng),
    ) -> Option<Instant> {
        let up = matches!(self.phase, Phase::Up(_));
        let track = &mut self.tracks[usize::from(lane.0)];
        track.next += 1;
        let mut bytes = BytesMut::new();
        frame.encode(LinkSeq(track.next), &mut bytes);
        let under = Under {
            seq: track.next,
            bytes: bytes.freeze(),
        };
        if !up || weather.cut || !track.held.is_empty() {
            track.held.push_back(under);
            return None;
        }
        track.under_way.push_back(under);
        Some(track.arrival(now, weather, spread, rng))
    }

    /// What was held back sets out; returns when each arrives, by lane.
    pub(super) fn release(
        &mut self,
        now: Instant,
        weather: &Weather,
        spread: &Spread,
        rng: &mut Rng,
    ) -> Vec<(Lane, Instant)> {
        let mut arrivals = Vec::new();
        for (number, track) in (0..LANES).zip(&mut self.tracks) {
            while let Some(under) = track.held.pop_front() {
                track.under_way.push_back(under);
                arrivals.push((Lane(number), track.arrival(now, weather, spread, rng)));
            }
        }
        arrivals
    }

    /// The next frame of a lane arrives. None where its receiver has it already.
    pub(super) fn arrive(
        &mut self,
        now: Instant,
        lane: Lane,
        weather: (&Weather, &Weather),
        rng: &mut Rng,
    ) -> Option<Arrived> {
        let (there, back) = weather;
        let track = &mut self.tracks[usize::from(lane.0)];
        let under = track.under_way.pop_front()?;
        let frame = decoded(&under);
        let checksum = under.bytes[4..8]
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if under.seq <= track.received {
            return None;
        }
        track.received = under.seq;
        let repeated = rng.chance(there.repeated);
        if repeated {
            // It comes again behind itself, as after a link that was resumed.
            track.under_way.push_front(under.clone());
        }
        let acked = (!back.cut).then(|| now + rng.span(Span::ZERO, ACK) + back.slower);
        while track
            .unacked
            .front()
            .is_some_and(|(at, _)| at.is_some_and(|at| at <= now))
        {
            track.unacked.pop_front();
        }
        track.unacked.push_back((acked, under));
        Some(Arrived {
            frame,
            checksum,
            repeated,
        })
    }

    /// A connection stands to that run of the peer: what does not go on comes back.
    pub(super) fn connected(&mut self, now: Instant, peer: Incarnation) -> Returned {
        let returned = self.drain(now);
        self.connection += 1;
        // What an earlier run of the sender left behind is nobody's.
        let mine = self.phase != Phase::Down;
        self.phase = Phase::Up(peer);
        if mine { returned } else { Returned::default() }
    }

    /// The connection is gone.
    pub(super) fn broken(&mut self) {
        if let Phase::Up(peer) = self.phase {
            self.phase = Phase::Broken(peer);
        }
    }

    /// No hope any more: everything comes back.
    pub(super) fn give_up(&mut self, now: Instant) -> Returned {
        self.phase = Phase::Down;
        self.drain(now)
    }

    /// The sender is gone: nothing comes back, and the next run begins anew. What is on its way may still arrive.
    pub(super) fn forget(&mut self, lost: bool) {
        self.phase = Phase::Down;
        for track in &mut self.tracks {
            track.held.clear();
            track.unacked.clear();
            if lost {
                track.under_way.clear();
            }
        }
    }

    /// Frames that are on their way, held or not.
    pub(super) fn len(&self) -> usize {
        self.tracks.iter().map(|t| t.under_way.len() + t.held.len()).sum()
    }

    fn drain(&mut self, now: Instant) -> Returned {
        let mut returned = Returned::default();
        for track in &mut self.tracks {
            let doubtful = |(at, _): &(Option<Instant>, Under)| at.is_none_or(|at| at > now);
            let unacked = std::mem::take(&mut track.unacked).into_iter().filter(doubtful);
            let written = unacked
                .map(|(_, under)| under)
                .chain(std::mem::take(&mut track.under_way));
            returned.written.extend(written.map(|under| decoded(&under)));
            returned.unwritten.extend(track.held.iter().map(decoded));
            *track = Track::default();
        }
        returned
    }
}

impl Track {
    /// When something that sets out now arrives: never before what set out earlier.
    fn arrival(&mut self, now: Instant, weather: &Weather, spread: &Spread, rng: &mut Rng) -> Instant {
        let mut at = now + spread.draw(rng) + weather.slower + rng.span(Span::ZERO, weather.jitter);
        at = at + retransmission(LOSSES_MAX, || weather.lost > 0 && rng.chance(weather.lost));
        if let Some((since, stall)) = weather.clog {
            let stalls = at.since(since).0 / stall.0.max(1) + 1;
            at = at.max(Instant(since.0 + stalls * stall.0));
        }
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }
}

fn decoded(under: &Under) -> Frame {
    let mut bytes = BytesMut::from(&under.bytes[..]);
    let decoded = Frame::decode(&mut bytes, FRAME_BYTES_MAX).expect("what was encoded can be decoded");
    decoded.expect("frames travel whole").1
}
