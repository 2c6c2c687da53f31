//! An operator drains a node: it hands over what it owns, leaves, and is started again.

use squall_kernel::registry::Command;

use super::Operation;
use crate::sim::rng::Rng;
use crate::sim::world::World;

pub(super) const OPERATION: Operation = Operation {
    even: 1,
    moves: 0,
    rushes: 0,
    act,
};

fn act(world: &mut World, rng: &mut Rng) {
    if !world.may_take_down() {
        return;
    }
    let Some(seat) = world.any_member(rng) else { return };
    let seats: Vec<_> = world.seats().collect();
    let node = world.name(*rng.pick(&seats));
    world.tell_running(seat, |host, now| {
        host.command(now, Command::Drain { node, leave: true });
    });
}
