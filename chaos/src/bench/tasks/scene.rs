//! A queue with five workers, each a client with a connection of its own, and the client that submits. What does not live here:
//! the loops (`working`).

use std::sync::Arc;
use std::time::Instant;

use squall_client::{Attachment, Client, ConnectOptions, Done, SubmitOptions, Task, WorkOptions};
use squall_kernel::registry::Pattern;
use squall_kernel::tasks::Copies;
use tokio::time::{Duration, interval, timeout};

use super::ledger::Ledger;
use super::working::Submitter;
use super::{EXCHANGE, Place, WORKERS};
use crate::bench::BenchError;
use crate::bench::cluster::{COOKIE, Cluster, PATIENCE, Wanted, late};

/// Tasks that a worker has in hand at most: with all workers more than a closed loop ever has in flight.
const CREDIT: u32 = 256;
/// Time between two looks whether the backup has joined.
const LOOK: Duration = Duration::from_millis(20);

/// What is measured; it ends when it is dropped.
pub(super) struct Scene {
    pub(super) submitter: Submitter,
    workers: Vec<(Client, Attachment)>,
    cluster: Cluster,
}

impl Scene {
    pub(super) async fn begin(place: Place) -> Result<Self, BenchError> {
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
                credit: CREDIT,
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
        let Submitter {
            client,
            ledger,
            copies,
        } = &self.submitter;
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            let (number, settled) = ledger.open();
            let submitted = client
                .submit(EXCHANGE, payload(number), SubmitOptions::default())
                .await;
            let submitted =
                submitted.map_err(|error| BenchError::Unsound(format!("the first task: {error}")))?;
            settled
                .await
                .map_err(|_| BenchError::Unsound("the first task took several attempts".into()))?;
            if submitted.copies == *copies {
                return Ok(());
            }
        }
    }

    pub(super) async fn end(self) {
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

pub(super) fn payload(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

/// Says that the task is completed, and takes note when the exchange knows it.
async fn work(task: Task, ledger: Arc<Ledger>) -> Done {
    let Ok(number) = task.payload().as_ref().try_into().map(u64::from_le_bytes) else {
        ledger.tell("a task is not what was submitted".into());
        return Done::Confirm;
    };
    match task.confirm().await {
        Ok(()) => ledger.settled(number, task.attempt(), Instant::now()),
        Err(error) => ledger.tell(format!("task {number} was not settled: {error}")),
    }
    Done::Confirm
}
