//! A task in a worker's hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use squall_kernel::frame::Frame;
use squall_kernel::message::Settlement;
use squall_kernel::reason::DeadReason;
use squall_kernel::tasks::{LeaseNo, Retry, SettleResult, TaskId};
use tokio::time::{Instant, sleep, timeout};

use super::{span, word_about};
use crate::attachment::{Place, Taken};
use crate::limits::{SETTLE_AGAIN, SETTLE_FOR, SETTLE_REFUSED};
use crate::link::Generation;
use crate::state::{Outgoing, Settling, Shared};

/// Why a worker's word about a task does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// The lease is over; the task has a later one, or had.
    #[error("the lease is over: the latest one is {seen}")]
    Fenced {
        /// The task's latest lease.
        seen: LeaseNo,
    },
    /// It has ended as a dead letter.
    #[error("the task is a dead letter: {0}")]
    Dead(DeadReason),
    /// It ended long ago, or was lost with its nodes.
    #[error("there is no such task any more")]
    Unknown,
    /// The connection over which it came is gone: it is given to another worker.
    #[error("the connection over which the task came is gone")]
    Gone,
    /// Nobody answered in time: it counts, or does not.
    #[error("no owner answers")]
    Unanswered,
}

struct Inner {
    shared: Arc<Shared>,
    generation: Generation,
    frame: Box<Frame>,
    since: Instant,
    settled: AtomicBool,
    place: Arc<Place>,
}

/// A task in a worker's hand. Clones are the same task.
#[derive(Clone)]
pub struct Task {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.id())
            .field("lease", &self.lease())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

impl Task {
    pub(super) fn new(shared: Arc<Shared>, taken: Taken) -> Self {
        let Taken {
            generation,
            frame,
            since,
            place,
        } = taken;
        Self {
            inner: Arc::new(Inner {
                shared,
                generation,
                frame,
                since,
                settled: AtomicBool::new(false),
                place,
            }),
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> TaskId {
        TaskId(self.inner.frame.message.0)
    }

    /// Number of its lease, higher than any before: a token for resources that refuse what is older.
    #[must_use]
    pub fn lease(&self) -> LeaseNo {
        LeaseNo(self.inner.frame.signature)
    }

    /// The how manieth attempt it is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.inner.frame.index
    }

    /// How many there are at most.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.inner.frame.count
    }

    /// How urgent it is.
    #[must_use]
    pub fn priority(&self) -> squall_kernel::frame::Priority {
        self.inner.frame.priority
    }

    /// What is to be done.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.inner.frame.payload
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        &self.inner.frame.tags.key
    }

    /// How much is left of the lease it came with; extensions are not counted.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let length = Duration::from_millis(u64::from(self.inner.frame.left_ms));
        length.saturating_sub(self.inner.since.elapsed())
    }

    /// The task is completed. The completion counts once this returns.
    ///
    /// # Errors
    /// [`SettleError`]: another worker has it, or had it, or nobody knows.
    pub async fn confirm(&self) -> Result<(), SettleError> {
        self.finally(Settlement::Confirm).await
    }

    /// The task is not completed.
    ///
    /// # Errors
    /// [`SettleError`]: it was not this worker's any more.
    pub async fn give_back(&self, reason: impl Into<String>, retry: Retry) -> Result<(), SettleError> {
        let said = reason.into();
        self.finally(Settlement::GiveBack { said, retry }).await
    }

    /// The task takes longer: its lease ends after `by` from now, at most after an hour. Gives how long it holds.
    ///
    /// # Errors
    /// [`SettleError`]: it is not this worker's any more.
    pub async fn extend(&self, by: Duration) -> Result<Duration, SettleError> {
        match self.say(&Settlement::Extend { by: span(by) }).await? {
            SettleResult::Extended { length } => Ok(Duration::from_micros(length.0)),
            _ => Err(SettleError::Unknown),
        }
    }

    /// True once the worker has said something final itself.
    pub(super) fn is_settled(&self) -> bool {
        self.inner.settled.load(Ordering::Acquire)
    }

    pub(super) async fn finally(&self, word: Settlement) -> Result<(), SettleError> {
        self.inner.settled.store(true, Ordering::Release);
        self.say(&word).await.map(drop)
    }

    /// Says it until an owner has answered: owners may change meanwhile, and a word that is said twice counts once.
    async fn say(&self, word: &Settlement) -> Result<SettleResult, SettleError> {
        let began = Instant::now();
        while began.elapsed() < SETTLE_FOR {
            match self.say_once(word).await? {
                None => {}
                Some(SettleResult::Refused(_)) => sleep(SETTLE_REFUSED).await,
                Some(SettleResult::Fenced { seen }) => return Err(SettleError::Fenced { seen }),
                Some(SettleResult::Dead(reason)) => return Err(SettleError::Dead(reason)),
                Some(SettleResult::Unknown) => return Err(SettleError::Unknown),
                Some(result) => return Ok(result),
            }
        }
        Err(SettleError::Unanswered)
    }

    async fn say_once(&self, word: &Settlement) -> Result<Option<SettleResult>, SettleError> {
        let Inner {
            shared,
            generation,
            frame,
            place,
            ..
        } = &*self.inner;
        let of = Settling::of(frame);
        let answer = shared.open_settling(of, place);
        let out = Outgoing::bound(*generation, word_about(frame, word));
        if !shared.is_live(*generation) || shared.outbound.send(out).await.is_err() {
            shared.forget_settling(of);
            return Err(SettleError::Gone);
        }
        match timeout(SETTLE_AGAIN, answer).await {
            Ok(Ok(result)) => Ok(Some(result)),
            Ok(Err(_)) => Err(SettleError::Gone),
            Err(_) => {
                shared.forget_settling(of);
                Ok(None)
            }
        }
    }
}
