//! What faults tell a handler inside the node while it waits or works: that it is killed, or that something has changed.
//!
//! What does not live here: which fault does what (`suffering`), and what the handler makes of it (`embedded`).

use std::future::poll_fn;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Poll, Waker};

const KILLED: u8 = 1;
const STIRRED: u8 = 2;
/// It is attached no more. Stays so.
const LEFT: u8 = 4;

/// What a handler's task was told and has not heard. Looking at it is one relaxed load.
#[derive(Debug, Default)]
pub struct Fate {
    told: AtomicU8,
    /// The task's: the same one for all of its life.
    waker: OnceLock<Waker>,
}

impl Fate {
    /// To be waited for by the task itself, before anything else.
    pub(super) async fn begin(&self) {
        poll_fn(|context| {
            let _once = self.waker.set(context.waker().clone());
            Poll::Ready(())
        })
        .await;
    }

    /// It is to end as if it had crashed.
    pub(super) fn kill(&self) {
        self.tell(KILLED);
    }

    /// What it suffers has changed.
    pub(super) fn stir(&self) {
        self.tell(STIRRED);
    }

    /// It is detached: from now on it suffers nothing.
    pub(super) fn leave(&self) {
        self.tell(LEFT | STIRRED);
    }

    /// Whether it is detached.
    pub(super) fn has_left(&self) -> bool {
        self.told.load(Ordering::Acquire) & LEFT != 0
    }

    /// Waits until it is killed; that is heard once.
    pub(super) async fn killed(&self) {
        self.heard(KILLED).await;
    }

    /// Waits until it is stirred; that is heard once.
    pub(super) async fn stirred(&self) {
        self.heard(STIRRED).await;
    }

    /// Waits until it is told anything. What it was is heard once; true when it is killed.
    pub(super) async fn anything(&self) -> bool {
        self.heard(KILLED | STIRRED).await & KILLED != 0
    }

    fn tell(&self, what: u8) {
        self.told.fetch_or(what, Ordering::AcqRel);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    async fn heard(&self, wanted: u8) -> u8 {
        poll_fn(|_| {
            if self.told.load(Ordering::Relaxed) & wanted == 0 {
                return Poll::Pending;
            }
            Poll::Ready(self.told.fetch_and(!wanted, Ordering::AcqRel) & wanted)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_task_that_waits_is_told_and_hears_it_once() {
        let fate = Arc::new(Fate::default());
        let told = Arc::clone(&fate);
        let task = tokio::spawn(async move {
            told.begin().await;
            let stirred = told.anything().await;
            told.killed().await;
            (stirred, told.told.load(Ordering::Relaxed))
        });
        tokio::task::yield_now().await;
        fate.stir();
        tokio::task::yield_now().await;
        fate.kill();
        assert_eq!(task.await.unwrap(), (false, 0));
    }

    #[tokio::test]
    async fn what_is_told_before_anybody_listens_is_heard_later() {
        let fate = Fate::default();
        fate.kill();
        fate.begin().await;
        assert!(fate.anything().await);
    }
}
