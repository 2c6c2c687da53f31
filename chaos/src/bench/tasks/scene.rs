//! A queue with five workers, each a client with a connection of its own, and the client that submits. What does not live here:
//! the loops (`working`).

use std::sync::Arc;
use std::time::Instant;

use squall_client::{Attachment, Client, ConnectOptions, Done, SubmitOptions, Task, WorkOptions};
use squall_kernel::registry::Pattern;
use squall_kernel::tasks::Copies;
use tokio::time::{Duration, interval, timeout};

use super::ledger::{Ledger, payload};
use super::working;
use super::{EXCHANGE, Place, WORKERS};
use crate::bench::BenchError;
use crate::bench::cluster::{COOKIE, Cluster, PATIENCE, Wanted, late};

/// Tasks that a worker has in hand at most; what is beyond that with all of them waits in the queue.
pub(in crate::bench) const CREDIT: u16 = 256;
/// Time between two looks whether the backup has joined.
const LOOK: Duration = Duration::from_millis(20);

/// What is measured; it ends when it is dropped.
pub(in crate::bench) struct Scene {
    pub(in crate::bench) submitter: Submitter,
    workers: Vec<(Client, Attachment)>,
    cluster: Cluster,
}

/// A client of the node.
#[derive(Clone)]
pub(in crate::bench) struct Submitter {
    client: Client,
    ledger: Arc<Ledger>,
    /// Copies that there are of each task.
    copies: Copies,
}

impl working::Submitter for Submitter {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn submit(&self, number: u64) -> Result<(), String> {
        let copies = self.copies_of(number).await?;
        if copies == self.copies {
            Ok(())
        } else {
            Err(format!("a task was kept with a {}", copies.as_str()))
        }
    }
}

impl Submitter {
    /// Submits the task of that number; gives how often it is kept.
    async fn copies_of(&self, number: u64) -> Result<Copies, String> {
        let submitted = self
            .client
            .submit(EXCHANGE, payload(number), SubmitOptions::default());
        let submitted = submitted.await.map_err(|error| error.to_string())?;
        Ok(submitted.copies)
    }
}

impl Scene {
    pub(in crate::bench) async fn begin(place: Place) -> Result<Self, BenchError> {
        let (nodes, copies) = match place {
            Place::OneNode => (1, Copies::Single),
            Place::Backup => (2, Copies::Two),
        };
        let cluster = Cluster::start(nodes).await?;
        cluster
            .declare(&[Wanted::new(EXCHANGE, Pattern::Task, 0)])
            .await?;
        let ledger = Arc::new(Ledger::default());
        let mut workers = Vec::with_capacity(WORKERS);
        for number in 0..WORKERS {
            let client = connect(&cluster, &format!("worker-{number}")).await?;
            let options = WorkOptions {
                credit: CREDIT.into(),
                ..WorkOptions::default()
            };
            let ledger = Arc::clone(&ledger);
            let worker = move |task: Task| work(task, Arc::clone(&ledger));
            let attached = client.work(EXCHANGE, options, worker).await?;
            workers.push((client, attached));
        }
        let scene = Self {
            submitter: Submitter {
                client: connect(&cluster, "submitter").await?,
                ledger,
                copies,
            },
            workers,
            cluster,
        };
        timeout(PATIENCE, scene.settled())
            .await
            .map_err(|_| late("tasks are kept as often as they should be"))??;
        Ok(scene)
    }

    /// Waits until a task is kept in as many places as the rest will be, and is carried out.
    async fn settled(&self) -> Result<(), BenchError> {
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            let (number, settled) = self.submitter.ledger.open();
            let copies = self.submitter.copies_of(number).await;
            let copies = copies.map_err(|error| BenchError::Unsound(format!("the first task: {error}")))?;
            settled
                .await
                .map_err(|_| BenchError::Unsound("the first task took several attempts".into()))?;
            if copies == self.submitter.copies {
                return Ok(());
            }
        }
    }

    pub(in crate::bench) async fn end(self) {
        for (client, work) in self.workers {
            work.detach().await;
            client.close().await;
        }
        self.submitter.client.close().await;
        self.cluster.end().await;
    }
}

async fn connect(cluster: &Cluster, name: &str) -> Result<Client, BenchError> {
    let address = cluster.nodes()[0].introduction().mesh_addr.clone();
    let options = ConnectOptions {
        cookie: Some(COOKIE.to_vec()),
        name: name.into(),
        connect_within: PATIENCE,
        ..ConnectOptions::new([address])
    };
    Ok(Client::connect(options).await?)
}

/// Says that the task is completed, and takes note when the exchange knows it.
async fn work(task: Task, ledger: Arc<Ledger>) -> Done {
    let Some(number) = ledger.number(task.payload()) else {
        return Done::Confirm;
    };
    match task.confirm().await {
        Ok(()) => ledger.settled(number, task.attempt(), Instant::now()),
        Err(error) => ledger.tell(format!("task {number} was not settled: {error}")),
    }
    Done::Confirm
}
