//! A bounded queue of many senders and one receiver that takes all there is at once: one lock for a whole batch, and memory only
//! for what waits.
//!
//! What does not live here: counters and envelopes (`mailbox`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::task::coop;

use super::mailbox::Push;

/// Room that is kept for what comes next, however little came last.
const KEPT: usize = 4;

/// The two ends of a queue for at most `bound` items, and what both have in common.
pub(super) fn queue<T, E>(bound: usize, common: E) -> (Sender<T, E>, Receiver<T, E>) {
    let shared = Arc::new(Shared {
        common,
        bound: bound as u64,
        line: Mutex::new(Line {
            items: VecDeque::new(),
            put: 0,
            senders: 1,
            closed: false,
            waits: None,
        }),
        taken: AtomicU64::new(0),
    });
    let receiver = Receiver {
        shared: Arc::clone(&shared),
        room: Room {
            batch: VecDeque::new(),
            of: 0,
        },
        taken: 0,
    };
    (Sender(shared), receiver)
}

#[derive(Debug)]
struct Shared<T, E> {
    common: E,
    bound: u64,
    line: Mutex<Line<T>>,
    /// Items that the receiver has given out; the others are in, also those of its batch.
    taken: AtomicU64,
}

#[derive(Debug)]
struct Line<T> {
    items: VecDeque<T>,
    put: u64,
    senders: usize,
    closed: bool,
    /// The receiver's task, while it waits.
    waits: Option<Waker>,
}

impl<T, E> Shared<T, E> {
    fn line(&self) -> MutexGuard<'_, Line<T>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that puts items in.
#[derive(Debug)]
pub(super) struct Sender<T, E>(Arc<Shared<T, E>>);

impl<T, E> Sender<T, E> {
    /// Puts an item in.
    ///
    /// # Errors
    /// [`Push`] gives it back.
    pub(super) fn push(&self, item: T) -> Result<(), Push<T>> {
        let mut line = self.0.line();
        if line.closed {
            return Err(Push::Closed(item));
        }
        if line.put - self.0.taken.load(Ordering::Acquire) >= self.0.bound {
            return Err(Push::Full(item));
        }
        line.items.push_back(item);
        line.put += 1;
        let waits = line.waits.take();
        drop(line);
        // Outside the lock, for which the receiver may come at once.
        if let Some(task) = waits {
            task.wake();
        }
        Ok(())
    }

    /// What both ends have in common.
    pub(super) fn common(&self) -> &E {
        &self.0.common
    }

