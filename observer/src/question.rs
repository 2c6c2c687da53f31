//! What is asked before something is done that no key takes back: to run a scenario, to end the run, to let faults act again after a
//! halt. What does not live here: keys ([`crate::update`]), drawing ([`crate::view`]), and single faults ([`crate::dialog`]).

use crate::console::{Board, Run, Scenario};
use crate::dialog::Stage;

/// What is asked about, as it was when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// To run a scenario.
    Run(Scenario),
    /// To end the run of the scenario of this name.
    Stop(String),
    /// To let new faults act again, for a reason that is typed.
    Unlock,
}

/// What the console is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Run a scenario.
    Run,
    /// End the run.
    Stop,
    /// Let new faults act again.
    Unlock,
}

impl Wish {
    /// Title of the box that is about it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Run => "Run",
            Self::Stop => "Stop",
            Self::Unlock => "Unlock",
        }
    }
}

/// The question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub about: About,
    /// How far it has come; never [`Stage::Form`] or [`Stage::Writing`], which are the chaos dialog's.
    pub stage: Stage,
    /// The first line that shows.
    pub first: usize,
    /// Enter was pressed where nothing was typed yet.
    pub wanting: bool,
}

impl Question {
    /// The question, from its beginning.
    #[must_use]
    pub fn new(about: About) -> Self {
        Self {
            stage: match about {
                About::Run(_) | About::Stop(_) => Stage::Confirm,
                About::Unlock => Stage::Typing(String::new()),
            },
            about,
            first: 0,
            wanting: false,
        }
    }

    /// What the console would be asked to do.
    #[must_use]
    pub const fn wish(&self) -> Wish {
        match self.about {
            About::Run(_) => Wish::Run,
            About::Stop(_) => Wish::Stop,
            About::Unlock => Wish::Unlock,
        }
    }

    /// Why it may not be done any more: the board is not what it was.
    #[must_use]
    pub fn changed(&self, board: Option<&Board>) -> Option<String> {
        let board = board?;
        let running = running(board);
        match (&self.about, running) {
            (About::Run(_), Some(run)) => Some(format!("{} runs now. Nothing was done.", run.scenario)),
            (About::Run(asked), None) if !board.scenarios.contains(asked) => Some(format!(
                "{} is not what it was when this opened. Nothing was done.",
                asked.name
            )),
            (About::Stop(asked), _) if running.is_none_or(|run| run.scenario != *asked) => {
                Some(format!("{asked} does not run any more. Nothing was done."))
            }
            _ => None,
        }
    }
}

/// The run that goes on.
#[must_use]
pub fn running(board: &Board) -> Option<&Run> {
    board.run.as_ref().filter(|run| run.ended.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(name: &str) -> Scenario {
        Scenario {
            name: name.to_owned(),
            teaches: String::new(),
            steps: Vec::new(),
        }
    }

    fn board(run: Option<(&str, Option<&str>)>) -> Board {
        let run = run.map(|(name, ended)| Run {
            scenario: name.to_owned(),
            ended: ended.map(str::to_owned),
            lines: Vec::new(),
            report: None,
        });
        Board {
            scenarios: vec![scenario("bridge")],
            run,
            ..Board::default()
        }
    }

    #[test]
    fn what_changed_meanwhile_is_refused() {
        let run = Question::new(About::Run(scenario("bridge")));
        let gone = Question::new(About::Run(scenario("ring")));
        let stop = Question::new(About::Stop("bridge".to_owned()));
        let unlock = Question::new(About::Unlock);
        let table = [
            (&run, None, false),
            (&run, Some(("ring", Some("passed"))), false),
            (&run, Some(("ring", None)), true),
            (&gone, None, true),
            (&stop, Some(("bridge", None)), false),
            (&stop, Some(("bridge", Some("passed"))), true),
            (&stop, Some(("ring", None)), true),
            (&stop, None, true),
            (&unlock, Some(("ring", None)), false),
        ];
        for (question, run, refused) in table {
            let changed = question.changed(Some(&board(run)));
            assert_eq!(changed.is_some(), refused, "{question:?} {run:?}: {changed:?}");
        }
    }
}
