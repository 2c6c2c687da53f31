//! A subscriber wants nothing any more, or its client is gone.

use super::Operation;
use crate::sim::rng::Rng;
use crate::sim::world::World;

pub(super) const OPERATION: Operation = Operation {
    even: 3,
    moves: 2,
    rushes: 1,
    act,
};

fn act(world: &mut World, rng: &mut Rng) {
    let count = world.deck().subscribers.len();
    if count == 0 {
        return;
    }
    let gone = world.deck().subscribers.remove(rng.index(count));
    if let Some(serial) = gone.serial {
        world.tell_running(gone.seat, |host, now| host.unsubscribe(now, serial));
    }
}
