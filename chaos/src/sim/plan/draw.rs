//! Drawing a plan from a seed. Each part has a generator of its own: a change in one part leaves the others as they are.

use squall_kernel::id::{ExchangeName, NodeId, NodeName};
use squall_kernel::limits::DRIFT_PPM;
use squall_kernel::profile::Profile;
use squall_kernel::registry::{Strategy, Takeover};
use squall_kernel::time::{Instant, Span};

use super::{ExchangePlan, HandlerPlan, NodePlan, Plan, Spread, Work};
use crate::sim::fault::{FaultKind, PlannedFault, Seat, SimFault};
use crate::sim::rng::Rng;

/// Nodes of the largest simulated cluster: five voters and two learners.
const NODES_MAX: u64 = 7;
/// Faults of one run: enough to meet each other, few enough to find the guilty one.
const FAULTS_MAX: u64 = 10;
/// Half of what two clocks may differ by, and a little less: the ratio of two rates counts, not their difference.
const SKEW_PPM_MAX: u64 = DRIFT_PPM / 2 - 100;

/// What a user fixes; the seed draws the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// Nodes, from 1 to 7.
    pub nodes: Option<u8>,
}

pub(super) fn plan(seed: u64, wishes: &Wishes) -> Plan {
    let mut rng = Rng::fork(seed, "cluster");
    let profile = profile(&mut rng);
    let drawn = rng.between(1, NODES_MAX).max(rng.between(1, NODES_MAX));
    let count = wishes
        .nodes
        .map_or(drawn, |wish| u64::from(wish).clamp(1, NODES_MAX));
    let voters = voters(&mut rng, count);
    let nodes = nodes(&mut Rng::fork(seed, "nodes"), count);
    let exchanges = exchanges(&mut Rng::fork(seed, "exchanges"), count);
    let handlers = handlers(&mut Rng::fork(seed, "handlers"), &exchanges, count);
    let slowness = slowness(profile);
    let mut rng = Rng::fork(seed, "times");
    let mut plan = Plan {
        seed,
        profile,
        nodes,
        voters,
        exchanges,
        handlers,
        work: work(&mut rng, slowness),
        link: link(&mut rng, profile),
        disk: disk(&mut rng),
        safety: rng.span(Span::from_ms(3_000 * slowness), Span::from_ms(5_000 * slowness)),
        liveness: Span::from_ms(2_500 * slowness + 2_500),
        faults: Vec::new(),
    };
    plan.faults = faults(&mut Rng::fork(seed, "faults"), &plan);
    plan
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

/// Mostly as many as the nodes allow; sometimes fewer, as after a founding by few.
fn voters(rng: &mut Rng, nodes: u64) -> u8 {
    let most = match nodes {
        0..=2 => 1,
        3 | 4 => 3,
        _ => 5,
    };
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
                ]),
                failover,
                takeover: *rng.pick(&[
                    None,
                    Some(Takeover::Auto),
                    Some(Takeover::Manual),
                    Some(Takeover::Never),
                ]),
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