    /// Items that still fit.
    pub(super) fn room(&self) -> usize {
        let put = self.0.line().put;
        let waiting = put.saturating_sub(self.0.taken.load(Ordering::Acquire));
        usize::try_from(self.0.bound.saturating_sub(waiting)).unwrap_or(usize::MAX)
    }
}

impl<T, E> Clone for Sender<T, E> {
    fn clone(&self) -> Self {
        self.0.line().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T, E> Drop for Sender<T, E> {
    fn drop(&mut self) {
        let mut line = self.0.line();
        line.senders -= 1;
        let waits = if line.senders == 0 {
            line.waits.take()
        } else {
            None
        };
        drop(line);
        if let Some(task) = waits {
            task.wake();
        }
    }
}

/// The end that takes items out, in the order in which they were put in.
#[derive(Debug)]
pub(super) struct Receiver<T, E> {
    shared: Arc<Shared<T, E>>,
    room: Room<T>,
    taken: u64,
}

/// What the receiver has of its own.
#[derive(Debug)]
struct Room<T> {
    /// What was taken over from the line together.
    batch: VecDeque<T>,
    /// Most items that were taken over together; what was long ago counts less.
    of: usize,
}

impl<T, E> Receiver<T, E> {
    /// Waits for an item; none when all senders are gone, or it is closed, and nothing is left. Takes part in the runtime's
    /// budget: a queue that is never empty holds up no other task.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let progress = ready!(coop::poll_proceed(context));
        if let Some(item) = self.next_of_batch() {
            progress.made_progress();
            return Poll::Ready(Some(item));
        }
        let mut line = self.shared.line();
        if line.items.is_empty() && line.senders > 0 && !line.closed {
            let known = line
                .waits
                .as_ref()
                .is_some_and(|task| task.will_wake(context.waker()));
            if !known {
                line.waits = Some(context.waker().clone());
            }
            return Poll::Pending;
        }
        let item = self.room.take_over(&mut line);
        drop(line);
        progress.made_progress();
        Poll::Ready(self.given_out(item))
    }

    /// An item, if there is one now.
    pub(super) fn try_next(&mut self) -> Option<T> {
        if let Some(item) = self.next_of_batch() {
            return Some(item);
        }
        let item = self.room.take_over(&mut self.shared.line());
        self.given_out(item)
    }

    /// Gives back the room for what came, where nothing waits.
    pub(super) fn trim(&mut self) {
        if !self.room.batch.is_empty() {
            return;
        }
        self.room.batch = VecDeque::new();
        let mut line = self.shared.line();
        if line.items.is_empty() && line.items.capacity() > 0 {
            line.items = VecDeque::new();
        }
    }

    /// What both ends have in common.
    pub(super) fn common(&self) -> &E {
        &self.shared.common
    }

    /// Lets no more items in.
    pub(super) fn close(&mut self) {
        self.shared.line().closed = true;
    }

    fn next_of_batch(&mut self) -> Option<T> {
        let item = self.room.batch.pop_front()?;
        self.room.keep();
        self.given_out(Some(item))
    }

    fn given_out(&mut self, item: Option<T>) -> Option<T> {
        if item.is_some() {
            self.taken += 1;
            self.shared.taken.store(self.taken, Ordering::Release);
        }
        item
    }
}

impl<T> Room<T> {
    /// The first item of the line, and all others with it: one alone leaves the line where it is.
    fn take_over(&mut self, line: &mut Line<T>) -> Option<T> {
        let found = line.items.len();
        if found == 0 {
            return None;
        }
        self.of = found.max(self.of - self.of.div_ceil(4));
        if found > 1 {
            std::mem::swap(&mut line.items, &mut self.batch);
            return self.batch.pop_front();
        }
        let item = line.items.pop_front()?;
        if line.items.capacity() > self.kept() {
            line.items = VecDeque::new();
        }
        self.keep();
        Some(item)
    }

    /// Room for four times as many as came lately is not needed now: a queue that was long gives its memory back.
    fn keep(&mut self) {
        if self.batch.is_empty() && self.batch.capacity() > self.kept() {
            self.batch = VecDeque::new();
        }
    }

