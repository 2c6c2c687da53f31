//! A requester and responders of NATS, through the client that its makers give. What does not live here: the servers (`servers`).

use std::net::SocketAddr;

use async_nats::{Client as Nats, ConnectOptions};
use futures::StreamExt as _;
use futures::future::select_all;

use crate::bench::req_resp::HANDLERS;
use crate::bench::req_resp::asker::{Asker, NOT_ITS_OWN, payload};
use crate::bench::{BenchError, role};

/// Subject, and queue group of the responders.
const SUBJECT: &str = "bench";

/// A requester.
#[derive(Debug, Clone)]
pub(super) struct Client(Nats);

impl Asker for Client {
    async fn ask(&mut self, number: u64) -> Option<String> {
        let payload = payload(number);
        match self.0.request(SUBJECT, payload.clone()).await {
            Ok(reply) if reply.payload == payload => None,
            Ok(_) => Some(NOT_ITS_OWN.into()),
            Err(error) => Some(error.to_string()),
        }
    }
}

/// A requester at that server.
pub(super) async fn connect(server: SocketAddr) -> Result<Client, BenchError> {
    client(server).await.map(Client)
}

/// Five responders of one queue group at that server, on one connection, until that ends.
///
/// # Errors
/// There is no connection to be had, or it has ended.
pub(in crate::bench) async fn serve(server: SocketAddr) -> Result<(), BenchError> {
    let client = client(server).await?;
    let mut responders = Vec::new();
    for _ in 0..HANDLERS {
        let requests = client.queue_subscribe(SUBJECT, SUBJECT.to_owned()).await;
        let requests = requests.map_err(|error| unsound(&error))?;
        responders.push(tokio::spawn(respond(client.clone(), requests)));
    }
    // What was subscribed is known to the server when it has answered this.
    client.flush().await.map_err(|error| unsound(&error))?;
    role::tell("ready")?;
    let (ended, ..) = select_all(responders).await;
    ended.map_err(|error| unsound(&error))?
}

async fn respond(client: Nats, mut requests: async_nats::Subscriber) -> Result<(), BenchError> {
    while let Some(request) = requests.next().await {
        if let Some(reply_to) = request.reply {
            let sent = client.publish(reply_to, request.payload).await;
            sent.map_err(|error| unsound(&error))?;
        }
    }
    Err(BenchError::Unsound("NATS: the subscription has ended".into()))
}

/// One that stays with that server.
pub(super) async fn client(server: SocketAddr) -> Result<Nats, BenchError> {
    let options = ConnectOptions::new().ignore_discovered_servers();
    let client = options.connect(format!("nats://{server}")).await;
    client.map_err(|error| unsound(&error))
}

pub(super) fn unsound(error: &dyn std::error::Error) -> BenchError {
    BenchError::Unsound(format!("NATS: {error}"))
}