fn work(rng: &mut Rng, slowness: u64) -> Work {
    let ms = Span::from_ms;
    // Slow handlers have much in hand when their node is lost, or their exchange moves.
    let slow_handlers = rng.chance(250);
    let handling = if slow_handlers {
        rng.span(ms(50), ms(400))
    } else {
        rng.span(Span(100), ms(20))
    };
    // Busy operators meet their own moves and drains half done.
    let busy_operators = rng.chance(250);
    let change = if busy_operators {
        rng.span(ms(20), ms(100))
    } else {
        rng.span(ms(100), ms(1_500))
    };
    Work {
        request_every: Span(rng.span(ms(4), ms(40)).0 * slowness),
        timeout: (ms(50), *rng.pick(&[ms(1_000), ms(2_000)])),
        change_every: Span(change.0 * slowness),
        handling: Spread {
            least: Span(100),
            more: handling,
            slow_per_mille: 20,
            slow: ms(400),
        },
        declined: 20,
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

fn faults(rng: &mut Rng, plan: &Plan) -> Vec<PlannedFault> {
    let count = if rng.chance(50) {
        0
    } else {
        rng.between(1, FAULTS_MAX)
    };
    let begins = begins(rng, count, plan);
    (1..)
        .zip(begins)
        .map(|(id, at)| {
            let longest = rng.span(Span::from_ms(20), Span::from_ms(1_500)).0 * slowness(plan.profile);
            PlannedFault {
                id,
                at,
                lasts: Span(longest.min(plan.safety.0 - at.0)),
                what: fault(rng, plan),
            }
        })
        .collect()
}

/// Each at a time of its own, or right after the one before: what protects a cluster from one fault is often what the
/// next one hits.
fn begins(rng: &mut Rng, count: u64, plan: &Plan) -> Vec<Instant> {
    let (first, last) = (plan.safety.0 / 6, plan.safety.0 * 9 / 10);
    let together = *rng.pick(&[0, 200, 600]);
    let soon = 2 * plan.profile.times().promise.0;
    let mut begins: Vec<Instant> = Vec::new();
    for _ in 0..count {
        let at = match begins.last() {
            Some(before) if rng.chance(together) => (before.0 + rng.between(0, soon)).min(last),
            _ => rng.between(first, last),
        };
        begins.push(Instant(at));
    }
    begins.sort_unstable();
    begins
}

fn fault(rng: &mut Rng, plan: &Plan) -> SimFault {
    let kinds = if plan.nodes.len() > 1 {
        FaultKind::ALL
    } else {
        &[
            FaultKind::Crash,
            FaultKind::Stop,
            FaultKind::Pause,
            FaultKind::ClockSkew,
            FaultKind::ClockStep,
            FaultKind::SlowDisk,
            FaultKind::FullDisk,
        ]
    };
    let kind = *rng.pick(kinds);
    let seats: Vec<Seat> = plan.seats().collect();
    let node = *rng.pick(&seats);
    if let Some(fault) = on_a_node(rng, kind, node, plan) {
        return fault;
    }
    let others: Vec<Seat> = seats.into_iter().filter(|seat| *seat != node).collect();
    if let Some(fault) = between_sides(rng, kind, node, &others) {
        return fault;
    }
    let to = *rng.pick(&others);
    on_a_link(rng, kind, (node, to), slowness(plan.profile))
}

fn on_a_node(rng: &mut Rng, kind: FaultKind, node: Seat, plan: &Plan) -> Option<SimFault> {
    let ms = Span::from_ms;
    Some(match kind {
        FaultKind::Crash => SimFault::Crash { node },
        FaultKind::Stop => SimFault::Stop { node },
        FaultKind::Pause => SimFault::Pause { node },
        FaultKind::ClockSkew => SimFault::ClockSkew {
            node,
            ppm: rate(rng, 2),
        },
        FaultKind::ClockStep => SimFault::ClockStep {
            node,
            ms: i64::try_from(rng.below(20_000)).expect("small") - 10_000,
        },
        FaultKind::Isolate => SimFault::Isolate { node },
        FaultKind::OneWay => SimFault::OneWay {
            node,
            mute: rng.chance(500),
        },
        FaultKind::Slow => SimFault::Slow {
            node,
            by: Span(rng.span(ms(5), ms(200)).0 * slowness(plan.profile)),
        },
        FaultKind::SlowDisk => SimFault::SlowDisk {
            node,
            by: rng.span(ms(5), ms(300)),
        },
        FaultKind::FullDisk => SimFault::FullDisk { node },
        _ => return None,
    })
}

fn between_sides(rng: &mut Rng, kind: FaultKind, node: Seat, others: &[Seat]) -> Option<SimFault> {
    let mut side = others.to_vec();
    rng.shuffle(&mut side);
    side.truncate(rng.index(others.len()).max(1));
    side.sort_unstable();
    match kind {
        FaultKind::Split => Some(SimFault::Split { side }),
        FaultKind::Bridge => Some(SimFault::Bridge { node, side }),
        _ => None,
    }
}

fn on_a_link(rng: &mut Rng, kind: FaultKind, (from, to): (Seat, Seat), slowness: u64) -> SimFault {
    let ms = Span::from_ms;
    match kind {
        FaultKind::CutBoth => SimFault::CutBoth { a: from, b: to },
        FaultKind::Delay => SimFault::Delay {
            from,
            to,
            by: Span(rng.span(ms(5), ms(200)).0 * slowness),
            jitter: rng.span(Span(0), ms(50)),
        },
        FaultKind::Loss => SimFault::Loss {
            from,
            to,
            per_mille: *rng.pick(&[10, 50, 200]),
        },
        FaultKind::Duplicate => SimFault::Duplicate {
            from,
            to,
            per_mille: *rng.pick(&[50, 300]),
        },
        FaultKind::Clog => SimFault::Clog {
            from,
            to,
            stall: Span(rng.span(ms(10), ms(300)).0 * slowness),
        },
        _ => SimFault::Cut { from, to },
    }
}
