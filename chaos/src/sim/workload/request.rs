//! A requester somewhere sends a request.

use squall_kernel::id::ExchangeId;
use squall_kernel::registry::Pattern;

use super::{publish, submit, talk};
use crate::sim::rng::Rng;
use crate::sim::world::World;

/// Requests to a number that no exchange has, of a thousand.
const UNKNOWN: u32 = 2;
/// Requests to one group of handlers, of a thousand.
const TAGGED: u32 = 100;

pub(super) fn act(world: &mut World, rng: &mut Rng) {
    let Some(seat) = world.any_running(rng) else {
        return;
    };
    let Some((mut exchange, _)) = world.any_exchange(seat, rng) else {
        return;
    };
    let record = world
        .host(seat)
        .and_then(|host| host.registry().exchanges.get(&exchange));
    match record.map(|record| record.pattern) {
        Some(Pattern::Task) => return submit::act(world, rng, seat, exchange),
        Some(Pattern::PublishSubscribe | Pattern::InvertedPublishSubscribe) => {
            return publish::act(world, rng, seat, exchange);
        }
        _ => {}
    }
    if rng.chance(UNKNOWN) {
        exchange = ExchangeId(u32::MAX);
    }
    let service_tag = if rng.chance(TAGGED) { "blue" } else { "" };
    // A few hot keys, and some that come once in a while.
    let key = match rng.below(10) {
        0 => String::new(),
        1..=6 => format!("hot{}", rng.below(4)),
        _ => format!("k{}", rng.below(64)),
    };
    let (shortest, longest) = world.plan().work.timeout;
    let timeout = rng.span(shortest, longest);
    let talks = world.plan().work.talks;
    let talk_rng = &mut world.deck().talks;
    let taking = (talks > 0 && talk_rng.chance(talks)).then(|| talk::taking(talk_rng));
    world.tell_running(seat, |host, now| {
        host.request(now, exchange, service_tag, &key, timeout, taking);
    });
}
