//! Faults of any kind, drawn evenly.

use squall_kernel::time::{Instant, Span};

use super::{rate, slowness};
use crate::sim::fault::{FaultKind, PlannedFault, Seat, SimFault};
use crate::sim::plan::Plan;
use crate::sim::rng::Rng;

/// Faults of one run: enough to meet each other, few enough to find the guilty one.
pub(super) const FAULTS_MAX: usize = 10;

pub(super) fn any(rng: &mut Rng, plan: &Plan) -> Vec<PlannedFault> {
    let count = if rng.chance(50) {
        0
    } else {
        rng.index(FAULTS_MAX) + 1
    };
    let begins = begins(rng, count, plan);
    let drawn = begins.into_iter().map(|at| {
        let longest = rng.span(Span::from_ms(20), Span::from_ms(1_500)).0 * slowness(plan.profile);
        (at, Span(longest), fault(rng, plan))
    });
    numbered(plan, drawn.collect())
}

/// By their beginning, none beyond the time for faults.
pub(super) fn numbered(plan: &Plan, mut drawn: Vec<(Instant, Span, SimFault)>) -> Vec<PlannedFault> {
    drawn.sort_by_key(|(at, ..)| *at);
    (1..)
        .zip(drawn)
        .map(|(id, (at, lasts, what))| PlannedFault {
            id,
            at,
            lasts: Span(lasts.0.min(plan.safety.0 - at.0)),
            what,
        })
        .collect()
}

/// Each at a time of its own, or right after the one before: what protects a cluster from one fault is often what the
/// next one hits.
fn begins(rng: &mut Rng, count: usize, plan: &Plan) -> Vec<Instant> {
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
        FaultKind::Reorder => SimFault::Reorder {
            from,
            to,
            per_mille: *rng.pick(&[20, 100, 300]),
            by: Span(rng.span(ms(5), ms(100)).0 * slowness),
        },
        FaultKind::Corrupt => SimFault::Corrupt {
            from,
            to,
            per_mille: *rng.pick(&[5, 50, 300]),
        },
        // From what heartbeats alone fill to what the work of a busy node does.
        FaultKind::Rate => SimFault::Rate {
            from,
            to,
            bytes_per_s: *rng.pick(&[2_000, 10_000, 50_000]),
        },
        FaultKind::Reset => SimFault::Reset {
            from,
            to,
            every: if rng.chance(300) {
                Span::ZERO
            } else {
                Span(rng.span(ms(20), ms(400)).0 * slowness)
            },
        },
        // From less than one large frame.
        FaultKind::Limit => SimFault::Limit {
            from,
            to,
            bytes: *rng.pick(&[300, 3_000, 30_000]),
        },
        _ => SimFault::Cut { from, to },
    }
}
