//! One more exchange is declared.

use squall_kernel::id::ExchangeName;
use squall_kernel::registry::{Pattern, Settings};

use super::{Operation, any_strategy, any_takeover};
use crate::sim::plan::ExchangePlan;
use crate::sim::rng::Rng;
use crate::sim::world::World;

pub(super) const OPERATION: Operation = Operation {
    even: 2,
    moves: 0,
    rushes: 0,
    act,
};

fn act(world: &mut World, rng: &mut Rng) {
    let mut failover: Vec<_> = world.seats().collect();
    rng.shuffle(&mut failover);
    failover.truncate(rng.index(failover.len() + 1));
    let strategy = any_strategy(rng);
    let takeover = any_takeover(rng);
    let deck = world.deck();
    deck.named += 1;
    let name = ExchangeName::new(&format!("x{}", deck.named)).expect("letters and digits are a name");
    // The next look declares it.
    let exchange = ExchangePlan {
        name,
        strategy,
        failover,
        takeover,
        pattern: Pattern::RequestResponse,
        settings: Settings::default(),
    };
    deck.exchanges.push((exchange, None));
}
