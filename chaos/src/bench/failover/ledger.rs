//! The handlers of the benchmark, and what they saw that they should not have seen: a request twice, a request under an
//! epoch that is over. What does not live here: how requests end for those that asked (`open`).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_client::{Answer, Delivery, Handler, Notice};
use squall_kernel::id::Epoch;
use tokio::time::Instant;

/// What the handlers of one exchange saw.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    numbers: HashSet<[u8; 8]>,
    doubled: u64,
    stale: u64,
    highest: Epoch,
    announced: Vec<(Instant, Epoch)>,
}

impl Ledger {
    /// Requests handled twice, and requests handled under an epoch lower than one the handler had seen.
    pub(super) fn wrongs(&self) -> (u64, u64) {
        let seen = self.seen();
        (seen.doubled, seen.stale)
    }

    /// When the first handler learned of a new owner after `from`.
    pub(super) fn announced(&self, from: Instant) -> Option<Instant> {
        let seen = self.seen();
        seen.announced.iter().map(|(at, _)| *at).find(|at| *at > from)
    }

    fn told(&self, epoch: Epoch) {
        let mut seen = self.seen();
        if epoch > seen.highest {
            seen.highest = epoch;
            seen.announced.push((Instant::now(), epoch));
        }
    }

    fn handled(&self, payload: &[u8], stale: bool) {
        let mut seen = self.seen();
        seen.stale += u64::from(stale);
        if let Ok(number) = payload.try_into()
            && !seen.numbers.insert(number)
        {
            seen.doubled += 1;
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers with what it was asked.
pub(super) struct Echo {
    ledger: Arc<Ledger>,
    highest: Epoch,
}

impl Echo {
    pub(super) fn new(ledger: &Arc<Ledger>) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            highest: Epoch::default(),
        }
    }
}

impl Handler for Echo {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        self.ledger
            .handled(&delivery.payload, delivery.epoch < self.highest);
        self.highest = self.highest.max(delivery.epoch);
        Answer::Reply(delivery.payload)
    }

    /// Deliveries and notices come in the order in which the node sent them.
    fn notice(&mut self, notice: Notice) {
        self.highest = self.highest.max(notice.epoch);
        self.ledger.told(notice.epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_time_and_an_old_epoch_are_counted() {
        let ledger = Ledger::default();
        let start = Instant::now();
        for (number, stale) in [(1_u64, false), (2, false), (1, true)] {
            ledger.handled(&number.to_be_bytes(), stale);
        }
        assert_eq!(ledger.wrongs(), (1, 1));
        ledger.told(Epoch(2));
        ledger.told(Epoch(1));
        assert!(ledger.announced(start).is_some());
        assert_eq!(ledger.announced(Instant::now()), None, "an old epoch is no news");
    }
}
