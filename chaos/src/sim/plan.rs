//! Everything a seed draws: the cluster, its links, disks and clocks, the work it is given, and the faults. Plain data: it
//! can be written down, and run with fewer faults than were drawn.
//!
//! What does not live here: what happens then. That is drawn while it happens, from generators of their own, so that a
//! fault less changes as little as may be.

mod draw;
mod scripted;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use squall_kernel::id::{ExchangeName, NodeId, NodeName};
use squall_kernel::profile::Profile;
use squall_kernel::registry::{Pattern, Settings, Strategy, Takeover};
use squall_kernel::time::{Instant, Span};

use super::fault::{PlannedFault, Seat};
use super::rng::Rng;
use crate::scenario::Scenario;

pub use draw::Wishes;

/// What a seed draws.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Where it came from; the numbers drawn during the run come from it too.
    pub seed: u64,
    /// Times of the cluster.
    pub profile: Profile,
    /// Nodes; a fault names them by their place here.
    pub nodes: Vec<NodePlan>,
    /// Nodes with a vote at the beginning: 1, 3 or 5.
    pub voters: u8,
    /// Exchanges declared at the beginning.
    pub exchanges: Vec<ExchangePlan>,
    /// Handlers attached at the beginning.
    pub handlers: Vec<HandlerPlan>,
    /// Subscribers at the beginning.
    #[serde(default)]
    pub subscribers: Vec<SubscriberPlan>,
    /// What is asked of the cluster.
    pub work: Work,
    /// How long a frame travels.
    pub link: Spread,
    /// How long a sync takes.
    pub disk: Spread,
    /// How long faults may act.
    pub safety: Span,
    /// How long everything has to become good again after that.
    pub liveness: Span,
    /// The faults, by their beginning.
    pub faults: Vec<PlannedFault>,
    /// What a scenario does, by its time: whom it means is found out then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub script: Vec<Scripted>,
}

/// A step of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scripted {
    /// When, in true time.
    pub at: Instant,
    /// How long.
    pub lasts: Span,
    /// The fault as it is written; empty where an exchange is moved.
    pub fault: String,
    /// The exchange that is moved; empty where there is a fault.
    pub moves: String,
    /// Whom it is aimed at, or where to.
    pub target: String,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlan {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// When it starts.
    pub starts: Instant,
    /// What its clock shows when it starts.
    pub clock_offset: Span,
    /// Parts per million its clock is faster than true time; slower when negative. Two nodes differ by less than the
    /// kernel's `DRIFT_PPM`.
    pub clock_ppm: i32,
    /// Its machine: nodes on the same one see each other's end.
    pub machine: u8,
}

/// An exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangePlan {
    /// Its name.
    pub name: ExchangeName,
    /// How it picks handlers.
    pub strategy: Strategy,
    /// Preferred owners in order; may be empty.
    pub failover: Vec<Seat>,
    /// What happens when a preferred owner is back; none for the default.
    pub takeover: Option<Takeover>,
    /// How messages flow through it.
    #[serde(default)]
    pub pattern: Pattern,
    /// Its settings.
    #[serde(default)]
    pub settings: Settings,
}

/// A handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerPlan {
    /// Place of its exchange in the plan.
    pub exchange: u8,
    /// Its node.
    pub node: Seat,
    /// Its service tag; may be empty.
    pub service_tag: String,
}

/// What subscribers ask for: exact keys, and wildcards that match some of the same.
pub(super) const SUBSCRIPTIONS: &[&str] = &[
    "news",
    "news.north",
    "weather.south.1",
    "*.north",
    "news.*",
    "weather.#",
    "#.south",
    "#",
];

/// A subscriber.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriberPlan {
    /// Place of its exchange in the plan.
    pub exchange: u8,
    /// Its node.
    pub node: Seat,
    /// What it asks for.
    pub patterns: Vec<String>,
}

/// What is asked of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Between two requests, on average.
    pub request_every: Span,
    /// Shortest and longest time a requester waits.
    pub timeout: (Span, Span),
    /// Between two other operations (attach, detach, declare …), on average.
    pub change_every: Span,
    /// Which of them come how often.
    #[serde(default)]
    pub deck: Deck,
    /// How long a handler takes.
    pub handling: Spread,
    /// Requests a handler declines, of a thousand.
    pub declined: u32,
    /// Requests whose requester takes chunks, or answers questions, of a thousand.
    #[serde(default)]
    pub talks: u32,
}

/// Which operations come how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Deck {
    /// All of them now and then.
    #[default]
    Even,
    /// Moves above all, and handlers that come and go.
    Moves,
    /// Moves, and nodes killed in the middle of them.
    Rushes,
}

/// A distribution of lengths of time, in whole numbers so that it is the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Shortest.
    pub least: Span,
    /// Evenly up to so much more.
    pub more: Span,
    /// So many of a thousand take longer,
    pub slow_per_mille: u32,
    /// by up to so much.
    pub slow: Span,
}

/// Behind so many slow syncs the next ones cost no more than on a good day: a live node commits whatever waits at once,
/// and so has no longer queue than that, however slow its disk is.
const SLOW_SYNCS_MAX: u64 = 4;

/// How much longer a sync takes on a slow disk that is asked now, and busy until then with what came before.
#[must_use]
pub fn slowed(now: Instant, busy_until: Instant, by: Span) -> Span {
    if busy_until.since(now).0 > SLOW_SYNCS_MAX * by.0 {
        Span::ZERO
    } else {
        by
    }
}

impl Spread {
    /// One length.
    pub fn draw(&self, rng: &mut Rng) -> Span {
        let mut drawn = Span(self.least.0 + rng.between(0, self.more.0));
        if rng.chance(self.slow_per_mille) {
            drawn.0 += rng.between(0, self.slow.0);
        }
        drawn
    }
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64, wishes: &Wishes) -> Self {
        draw::plan(seed, wishes)
    }

    /// The plan of a scenario, with what it does not say drawn from a seed.
    #[must_use]
    pub fn of_scenario(scenario: &Scenario, seed: u64) -> Self {
        scripted::plan(scenario, seed)
    }

    /// The same with these faults and no other ones.
    #[must_use]
    pub fn with_faults(&self, faults: Vec<PlannedFault>) -> Self {
        Self {
            script: Vec::new(),
            faults,
            ..self.clone()
        }
    }

    /// Ids of the nodes with a vote at the beginning: the founder, which is the first by name, and the lowest others.
    #[must_use]
    pub fn voter_ids(&self) -> BTreeSet<NodeId> {
        let founder = self.nodes.first().map(|n| n.id);
        let others: BTreeSet<NodeId> = self.nodes.iter().skip(1).map(|n| n.id).collect();
        founder
            .into_iter()
            .chain(others)
            .take(usize::from(self.voters))
            .collect()
    }

    /// Places of all nodes.
    pub fn seats(&self) -> impl Iterator<Item = Seat> + use<> {
        (0..u8::try_from(self.nodes.len()).expect("few nodes")).map(Seat)
    }

    /// When the faults have ended.
    #[must_use]
    pub fn healed_at(&self) -> Instant {
        Instant(self.safety.0)
    }

    /// When the run ends.
    #[must_use]
    pub fn ends_at(&self) -> Instant {
        self.healed_at() + self.liveness
    }

    /// The last request begins then, so that each has its time to end.
    #[must_use]
    pub fn last_request_at(&self) -> Instant {
        Instant(self.ends_at().0.saturating_sub(2 * self.work.timeout.1.0))
    }
}

#[cfg(test)]
#[path = "plan/plan_test.rs"]
mod tests;
