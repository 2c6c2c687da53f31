//! Tasks: submitting them, and working on them.
//!
//! What does not live here: the queue (its owner's node keeps it), and how a worker stays attached (`attachment`).

mod crew;
mod task;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind, Priority};
use squall_kernel::id::{ExchangeName, Pid};
use squall_kernel::message::{Settlement, Submitted, Terms, control, parse};
pub use squall_kernel::tasks::{Copies, LeaseNo, Retry, TaskId};
use squall_kernel::time::Span;

use self::crew::Crew;
pub use self::task::{SettleError, Task};
use crate::ask::{Ask, pause};
use crate::attachment::{self, Attachment};
use crate::client::Client;
use crate::error::{AttachError, Invalid, RequestError};
use crate::limits::REFUSED_RETRY;
use crate::options::{AttachOptions, RequestOptions};
use crate::state::Shared;

/// A task's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitOptions {
    /// Where the exchange is ordered, tasks of one key are carried out one after the other. At most 255 bytes.
    pub key: Bytes,
    /// Only workers of this group; empty means all.
    pub service_tag: Bytes,
    /// How urgent it is: 0 to 9, the higher first.
    pub priority: Priority,
    /// It is not given out before that time has passed.
    pub delay: Duration,
    /// It ends as a dead letter when that time has passed; none for what the exchange says.
    pub deadline: Option<Duration>,
    /// How often it is tried at most; 0 for what the exchange says.
    pub attempts: u32,
    /// A second submit with the same id is the same task, as long as that is open and for a while after. Empty: one is
    /// made up, so that the client itself can submit again what was interrupted. At most 200 bytes.
    pub message_id: Bytes,
    /// How long to wait until it is kept.
    pub timeout: Duration,
}

impl Default for SubmitOptions {
    fn default() -> Self {
        Self {
            key: Bytes::new(),
            service_tag: Bytes::new(),
            priority: Priority::default(),
            delay: Duration::ZERO,
            deadline: None,
            attempts: 0,
            message_id: Bytes::new(),
            timeout: Duration::from_secs(5),
        }
    }
}

/// A worker's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkOptions {
    /// Group of workers.
    pub service_tag: String,
    /// Tasks in hand at once, each carried out beside the others; from 1 to [`CREDIT_MAX`](crate::CREDIT_MAX).
    pub credit: u32,
    /// How long the node may refuse the worker before it ends; see [`AttachOptions::wait`].
    pub wait: Duration,
}

impl Default for WorkOptions {
    fn default() -> Self {
        Self {
            service_tag: String::new(),
            credit: 1,
            wait: AttachOptions::default().wait,
        }
    }
}

/// What a worker says of a task at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It is completed.
    Confirm,
    /// It is not.
    GiveBack {
        /// Why, for people.
        reason: String,
        /// When it may be tried again.
        retry: Retry,
    },
}

impl Done {
    /// It failed, and may be tried again after a time that doubles with every attempt.
    #[must_use]
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::GiveBack {
            reason: reason.into(),
            retry: Retry::Backoff,
        }
    }

    /// It cannot be done: a dead letter.
    #[must_use]
    pub fn give_up(reason: impl Into<String>) -> Self {
        Self::GiveBack {
            reason: reason.into(),
            retry: Retry::Never,
        }
    }
}

impl From<Done> for Settlement {
    fn from(done: Done) -> Self {
        match done {
            Done::Confirm => Self::Confirm,
            Done::GiveBack { reason, retry } => Self::GiveBack { said: reason, retry },
        }
    }
}

/// Carries out tasks. Any `Fn(Task) -> Future<Output = Done>` is a worker. A panic gives the task back.
pub trait Worker: Send + Sync + 'static {
    /// Carries out a task. What is returned is said to the owner, unless the worker has said something final itself.
    fn work(&self, task: Task) -> impl Future<Output = Done> + Send;
}

impl<F, R> Worker for F
where
    F: Fn(Task) -> R + Send + Sync + 'static,
    R: Future<Output = Done> + Send,
{
    fn work(&self, task: Task) -> impl Future<Output = Done> + Send {
        self(task)
    }
}

fn span(time: Duration) -> Span {
    Span(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

pub(crate) async fn submit(
    shared: &Arc<Shared>,
    exchange: &str,
    payload: Bytes,
    options: SubmitOptions,
) -> Result<Submitted, RequestError> {
    let unique = if options.message_id.is_empty() {
        Bytes::copy_from_slice(&rand::random::<u128>().to_le_bytes())
    } else {
        options.message_id
    };
    let terms = Terms {
        delay: span(options.delay),
        deadline: options.deadline.map(span),
        attempts: options.attempts,
        unique,
    };
    let terms = terms.to_tag().map_err(Invalid::MessageId)?;
    let request = RequestOptions {
        timeout: options.timeout,
        service_tag: options.service_tag,
        key: options.key,
        ..RequestOptions::default()
    };
    let ask = Ask::new(exchange, payload, request)?.into_task(terms, options.priority);
    loop {
        match ask.one(shared).await {
            Ok(reply) => {
                let garbled = |_| RequestError::Declined("the node's answer cannot be read".into());
                return parse(&reply.payload).map_err(garbled);
            }
            // It is the same task, whether the owner had it or not.
            Err(RequestError::Interrupted) if pause(REFUSED_RETRY, ask.deadline()).await => {}
            Err(error) => return Err(error),
        }
    }
}

pub(crate) async fn work(
    client: Client,
    name: ExchangeName,
    options: WorkOptions,
    worker: impl Worker,
) -> Result<Attachment, AttachError> {
    let options = AttachOptions {
        service_tag: options.service_tag,
        connection_tag: String::new(),
        credit: options.credit,
        wait: options.wait,
        ..AttachOptions::default()
    };
    let crew = Crew::new(Arc::clone(client.shared()), worker);
    attachment::work(client, name, options, |events| tokio::spawn(crew.run(events))).await
}

/// What is said of a task that no worker has seen.
pub(crate) fn unseen(task: &Frame) -> Frame {
    let word = Settlement::GiveBack {
        said: String::new(),
        retry: Retry::Unseen,
    };
    word_about(task, &word)
}

fn word_about(task: &Frame, word: &Settlement) -> Frame {
    Frame {
        exchange: task.exchange,
        message: task.message,
        signature: task.signature,
        from: Pid {
            node: task.from.node,
            serial: task.to,
        },
        payload: control(word).payload,
        ..Frame::new(Kind::Settle)
    }
}
