//! What the client's tasks share: open requests, calls, handlers, addresses. The lock is held for moments, never over
//! an await.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use squall_kernel::frame::Frame;
use squall_kernel::id::{ClusterId, ExchangeId, ExchangeName, MessageId, NodeId, NodeName, Pid};
use squall_kernel::limits::NODES_MAX;
use squall_kernel::message::{Call, ClientMessage, NodeMessage, SettleWord, control, parse};
use squall_kernel::reason::{DetachReason, NoReply};
use squall_kernel::registry::Introduction;
use squall_kernel::tasks::SettleResult;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::addresses::Addresses;
use crate::attachment::Route;
use crate::error::RequestError;
use crate::limits;
use crate::lines::Lines;
use crate::link::{Generation, Link, Peer};
use crate::options::ConnectOptions;
use crate::subscription::Subscribers;

/// A frame on its way out.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A request: goes out on any connection, until its deadline.
    Request { frame: Frame, deadline: Instant },
    /// Belongs to one connection and is void on any other.
    Bound { generation: Generation, frame: Frame },
    /// Everything before it was written, or is void.
    Flush(oneshot::Sender<()>),
}

/// A reply frame, or how the request ended without one.
pub(crate) type Ending = Result<Frame, RequestError>;

/// Who waits for a request's replies.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// The first reply ends it, or the last handler's refusal.
    One {
        sink: oneshot::Sender<Ending>,
        seen: u32,
    },
    /// Replies of several handlers; how many are still to come is known with the first.
    Many { sink: mpsc::Sender<Ending>, seen: u32 },
    /// Chunks and questions of one handler, and the end.
    Talk { sink: mpsc::Sender<Ending> },
}

#[derive(Debug)]
struct Pending {
    waiter: Waiter,
    /// True once a byte of it may have reached a node.
    written: bool,
}

impl Waiter {
    /// Counts a reply and tells how many came.
    fn count_one(&mut self) -> u32 {
        match self {
            Self::One { seen, .. } | Self::Many { seen, .. } => {
                *seen += 1;
                *seen
            }
            // It has one end, whatever its number.
            Self::Talk { .. } => u32::MAX,
        }
    }
}

#[derive(Debug)]
struct PendingCall {
    answer: oneshot::Sender<NodeMessage>,
    /// The handler that an `Attached` answer brings to life.
    route: Option<Arc<Route>>,
}

/// Whose word about which lease waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Settling {
    pub(crate) worker: u64,
    pub(crate) task: u64,
    pub(crate) lease: u64,
}

