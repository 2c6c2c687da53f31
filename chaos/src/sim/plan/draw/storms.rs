//! Faults that belong together: what protects a cluster from one is hit by the next. In terms of the profile's times.

use squall_kernel::time::{Instant, Span};

use super::faults::{FAULTS_MAX, numbered};
use crate::sim::fault::{PlannedFault, Seat, SimFault};
use crate::sim::plan::Plan;
use crate::sim::rng::Rng;

/// When, for how long, what.
type Drawn = (Instant, Span, SimFault);

/// Two voters cannot reach each other. When one is about to suspect the other, those who still promise it something end
/// and start again, so quickly that what they promised still holds.
pub(super) fn restarts(rng: &mut Rng, plan: &Plan) -> Vec<PlannedFault> {
    let times = plan.profile.times();
    storm(rng, plan, Span(3 * times.silence.0), |rng, plan, at, drawn| {
        let mut voters = voters(plan);
        rng.shuffle(&mut voters);
        let (pair, others) = voters.split_at(voters.len().min(2));
        if let [a, b] = *pair {
            let cut = if rng.chance(700) {
                SimFault::CutBoth { a, b }
            } else {
                SimFault::Cut { from: a, to: b }
            };
            drawn.push((at, rng.span(times.silence, Span(4 * times.silence.0)), cut));
        }
        let suspected = rng.span(times.promise, times.silence);
        for node in others {
            let at = at + suspected + rng.span(Span::ZERO, Span(times.promise.0 / 4));
            let lasts = rng.span(Span::from_ms(5), Span(times.promise.0 / 2));
            drawn.push((at, lasts, SimFault::Crash { node: *node }));
        }
    })
}

/// A voter is cut off, alone or with nodes that have no vote. Of what it had under way before, some was late already.
pub(super) fn partitions(rng: &mut Rng, plan: &Plan) -> Vec<PlannedFault> {
    let times = plan.profile.times();
    storm(rng, plan, Span(4 * times.silence.0), |rng, plan, at, drawn| {
        let voters = voters(plan);
        let node = *rng.pick(&voters);
        if rng.chance(500) {
            let by = rng.span(Span(times.promise.0 / 8), Span(times.promise.0 / 2));
            let lasts = rng.span(times.promise, Span(2 * times.silence.0));
            drawn.push((at, lasts, SimFault::Slow { node, by }));
        }
        let at = at + rng.span(Span::ZERO, times.silence);
        let lasts = rng.span(Span(2 * times.silence.0), Span(6 * times.silence.0));
        let mut side: Vec<Seat> = plan.seats().filter(|seat| !voters.contains(seat)).collect();
        side.retain(|_| rng.chance(500));
        let what = if side.is_empty() {
            SimFault::Isolate { node }
        } else {
            side.push(node);
            side.sort_unstable();
            SimFault::Split { side }
        };
        drawn.push((at, lasts, what));
    })
}

/// A majority of the voters, or all, end within a moment; each comes back in its own time.
pub(super) fn blackouts(rng: &mut Rng, plan: &Plan) -> Vec<PlannedFault> {
    let times = plan.profile.times();
    storm(rng, plan, Span(6 * times.silence.0), |rng, plan, at, drawn| {
        let mut voters = voters(plan);
        rng.shuffle(&mut voters);
        let majority = voters.len() / 2 + 1;
        voters.truncate(if rng.chance(500) { majority } else { voters.len() });
        for node in voters {
            let at = at + rng.span(Span::ZERO, times.heartbeat);
            let lasts = rng.span(Span::from_ms(5), Span(3 * times.silence.0));
            drawn.push((at, lasts, SimFault::Crash { node }));
        }
    })
}

/// Nodes stand still for about a lease, sometimes while others do.
pub(super) fn pauses(rng: &mut Rng, plan: &Plan) -> Vec<PlannedFault> {
    let times = plan.profile.times();
    storm(rng, plan, Span(2 * times.silence.0), |rng, plan, at, drawn| {
        let seats: Vec<Seat> = plan.seats().collect();
        let node = *rng.pick(&seats);
        let lasts = rng.span(Span(times.promise.0 / 2), Span(3 * times.silence.0));
        drawn.push((at, lasts, SimFault::Pause { node }));
    })
}

/// Links so slow that what is sent before a move arrives after it.
pub(super) fn slow_links(rng: &mut Rng, plan: &Plan) -> Vec<PlannedFault> {
    let times = plan.profile.times();
    storm(rng, plan, Span(2 * times.silence.0), |rng, plan, at, drawn| {
        let mut seats: Vec<Seat> = plan.seats().collect();
        rng.shuffle(&mut seats);
        let [from, to, ..] = *seats else { return };
        let by = rng.span(Span(times.promise.0 / 10), times.silence);
        let what = match rng.below(4) {
            0 => SimFault::Cut { from, to },
            1 => SimFault::Clog { from, to, stall: by },
            _ => SimFault::Delay {
                from,
                to,
                by,
                jitter: Span(by.0 / 4),
            },
        };
        drawn.push((at, rng.span(times.silence, Span(8 * times.silence.0)), what));
    })
}

/// One after the other, about so far apart, until there are enough or the time for faults is over.
fn storm(
    rng: &mut Rng,
    plan: &Plan,
    apart: Span,
    mut one: impl FnMut(&mut Rng, &Plan, Instant, &mut Vec<Drawn>),
) -> Vec<PlannedFault> {
    let last = Instant(plan.safety.0 * 9 / 10);
    let mut at = Instant(plan.safety.0 / 6) + rng.span(Span::ZERO, apart);
    let mut drawn = Vec::new();
    while at < last && drawn.len() < FAULTS_MAX {
        one(rng, plan, at, &mut drawn);
        at = at + rng.span(Span(apart.0 / 2), Span(apart.0 * 3 / 2));
    }
    drawn.retain(|(at, ..)| *at < last);
    numbered(plan, drawn)
}

/// Places of the nodes with a vote at the beginning.
fn voters(plan: &Plan) -> Vec<Seat> {
    let ids = plan.voter_ids();
    plan.seats()
        .filter(|seat| ids.contains(&plan.nodes[seat.index()].id))
        .collect()
}
