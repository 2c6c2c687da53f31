//! One trial: load, a strike, the failover, and back to a whole cluster. What does not live here: what the times mean
//! (`report`).

use std::sync::Arc;
use std::time::Duration;

use squall_client::Client;
use squall_kernel::id::NodeId;
use squall_kernel::time::Span;
use tokio::time::{Instant, sleep_until};

use super::background::Background;
use super::class::{Class, Turn};
use super::open::{Load, Seen};
use super::phases::{Account, Case, leads, owns};
use super::report::{Sighted, Times, Trial};
use super::scene::{self, Cast, PROMPTLY, Scene};
use super::sight::{self, Whole};
use super::strike::{self, Hand, Strike};
use super::watch::{Mark, Watch};
use crate::bench::{BenchError, processor};
use crate::history::What;
use crate::layout::Place;
use crate::load::Outcomes;
use crate::record::{Acting, Marks};

/// A failover that has not come about by then does not.
const FAILOVER_WITHIN: Duration = Duration::from_secs(10);
/// How long links stay slow.
const SLOW_FOR: Duration = Duration::from_secs(10);
/// How long links lose a share: what happens in that time happens so often a minute.
const LOSSY_FOR: Duration = Duration::from_secs(60);

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
    /// For the checkers of the whole run.
    pub(super) marks: Marks,
}

/// A strike that has not been healed yet.
struct Struck {
    strike: Strike,
    node: NodeId,
    acting: Option<Acting>,
}

/// The clients of one trial, and the load beside it.
struct Actors {
    scene: Scene,
    beside: Option<(Scene, Option<Background>)>,
    /// A client of the node that is struck, where that node lives on alone.
    inside: Option<(Client, Load)>,
}

/// Strikes once, and heals.
pub(super) async fn run(stage: &mut Stage<'_>, turn: Turn) -> Result<Trial, BenchError> {
    let places = stage.places;
    let whole = sight::whole(places, None).await?;
    let cast = Cast::choose(places, &whole, turn);
    let mut actors = Actors::enter(stage, &cast, turn).await?;
    let mut load = Load::start(
        actors.scene.requester.clone(),
        actors.scene.exchange.clone(),
        0,
        stage.rate,
    );
    let before = steady(&mut load, stage.rate, "before the strike").await?;
    let (sent_before, used_before) = (load.sent(), used());
    let leader = sight::now(places)
        .await
        .map_or(whole.leader.clone(), |now| now.leader);

    let strike = Strike::of(turn.class, turn.shape);
    let node = whole.ids.get(cast.target.name.as_str()).copied();
    let node = node.ok_or_else(|| BenchError::Unsound(format!("node {} is not up", cast.target.name)))?;
    let mark = Mark::now();
    let struck = stage.strike(strike, cast.target, node).await?;
    let over = failed_over(stage, &mut load, &cast, turn, mark, &actors.scene.exchange).await;
    let healing = Instant::now();
    stage.heal(struck, cast.target).await?;
    sight::whole(places, again(strike, &cast, &whole)).await?;
    let healed = Instant::now();
    steady(&mut load, stage.rate, "after the strike").await?;

    let cpu_us = processor::each_us(used_before, used(), load.sent() - sent_before);
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
    let (beside, inside) = actors.rest().await;
    // What is judged then is judged with no request under way.
    stage.marks.healed();
    actors.leave().await?;
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
        cpu_us,
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

/// Processor time of this process, where handlers and requesters are, and of all nodes that it has started.
fn used() -> Option<Duration> {
    processor::of(&[std::process::id()])
}

impl Stage<'_> {
    /// Strikes, and marks what no node can tell of. A pause is marked within itself: nothing happens there meanwhile.
    async fn strike(&mut self, strike: Strike, target: &Place, node: NodeId) -> Result<Struck, BenchError> {
        let ttl = Span::from_ms(u64::try_from(strike::TTL.as_millis()).expect("a minute and a half"));
        let fault = |what| format!("{what} {}", target.name);
        let acting = strike
            .on_process()
            .map(|what| self.marks.fault(node, &fault(what), ttl));
        self.hand.strike(strike, target).await?;
        if strike == Strike::Pause {
            self.marks.tell(node, What::Paused);
        }
        Ok(Struck { strike, node, acting })
    }

    async fn heal(&mut self, struck: Struck, target: &Place) -> Result<(), BenchError> {
        if struck.strike == Strike::Pause {
            self.marks.tell(struck.node, What::Resumed);
        }
        self.hand.heal(struck.strike, target).await?;
        if let Some(acting) = struck.acting {
            self.marks.over(acting);
        }
        Ok(())
    }
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
        Class::G4l => {
            sleep_until(mark.at + LOSSY_FOR).await;
            // Nothing has to be done about it.
            return true;
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
            Some((scene, Some(load)))
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

    /// Ends what is under way. How the requests beside and those of the client inside ended, if there were any.
    async fn rest(&mut self) -> (Option<Outcomes>, Option<Seen>) {
        let inside = match self.inside.take() {
            Some((client, load)) => {
                let seen = load.end().await;
                client.close().await;
                Some(seen)
            }
            None => None,
        };
        let beside = match self.beside.as_mut().and_then(|(_, load)| load.take()) {
            Some(load) => Some(load.end().await),
            None => None,
        };
        (beside, inside)
    }

    async fn leave(self) -> Result<(), BenchError> {
        self.scene.leave().await?;
        match self.beside {
            Some((scene, _)) => scene.leave().await,
            None => Ok(()),
        }
    }
}
