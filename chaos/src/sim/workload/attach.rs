//! One more handler attaches somewhere.

use std::sync::Arc;

use squall_kernel::registry::Pattern;

use super::{HANDLERS_MAX, Operation, Wanted};
use crate::sim::rng::Rng;
use crate::sim::world::World;

pub(super) const OPERATION: Operation = Operation {
    even: 4,
    moves: 3,
    rushes: 3,
    act,
};

fn act(world: &mut World, rng: &mut Rng) {
    let Some(seat) = world.any_running(rng) else {
        return;
    };
    let Some((_, exchange)) = world.any_exchange(seat, rng) else {
        return;
    };
    let registry = world.host(seat).map(|host| Arc::clone(host.registry()));
    let record = registry
        .as_ref()
        .and_then(|registry| registry.exchange(&exchange));
    let takes = record.is_some_and(|record| record.pattern != Pattern::PublishSubscribe);
    if world.deck().handlers.len() >= HANDLERS_MAX || !takes {
        return;
    }
    let service_tag = if rng.chance(200) { "blue" } else { "" };
    // The next look attaches it.
    world.deck().handlers.push(Wanted {
        exchange,
        seat,
        service_tag: service_tag.to_owned(),
        serial: None,
    });
}
