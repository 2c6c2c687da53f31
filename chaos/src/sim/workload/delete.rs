//! An exchange is deleted, and not declared again.

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
    let count = world.deck().exchanges.len();
    // The last one stays: there would be nothing to do.
    if count <= 1 {
        return;
    }
    let (gone, _) = world.deck().exchanges.remove(rng.index(count));
    let name = gone.name;
    world.deck().handlers.retain(|handler| handler.exchange != name);
    world.tell_running(seat, |host, now| host.command(now, Command::Delete { name }));
}
