//! Workers attached through this node: what they have in hand, and what they and their owners say to each other.
//!
//! What does not live here: who gets which task, and what becomes of it (the owner's queue decides).

use std::time::SystemTime;

use squall_kernel::frame::{Frame, Kind};
use squall_kernel::id::{ExchangeId, ExchangeName, LeaderEpoch, NodeId, Pid};
use squall_kernel::message::{self, SettleWord, Settlement};
use squall_kernel::reason::{LeaseEnd, NoReply};
use squall_kernel::registry::Pattern;
use squall_kernel::tasks::{LeaseNo, Retry, TaskId};

use super::{AttachError, Attachment, HandlerTags, Handlers};
use crate::exchanges::refused_frame;
use crate::process::Push;
use crate::spans::{self, Attempt};
use crate::wire::{count, lane_key};

impl Handlers {
    /// Workers attach where there are tasks, handlers where there are requests.
    pub(super) fn check_pattern(
        &self,
        exchange: ExchangeId,
        name: &ExchangeName,
        tags: &HandlerTags,
    ) -> Result<(), AttachError> {
        let registry = self.context.registry();
        match registry.exchanges.get(&exchange).map(|record| record.pattern) {
            Some(Pattern::Task) if !tags.works => Err(AttachError::TasksOnly(name.clone())),
            Some(Pattern::PublishSubscribe) if !tags.works => Err(AttachError::PublishesOnly(name.clone())),
            Some(pattern) if pattern != Pattern::Task && tags.works => {
                Err(AttachError::NoTasks(name.clone(), pattern.as_str()))
            }
            _ => Ok(()),
        }
    }

    /// Takes in a task for a worker. From here on it is in the worker's hand, whoever owns the exchange.
    pub(crate) fn task(&self, from: NodeId, mut frame: Box<Frame>) {
        let attachment = self.read().by_serial.get(&frame.to).cloned();
        let Some(attachment) = attachment.filter(|a| a.exchange() == frame.exchange && a.tags().works) else {
            let ghost = Pid {
                node: self.context.node,
                serial: frame.to,
            };
            return self.deny(from, frame.exchange, ghost);
        };
        let (task, lease) = (TaskId(frame.message.0), LeaseNo(frame.signature));
        let passed = {
            let mut view = attachment.view();
            let passed = view.fence(frame.epoch, LeaderEpoch(0));
            if passed.is_ok() {
                // Under the same lock: the next owner is told of it, or it does not pass.
                attachment.hold(task, lease, attempt(&frame));
            }
            passed
        };
        // A task of an owner before: its lease is over, or ends by its time.
        let Ok(pass) = passed else {
            count(&self.context.wire.tally.fenced);
            return attachment.counts().fenced();
        };
        let given = if self.counts_as_full(&attachment, &mut frame) {
            Err(Push::Full(frame))
        } else {
            self.give(&attachment, pass, frame)
        };
        match given {
            Ok(()) => attachment.counts().accepted(),
            Err(Push::Full(frame) | Push::Closed(frame)) => {
                attachment.process().count_dropped();
                self.give_back_unseen(&attachment, &frame);
            }
        }
    }

    /// The worker never saw it.
    pub(super) fn give_back_unseen(&self, attachment: &Attachment, frame: &Frame) {
        self.give_back_task(attachment, frame, String::new(), Retry::Unseen);
    }

    /// Says of a task that its worker gives it back.
    pub(super) fn give_back_task(&self, attachment: &Attachment, frame: &Frame, said: String, retry: Retry) {
        let word = Settlement::GiveBack { said, retry };
        let word = Frame {
            message: frame.message,
            signature: frame.signature,
            payload: message::control(&word).payload,
            ..Frame::new(Kind::Settle)
        };
        // Unsaid, the lease ends by its time.
        let _ends_by_its_time = self.settle(attachment, word);
    }

    /// Passes on what a worker says. Gives the answer where it cannot.
    pub(crate) fn settle(&self, worker: &Attachment, frame: Frame) -> Option<Frame> {
        let exchange = worker.exchange();
        let (owner, epoch) = {
            let registry = self.context.registry();
            let record = registry.exchanges.get(&exchange);
            (
                record.and_then(|e| e.owner),
                record.map(|e| e.epoch).unwrap_or_default(),
            )
        };
        let frame = Frame {
            exchange,
            epoch,
            from: worker.pid(),
            to: 0,
            ..frame
        };
        let refused = refused_frame(&frame, NoReply::Unreachable);
        let key = lane_key(exchange, worker.pid().serial);
        let sent = owner.map(|owner| self.context.wire.frame(owner, key, frame));
        (!matches!(sent, Some(Ok(())))).then_some(refused)
    }

    /// The owner's word to a worker.
    pub(crate) fn settled(&self, frame: Frame) {
        let Some(attachment) = self.read().by_serial.get(&frame.to).cloned() else {
            return;
        };
        let Ok(word) = message::parse::<SettleWord>(&frame.payload) else {
            return count(&self.context.wire.tally.garbled);
        };
        if word.is_over() {
            let task = TaskId(frame.message.0);
            let attempt = put_down(&attachment, task, LeaseNo(frame.signature));
            self.tell_attempt(&attachment, task, attempt, spans::ending(&word));
        }
        attachment.sink().settled(&attachment, frame);
    }
}

impl Handlers {
    /// A worker leaves: what it has in hand is somebody else's to do.
    pub(super) fn drop_in_hand(&self, attachment: &Attachment) {
        let in_hand = std::mem::take(&mut *attachment.in_hand());
        for (task, (_, attempt)) in in_hand {
            let detached = (LeaseEnd::Detached.as_str(), true);
            self.tell_attempt(attachment, task, Some(attempt), detached);
        }
    }

    fn tell_attempt(
        &self,
        attachment: &Attachment,
        task: TaskId,
        attempt: Option<Attempt>,
        ending: (&'static str, bool),
    ) {
        let Some(attempt) = attempt else { return };
        attempt.ended(&self.context.spans, ending, || {
            let worker = self.context.pid_text(attachment.pid());
            [attachment.name().to_string(), task.to_string(), worker]
        });
    }
}

fn attempt(task: &Frame) -> Attempt {
    Attempt {
        trace: task.trace,
        number: task.index,
        of: task.count,
        bytes: task.payload.len(),
        began: SystemTime::now(),
    }
}

/// The end of one lease is not that of a later one.
fn put_down(attachment: &Attachment, task: TaskId, lease: LeaseNo) -> Option<Attempt> {
    let mut in_hand = attachment.in_hand();
    in_hand.get(&task).filter(|(held, _)| *held == lease)?;
    in_hand.remove(&task).map(|(_, attempt)| attempt)
}
