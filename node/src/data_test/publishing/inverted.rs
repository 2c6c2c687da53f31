//! Inverted publish-subscribe: a publish goes to one handler, once for each id (A109, B10).

use bytes::Bytes;
use squall_kernel::frame::Status;
use squall_kernel::id::{ExchangeId, NodeName};
use squall_kernel::publishing::Confirm;
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{Command, Pattern, Settings};
use squall_kernel::time::Span;

use super::super::cluster::{Cluster, Log, name, node, none, quiet};
use super::{confirmed, publish};
use crate::router::{Outcome, Request};

const DUPLICATE: &[u8] = b"duplicate";

#[tokio::test(start_paused = true)]
async fn a109_an_inverted_publish_goes_to_one_handler_in_turn_and_nobody_answers() {
    let mut cluster = Cluster::new(3);
    let exchange =
        cluster.declare_pattern("readings", Pattern::InvertedPublishSubscribe, Settings::default());
    let nobody = confirmed(&cluster, 1, publish(exchange, "k", "x", Confirm::Accepted)).await;
    assert_eq!(nobody.status, none(NoReply::NoResponders));
    let log = Log::default();
    cluster.attach(1, "readings", log.handler("b"));
    cluster.attach(2, "readings", log.handler("c"));
    quiet().await;
    for confirm in [
        Confirm::None,
        Confirm::Accepted,
        Confirm::Received,
        Confirm::Received,
    ] {
        let outcome = confirmed(&cluster, 0, publish(exchange, "k", "x", confirm)).await;
        assert_eq!(
            (outcome.status, outcome.payload),
            (Status::Reply, Bytes::new()),
            "{confirm:?}"
        );
        // One node of one has it, where that is what was to be confirmed.
        let received = u32::from(confirm == Confirm::Received);
        assert_eq!(
            (outcome.index, outcome.count),
            (received, received),
            "{confirm:?}"
        );
        quiet().await;
    }
    assert_eq!((log.count("b"), log.count("c")), (2, 2));
    let late: u64 = cluster
        .planes
        .iter()
        .map(|p| p.context.wire.tally.dropped())
        .sum();
    assert_eq!(late, 0, "no answer was under way that nobody takes");
}

/// A109, B9: what waits longer than the exchange says is good is not handled any more.
#[tokio::test(start_paused = true)]
async fn an_inverted_publish_is_good_for_as_long_as_its_exchange_says() {
    let mut cluster = Cluster::new(2);
    let settings = Settings {
        ttl: Some(Span::from_ms(1_000)),
        ..Settings::default()
    };
    let exchange = cluster.declare_pattern("readings", Pattern::InvertedPublishSubscribe, settings);
    let log = Log::default();
    cluster.attach(1, "readings", log.handler("b"));
    quiet().await;
    for payload in ["late", "x"] {
        let outcome = confirmed(&cluster, 0, publish(exchange, "k", payload, Confirm::Accepted)).await;
        assert_eq!(outcome.status, Status::Reply);
    }
    tokio::time::sleep(std::time::Duration::from_secs(21)).await;
    assert_eq!(
        log.payloads("b"),
        ["late"],
        "for twenty seconds nothing else was looked at"
    );
    let next = confirmed(&cluster, 0, publish(exchange, "k", "y", Confirm::Received)).await;
    assert_eq!(next.status, Status::Reply);
    quiet().await;
    assert_eq!(log.payloads("b"), ["late", "y"]);
}

/// Ids are remembered for a minute, and one publish waits for a handler.
fn remembering(cluster: &mut Cluster) -> ExchangeId {
    let settings = Settings {
        dedup: Some(Span::from_ms(60_000)),
        mailbox: Some(1),
        ..Settings::default()
    };
    cluster.declare_pattern("readings", Pattern::InvertedPublishSubscribe, settings)
}

fn with_id(exchange: ExchangeId, id: &'static str, payload: &'static str, confirm: Confirm) -> Request {
    let mut request = publish(exchange, "k", payload, confirm);
    request.tags.request = Bytes::from_static(id.as_bytes());
    request.tags.connection = Bytes::from_static(b"meter");
    request
}

fn told(outcome: &Outcome) -> (Status, &[u8]) {
    (outcome.status, &outcome.payload[..])
}

