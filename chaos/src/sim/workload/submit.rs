//! Somebody submits a task.

use bytes::Bytes;
use squall_kernel::id::ExchangeId;
use squall_kernel::message::Terms;
use squall_kernel::time::Span;

use crate::sim::fault::Seat;
use crate::sim::rng::Rng;
use crate::sim::world::World;

/// Tasks for later, of a thousand.
const DELAYED: u32 = 100;
/// Tasks with a deadline, of a thousand.
const WITH_DEADLINE: u32 = 100;
/// Tasks with an id of the submitter's, of a thousand.
const UNIQUE: u32 = 200;

pub(super) fn act(world: &mut World, rng: &mut Rng, seat: Seat, exchange: ExchangeId) {
    let ms = Span::from_ms;
    let key = match rng.below(3) {
        0 => String::new(),
        _ => format!("k{}", rng.below(8)),
    };
    let delay = if rng.chance(DELAYED) {
        rng.span(ms(1), ms(300))
    } else {
        Span::ZERO
    };
    let deadline = rng.chance(WITH_DEADLINE).then(|| rng.span(ms(50), ms(2_000)));
    let unique = if rng.chance(UNIQUE) {
        Bytes::from(format!("u{}", rng.below(256)))
    } else {
        Bytes::new()
    };
    let terms = Terms {
        delay,
        deadline,
        attempts: 0,
        unique,
    };
    let (shortest, longest) = world.plan().work.timeout;
    let timeout = rng.span(shortest, longest);
    world.tell_running(seat, |host, now| {
        host.submit(now, exchange, &key, terms, timeout);
    });
}
