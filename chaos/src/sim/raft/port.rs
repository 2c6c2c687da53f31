//! How a simulated node's Raft asks others: its questions go out as the messages that a live node's control lane carries,
//! and come back as such.
//!
//! What does not live here: what becomes of a message on its way, which is the world's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use openraft::AsyncRuntime as _;
use squall_kernel::id::{Boot, NodeId};
use squall_kernel::message::{Call, PeerMessage, calls_begin_after};
use squall_node::meta::{RaftTransport, TransportError};

use super::runtime::NodeRuntime;
use crate::sim::log::Output;

/// What all nodes of a cluster have to say, in order.
#[derive(Clone, Default)]
pub(super) struct Outbox(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    outputs: VecDeque<Output>,
    waiting: Option<Waker>,
}

impl Outbox {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, output: Output) {
        let waiting = {
            let mut queue = self.queue();
            queue.outputs.push_back(output);
            queue.waiting.take()
        };
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    pub(super) fn take(&self) -> Vec<Output> {
        self.queue().outputs.drain(..).collect()
    }

    /// Returns once there is something.
    pub(super) async fn filled(&self) {
        futures::future::poll_fn(|cx| {
            let mut queue = self.queue();
            if queue.outputs.is_empty() {
                queue.waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// The way out of one run of a node.
pub(super) struct Port {
    me: NodeId,
    outbox: Outbox,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    last: Call,
    open: BTreeMap<Call, oneshot::Sender<Bytes>>,
    /// Nodes to which there is no link.
    broken: BTreeSet<NodeId>,
}

impl Port {
    pub(super) fn new(me: NodeId, boot: Boot, outbox: Outbox) -> Self {
        let calls = Calls {
            last: calls_begin_after(boot),
            ..Calls::default()
        };
        Self {
            me,
            outbox,
            calls: Mutex::new(calls),
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether there is a link to a node.
    pub(super) fn link(&self, peer: NodeId, up: bool) {
        let mut calls = self.calls();
        if up {
            calls.broken.remove(&peer);
        } else {
            calls.broken.insert(peer);
        }
    }

    /// Hands an answer to whoever waits for it.
    pub(super) fn answered(&self, call: Call, body: Vec<u8>) {
        let waiting = self.calls().open.remove(&call);
        if let Some(waiting) = waiting {
            let _ = waiting.send(Bytes::from(body));
        }
    }

    fn ask(&self, to: NodeId, request: Bytes) -> Option<(Call, oneshot::Receiver<Bytes>)> {
        let mut calls = self.calls();
        if calls.broken.contains(&to) {
            return None;
        }
        calls.last += 1;
        let (answer, wait) = oneshot::channel();
        let call = calls.last;
        calls.open.insert(call, answer);
        drop(calls);
        self.outbox.put(Output::Send {
            from: self.me,
            to,
            message: PeerMessage::Raft {
                call,
                body: request.into(),
            },
        });
        Some((call, wait))
    }
}

/// Forgets a question whose asker gave up.
struct Asked<'p>(&'p Port, Call);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.calls().open.remove(&self.1);
    }
}

impl RaftTransport for Port {
    fn call(
        &self,
        to: NodeId,
        request: Bytes,
        limit: Duration,
    ) -> BoxFuture<'_, Result<Bytes, TransportError>> {
        async move {
            let (call, wait) = self.ask(to, request).ok_or(TransportError::Unreachable(to))?;
            let _asked = Asked(self, call);
            match NodeRuntime::timeout(limit, wait).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_)) => Err(TransportError::Broken("the question was dropped".into())),
                Err(_) => Err(TransportError::Timeout(limit)),
            }
        }
        .boxed()
    }
}
