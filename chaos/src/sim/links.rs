//! The links of a simulated cluster: directed, with lanes, on which encoded frames stay in order, as on the mesh's TCP
//! connections. When a connection breaks, the next one to the same run goes on after what its receiver has; when an end is
//! gone, what was under way is lost or comes back.
//!
//! What does not live here: lanes (`track`), what faults do to what sets out (the kernel's table, which its sender holds), and
//! when a link breaks or stands again; the world asks and tells.

use bytes::BytesMut;
use squall_kernel::fault::FaultTable;
use squall_kernel::frame::Frame;
use squall_kernel::handshake::LANES;
use squall_kernel::id::{Incarnation, NodeName};
use squall_kernel::limits::FRAME_BYTES_MAX;
use squall_kernel::time::Instant;

use super::fault::Seat;
use super::host::Lane;
use super::plan::Spread;
use super::rng::Rng;

mod track;

use track::Track;
pub(super) use track::{Arrived, Caught};

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

/// Who writes: the faults of its node, and how long things travel from there.
pub(super) struct Writer<'w> {
    pub(super) now: Instant,
    pub(super) faults: &'w mut FaultTable,
    pub(super) to: &'w NodeName,
    pub(super) spread: &'w Spread,
    pub(super) rng: &'w mut Rng,
}

/// What came of writing.
#[derive(Debug, Default)]
pub(super) struct Departed {
    /// When what has set out arrives, by lane.
    pub(super) arrivals: Vec<(Lane, Instant)>,
    /// When a lane is to be asked again.
    pub(super) goes: Vec<(Lane, Instant)>,
    /// The connection has carried all that a fault lets it carry.
    pub(super) full: bool,
}

/// Frames that come back.
#[derive(Debug, Default)]
pub(super) struct Returned {
    pub(super) unwritten: Vec<Frame>,
    pub(super) written: Vec<Frame>,
}

/// A link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) phase: Phase,
    /// Counts connections: what was on an earlier one does not arrive.
    pub(super) connection: u64,
    /// Since when this one stands.
    pub(super) opened: Instant,
    /// Nobody reads from it any more.
    pub(super) closed: bool,
    tracks: [Track; LANES as usize],
}

impl Default for Link {
    fn default() -> Self {
        Self {
            phase: Phase::Down,
            connection: 0,
            opened: Instant(0),
            closed: false,
            tracks: std::array::from_fn(|_| Track::default()),
        }
    }
}

impl Link {
    /// Takes a frame, and writes what can set out now.
    pub(super) fn send(&mut self, lane: Lane, frame: &Frame, writer: &mut Writer<'_>) -> Departed {
        let mut departed = Departed::default();
        let up = matches!(self.phase, Phase::Up(_));
        let track = &mut self.tracks[usize::from(lane.0)];
        track.push(frame);
        if up {
            track.take(writer);
            track.write(lane, writer, &mut departed);
        }
        departed
    }

    /// Writes what is due on a lane.
    pub(super) fn go(&mut self, lane: Lane, writer: &mut Writer<'_>) -> Departed {
        let mut departed = Departed::default();
        self.tracks[usize::from(lane.0)].write(lane, writer, &mut departed);
        departed
    }

    /// The sender's faults have changed: what waits is judged anew, and goes where it may.
    pub(super) fn judge_anew(&mut self, writer: &mut Writer<'_>) -> Departed {
        let mut departed = Departed::default();
        for (lane, track) in (0..LANES).map(Lane).zip(&mut self.tracks) {
            track.judge_anew(writer);
            track.write(lane, writer, &mut departed);
        }
        departed
    }

    /// The next frame of a lane arrives, where anybody reads there; `back` writes the receiver's acknowledgement.
    ///
    /// # Errors
    /// [`Caught`]; the receiver has closed the connection.
    pub(super) fn arrive(&mut self, lane: Lane, back: &mut Writer<'_>) -> Result<Option<Arrived>, Caught> {
        if self.closed {
            return Ok(None);
        }
        let arrival = self.tracks[usize::from(lane.0)].arrive(back);
        self.closed = arrival.is_err();
        arrival
    }

    /// A connection stands to that run of the peer. Where that was connected before, what it does not have goes on; else
    /// what was sent comes back.
    pub(super) fn connected(&mut self, peer: Incarnation, writer: &mut Writer<'_>) -> (Returned, Departed) {
        let mut returned = Returned::default();
        let mut departed = Departed::default();
        if self.phase == Phase::Broken(peer) {
            self.tracks.iter_mut().for_each(Track::resume);
        } else {
            returned = self.drain(writer.now);
            // What an earlier run of the sender left behind is nobody's.
            if self.phase == Phase::Down {
                returned = Returned::default();
            }
        }
        (self.phase, self.closed, self.opened) = (Phase::Up(peer), false, writer.now);
        self.connection += 1;
        for (lane, track) in (0..LANES).map(Lane).zip(&mut self.tracks) {
            track.take(writer);
            track.write(lane, writer, &mut departed);
        }
        (returned, departed)
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
            track.forget(lost);
        }
    }

    /// Frames that are on their way, held or not.
    pub(super) fn len(&self) -> usize {
        self.tracks.iter().map(Track::len).sum()
    }

    fn drain(&mut self, now: Instant) -> Returned {
        let mut returned = Returned::default();
        for track in &mut self.tracks {
            std::mem::take(track).drain(now, &mut returned);
        }
        returned
    }
}

/// The frame in these bytes; none where something in them was changed.
fn decoded(bytes: &[u8]) -> Option<Frame> {
    let decoded = Frame::decode(&mut BytesMut::from(bytes), FRAME_BYTES_MAX);
    // A length that was changed may ask for more bytes than there are. A live receiver waits for them, and catches it then.
    Some(decoded.ok()??.1)
}

#[cfg(test)]
#[path = "links/links_test.rs"]
mod tests;
