//! One trial: load, a strike, the failover, and back to a whole cluster. What does not live here: what the times mean
//! (`report`).

use std::sync::Arc;
use std::time::Duration;

use squall_client::Client;
use tokio::time::{Instant, sleep_until};

use super::background::Background;
use super::class::{Class, Turn};
use super::open::{Load, Seen};
use super::phases::{Account, Case, leads, owns};
use super::report::{Sighted, Times, Trial};
use super::scene::{self, Cast, PROMPTLY, Scene};
use super::sight::{self, Whole};
use super::strike::{Hand, Strike};
use super::watch::{Mark, Watch};
use crate::bench::BenchError;
use crate::layout::Place;
use crate::load::Outcomes;

/// A failover that has not come about by then does not.
const FAILOVER_WITHIN: Duration = Duration::from_secs(10);
/// How long links stay slow.
const SLOW_FOR: Duration = Duration::from_secs(10);

/// A client inside asks at this part of the rate.
const INSIDE_SHARE: u32 = 10;
/// Its requests have numbers from here on, so that handlers tell them from the others.
const INSIDE: u64 = 1 << 32;

/// What all trials in one cluster have in common.
pub(super) struct Stage<'c> {
    pub(super) places: &'c [Place],
    pub(super) cookie: Vec<u8>,
    pub(super) hand: Hand<'c>,
    pub(super) watch: Watch,
    pub(super) rate: u32,
    pub(super) loaded: bool,
}

/// The clients of one trial, and the load beside it.
struct Actors {
    scene: Scene,
    beside: Option<(Scene, Background)>,
    /// A client of the node that is struck, where that node lives on alone.
    inside: Option<(Client, Load)>,
}

/// Strikes once, and heals.
pub(super) async fn run(stage: &mut Stage<'_>, turn: Turn) -> Result<Trial, BenchError> {
    let places = stage.places;
    let whole = sight::whole(places, None).await?;
    let cast = Cast::choose(places, &whole, turn);
    let actors = Actors::enter(stage, &cast, turn).await?;
    let mut load = Load::start(
        actors.scene.requester.clone(),
        actors.scene.exchange.clone(),
        0,
        stage.rate,
    );
    let before = steady(&mut load, stage.rate, "before the strike").await?;
    let leader = sight::now(places)
        .await
        .map_or(whole.leader.clone(), |now| now.leader);

    let strike = Strike::of(turn.class, turn.shape);
    let mark = Mark::now();
    stage.hand.strike(strike, cast.target).await?;
    let over = failed_over(stage, &mut load, &cast, turn, mark, &actors.scene.exchange).await;
    let healing = Instant::now();
    stage.hand.heal(strike, cast.target).await?;
    sight::whole(places, again(strike, &cast, &whole)).await?;
    let healed = Instant::now();
    steady(&mut load, stage.rate, "after the strike").await?;

    let seen = load.end().await;
    let case = Case {
        victim: cast.target.name.as_str(),
        exchange: &actors.scene.exchange,
        struck_us: mark.unix_us,
    };
    let mut account = Account::new(case, &stage.watch.since(mark));
    let announced = actors.scene.ledger.announced(mark.at);
    account.phases.announce_ms = announced.map(|at| super::report::millis(at.duration_since(mark.at)));
    let ledger = Arc::clone(&actors.scene.ledger);
    let (beside, inside) = actors.leave().await?;
    let (doubled, stale) = ledger.wrongs();
    let sighted = Sighted {
        struck: cast.target.name.to_string(),
        owner: cast.owner.name.to_string(),
        leader,
        over,
        account,
        doubled,
        stale,
        beside,
        inside,
    };
    let times = Times {
        before,
        struck: mark.at,
        healing,
        healed,
        ended: Instant::now(),
    };
    Ok(Trial::new(turn, sighted, times, &seen))
}

/// Waits for a quarter of a second's worth of good replies; gives when it began to.
async fn steady(load: &mut Load, rate: u32, when: &str) -> Result<Instant, BenchError> {
    let begun = Instant::now();
    let wanted = usize::try_from(rate / 4 + 1).unwrap_or(1);
    if load.more(wanted, PROMPTLY).await {
        Ok(begun)
    } else {
        Err(BenchError::Late {
            what: format!("a quarter of a second's worth of good replies {when}"),
            seconds: PROMPTLY.as_secs(),
        })
    }
}

/// Waits until the cluster has done what there is to do, and replies have come for a while since; false when it has not
/// within the time there is.
async fn failed_over(
    stage: &mut Stage<'_>,
    load: &mut Load,
    cast: &Cast<'_>,
    turn: Turn,
    mark: Mark,
    exchange: &str,
) -> bool {
    let target = cast.target.name.as_str();
    let done = match turn.class {
        Class::G4 => {
            sleep_until(mark.at + SLOW_FOR).await;
            let told = stage.watch.since(mark);
            return told
                .iter()
                .any(|told| owns(told, exchange) && told.node != target);
        }
        Class::G1o => {
            let elected = stage
                .watch
                .until(mark, FAILOVER_WITHIN, |told| leads(told) && told.node != target);
            elected.await
        }
        Class::G0 | Class::G1 | Class::G1m | Class::G2 | Class::G3 | Class::G5 => {
            let moved = stage.watch.until(mark, FAILOVER_WITHIN, |told| {
                owns(told, exchange) && told.node != target
            });
            moved.await
        }
    };
    let replies = usize::try_from(stage.rate / 4 + 1).unwrap_or(1);
    load.more(replies, FAILOVER_WITHIN).await && done
}

/// A node whose process ended is back when it runs anew.
fn again<'c>(strike: Strike, cast: &Cast<'c>, whole: &Whole) -> Option<(&'c str, u64)> {
    let name = cast.target.name.as_str();
    let before = whole.incarnations.get(name).copied().unwrap_or_default();
    strike.ends().then_some((name, before))
}

impl Actors {
    async fn enter(stage: &Stage<'_>, cast: &Cast<'_>, turn: Turn) -> Result<Self, BenchError> {
        let name = format!("trial-{}", turn.number);
        let scene = Scene::enter(&stage.cookie, name, cast.owner, &cast.stay).await?;
        let beside = if stage.loaded {
            let name = format!("beside-{}", turn.number);
            let last = cast.stay[cast.stay.len() - 1];
            let scene = Scene::enter(&stage.cookie, name, last, &cast.stay).await?;
            let load = Background::start(&scene.requester, &scene.exchange);
            Some((scene, load))
        } else {
            None
        };
        let inside = if turn.class == Class::G3 {
            let client = scene::connect(&stage.cookie, cast.target).await?;
            let rate = stage.rate.div_ceil(INSIDE_SHARE);
            let load = Load::start(client.clone(), scene.exchange.clone(), INSIDE, rate);
            Some((client, load))
        } else {
            None
        };
        Ok(Self {
            scene,
            beside,
            inside,
        })
    }

    /// How the requests beside and those of the client inside ended, if there were any.
    async fn leave(self) -> Result<(Option<Outcomes>, Option<Seen>), BenchError> {
        let inside = match self.inside {
            Some((client, load)) => {
                let seen = load.end().await;
                client.close().await;
                Some(seen)
            }
            None => None,
        };
        self.scene.leave().await?;
        let Some((scene, load)) = self.beside else {
            return Ok((None, inside));
        };
        let outcomes = load.end().await;
        scene.leave().await?;
        Ok((Some(outcomes), inside))
    }
}
