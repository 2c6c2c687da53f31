//! A handler's client is gone, and what it had in hand with it; another one attaches in its place. Its process may live
//! on, cut off: if it led, it goes on believing so until its lease ends.

use squall_kernel::reason::DetachReason;

use super::Operation;
use crate::sim::rng::Rng;
use crate::sim::world::World;

pub(super) const OPERATION: Operation = Operation {
    even: 3,
    moves: 4,
    rushes: 1,
    act,
};

fn act(world: &mut World, rng: &mut Rng) {
    let count = world.deck().handlers.len();
    if count == 0 {
        return;
    }
    let place = rng.index(count);
    let gone = world.deck().handlers[place].clone();
    if let Some(serial) = gone.serial.filter(|_| world.host(gone.seat).is_some()) {
        world.tell_running(gone.seat, |host, now| {
            host.detach(now, serial, DetachReason::ClientGone);
        });
        // The next look attaches its successor.
        world.deck().handlers[place].serial = None;
    }
}
