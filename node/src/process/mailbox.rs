//! Bounded mailboxes that keep their process's counters. Nothing waits to put a message in: a full mailbox gives it
//! back.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use squall_kernel::time::Instant;

use super::queue::{Receiver, Sender, queue};
use super::watched::Watched;
use super::{Letter, Process};
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

/// Whose mailbox it is.
#[derive(Debug)]
struct Owner {
    process: Arc<Process>,
    clock: Clock,
}

/// The sending end.
#[derive(Debug)]
pub struct Mailbox<T>(Sender<(T, Instant), Owner>);

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The receiving end.
#[derive(Debug)]
pub struct Inbox<T>(Receiver<(T, Instant), Owner>);

/// The two ends of a process's mailbox for at most `bound` messages.
#[must_use]
pub fn mailbox<T>(process: Arc<Process>, clock: Clock, bound: usize) -> (Mailbox<T>, Inbox<T>) {
    process.has_mailbox.store(true, Relaxed);
    let (sender, receiver) = queue(bound, Owner { process, clock });
    (Mailbox(sender), Inbox(receiver))
}

impl<T: Letter> Mailbox<T> {
    /// Puts a message in.
    ///
    /// # Errors
    /// [`Push`] gives the message back.
    pub fn push(&self, item: T) -> Result<(), Push<T>> {
        let Owner { process, clock } = self.0.common();
        match process.watched() {
            None => self.put(clock.now(), item),
            Some(watched) => self.put_watched(&watched, item),
        }
    }

    /// Its envelope comes into the line in the order of the mailbox.
    fn put_watched(&self, watched: &Watched, item: T) -> Result<(), Push<T>> {
        let mut line = watched.line();
        let (now, envelope) = (self.0.common().clock.now(), item.envelope());
        self.put(now, item)?;
        line.push_back((now, envelope));
        Ok(())
    }
}

impl<T> Mailbox<T> {
    fn put(&self, now: Instant, item: T) -> Result<(), Push<T>> {
        // Counted before it is in: the other end may take it out at once, and must not be ahead.
        self.process().count_enqueued(now);
        self.0.push((item, now)).map_err(|error| {
            self.process().count_refused();
            match error {
                Push::Full((item, _)) => Push::Full(item),
                Push::Closed((item, _)) => Push::Closed(item),
            }
        })
    }

    /// Messages that still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.0.room()
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.0.common().process
    }
}

impl<T> Inbox<T> {
    /// Waits for a message; gives it and when it was put in. None when all senders are gone.
    pub async fn next(&mut self) -> Option<(T, Instant)> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The same for whoever waits for something else, too.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(T, Instant)>> {
        let taken = self.0.poll_next(context);
        taken.map(|taken| self.counted(taken))
    }

    /// A message, if there is one now; the calling task is woken by the next one otherwise. Takes part in the runtime's budget: now and
    /// then there is none although there is, and the task is called again at once.
    pub async fn ready(&mut self) -> Option<(T, Instant)> {
        let taken = poll_fn(|context| Poll::Ready(self.0.poll_next(context))).await;
        match taken {
            Poll::Ready(taken) => self.counted(taken),
            Poll::Pending => None,
        }
    }

    /// A message, if there is one now.
    pub fn try_next(&mut self) -> Option<(T, Instant)> {
        let taken = self.0.try_next();
        self.counted(taken)
    }

    /// Gives back the room for messages, where none waits: for those that will not come as often.
    pub fn trim(&mut self) {
        self.0.trim();
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.0.common().process
    }

    /// Takes no more messages; what is in can still be taken out.
    pub fn close(&mut self) {
        self.0.close();
    }

    fn counted(&self, taken: Option<(T, Instant)>) -> Option<(T, Instant)> {
        if let Some((_, put)) = &taken {
            let Owner { process, clock } = self.0.common();
            process.count_dequeued(*put);
            if let Some(watched) = process.watched() {
                watched.taken(*put);
                watched.waited(clock.now().since(*put));
            }
        }
        taken
    }
}

/// Numbers stand for messages of that size in tests.
#[cfg(test)]
impl Letter for i32 {
    fn envelope(&self) -> super::Envelope {
        super::Envelope {
            bytes: usize::try_from(*self).expect("a size"),
            ..super::Envelope::of("number")
        }
    }
}
