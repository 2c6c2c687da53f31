//! Workers attached through this node: what they have in hand, what they make of it, and what they and the owners say to
//! each other. As `squall_node::handlers::work` does it; the workers themselves are the simulator's.
//!
//! What does not live here: which course a worker takes (`workload::work`), and who gets which task (the owner's queue).

use std::collections::BTreeMap;

use squall_kernel::frame::{Frame, Kind};
use squall_kernel::id::{ExchangeId, LeaderEpoch, MessageId, NodeId};
use squall_kernel::message::{self, SettleWord, Settlement, Work};
use squall_kernel::registry::Pattern;
use squall_kernel::tasks::{LeaseNo, TaskId};
use squall_kernel::time::{Instant, Span};
use squall_node::wire::lane_key;

use super::Host;
use super::handlers::Attachment;
use crate::history::What;
use crate::sim::extract;
use crate::sim::workload::work::{self, Course};

/// Tasks that a simulated worker takes in hand: few, so that its credit is used up sometimes.
const CREDIT: u32 = 3;
/// A worker that hears nothing says it again after so long,
const SAY_AGAIN: Span = Span::from_ms(300);
/// so many times.
const WORDS_MAX: u32 = 12;

/// A task that a worker is at.
#[derive(Debug, Clone)]
struct Doing {
    serial: u64,
    task: TaskId,
    lease: LeaseNo,
    /// How long the lease was when it came.
    length: Span,
    /// What it says next.
    word: Settlement,
    said: u32,
    /// What comes after an extension.
    after: Option<Settlement>,
    /// It goes on although it was told that its lease is over.
    stubborn: bool,
}

/// The workers of a node.
#[derive(Debug, Default)]
pub(super) struct Workers {
    /// By when they next say something, and how many came before.
    doing: BTreeMap<(Instant, u64), Doing>,
    taken: u64,
}

impl Workers {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.doing.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.doing.len()
    }

    fn push(&mut self, at: Instant, doing: Doing) {
        self.taken += 1;
        self.doing.insert((at, self.taken), doing);
    }
}

/// What a worker tells the owner of itself.
pub(super) fn work(attachment: &Attachment) -> Work {
    let in_hand = attachment.in_hand.iter();
    Work {
        credit: CREDIT,
        in_hand: in_hand.map(|(task, lease)| (*task, *lease)).collect(),
    }
}

/// Of tasks whose end was never heard the oldest leases make room: they are over.
fn hold(in_hand: &mut BTreeMap<TaskId, LeaseNo>, task: TaskId, lease: LeaseNo) {
    in_hand.insert(task, lease);
    if in_hand.len() > CREDIT as usize {
        let oldest = in_hand.iter().min_by_key(|(_, lease)| **lease);
        if let Some(oldest) = oldest.map(|(task, _)| *task) {
            in_hand.remove(&oldest);
        }
    }
}

impl Host {
    /// Whoever attaches there is a worker.
    pub(super) fn works(&self, exchange: ExchangeId) -> bool {
        let record = self.registry.exchanges.get(&exchange);
        record.is_some_and(|record| record.pattern == Pattern::Task)
    }

    /// Takes in a task for a worker. From here on it is in the worker's hand, whoever owns the exchange.
    pub(super) fn take_task(&mut self, now: Instant, from: NodeId, frame: &Frame) {
        let pid = self.pid(frame.to);
        let attachment = self.handlers.by_serial.get_mut(&frame.to);
        let Some(attachment) = attachment.filter(|a| a.exchange == frame.exchange) else {
            return self.deny(from, frame.exchange, pid);
        };
        let (task, lease) = (TaskId(frame.message.0), LeaseNo(frame.signature));
        // A task of an owner before: its lease is over, or ends by its time.
        if let Err(fenced) = attachment.view.fence(frame.epoch, LeaderEpoch(0)) {
            return self.event(What::Fenced {
                exchange: frame.exchange,
                handler: pid,
                epoch: frame.epoch,
                seen: fenced.epoch,
            });
        }
        hold(&mut attachment.in_hand, task, lease);
        self.begin_work(now, frame, (task, lease));
    }

