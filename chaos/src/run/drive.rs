//! Drives a run: until all is steady, step by step, back to steady. What does not live here: doing a step (`deeds`), and what
//! the run has shown (`expect`).

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use squall_kernel::fault::Share;
use squall_kernel::id::ClusterId;
use squall_proto::v1::{Child, ChildState};
use tokio::time::{Instant, interval};

use super::clients::Clients;
use super::deeds::{self, Fired, Undone};
use super::meter::{Meter, Series, WINDOW};
use super::stage::{Look, Stage};
use super::upkeep::{Holding, Upkeep};
use super::work::Work;
use super::{Progress, RunError, RunOptions};
use crate::bench::failover::watch::{Mark, Told, Watch};
use crate::fault::Act;
use crate::scenario::Scenario;

/// What is steady at all is so by then.
const STEADY_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(20);
/// Ticks between two looks at processes, and between two lines of figures.
const LOOK_EVERY: u64 = 3;
const FIGURES_EVERY: u64 = 50;

/// What a run was, before it is judged.
pub(super) struct Driven {
    /// Which cluster it was.
    pub(super) cluster: Option<ClusterId>,
    /// When the faults' time began, by the calendar in microseconds.
    pub(super) began: Mark,
    /// Length of the faults' time, as it was.
    pub(super) lasted: Duration,
    pub(super) fired: Vec<Fired>,
    pub(super) series: Vec<Series>,
    /// What the nodes told.
    pub(super) told: Vec<Told>,
    /// How it ended early, if it did.
    pub(super) cut_short: Option<CutShort>,
    /// Share of good replies while faults acted.
    pub(super) during: Share,
    /// How long it took until all was steady again; none where it did not become so.
    pub(super) recovered: Option<Duration>,
    /// What the processes held.
    pub(super) held: BTreeMap<String, Vec<Holding>>,
    /// What was still active when all had been undone.
    pub(super) remains: String,
}

/// Why a run ended before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CutShort {
    /// It never was steady: nothing was done.
    NeverSteady(String),
    /// Somebody ended it.
    Stopped,
    /// A step would have gone beyond the budget.
    Beyond(String),
    /// A step was refused.
    Refused(String),
    /// Something was broken.
    Breach(String),
    /// More requests have failed than may.
    Unsteady(String),
    /// The invariants cannot be judged any more.
    Unjudged,
    /// Somebody else halted the faults, as is said.
    Halted(String),
}

pub(super) async fn drive(
    options: &RunOptions,
    stage: &Stage,
    stop: impl Future<Output = ()>,
    tell: &mut impl FnMut(Progress),
) -> Result<Driven, RunError> {
    let scenario = &options.scenario;
    let cluster = stage.chaos.cluster().await?.id;
    let nodes = Watch::start(stage.places());
    let clients = Clients::enter(stage, scenario).await?;
    let zero = Instant::now();
    let mut course = Course {
        options,
        scenario,
        stage,
        look: Look::default(),
        work: Work::start(&clients, scenario, zero),
        zero,
        fired: Vec::new(),
        upkeep: Upkeep::new(scenario.lasts),
    };
    let mut stop = std::pin::pin!(stop);
    tell(Progress::Stage("waiting until all is steady".into()));
    let steady = course.steady(STEADY_WITHIN, stop.as_mut()).await?;
    let began = Mark::now();
    let base = began.at - zero;
    course.work.meters.iter().for_each(|meter| meter.begin(base));
    let cut_short = match steady {
        Steady::Yes => course.steps(began.at, stop.as_mut(), tell).await?,
        Steady::No(why) => Some(CutShort::NeverSteady(why)),
        Steady::Stopped => Some(CutShort::Stopped),
    };
    let lasted = began.at.elapsed();
    let during = course.good();
    tell(Progress::Stage("undoing all faults".into()));
    let remains = course.undo().await?;
    let undone = Instant::now();
    let recovered = match course
        .steady(scenario.steady.recover, std::future::pending())
        .await?
    {
        Steady::Yes => Some(undone.elapsed()),
        Steady::No(_) | Steady::Stopped => None,
    };
    let series = course.end(&clients).await?;
    clients.leave(stage).await;
    Ok(Driven {
        cluster,
        held: course.upkeep.held(),
        told: nodes.since(began),
        began,
        lasted,
        fired: course.fired,
        series,
        cut_short,
        during,
        recovered,
        remains,
    })
}

