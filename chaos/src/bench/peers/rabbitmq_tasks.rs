//! A queue of tasks of RabbitMQ, in Rust: the server confirms what was submitted, five workers, each with a connection of its own,
//! acknowledge what they have carried out. Nothing is kept on the disk, as with the others. What does not live here: the loops that
//! submit (`tasks::working`), and the server (`servers`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, Consumer};
use tokio::task::JoinSet;

use super::rabbitmq::{connection, goodbye, unsound};
use crate::bench::BenchError;
use crate::bench::tasks::WORKERS;
use crate::bench::tasks::ledger::{Ledger, payload};
use crate::bench::tasks::scene::CREDIT;
use crate::bench::tasks::working;

const QUEUE: &str = "bench-tasks";

/// The workers, and whoever submits. They end when it is dropped.
pub(super) struct Queue {
    pub(super) submitter: Submitter,
    /// Each reads until its connection ends.
    workers: JoinSet<()>,
    /// Of the workers and of whoever submits.
    connections: Vec<Connection>,
}

/// Whoever submits; a copy does through the same channel.
#[derive(Clone)]
pub(super) struct Submitter {
    channel: Channel,
    ledger: Arc<Ledger>,
}

impl Queue {
    pub(super) async fn begin(server: SocketAddr) -> Result<Self, BenchError> {
        let ledger = Arc::new(Ledger::default());
        let (mut workers, mut connections) = (JoinSet::new(), Vec::new());
        for _ in 0..WORKERS {
            let (connection, channel) = channel(server).await?;
            let tasks = consume(&channel).await.map_err(|error| unsound(&error))?;
            workers.spawn(work(tasks, Arc::clone(&ledger)));
            connections.push(connection);
        }
        let (connection, channel) = channel(server).await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        confirms.await.map_err(|error| unsound(&error))?;
        connections.push(connection);
        Ok(Self {
            submitter: Submitter { channel, ledger },
            workers,
            connections,
        })
    }

    /// Before the server ends, which would be an error to its clients.
    pub(super) async fn end(self) {
        for connection in &self.connections {
            goodbye(connection).await;
        }
        drop(self.workers);
    }
}

impl working::Submitter for Submitter {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn submit(&self, number: u64) -> Result<(), String> {
        match self.confirmed(number).await {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(other) => Err(format!("a task was not kept: {other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Submitter {
    async fn confirmed(&self, number: u64) -> lapin::Result<Confirmation> {
        // What no queue would take comes back.
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let task = payload(number);
        let sent = self.channel.basic_publish(
            "".into(),
            QUEUE.into(),
            options,
            &task,
            BasicProperties::default(),
        );
        sent.await?.await
    }
}

async fn channel(server: SocketAddr) -> Result<(Connection, Channel), BenchError> {
    let connection = connection(server).await?;
    let channel = connection.create_channel().await;
    Ok((connection, channel.map_err(|error| unsound(&error))?))
}

async fn consume(channel: &Channel) -> lapin::Result<Consumer> {
    channel.basic_qos(CREDIT, BasicQosOptions::default()).await?;
    let options = QueueDeclareOptions {
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(QUEUE.into(), options, FieldTable::default())
        .await?;
    let options = BasicConsumeOptions::default();
    channel
        .basic_consume(QUEUE.into(), "".into(), options, FieldTable::default())
        .await
}

/// Carries out as many tasks at a time as the worker may have in hand.
async fn work(tasks: Consumer, ledger: Arc<Ledger>) {
    let each = tasks.for_each_concurrent(usize::from(CREDIT), |task| async {
        match task {
            Ok(task) => settle(&task, &ledger).await,
            Err(error) => ledger.tell(error.to_string()),
        }
    });
    each.await;
}

/// The server says nothing to an acknowledgement: settled is what it was written for.
async fn settle(task: &Delivery, ledger: &Ledger) {
    let Some(number) = ledger.number(&task.data) else {
        return;
    };
    // More than that the server does not tell.
    let attempt = if task.redelivered { 2 } else { 1 };
    match task.acker.ack(BasicAckOptions::default()).await {
        Ok(true) => ledger.settled(number, attempt, Instant::now()),
        Ok(false) => ledger.tell(format!("task {number} could not be acknowledged")),
        Err(error) => ledger.tell(format!("task {number} was not acknowledged: {error}")),
    }
}
