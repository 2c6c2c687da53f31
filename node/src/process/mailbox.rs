//! Bounded mailboxes that keep their process's counters. Nothing waits to put a message in: a full mailbox gives it
//! back.

use std::sync::Arc;

use squall_kernel::time::Instant;
use tokio::sync::mpsc;

use super::Process;
use crate::clock::Clock;

/// Why a message was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Push<T> {
    /// The mailbox is full.
    #[error("the mailbox is full")]
    Full(T),
    /// The process has ended.
    #[error("the process has ended")]
    Closed(T),
}

/// The sending end.
#[derive(Debug)]
pub struct Mailbox<T> {
    sender: mpsc::Sender<(T, Instant)>,
    process: Arc<Process>,
    clock: Clock,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            process: Arc::clone(&self.process),
            clock: self.clock,
        }
    }
}

/// The receiving end.
#[derive(Debug)]
pub struct Inbox<T> {
    receiver: mpsc::Receiver<(T, Instant)>,
    process: Arc<Process>,
}

/// The two ends of a process's mailbox for at most `bound` messages.
#[must_use]
pub fn mailbox<T>(process: Arc<Process>, clock: Clock, bound: usize) -> (Mailbox<T>, Inbox<T>) {
    let (sender, receiver) = mpsc::channel(bound);
    (
        Mailbox {
            sender,
            process: Arc::clone(&process),
            clock,
        },
        Inbox { receiver, process },
    )
}

impl<T> Mailbox<T> {
    /// Puts a message in.
    ///
    /// # Errors
    /// [`Push`] gives the message back.
    pub fn push(&self, item: T) -> Result<(), Push<T>> {
        let now = self.clock.now();
        // Counted before it is in: the other end may take it out at once, and must not be ahead.
        self.process.count_enqueued(now);
        self.sender.try_send((item, now)).map_err(|error| {
            self.process.count_refused();
            match error {
                mpsc::error::TrySendError::Full((item, _)) => Push::Full(item),
                mpsc::error::TrySendError::Closed((item, _)) => Push::Closed(item),
            }
        })
    }

    /// Messages that still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.sender.capacity()
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }
}

impl<T> Inbox<T> {
    /// Waits for a message; gives it and when it was put in. None when all senders are gone.
    pub async fn next(&mut self) -> Option<(T, Instant)> {
        let taken = self.receiver.recv().await;
        self.counted(taken)
    }

    /// A message, if there is one now.
    pub fn try_next(&mut self) -> Option<(T, Instant)> {
        let taken = self.receiver.try_recv().ok();
        self.counted(taken)
    }

    /// Takes no more messages; what is in can still be taken out.
    pub fn close(&mut self) {
        self.receiver.close();
    }

    fn counted(&self, taken: Option<(T, Instant)>) -> Option<(T, Instant)> {
        if let Some((_, put)) = &taken {
            self.process.count_dequeued(*put);
        }
        taken
    }
}