    fn begin_work(&mut self, now: Instant, frame: &Frame, (task, lease): (TaskId, LeaseNo)) {
        let handling = self.config.work.handling.draw(&mut self.config.worker_rng);
        let length = Span::from_ms(u64::from(frame.left_ms));
        let course = work::draw(&mut self.config.worker_rng, length);
        let doing = |word, after, stubborn| Doing {
            serial: frame.to,
            task,
            lease,
            length,
            word,
            said: 0,
            after,
            stubborn,
        };
        let (at, doing) = match course {
            Course::Confirm => (now + handling, doing(Settlement::Confirm, None, false)),
            Course::GiveBack(retry) => {
                let said = String::from("not now");
                (
                    now + handling,
                    doing(Settlement::GiveBack { said, retry }, None, false),
                )
            }
            Course::Extend { by } => {
                let word = Settlement::Extend { by };
                (
                    now + Span(length.0 / 2),
                    doing(word, Some(Settlement::Confirm), false),
                )
            }
            Course::Late { by } => (now + length + by, doing(Settlement::Confirm, None, true)),
            Course::Forget => return,
        };
        self.workers.push(at, doing);
    }

    /// A worker that is gone does nothing more.
    pub(super) fn lay_down(&mut self, serial: u64) {
        self.workers.doing.retain(|_, doing| doing.serial != serial);
    }

    pub(super) fn tick_workers(&mut self, now: Instant) {
        while let Some(((at, _), _)) = self.workers.doing.first_key_value()
            && *at <= now
        {
            let (_, doing) = self.workers.doing.pop_first().expect("there is a first one");
            self.speak(now, doing);
        }
    }

    /// Says what a worker has to say, and again later unless it is answered.
    fn speak(&mut self, now: Instant, mut doing: Doing) {
        let worker = self.pid(doing.serial);
        let Some(attachment) = self.handlers.by_serial.get(&doing.serial) else {
            return;
        };
        let exchange = attachment.exchange;
        let grant = self.registry.exchanges.get(&exchange).map(|e| (e.owner, e.epoch));
        if let Some((Some(owner), epoch)) = grant {
            let word = Frame {
                exchange,
                epoch,
                from: worker,
                message: MessageId(doing.task.0),
                signature: doing.lease.0,
                payload: message::control(&doing.word).payload,
                ..Frame::new(Kind::Settle)
            };
            let _said_again = self.send(owner, lane_key(exchange, worker.serial), word);
        }
        doing.said += 1;
        if doing.said < WORDS_MAX {
            self.workers.push(now + SAY_AGAIN, doing);
        }
    }

    /// The owner's word to a worker.
    pub(super) fn take_answer(&mut self, now: Instant, frame: &Frame) {
        let word: SettleWord = message::parse(&frame.payload).expect("nodes of one build speak alike");
        let (task, lease) = (TaskId(frame.message.0), LeaseNo(frame.signature));
        let about = |doing: &Doing| (doing.serial, doing.task, doing.lease) == (frame.to, task, lease);
        match word {
            SettleWord::Result(result) if !word.is_over() => {
                let extended = matches!(result, squall_kernel::tasks::SettleResult::Extended { .. });
                let done = extract(&mut self.workers.doing, |_, doing| {
                    about(doing) && doing.after.is_some()
                });
                for (at, mut doing) in done {
                    if !extended {
                        self.workers.push(at.0, doing);
                    } else if let Some(next) = doing.after.take() {
                        (doing.word, doing.said) = (next, 0);
                        let at = now + Span(doing.length.0 / 2);
                        self.workers.push(at, doing);
                    }
                }
            }
            word => {
                // Who was told by itself that the lease is over may not have listened.
                let ended = matches!(word, SettleWord::Ended(_));
                self.workers
                    .doing
                    .retain(|_, doing| !about(doing) || (ended && doing.stubborn));
                self.put_down(frame.to, task, lease);
            }
        }
    }

    /// The end of one lease is not that of a later one.
    fn put_down(&mut self, serial: u64, task: TaskId, lease: LeaseNo) {
        if let Some(attachment) = self.handlers.by_serial.get_mut(&serial)
            && attachment.in_hand.get(&task) == Some(&lease)
        {
            attachment.in_hand.remove(&task);
        }
    }
}
