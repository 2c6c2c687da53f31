//! Runs a handler: one delivery or notice at a time, in the order they came.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use squall_kernel::exchange::RequestKey;
use squall_kernel::fence::Fence;
use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{ClusterId, Counter, Epoch, ExchangeId, ExchangeName, NodeId, Pid};
use squall_kernel::limits::{PAYLOAD_BYTES_MAX, REASON_BYTES_MAX};
use squall_kernel::message::{ClientMessage, System, SystemMessage};
use squall_kernel::reason::{DetachReason, NoReply};
use squall_kernel::supervision::{Exit, Supervision, Supervisor, Verdict};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::route::{Event, Taken, answer};
use super::{Counters, count};
use crate::ask::call;
use crate::handler::{Answer, Delivery, Handler, Notice, NoticeKind, ServerInfo, cut, panic_words};
use crate::leadership::{Changes, Context};
use crate::limits::NAMES_WITHIN;
use crate::lines::Connected;
use crate::link::Generation;
use crate::state::{Outgoing, Shared};
use crate::talk::{Line, Talk};

/// What a handler is run by, of all that it was attached with.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) name: ExchangeName,
    /// Given to the handler with every delivery (A26): the way of a delivery does not carry it.
    pub(super) connection_tag: Bytes,
    pub(super) supervision: Supervision,
}

pub(super) struct Worker<H> {
    shared: Arc<Shared>,
    name: ExchangeName,
    connection_tag: Bytes,
    handler: H,
    counters: Arc<Counters>,
    me: Option<Me>,
    /// The line of the latest delivery, and the connection it is on: the next one may have it.
    line: Option<(Generation, Arc<Line>)>,
    fence: Fence,
    /// Latest notice told.
    told: (Epoch, Counter),
    changes: Changes,
    since: Instant,
    supervisor: Supervisor,
    /// Told when the handler is given up; it is not called any more then.
    give_up: Option<oneshot::Sender<DetachReason>>,
}

/// What the handler is attached as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Me {
    pid: Pid,
    exchange: ExchangeId,
    cluster: Option<ClusterId>,
}

impl<H: Handler> Worker<H> {
    pub(super) fn new(
        shared: Arc<Shared>,
        terms: Terms,
        handler: H,
        counters: Arc<Counters>,
        changes: Changes,
        give_up: oneshot::Sender<DetachReason>,
    ) -> Self {
        let (fence, told) = Default::default();
        Self {
            shared,
            name: terms.name,
            connection_tag: terms.connection_tag,
            handler,
            counters,
            me: None,
            line: None,
            fence,
            told,
            changes,
            since: Instant::now(),
            supervisor: Supervisor::new(terms.supervision),
            give_up: Some(give_up),
        }
    }

    pub(super) async fn run(mut self, mut events: mpsc::Receiver<Event>, context: Context) {
        self.tell(|handler| handler.attached(context));
        loop {
            let event = tokio::select! {
                biased;
                change = self.changes.next() => {
                    self.tell(|handler| handler.leadership(change));
                    continue;
                }
                event = events.recv() => event,
            };
            let Some(event) = event else { return };
            match event {
                Event::Attached {
                    pid,
                    exchange,
                    cluster,
                } => self.attached(Me {
                    pid,
                    exchange,
                    cluster,
                }),
                Event::Delivery(taken) => self.deliver(taken).await,
                Event::Notice(message) => self.notice(message).await,
            }
        }
    }

    /// The fence outlives connections, but not the exchange: one that was declared anew counts its epochs from 1.
    fn attached(&mut self, me: Me) {
        let same = self
            .me
            .is_some_and(|old| old.exchange == me.exchange && old.cluster == me.cluster);
        if !same {
            self.fence = Fence::default();
        }
        // A fresh attachment is told the whole picture, under a counter that it may have seen before.
        self.told = (Epoch(0), Counter(0));
        self.me = Some(me);
    }

