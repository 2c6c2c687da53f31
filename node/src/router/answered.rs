//! Which requests have ended in a way after which no handler may answer any more: what tells a doubled delivery from an
//! answer that is merely late.

use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{ExchangeId, MessageId};

use super::{ExchangeStats, Router};

use crate::journal::Fact;
use crate::wire::count;

impl Router {
    /// Figures of one exchange that agree with each other; none when no request entered here for it.
    #[must_use]
    pub fn settled_stats(&self, exchange: ExchangeId) -> Option<ExchangeStats> {
        self.stats.settled(exchange, self.context.clock.now())
    }

    /// Requests for an exchange that entered the cluster here and wait to be tried again.
    #[must_use]
    pub fn held(&self, exchange: ExchangeId) -> u64 {
        self.stats.waiting(exchange)
    }

    /// An answer to nothing that is out. `second` when another one, or a certain refusal, came before it.
    pub(super) fn too_late(&self, frame: &Frame, second: bool) {
        count(&self.context.wire.tally.late_replies);
        self.refuse_late(frame);
        self.context.tell(|| Fact::Late {
            message: frame.message,
        });
        let exists = self.context.registry().exchanges.contains_key(&frame.exchange);
        let stats = self.stats.of(frame.exchange, exists);
        if second {
            stats.second();
        } else if matches!(frame.status, Status::Reply | Status::Declined) {
            stats.late();
        }
    }
}

/// Requests remembered in each shard of the open table: at a hundred thousand requests a second those of the last half
/// second, far longer than a move takes.
const REMEMBERED: usize = 4096;

/// The latest of them, by number: a ring that a later request with the same place overwrites.
#[derive(Debug)]
pub(super) struct Answered(Box<[u64]>);

impl Default for Answered {
    fn default() -> Self {
        Self(vec![0; REMEMBERED].into_boxed_slice())
    }
}

impl Answered {
    /// `place` numbers the requests of the shard in order.
    pub(super) fn note(&mut self, place: u64, id: MessageId) {
        self.0[index(place)] = id.0;
    }

    pub(super) fn has(&self, place: u64, id: MessageId) -> bool {
        self.0[index(place)] == id.0
    }
}

fn index(place: u64) -> usize {
    usize::try_from(place % REMEMBERED as u64).expect("less than REMEMBERED")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_older_ones_give_way() {
        let mut answered = Answered::default();
        answered.note(3, MessageId(48));
        assert!(answered.has(3, MessageId(48)) && !answered.has(4, MessageId(64)));
        answered.note(3 + REMEMBERED as u64, MessageId(70_000));
        assert!(!answered.has(3, MessageId(48)));
    }
}
