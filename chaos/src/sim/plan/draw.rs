//! Drawing a plan from a seed. Each part has a generator of its own: a change in one part leaves the others as they are.

mod faults;
mod patterns;
mod storms;
mod theme;

use squall_kernel::id::{ExchangeName, NodeId, NodeName};
use squall_kernel::limits::DRIFT_PPM;
use squall_kernel::profile::Profile;
use squall_kernel::registry::{Pattern, Settings, Strategy, Takeover};
use squall_kernel::time::{Instant, Span};

use super::{Deck, ExchangePlan, HandlerPlan, NodePlan, Plan, Spread, Work};
use crate::sim::fault::{PlannedFault, Seat};
use crate::sim::rng::Rng;
use theme::Theme;

/// Nodes of the largest simulated cluster: five voters and two learners.
const NODES_MAX: u64 = 7;
/// Half of what two clocks may differ by, and a little less: the ratio of two rates counts, not their difference.
const SKEW_PPM_MAX: u64 = DRIFT_PPM / 2 - 100;

/// What a user fixes; the seed draws the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// Nodes, from 1 to 7.
    pub nodes: Option<u8>,
}

pub(super) fn plan(seed: u64, wishes: &Wishes) -> Plan {
    let mut about = Rng::fork(seed, "theme");
    let theme = Theme::draw(&mut about);
    let mut rng = Rng::fork(seed, "cluster");
    let drawn = profile(&mut rng);
    let profile = theme.profile(&mut about, drawn);
    let drawn = rng.between(1, NODES_MAX).max(rng.between(1, NODES_MAX));
    let count = match wishes.nodes {
        Some(wish) => u64::from(wish).clamp(1, NODES_MAX),
        None => theme.nodes(&mut about, drawn),
    };
    let voters = voters(&mut rng, count);
    let nodes = nodes(&mut Rng::fork(seed, "nodes"), count);
    let mut exchanges = exchanges(&mut Rng::fork(seed, "exchanges"), count);
    let mut handlers = handlers(&mut Rng::fork(seed, "handlers"), &exchanges, count);
    let slowness = slowness(profile);
    patterns::add(seed, (count, slowness), &mut exchanges, &mut handlers);
    let subscribers = patterns::add_news(seed, count, &mut exchanges);
    patterns::add_readings(seed, count, &mut exchanges, &mut handlers);
    let mut rng = Rng::fork(seed, "times");
    let mut plan = Plan {
        seed,
        profile,
        nodes,
        voters,
        exchanges,
        handlers,
        subscribers,
        work: work(&mut rng, slowness, theme),
        link: link(&mut rng, profile),
        disk: disk(&mut rng),
        safety: rng.span(Span::from_ms(3_000 * slowness), Span::from_ms(5_000 * slowness)),
        liveness: Span::from_ms(2_500 * slowness + 2_500),
        faults: Vec::new(),
        script: Vec::new(),
    };
    plan.work.talks = patterns::talks(seed);
    plan.faults = faults(&mut Rng::fork(seed, "faults"), &plan, theme);
    plan
}

fn faults(rng: &mut Rng, plan: &Plan, theme: Theme) -> Vec<PlannedFault> {
    match theme {
        Theme::Mixed => faults::any(rng, plan),
        Theme::Restarts => storms::restarts(rng, plan),
        Theme::Moves => storms::slow_links(rng, plan),
        Theme::Rushes => Vec::new(),
        Theme::Partitions => storms::partitions(rng, plan),
        Theme::Blackouts => storms::blackouts(rng, plan),
        Theme::Pauses => storms::pauses(rng, plan),
    }
}

fn profile(rng: &mut Rng) -> Profile {
    match rng.below(12) {
        0 => Profile::Wan,
        1 => Profile::Slow,
        _ => Profile::Lan,
    }
}

/// How much longer than under `lan` everything takes.
pub(super) const fn slowness(profile: Profile) -> u64 {
    match profile {
        Profile::Lan => 1,
        Profile::Slow | Profile::Wan => 4,
    }
}

/// As many as so many nodes allow.
pub(super) fn voters_of(nodes: u64) -> u8 {
    match nodes {
        0..=2 => 1,
        3 | 4 => 3,
        _ => 5,
    }
}

/// Mostly as many as the nodes allow; sometimes fewer, as after a founding by few.
fn voters(rng: &mut Rng, nodes: u64) -> u8 {
    let most = voters_of(nodes);
    let few = rng.chance(250);
    match most {
        5 if few => 3,
        3 if few && rng.chance(200) => 1,
        all => all,
    }
}

fn nodes(rng: &mut Rng, count: u64) -> Vec<NodePlan> {
    let mut ids: Vec<u64> = (1..=count).map(|n| n * 0x10 + rng.below(0x10)).collect();
    rng.shuffle(&mut ids);
    let drifting = rng.below(4);
    // All on one machine, some together, or each alone.
    let machines = *rng.pick(&[1, 2, count.max(3) * 8]);
    (0..count)
        .zip(ids)
        .map(|(n, id)| {
            let seat = Seat(u8::try_from(n).expect("few nodes"));
            NodePlan {
                id: NodeId(id),
                name: NodeName::new(&seat.to_string()).expect("one letter is a name"),
                starts: Instant(rng.between(0, 200_000)),
                clock_offset: Span(rng.between(1, 5_000_000)),
                clock_ppm: rate(rng, drifting),
                machine: u8::try_from(rng.below(machines)).expect("few machines"),
            }
        })
        .collect()
}

