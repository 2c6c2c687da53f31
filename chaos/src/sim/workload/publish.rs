//! A publisher somewhere publishes.

use bytes::Bytes;
use squall_kernel::id::ExchangeId;
use squall_kernel::publishing::Confirm;

use crate::sim::fault::Seat;
use crate::sim::host::Publishing;
use crate::sim::rng::Rng;
use crate::sim::world::World;

/// Publishers of a node.
const PUBLISHERS: u64 = 3;
/// Publishes with an id, of a thousand, and different ids.
const WITH_ID: u32 = 250;
const IDS: u64 = 64;
/// Publishes of a publisher that names itself, wherever it is, of a thousand.
const NAMED: u32 = 500;

pub(super) fn act(world: &mut World, rng: &mut Rng, seat: Seat, exchange: ExchangeId) {
    let key = key(rng);
    let id = if rng.chance(WITH_ID) {
        Bytes::from(format!("i{}", rng.below(IDS)))
    } else {
        Bytes::new()
    };
    let name = if rng.chance(NAMED) {
        Bytes::from_static(b"somebody")
    } else {
        Bytes::new()
    };
    let publishing = Publishing {
        publisher: u32::try_from(rng.below(PUBLISHERS)).expect("few publishers"),
        confirm: *rng.pick(&[
            Confirm::None,
            Confirm::Accepted,
            Confirm::Received,
            Confirm::Received,
        ]),
        id,
        name,
    };
    let (shortest, longest) = world.plan().work.timeout;
    let timeout = rng.span(shortest, longest);
    world.tell_running(seat, |host, now| {
        host.publish(now, exchange, &key, publishing, timeout);
    });
}

/// A few hot keys.
fn key(rng: &mut Rng) -> String {
    let first = *rng.pick(&["news", "weather"]);
    let second = *rng.pick(&["north", "south"]);
    match rng.below(4) {
        0 => first.to_owned(),
        1 | 2 => format!("{first}.{second}"),
        _ => format!("{first}.{second}.{}", rng.below(4)),
    }
}
