//! Publish-subscribe exchanges that move: patterns and remembered ids go along.

use squall_kernel::frame::Status;
use squall_kernel::id::NodeName;
use squall_kernel::registry::{Command, Settings};
use squall_kernel::time::Span;

use super::super::cluster::{Cluster, name, node, quiet};
use super::{Bytes, Confirm, accepted, confirmed, news, payloads, publish, subscribe};

#[tokio::test(start_paused = true)]
async fn a_move_takes_patterns_and_known_ids_along() {
    let mut cluster = Cluster::new(3);
    let settings = Settings {
        dedup: Some(Span::from_ms(60_000)),
        ..Settings::default()
    };
    let exchange = news(&mut cluster, settings);
    let mut subscriber = subscribe(&cluster, 2, &["k"]).await;
    let mut request = publish(exchange, "k", "with an id", Confirm::Accepted);
    request.tags.request = Bytes::from_static(b"7");
    assert_eq!(
        confirmed(&cluster, 2, request.clone()).await.status,
        Status::Reply
    );

    cluster.apply(&Command::Move {
        exchange: name("news"),
        to: Some(NodeName::new("b").unwrap()),
        epoch: None,
    });
    let moving = cluster.registry.exchanges[&exchange].moving.expect("it moves");
    cluster.planes[0]
        .exchanges
        .hand_off(exchange, moving.to, moving.epoch);
    cluster.appoint().await;
    assert_eq!(cluster.registry.exchanges[&exchange].owner, Some(node(1)));

    let again = confirmed(&cluster, 2, request).await;
    assert_eq!(
        (again.status, &again.payload[..]),
        (Status::Reply, &b"duplicate"[..]),
        "B10"
    );
    accepted(&cluster, 0, exchange, "k", "after the move").await;
    quiet().await;
    assert_eq!(payloads(&mut subscriber), ["with an id", "after the move"]);
}

/// A subscriber that left while its subscription was under way leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn a_subscriber_that_is_gone_before_it_is_subscribed_is_not_kept() {
    let mut cluster = Cluster::new(2);
    let exchange = news(&mut cluster, Settings::default());
    for _ in 0..3 {
        let pubsub = &cluster.planes[1].pubsub;
        let mut subscribing = Box::pin(subscribe(&cluster, 1, &["k"]));
        // Polled once, so that the question is under way, then dropped.
        tokio::select! {
            biased;
            _ = &mut subscribing => panic!("answered before the owner was asked"),
            () = std::future::ready(()) => {}
        }
        drop(subscribing);
        quiet().await;
        assert_eq!(pubsub.figures(exchange).unwrap().subscribers, 0);
    }
}