/// Good clocks, clocks of all rates, or clocks at the bounds.
fn rate(rng: &mut Rng, drifting: u64) -> i32 {
    let bound = i32::try_from(SKEW_PPM_MAX).expect("a few thousand");
    let any = |bound: i32, rng: &mut Rng| {
        let drawn = rng.below(u64::from(bound.unsigned_abs()) * 2 + 1);
        i32::try_from(drawn).expect("a few thousand") - bound
    };
    match drifting {
        0 => any(100, rng),
        1 | 2 => any(bound, rng),
        _ => *rng.pick(&[-bound, bound]),
    }
}

fn exchanges(rng: &mut Rng, nodes: u64) -> Vec<ExchangePlan> {
    let count = rng.between(1, 4);
    (1..=count)
        .map(|n| {
            let mut failover: Vec<Seat> = (0..nodes)
                .map(|n| Seat(u8::try_from(n).expect("few nodes")))
                .collect();
            rng.shuffle(&mut failover);
            failover.truncate(rng.index(failover.len() + 1));
            ExchangePlan {
                name: ExchangeName::new(&format!("x{n}")).expect("letters and digits are a name"),
                strategy: *rng.pick(&[
                    Strategy::Consensus,
                    Strategy::Consensus,
                    Strategy::RoundRobin,
                    Strategy::Default,
                    Strategy::ConsensusRoundRobin,
                    Strategy::Sticky,
                    Strategy::Sticky,
                    Strategy::StickyFun,
                    Strategy::Fun,
                ]),
                failover,
                takeover: *rng.pick(&[
                    None,
                    Some(Takeover::Auto),
                    Some(Takeover::Manual),
                    Some(Takeover::Never),
                ]),
                pattern: Pattern::RequestResponse,
                settings: Settings::default(),
            }
        })
        .collect()
}

fn handlers(rng: &mut Rng, exchanges: &[ExchangePlan], nodes: u64) -> Vec<HandlerPlan> {
    let mut handlers = Vec::new();
    for exchange in 0..u8::try_from(exchanges.len()).expect("few exchanges") {
        for _ in 0..rng.between(1, 5) {
            let service_tag = if rng.chance(800) { "" } else { "blue" };
            handlers.push(HandlerPlan {
                exchange,
                node: Seat(u8::try_from(rng.below(nodes)).expect("few nodes")),
                service_tag: service_tag.to_owned(),
            });
        }
    }
    handlers
}

fn work(rng: &mut Rng, slowness: u64, theme: Theme) -> Work {
    let ms = Span::from_ms;
    let deck = theme.deck();
    // Slow handlers have much in hand when their node is lost, or their exchange moves.
    let slow_handlers = rng.chance(250) || deck == Deck::Rushes;
    let handling = if slow_handlers {
        rng.span(ms(50), ms(400))
    } else {
        rng.span(Span(100), ms(20))
    };
    // Busy operators meet their own moves and drains half done.
    let busy_operators = rng.chance(250) || theme == Theme::Partitions;
    let change = match deck {
        Deck::Even if busy_operators => rng.span(ms(20), ms(100)),
        Deck::Even => rng.span(ms(100), ms(1_500)),
        Deck::Moves => rng.span(ms(10), ms(60)),
        Deck::Rushes => rng.span(ms(200), ms(500)),
    };
    Work {
        request_every: Span(rng.span(ms(4), ms(40)).0 * slowness),
        timeout: (ms(50), *rng.pick(&[ms(1_000), ms(2_000)])),
        change_every: Span(change.0 * slowness),
        deck,
        handling: Spread {
            least: Span(100),
            more: handling,
            slow_per_mille: 20,
            slow: ms(400),
        },
        declined: 20,
        talks: 0,
    }
}

fn link(rng: &mut Rng, profile: Profile) -> Spread {
    let (least, more) = match profile {
        Profile::Lan => (rng.span(Span(50), Span(2_000)), rng.span(Span(10), Span(3_000))),
        Profile::Slow => (rng.span(Span(50), Span(5_000)), rng.span(Span(10), Span(40_000))),
        Profile::Wan => (
            rng.span(Span(5_000), Span(60_000)),
            rng.span(Span(10), Span(20_000)),
        ),
    };
    Spread {
        least,
        more,
        slow_per_mille: *rng.pick(&[0, 0, 1, 5]),
        slow: Span(more.0 * 10),
    }
}

fn disk(rng: &mut Rng) -> Spread {
    Spread {
        least: Span(100),
        more: rng.span(Span(100), Span(2_000)),
        slow_per_mille: 5,
        slow: Span::from_ms(30),
    }
}
