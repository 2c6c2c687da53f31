//! What the queue wants done, in frames: tasks to workers, words about them, acknowledgements, changes to the backup.
//!
//! What does not live here: asking the scheduler (`scheduling`), and where dead letters go (`dead_letters`).

use squall_kernel::exchange::RequestKey;
use squall_kernel::frame::{Frame, Kind, Priority, Status, Tags};
use squall_kernel::id::{MessageId, NodeId, Pid};
use squall_kernel::message::{self, PeerMessage, SettleWord, Submitted};
use squall_kernel::reason::NoReply;
use squall_kernel::tasks::{Delivery, LeaseNo, Retry, SettleResult, TaskEffect, TaskId, TaskInput};

use crate::exchanges::run::Running;
use crate::wire::{ReturnPath, lane_key};

impl Running {
    /// Does what the queue wants done.
    pub(super) fn carry_out_task(&mut self, effect: TaskEffect) {
        match effect {
            TaskEffect::Deliver(delivery) => self.give_out(delivery),
            TaskEffect::Replicate { to, batch } => {
                let exchange = self.id;
                let message = PeerMessage::TaskBatch { exchange, batch };
                // What is not acknowledged in time is sent again by the queue.
                let _sent_again = self.context.wire.message(to, exchange, message);
            }
            TaskEffect::Accepted {
                submitter,
                task,
                copies,
                duplicate,
            } => {
                let submitted = Submitted {
                    task,
                    copies,
                    duplicate,
                };
                let payload = message::control(&submitted).payload;
                let reply = self
                    .way_back(submitter)
                    .reply(self.process.pid(), Status::Reply, payload);
                self.context.wire.reply(reply);
            }
            TaskEffect::Refused { submitter, reason } => {
                let none = self.way_back(submitter).none(self.process.pid(), reason);
                self.context.wire.reply(none);
            }
            TaskEffect::Settled {
                worker,
                task,
                lease,
                result,
            } => self.tell_worker(worker, task, lease, SettleWord::Result(result)),
            TaskEffect::LeaseEnded {
                worker,
                task,
                lease,
                why,
            } => self.tell_worker(worker, task, lease, SettleWord::Ended(why)),
            TaskEffect::DeadLettered { letter, forward_to } => self.dead(&letter, forward_to),
            TaskEffect::ScheduleAsk(ask) => self.ask_scheduler(&ask),
            TaskEffect::Lost { acknowledged } => self.tell_of_loss(acknowledged),
        }
    }

    fn tell_of_loss(&self, acknowledged: Option<u64>) {
        let epoch = self.core.epoch();
        let text = match acknowledged {
            Some(tasks) => {
                format!("{tasks} acknowledged tasks were lost with their nodes, before epoch {epoch}")
            }
            None => format!(
                "all acknowledged tasks were lost with their nodes, before epoch {epoch}; nobody is left who knows how many"
            ),
        };
        let now = self.context.clock.now();
        let told = &self.context.losses;
        told.tell(now, "tasks-lost", self.name.as_str(), &text, epoch.0);
    }

    /// A task that certainly does not arrive costs no attempt, and its worker is left alone for a while.
    fn give_out(&self, delivery: Delivery) {
        let worker = delivery.worker;
        let frame = self.task_frame(delivery);
        let key = lane_key(self.id, worker.serial);
        let undelivered = not_given_out(worker.node, &frame);
        let sent = self.context.leave(&self.name, (worker.node, key), frame);
        if sent.is_err() {
            self.post.order(|orders| orders.undelivered.push(undelivered));
        } else {
            self.process.count_sent(1);
        }
    }

    fn task_frame(&self, delivery: Delivery) -> Frame {
        let spec = delivery.spec;
        Frame {
            exchange: self.id,
            epoch: self.core.epoch(),
            message: MessageId(delivery.task.0),
            origin: self.context.node,
            to: delivery.worker.serial,
            from: self.process.pid(),
            left_ms: u32::try_from(delivery.length.as_ms().max(1)).unwrap_or(u32::MAX),
            index: delivery.attempt,
            count: delivery.attempts,
            signature: delivery.lease.0,
            priority: Priority::new(spec.priority.get()).unwrap_or_default(),
            tags: Tags {
                service: spec.service_tag,
                key: spec.key,
                ..Tags::default()
            },
            payload: spec.payload,
            trace: spec.trace,
            ..Frame::new(Kind::Task)
        }
    }

    fn tell_worker(&self, worker: Pid, task: TaskId, lease: LeaseNo, word: SettleWord) {
        let frame = Frame {
            exchange: self.id,
            epoch: self.core.epoch(),
            from: self.process.pid(),
            ..settled_frame(worker, task, lease, word)
        };
        // A worker that hears nothing says it again.
        let _asked_again = self
            .context
            .wire
            .frame(worker.node, lane_key(self.id, worker.serial), frame);
    }

    fn way_back(&self, submitter: RequestKey) -> ReturnPath {
        let frame = Frame {
            exchange: self.id,
            epoch: self.core.epoch(),
            origin: submitter.origin,
            message: submitter.message,
            ..Frame::new(Kind::Submit)
        };
        ReturnPath::of(&frame)
    }
}

/// The answer to a worker's word that the owner has not heard.
pub(crate) fn refused_frame(word: &Frame, reason: NoReply) -> Frame {
    let result = SettleWord::Result(SettleResult::Refused(reason));
    Frame {
        exchange: word.exchange,
        ..settled_frame(word.from, TaskId(word.message.0), LeaseNo(word.signature), result)
    }
}

/// The worker's word that its node, or the link, says in its place: it never saw the task.
pub(in crate::exchanges) fn not_given_out(node: NodeId, task: &Frame) -> TaskInput {
    TaskInput::GiveBack {
        task: TaskId(task.message.0),
        lease: LeaseNo(task.signature),
        worker: Pid {
            node,
            serial: task.to,
        },
        said: String::new(),
        retry: Retry::Unseen,
    }
}

/// What the owner says to a worker.
fn settled_frame(worker: Pid, task: TaskId, lease: LeaseNo, word: SettleWord) -> Frame {
    Frame {
        message: MessageId(task.0),
        to: worker.serial,
        signature: lease.0,
        payload: message::control(&word).payload,
        ..Frame::new(Kind::Settle)
    }
}
