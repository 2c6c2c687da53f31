//! One more subscriber subscribes somewhere.

use squall_kernel::keys::KeyPattern;
use squall_kernel::registry::Pattern;

use super::{Operation, Subscribing};
use crate::sim::plan::{SUBSCRIPTIONS, SubscriberPlan};
use crate::sim::rng::Rng;
use crate::sim::world::World;

pub(super) const OPERATION: Operation = Operation {
    even: 4,
    moves: 3,
    rushes: 3,
    act,
};

/// Subscribers that one run has at most.
const SUBSCRIBERS_MAX: usize = 48;

fn act(world: &mut World, rng: &mut Rng) {
    let Some(seat) = world.any_running(rng) else {
        return;
    };
    let Some(exchange) = world.any_of_pattern(seat, Pattern::PublishSubscribe, rng) else {
        return;
    };
    if world.deck().subscribers.len() >= SUBSCRIBERS_MAX {
        return;
    }
    let plan = SubscriberPlan {
        exchange: 0,
        node: seat,
        patterns: patterns(rng),
    };
    // The next look subscribes it.
    let subscribing = Subscribing::new(exchange, &plan);
    world.deck().subscribers.push(subscribing);
}

/// One pattern or more, which may match the same keys.
pub(in crate::sim) fn patterns(rng: &mut Rng) -> Vec<String> {
    let count = rng.between(1, 3);
    (0..count)
        .map(|_| (*rng.pick(SUBSCRIPTIONS)).to_owned())
        .collect()
}

/// Patterns with the tag of the attachment that each belongs to: some of one subscriber share it.
pub(super) fn tagged(patterns: &[String]) -> Vec<(String, KeyPattern)> {
    let tagged = patterns.iter().enumerate().filter_map(|(n, pattern)| {
        let pattern = KeyPattern::new(pattern).ok()?;
        Some((format!("c{}", n / 2), pattern))
    });
    tagged.collect()
}
