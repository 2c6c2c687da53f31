//! An operator makes a node a proxy of a publish-subscribe exchange.

use squall_kernel::registry::{Command, Pattern};

use super::Operation;
use crate::sim::rng::Rng;
use crate::sim::world::World;

pub(super) const OPERATION: Operation = Operation {
    even: 3,
    moves: 2,
    rushes: 1,
    act: |world, rng| order(world, rng, true),
};

/// Proxies come and go: `on` says which.
pub(super) fn order(world: &mut World, rng: &mut Rng, on: bool) {
    let Some(seat) = world.any_member(rng) else { return };
    let Some(exchange) = world.any_of_pattern(seat, Pattern::PublishSubscribe, rng) else {
        return;
    };
    let seats: Vec<_> = world.seats().collect();
    let node = world.name(*rng.pick(&seats));
    world.tell_running(seat, |host, now| {
        host.command(now, Command::SetProxy { exchange, node, on });
    });
}
