//! What a gRPC client and this node call deliveries by, until some time after they were answered: what comes back of an
//! answer is told by the number that the client knows.
//!
//! What does not live here: the deliveries themselves (the session).

use std::collections::{HashMap, VecDeque};

use crate::session::DeliveryKey;

/// Answered deliveries that are remembered: as many as one handler may have in hand. An answer that is not taken comes
/// back after one way there and back.
const ANSWERED_MAX: usize = 4096;

/// Deliveries by number and the other way round.
#[derive(Default)]
pub(super) struct Deliveries {
    open: HashMap<u64, DeliveryKey>,
    /// Those that are open, and the latest that were answered.
    numbers: HashMap<DeliveryKey, u64>,
    answered: VecDeque<(DeliveryKey, u64)>,
    last: u64,
}

impl Deliveries {
    /// A new delivery: its number.
    pub(super) fn add(&mut self, key: DeliveryKey) -> u64 {
        self.last += 1;
        self.open.insert(self.last, key);
        self.numbers.insert(key, self.last);
        self.last
    }

    /// A delivery that has no answer yet.
    pub(super) fn open(&self, number: u64) -> Option<DeliveryKey> {
        self.open.get(&number).copied()
    }

    /// The number of a delivery, also when it was answered lately.
    pub(super) fn number(&self, key: DeliveryKey) -> Option<u64> {
        self.numbers.get(&key).copied()
    }

    /// It is answered; none when it was before.
    pub(super) fn answered(&mut self, number: u64) -> Option<DeliveryKey> {
        let key = self.open.remove(&number)?;
        if self.answered.len() >= ANSWERED_MAX
            && let Some((oldest, number)) = self.answered.pop_front()
            && self.numbers.get(&oldest) == Some(&number)
        {
            self.numbers.remove(&oldest);
        }
        self.answered.push_back((key, number));
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::{MessageId, NodeId};

    use super::*;

    fn key(message: u64) -> DeliveryKey {
        DeliveryKey {
            origin: NodeId(1),
            message: MessageId(message),
            handler: 7,
        }
    }

    #[test]
    fn an_answered_delivery_keeps_its_number_for_a_while_and_no_longer() {
        let mut deliveries = Deliveries::default();
        let first = deliveries.add(key(0));
        assert_eq!(deliveries.answered(first), Some(key(0)));
        assert_eq!(deliveries.answered(first), None, "a second answer");
        assert_eq!(
            (deliveries.open(first), deliveries.number(key(0))),
            (None, Some(1))
        );
        for message in 1..=ANSWERED_MAX as u64 {
            let number = deliveries.add(key(message));
            assert_eq!(deliveries.open(number), Some(key(message)));
            assert_eq!(deliveries.answered(number), Some(key(message)));
        }
        assert_eq!(deliveries.number(key(0)), None);
        assert_eq!(deliveries.number(key(1)), Some(2));
        assert_eq!(deliveries.numbers.len(), ANSWERED_MAX, "bounded");
    }
}
