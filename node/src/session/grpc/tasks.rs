//! Tasks in gRPC sessions: submitted, given to workers, settled.
//!
//! What does not live here: the queue (its owner's node keeps it), and workers beside handlers of their node (`handlers`).

use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind, Tags};
use squall_kernel::id::{MessageId, NodeId, Pid};
use squall_kernel::limits::GIVE_BACK_TEXT_BYTES_MAX;
use squall_kernel::message::{self, SettleWord, Settlement, Submitted, Terms};
use squall_kernel::reason::{ClientFault, LeaseEnd};
use squall_kernel::tasks::{Copies, Retry, SettleResult};
use squall_kernel::time::Span;
use squall_proto::v1;
use squall_proto::v1::server_event::Event as Out;

use super::convert;
use super::stream::{Grpc, event, refused};
use crate::handlers::HandlerTags;
use crate::router::{Outcome, Request};

/// Tasks in hand of a worker that does not say how many it takes: one after the other.
const WORKER_CREDIT_DEFAULT: u32 = 1;

impl Grpc {
    pub(super) fn submit(&mut self, task: v1::SubmitTask) -> Option<v1::ServerEvent> {
        let id = task.id;
        if let Some(why) = convert::too_long([&task.key, &task.service_tag]) {
            return Some(self.declined(id, ClientFault::TooLong, why));
        }
        let priority = match convert::priority(task.priority) {
            Ok(priority) => priority,
            Err(why) => return Some(self.declined(id, ClientFault::Malformed, why)),
        };
        let terms = match terms(&task).to_tag() {
            Ok(terms) => terms,
            Err(error) => return Some(self.declined(id, ClientFault::TooLong, error.to_string())),
        };
        let Some(exchange) = super::lookup(&self.plane, &task.exchange) else {
            return Some(convert::unknown_exchange(id, &task.exchange, String::new()));
        };
        let request = Request {
            submit: true,
            priority,
            tags: Tags {
                request: Bytes::new(),
                connection: terms,
                service: Bytes::from(task.service_tag),
                key: Bytes::from(task.key),
            },
            timeout: Span::from_ms(u64::from(task.timeout_ms)),
            trace: self.trace_of(&task.traceparent),
            ..Request::new(exchange, task.payload)
        };
        let refused = self.ask(id, request);
        if refused.is_none() {
            *self.submits.entry(id).or_default() += 1;
        }
        refused
    }

    /// Where that is the outcome of a submit, and the task is kept.
    pub(super) fn submitted(&mut self, id: u64, outcome: &Outcome) -> Option<v1::Submitted> {
        let open = self.submits.get_mut(&id)?;
        *open -= 1;
        if *open == 0 {
            self.submits.remove(&id);
        }
        let submitted: Submitted = message::parse(&outcome.payload).ok()?;
        let copies = match submitted.copies {
            Copies::Single => v1::Copies::Single,
            Copies::Two => v1::Copies::Two,
        };
        Some(v1::Submitted {
            task: submitted.task.0,
            copies: copies.into(),
            duplicate: submitted.duplicate,
        })
    }

    pub(super) fn attach_worker(&mut self, worker: v1::AttachWorker) -> v1::ServerEvent {
        let tags = HandlerTags {
            service: worker.service_tag,
            works: true,
            ..HandlerTags::default()
        };
        let credit = match worker.credit {
            0 => WORKER_CREDIT_DEFAULT,
            credit => credit,
        };
        self.attach_as(worker.worker, &worker.exchange, tags, credit)
    }

    pub(super) fn settle(&mut self, settle: v1::SettleTask) -> Option<v1::ServerEvent> {
        let number = settle.worker;
        let serial = self.serials.get(&number).copied();
        let serial = serial.filter(|serial| self.session.handler(*serial).is_some_and(|a| a.tags().works));
        let Some(serial) = serial else {
            self.session.faults().count(ClientFault::NotThere);
            return Some(refused(number, format!("there is no worker {number}")));
        };
        let word = match settlement(settle.word) {
            Ok(word) => word,
            Err(why) => {
                self.session.faults().count(ClientFault::Malformed);
                return Some(event(Out::TaskSettled(v1::TaskSettled {
                    worker: number,
                    task: settle.task,
                    lease: settle.lease,
                    result: v1::TaskResult::Malformed.into(),
                    reason: why,
                    ..v1::TaskSettled::default()
                })));
            }
        };
        let frame = Frame {
            message: MessageId(settle.task),
            signature: settle.lease,
            from: Pid {
                node: NodeId(0),
                serial,
            },
            payload: message::control(&word).payload,
            ..Frame::new(Kind::Settle)
        };
        let refused = self.session.settle(frame)?;
        self.settled(&refused).map(event)
    }

