//! One lane of a link to a peer, as its senders see it: a bounded queue that outlives the TCP connection under it.
//! What does not live here: dialling and sockets (`dial`), encoding (`outbox`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use squall_kernel::frame::Frame;
use squall_kernel::id::{Incarnation, LinkSeq, NodeId};
use squall_kernel::limits::FRAME_BYTES_MAX;
use tokio::sync::{Notify, watch};

use super::LinkState;
use super::limits::{LANE_BYTES_MAX, LANE_FRAMES_MAX};
use super::outbox::{Batch, Drained, Outbox};

/// Why a frame was not queued; nothing of it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No peer of that id.
    #[error("node {0} is not known here")]
    Unknown(NodeId),
    /// The link is not up, and has not been for longer than it may be resumed.
    #[error("the link is down")]
    Down,
    /// The queue is full: the peer takes less than it is sent.
    #[error("the link's queue is full")]
    Full,
    /// Above the bound.
    #[error("a frame of {len} bytes is above the bound of {FRAME_BYTES_MAX}")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
    },
}

/// A lane's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Takes nothing, holds nothing.
    Down,
    /// A connection carries it.
    Up,
    /// No connection now; takes frames in the hope of a new one.
    Broken,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    peer: Option<Incarnation>,
    outbox: Outbox,
}

/// A lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) number: u8,
    state: Mutex<State>,
    /// Something was queued.
    pub(super) wake: Notify,
    /// Dial now: the peer is there.
    pub(super) redial: Notify,
    /// Moves when the connection must end and greet again.
    pub(super) anew: watch::Sender<u64>,
    shown: AtomicU8,
    pub(super) why: ArcSwapOption<String>,
    pub(super) queue_bytes: AtomicUsize,
    pub(super) frames_out: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) connects: AtomicU64,
}

impl Lane {
    pub(super) fn new(number: u8) -> Self {
        let state = State {
            phase: Phase::Down,
            peer: None,
            outbox: Outbox::after(0),
        };
        Self {
            number,
            state: Mutex::new(state),
            wake: Notify::new(),
            redial: Notify::new(),
            anew: watch::Sender::new(0),
            shown: AtomicU8::new(LinkState::Connecting as u8),
            why: ArcSwapOption::empty(),
            queue_bytes: AtomicUsize::new(0),
            frames_out: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            connects: AtomicU64::new(0),
        }
    }

    /// Queues a frame; never waits.
    pub(super) fn send(&self, frame: &Frame) -> Result<(), SendError> {
        let len = frame.wire_len();
        if len > FRAME_BYTES_MAX {
            return Err(SendError::TooLarge { len });
        }
        let mut state = self.lock();
        if state.phase == Phase::Down {
            return Err(SendError::Down);
        }
        if state.outbox.frames() >= LANE_FRAMES_MAX || state.outbox.bytes() + len > LANE_BYTES_MAX {
            return Err(SendError::Full);
        }
        state.outbox.push(frame);
        self.queue_bytes.store(state.outbox.bytes(), Relaxed);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// A connection stands: the peer's run, and the last frame it has of ours. Returns the frames queued before
    /// that do not go on.
    pub(super) fn connected(&self, peer: Incarnation, received: LinkSeq) -> Drained {
        let mut state = self.lock();
        let resumed =
            state.phase != Phase::Down && state.peer == Some(peer) && state.outbox.resume(received.0);
        let lost = if resumed {
            Drained::default()
        } else {
            state.outbox.drain()
        };
        if !resumed {
            state.outbox = Outbox::after(received.0);
        }
        state.phase = Phase::Up;
        state.peer = Some(peer);
        self.queue_bytes.store(state.outbox.bytes(), Relaxed);
        drop(state);
        self.connects.fetch_add(1, Relaxed);
        self.show(LinkState::Up, None);
        lost
    }

    /// The connection is gone; frames wait for the next one.
    pub(super) fn broken(&self, why: &str) {
        self.lock().phase = Phase::Broken;
        self.show(LinkState::Down, Some(why));
    }

    /// No longer hopes; returns the frames, if it had hoped.
    pub(super) fn give_up(&self) -> Drained {
        let mut state = self.lock();
        state.phase = Phase::Down;
        self.queue_bytes.store(0, Relaxed);
        state.outbox.drain()
    }

    /// The connection, if there is one, ends and greets again.
    pub(super) fn greet_anew(&self) {
        self.anew.send_modify(|n| *n += 1);
    }

    /// Takes a batch for writing.
    pub(super) fn take(&self, parts: &mut VecDeque<Bytes>) -> Option<Batch> {
        self.lock().outbox.take(parts)
    }

    /// The peer has everything up to `seq`; false when that was never written.
    pub(super) fn ack(&self, seq: u64) -> bool {
        let mut state = self.lock();
        let known = state.outbox.ack(seq);
        self.queue_bytes.store(state.outbox.bytes(), Relaxed);
        known
    }

    /// The run of the peer that the last connection reached.
    pub(super) fn peer(&self) -> Option<Incarnation> {
        self.lock().peer
    }

    /// True while a connection to an earlier run of the peer carries it.
    pub(super) fn stands_to_earlier(&self, run: Incarnation) -> bool {
        let state = self.lock();
        state.phase == Phase::Up && state.peer.is_some_and(|known| known < run)
    }

    pub(super) fn wrote(&self, batch: Batch) {
        self.frames_out.fetch_add(batch.frames as u64, Relaxed);
        self.bytes_out.fetch_add(batch.bytes as u64, Relaxed);
    }

    pub(super) fn show(&self, state: LinkState, why: Option<&str>) {
        self.why.store(why.map(|why| Arc::new(why.to_owned())));
        self.shown.store(state as u8, Relaxed);
    }

    pub(super) fn shown(&self) -> LinkState {
        LinkState::of(self.shown.load(Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the lock panics")
    }
}
