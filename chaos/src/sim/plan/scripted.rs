//! The plan of a scenario: its cluster on one machine with good clocks and disks, its work, its steps. What a scenario does not
//! say is drawn from a seed: how long frames travel, how long handlers take, when nodes start.
//!
//! What does not live here: whom a step means, which is found out when it is its time (`world`).

use squall_kernel::id::{NodeId, NodeName};
use squall_kernel::registry::{Pattern, Settings};
use squall_kernel::time::{Instant, Span};

use super::draw::{slowness, voters_of};
use super::{Deck, ExchangePlan, HandlerPlan, NodePlan, Plan, Scripted, Spread, SubscriberPlan, Work};
use crate::fault::amount::span;
use crate::scenario::{Deed, Scenario};
use crate::sim::fault::Seat;
use crate::sim::rng::Rng;

/// A simulated cluster is founded, and its handlers attached, by then; a slow one takes four times as long.
const SETTLED: Span = Span::from_ms(2_000);
/// Nothing changes but by the script.
const NEVER: Span = Span::from_ms(24 * 3_600_000);

pub(super) fn plan(scenario: &Scenario, seed: u64) -> Plan {
    let slowness = slowness(scenario.profile);
    let settled = Span(SETTLED.0 * slowness);
    let mut rng = Rng::fork(seed, "scenario");
    let nodes = nodes(&mut rng, scenario.nodes);
    let seats = || (0..u8::try_from(nodes.len()).expect("few nodes")).map(Seat);
    let numbered = || (0..u8::MAX).zip(&scenario.exchanges);
    let of_pattern = |subscribes: bool| {
        numbered().filter(move |(_, plan)| subscribes == (plan.pattern == Pattern::PublishSubscribe))
    };
    let handlers = of_pattern(false).flat_map(|(exchange, plan)| {
        let each = move |node| {
            (0..plan.handlers).map(move |_| HandlerPlan {
                exchange,
                node,
                service_tag: String::new(),
            })
        };
        seats().flat_map(each)
    });
    let subscribers = of_pattern(true).flat_map(|(exchange, plan)| {
        let each = move |node| {
            (0..plan.handlers).map(move |_| SubscriberPlan {
                exchange,
                node,
                patterns: vec!["#".to_owned()],
            })
        };
        seats().flat_map(each)
    });
    Plan {
        seed,
        profile: scenario.profile,
        voters: voters_of(nodes.len() as u64),
        exchanges: scenario.exchanges.iter().map(exchange).collect(),
        handlers: handlers.collect(),
        subscribers: subscribers.collect(),
        work: work(scenario),
        link: Spread {
            least: Span(80),
            more: rng.span(Span(20), Span(1_000)),
            slow_per_mille: 1,
            slow: Span(5_000),
        },
        disk: Spread {
            least: Span(100),
            more: Span(1_000),
            slow_per_mille: 2,
            slow: Span::from_ms(20),
        },
        safety: Span(settled.0 + span(scenario.lasts).0),
        liveness: Span::from_ms(2_500 * slowness + 2_500),
        faults: Vec::new(),
        script: scenario
            .steps
            .iter()
            .map(|step| scripted(step, settled))
            .collect(),
        nodes,
    }
}

fn nodes(rng: &mut Rng, count: usize) -> Vec<NodePlan> {
    (0..u8::try_from(count).expect("few nodes"))
        .map(|n| NodePlan {
            id: NodeId(u64::from(n + 1) * 0x10 + rng.below(0x10)),
            name: NodeName::new(&Seat(n).to_string()).expect("one letter is a name"),
            starts: Instant(rng.between(0, 100_000)),
            clock_offset: Span(rng.between(1, 5_000_000)),
            clock_ppm: i32::try_from(rng.between(0, 200)).expect("a small number") - 100,
            machine: 0,
        })
        .collect()
}

fn exchange(plan: &crate::scenario::ExchangePlan) -> ExchangePlan {
    ExchangePlan {
        name: plan.name.clone(),
        strategy: plan.strategy,
        failover: Vec::new(),
        takeover: None,
        pattern: plan.pattern,
        settings: Settings::default(),
    }
}

fn work(scenario: &Scenario) -> Work {
    let rate: u32 = scenario.exchanges.iter().map(|plan| plan.rate).sum();
    // One spread for all of them.
    let takes = scenario
        .exchanges
        .iter()
        .map(|plan| span(plan.takes))
        .max()
        .unwrap_or_default();
    Work {
        request_every: Span(1_000_000 / u64::from(rate.max(1))),
        timeout: (Span::from_ms(1_000), Span::from_ms(5_000)),
        change_every: NEVER,
        deck: Deck::Even,
        handling: Spread {
            least: takes,
            more: Span::from_ms(10),
            slow_per_mille: 1,
            slow: Span::from_ms(20),
        },
        declined: 0,
        talks: 0,
    }
}

fn scripted(step: &crate::scenario::Step, settled: Span) -> Scripted {
    let at = Instant(0) + settled + span(step.at);
    let lasts = span(step.ttl);
    match &step.deed {
        Deed::Fault { fault, target } => Scripted {
            at,
            lasts,
            fault: fault.to_string(),
            moves: String::new(),
            target: target.to_string(),
        },
        Deed::Move { exchange, to } => Scripted {
            at,
            lasts,
            fault: String::new(),
            moves: exchange.to_string(),
            target: to.to_string(),
        },
    }
}
