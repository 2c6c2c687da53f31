//! What handlers saw: each message once, whole, and under no epoch that was over. Messages are numbered and have a checksum.
//! What does not live here: how requests end for those that asked (`meter`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use squall_client::{Answer, Delivery, Handler, Notice};
use squall_kernel::id::Epoch;
use tokio::time::sleep;

/// Messages that are told apart: half a day of a busy exchange, in 8 MiB.
const NUMBERS_MAX: u64 = 1 << 26;

/// What the handlers of one exchange saw.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: Seen,
    wrongs: Wrongs,
}

/// Numbers that somebody has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    numbers: Vec<u64>,
}

/// What should not have been seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wrongs {
    /// Messages that came twice.
    pub(super) doubled: u64,
    /// Messages under an epoch lower than one that their handler had seen.
    pub(super) stale: u64,
    /// Messages that were not as they were sent.
    pub(super) garbled: u64,
}

impl Ledger {
    pub(super) fn wrongs(&self) -> Wrongs {
        self.state().wrongs
    }

    /// A handler got this.
    fn handled(&self, payload: &[u8], stale: bool) {
        let mut state = self.state();
        let State { seen, wrongs } = &mut *state;
        wrongs.stale += u64::from(stale);
        wrongs.came(seen, payload);
    }

    /// A subscriber that has seen all of that got this.
    pub(super) fn heard(&self, seen: &mut Seen, payload: &[u8]) {
        self.state().wrongs.came(seen, payload);
    }

    /// A worker got this, which may be for the second time: that a task is completed once is for the invariants to say.
    pub(super) fn worked(&self, payload: &[u8]) {
        self.state().wrongs.garbled += u64::from(read(payload).is_none());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wrongs {
    fn came(&mut self, seen: &mut Seen, payload: &[u8]) {
        match read(payload) {
            None => self.garbled += 1,
            Some(number) => self.doubled += u64::from(seen.again(number)),
        }
    }
}

impl Seen {
    /// Notes a number; true when it was there.
    fn again(&mut self, number: u64) -> bool {
        if number >= NUMBERS_MAX {
            return false;
        }
        let (word, bit) = (
            usize::try_from(number / 64).expect("a bounded number"),
            number % 64,
        );
        if self.numbers.len() <= word {
            self.numbers.resize(word + 1, 0);
        }
        let there = self.numbers[word] >> bit & 1 == 1;
        self.numbers[word] |= 1 << bit;
        there
    }
}

/// A message of that number.
pub(super) fn written(number: u64) -> Vec<u8> {
    let number = number.to_be_bytes();
    let sum = squall_kernel::spread::mix(u64::from_be_bytes(number)).to_be_bytes();
    [number, sum].concat()
}

/// The number of a message; none where it is not as it was written.
fn read(payload: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(payload.get(..8)?.try_into().ok()?);
    (payload == written(number)).then_some(number)
}

/// Answers with what it was asked.
pub(super) struct Echo {
    ledger: Arc<Ledger>,
    takes: Duration,
    highest: Epoch,
}

impl Echo {
    pub(super) fn new(ledger: &Arc<Ledger>, takes: Duration) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            takes,
            highest: Epoch::default(),
        }
    }
}

impl Handler for Echo {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        self.ledger
            .handled(&delivery.payload, delivery.epoch < self.highest);
        self.highest = self.highest.max(delivery.epoch);
        if !self.takes.is_zero() {
            sleep(self.takes).await;
        }
        Answer::Reply(delivery.payload)
    }

    /// Deliveries and notices come in the order in which the node sent them.
    fn notice(&mut self, notice: Notice) {
        self.highest = self.highest.max(notice.epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subscriber_gets_everything_once_and_a_task_may_be_tried_again() {
        let ledger = Ledger::default();
        let (mut one, mut other) = (Seen::default(), Seen::default());
        ledger.heard(&mut one, &written(7));
        ledger.heard(&mut other, &written(7));
        ledger.worked(&written(7));
        ledger.worked(&written(7));
        assert_eq!(ledger.wrongs(), Wrongs::default());
        ledger.heard(&mut other, &written(7));
        ledger.worked(b"");
        let wrongs = ledger.wrongs();
        assert_eq!((wrongs.doubled, wrongs.garbled), (1, 1));
    }

    #[test]
    fn what_comes_twice_late_or_changed_is_counted() {
        let ledger = Ledger::default();
        for (number, stale) in [(1, false), (200, false), (1, true)] {
            ledger.handled(&written(number), stale);
        }
        let mut changed = written(3);
        changed[7] ^= 1;
        ledger.handled(&changed, false);
        ledger.handled(b"", false);
        let wrongs = Wrongs {
            doubled: 1,
            stale: 1,
            garbled: 2,
        };
        assert_eq!(ledger.wrongs(), wrongs);
    }
}
