//! Which tasks are under way: each is to be worked on once, on its first attempt, and settled once. What does not live here:
//! submitting and working, here or at a peer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

/// Tasks between their submit and their settlement.
#[derive(Debug, Default)]
pub(in crate::bench) struct Ledger(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: u64,
    /// Bounded by the tasks in flight.
    open: HashMap<u64, oneshot::Sender<Instant>>,
    wrong: Option<String>,
}

/// What a task says: its number.
pub(in crate::bench) fn payload(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

impl Ledger {
    /// The number that the task has by its payload; something is wrong where it has none.
    pub(in crate::bench) fn number(&self, payload: &[u8]) -> Option<u64> {
        let number = payload.try_into().map(u64::from_le_bytes);
        if number.is_err() {
            self.tell("a task is not what was submitted".into());
        }
        number.ok()
    }

    /// A task is about to be submitted: its number, and when it was settled, once it is.
    pub(super) fn open(&self) -> (u64, oneshot::Receiver<Instant>) {
        let (settled, when) = oneshot::channel();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        state.open.insert(number, settled);
        (number, when)
    }

    /// A worker has completed the task, and knows that this is known.
    pub(in crate::bench) fn settled(&self, number: u64, attempt: u32, now: Instant) {
        let mut state = self.lock();
        let open = state.open.remove(&number);
        let wrong = match (open, attempt) {
            (None, _) => Some(format!("task {number} was settled though it was not open")),
            (Some(_), 2..) => Some(format!("task {number} took {attempt} attempts")),
            (Some(settled), _) => {
                // Whoever waited has given up, and said so.
                let _gone = settled.send(now);
                None
            }
        };
        if let Some(wrong) = wrong {
            state.wrong.get_or_insert(wrong);
        }
    }

    /// Something was not as it must be.
    pub(in crate::bench) fn tell(&self, what: String) {
        self.lock().wrong.get_or_insert(what);
    }

    /// The first thing that was wrong, if anything was; also tasks that are still open.
    pub(super) fn wrong(&self) -> Option<String> {
        let state = self.lock();
        let open = state.open.len();
        let left = (open > 0).then(|| format!("{open} tasks were not settled"));
        state.wrong.clone().or(left)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_task_is_settled_once_at_its_first_attempt() {
        let ledger = Ledger::default();
        let (first, when) = ledger.open();
        let (second, _when) = ledger.open();
        assert_ne!(first, second);
        let now = Instant::now();
        ledger.settled(first, 1, now);
        assert_eq!(when.await, Ok(now));
        assert!(ledger.wrong().unwrap().contains("1 tasks were not settled"));
        ledger.settled(second, 1, now);
        assert_eq!(ledger.wrong(), None);
        ledger.settled(second, 1, now);
        assert!(ledger.wrong().unwrap().contains("not open"));
        let ledger = Ledger::default();
        let (number, _when) = ledger.open();
        ledger.settled(number, 2, now);
        assert!(ledger.wrong().unwrap().contains("2 attempts"));
    }

    #[test]
    fn a_task_is_known_by_its_payload() {
        let ledger = Ledger::default();
        assert_eq!(ledger.number(&payload(7)), Some(7));
        assert_eq!(ledger.wrong(), None);
        assert_eq!(ledger.number(b"seven"), None);
        assert!(ledger.wrong().unwrap().contains("not what was submitted"));
    }
}
