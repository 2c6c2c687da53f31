//! A peer that stands ready to be measured. What does not live here: what each of them is made of.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::time::{interval, timeout};

use super::chain::Chain;
use super::erlang::{self, Erlang};
use super::servers::{self, Servers};
use super::{NO_OPEN_LOOP, NOT_BUILT, Peer, nats, rabbitmq};
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
    /// Why it is not there is told in words.
    pub(super) async fn begin(peer: Peer, program: &Path) -> Result<Self, String> {
        if let Some(why) = missing(peer) {
            return Err(why);
        }
        let begun = begin(peer, program).await;
        begun.map_err(|error| format!("it does not start: {error}"))
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

fn missing(peer: Peer) -> Option<String> {
    match peer {
        Peer::Chain => None,
        Peer::Erlang | Peer::ErlangThree => erlang::missing(),
        Peer::Nats | Peer::NatsThree | Peer::NatsFive => servers::nats_server().err().or_else(not_built),
        Peer::Rabbitmq => servers::rabbitmq_server().err().or_else(not_built),
    }
}

fn not_built() -> Option<String> {
    (!cfg!(feature = "peers")).then(|| NOT_BUILT.to_owned())
}

async fn begin(peer: Peer, program: &Path) -> Result<Standing, BenchError> {
    Ok(match peer {
        Peer::Erlang => Standing::Erlang(Box::new(Erlang::one().await?)),
        Peer::ErlangThree => Standing::Erlang(Box::new(Erlang::three().await?)),
        Peer::Chain => Standing::Chain(Chain::begin(program).await?),
        Peer::Nats => Standing::Nats(nats(program, 1).await?),
        Peer::NatsThree => Standing::Nats(nats(program, 3).await?),
        Peer::NatsFive => {
            let what = "fan-out is measured by itself";
            return Err(BenchError::Unsound(what.into()));
        }
        Peer::Rabbitmq => Standing::Rabbitmq(rabbitmq(program).await?),
    })
}

async fn nats(program: &Path, nodes: usize) -> Result<Broker<nats::Client>, BenchError> {
    let servers = servers::nats(program, nodes).await?;
    // As far apart as can be.
    let ends = |all: &[SocketAddr]| Some((*all.first()?, *all.last()?));
    let (first, server) = ends(&servers.addresses).expect("there is a server");
    let begun = async {
        let responders = responders(program, &Role::NatsHandlers { server }).await?;
        settled(nats::connect(first).await?, responders).await
    };
    let begun = begun.await;
    Broker::of(begun, servers).await
}

async fn rabbitmq(program: &Path) -> Result<Broker<rabbitmq::Client>, BenchError> {
    let servers = servers::rabbitmq(program).await?;
    let server = servers.addresses[0];
    let begun = async {
        let responders = responders(program, &Role::RabbitmqHandlers { server }).await?;
        settled(rabbitmq::connect(server).await?, responders).await
    };
    let begun = begun.await;
    Broker::of(begun, servers).await
}

async fn responders(program: &Path, role: &Role) -> Result<Child, BenchError> {
    let mut child = role::start(program, role)?;
    role::first_line(&mut child, "the responders are there").await?;
    Ok(child)
}

/// Waits until a request is answered.
async fn settled<C: Asker + Clone>(client: C, responders: Child) -> Result<(C, Child), BenchError> {
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
        drop(self.client);
        role::end(&mut [self.responders]).await;
        self.servers.end().await;
    }
}
