//! The chaos console behind the observer: the fault client, the judge and scenarios in the observer's terms. What does not live
//! here: what an order would do (`radius`) and how it is carried out (`client`).

use std::sync::Arc;

use futures::future::BoxFuture;
use squall_observer::console::{Board, Console, ConsoleError, Known, Order, Picture, Radius, Scenario};
use tokio::sync::watch;

use crate::client::{ChaosClient, ChaosError, Done, Firing};
use crate::fault::{Act, Aim, FORMS, Fault, Form, Target, Unreadable};
use crate::radius::radius;
use crate::scenario::{self, library};

mod bar;
mod runs;

use runs::Runs;

/// Deeds that are told of one by one.
const TOLD_MAX: usize = 3;

/// Fires the observer's orders.
#[derive(Debug)]
pub struct ChaosConsole {
    client: Arc<ChaosClient>,
    board: watch::Sender<Arc<Board>>,
    runs: Runs,
}

impl ChaosConsole {
    /// A console that acts through `client`. Scenarios enter the cluster with that cookie; without one with the one beside its
    /// supervisor's socket.
    #[must_use]
    pub fn new(client: Arc<ChaosClient>, cookie: Option<Vec<u8>>) -> Self {
        let board = Board {
            scenarios: shipped(),
            ..Board::default()
        };
        let (board, _) = watch::channel(Arc::new(board));
        Self {
            runs: Runs::new(Arc::clone(&client), cookie, board.clone()),
            client,
            board,
        }
    }

    /// Ends the run that goes on, and waits until nothing of it is left.
    pub async fn finish(&self) {
        self.runs.finish().await;
    }
}

impl Console for ChaosConsole {
    fn known(&self) -> Vec<Known> {
        let known = |form: &Form| Known {
            form: form.form,
            example: form.example,
            on_links: form.aim == Aim::Links,
            does: form.does,
        };
        FORMS.iter().map(known).collect()
    }

    fn preview(&self, order: &Order, picture: &Picture) -> Radius {
        match acts(order, picture) {
            Ok(acts) => radius(&acts, order.ttl, picture),
            Err(why) => Radius {
                lines: vec![why],
                impossible: true,
                ..Radius::default()
            },
        }
    }

    fn fire(&self, order: Order, picture: Picture) -> BoxFuture<'static, Result<String, ConsoleError>> {
        let client = Arc::clone(&self.client);
        Box::pin(async move {
            let acts = acts(&order, &picture).map_err(ConsoleError::Refused)?;
            let firing = Firing {
                ttl: order.ttl,
                expect_os_pid: order.expect_os_pid,
                ..Firing::default()
            };
            let done = client.fire(&acts, &firing).await;
            done.map(|done| told(&done)).map_err(|error| refused(&error))
        })
    }

    fn halt(&self) -> BoxFuture<'static, Result<String, ConsoleError>> {
        let client = Arc::clone(&self.client);
        Box::pin(async move {
            client
                .halt_and_lock("from the observer")
                .await
                .map(|halted| halted.to_string())
                .map_err(|error| refused(&error))
        })
    }

    fn unlock(&self, reason: String) -> BoxFuture<'static, Result<String, ConsoleError>> {
        let client = Arc::clone(&self.client);
        Box::pin(async move {
            let unlocked = client.unlock(&reason).await.map_err(|error| refused(&error))?;
            Ok(match unlocked.as_slice() {
                [] => "no node was locked".to_owned(),
                nodes => format!("{} take new faults again", nodes.join(", ")),
            })
        })
    }

    fn board(&self) -> watch::Receiver<Arc<Board>> {
        let first = self.board.receiver_count() == 0;
        let looks = self.board.subscribe();
        if first {
            tokio::spawn(bar::keep(Arc::clone(&self.client), self.board.clone()));
        }
        looks
    }

    fn run(&self, scenario: String) -> BoxFuture<'static, Result<String, ConsoleError>> {
        let begun = self.runs.begin(&scenario);
        Box::pin(async { begun })
    }

    fn stop(&self) -> BoxFuture<'static, Result<String, ConsoleError>> {
        let stopped = self.runs.stop();
        Box::pin(async { stopped })
    }
}

/// The scenarios that ship.
fn shipped() -> Vec<Scenario> {
    let read = |shipped: &library::Shipped| {
        let read = scenario::read(shipped.name, shipped.text).expect("tests read them all");
        Scenario {
            name: shipped.name.to_owned(),
            teaches: read.teaches,
            steps: read
                .steps
                .iter()
                .map(|step| format!("{:.1?}  {} for {:.1?}", step.at, step.deed, step.ttl))
                .collect(),
        }
    };
    library::SHIPPED.iter().map(read).collect()
}

/// What the order comes to now.
fn acts(order: &Order, picture: &Picture) -> Result<Vec<Act>, String> {
    let fault: Fault = order
        .fault
        .parse()
        .map_err(|wrong: Unreadable| wrong.to_string())?;
    let target = Target::parse(&order.target, fault.aim()).map_err(|wrong| wrong.to_string())?;
    fault.at(&target, picture).map_err(|nobody| nobody.to_string())
}

/// What was done, in a line.
fn told(done: &[Done]) -> String {
    let told: Vec<String> = done.iter().take(TOLD_MAX).map(ToString::to_string).collect();
    match done.len().saturating_sub(TOLD_MAX) {
        0 => told.join("; "),
        more => format!("{}; and {more} more", told.join("; ")),
    }
}

fn refused(error: &ChaosError) -> ConsoleError {
    let text = error.to_string();
    match error {
        ChaosError::Unavailable { .. } => ConsoleError::Unreachable(text),
        _ => ConsoleError::Refused(text),
    }
}
