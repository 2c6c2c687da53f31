//! A requester and responders of RabbitMQ in Rust: requests go through a queue, replies by direct reply-to. Nothing is acknowledged
//! and nothing is kept on the disk, as with the others. What does not live here: the server (`servers`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use futures::future::select_all;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::bench::req_resp::HANDLERS;
use crate::bench::req_resp::asker::{Asker, NOT_ITS_OWN, payload};
use crate::bench::req_resp::host::PATIENCE;
use crate::bench::{BenchError, role};

const QUEUE: &str = "bench";
/// Code of an end without an error, in AMQP 0-9-1.
const SUCCESS: u16 = 200;
/// The queue that stands for the requester's own channel.
const REPLIES: &str = "amq.rabbitmq.reply-to";

/// A requester; a copy asks through the same channel.
#[derive(Clone)]
pub(super) struct Client(Arc<Asking>);

struct Asking {
    connection: Connection,
    channel: Channel,
    last: AtomicU64,
    open: Arc<Mutex<Open>>,
    reader: JoinHandle<()>,
}

/// Requests without a reply, by correlation id; and a reply that must not be.
#[derive(Default)]
struct Open {
    requests: HashMap<u64, oneshot::Sender<Vec<u8>>>,
    wrong: Option<String>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Asker for Client {
    async fn ask(&mut self, number: u64) -> Option<String> {
        let payload = payload(number);
        match timeout(PATIENCE, self.0.request(&payload)).await {
            Ok(Ok(reply)) if reply == payload => None,
            Ok(Ok(_)) => Some(NOT_ITS_OWN.into()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no reply".into()),
        }
    }

    async fn close(self) {
        goodbye(&self.0.connection).await;
    }

    fn rest(&mut self) -> Option<String> {
        lock(&self.0.open).wrong.clone()
    }
}

impl Asking {
    async fn request(&self, payload: &[u8]) -> Result<Vec<u8>, BenchError> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (reply, comes) = oneshot::channel();
        lock(&self.open).requests.insert(id, reply);
        let properties = BasicProperties::default()
            .with_reply_to(REPLIES.into())
            .with_correlation_id(id.to_string().into());
        publish(&self.channel, QUEUE.into(), payload, properties).await?;
        comes
            .await
            .map_err(|_| BenchError::Unsound("RabbitMQ: the channel has ended".into()))
    }
}

/// A requester at that server. The responders have declared the queue before.
pub(super) async fn connect(server: SocketAddr) -> Result<Client, BenchError> {
    let connection = connection(server).await?;
    let channel = connection
        .create_channel()
        .await
        .map_err(|error| unsound(&error))?;
    let replies = consume(&channel, REPLIES).await?;
    let open = Arc::new(Mutex::new(Open::default()));
    let reader = tokio::spawn(read(replies, Arc::clone(&open)));
    Ok(Client(Arc::new(Asking {
        connection,
        channel,
        last: AtomicU64::new(0),
        open,
        reader,
    })))
}

async fn read(mut replies: Consumer, open: Arc<Mutex<Open>>) {
    while let Some(Ok(reply)) = replies.next().await {
        lock(&open).take(reply);
    }
    lock(&open).requests.clear();
}

impl Open {
    fn take(&mut self, reply: Delivery) {
        let id = reply.properties.correlation_id().as_ref();
        let id = id.and_then(|id| id.as_str().parse().ok());
        match id.and_then(|id: u64| self.requests.remove(&id)) {
            // Whoever asked may have gone.
            Some(waits) => drop(waits.send(reply.data)),
            None => {
                self.wrong.get_or_insert(format!("a reply to {id:?} came twice"));
            }
        }
    }
}

/// Five consumers of the queue, each with a channel of its own, on one connection, until that ends.
///
/// # Errors
/// There is no connection to be had, or it has ended.
pub(in crate::bench) async fn serve(server: SocketAddr) -> Result<(), BenchError> {
    let connection = connection(server).await?;
    let mut consumers = Vec::new();
    for _ in 0..HANDLERS {
        let channel = connection
            .create_channel()
            .await
            .map_err(|error| unsound(&error))?;
        let options = QueueDeclareOptions {
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(QUEUE.into(), options, FieldTable::default());
        declared.await.map_err(|error| unsound(&error))?;
        let requests = consume(&channel, QUEUE).await?;
        consumers.push(tokio::spawn(respond(channel, requests)));
    }
    role::tell("ready")?;
    let (ended, ..) = select_all(consumers).await;
    ended.map_err(|error| BenchError::Unsound(error.to_string()))?
}

async fn respond(channel: Channel, mut requests: Consumer) -> Result<(), BenchError> {
    while let Some(request) = requests.next().await {
        let Delivery { data, properties, .. } = request.map_err(|error| unsound(&error))?;
        let Some(reply_to) = properties.reply_to().clone() else {
            continue;
        };
        let mut answer = BasicProperties::default();
        if let Some(id) = properties.correlation_id() {
            answer = answer.with_correlation_id(id.clone());
        }
        publish(&channel, reply_to, &data, answer).await?;
    }
    Err(BenchError::Unsound("RabbitMQ: the consumer has ended".into()))
}

async fn publish(
    channel: &Channel,
    queue: ShortString,
    payload: &[u8],
    properties: BasicProperties,
) -> Result<(), BenchError> {
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish("".into(), queue, options, payload, properties);
    // No confirm was asked for.
    sent.await.map(drop).map_err(|error| unsound(&error))
}

async fn consume(channel: &Channel, queue: &str) -> Result<Consumer, BenchError> {
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    consumer.await.map_err(|error| unsound(&error))
}

pub(super) async fn connection(server: SocketAddr) -> Result<Connection, BenchError> {
    let address = format!("amqp://guest:guest@{server}/%2f");
    let connection = Connection::connect(&address, ConnectionProperties::default());
    connection.await.map_err(|error| unsound(&error))
}

/// Ends it without an error at either end.
pub(super) async fn goodbye(connection: &Connection) {
    // Fails where the server has ended it, or does not answer.
    drop(timeout(PATIENCE, connection.close(SUCCESS, "".into())).await);
}

pub(super) fn unsound(error: &lapin::Error) -> BenchError {
    BenchError::Unsound(format!("RabbitMQ: {error}"))
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