impl Settling {
    /// Of a frame to the worker: a task, or the answer to its word.
    pub(crate) fn of(frame: &Frame) -> Self {
        Self {
            worker: frame.to,
            task: frame.message.0,
            lease: frame.signature,
        }
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
    pending: HashMap<MessageId, Pending>,
    calls: HashMap<Call, PendingCall>,
    names: HashMap<ExchangeName, ExchangeId>,
    settling: HashMap<Settling, oneshot::Sender<SettleResult>>,
    handlers: HashMap<u64, Arc<Route>>,
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

    // Requests.

    /// Opens a request and gives it a number.
    pub(crate) fn open(&self, waiter: Waiter) -> MessageId {
        let message = MessageId(self.last_message.fetch_add(1, Ordering::Relaxed) + 1);
        self.lock().pending.insert(
            message,
            Pending {
                waiter,
                written: false,
            },
        );
        message
    }

    /// Forgets a request; tells whether it was written, `None` when it had ended.
    pub(crate) fn forget(&self, message: MessageId) -> Option<bool> {
        self.lock().pending.remove(&message).map(|p| p.written)
    }

    /// Marks a request as written from now on; false when nobody waits for it any more.
    pub(crate) fn mark_written(&self, message: MessageId) -> bool {
        let mut state = self.lock();
        let Some(pending) = state.pending.get_mut(&message) else {
            return false;
        };
        pending.written = true;
        true
    }

    /// Requests that a node may have.
    pub(crate) fn written(&self) -> usize {
        self.lock().pending.values().filter(|p| p.written).count()
    }

    /// Gives a `Reply` frame to whoever waits for it; a late one is dropped.
    pub(crate) fn complete(&self, frame: Frame) {
        let (message, exchange) = (frame.message, frame.exchange);
        let of_several = frame.index > 0;
        let count = frame.count;
        let ending = RequestError::of(&frame).map_or(Ok(frame), Err);
        let mut state = self.lock();
        if ending == Err(RequestError::Unavailable(NoReply::UnknownExchange)) {
            state.names.retain(|_, id| *id != exchange);
        }
        let Some(mut pending) = state.pending.remove(&message) else {
            return;
        };
        let timed_out = ending == Err(RequestError::Timeout);
        let more = of_several && !timed_out && pending.waiter.count_one() < count;
        match pending.waiter {
            Waiter::One { sink, .. } if ending.is_ok() || !more => {
                drop(state);
                let _gone = sink.send(ending);
            }
            Waiter::One { .. } => drop(state.pending.insert(message, pending)),
            Waiter::Many { ref sink, .. } => {
                // A node that sends more replies than there can be handlers loses the rest.
                let _full_or_gone = sink.try_send(ending);
                if more {
                    state.pending.insert(message, pending);
                }
            }
            Waiter::Talk { sink } => {
                drop(state);
                let _gone = sink.try_send(ending);
            }
        }
    }

    /// Gives a chunk, a question, or what the node refused, to whoever has that request open. A node that sends more than
    /// was asked for loses the rest.
    pub(crate) fn talked(&self, frame: Frame) {
        let state = self.lock();
        if let Some(Pending {
            waiter: Waiter::Talk { sink },
            ..
        }) = state.pending.get(&frame.message)
        {
            let _full_or_gone = sink.try_send(Ok(frame));
        }
    }

    // Calls.

    /// Opens a call and gives it a number.
    pub(crate) fn open_call(&self, route: Option<Arc<Route>>) -> (Call, oneshot::Receiver<NodeMessage>) {
        let (answer, receiver) = oneshot::channel();
        let call = self.last_call.fetch_add(1, Ordering::Relaxed) + 1;
        self.lock().calls.insert(call, PendingCall { answer, route });
        (call, receiver)
    }

    pub(crate) fn forget_call(&self, call: Call) {
        self.lock().calls.remove(&call);
    }

    /// Answers a call. A handler is known from here on, before the next frame is looked at.
    pub(crate) fn answer(&self, generation: Generation, call: Call, message: NodeMessage) {
        let mut state = self.lock();
        let Some(pending) = state.calls.remove(&call) else {
            // An attachment nobody waits for any more: the node is told to forget it.
            if let NodeMessage::Attached { handler, .. } = message {
                drop(state);
                self.detach(generation, handler.serial, DetachReason::Asked);
            }
            return;
        };
        if let (
            NodeMessage::Attached {
                handler, exchange, ..
            },
            Some(route),
        ) = (&message, &pending.route)
        {
            route.attached(generation, *handler, *exchange, self.cluster());
            state.handlers.insert(handler.serial, Arc::clone(route));
        }
        drop(state);
        let _gone = pending.answer.send(message);
    }

    // Tasks.

    /// Opens a worker's word about a task: the answer comes from the owner.
    pub(crate) fn open_settling(&self, of: Settling) -> oneshot::Receiver<SettleResult> {
        let (answer, receiver) = oneshot::channel();
        self.lock().settling.insert(of, answer);
        receiver
    }

    pub(crate) fn forget_settling(&self, of: Settling) {
        self.lock().settling.remove(&of);
    }

    /// Takes the owner's word about a task. That a lease has ended is told at the next word about it.
    pub(crate) fn settled(&self, frame: &Frame) {
        let Ok(SettleWord::Result(result)) = parse(&frame.payload) else {
            return;
        };
        let waiting = self.lock().settling.remove(&Settling::of(frame));
        if let Some(answer) = waiting {
            let _gone = answer.send(result);
        }
    }

    // Handlers.

    pub(crate) fn handler(&self, serial: u64) -> Option<Arc<Route>> {
        self.lock().handlers.get(&serial).cloned()
    }

    pub(crate) fn remove_handler(&self, serial: u64) -> Option<Arc<Route>> {
        self.lock().handlers.remove(&serial)
    }

    /// Forgets a handler and tells the node, if the connection still stands and its queue has room; where it has none,
    /// deliveries to the forgotten handler are turned away.
    pub(crate) fn detach(&self, generation: Generation, serial: u64, reason: DetachReason) {
        self.remove_handler(serial);
        let frame = control(&ClientMessage::Detach {
            handler: serial,
            reason,
        });
        if self
            .outbound
            .try_send(Outgoing::Bound { generation, frame })
            .is_err()
        {
            tracing::debug!(handler = serial, "no room to say that a handler is gone");
        }
    }

    /// The connection on which frames go out now; 0 for none.
    pub(crate) fn generation(&self) -> Generation {
        Generation(self.live.load(Ordering::Acquire))
    }

    /// True while answers to that connection's deliveries can still be written.
    pub(crate) fn is_live(&self, generation: Generation) -> bool {
        self.live.load(Ordering::Acquire) == generation.0
    }

    pub(crate) fn delivery_taken(&self) {
        self.delivering.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn delivery_ended(&self) {
        self.delivering.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn delivering(&self) -> u64 {
        self.delivering.load(Ordering::Acquire)
    }

    /// The handlers that lead, as they were last told.
    pub(crate) fn leading(&self) -> Vec<(u64, Arc<Route>)> {
        let state = self.lock();
        let leading = state
            .handlers
            .iter()
            .filter(|(_, r)| r.grants().leads().is_some());
        leading
            .map(|(serial, route)| (*serial, Arc::clone(route)))
            .collect()
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

    // Names and members.

    pub(crate) fn cached(&self, name: &ExchangeName) -> Option<ExchangeId> {
        self.lock().names.get(name).copied()
    }

    pub(crate) fn cache(&self, name: &ExchangeName, exchange: ExchangeId) {
        let mut state = self.lock();
        if state.names.len() >= limits::NAMES_MAX {
            state.names.clear();
        }
        state.names.insert(name.clone(), exchange);
    }

    /// Takes note of the members. The node at the other end is always one of them, though it may leave itself out of
    /// its list; names are kept, because a handler that is gone still has to be named.
    pub(crate) fn learn(&self, members: &[Introduction]) {
        let peer = match &*self.link.borrow() {
            Link::Up(peer) => Some(peer.node.clone()),
            Link::Down(_) | Link::Closed => None,
        };
        let mut state = self.lock();
        state.addresses.learn(members);
        let members = members.iter().take(NODES_MAX).cloned().chain(peer);
        state.members = members.map(|member| (member.id, member)).collect();
        let known = state.node_names.len() + state.members.len();
        if known > limits::NODE_NAMES_MAX {
            state.node_names.clear();
        }
        let names: Vec<_> = state.members.values().map(|m| (m.id, m.name.clone())).collect();
        state.node_names.extend(names);
    }

    pub(crate) fn members(&self) -> Vec<Introduction> {
        self.lock().members.values().cloned().collect()
    }

    pub(crate) fn node_name(&self, node: NodeId) -> Option<NodeName> {
        self.lock().node_names.get(&node).cloned()
    }

    /// The pid as people read it.
    pub(crate) fn pid_text(&self, pid: Pid) -> String {
        self.node_name(pid.node)
            .map_or_else(|| pid.to_string(), |name| pid.text(name.as_str()))
    }

    pub(crate) fn next_address(&self) -> Option<(String, bool)> {
        self.lock().addresses.take()
    }

    // The connection.

    fn cluster(&self) -> Option<ClusterId> {
        match &*self.link.borrow() {
            Link::Up(peer) => peer.cluster,
            Link::Down(_) | Link::Closed => None,
        }
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
        let (written, waiting): (HashMap<_, _>, HashMap<_, _>) =
            state.pending.drain().partition(|(_, pending)| pending.written);
        state.pending = waiting;
        state.calls.clear();
        state.settling.clear();
        state.names.clear();
        let lost: Vec<Arc<Route>> = state.handlers.drain().map(|(_, route)| route).collect();
        drop(state);
        drop(lost);
        self.lines.close_all();
        end_all(written, &RequestError::Interrupted);
    }

    /// No request of before can reach anybody: another cluster answers at these addresses, or the client is closed.
    pub(crate) fn give_up_waiting(&self) {
        let waiting = std::mem::take(&mut self.lock().pending);
        end_all(waiting, &RequestError::Unavailable(NoReply::Unreachable));
    }
}

fn end_all(requests: HashMap<MessageId, Pending>, error: &RequestError) {
    for pending in requests.into_values() {
        match pending.waiter {
            Waiter::One { sink, .. } => drop(sink.send(Err(error.clone()))),
            Waiter::Many { sink, .. } | Waiter::Talk { sink } => {
                drop(sink.try_send(Err(error.clone())));
            }
        }
    }
}
