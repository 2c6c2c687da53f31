//! An operator in a hurry: moves an exchange, and kills a node where its handlers are without waiting for the end.

use squall_kernel::registry::Command;

use super::Operation;
use crate::sim::rng::Rng;
use crate::sim::world::World;

pub(super) const OPERATION: Operation = Operation {
    even: 1,
    moves: 0,
    rushes: 4,
    act,
};

fn act(world: &mut World, rng: &mut Rng) {
    if !world.may_take_down() {
        return;
    }
    let Some(seat) = world.any_member(rng) else { return };
    let Some((_, exchange)) = world.any_exchange(seat, rng) else {
        return;
    };
    let handlers = world.deck().handlers.iter();
    let there: Vec<_> = handlers
        .filter(|h| h.exchange == exchange)
        .map(|h| h.seat)
        .collect();
    let seats: Vec<_> = world.seats().collect();
    let to = Some(world.name(*rng.pick(&seats)));
    let command = Command::Move {
        exchange,
        to,
        epoch: None,
    };
    world.tell_running(seat, |host, now| host.command(now, command));
    if !there.is_empty() {
        let killed = *rng.pick(&there);
        world.kill_soon(killed, rng);
    }
}
