//! What a task is told beside its mailbox, as bits that it hears once. To look whether there is anything is one relaxed load.

use std::future::poll_fn;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Poll, Waker};

/// What one task was told and has not heard.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    told: AtomicU8,
    /// The task's: the same one for all of its life.
    task: OnceLock<Waker>,
}

impl Bell {
    /// To be waited for by the task itself, before anything else.
    pub(crate) async fn begin(&self) {
        poll_fn(|context| {
            let _once = self.task.set(context.waker().clone());
            Poll::Ready(())
        })
        .await;
    }

    /// Tells the task, and wakes it.
    pub(crate) fn ring(&self, what: u8) {
        self.told.fetch_or(what, Ordering::AcqRel);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// Which of `wanted` it was told; these are heard then.
    pub(crate) fn hear(&self, wanted: u8) -> u8 {
        if self.told.load(Ordering::Relaxed) & wanted == 0 {
            return 0;
        }
        self.told.fetch_and(!wanted, Ordering::AcqRel) & wanted
    }

    /// Whether it was told one of `wanted` and has not heard it.
    pub(crate) fn is_rung(&self, wanted: u8) -> bool {
        self.told.load(Ordering::Relaxed) & wanted != 0
    }

    /// Waits until it is told one of `wanted`, and hears it.
    pub(crate) async fn heard(&self, wanted: u8) -> u8 {
        poll_fn(|_| match self.hear(wanted) {
            0 => Poll::Pending,
            heard => Poll::Ready(heard),
        })
        .await
    }

    /// Whether it was told all of that, heard or not.
    pub(crate) fn was_told(&self, what: u8) -> bool {
        self.told.load(Ordering::Acquire) & what == what
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_task_that_waits_is_told_and_hears_it_once() {
        let bell = Arc::new(Bell::default());
        let rung = Arc::clone(&bell);
        let task = tokio::spawn(async move {
            rung.begin().await;
            (rung.heard(1 | 2).await, rung.heard(1 | 2).await, rung.hear(255))
        });
        tokio::task::yield_now().await;
        bell.ring(2);
        tokio::task::yield_now().await;
        bell.ring(1);
        assert_eq!(task.await.unwrap(), (2, 1, 0));
    }

    #[tokio::test]
    async fn what_is_told_before_anybody_listens_is_heard_later() {
        let bell = Bell::default();
        bell.ring(4);
        bell.begin().await;
        assert!(bell.was_told(4));
        assert_eq!((bell.hear(1), bell.hear(5), bell.hear(5)), (0, 4, 0));
    }
}