    async fn deliver(&mut self, taken: Taken) {
        let frame = &taken.frame;
        if !self.shared.is_live(taken.generation) {
            // Its requester knows by now that it was interrupted.
            count(&self.counters.expired);
            return;
        }
        let node = self.me.map_or(NodeId(0), |me| me.pid.node);
        let (status, payload) = if let Some(reason) = self.refusal(&taken) {
            (Status::None(reason), Bytes::new())
        } else {
            let mut line = self.line_of(&taken, node);
            let answer = self.handle(frame, Talk::new(Arc::clone(&line))).await;
            Line::finish_of(&mut line, answer.0 == Status::Reply).await;
            self.line = Some((taken.generation, line));
            answer
        };
        let frame = answer(frame, node, status, payload);
        let out = Outgoing::bound(taken.generation, frame);
        // A closed client has nobody to answer to.
        let _closed = self.shared.outbound.send(out).await;
        if status == Status::None(NoReply::Failed) {
            self.ended(Exit::Panicked);
        } else {
            self.look_if_done();
        }
    }

    /// The line of this delivery: that of the one before it, where it is of the same connection and nobody has used it.
    fn line_of(&mut self, taken: &Taken, node: NodeId) -> Arc<Line> {
        match self.line.take() {
            Some((generation, mut line)) if generation == taken.generation => {
                Line::next(&mut line, &taken.frame, taken.since);
                line
            }
            _ => {
                let carrier = Connected::new(&self.shared, taken.generation);
                Arc::new(Line::new(&taken.frame, node, taken.since, carrier))
            }
        }
    }

    /// What follows from the end of a run; once it is given up the handler is not called any more.
    fn ended(&mut self, mut exit: Exit) {
        while self.give_up.is_some() {
            let now = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
            match self.supervisor.ended(squall_kernel::time::Instant(now), exit) {
                Verdict::Restart if self.call(Handler::restarted).is_some() => return,
                Verdict::Restart => exit = Exit::Panicked,
                Verdict::Detach(reason) => {
                    tracing::error!(exchange = %self.name, %reason, "the handler is detached for good");
                    let told = self.give_up.take().map(|keeper| keeper.send(reason));
                    // Without a keeper it is detached already.
                    let _detached = told;
                }
            }
        }
    }

    fn look_if_done(&mut self) {
        if self.give_up.is_none() {
            return;
        }
        match self.call(|handler| handler.is_done()) {
            Some(false) => {}
            Some(true) => self.ended(Exit::Done),
            None => self.ended(Exit::Panicked),
        }
    }

    /// Why a delivery is not handled at all.
    fn refusal(&mut self, taken: &Taken) -> Option<NoReply> {
        let frame = &taken.frame;
        if self.give_up.is_none() {
            return Some(NoReply::Unreachable);
        }
        let current = self.me.is_some_and(|me| me.exchange == frame.exchange);
        if !current || self.fence.pass(frame.epoch, frame.leader_epoch).is_err() {
            count(&self.counters.fenced);
            return Some(NoReply::Fenced);
        }
        let late = frame.left_ms > 0 && taken.since.elapsed() >= Duration::from_millis(frame.left_ms.into());
        late.then(|| {
            count(&self.counters.expired);
            NoReply::Timeout
        })
    }

    async fn handle(&mut self, frame: &Frame, talk: Talk) -> (Status, Bytes) {
        let delivery = self.delivery(frame, talk);
        let handler = &mut self.handler;
        let answer = AssertUnwindSafe(async move { handler.handle(delivery).await })
            .catch_unwind()
            .await;
        match answer {
            Ok(Answer::Reply(payload)) if payload.len() <= PAYLOAD_BYTES_MAX => {
                count(&self.counters.replied);
                (Status::Reply, payload)
            }
            Ok(Answer::Rewrite(payload)) if payload.len() <= PAYLOAD_BYTES_MAX => (Status::Rewrite, payload),
            Ok(Answer::Reply(payload) | Answer::Rewrite(payload)) => {
                count(&self.counters.declined);
                let reason = format!(
                    "the reply has {} bytes, at most {PAYLOAD_BYTES_MAX} can be sent",
                    payload.len()
                );
                (Status::Declined, Bytes::from(reason))
            }
            Ok(Answer::Pass) => (Status::Pass, Bytes::new()),
            Ok(Answer::Redirect(to)) => (Status::Redirect, Bytes::copy_from_slice(to.as_str().as_bytes())),
            Ok(Answer::Decline(reason)) => {
                count(&self.counters.declined);
                (Status::Declined, Bytes::from(cut(reason, REASON_BYTES_MAX)))
            }
            Err(panic) => {
                let words = panic_words(&*panic);
                count(&self.counters.panicked);
                tracing::error!(exchange = %self.name, words, "the handler panicked");
                (Status::None(NoReply::Failed), Bytes::from(words))
            }
        }
    }

