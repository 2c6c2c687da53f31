//! One kill: an exchange on the node to be killed, handlers and a requester on the others, load, `kill -9`, and back to
//! a whole cluster. What does not live here: what the times mean (`report`).

use std::time::Duration;

use squall_client::{
    Answer, AttachOptions, Attachment, Client, ConnectOptions, Declaration, Delivery, Handler,
};
use squall_kernel::id::ExchangeName;
use squall_kernel::registry::Strategy;
use tokio::time::Instant;

use super::open::Load;
use super::report::{Class, Kill, Times};
use super::sight::{self, Whole};
use crate::bench::BenchError;
use crate::client::ChaosClient;
use crate::layout::Place;

/// Handlers on each node that survives.
const HANDLERS_EACH: usize = 2;
/// Longest wait for what the cluster does at once when it is whole.
const PROMPTLY: Duration = Duration::from_secs(30);

/// What all kills have in common.
pub(super) struct Stage<'c> {
    pub(super) places: &'c [Place],
    pub(super) cookie: Vec<u8>,
    pub(super) chaos: ChaosClient,
    pub(super) rate: u32,
    pub(super) down_for: Duration,
}

struct Echo;

impl Handler for Echo {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        Answer::Reply(delivery.payload)
    }
}

/// Who is to die, and who stays.
struct Cast<'c> {
    target: &'c Place,
    survivors: Vec<&'c Place>,
}

/// Clients of one trial.
struct Actors {
    requester: Client,
    services: Vec<(Client, Vec<Attachment>)>,
}

/// Kills once; the class is the wanted one unless the meta leader changed meanwhile.
pub(super) async fn run(stage: &Stage<'_>, number: u32, wanted: Class) -> Result<Kill, BenchError> {
    let whole = sight::whole(stage.places, None).await?;
    let cast = Cast::choose(stage.places, &whole, number, wanted);
    let exchange = format!("kill-{number}");
    let actors = Actors::enter(stage, &cast, &exchange).await?;
    let mut load = Load::start(actors.requester.clone(), exchange.clone(), stage.rate);
    // Half a second of good replies before the kill, and after the healing.
    let steady = usize::try_from(stage.rate / 2 + 1).unwrap_or(1);
    if !load.more(steady, PROMPTLY).await {
        return Err(quiet("before the kill"));
    }
    let target = cast.target.name.as_str();
    let owner = sight::owner(cast.survivors[0], &exchange).await?;
    if owner != target {
        return Err(BenchError::Unsound(format!(
            "{exchange} is owned by {owner:?}, not by {target}"
        )));
    }
    let leader = sight::now(stage.places)
        .await
        .map_or(whole.leader, |whole| whole.leader);
    let killed = Instant::now();
    stage.chaos.kill(target, stage.down_for, false, None).await?;
    let before = whole.incarnations.get(target).copied().unwrap_or_default();
    sight::whole(stage.places, Some((target, before))).await?;
    let healed = Instant::now();
    if !load.more(steady, PROMPTLY).await {
        return Err(quiet("after the kill"));
    }
    let seen = load.end().await;
    actors.leave(&exchange).await?;
    let times = Times {
        killed,
        restarted: killed + stage.down_for,
        healed,
    };
    let class = if leader == target { Class::G1m } else { Class::G1 };
    Ok(Kill::new(number, class, target, &times, &seen))
}

impl<'c> Cast<'c> {
    fn choose(places: &'c [Place], whole: &Whole, number: u32, wanted: Class) -> Self {
        let leads = |place: &&Place| place.name.as_str() == whole.leader;
        let fit: Vec<&Place> = places
            .iter()
            .filter(|place| leads(place) == (wanted == Class::G1m))
            .collect();
        let turn = usize::try_from(number / 2).unwrap_or(0);
        let target = fit[turn % fit.len()];
        let survivors = places.iter().filter(|place| place.name != target.name).collect();
        Self { target, survivors }
    }
}

impl Actors {
    async fn enter(stage: &Stage<'_>, cast: &Cast<'_>, exchange: &str) -> Result<Self, BenchError> {
        let requester = connect(stage, cast.survivors[0]).await?;
        let name = ExchangeName::new(exchange).expect("a word and a number are a name");
        let owners = std::iter::once(&cast.target).chain(&cast.survivors);
        let declaration = Declaration {
            failover: owners.map(|place| place.name.clone()).collect(),
            ..Declaration::new(name, Strategy::RoundRobin)
        };
        requester.declare(declaration, PROMPTLY).await?;
        let mut services = Vec::new();
        for place in &cast.survivors {
            let client = connect(stage, place).await?;
            let mut attachments = Vec::new();
            for _ in 0..HANDLERS_EACH {
                attachments.push(client.attach(exchange, AttachOptions::default(), Echo).await?);
            }
            services.push((client, attachments));
        }
        Ok(Self { requester, services })
    }

    async fn leave(self, exchange: &str) -> Result<(), BenchError> {
        for (client, attachments) in self.services {
            for attachment in attachments {
                attachment.detach().await;
            }
            client.close().await;
        }
        self.requester.delete(exchange, PROMPTLY).await?;
        self.requester.close().await;
        Ok(())
    }
}

async fn connect(stage: &Stage<'_>, place: &Place) -> Result<Client, BenchError> {
    let client = Client::connect(ConnectOptions {
        cookie: Some(stage.cookie.clone()),
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

fn quiet(when: &str) -> BenchError {
    BenchError::Late {
        what: format!("half a second's worth of good replies {when}"),
        seconds: PROMPTLY.as_secs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_choose_the_meta_leader_or_the_others_in_turn() {
        let places = crate::layout::places(3, 7400).unwrap();
        let whole = Whole {
            leader: "b".into(),
            incarnations: std::collections::BTreeMap::new(),
        };
        let target = |number, class| {
            let cast = Cast::choose(&places, &whole, number, class);
            assert_eq!(cast.survivors.len(), 2);
            cast.target.name.to_string()
        };
        assert_eq!(
            (target(0, Class::G1), target(2, Class::G1)),
            ("a".into(), "c".into())
        );
        assert_eq!(
            (target(1, Class::G1m), target(3, Class::G1m)),
            ("b".into(), "b".into())
        );
    }
}
