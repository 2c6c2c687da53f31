//! What the client's tasks share, and what becomes of all of it when the connection comes and goes. The lock is held for
//! moments, never over an await.
//!
//! What does not live here: what is open and known, each kind in a file of its own; the connection itself (`connection`).

mod calls;
mod handlers;
mod names;
mod requests;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use squall_kernel::frame::Frame;
use squall_kernel::id::{ClusterId, ExchangeId, ExchangeName, MessageId, NodeId, NodeName};
use squall_kernel::message::Call;
use squall_kernel::numbered::Numbers;
use squall_kernel::registry::Introduction;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::addresses::Addresses;
use crate::attachment::Route;
use crate::error::RequestError;
use crate::lines::Lines;
use crate::link::{Generation, Link, Peer};
use crate::options::ConnectOptions;
use crate::subscription::Subscribers;
pub(crate) use calls::Settling;
use calls::{PendingCall, PendingWord};
use requests::Pending;
pub(crate) use requests::{Ending, Marking, Waiter};

/// A map by numbers that this library, or its node, has counted.
pub(crate) type ByNumber<K, V> = HashMap<K, V, Numbers>;

/// A frame on its way out.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A request: goes out on any connection, until its deadline.
    Request { frame: Box<Frame>, deadline: Instant },
    /// Belongs to one connection and is void on any other.
    Bound {
        generation: Generation,
        frame: Box<Frame>,
    },
    /// Everything before it was written, or is void.
    Flush(oneshot::Sender<()>),
}

impl Outgoing {
    /// What belongs to that connection. In a box, as all frames that are queued: a frame has some hundred bytes, and would be moved
    /// several times on its way.
    pub(crate) fn bound(generation: Generation, frame: Frame) -> Self {
        let frame = Box::new(frame);
        Self::Bound { generation, frame }
    }
}

/// What the tasks of one client share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: ConnectOptions,
    pub(crate) outbound: mpsc::Sender<Outgoing>,
    pub(crate) link: watch::Sender<Link>,
    pub(crate) subscribers: Subscribers,
    /// Names this client in its publishes, whatever node they go through.
    pub(crate) publisher: Bytes,
    pub(crate) lines: Lines,
    state: Mutex<State>,
    last_message: AtomicU64,
    last_call: AtomicU64,
    /// The connection on which deliveries may be answered; 0 for none.
    live: AtomicU64,
    /// Deliveries taken in and not answered yet.
    delivering: AtomicU64,
    /// Zero of the client's own clock.
    start: Instant,
}

#[derive(Debug, Default)]
struct State {
    pending: ByNumber<MessageId, Pending>,
    calls: ByNumber<Call, PendingCall>,
    names: HashMap<ExchangeName, ExchangeId>,
    settling: HashMap<Settling, PendingWord>,
    handlers: ByNumber<u64, Arc<Route>>,
    addresses: Addresses,
    members: BTreeMap<NodeId, Introduction>,
    node_names: BTreeMap<NodeId, NodeName>,
}

impl Shared {
    pub(crate) fn new(options: ConnectOptions, outbound: mpsc::Sender<Outgoing>) -> Self {
        let addresses = Addresses::new(options.addrs.clone());
        Self {
            options,
            outbound,
            link: watch::Sender::new(Link::Down(None)),
            subscribers: Subscribers::default(),
            publisher: Bytes::copy_from_slice(&rand::random::<u128>().to_le_bytes()),
            lines: Lines::default(),
            state: Mutex::new(State {
                addresses,
                ..State::default()
            }),
            last_message: AtomicU64::new(0),
            last_call: AtomicU64::new(0),
            live: AtomicU64::new(0),
            delivering: AtomicU64::new(0),
            start: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection on which frames go out now; 0 for none.
    pub(crate) fn generation(&self) -> Generation {
        Generation(self.live.load(Ordering::Acquire))
    }

    /// True while answers to that connection's deliveries can still be written.
    pub(crate) fn is_live(&self, generation: Generation) -> bool {
        self.live.load(Ordering::Acquire) == generation.0
    }

    /// A point of the client's own clock, as questions carry it.
    pub(crate) fn clock(&self, at: Instant) -> squall_kernel::time::Instant {
        let since = at.saturating_duration_since(self.start).as_micros();
        squall_kernel::time::Instant(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// The point of the runtime's clock that a question carried; none when it lies in the future, where nothing was
    /// asked.
    pub(crate) fn asked_at(&self, at: squall_kernel::time::Instant) -> Option<Instant> {
        let asked = self.start.checked_add(std::time::Duration::from_micros(at.0))?;
        (asked <= Instant::now()).then_some(asked)
    }

    pub(crate) fn next_address(&self) -> Option<(String, bool)> {
        self.lock().addresses.take()
    }

    fn cluster(&self) -> Option<ClusterId> {
        self.link.borrow().peer()?.cluster
    }

    /// The node at `addr` serves the client.
    pub(crate) fn up(&self, addr: &str, peer: Peer) {
        self.lock().addresses.serves(&[addr, &peer.node.mesh_addr]);
        self.live.store(peer.generation.0, Ordering::Release);
        self.link.send_replace(Link::Up(Arc::new(peer)));
    }

    /// The node at these addresses sends the client away. New requests and calls wait for the next connection;
    /// deliveries may still be answered.
    pub(crate) fn sent_away(&self, from: &[&str]) {
        self.lock().addresses.sent_away(from);
        self.link.send_replace(Link::Down(None));
    }

    /// The connection is gone: what it had taken is interrupted, what it had not taken waits for the next one.
    pub(crate) fn down(&self) {
        self.live.store(0, Ordering::Release);
        self.link.send_replace(Link::Down(None));
        let mut state = self.lock();
        let (written, waiting): (ByNumber<_, _>, ByNumber<_, _>) =
            state.pending.drain().partition(|(_, pending)| pending.written);
        state.pending = waiting;
        state.calls.clear();
        state.settling.clear();
        state.names.clear();
        let lost: Vec<Arc<Route>> = state.handlers.drain().map(|(_, route)| route).collect();
        drop(state);
        drop(lost);
        self.lines.close_all();
        requests::end_all(written, &RequestError::Interrupted);
    }
}