    fn delivery(&self, frame: &Frame, talk: Talk) -> Delivery {
        Delivery {
            exchange: self.name.clone(),
            payload: frame.payload.clone(),
            request_tag: frame.tags.request.clone(),
            connection_tag: self.connection_tag.clone(),
            key: frame.tags.key.clone(),
            ahead_of: frame.ahead_of(),
            request: RequestKey {
                origin: frame.origin,
                message: frame.message,
            },
            epoch: frame.epoch,
            leader_epoch: frame.leader_epoch,
            trace: frame.trace,
            talk,
        }
    }

    /// Tells the handler, in the order of (epoch, counter); what is older than the picture it has is dropped.
    async fn notice(&mut self, message: SystemMessage) {
        let at = (message.epoch, message.counter);
        let snapshot = matches!(message.what, System::Leader { .. });
        let current = self.me.is_some_and(|me| me.exchange == message.exchange);
        if !current || at < self.told || (at == self.told && !snapshot) {
            return;
        }
        self.told = at;
        learn_names(&self.shared, &message.what).await;
        let what = self.words(message.what);
        let notice = Notice {
            exchange: self.name.clone(),
            epoch: message.epoch,
            counter: message.counter,
            what,
        };
        self.tell(|handler| handler.notice(notice));
    }

    fn tell(&mut self, call: impl FnOnce(&mut H)) {
        if self.give_up.is_some() && self.call(call).is_none() {
            self.ended(Exit::Panicked);
        }
    }

    /// Calls the handler; none when it panics.
    fn call<T>(&mut self, call: impl FnOnce(&mut H) -> T) -> Option<T> {
        let handler = &mut self.handler;
        let called = catch_unwind(AssertUnwindSafe(move || call(handler))).ok();
        if called.is_none() {
            count(&self.counters.panicked);
        }
        called
    }

    fn words(&self, what: System) -> NoticeKind {
        let shared = &self.shared;
        match what {
            System::Leader {
                leader,
                leader_epoch,
                servers,
            } => NoticeKind::Leader {
                leader: leader.map(|pid| shared.pid_text(pid)),
                leader_epoch,
                you: leader.is_some() && leader == self.me.map(|me| me.pid),
                servers: servers.iter().map(|(pid, tag)| self.server(pid, tag)).collect(),
            },
            System::SlaveUp(server) => NoticeKind::SlaveUp(self.server(server.pid, &server.service_tag)),
            System::SlaveDown { pid, reason } => NoticeKind::SlaveDown {
                pid: shared.pid_text(pid),
                reason: reason.as_str().into(),
            },
        }
    }

    fn server(&self, pid: Pid, service_tag: &str) -> ServerInfo {
        let node = self.shared.node_name(pid.node);
        ServerInfo {
            pid: self.shared.pid_text(pid),
            node: node.map_or_else(|| format!("{:x}", pid.node.0), |name| name.as_str().into()),
            service_tag: service_tag.into(),
        }
    }
}

/// Asks for the members when a node in the message has no name yet.
async fn learn_names(shared: &Shared, what: &System) {
    let nodes: Vec<NodeId> = match what {
        System::Leader { leader, servers, .. } => servers
            .pids()
            .map(|pid| pid.node)
            .chain(leader.map(|pid| pid.node))
            .collect(),
        System::SlaveUp(server) => vec![server.pid.node],
        System::SlaveDown { pid, .. } => vec![pid.node],
    };
    if nodes.into_iter().any(|node| shared.node_name(node).is_none()) {
        let deadline = Instant::now() + NAMES_WITHIN;
        // Without an answer the pid is shown with the node's number.
        let _unnamed = call(shared, deadline, None, |call| ClientMessage::Members { call }).await;
    }
}
