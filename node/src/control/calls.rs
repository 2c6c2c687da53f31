//! Questions to other nodes and their answers, matched by number. What does not live here: who carries them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use squall_kernel::id::Boot;
use squall_kernel::message::{Call, calls_begin_after};
use tokio::sync::oneshot;

/// Open questions that wait for answers of type `T`. Each is forgotten when its asker gives up.
#[derive(Debug)]
pub(crate) struct Calls<T> {
    last: AtomicU64,
    open: Mutex<HashMap<Call, oneshot::Sender<T>>>,
}

/// A question under way: await `answer`; dropping it forgets the question.
pub(crate) struct Waiting<'a, T> {
    calls: &'a Calls<T>,
    pub(crate) call: Call,
    pub(crate) answer: oneshot::Receiver<T>,
}

impl<T> Calls<T> {
    /// The questions of one run of a node.
    pub(crate) fn of_run(boot: Boot) -> Self {
        Self {
            last: AtomicU64::new(calls_begin_after(boot)),
            open: Mutex::default(),
        }
    }

    /// Opens a question.
    pub(crate) fn open(&self) -> Waiting<'_, T> {
        let call = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, answer) = oneshot::channel();
        self.table().insert(call, sender);
        Waiting {
            calls: self,
            call,
            answer,
        }
    }

    /// Hands an answer to whoever waits for it; one that comes too late is dropped.
    pub(crate) fn answer(&self, call: Call, answer: T) {
        if let Some(waiting) = self.table().remove(&call) {
            let _ = waiting.send(answer);
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Call, oneshot::Sender<T>>> {
        // Inserting and removing whole entries leaves nothing half done.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.calls.table().remove(&self.call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_finds_its_question_and_a_late_one_nobody() {
        let calls = Calls::of_run(Boot(1));
        let (mut first, second) = (calls.open(), calls.open());
        calls.answer(first.call, "one");
        assert_eq!((&mut first.answer).await, Ok("one"));
        let late = second.call;
        drop(second);
        calls.answer(late, "two");
        assert!(calls.table().is_empty());
    }

    #[tokio::test]
    async fn an_answer_to_an_earlier_run_is_nobodys() {
        let before = Calls::<&str>::of_run(Boot(1)).open().call;
        let calls = Calls::of_run(Boot(2));
        let mut first = calls.open();
        calls.answer(before, "to the run before");
        calls.answer(first.call, "to this one");
        assert_eq!((&mut first.answer).await, Ok("to this one"));
    }
}
