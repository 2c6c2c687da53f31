//! Leaders' leases on their way to the handler, on paused time: embedded handlers, and sessions.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_client::handler::{Answer, Delivery, Handler};
use squall_client::leadership::{Context, Leadership, LeadershipChange};
use squall_kernel::id::{LeaderEpoch, Pid};
use squall_kernel::message::{ClientMessage, NodeMessage};
use squall_kernel::reason::{DetachReason, SentAway};
use squall_kernel::registry::Strategy;
use squall_kernel::time::{Instant, Span};

use super::cluster::{Cluster, name, quiet};
use super::sessions::Client;
use crate::handlers::HandlerTags;

/// Keeps its context where the test sees it.
#[derive(Clone, Default)]
struct Leader {
    context: Arc<Mutex<Option<Context>>>,
    told: Arc<Mutex<Vec<LeadershipChange>>>,
}

impl Leader {
    fn held(&self) -> Option<Leadership> {
        self.context
            .lock()
            .unwrap()
            .as_ref()
            .and_then(Context::leadership)
    }
}

impl Handler for Leader {
    fn attached(&mut self, context: Context) {
        *self.context.lock().unwrap() = Some(context);
    }

    async fn handle(&mut self, delivery: Delivery) -> Answer {
        Answer::Reply(delivery.payload)
    }

    fn leadership(&mut self, change: LeadershipChange) {
        self.told.lock().unwrap().push(change);
    }
}

fn attach(cluster: &Cluster, n: usize, leader: &Leader) -> Pid {
    cluster.planes[n]
        .handlers
        .attach_embedded(&name("ledger"), HandlerTags::default(), leader.clone())
        .unwrap()
}

/// The owner's lease, renewed as heartbeats would: until 120 ms from now.
fn renew(cluster: &Cluster, owner: usize) {
    let now = cluster.planes[owner].context.clock.now();
    cluster.leases[owner].set(now + Span::from_ms(120));
}