enum Steady {
    Yes,
    No(String),
    Stopped,
}

struct Course<'c> {
    options: &'c RunOptions,
    scenario: &'c Scenario,
    stage: &'c Stage,
    look: Look,
    work: Work,
    zero: Instant,
    fired: Vec<Fired>,
    upkeep: Upkeep,
}

impl<'c> Course<'c> {
    async fn look(&mut self) {
        self.look = self.stage.look().await;
        self.upkeep.look(self.zero.elapsed(), &self.look.children);
    }

    /// Waits until every exchange was steady for a window.
    async fn steady(
        &mut self,
        within: Duration,
        mut stop: impl Future<Output = ()> + Unpin,
    ) -> Result<Steady, RunError> {
        let begun = Instant::now();
        let mut ticks = interval(TICK * 3);
        let mut why = String::from("nothing was answered yet");
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return Ok(Steady::Stopped),
                _ = ticks.tick() => {}
            }
            self.look().await;
            if begun.elapsed() >= WINDOW {
                match self.unsteady() {
                    None => return Ok(Steady::Yes),
                    Some(found) => why = found,
                }
            }
            if begun.elapsed() >= within {
                return Ok(Steady::No(why));
            }
        }
    }

    /// What is not steady now.
    fn unsteady(&self) -> Option<String> {
        let now = self.zero.elapsed();
        let wanted = &self.scenario.steady;
        let names = self.scenario.exchanges.iter().map(|plan| &plan.name);
        names.zip(&self.work.meters).find_map(|(name, meter)| {
            let Some((good, p99)) = meter.recent(now) else {
                return Some(format!("{name}: nothing is answered"));
            };
            if good < wanted.good {
                return Some(format!("{name}: {good} are answered, {} must be", wanted.good));
            }
            let late = p99 > wanted.p99 && !self.options.untimed;
            late.then(|| {
                format!(
                    "{name}: 99 of 100 replies within {p99:.1?}, it must be {:.1?}",
                    wanted.p99
                )
            })
        })
    }

    /// Does every step in its time.
    async fn steps(
        &mut self,
        began: Instant,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        tell: &mut impl FnMut(Progress),
    ) -> Result<Option<CutShort>, RunError> {
        let (stage, scenario) = (self.stage, self.scenario);
        let mut ticks = interval(TICK);
        let mut firing = FuturesUnordered::new();
        let (mut next, mut count) = (0, 0_u64);
        loop {
            tokio::select! {
                biased;
                () = stop.as_mut() => return Ok(Some(CutShort::Stopped)),
                Some(fired) = firing.next(), if !firing.is_empty() => {
                    if let Some(why) = self.came(fired, began, tell) {
                        return Ok(Some(why));
                    }
                    continue;
                }
                _ = ticks.tick() => count += 1,
            }
            let at = began.elapsed();
            while scenario.steps.get(next).is_some_and(|step| step.at <= at) {
                firing.push(deeds::fire(stage, scenario, next, self.beside(at)));
                next += 1;
            }
            if count.is_multiple_of(LOOK_EVERY) {
                self.look().await;
            }
            if count.is_multiple_of(FIGURES_EVERY) {
                tell(Progress::Figures {
                    at,
                    text: self.figures(),
                });
            }
            if let Some(why) = self.broken(at) {
                if let CutShort::Breach(text) = &why {
                    tell(Progress::Breach(text.clone()));
                }
                return Ok(Some(why));
            }
            if at >= scenario.lasts && next == scenario.steps.len() && firing.is_empty() {
                return Ok(None);
            }
        }
    }

    /// What still acts of the steps before.
    fn beside(&self, at: Duration) -> Vec<Act> {
        let acting = self
            .fired
            .iter()
            .filter(|fired| self.scenario.steps[fired.step].ends() > at);
        acting.flat_map(|fired| fired.acts.iter().cloned()).collect()
    }

    fn came(&mut self, fired: Fired, began: Instant, tell: &mut impl FnMut(Progress)) -> Option<CutShort> {
        let step = &self.scenario.steps[fired.step];
        let (text, why) = match &fired.done {
            Ok(_) => (fired.came().join(", "), None),
            Err(Undone::Beyond(beyond)) => {
                let text = format!("not done: {beyond}");
                (text, Some(CutShort::Beyond(format!("{}: {beyond}", step.deed))))
            }
            Err(Undone::Refused(why)) => {
                let text = format!("refused: {why}");
                (text, Some(CutShort::Refused(format!("{}: {why}", step.deed))))
            }
        };
        tell(Progress::Step {
            at: began.elapsed(),
            text: format!("{}: {text}", step.deed),
        });
        self.fired.push(fired);
        why.filter(|_| !self.scenario.skips)
    }

    /// Why it cannot go on.
    fn broken(&self, at: Duration) -> Option<CutShort> {
        if let Some(breach) = &self.look.breach {
            return Some(CutShort::Breach(breach.clone()));
        }
        if let Some(who) = &self.look.halted {
            return Some(CutShort::Halted(who.clone()));
        }
        if self.look.unjudged {
            return Some(CutShort::Unjudged);
        }
        let wanted = self.scenario.steady.during.filter(|_| !self.options.untimed)?;
        // Those that are still to come may all be good.
        let left = self.scenario.lasts.saturating_sub(at).as_secs_f64();
        let to_come: f64 = self
            .scenario
            .exchanges
            .iter()
            .map(|plan| f64::from(plan.rate) * left)
            .sum();
        let (good, failed) = self.counts();
        let all = good as f64 + failed as f64 + to_come;
        let allowed = all * f64::from(Share::ALL.0 - wanted.0) / f64::from(Share::ALL.0);
        (failed as f64 > allowed.max(50.0)).then(|| {
            CutShort::Unsteady(format!(
                "{failed} requests failed: {wanted} cannot be answered any more"
            ))
        })
    }

    fn counts(&self) -> (u64, u64) {
        let outcomes = self.work.meters.iter().map(|meter| meter.outcomes());
        outcomes.fold((0, 0), |(good, failed), outcomes| {
            (
                good + outcomes.replied,
                failed + outcomes.failed() + outcomes.held_back,
            )
        })
    }

    fn good(&self) -> Share {
        let (good, failed) = self.counts();
        super::meter::share(good, good + failed)
    }

    fn figures(&self) -> String {
        let now = self.zero.elapsed();
        let one = |meter: &Arc<Meter>| {
            let recent = meter.recent(now);
            recent.map_or_else(
                || "nothing is answered".to_owned(),
                |(good, p99)| format!("{good} good, p99 {p99:.1?}"),
            )
        };
        let names = self.scenario.exchanges.iter().map(|plan| &plan.name);
        let each = names
            .zip(&self.work.meters)
            .map(|(name, meter)| format!("{name} {}", one(meter)));
        each.collect::<Vec<_>>().join("; ")
    }

    /// Undoes everything, waits until the processes are back, and says what is left.
    async fn undo(&mut self) -> Result<String, RunError> {
        let halted = self.stage.chaos.halt().await?;
        let give_up = Instant::now() + STEADY_WITHIN;
        let mut ticks = interval(TICK);
        loop {
            ticks.tick().await;
            self.look().await;
            let all_run = |child: &Child| child.state() == ChildState::Running;
            if self.look.children.iter().all(all_run) || Instant::now() >= give_up {
                break;
            }
        }
        Ok(if halted.remains.is_clear() {
            String::new()
        } else {
            halted.remains.to_string()
        })
    }

    /// Ends the work; what is judged then is judged with no request under way.
    async fn end(&mut self, clients: &Clients) -> Result<Vec<Series>, RunError> {
        self.work.end().await;
        self.look().await;
        self.stage.healed();
        let now = self.zero.elapsed();
        let names = self.scenario.exchanges.iter().map(|plan| plan.name.as_str());
        let series = names.zip(&self.work.meters).map(|(name, meter)| {
            let wrongs = clients.ledgers[name].wrongs();
            meter.series(now, wrongs.doubled, wrongs.stale + wrongs.garbled)
        });
        Ok(series.collect())
    }
}
