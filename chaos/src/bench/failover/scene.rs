//! Who is struck, who stays, and the clients of one trial: an exchange with its owner where the class wants it, handlers
//! and a requester at the nodes that stay. What does not live here: the strike (`trial`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use squall_client::{AttachOptions, Attachment, Client, ConnectOptions, Declaration, RequestOptions};
use squall_kernel::id::ExchangeName;
use squall_kernel::registry::{Strategy, Takeover};
use tokio::time::{Instant, sleep};

use super::class::{Class, Turn};
use super::ledger::{Echo, Ledger};
use super::sight::{self, Whole};
use crate::bench::BenchError;
use crate::layout::Place;

/// Handlers on each node that stays.
const HANDLERS_EACH: usize = 2;
/// Longest wait for what the cluster does at once when it is whole, and a node that was slow is trusted again.
pub(in crate::bench) const PROMPTLY: Duration = Duration::from_secs(30);
/// Between two tries to have the exchange where it is wanted.
const AGAIN: Duration = Duration::from_millis(250);

/// Between two requests while handlers are on their way.
const NOBODY_YET: Duration = Duration::from_millis(5);

/// Who is struck, who owns, who stays.
pub(in crate::bench) struct Cast<'c> {
    pub(in crate::bench) target: &'c Place,
    pub(in crate::bench) owner: &'c Place,
    /// The requester's node first.
    pub(in crate::bench) stay: Vec<&'c Place>,
}

impl<'c> Cast<'c> {
    pub(super) fn choose(places: &'c [Place], whole: &Whole, turn: Turn) -> Self {
        let leads = |place: &&Place| place.name.as_str() == whole.leader;
        let wanted = turn.class.strikes_leader(turn.shape);
        let fit: Vec<&Place> = places.iter().filter(|place| leads(place) == wanted).collect();
        let round = turn.round as usize;
        let target = fit[round % fit.len()];
        let mut stay: Vec<&Place> = places.iter().filter(|place| place.name != target.name).collect();
        if turn.class != Class::G1o {
            let owner = target;
            return Self { target, owner, stay };
        }
        let shift = round % stay.len();
        stay.rotate_left(shift);
        let owner = *stay.last().expect("two nodes stay");
        Self { target, owner, stay }
    }
}

/// An exchange, and those that use it.
pub(in crate::bench) struct Scene {
    pub(in crate::bench) exchange: String,
    pub(in crate::bench) requester: Client,
    pub(super) ledger: Arc<Ledger>,
    services: Vec<(Client, Vec<Attachment>)>,
}

impl Scene {
    /// Declares the exchange with its first owner where it is wanted, and attaches the handlers.
    pub(in crate::bench) async fn enter(
        cookie: &[u8],
        exchange: String,
        owner: &Place,
        stay: &[&Place],
    ) -> Result<Self, BenchError> {
        let requester = connect(cookie, stay[0]).await?;
        place(&requester, &exchange, owner, stay).await?;
        let ledger = Arc::new(Ledger::default());
        let mut services = Vec::new();
        for place in stay {
            let client = connect(cookie, place).await?;
            let mut attachments = Vec::new();
            for _ in 0..HANDLERS_EACH {
                let handler = Echo::new(&ledger);
                attachments.push(
                    client
                        .attach(&exchange, AttachOptions::default(), handler)
                        .await?,
                );
            }
            services.push((client, attachments));
        }
        ready(&requester, &exchange, stay.len() * HANDLERS_EACH).await?;
        Ok(Self {
            exchange,
            requester,
            ledger,
            services,
        })
    }

    pub(in crate::bench) async fn leave(self) -> Result<(), BenchError> {
        for (client, attachments) in self.services {
            for attachment in attachments {
                attachment.detach().await;
            }
            client.close().await;
        }
        self.requester.delete(&self.exchange, PROMPTLY).await?;
        self.requester.close().await;
        Ok(())
    }
}

