//! The clients of a run: some at each node, with handlers of every exchange, and one that asks. They go elsewhere when their
//! node is gone, and come back to work by themselves. What does not live here: what is asked (`work`).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use squall_client::{
    AttachOptions, Attachment, Client, Confirm, ConnectOptions, Declaration, Done, PublishError,
    PublishOptions, RequestError, RequestOptions, SubmitOptions, SubscribeOptions, Subscription, Task,
    WorkOptions,
};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::Pattern;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::RunError;
use super::ledger::{Echo, Ledger, Seen, written};
use super::stage::Stage;
use crate::layout::Place;
use crate::scenario::{ExchangePlan, Scenario};

/// What a cluster that is whole does at once.
const PROMPTLY: Duration = Duration::from_secs(30);
/// A handler waits this long for its exchange to be available again: it outlives any failure that is provoked.
const ATTACH_WAIT: Duration = Duration::from_secs(3600);
/// Tasks that a worker has in hand at once.
const TASKS_IN_HAND: u32 = 16;
/// Keys of what is published.
const TOPICS: u64 = 16;
/// Between two requests while handlers are on their way.
const NOBODY_YET: Duration = Duration::from_millis(5);

/// Clients, and what their handlers see.
pub(super) struct Clients {
    pub(super) requesters: Vec<Client>,
    pub(super) ledgers: BTreeMap<String, Arc<Ledger>>,
    services: Vec<Service>,
}

/// A client at a node, and who works there.
struct Service {
    client: Client,
    attachments: Vec<Attachment>,
    /// Those who read what is published.
    readers: Vec<JoinHandle<()>>,
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
            let declaration = Declaration {
                pattern: plan.pattern,
                ..Declaration::new(plan.name.clone(), plan.strategy)
            };
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

    async fn serve(&self, stage: &Stage, place: &Place, scenario: &Scenario) -> Result<Service, RunError> {
        let mut service = Service {
            client: connect(stage, place).await?,
            attachments: Vec::new(),
            readers: Vec::new(),
        };
        for plan in &scenario.exchanges {
            for _ in 0..plan.handlers {
                service.enter(plan, &self.ledgers[plan.name.as_str()]).await?;
            }
        }
        Ok(service)
    }

    /// An attachment stands when its node has it; the owner has it a moment later.
    async fn ready(&self, plan: &ExchangePlan, nodes: usize) -> Result<(), RunError> {
        if plan.pattern != Pattern::RequestResponse {
            return self.taken(plan, nodes).await;
        }
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

    /// A publish reaches subscribers at every node; a task is kept.
    async fn taken(&self, plan: &ExchangePlan, nodes: usize) -> Result<(), RunError> {
        let give_up = Instant::now() + PROMPTLY;
        loop {
            let why = match ask(&self.requesters[0], plan, u64::MAX, PROMPTLY).await {
                Ok(Asked { nodes: reached, .. })
                    if reached.is_none_or(|reached| reached as usize == nodes) =>
                {
                    return Ok(());
                }
                Ok(asked) => format!(
                    "{} of {nodes} nodes have subscribers",
                    asked.nodes.unwrap_or_default()
                ),
                Err(error) => error.to_string(),
            };
            if Instant::now() > give_up {
                return Err(RunError::Late {
                    what: format!("{} takes something: {why}", plan.name),
                    seconds: PROMPTLY.as_secs(),
                });
            }
            sleep(NOBODY_YET).await;
        }
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
            for service in self.services {
                service.leave().await;
            }
            for client in self.requesters {
                client.close().await;
            }
        };
        drop(tokio::time::timeout(PROMPTLY, leaving).await);
    }
}

impl Service {
    /// Somebody more who takes what comes by that exchange.
    async fn enter(&mut self, plan: &ExchangePlan, ledger: &Arc<Ledger>) -> Result<(), RunError> {
        let name = plan.name.as_str();
        match plan.pattern {
            Pattern::PublishSubscribe | Pattern::InvertedPublishSubscribe => {
                let options = SubscribeOptions {
                    wait: ATTACH_WAIT,
                    ..SubscribeOptions::default()
                };
                let subscribed = self.client.subscribe(name, ["#"], options).await?;
                self.readers
                    .push(tokio::spawn(read(subscribed, Arc::clone(ledger))));
            }
            Pattern::Task => {
                let options = WorkOptions {
                    credit: TASKS_IN_HAND,
                    wait: ATTACH_WAIT,
                    ..WorkOptions::default()
                };
                let (ledger, takes) = (Arc::clone(ledger), plan.takes);
                let work = move |task: Task| {
                    let ledger = Arc::clone(&ledger);
                    async move {
                        ledger.worked(task.payload());
                        sleep(takes).await;
                        Done::Confirm
                    }
                };
                self.attachments
                    .push(self.client.work(name, options, work).await?);
            }
            Pattern::RequestResponse => {
                let options = AttachOptions {
                    wait: ATTACH_WAIT,
                    ..AttachOptions::default()
                };
                let echo = Echo::new(ledger, plan.takes);
                self.attachments
                    .push(self.client.attach(name, options, echo).await?);
            }
        }
        Ok(())
    }

    async fn leave(self) {
        for attachment in self.attachments {
            attachment.detach().await;
        }
        for reader in self.readers {
            reader.abort();
        }
        self.client.close().await;
    }
}

/// Notes whatever is published, for one subscriber.
async fn read(mut subscribed: Subscription, ledger: Arc<Ledger>) {
    let mut seen = Seen::default();
    while let Some(event) = subscribed.next().await {
        ledger.heard(&mut seen, &event.payload);
    }
}

/// What came of one.
pub(super) struct Asked {
    /// It was answered with what was sent, where it is answered with anything.
    pub(super) right: bool,
    /// Nodes with subscribers that have it, of a publish.
    pub(super) nodes: Option<u32>,
}

/// Asks, publishes or submits, by what the exchange is for.
pub(super) async fn ask(
    client: &Client,
    plan: &ExchangePlan,
    number: u64,
    timeout: Duration,
) -> Result<Asked, RequestError> {
    let (name, payload) = (plan.name.as_str(), written(number));
    match plan.pattern {
        Pattern::RequestResponse => {
            let options = RequestOptions {
                timeout,
                key: plan.key(number),
                ..RequestOptions::default()
            };
            let reply = client.request(name, payload.clone(), options).await?;
            Ok(Asked {
                right: reply.payload[..] == payload[..],
                nodes: None,
            })
        }
        Pattern::PublishSubscribe | Pattern::InvertedPublishSubscribe => {
            let options = PublishOptions {
                confirm: Confirm::Received,
                message_id: Bytes::copy_from_slice(&number.to_be_bytes()),
                timeout,
                ..PublishOptions::default()
            };
            let key = format!("news.{}", number % TOPICS);
            let receipt = client.publish(name, &key, payload, options).await;
            let receipt = receipt.map_err(|error| match error {
                PublishError::Degraded => RequestError::Unavailable(NoReply::Degraded),
                PublishError::Partly { why, .. } | PublishError::Failed(why) => why,
                PublishError::Key(why) => RequestError::Failed(why.to_string()),
            })?;
            Ok(Asked {
                right: true,
                nodes: Some(receipt.nodes),
            })
        }
        Pattern::Task => {
            let options = SubmitOptions {
                timeout,
                ..SubmitOptions::default()
            };
            client.submit(name, payload, options).await?;
            Ok(Asked {
                right: true,
                nodes: None,
            })
        }
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
