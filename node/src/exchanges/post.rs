//! The ways to the process of an owned exchange: a mailbox that may be full, orders that get there whatever it holds, and what
//! it shows without being asked.
//!
//! What does not live here: the process (`run`), and who sends what (`incoming`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use squall_kernel::exchange::ExchangeInput;
use squall_kernel::frame::{Frame, Kind};
use squall_kernel::id::{Boot, Epoch, LeaderEpoch, NodeId, Pid};
use squall_kernel::message::{Attach, MoveState};
use squall_kernel::reason::{DetachReason, NoReply};
use squall_kernel::registry::LeaderRecord;
use squall_kernel::tasks::{Answer, TaskId, TaskInput};
use squall_kernel::time::Instant;
use tokio::task::JoinHandle;

use super::operating::Asked;
use super::tasks::SharedQueue;
use super::watching::Watching;
use crate::process::{Bell, Envelope, Letter, Mailbox, Push, Sender, envelope_of};

/// An exchange that is owned here, as others on this node reach it.
pub(super) struct Owned {
    pub(super) epoch: Epoch,
    pub(super) leader: Option<LeaderRecord>,
    pub(super) backup: Option<NodeId>,
    pub(super) queue: Arc<SharedQueue>,
    pub(super) mailbox: Mailbox<Mail>,
    pub(super) post: Arc<Post>,
    /// The process itself.
    pub(super) running: JoinHandle<()>,
}

impl Owned {
    pub(super) fn stop(&self) {
        self.post.stopped.store(true, Ordering::Release);
        self.post.wake.notify_one();
    }

    /// Ends the process, which is stopped, once it has left as for a move: what it knew is in its post then.
    pub(super) async fn leave(self, node: NodeId) {
        let promised = Epoch(self.epoch.0 + 1);
        self.post.order(|orders| {
            orders.leave.get_or_insert((node, promised));
        });
        // It looks at its orders before it finds that nobody can write to it any more.
        drop(self.mailbox);
        if self.running.await.is_err() {
            tracing::error!("an exchange's process panicked while it left");
        }
    }

    /// Puts a frame into the mailbox; gives it back with the reason where it does not go in.
    pub(super) fn put(
        &self,
        frame: Box<Frame>,
        mail: fn(Box<Frame>) -> Mail,
    ) -> Option<(Box<Frame>, NoReply)> {
        let (back, reason) = match self.mailbox.push(mail(frame)) {
            Ok(()) => return None,
            Err(Push::Full(mail)) => (mail, NoReply::Rejected),
            Err(Push::Closed(mail)) => (mail, NoReply::Moved),
        };
        Some((back.into_frame()?, reason))
    }
}

/// What an exchange's process takes out of its mailbox.
pub(super) enum Mail {
    Request(Box<Frame>),
    Attach(Box<Attach>),
    Detach {
        handler: Pid,
        reason: DetachReason,
    },
    Submit(Box<Frame>),
    Settle(Box<Frame>),
    TaskAnswer {
        from: NodeId,
        answer: Answer,
    },
    LeaseAsk {
        handler: Pid,
        leader_epoch: LeaderEpoch,
        asked_at: Instant,
    },
}

impl Mail {
    /// The frame that came, of what somebody waits for an answer to.
    fn into_frame(self) -> Option<Box<Frame>> {
        match self {
            Self::Request(frame) | Self::Submit(frame) | Self::Settle(frame) => Some(frame),
            Self::Attach(_) | Self::Detach { .. } | Self::TaskAnswer { .. } | Self::LeaseAsk { .. } => None,
        }
    }
}

impl Letter for Mail {
    fn envelope(&self) -> Envelope {
        let word = |kind, from| Envelope {
            from: Some(from),
            ..Envelope::of(kind)
        };
        match self {
            Self::Request(frame) if frame.kind == Kind::Publish => envelope_of("publish", frame),
            Self::Request(frame) => envelope_of("request", frame),
            Self::Submit(frame) => envelope_of("task", frame),
            Self::Settle(frame) => envelope_of("worker's word", frame),
            Self::Attach(attach) => word("attach", Sender::Process(attach.handler)),
            Self::Detach { handler, .. } => word("detach", Sender::Process(*handler)),
            Self::TaskAnswer { from, .. } => word("backup's answer", Sender::Node(*from)),
            Self::LeaseAsk { handler, .. } => word("lease asked for", Sender::Process(*handler)),
        }
    }
}

/// What must reach an exchange's process whatever its mailbox holds.
#[derive(Default)]
pub(super) struct Orders {
    /// The registry's leader, when it changed.
    pub(super) leader: Option<Option<LeaderRecord>>,
    /// Nodes whose run has ended, with the run that follows. Bounded: one entry a node.
    pub(super) lost: Vec<(NodeId, Boot)>,
    /// Nodes that missed a system message.
    pub(super) tell_again: Vec<NodeId>,
    /// Nodes that have told of all their handlers: each is attached already.
    pub(super) rolled: Vec<NodeId>,
    /// It moves away.
    pub(super) leave: Option<(NodeId, Epoch)>,
    /// Who holds the second copy of its tasks, when it may be another one, or a copy begun anew.
    pub(super) backup: Option<Option<NodeId>>,
    /// Tasks that did not reach their workers. Bounded by the tasks in hand.
    pub(super) undelivered: Vec<TaskInput>,
    /// What the scheduler says. Bounded by the questions that are open.
    pub(super) scheduled: Vec<TaskInput>,
    /// Dead letters that have arrived where they were passed on to. Bounded by the dead letters.
    pub(super) forwarded: Vec<TaskId>,
    /// What operators ask of bindings. Bounded by [`BINDING_QUESTIONS_MAX`](crate::limits::BINDING_QUESTIONS_MAX).
    pub(super) asked: Vec<Asked>,
    /// What handlers' nodes made of the owner's words about bindings. Bounded as such words are.
    pub(super) noted: Vec<ExchangeInput>,
}

/// Lets the process look at its orders.
#[derive(Default)]
pub(super) struct Wake(Bell);

impl Wake {
    /// To be waited for by the process itself, before anything else.
    pub(super) async fn begin(&self) {
        self.0.begin().await;
    }

    pub(super) fn notify_one(&self) {
        self.0.ring(1);
    }

    /// Whether there are orders; heard then.
    pub(super) fn hear(&self) -> bool {
        self.0.hear(1) != 0
    }

    pub(super) async fn notified(&self) {
        self.0.heard(1).await;
    }
}

/// What others leave for the process, and what it shows them.
#[derive(Default)]
pub(super) struct Post {
    pub(super) orders: Mutex<Orders>,
    pub(super) wake: Wake,
    /// Without a lease: refuses requests, keeps its handlers.
    pub(super) paused: AtomicBool,
    /// Somebody else's by now: refuses everything.
    pub(super) stopped: AtomicBool,
    pub(super) handlers: AtomicU64,
    pub(super) routed: AtomicU64,
    pub(super) refused: AtomicU64,
    /// Publishes whose id was known.
    pub(super) duplicates: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) bindings: AtomicU64,
    /// For whoever watches it in detail.
    pub(super) watching: Watching,
    /// What it knew as it left, for the ownership that follows at this very node when the move is cancelled. Nobody else's:
    /// what an ownership before it knew may be long out of date.
    left: Mutex<Option<MoveState>>,
}

impl Post {
    pub(super) fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    /// It has left, and knew this.
    pub(super) fn left(&self, state: MoveState) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    /// What it knew, if it has left.
    pub(super) fn take_left(&self) -> Option<MoveState> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