/// An attachment stands when its node has it; the owner has it a moment later. Waits until every handler has answered, so
/// that no request of the trial comes before there is anybody.
async fn ready(requester: &Client, exchange: &str, handlers: usize) -> Result<(), BenchError> {
    let give_up = Instant::now() + PROMPTLY;
    let mut answered = HashSet::new();
    while answered.len() < handlers {
        let reply = requester
            .request(exchange, "ready", RequestOptions::default())
            .await;
        match reply {
            Ok(reply) => drop(answered.insert(reply.from)),
            Err(error) if Instant::now() > give_up => {
                let what = format!(
                    "{} of {handlers} handlers of {exchange} answer: {error}",
                    answered.len()
                );
                return Err(BenchError::Unsound(what));
            }
            Err(_) => sleep(NOBODY_YET).await,
        }
    }
    Ok(())
}

/// A node that was slow owns nothing for a while: the exchange is declared again until it is where it is wanted.
/// Nothing moves back by itself while a trial runs.
async fn place(requester: &Client, exchange: &str, owner: &Place, stay: &[&Place]) -> Result<(), BenchError> {
    let name = ExchangeName::new(exchange).expect("words and a number are a name");
    let others = stay.iter().filter(|place| place.name != owner.name);
    let owners = std::iter::once(&owner).chain(others);
    let failover: Vec<_> = owners.map(|place| place.name.clone()).collect();
    let give_up = Instant::now() + PROMPTLY;
    loop {
        let declaration = Declaration {
            failover: failover.clone(),
            takeover: Some(Takeover::Never),
            ..Declaration::new(name.clone(), Strategy::RoundRobin)
        };
        requester.declare(declaration, PROMPTLY).await?;
        let found = sight::owner(stay[0], exchange).await?;
        if found == owner.name.as_str() {
            return Ok(());
        }
        if Instant::now() > give_up {
            let what = format!("{exchange} is owned by {found:?}, not by {}", owner.name);
            return Err(BenchError::Unsound(what));
        }
        requester.delete(exchange, PROMPTLY).await?;
        sleep(AGAIN).await;
    }
}

/// A client of that very node.
pub(in crate::bench) async fn connect(cookie: &[u8], place: &Place) -> Result<Client, BenchError> {
    let client = Client::connect(ConnectOptions {
        cookie: Some(cookie.to_vec()),
        name: "bench".into(),
        connect_within: PROMPTLY,
        ..ConnectOptions::new([place.mesh.to_string()])
    })
    .await?;
    match client.node() {
        Some(node) if node.name == place.name => Ok(client),
        other => {
            let at = other.map(|node| node.name.to_string()).unwrap_or_default();
            let what = format!("a client of node {} is connected to {at:?}", place.name);
            Err(BenchError::Unsound(what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::failover::class::Shape;

    #[test]
    fn classes_choose_the_meta_leader_or_the_others_in_turn() {
        let places = crate::layout::places(3, 7400).unwrap();
        let whole = Whole {
            leader: "b".into(),
            incarnations: std::collections::BTreeMap::new(),
            ids: std::collections::BTreeMap::new(),
        };
        let cast = |round, class, shape| {
            let turn = Turn {
                number: 0,
                class,
                shape,
                round,
            };
            let cast = Cast::choose(&places, &whole, turn);
            assert_eq!(cast.stay.len(), 2);
            let names = [cast.target, cast.owner, cast.stay[0]].map(|place| place.name.to_string());
            names.concat()
        };
        // Struck, owner, requester's node.
        assert_eq!(cast(0, Class::G1, Shape::Plain), "aab");
        assert_eq!(cast(1, Class::G1, Shape::Plain), "cca");
        assert_eq!(cast(1, Class::G1m, Shape::Plain), "bba");
        assert_eq!(cast(0, Class::G4, Shape::Leader), "bba");
        assert_eq!(cast(0, Class::G1o, Shape::Kill), "bca");
        assert_eq!(cast(1, Class::G1o, Shape::Pause), "bac");
    }
}
