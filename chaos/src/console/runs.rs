//! Runs of scenarios from the observer: one at a time, on the cluster that is watched. What does not live here: running
//! (`crate::run`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_observer::console::{Board, ConsoleError, Run};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::client::ChaosClient;
use crate::run::{On, Progress, RunOptions, report_dir, run, save, summary};
use crate::scenario::{self, library};

/// Lines of a run that are kept: the newest.
const LINES_MAX: usize = 200;

/// A run that goes on.
#[derive(Debug)]
struct Going {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// The runs of a console.
#[derive(Debug)]
pub(super) struct Runs {
    client: Arc<ChaosClient>,
    cookie: Option<Vec<u8>>,
    board: watch::Sender<Arc<Board>>,
    going: Mutex<Option<Going>>,
}

impl Runs {
    pub(super) fn new(
        client: Arc<ChaosClient>,
        cookie: Option<Vec<u8>>,
        board: watch::Sender<Arc<Board>>,
    ) -> Self {
        Self {
            client,
            cookie,
            board,
            going: Mutex::default(),
        }
    }

    /// Begins one.
    pub(super) fn begin(&self, name: &str) -> Result<String, ConsoleError> {
        let refused = |why: String| Err(ConsoleError::Refused(why));
        let Some(shipped) = library::find(name) else {
            return refused(format!("there is no scenario '{name}'"));
        };
        let scenario = match scenario::read(shipped.name, shipped.text) {
            Ok(scenario) => scenario.beside_others(),
            Err(error) => return refused(error.to_string()),
        };
        let mut going = self.going();
        if going.as_ref().is_some_and(|going| !going.task.is_finished()) {
            return refused("a scenario runs already: stop it first".to_owned());
        }
        let options = RunOptions {
            on: On::Running {
                chaos: Arc::clone(&self.client),
                cookie: self.cookie.clone(),
            },
            scenario,
            text: shipped.text.to_owned(),
            profile: None,
            untimed: false,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        // The sender goes when the console does.
        let stopped = async { drop(stopped.await) };
        self.board.send_modify(|board| {
            Arc::make_mut(board).run = Some(Run {
                scenario: name.to_owned(),
                ended: None,
                lines: Vec::new(),
                report: None,
            });
        });
        let task = tokio::spawn(go(options, stopped, self.board.clone()));
        *going = Some(Going {
            stop: Some(stop),
            task,
        });
        Ok(format!("{name} runs"))
    }

    /// Ends the one that goes on.
    pub(super) fn stop(&self) -> Result<String, ConsoleError> {
        let mut going = self.going();
        let running = going.as_mut().filter(|going| !going.task.is_finished());
        match running.and_then(|going| going.stop.take()) {
            Some(stop) => {
                // One that has just ended needs no word.
                let _gone = stop.send(());
                Ok("the scenario is being stopped, its faults undone".to_owned())
            }
            None => Err(ConsoleError::Refused("no scenario runs".to_owned())),
        }
    }

    /// Ends the one that goes on, and waits until nothing of it is left.
    pub(super) async fn finish(&self) {
        let going = self.going().take();
        if let Some(Going { stop, task }) = going {
            drop(stop);
            drop(task.await);
        }
    }

    fn going(&self) -> MutexGuard<'_, Option<Going>> {
        self.going.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn go(options: RunOptions, stop: impl Future<Output = ()>, board: watch::Sender<Arc<Board>>) {
    let ran = run(&options, stop, |progress| say(&board, [in_a_line(progress)])).await;
    match ran {
        Ok(report) => {
            let dir = report_dir(&options.scenario.name);
            let saved = save(&dir, &report);
            say(&board, summary(&report).lines().map(ToOwned::to_owned));
            end(&board, report.ended.as_str(), |run| match saved {
                Ok(page) => run.report = Some(page.display().to_string()),
                Err((path, error)) => run.lines.push(format!("no report: {}: {error}", path.display())),
            });
        }
        Err(error) => end(&board, "unknown", |run| run.lines.push(error.to_string())),
    }
}

fn in_a_line(progress: Progress) -> String {
    match progress {
        Progress::Stage(what) => format!("-- {what}"),
        Progress::Step { at, text } | Progress::Figures { at, text } => {
            format!("{:>6.1} s  {text}", at.as_secs_f64())
        }
        Progress::Breach(text) => text,
    }
}

fn say(board: &watch::Sender<Arc<Board>>, lines: impl IntoIterator<Item = String>) {
    change(board, |run| run.lines.extend(lines));
}

fn end(board: &watch::Sender<Arc<Board>>, how: &str, and: impl FnOnce(&mut Run)) {
    change(board, |run| {
        run.ended = Some(how.to_owned());
        and(run);
    });
}

fn change(board: &watch::Sender<Arc<Board>>, how: impl FnOnce(&mut Run)) {
    board.send_modify(|board| {
        if let Some(run) = &mut Arc::make_mut(board).run {
            how(run);
            let beyond = run.lines.len().saturating_sub(LINES_MAX);
            run.lines.drain(..beyond);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> Runs {
        let client = Arc::new(ChaosClient::new(vec!["127.0.0.1:1".into()], "test".into()));
        Runs::new(client, None, watch::channel(Arc::new(Board::default())).0)
    }

    #[tokio::test]
    async fn a_run_without_a_cluster_ends_and_says_why() {
        let runs = runs();
        assert_eq!(runs.begin("kill-owner").unwrap(), "kill-owner runs");
        runs.finish().await;
        let board = runs.board.borrow().clone();
        let run = board.run.as_ref().expect("it was begun");
        assert_eq!(
            (run.scenario.as_str(), run.ended.as_deref()),
            ("kill-owner", Some("unknown"))
        );
        let said = run.lines.join("\n");
        assert!(said.contains("127.0.0.1:1"), "{said}");
        assert_eq!(runs.stop().unwrap_err().to_string(), "no scenario runs");
    }

    #[tokio::test]
    async fn what_does_not_ship_is_not_run_and_one_runs_at_a_time() {
        let runs = runs();
        assert_eq!(
            runs.begin("../x").unwrap_err().to_string(),
            "there is no scenario '../x'"
        );
        runs.begin("bridge").unwrap();
        let second = runs.begin("bridge").unwrap_err().to_string();
        assert_eq!(second, "a scenario runs already: stop it first");
        runs.finish().await;
    }

    #[test]
    fn of_a_long_run_the_newest_lines_are_kept() {
        let runs = runs();
        runs.board.send_modify(|board| {
            Arc::make_mut(board).run = Some(Run {
                scenario: "bridge".into(),
                ended: None,
                lines: Vec::new(),
                report: None,
            });
        });
        say(&runs.board, (0..LINES_MAX + 5).map(|line| line.to_string()));
        let board = runs.board.borrow().clone();
        let lines = &board.run.as_ref().expect("a run").lines;
        assert_eq!((lines.len(), lines[0].as_str()), (LINES_MAX, "5"));
    }
}