#[tokio::test(start_paused = true)]
async fn an_inverted_publish_is_passed_on_once_for_its_id_also_after_a_move() {
    let mut cluster = Cluster::new(3);
    let exchange = remembering(&mut cluster);
    let log = Log::default();
    let nobody = confirmed(&cluster, 2, with_id(exchange, "7", "early", Confirm::Accepted)).await;
    assert_eq!(
        nobody.status,
        none(NoReply::NoResponders),
        "and its id is not known"
    );
    cluster.attach(2, "readings", log.handler("c"));
    quiet().await;
    let publish = || with_id(exchange, "7", "x", Confirm::Received);
    let first = confirmed(&cluster, 2, publish()).await;
    assert_eq!((told(&first), first.index), ((Status::Reply, &b""[..]), 1));
    let second = confirmed(&cluster, 1, publish()).await;
    assert_eq!(told(&second), (Status::Reply, DUPLICATE), "from another node");
    assert_eq!(cluster.planes[0].exchanges.owned()[0].duplicates, 1);

    cluster.apply(&Command::Move {
        exchange: name("readings"),
        to: Some(NodeName::new("b").unwrap()),
        epoch: None,
    });
    let moving = cluster.registry.exchanges[&exchange].moving.expect("it moves");
    cluster.planes[0]
        .exchanges
        .hand_off(exchange, moving.to, moving.epoch);
    cluster.appoint().await;
    assert_eq!(cluster.registry.exchanges[&exchange].owner, Some(node(1)));
    let third = confirmed(&cluster, 2, publish()).await;
    assert_eq!(told(&third), (Status::Reply, DUPLICATE), "ids move along");
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    let late = confirmed(&cluster, 2, publish()).await;
    assert_eq!(told(&late), (Status::Reply, &b""[..]), "the window is over");
    quiet().await;
    assert_eq!(log.payloads("c"), ["x", "x"]);
}

/// What did not reach its handler goes to another one under the same id, and is no duplicate of itself.
#[tokio::test(start_paused = true)]
async fn a_publish_that_comes_back_from_a_node_that_is_gone_is_tried_again() {
    let mut cluster = Cluster::new(3);
    let exchange = remembering(&mut cluster);
    let log = Log::default();
    cluster.attach(1, "readings", log.handler("b"));
    cluster.attach(2, "readings", log.handler("c"));
    quiet().await;
    cluster.kill(2);
    for id in ["1", "2", "3"] {
        let outcome = confirmed(&cluster, 0, with_id(exchange, id, id, Confirm::Received)).await;
        assert_eq!(
            (told(&outcome), outcome.index),
            ((Status::Reply, &b""[..]), 1),
            "{id}"
        );
        quiet().await;
    }
    assert_eq!(log.payloads("b"), ["1", "2", "3"]);
}

/// Whoever is told that nobody has it may publish it again, and it is new.
#[tokio::test(start_paused = true)]
async fn the_id_of_a_publish_that_was_turned_away_is_new_again() {
    let mut cluster = Cluster::new(3);
    let exchange = remembering(&mut cluster);
    let log = Log::default();
    cluster.attach(1, "readings", log.handler("b"));
    quiet().await;
    for id in ["late", "waits"] {
        let outcome = confirmed(&cluster, 2, with_id(exchange, id, id, Confirm::Accepted)).await;
        assert_eq!(outcome.status, Status::Reply);
        quiet().await;
    }
    let full = confirmed(&cluster, 2, with_id(exchange, "3", "y", Confirm::Received)).await;
    assert_eq!(full.status, none(NoReply::Rejected));
    quiet().await;
    tokio::time::sleep(std::time::Duration::from_secs(21)).await;
    let again = confirmed(&cluster, 2, with_id(exchange, "3", "y", Confirm::Received)).await;
    assert_eq!(told(&again), (Status::Reply, &b""[..]));
    let known = confirmed(
        &cluster,
        2,
        with_id(exchange, "waits", "waits", Confirm::Received),
    )
    .await;
    assert_eq!(
        told(&known),
        (Status::Reply, DUPLICATE),
        "others are known as before"
    );
    quiet().await;
    assert_eq!(log.payloads("b"), ["late", "waits", "y"]);
}
