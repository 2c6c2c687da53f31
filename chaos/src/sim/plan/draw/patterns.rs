//! Exchanges of other patterns than request and response, beside those that were drawn. Each pattern has a generator of its
//! own: one more changes none of the others.

use squall_kernel::id::ExchangeName;
use squall_kernel::order::WhenFull;
use squall_kernel::registry::{Pattern, Settings, Strategy, Takeover};
use squall_kernel::time::Span;

use super::super::{ExchangePlan, HandlerPlan, SubscriberPlan};
use crate::sim::fault::Seat;
use crate::sim::rng::Rng;
use crate::sim::workload::subscribe;

/// Clusters with tasks, of a thousand.
const WITH_TASKS: u32 = 400;
/// Of these, queues that hold a few tasks only, of a thousand.
const SMALL_QUEUES: u32 = 300;
/// Clusters with subscribers, of a thousand.
const WITH_SUBSCRIBERS: u32 = 400;
/// Clusters with publishes for one handler each, of a thousand.
const WITH_READINGS: u32 = 250;

/// Clusters with chunked responses and questions back, of a thousand.
const WITH_TALKS: u32 = 300;

pub(super) fn add(
    seed: u64,
    (nodes, slowness): (u64, u64),
    exchanges: &mut Vec<ExchangePlan>,
    handlers: &mut Vec<HandlerPlan>,
) {
    let mut rng = Rng::fork(seed, "tasks");
    if rng.chance(WITH_TASKS) {
        let settings = room(seed, task_settings(&mut rng, slowness));
        exchanges.push(exchange(&mut rng, nodes, (Pattern::Task, "t1"), settings));
        attached(&mut rng, nodes, exchanges.len() - 1, handlers);
    }
}

/// An exchange with subscribers, where it is drawn, and those.
pub(super) fn add_news(seed: u64, nodes: u64, exchanges: &mut Vec<ExchangePlan>) -> Vec<SubscriberPlan> {
    let mut rng = Rng::fork(seed, "subscribers");
    if !rng.chance(WITH_SUBSCRIBERS) {
        return Vec::new();
    }
    let settings = Settings {
        dedup: rng
            .chance(700)
            .then(|| rng.span(Span::from_ms(500), Span::from_ms(5_000))),
        ..Settings::default()
    };
    let news = exchange(&mut rng, nodes, (Pattern::PublishSubscribe, "p1"), settings);
    exchanges.push(news);
    let exchange = u8::try_from(exchanges.len() - 1).expect("few exchanges");
    let count = rng.between(1, 8);
    let mut subscriber = || SubscriberPlan {
        exchange,
        node: Seat(u8::try_from(rng.below(nodes)).expect("few nodes")),
        patterns: subscribe::patterns(&mut rng),
    };
    (0..count).map(|_| subscriber()).collect()
}

/// An exchange whose publishes go to one handler each, where it is drawn.
pub(super) fn add_readings(
    seed: u64,
    nodes: u64,
    exchanges: &mut Vec<ExchangePlan>,
    handlers: &mut Vec<HandlerPlan>,
) {
    let mut rng = Rng::fork(seed, "readings");
    if !rng.chance(WITH_READINGS) {
        return;
    }
    let ms = Span::from_ms;
    let settings = Settings {
        dedup: rng.chance(600).then(|| rng.span(ms(500), ms(5_000))),
        ttl: rng.chance(300).then(|| rng.span(ms(20), ms(1_000))),
        ..Settings::default()
    };
    let drawn = exchange(
        &mut rng,
        nodes,
        (Pattern::InvertedPublishSubscribe, "i1"),
        settings,
    );
    let strategy = *rng.pick(&[
        Strategy::RoundRobin,
        Strategy::RoundRobin,
        Strategy::Consensus,
        Strategy::ConsensusRoundRobin,
        Strategy::Sticky,
        Strategy::StickyFun,
        Strategy::Fun,
    ]);
    exchanges.push(ExchangePlan { strategy, ..drawn });
    attached(&mut rng, nodes, exchanges.len() - 1, handlers);
}

/// Requests whose requesters take more than one reply, of a thousand.
pub(super) fn talks(seed: u64) -> u32 {
    let mut rng = Rng::fork(seed, "talking");
    if rng.chance(WITH_TALKS) {
        *rng.pick(&[100, 300, 600])
    } else {
        0
    }
}

/// In some clusters the queue is small, so that it is full: each policy.
fn room(seed: u64, settings: Settings) -> Settings {
    let mut rng = Rng::fork(seed, "room for tasks");
    if !rng.chance(SMALL_QUEUES) {
        return settings;
    }
    Settings {
        mailbox: Some(u32::try_from(rng.between(1, 6)).expect("a small number")),
        when_full: *rng.pick(&WhenFull::ALL),
        ..settings
    }
}

/// Short leases, so that some end by their time; few attempts, so that some are used up.
fn task_settings(rng: &mut Rng, slowness: u64) -> Settings {
    Settings {
        lease: Some(rng.span(Span::from_ms(60 * slowness), Span::from_ms(600 * slowness))),
        attempts: *rng.pick(&[None, Some(1), Some(2), Some(4)]),
        ordered: rng.chance(300),
        dedup: rng
            .chance(500)
            .then(|| rng.span(Span::from_ms(500), Span::from_ms(5_000))),
        ..Settings::default()
    }
}

fn exchange(rng: &mut Rng, nodes: u64, (pattern, name): (Pattern, &str), settings: Settings) -> ExchangePlan {
    let mut failover: Vec<Seat> = seats(nodes).collect();
    rng.shuffle(&mut failover);
    failover.truncate(rng.index(failover.len() + 1));
    ExchangePlan {
        name: ExchangeName::new(name).expect("letters and digits are a name"),
        strategy: if pattern.has_strategy() {
            Strategy::RoundRobin
        } else {
            Strategy::Default
        },
        failover,
        takeover: *rng.pick(&[
            None,
            Some(Takeover::Auto),
            Some(Takeover::Manual),
            Some(Takeover::Never),
        ]),
        pattern,
        settings,
    }
}

fn attached(rng: &mut Rng, nodes: u64, place: usize, handlers: &mut Vec<HandlerPlan>) {
    for _ in 0..rng.between(1, 5) {
        handlers.push(HandlerPlan {
            exchange: u8::try_from(place).expect("few exchanges"),
            node: Seat(u8::try_from(rng.below(nodes)).expect("few nodes")),
            service_tag: String::new(),
        });
    }
}

fn seats(nodes: u64) -> impl Iterator<Item = Seat> {
    (0..nodes).map(|n| Seat(u8::try_from(n).expect("few nodes")))
}
