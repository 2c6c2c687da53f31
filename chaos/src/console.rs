//! The chaos console behind the observer: the fault client in the observer's terms. What does not live here: what an
//! order would do (`radius`) and how it is carried out (`client`).

use std::sync::Arc;

use futures::future::BoxFuture;
use squall_observer::console::{Board, Console, ConsoleError, Known, Order, Picture, Radius, Scenario};
use tokio::sync::watch;

use crate::client::{ChaosClient, ChaosError, Done, Firing};
use crate::fault::{Act, Aim, FORMS, Fault, Form, Target, Unreadable};
use crate::radius::radius;
use crate::scenario::{self, library};

/// Deeds that are told of one by one.
const TOLD_MAX: usize = 3;

/// Fires the observer's orders.
#[derive(Debug, Clone)]
pub struct ChaosConsole {
    client: Arc<ChaosClient>,
    board: watch::Sender<Arc<Board>>,
}

impl ChaosConsole {
    /// A console that acts through `client`.
    #[must_use]
    pub fn new(client: Arc<ChaosClient>) -> Self {
        let board = Board {
            scenarios: shipped(),
            ..Board::default()
        };
        let (board, _) = watch::channel(Arc::new(board));
        Self { client, board }
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
        self.board.subscribe()
    }

    fn run(&self, _scenario: String) -> BoxFuture<'static, Result<String, ConsoleError>> {
        Box::pin(async { Err(ConsoleError::Refused("not built yet".into())) })
    }

    fn stop(&self) -> BoxFuture<'static, Result<String, ConsoleError>> {
        Box::pin(async { Err(ConsoleError::Refused("nothing runs".into())) })
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
