//! The chaos console behind the observer: the fault client in the observer's terms. What does not live here: what an
//! order would do (`radius`) and how it is carried out (`client`).

use std::sync::Arc;

use futures::future::BoxFuture;
use squall_observer::console::{Console, ConsoleError, Known, Order, Picture, Radius};

use crate::client::{ChaosClient, ChaosError, Done, Firing};
use crate::fault::{Act, Aim, FORMS, Fault, Form, Target, Unreadable};
use crate::radius::radius;

/// Deeds that are told of one by one.
const TOLD_MAX: usize = 3;

/// Fires the observer's orders.
#[derive(Debug, Clone)]
pub struct ChaosConsole {
    client: Arc<ChaosClient>,
}

impl ChaosConsole {
    /// A console that acts through `client`.
    #[must_use]
    pub fn new(client: Arc<ChaosClient>) -> Self {
        Self { client }
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
