//! Events that have just come in, so that none is taken twice while two nodes send them: the one that served so far and
//! the one that takes over.

use alloc::vec::Vec;

use crate::id::{MessageId, Pid};
use crate::limits;

const WAYS: usize = 4;
const SETS: usize = limits::ARRIVALS_MAX / WAYS;

/// Sets of four, each with its latest in front: an event is forgotten when four others of its set came after it, which
/// with numbers in a row means four thousand later ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrivals {
    /// Empty before the first event.
    sets: Vec<[Option<(Pid, MessageId)>; WAYS]>,
}

impl Arrivals {
    /// True when the event was not there before.
    pub(super) fn first(&mut self, publisher: Pid, message: MessageId) -> bool {
        if self.sets.is_empty() {
            self.sets.resize(SETS, [None; WAYS]);
        }
        let mixed = publisher.serial ^ publisher.node.0.rotate_left(32);
        // Odd factor: publishers differ in all bits, and one publisher's messages stay in a row.
        let place = message
            .0
            .wrapping_add(mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32);
        let set = &mut self.sets[usize::try_from(place % SETS as u64).expect("below SETS")];
        let event = Some((publisher, message));
        if set.contains(&event) {
            return false;
        }
        set.rotate_right(1);
        set[0] = event;
        true
    }
}