    /// A task for one of the client's workers. One for a worker that was detached meanwhile is not the client's any more: its
    /// queue has it back.
    pub(super) fn task(&self, frame: Frame) -> Option<Out> {
        let worker = self.numbers.get(&frame.to).copied()?;
        let attachment = self.session.handler(frame.to)?;
        Some(Out::Task(v1::Task {
            worker,
            task: frame.message.0,
            lease: frame.signature,
            exchange: attachment.name().as_str().to_owned(),
            key: convert::text(&frame.tags.key),
            attempt: frame.index,
            attempts: frame.count,
            priority: u32::from(frame.priority.number()),
            lease_ms: frame.left_ms,
            payload: frame.payload,
        }))
    }

    /// What the owner says of a task to one of the client's workers.
    pub(super) fn settled(&self, frame: &Frame) -> Option<Out> {
        let worker = self.numbers.get(&frame.to).copied()?;
        let (task, lease) = (frame.message.0, frame.signature);
        Some(match message::parse(&frame.payload).ok()? {
            SettleWord::Ended(why) => Out::TaskEnded(v1::TaskEnded {
                worker,
                task,
                lease,
                why: lease_end(why).into(),
                reason: why.as_str().to_owned(),
            }),
            SettleWord::Result(result) => Out::TaskSettled(v1::TaskSettled {
                worker,
                task,
                lease,
                ..settled(result)
            }),
        })
    }
}

fn terms(task: &v1::SubmitTask) -> Terms {
    let span = |ms: u32| Span::from_ms(u64::from(ms));
    Terms {
        delay: span(task.delay_ms),
        deadline: (task.deadline_ms > 0).then(|| span(task.deadline_ms)),
        attempts: task.attempts,
        unique: Bytes::copy_from_slice(task.message_id.as_bytes()),
    }
}

/// What a worker says; in words where it says nothing.
fn settlement(word: Option<v1::settle_task::Word>) -> Result<Settlement, String> {
    use v1::settle_task::Word;
    Ok(match word.ok_or("a word of an unknown kind")? {
        Word::Complete(v1::Complete {}) => Settlement::Confirm,
        Word::Extend(extend) => Settlement::Extend {
            by: Span::from_ms(u64::from(extend.by_ms)),
        },
        Word::GiveBack(back) => {
            let retry = match convert::known("retry", back.retry)? {
                v1::Retry::Backoff => Retry::Backoff,
                v1::Retry::AtOnce => Retry::AtOnce,
                v1::Retry::After => Retry::After(Span::from_ms(u64::from(back.after_ms))),
                v1::Retry::Never => Retry::Never,
            };
            let said = back.reason.chars().take(GIVE_BACK_TEXT_BYTES_MAX).collect();
            Settlement::GiveBack { said, retry }
        }
    })
}

fn settled(result: SettleResult) -> v1::TaskSettled {
    use v1::TaskResult as Of;
    let (of, latest_lease, lease_ms) = match result {
        SettleResult::Confirmed => (Of::Completed, 0, 0),
        SettleResult::AlreadyConfirmed => (Of::AlreadyCompleted, 0, 0),
        SettleResult::GivenBack => (Of::GivenBack, 0, 0),
        SettleResult::Extended { length } => {
            (Of::Extended, 0, u32::try_from(length.as_ms()).unwrap_or(u32::MAX))
        }
        SettleResult::Fenced { seen } => (Of::Fenced, seen.0, 0),
        SettleResult::Dead(_) => (Of::Dead, 0, 0),
        SettleResult::Unknown => (Of::Unknown, 0, 0),
        SettleResult::Refused(_) => (Of::Refused, 0, 0),
    };
    v1::TaskSettled {
        result: of.into(),
        latest_lease,
        lease_ms,
        reason: result.to_string(),
        ..v1::TaskSettled::default()
    }
}

const fn lease_end(why: LeaseEnd) -> v1::LeaseEnd {
    match why {
        LeaseEnd::TimedOut => v1::LeaseEnd::TimedOut,
        LeaseEnd::GivenBack => v1::LeaseEnd::GivenBack,
        LeaseEnd::Detached => v1::LeaseEnd::Detached,
        LeaseEnd::NodeLost => v1::LeaseEnd::NodeLost,
        LeaseEnd::Unclaimed => v1::LeaseEnd::Unclaimed,
        LeaseEnd::Expired => v1::LeaseEnd::Expired,
        LeaseEnd::Unseen => v1::LeaseEnd::Unseen,
    }
}