    fn kept(&self) -> usize {
        KEPT.max(4 * self.of)
    }
}

impl<T, E> Drop for Receiver<T, E> {
    fn drop(&mut self) {
        let mut line = self.shared.line();
        line.closed = true;
        let left = std::mem::take(&mut line.items);
        line.waits = None;
        drop(line);
        // Outside the lock: items may hold senders of their own queue.
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker_ref;

    use super::*;

    fn poll<T>(receiver: &mut Receiver<T, ()>) -> Poll<Option<T>> {
        receiver.poll_next(&mut Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn what_was_taken_over_and_not_given_out_counts_to_the_bound() {
        let (sender, mut receiver) = queue(3, ());
        for n in 1..=3 {
            sender.push(n).unwrap();
        }
        assert_eq!(receiver.try_next(), Some(1));
        assert_eq!(sender.room(), 1);
        sender.push(4).unwrap();
        assert_eq!(sender.push(5), Err(Push::Full(5)));
        let rest: Vec<i32> = std::iter::from_fn(|| receiver.try_next()).collect();
        assert_eq!(rest, [2, 3, 4]);
        assert_eq!(sender.room(), 3);
    }

    #[test]
    fn what_is_in_can_be_taken_when_closed_or_without_senders() {
        let (sender, mut receiver) = queue(2, ());
        sender.push(1).unwrap();
        receiver.close();
        assert_eq!(sender.push(2), Err(Push::Closed(2)));
        assert_eq!(poll(&mut receiver), Poll::Ready(Some(1)));
        assert_eq!(poll(&mut receiver), Poll::Ready(None));

        let (sender, mut receiver) = queue(2, ());
        let other = sender.clone();
        drop(sender);
        assert!(poll(&mut receiver).is_pending());
        other.push(7).unwrap();
        drop(other);
        assert_eq!(poll(&mut receiver), Poll::Ready(Some(7)));
        assert_eq!(poll(&mut receiver), Poll::Ready(None));
    }

    #[test]
    fn a_receiver_that_is_gone_leaves_nothing_behind() {
        let item = Arc::new(());
        let (sender, receiver) = queue(2, ());
        sender.push(Arc::clone(&item)).unwrap();
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(matches!(sender.push(item), Err(Push::Closed(_))));
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_an_item_and_by_the_last_sender() {
        let (sender, mut receiver) = queue(2, ());
        let heard = tokio::spawn(async move {
            let mut heard = Vec::new();
            while let Some(n) = std::future::poll_fn(|context| receiver.poll_next(context)).await {
                heard.push(n);
            }
            heard
        });
        tokio::task::yield_now().await;
        sender.push(1).unwrap();
        tokio::task::yield_now().await;
        sender.push(2).unwrap();
        tokio::task::yield_now().await;
        drop(sender);
        assert_eq!(heard.await.unwrap(), [1, 2]);
    }

    #[test]
    fn a_queue_that_was_long_gives_its_room_back() {
        let (sender, mut receiver) = queue(10_000, ());
        for n in 0..10_000 {
            sender.push(n).unwrap();
        }
        assert_eq!(std::iter::from_fn(|| receiver.try_next()).count(), 10_000);
        for n in 0..64 {
            sender.push(n).unwrap();
            assert_eq!(receiver.try_next(), Some(n));
        }
        let room = |receiver: &Receiver<_, ()>| {
            receiver.room.batch.capacity() + receiver.shared.line().items.capacity()
        };
        assert!(room(&receiver) <= KEPT, "{}", room(&receiver));
        receiver.trim();
        assert_eq!(room(&receiver), 0);
        sender.push(7).unwrap();
        receiver.trim();
        assert_eq!(receiver.try_next(), Some(7));
    }

    #[test]
    fn what_comes_together_now_and_then_keeps_its_room() {
        let (sender, mut receiver) = queue(64, ());
        let mut pass = |together: usize| {
            (0..together).for_each(|n| sender.push(n).unwrap());
            assert_eq!(std::iter::from_fn(|| receiver.try_next()).count(), together);
            receiver.room.batch.capacity() + receiver.shared.line().items.capacity()
        };
        pass(20);
        let room = pass(20);
        assert!((0..3).all(|_| pass(1) == room));
    }

    /// Threads put in and take out at once: nothing is lost, doubled, or out of its sender's order.
    #[test]
    fn many_senders_keep_their_order() {
        const EACH: u64 = 20_000;
        let (sender, mut receiver) = queue(64, ());
        let senders: Vec<_> = (0..3u64)
            .map(|me| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    for n in 0..EACH {
                        let mut item = (me, n);
                        while let Err(Push::Full(back)) = sender.push(item) {
                            item = back;
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut next = [0u64; 3];
            while let Some((me, n)) = std::future::poll_fn(|context| receiver.poll_next(context)).await {
                let due = &mut next[usize::try_from(me).unwrap()];
                assert_eq!(n, *due);
                *due += 1;
            }
            assert_eq!(next, [EACH; 3]);
        });
        for sender in senders {
            sender.join().unwrap();
        }
    }
}
