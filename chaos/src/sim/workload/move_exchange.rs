//! An operator moves an exchange to another node; what cannot be is refused by the registry.

use squall_kernel::registry::Command;

use super::Operation;
use crate::sim::rng::Rng;
use crate::sim::world::World;

pub(super) const OPERATION: Operation = Operation {
    even: 4,
    moves: 20,
    rushes: 4,
    act,
};

fn act(world: &mut World, rng: &mut Rng) {
    let Some(seat) = world.any_member(rng) else { return };
    let Some((_, exchange)) = world.any_exchange(seat, rng) else {
        return;
    };
    let seats: Vec<_> = world.seats().collect();
    // Sometimes back to where the failover list wants it.
    let to = rng.chance(800).then(|| world.name(*rng.pick(&seats)));
    let command = Command::Move {
        exchange,
        to,
        epoch: None,
    };
    world.tell_running(seat, |host, now| host.command(now, command));
}
