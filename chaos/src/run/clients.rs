//! The clients of a run: some at each node, with handlers of every exchange, and one that asks. They go elsewhere when their
//! node is gone, and come back to work by themselves. What does not live here: what is asked (`work`).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use squall_client::{AttachOptions, Attachment, Client, ConnectOptions, Declaration, RequestOptions};
use tokio::time::{Instant, sleep};

use super::RunError;
use super::ledger::{Echo, Ledger, written};
use super::stage::Stage;
use crate::layout::Place;
use crate::scenario::{ExchangePlan, Scenario};

/// What a cluster that is whole does at once.
const PROMPTLY: Duration = Duration::from_secs(30);
/// A handler waits this long for its exchange to be available again: it outlives any failure that is provoked.
const ATTACH_WAIT: Duration = Duration::from_secs(3600);
/// Between two requests while handlers are on their way.
const NOBODY_YET: Duration = Duration::from_millis(5);

/// Clients, and what their handlers see.
pub(super) struct Clients {
    pub(super) requesters: Vec<Client>,
    pub(super) ledgers: BTreeMap<String, Arc<Ledger>>,
    services: Vec<(Client, Vec<Attachment>)>,
}

impl Clients {
    /// Declares the exchanges, attaches all handlers, and waits until each has answered.
    pub(super) async fn enter(stage: &Stage, scenario: &Scenario) -> Result<Self, RunError> {
        let mut clients = Self {
            requesters: Vec::new(),
            ledgers: BTreeMap::new(),
            services: Vec::new(),
        };
        for place in stage.places() {
            clients.requesters.push(connect(stage, place).await?);
        }
        for plan in &scenario.exchanges {
            let declaration = Declaration::new(plan.name.clone(), plan.strategy);
            clients.requesters[0].declare(declaration, PROMPTLY).await?;
            clients
                .ledgers
                .insert(plan.name.to_string(), Arc::new(Ledger::default()));
        }
        for place in stage.places() {
            let service = clients.serve(stage, place, scenario).await?;
            clients.services.push(service);
        }
        for plan in &scenario.exchanges {
            clients.ready(plan, stage.places().len()).await?;
        }
        Ok(clients)
    }

    async fn serve(
        &self,
        stage: &Stage,
        place: &Place,
        scenario: &Scenario,
    ) -> Result<(Client, Vec<Attachment>), RunError> {
        let client = connect(stage, place).await?;
        let mut attachments = Vec::new();
        for plan in &scenario.exchanges {
            let ledger = &self.ledgers[plan.name.as_str()];
            for _ in 0..plan.handlers {
                let options = AttachOptions {
                    wait: ATTACH_WAIT,
                    ..AttachOptions::default()
                };
                let attached = client
                    .attach(plan.name.as_str(), options, Echo::new(ledger, plan.takes))
                    .await;
                attachments.push(attached?);
            }
        }
        Ok((client, attachments))
    }

    /// An attachment stands when its node has it; the owner has it a moment later.
    async fn ready(&self, plan: &ExchangePlan, nodes: usize) -> Result<(), RunError> {
        let answering = if plan.answers_in_turn() {
            nodes * plan.handlers as usize
        } else {
            1
        };
        let give_up = Instant::now() + PROMPTLY;
        let mut answered = HashSet::new();
        let options = RequestOptions {
            key: plan.key(0),
            ..RequestOptions::default()
        };
        while answered.len() < answering {
            let reply = self.requesters[0]
                .request(plan.name.as_str(), written(u64::MAX), options.clone())
                .await;
            match reply {
                Ok(reply) => drop(answered.insert(reply.from)),
                Err(error) if Instant::now() > give_up => {
                    let what = format!(
                        "{} of {answering} handlers of {} answer: {error}",
                        answered.len(),
                        plan.name
                    );
                    return Err(RunError::Late {
                        what,
                        seconds: PROMPTLY.as_secs(),
                    });
                }
                Err(_) => sleep(NOBODY_YET).await,
            }
        }
        Ok(())
    }

    /// Detaches and closes all; those whose node is gone for good are not waited for. What was made in a cluster of others is
    /// removed again.
    pub(super) async fn leave(self, stage: &Stage) {
        let leaving = async {
            if stage.is_anothers() {
                for exchange in self.ledgers.keys() {
                    // One that stays is seen, and is there for the next run.
                    drop(self.requesters[0].delete(exchange, PROMPTLY).await);
                }
            }
            for (client, attachments) in self.services {
                for attachment in attachments {
                    attachment.detach().await;
                }
                client.close().await;
            }
            for client in self.requesters {
                client.close().await;
            }
        };
        drop(tokio::time::timeout(PROMPTLY, leaving).await);
    }
}

/// A client of that node while it is there, of the next one otherwise.
async fn connect(stage: &Stage, place: &Place) -> Result<Client, RunError> {
    let places = stage.places();
    let first = places.iter().position(|other| other == place).unwrap_or_default();
    let addresses = places.iter().cycle().skip(first).take(places.len());
    let client = Client::connect(ConnectOptions {
        cookie: stage.cookie.clone(),
        name: "scenario".into(),
        connect_within: PROMPTLY,
        dial_within: Duration::from_millis(300),
        ..ConnectOptions::new(addresses.map(|place| place.mesh.to_string()))
    });
    Ok(client.await?)
}
