//! A peer that stands ready to be measured. What does not live here: what each of them is made of.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::time::{interval, timeout};

use super::chain::Chain;
use super::erlang::Erlang;
use super::servers::{self, Servers};
use super::{NO_OPEN_LOOP, Peer, nats, rabbitmq};
use crate::bench::req_resp::asker::Asker;
use crate::bench::req_resp::host::{LOOK, PATIENCE, late};
use crate::bench::req_resp::place::asked;
use crate::bench::req_resp::tally::{Tally, Times};
use crate::bench::role::{self, Role};
use crate::bench::{BenchError, Load, processor};

/// A peer with all its processes. They end when it is dropped.
pub(super) enum Standing {
    Erlang(Box<Erlang>),
    Chain(Chain),
    Nats(Broker<nats::Client>),
    Rabbitmq(Broker<rabbitmq::Client>),
}

/// Servers, responders in a process of their own, and a requester in this one.
pub(super) struct Broker<C> {
    client: C,
    responders: Child,
    servers: Servers,
}

impl Standing {
    /// Starts it. Peers that answer no requests are refused.
    pub(super) async fn begin(peer: Peer, program: &Path) -> Result<Self, BenchError> {
        Ok(match peer {
            Peer::Erlang => Self::Erlang(Box::new(Erlang::one().await?)),
            Peer::ErlangThree => Self::Erlang(Box::new(Erlang::three().await?)),
            Peer::Chain => Self::Chain(Chain::begin(program).await?),
            Peer::Nats => Self::Nats(nats(program, 1).await?),
            Peer::NatsThree => Self::Nats(nats(program, 3).await?),
            Peer::Rabbitmq => Self::Rabbitmq(rabbitmq(program).await?),
            Peer::NatsFive | Peer::NatsWildcards | Peer::RabbitmqTasks => {
                let what = format!("{}: it answers no requests", peer.as_str());
                return Err(BenchError::Unsound(what));
            }
        })
    }

    /// Asks. A peer that has no open loop refuses one.
    pub(super) async fn ask(&mut self, load: Load, times: Times) -> Result<Tally, BenchError> {
        match (self, load) {
            (Self::Erlang(erlang), Load::Closed(in_flight)) => erlang.ask(in_flight, times).await,
            (Self::Chain(chain), Load::Closed(in_flight)) => chain.ask(in_flight, times).await,
            (Self::Nats(broker), load) => broker.ask(load, times).await,
            (Self::Rabbitmq(broker), load) => broker.ask(load, times).await,
            (Self::Erlang(_) | Self::Chain(_), Load::Open(_)) => {
                Err(BenchError::Unsound(NO_OPEN_LOOP.into()))
            }
        }
    }

    /// Processor time that all its processes have used, this one included where the requester is in it; none where the system does
    /// not tell.
    pub(super) fn processor(&self) -> Option<Duration> {
        match self {
            Self::Erlang(erlang) => processor::of(&role::ids(&erlang.children)),
            Self::Chain(chain) => processor::with(&role::ids(&chain.children)),
            Self::Nats(broker) => broker.processor(),
            Self::Rabbitmq(broker) => broker.processor(),
        }
    }

    pub(super) async fn end(self) {
        match self {
            Self::Erlang(mut erlang) => erlang.end().await,
            Self::Chain(mut chain) => role::end(&mut chain.children).await,
            Self::Nats(broker) => broker.end().await,
            Self::Rabbitmq(broker) => broker.end().await,
        }
    }
}

async fn nats(program: &Path, nodes: usize) -> Result<Broker<nats::Client>, BenchError> {
    let servers = servers::nats(program, nodes).await?;
    // As far apart as can be.
    let ends = |all: &[SocketAddr]| Some((*all.first()?, *all.last()?));
    let (first, server) = ends(&servers.addresses).expect("there is a server");
    let begun = async {
        let responders = responders(program, &Role::NatsHandlers { server }).await?;
        settled(nats::connect(first), responders).await
    };
    let begun = begun.await;
    Broker::of(begun, servers).await
}

async fn rabbitmq(program: &Path) -> Result<Broker<rabbitmq::Client>, BenchError> {
    let servers = servers::rabbitmq(program).await?;
    let server = servers.addresses[0];
    let begun = async {
        let responders = responders(program, &Role::RabbitmqHandlers { server }).await?;
        settled(rabbitmq::connect(server), responders).await
    };
    let begun = begun.await;
    Broker::of(begun, servers).await
}

async fn responders(program: &Path, role: &Role) -> Result<Child, BenchError> {
    let mut child = role::start(program, role)?;
    role::first_line(&mut child, "the responders are there").await?;
    Ok(child)
}

/// Waits until there is a requester, and a request of it is answered.
async fn settled<C: Asker + Clone>(
    client: impl Future<Output = Result<C, BenchError>>,
    responders: Child,
) -> Result<(C, Child), BenchError> {
    let client = timeout(PATIENCE, client).await;
    let client = client.map_err(|_| late("a requester is there"))??;
    let mut asker = client.clone();
    let answered = async {
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            if asker.ask(0).await.is_none() {
                return;
            }
        }
    };
    let settled = timeout(PATIENCE, answered).await;
    settled.map_err(|_| late("a request is answered"))?;
    Ok((client, responders))
}

impl<C: Asker + Clone + Sync> Broker<C> {
    /// Where the others did not begin the servers are ended.
    async fn of(begun: Result<(C, Child), BenchError>, servers: Servers) -> Result<Self, BenchError> {
        match begun {
            Ok((client, responders)) => Ok(Self {
                client,
                responders,
                servers,
            }),
            Err(error) => {
                servers.end().await;
                Err(error)
            }
        }
    }

    async fn ask(&self, load: Load, times: Times) -> Result<Tally, BenchError> {
        let client = self.client.clone();
        let (tally, _) = asked(&Handle::current(), move || client.clone(), load, times).await?;
        Ok(tally)
    }

    fn processor(&self) -> Option<Duration> {
        let servers = role::ids(&self.servers.children);
        let all: Vec<u32> = self.responders.id().into_iter().chain(servers).collect();
        processor::with(&all)
    }

    async fn end(self) {
        self.client.close().await;
        role::end(&mut [self.responders]).await;
        self.servers.end().await;
    }
}
