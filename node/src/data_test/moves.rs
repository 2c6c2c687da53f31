//! Exchanges that move while requests are under way: nothing is lost or doubled, whoever is lost in between.

use std::sync::Arc;

use squall_kernel::frame::Status;
use squall_kernel::id::{Epoch, ExchangeId, NodeName};
use squall_kernel::reason::{DetachReason, NoReply};
use squall_kernel::registry::{Command, Strategy};

use super::cluster::{Cluster, Log, asked, name, node, quiet, reply};
use crate::router::Outcome;

/// Requests from the third node, all under way at once.
fn open(cluster: &Cluster, exchange: ExchangeId, count: usize) -> Vec<tokio::task::JoinHandle<Outcome>> {
    let one = |_| {
        let router = Arc::clone(&cluster.planes[2].router);
        tokio::spawn(async move { router.request(asked(exchange, "x")).await })
    };
    (0..count).map(one).collect()
}

/// The first node begins to hand over to the second one.
fn begin(cluster: &mut Cluster, exchange: ExchangeId) {
    let to = cluster.registry.nodes[&node(1)].name.clone();
    cluster.apply(&Command::Move {
        exchange: name("orders"),
        to: Some(NodeName::new(to.as_str()).unwrap()),
        epoch: None,
    });
    let moving = cluster.registry.exchanges[&exchange].moving.expect("it moves");
    cluster.planes[0]
        .exchanges
        .hand_off(exchange, moving.to, moving.epoch);
}

async fn all_replied(open: Vec<tokio::task::JoinHandle<Outcome>>) -> Vec<String> {
    let mut replies = Vec::new();
    for request in open {
        let outcome = request.await.unwrap();
        assert_eq!(outcome.status, Status::Reply, "{}", outcome.reason());
        replies.push(reply(&outcome).to_owned());
    }
    replies
}

/// Every request ended once, none was delivered twice.
fn books(cluster: &Cluster, exchange: ExchangeId, requests: u64, accepted: u64) {
    let stats = cluster.planes[2].router.settled_stats(exchange).unwrap();
    assert_eq!(
        (stats.requests, stats.ended, stats.open, stats.second),
        (requests, requests, 0, 0)
    );
    let deliveries = cluster
        .planes
        .iter()
        .map(|p| p.handlers.deliveries(exchange).accepted);
    assert_eq!(deliveries.sum::<u64>(), accepted);
}

/// A37.
#[tokio::test(start_paused = true)]
async fn a_move_under_load_loses_and_doubles_nothing_and_the_turn_goes_on() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(1, "orders", log.handler("one"));
    cluster.attach(2, "orders", log.handler("two"));
    quiet().await;
    let mut turns = all_replied(open(&cluster, exchange, 3)).await;
    begin(&mut cluster, exchange);
    let under_way = open(&cluster, exchange, 20);
    cluster.appoint().await;
    let record = &cluster.registry.exchanges[&exchange];
    assert_eq!(
        (record.owner, record.epoch, record.moving),
        (Some(node(1)), Epoch(2), None)
    );
    let held = all_replied(under_way).await;
    assert_eq!(held.iter().filter(|who| *who == "one").count(), 10);
    // Four more, one by one: whose turn it is came along.
    for _ in 0..4 {
        turns.push(reply(&cluster.request(2, exchange, "x").await).to_owned());
    }
    assert!(turns[3..].windows(2).all(|pair| pair[0] != pair[1]), "{turns:?}");
    assert_ne!(turns[2], turns[3], "twenty in between are whole turns: {turns:?}");
    books(&cluster, exchange, 27, 27);
}

#[tokio::test(start_paused = true)]
async fn the_old_owner_dies_in_mid_move_and_the_epoch_that_was_promised_away_is_never_used() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(2, "orders", log.handler("two"));
    quiet().await;
    begin(&mut cluster, exchange);
    let under_way = open(&cluster, exchange, 5);
    cluster.kill(0);
    quiet().await;
    cluster.declare_lost(0);
    cluster.appoint().await;
    assert_eq!(cluster.registry.exchanges[&exchange].epoch, Epoch(3));
    let mut ended = 0;
    for request in under_way {
        request.await.unwrap();
        ended += 1;
    }
    assert_eq!(ended, 5);
    assert_eq!(reply(&cluster.request(2, exchange, "x").await), "two");
    let stats = cluster.planes[2].router.settled_stats(exchange).unwrap();
    assert_eq!(
        (stats.requests, stats.ended, stats.open, stats.second),
        (6, 6, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn the_next_owner_dies_in_mid_move_and_the_old_one_goes_on_under_a_later_epoch() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(2, "orders", log.handler("two"));
    quiet().await;
    cluster.kill(1);
    begin(&mut cluster, exchange);
    let under_way = open(&cluster, exchange, 5);
    quiet().await;
    cluster.declare_lost(1);
    cluster.appoint().await;
    let record = &cluster.registry.exchanges[&exchange];
    assert_eq!(
        (record.owner, record.epoch, record.moving),
        (Some(node(0)), Epoch(3), None)
    );
    assert_eq!(all_replied(under_way).await, ["two"; 5]);
    books(&cluster, exchange, 5, 5);
}

#[tokio::test(start_paused = true)]
async fn what_the_next_owner_took_over_and_lost_is_not_waited_for() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(1, "orders", log.handler("one"));
    quiet().await;
    let router = Arc::clone(&cluster.planes[2].router);
    let open = tokio::spawn(async move { router.request(asked(exchange, "never")).await });
    quiet().await;
    begin(&mut cluster, exchange);
    cluster.appoint().await;
    assert_eq!(cluster.registry.exchanges[&exchange].owner, Some(node(1)));
    let before = cluster.planes[2].context.clock.now();
    // Its handler is lost with it; the node that the request was sent to knows nothing of it any more.
    cluster.kill(1);
    cluster.declare_lost(1);
    assert_eq!(open.await.unwrap().status, Status::None(NoReply::Interrupted));
    assert!(cluster.planes[2].context.clock.now().since(before).as_ms() < 100);
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_end_was_lost_is_not_counted_by_the_next_owner_for_long() {
    let mut cluster = Cluster::new(3);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let gone = cluster.attach(2, "orders", log.handler("gone"));
    cluster.attach(2, "orders", log.handler("two"));
    quiet().await;
    cluster.swallow(0);
    assert!(
        cluster.planes[2]
            .handlers
            .detach(gone.serial, DetachReason::Asked)
    );
    quiet().await;
    cluster.heal();
    assert_eq!(
        cluster.planes[0].exchanges.owned()[0].handlers,
        2,
        "it was not heard"
    );
    begin(&mut cluster, exchange);
    cluster.appoint().await;
    quiet().await;
    assert_eq!(cluster.planes[1].exchanges.owned()[0].handlers, 1);
    assert_eq!(reply(&cluster.request(2, exchange, "x").await), "two");
}
