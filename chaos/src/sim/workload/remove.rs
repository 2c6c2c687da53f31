//! An operator removes a node; only one that is down can be, and it joins anew when it starts again.

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
    let Some(seat) = world.any_member(rng) else { return };
    let down = world.host(seat).and_then(|host| {
        let down: Vec<_> = host.registry().nodes.values().filter(|n| !n.is_up()).collect();
        (!down.is_empty()).then(|| rng.pick(&down).name.clone())
    });
    if let Some(node) = down {
        world.tell_running(seat, |host, now| host.command(now, Command::RemoveNode { node }));
    }
}