async fn renewed_for(cluster: &Cluster, owner: usize, ms: u64, mut each: impl FnMut()) {
    for _ in 0..ms / 10 {
        renew(cluster, owner);
        tokio::time::sleep(Duration::from_millis(10)).await;
        each();
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_holds_its_lease_while_the_owner_does_and_loses_it_without_network() {
    let mut cluster = Cluster::new(2);
    cluster.declare("ledger", Strategy::Consensus);
    let leader = Leader::default();
    renew(&cluster, 0);
    attach(&cluster, 1, &leader);
    cluster.appoint().await;
    assert_eq!(leader.held().unwrap().epoch(), LeaderEpoch(1));
    renewed_for(&cluster, 0, 500, || {
        assert!(leader.held().is_some(), "never a gap while all is well");
    })
    .await;
    cluster.cut(0);
    cluster.cut(1);
    let held = leader.held().unwrap().remaining();
    assert!(held <= Duration::from_millis(120));
    renewed_for(&cluster, 0, 130, || {}).await;
    assert_eq!(leader.held(), None, "it ran out by itself");
    assert_eq!(
        leader.told.lock().unwrap().last(),
        Some(&LeadershipChange::Over(LeaderEpoch(1)))
    );
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_begins_after_the_last_lease_of_the_one_before() {
    let mut cluster = Cluster::new(3);
    cluster.declare("ledger", Strategy::Consensus);
    let (first, second) = (Leader::default(), Leader::default());
    renew(&cluster, 0);
    attach(&cluster, 1, &first);
    cluster.appoint().await;
    attach(&cluster, 2, &second);
    renewed_for(&cluster, 0, 100, || {}).await;
    let end = tokio::time::Instant::now() + first.held().unwrap().remaining();
    cluster.kill(1);
    cluster.declare_lost(1);
    let begun = loop {
        renew(&cluster, 0);
        cluster.appoint().await;
        assert!(first.held().is_none() || second.held().is_none(), "two believers");
        if second.held().is_some() {
            break tokio::time::Instant::now();
        }
    };
    assert!(begun >= end);
    assert_eq!(second.held().unwrap().epoch(), LeaderEpoch(2));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_detached_holds_nothing_before_the_owner_hears_of_it() {
    let mut cluster = Cluster::new(2);
    cluster.declare("ledger", Strategy::Consensus);
    let leader = Leader::default();
    let pid = attach(&cluster, 1, &leader);
    cluster.appoint().await;
    assert!(leader.held().is_some());
    cluster.planes[1].handlers.detach(pid.serial, DetachReason::Asked);
    assert_eq!(leader.held(), None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_another_leadership_or_from_the_future_grants_nothing() {
    let mut cluster = Cluster::new(2);
    let exchange = cluster.declare("ledger", Strategy::Consensus);
    let leader = Leader::default();
    // The owner has no lease and grants none.
    cluster.leases[0].set(Instant(0));
    let pid = attach(&cluster, 1, &leader);
    cluster.appoint().await;
    let plane = &cluster.planes[1];
    let epoch = plane.handlers.attached()[0].2.unwrap();
    let now = plane.context.clock.now();
    let leased = |leader_epoch, asked_at, ms| {
        let (epoch, span) = (epoch, Span::from_ms(ms));
        plane
            .handlers
            .leased(exchange, epoch, pid, leader_epoch, asked_at, span);
    };
    leased(LeaderEpoch(2), now, 100);
    leased(LeaderEpoch(1), now + Span::from_ms(50), 100);
    assert_eq!(leader.held(), None);
    leased(LeaderEpoch(1), now, 100);
    let held = leader.held().unwrap().remaining();
    assert!(
        held <= Duration::from_millis(99),
        "shortened by the drift: {held:?}"
    );
    let garbled = plane.context.wire.tally.garbled.load(Relaxed);
    assert_eq!(garbled, 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_answered_with_what_is_left_when_it_is_answered() {
    let mut cluster = Cluster::new(2);
    cluster.declare("ledger", Strategy::Consensus);
    cluster.leases[0].set(Instant(0));
    let mut client = Client::connect(&cluster, 1);
    let pid = client.attach("ledger", 0).await;
    cluster.appoint().await;
    let ask = |asked_at| ClientMessage::LeadershipAsk {
        handler: pid.serial,
        asked_at: Instant(asked_at),
    };
    client.say(&ask(7)).await;
    quiet().await;
    renew(&cluster, 0);
    let (asked_at, epoch, first) = granted(&mut client).await;
    assert_eq!(
        (asked_at, epoch),
        (Instant(7), LeaderEpoch(1)),
        "the question waited for the lease"
    );
    assert!(first <= Span::from_ms(120));
    cluster.cut(0);
    tokio::time::sleep(Duration::from_millis(20)).await;
    client.say(&ask(8)).await;
    let (_, _, later) = granted(&mut client).await;
    assert!(later.0 + 20_000 <= first.0, "{later} after {first}");
}

async fn granted(client: &mut Client) -> (Instant, LeaderEpoch, Span) {
    loop {
        if let NodeMessage::Leadership {
            asked_at,
            leader_epoch,
            remaining,
            again,
            ..
        } = client.heard().await
        {
            assert_eq!(again, Span::from_ms(40), "a third of a promise");
            return (asked_at, leader_epoch, remaining);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_majority_sends_its_clients_away_once_each_time() {
    let cluster = Cluster::new(1);
    let plane = &cluster.planes[0];
    let mut client = Client::connect(&cluster, 0);
    plane.isolated(true);
    plane.isolated(true);
    let away = NodeMessage::Leaving {
        why: SentAway::NoQuorum,
    };
    assert_eq!(client.heard().await, away);
    let mut back = Client::connect(&cluster, 0);
    back.say(&ClientMessage::Ping { call: 1 }).await;
    assert_eq!(
        back.heard().await,
        NodeMessage::Pong { call: 1 },
        "who comes back is served"
    );
    plane.isolated(false);
    quiet().await;
    client.say(&ClientMessage::Ping { call: 2 }).await;
    assert_eq!(client.heard().await, NodeMessage::Pong { call: 2 }, "told once");
    plane.isolated(true);
    assert_eq!(client.heard().await, away);
    assert_eq!(back.heard().await, away);
}
