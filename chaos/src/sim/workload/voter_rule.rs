//! An operator says after how long a voter that is down is replaced, or that none is.

use squall_kernel::registry::Command;
use squall_kernel::time::Span;

use super::Operation;
use crate::sim::rng::Rng;
use crate::sim::world::World;

pub(super) const OPERATION: Operation = Operation {
    even: 1,
    moves: 0,
    rushes: 0,
    act,
};

/// Short enough that a crash of the plan outlasts it.
const LEAST: Span = Span::from_ms(100);
const MOST: Span = Span::from_ms(1_000);

fn act(world: &mut World, rng: &mut Rng) {
    let Some(seat) = world.any_member(rng) else { return };
    let replace_after = rng.chance(800).then(|| rng.span(LEAST, MOST));
    let command = Command::SetVoterRule { replace_after };
    world.tell_running(seat, |host, now| host.command(now, command));
}
