//! Does the steps of a scenario: finds out whom each means, whether that is within the budget, does it, and follows what it did to
//! processes until that is over. What does not live here: when (`drive`).

use std::time::Duration;

use squall_client::OperatorError;
use squall_kernel::id::NodeId;
use squall_kernel::time::{Instant, Span};
use squall_node::clock::machine_now;
use squall_observer::console::Picture;
use squall_proto::v1::{Child, ChildState};

use super::RunError;
use super::judge::{Judge, Word};
use super::stage::Stage;
use crate::client::{Done, Firing};
use crate::fault::amount::span;
use crate::fault::{Act, NodeDeed};
use crate::history::{Event, What};
use crate::limits::TTL_MAX;
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

/// What was done to a process, until it is over.
#[derive(Debug)]
struct Acting {
    id: u64,
    node: NodeId,
    name: String,
    deed: NodeDeed,
    /// Starts of the node at that time.
    starts: u64,
    /// When a paused node goes on by itself, on the machine's clock.
    thaws: Instant,
}

/// What was done to processes and is not over.
#[derive(Debug, Default)]
pub(super) struct Deeds {
    acting: Vec<Acting>,
    told: u64,
}

impl Deeds {
    /// Tells the judge of what was done to processes: no journal has it.
    pub(super) fn began(&mut self, stage: &Stage, judge: &Judge, done: &[Done], ttl: Duration) {
        for done in done {
            let Done::Process { deed, child } = done else {
                continue;
            };
            if let Some(node) = stage.ids.get(&child.name).copied() {
                self.begin(judge, node, *deed, child, span(ttl));
            }
        }
    }

    fn begin(&mut self, judge: &Judge, node: NodeId, deed: NodeDeed, child: &Child, ttl: Span) {
        let now = machine_now();
        let lasts = if deed.lasts() { ttl } else { TTL_MAX };
        if matches!(deed, NodeDeed::Resume | NodeDeed::Restart) {
            return;
        }
        self.told += 1;
        // Counted from the top: those of journals are hashes, which no count reaches.
        let id = u64::MAX - self.told;
        let text = format!("{deed} {}", child.name);
        tell(
            judge,
            now,
            node,
            What::Fault {
                id,
                text,
                ends_by: now + lasts,
            },
        );
        if deed == NodeDeed::Pause {
            tell(judge, now, node, What::Paused);
        }
        self.acting.push(Acting {
            id,
            node,
            name: child.name.clone(),
            deed,
            starts: child.starts,
            thaws: now + ttl,
        });
    }

    /// Looks which of them are over.
    pub(super) fn look(&mut self, judge: &Judge, children: &[Child]) {
        let now = machine_now();
        self.acting.retain(|acting| {
            let child = children.iter().find(|child| child.name == acting.name);
            let over = child.is_some_and(|child| acting.is_over(child));
            if over && acting.deed == NodeDeed::Pause {
                tell(judge, now.min(acting.thaws), acting.node, What::Resumed);
            }
            if over {
                tell(judge, now, acting.node, What::FaultOver { id: acting.id });
            }
            !over
        });
    }

    /// True when nothing of it is left.
    pub(super) fn are_over(&self) -> bool {
        self.acting.is_empty()
    }
}

impl Acting {
    fn is_over(&self, child: &Child) -> bool {
        let runs = child.state() == ChildState::Running;
        match self.deed {
            NodeDeed::Pause => child.state() != ChildState::Paused,
            _ => runs && child.starts > self.starts,
        }
    }
}

/// Something that no journal has.
pub(super) fn tell(judge: &Judge, at: Instant, node: NodeId, what: What) {
    judge.tell(Word::Event(Event { at, node, what }));
}

/// The processes of the nodes, for the judge and for what acts on them.
pub(super) async fn look(stage: &Stage, judge: &Judge, deeds: &mut Deeds) -> Result<Vec<Child>, RunError> {
    let processes = stage.processes().await;
    for (path, over) in processes.journals {
        judge.tell(Word::Journal(path, over));
    }
    deeds.look(judge, &processes.children);
    Ok(processes.children)
}
