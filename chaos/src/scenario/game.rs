//! Game day: a scenario that a number draws. Faults of all kinds, on whoever has the roles then, one or two at a time, with rests
//! between them, within a budget that leaves a majority. The same number gives the same steps.
//!
//! What does not live here: running it, and what it is worth (`score`).

use std::time::Duration;

use squall_kernel::fault::Share;
use squall_kernel::id::ExchangeName;
use squall_kernel::profile::Profile;
use squall_kernel::registry::{Pattern, Strategy};

use super::{Deed, ExchangePlan, Expect, Scenario, Steady, Step};
use crate::fault::{Aim, Fault, Target};
use crate::radius::Budget;
use crate::sim::rng::Rng;

/// What a game is drawn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Game {
    /// The number.
    pub seed: u64,
    /// How long it lasts.
    pub lasts: Duration,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Its timer profile.
    pub profile: Profile,
    /// Requests a second, in all.
    pub rate: u32,
}

/// Exchanges of a game: name, pattern, strategy, and their part of the rate in percent.
const EXCHANGES: [(&str, Pattern, Strategy, u32); 5] = [
    ("orders", Pattern::RequestResponse, Strategy::RoundRobin, 40),
    ("users", Pattern::RequestResponse, Strategy::Consensus, 20),
    ("carts", Pattern::RequestResponse, Strategy::Sticky, 20),
    ("news", Pattern::PublishSubscribe, Strategy::Default, 10),
    ("jobs", Pattern::Task, Strategy::Default, 10),
];
/// The first fault comes when that has passed, and the last one is over so long before the end.
const CALM: Duration = Duration::from_secs(3);
/// Shortest and longest time of a fault, and between two of them, in milliseconds.
const FAULT_MS: (u64, u64) = (1_000, 6_000);
const REST_MS: (u64, u64) = (1_500, 5_000);
/// So many of a hundred faults come with another one at the same time.
const TOGETHER: u32 = 250;

/// Faults on nodes, and on links, with whom they are aimed at and how often they are drawn.
const ON_NODES: [(&str, u32); 4] = [("kill", 4), ("stop", 2), ("pause", 3), ("restart", 1)];
const ON_LINKS: [(&str, u32); 15] = [
    ("cut", 4),
    ("delay 20ms ±10ms", 2),
    ("delay 100ms ±20ms normal", 2),
    ("delay 5ms +20ms exponential", 1),
    ("loss 2%", 2),
    ("duplicate 5%", 1),
    ("reorder 5% by 10ms", 1),
    ("corrupt 2%", 1),
    ("rate 200kB/s", 1),
    ("clog 150ms", 2),
    ("reset every 400ms", 2),
    ("slice 11B", 1),
    ("limit 50kB", 1),
    ("profile 3g", 1),
    ("profile flaky-wifi", 1),
];
const NODES: [(&str, u32); 7] = [
    ("owner(orders)", 4),
    ("owner(news)", 2),
    ("owner(jobs)", 2),
    ("owner(users)", 2),
    ("owner(carts)", 2),
    ("leader(users)", 2),
    ("meta-leader", 3),
];
const LINKS: [(&str, u32); 9] = [
    ("owner(news)", 2),
    ("rest -> owner(jobs)", 2),
    ("owner(orders)", 3),
    ("owner(users) -> rest", 2),
    ("rest -> owner(carts)", 2),
    ("meta-leader", 2),
    ("mute(leader(users))", 1),
    ("meta-leader <-> owner(orders)", 2),
    ("halves", 1),
];

/// The scenario of a game.
#[must_use]
pub fn draw(game: &Game) -> Scenario {
    let mut rng = Rng::fork(game.seed, "game");
    let mut steps = Vec::new();
    let mut at = CALM;
    loop {
        let ttl = Duration::from_millis(rng.between(FAULT_MS.0, FAULT_MS.1));
        if at + ttl + CALM > game.lasts {
            break;
        }
        let node_fault = rng.chance(350);
        steps.push(step(&mut rng, at, ttl, node_fault));
        if rng.chance(TOGETHER) {
            let later = Duration::from_millis(rng.between(50, 800));
            let left = ttl.saturating_sub(later).max(Duration::from_millis(500));
            steps.push(step(&mut rng, at + later, left, false));
        }
        at += ttl + Duration::from_millis(rng.between(REST_MS.0, REST_MS.1));
    }
    Scenario {
        name: format!("game-{}", game.seed),
        teaches: "Faults drawn by a number, one or two at a time, on whoever has the roles then.".to_owned(),
        nodes: game.nodes,
        profile: game.profile,
        exchanges: exchanges(game.rate),
        lasts: game.lasts,
        steady: Steady {
            good: Share::from_percent(99),
            p99: Duration::from_secs(1),
            recover: Duration::from_secs(30),
            during: None,
        },
        budget: Budget {
            nodes: game.nodes,
            keep_quorum: true,
            ..Budget::default()
        },
        steps,
        expects: vec![Expect {
            lost: Some(0),
            doubled: Some(0),
            ..Expect::default()
        }],
        skips: true,
    }
}

fn exchanges(rate: u32) -> Vec<ExchangePlan> {
    let plan = |(name, pattern, strategy, percent): (&str, Pattern, Strategy, u32)| ExchangePlan {
        name: ExchangeName::new(name).expect("a word is a name"),
        pattern,
        strategy,
        handlers: 1,
        rate: (rate * percent / 100).max(1),
        takes: Duration::ZERO,
    };
    EXCHANGES.into_iter().map(plan).collect()
}

fn step(rng: &mut Rng, at: Duration, ttl: Duration, on_nodes: bool) -> Step {
    let (fault, target) = if on_nodes {
        (drawn(rng, &ON_NODES), drawn(rng, &NODES))
    } else {
        (drawn(rng, &ON_LINKS), drawn(rng, &LINKS))
    };
    let fault: Fault = fault.parse().expect("a fault of the table");
    let aim = if on_nodes { Aim::Nodes } else { Aim::Links };
    let target = Target::parse(target, aim).expect("a target of the table");
    Step {
        at,
        deed: Deed::Fault { fault, target },
        ttl,
    }
}

fn drawn<'t>(rng: &mut Rng, table: &[(&'t str, u32)]) -> &'t str {
    let all: u32 = table.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.below(u64::from(all));
    for (word, weight) in table {
        match left.checked_sub(u64::from(*weight)) {
            Some(rest) => left = rest,
            None => return word,
        }
    }
    table[0].0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn game(seed: u64, seconds: u64) -> Scenario {
        draw(&Game {
            seed,
            lasts: Duration::from_secs(seconds),
            nodes: 3,
            profile: Profile::Lan,
            rate: 300,
        })
    }

    #[test]
    fn a_number_gives_the_same_game_and_another_one_another() {
        assert_eq!(game(7, 60), game(7, 60));
        assert_ne!(game(7, 60).steps, game(8, 60).steps);
    }

    #[test]
    fn faults_end_before_the_game_does_and_all_kinds_are_drawn() {
        let mut words = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let game = game(seed, 120);
            assert!(game.steps.len() > 8, "{}", game.steps.len());
            for step in &game.steps {
                assert!(step.ends() <= game.lasts - Duration::from_secs(2), "{step:?}");
                let Deed::Fault { fault, .. } = &step.deed else {
                    panic!("a fault")
                };
                words.insert(fault.to_string());
            }
        }
        assert_eq!(words.len(), ON_NODES.len() + ON_LINKS.len(), "{words:?}");
    }
}
