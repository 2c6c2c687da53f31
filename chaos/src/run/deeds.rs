//! Does the steps of a scenario: finds out whom each means, whether that is within the budget, and does it. What does not live
//! here: when (`drive`).

use squall_client::OperatorError;
use squall_observer::console::Picture;

use super::stage::Stage;
use crate::client::{Done, Firing};
use crate::fault::Act;
use crate::radius::{Beyond, Extent};
use crate::scenario::{Deed, Scenario, Step};

/// What came of a step.
#[derive(Debug)]
pub(super) struct Fired {
    /// Which one.
    pub(super) step: usize,
    /// When it was done, by the calendar in microseconds.
    pub(super) unix_us: u64,
    /// What it came to.
    pub(super) acts: Vec<Act>,
    /// The cluster as it was then.
    pub(super) picture: Picture,
    /// What else is to be said of it.
    pub(super) note: String,
    /// What was done, in words; or why nothing was.
    pub(super) done: Result<Vec<Done>, Undone>,
}

impl Fired {
    /// What it came to, in words.
    pub(super) fn came(&self) -> Vec<String> {
        match (self.acts.is_empty(), self.note.as_str()) {
            (true, "") => vec!["done".to_owned()],
            (true, note) => vec![note.to_owned()],
            (false, _) => self.acts.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Why a step was not done.
#[derive(Debug)]
pub(super) enum Undone {
    /// It would go beyond the budget.
    Beyond(Beyond),
    /// It was refused, or nobody was there whom it means.
    Refused(String),
}

/// Does it.
pub(super) async fn fire(stage: &Stage, scenario: &Scenario, number: usize, beside: Vec<Act>) -> Fired {
    let step = &scenario.steps[number];
    let mut fired = Fired {
        step: number,
        unix_us: now_us(),
        acts: Vec::new(),
        picture: Picture::default(),
        note: String::new(),
        done: Ok(Vec::new()),
    };
    fired.done = match stage.chaos.picture().await {
        Ok(picture) => {
            fired.picture = picture;
            done(stage, scenario, step, &beside, &mut fired).await
        }
        Err(error) => Err(Undone::Refused(error.to_string())),
    };
    fired
}

async fn done(
    stage: &Stage,
    scenario: &Scenario,
    step: &Step,
    beside: &[Act],
    fired: &mut Fired,
) -> Result<Vec<Done>, Undone> {
    let refused = |why: &dyn std::fmt::Display| Undone::Refused(why.to_string());
    match &step.deed {
        Deed::Move { exchange, to } => {
            let nodes = to.names(&fired.picture).map_err(|nobody| refused(&nobody))?;
            let node = nodes.first().map(String::as_str);
            fired.unix_us = now_us();
            let moved = stage.operator.move_exchange(exchange.as_str(), node).await;
            match moved {
                Ok(_) => Ok(Vec::new()),
                // Whoever was asked is struck at the same time.
                Err(OperatorError::Unknown(why)) => {
                    fired.note = format!("whether it began is not known: {why}");
                    Ok(Vec::new())
                }
                Err(error) => Err(refused(&error)),
            }
        }
        Deed::Fault { fault, target } => {
            let acts = fault
                .at(target, &fired.picture)
                .map_err(|nobody| refused(&nobody))?;
            let all: Vec<Act> = beside.iter().chain(&acts).cloned().collect();
            scenario
                .budget
                .allows(&Extent::of(&all, &fired.picture))
                .map_err(Undone::Beyond)?;
            fired.acts = acts;
            let firing = Firing {
                experiment: scenario.name.clone(),
                ..Firing::lasting(step.ttl)
            };
            fired.unix_us = now_us();
            let done = stage.chaos.fire(&fired.acts, &firing).await;
            done.map_err(|error| refused(&error))
        }
    }
}

pub(super) fn now_us() -> u64 {
    crate::bench::failover::watch::Mark::now().unix_us
}
