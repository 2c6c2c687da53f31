//! Publish-subscribe: who gets a publish, how often, in which order, and what its publisher is told.

#[path = "publishing/inverted.rs"]
mod inverted;
#[path = "publishing/moving.rs"]
mod moving;

use bytes::Bytes;
use squall_kernel::frame::{Priority, Status};
use squall_kernel::id::ExchangeId;
use squall_kernel::order::WhenFull;
use squall_kernel::publishing::Confirm;
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{Pattern, Settings};
use squall_kernel::time::{Instant, Span};

use super::cluster::{Cluster, asked, name, none, quiet};
use crate::pubsub::{SubscribeError, SubscriberEvent, Subscription};
use crate::router::{Outcome, Publish, Request};

fn news(cluster: &mut Cluster, settings: Settings) -> ExchangeId {
    cluster.declare_pattern("news", Pattern::PublishSubscribe, settings)
}

async fn subscribe(cluster: &Cluster, n: usize, patterns: &[&str]) -> Subscription {
    let pubsub = &cluster.planes[n].pubsub;
    pubsub
        .subscribe_embedded(&name("news"), "tag", patterns)
        .await
        .unwrap()
}

fn publish(exchange: ExchangeId, key: &'static str, payload: &'static str, confirm: Confirm) -> Request {
    let head = Publish {
        confirm,
        ..Publish::default()
    };
    let (key, payload) = (key.as_bytes(), payload.as_bytes());
    Request::publish(
        exchange,
        Bytes::from_static(key),
        Bytes::from_static(payload),
        head,
    )
}

async fn confirmed(cluster: &Cluster, n: usize, request: Request) -> Outcome {
    cluster.planes[n].router.request(request).await
}

async fn accepted(
    cluster: &Cluster,
    n: usize,
    exchange: ExchangeId,
    key: &'static str,
    payload: &'static str,
) {
    let outcome = confirmed(cluster, n, publish(exchange, key, payload, Confirm::Accepted)).await;
    assert_eq!(outcome.status, Status::Reply, "{}", outcome.reason());
    quiet().await;
}

fn payloads(subscription: &mut Subscription) -> Vec<Bytes> {
    std::iter::from_fn(|| subscription.try_next())
        .map(|event: SubscriberEvent| event.published.payload.clone())
        .collect()
}

/// A26, A29.
#[tokio::test(start_paused = true)]
async fn a29_a_publish_reaches_each_subscriber_of_its_key_once_with_all_tags() {
    let mut cluster = Cluster::new(3);
    let exchange = news(&mut cluster, Settings::default());
    let mut here = subscribe(&cluster, 0, &["weather.north"]).await;
    let mut there = subscribe(&cluster, 2, &["weather.north", "weather.south"]).await;
    there.also("wild", &["weather.*", "#"]).await.unwrap();
    let mut other = subscribe(&cluster, 2, &["sport"]).await;
    accepted(&cluster, 1, exchange, "weather.north", "rain").await;
    assert_eq!(payloads(&mut here), ["rain"]);
    let event = there.try_next().unwrap();
    let mut tags = event.connections.to_vec();
    tags.sort();
    assert_eq!(
        (tags, there.try_next()),
        (vec![Bytes::from("tag"), Bytes::from("wild")], None),
        "A26"
    );
    assert_eq!(payloads(&mut other), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a108_b6_wildcards_match_whole_segments() {
    let mut cluster = Cluster::new(2);
    let exchange = news(&mut cluster, Settings::default());
    let mut one = subscribe(&cluster, 1, &["news.*"]).await;
    let mut any = subscribe(&cluster, 1, &["news.#"]).await;
    for key in ["news", "news.a", "news.a.b", "newsroom"] {
        accepted(&cluster, 0, exchange, key, key).await;
    }
    assert_eq!(payloads(&mut one), ["news.a"]);
    assert_eq!(payloads(&mut any), ["news", "news.a", "news.a.b"]);
}

/// A34 in small: 5 nodes, 400 subscribers on each, one publish is one frame to each other node.
#[tokio::test(start_paused = true)]
async fn a34_frames_between_nodes_are_nodes_with_a_subscriber_however_many_subscribers_there_are() {
    let mut cluster = Cluster::new(5);
    let exchange = news(&mut cluster, Settings::default());
    let mut all = Vec::new();
    for n in 0..5 {
        for _ in 0..400 {
            all.push(subscribe(&cluster, n, &["a.b", "a.*"]).await);
        }
    }
    let mut elsewhere = subscribe(&cluster, 4, &["x"]).await;
    quiet().await;
    assert_eq!(
        cluster.planes[0].pubsub.figures(exchange).unwrap().patterns,
        3,
        "A33: each pattern once"
    );
    let before = cluster.net.all_frames();
    let sent = publish(exchange, "a.b", "once", Confirm::None);
    assert_eq!(confirmed(&cluster, 0, sent).await.status, Status::Reply);
    quiet().await;
    assert_eq!(
        cluster.net.all_frames() - before,
        4,
        "one frame to each node but the owner"
    );
    assert!(all.iter_mut().all(|s| payloads(s) == ["once"]));
    let before = cluster.net.all_frames();
    assert_eq!(
        confirmed(&cluster, 0, publish(exchange, "x", "to one", Confirm::None))
            .await
            .status,
        Status::Reply
    );
    quiet().await;
    assert_eq!(cluster.net.all_frames() - before, 1);
    assert_eq!(payloads(&mut elsewhere), ["to one"]);
}

#[tokio::test(start_paused = true)]
async fn received_is_confirmed_by_each_node_with_a_subscriber() {
    let mut cluster = Cluster::new(3);
    let exchange = news(&mut cluster, Settings::default());
    let nobody = confirmed(&cluster, 1, publish(exchange, "k", "x", Confirm::Received)).await;
    assert_eq!(
        (nobody.status, nobody.count),
        (Status::Reply, 0),
        "nobody subscribes"
    );
    let _subscribers = [
        subscribe(&cluster, 0, &["k"]).await,
        subscribe(&cluster, 2, &["#"]).await,
    ];
    let request = publish(exchange, "k", "x", Confirm::Received);
    let mut outcomes = cluster.planes[1].router.request_all(request);
    let mut seen = Vec::new();
    while let Some(outcome) = outcomes.recv().await {
        assert_eq!((outcome.status, outcome.count), (Status::Reply, 2));
        seen.push(outcome.index);
    }
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
    let stats = cluster.planes[1].router.stats()[0];
    assert_eq!((stats.ended, stats.replies), (2, 2), "one end for each publish");
}

#[tokio::test(start_paused = true)]
async fn i10_what_one_publisher_publishes_comes_in_its_order() {
    let mut cluster = Cluster::new(3);
    let exchange = news(&mut cluster, Settings::default());
    let mut subscriber = subscribe(&cluster, 2, &["k"]).await;
    let payloads_sent = ["1", "2", "3", "4", "5", "6", "7", "8"];
    for payload in payloads_sent {
        let sent = confirmed(&cluster, 1, publish(exchange, "k", payload, Confirm::None)).await;
        assert_eq!(sent.status, Status::Reply);
    }
    quiet().await;
    assert_eq!(payloads(&mut subscriber), payloads_sent);
}

#[tokio::test(start_paused = true)]
async fn b9_a_slow_subscriber_hurts_itself_only() {
    for (when_full, kept, word) in [
        (WhenFull::Reject, ["1", "2"], none(NoReply::Rejected)),
        (WhenFull::DropOldest, ["2", "3"], Status::Reply),
    ] {
        let mut cluster = Cluster::new(2);
        let settings = Settings {
            mailbox: Some(2),
            when_full,
            ..Settings::default()
        };
        let exchange = news(&mut cluster, settings);
        let mut slow = subscribe(&cluster, 1, &["k"]).await;
        let mut quick = subscribe(&cluster, 1, &["k"]).await;
        let mut got = Vec::new();
        for (payload, expected) in [("1", Status::Reply), ("2", Status::Reply), ("3", word)] {
            let outcome = confirmed(&cluster, 0, publish(exchange, "k", payload, Confirm::Received)).await;
            assert_eq!(outcome.status, expected, "{when_full} {payload}");
            got.extend(payloads(&mut quick));
        }
        assert_eq!(got, ["1", "2", "3"], "{when_full}");
        assert_eq!(payloads(&mut slow), kept, "{when_full}");
    }
}

/// Whoever waits for one word hears of all nodes.
#[tokio::test(start_paused = true)]
async fn received_is_not_said_where_one_of_two_nodes_did_not_take_it() {
    let mut cluster = Cluster::new(3);
    let settings = Settings {
        mailbox: Some(1),
        when_full: WhenFull::Reject,
        ..Settings::default()
    };
    let exchange = news(&mut cluster, settings);
    let mut first = subscribe(&cluster, 1, &["k"]).await;
    let mut second = subscribe(&cluster, 2, &["k"]).await;
    let received = async |payload| {
        let publish = publish(exchange, "k", payload, Confirm::Received);
        confirmed(&cluster, 0, publish).await.status
    };
    assert_eq!(received("1").await, Status::Reply);
    assert_eq!(
        (payloads(&mut first), payloads(&mut second)),
        (vec!["1".into()], vec!["1".into()])
    );
    assert_eq!(received("2").await, Status::Reply);
    assert_eq!(payloads(&mut first), ["2"]);
    assert_eq!(received("3").await, none(NoReply::Rejected), "the second is full");
    assert_eq!(payloads(&mut second), ["2"]);
    assert_eq!(payloads(&mut first), ["3"]);
    assert_eq!(received("4").await, Status::Reply);
    payloads(&mut second);
    assert_eq!(received("5").await, none(NoReply::Rejected), "the first is full");
}

#[tokio::test(start_paused = true)]
async fn b9_under_block_the_publisher_waits_until_the_slow_subscriber_reads() {
    let mut cluster = Cluster::new(2);
    let settings = Settings {
        mailbox: Some(1),
        when_full: WhenFull::Block,
        ..Settings::default()
    };
    let exchange = news(&mut cluster, settings);
    let mut slow = subscribe(&cluster, 1, &["k"]).await;
    let mut quick = subscribe(&cluster, 1, &["k"]).await;
    let first = confirmed(&cluster, 0, publish(exchange, "k", "1", Confirm::Received)).await;
    assert_eq!(
        (first.status, payloads(&mut quick)),
        (Status::Reply, vec![Bytes::from("1")])
    );
    let mut second = Box::pin(confirmed(
        &cluster,
        0,
        publish(exchange, "k", "2", Confirm::Received),
    ));
    tokio::select! {
        outcome = &mut second => panic!("confirmed too early: {outcome:?}"),
        () = quiet() => {}
    }
    assert_eq!(payloads(&mut quick), ["2"], "nobody else waits");
    assert_eq!(slow.try_next().unwrap().published.payload, "1");
    assert_eq!(second.await.status, Status::Reply);
    assert_eq!(payloads(&mut slow), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn b9_the_urgent_come_first_and_what_is_out_of_time_not_at_all() {
    let mut cluster = Cluster::new(2);
    let settings = Settings {
        ttl: Some(Span::from_ms(50)),
        ..Settings::default()
    };
    let exchange = news(&mut cluster, settings);
    let mut subscriber = subscribe(&cluster, 1, &["k"]).await;
    let with = |payload, ttl_ms, priority| Request {
        publish: Some(Publish {
            confirm: Confirm::Received,
            ttl_ms,
            priority: Priority::new(priority).unwrap(),
        }),
        ..publish(exchange, "k", payload, Confirm::Received)
    };
    for request in [
        with("short", 0, 0),
        with("usual", 5000, 0),
        with("urgent", 5000, 9),
    ] {
        assert_eq!(confirmed(&cluster, 0, request).await.status, Status::Reply);
    }
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    assert_eq!(payloads(&mut subscriber), ["urgent", "usual"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_held_back_behind_what_grew_too_old_is_read_at_once() {
    let mut cluster = Cluster::new(2);
    let settings = Settings {
        when_full: WhenFull::Block,
        mailbox: Some(1),
        ..Settings::default()
    };
    let exchange = news(&mut cluster, settings);
    let mut subscriber = subscribe(&cluster, 1, &["k"]).await;
    let with = |payload, ttl_ms| Request {
        publish: Some(Publish {
            confirm: Confirm::Received,
            ttl_ms,
            ..Publish::default()
        }),
        ..publish(exchange, "k", payload, Confirm::Received)
    };
    assert_eq!(
        confirmed(&cluster, 0, with("short", 50)).await.status,
        Status::Reply
    );
    let mut held = Box::pin(confirmed(&cluster, 0, with("long", 4000)));
    tokio::select! {
        outcome = &mut held => panic!("confirmed too early: {outcome:?}"),
        () = quiet() => {}
    }
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    assert_eq!(payloads(&mut subscriber), ["long"]);
    assert_eq!(held.await.status, Status::Reply);
}

#[tokio::test(start_paused = true)]
async fn b10_a_second_publish_with_the_same_id_is_taken_for_the_first() {
    let mut cluster = Cluster::new(2);
    let settings = Settings {
        dedup: Some(Span::from_ms(1000)),
        ..Settings::default()
    };
    let exchange = news(&mut cluster, settings);
    let mut subscriber = subscribe(&cluster, 1, &["k"]).await;
    for (id, publisher, answer) in [
        ("7", "p", ""),
        ("7", "p", "duplicate"),
        ("8", "p", ""),
        ("7", "q", ""),
    ] {
        let mut request = publish(exchange, "k", id, Confirm::Accepted);
        request.tags.request = Bytes::from(id);
        request.tags.connection = Bytes::from(publisher);
        let outcome = confirmed(&cluster, 0, request).await;
        assert_eq!(
            (outcome.status, &outcome.payload[..]),
            (Status::Reply, answer.as_bytes())
        );
    }
    quiet().await;
    assert_eq!(payloads(&mut subscriber), ["7", "8", "7"]);
}

#[tokio::test(start_paused = true)]
async fn subscribers_outlive_the_owner() {
    let mut cluster = Cluster::new(3);
    let exchange = news(&mut cluster, Settings::default());
    let mut subscriber = subscribe(&cluster, 2, &["k.*"]).await;
    accepted(&cluster, 1, exchange, "k.1", "before").await;
    cluster.kill(0);
    cluster.declare_lost(0);
    // Published before the new owner has heard of any subscriber: it waits.
    accepted(&cluster, 2, exchange, "k.2", "after").await;
    accepted(&cluster, 1, exchange, "k.3", "later").await;
    assert_eq!(payloads(&mut subscriber), ["before", "after", "later"]);
}

#[tokio::test(start_paused = true)]
async fn b2_without_an_owner_the_subscribers_here_get_it_and_the_publisher_is_told() {
    let mut cluster = Cluster::new(3);
    let exchange = news(&mut cluster, Settings::default());
    let mut here = subscribe(&cluster, 1, &["k"]).await;
    let mut there = subscribe(&cluster, 2, &["k"]).await;
    cluster.cut(0);
    let outcome = confirmed(&cluster, 1, publish(exchange, "k", "alone", Confirm::Accepted)).await;
    assert_eq!(outcome.status, none(NoReply::Degraded));
    quiet().await;
    assert_eq!(
        (payloads(&mut here), payloads(&mut there)),
        (vec![Bytes::from("alone")], vec![])
    );
    cluster.heal();
    cluster.leases[0].set(Instant(0));
    let outcome = confirmed(
        &cluster,
        1,
        publish(exchange, "k", "no quorum", Confirm::Received),
    )
    .await;
    assert_eq!(outcome.status, none(NoReply::Degraded));
    quiet().await;
    assert_eq!(payloads(&mut here), ["no quorum"]);
}

#[tokio::test(start_paused = true)]
async fn each_pattern_refuses_what_is_for_others_and_bad_keys_say_where() {
    let mut cluster = Cluster::new(1);
    let exchange = news(&mut cluster, Settings::default());
    let orders = cluster.declare("orders", squall_kernel::registry::Strategy::RoundRobin);
    let outcome = confirmed(&cluster, 0, asked(exchange, "x")).await;
    assert_eq!(
        outcome.reason(),
        "exchange 'news' is publish-subscribe: it takes publishes, not requests"
    );
    let outcome = confirmed(&cluster, 0, publish(orders, "k", "x", Confirm::Accepted)).await;
    assert_eq!(
        outcome.reason(),
        "exchange 'orders' is request-response: it takes no publishes"
    );
    let outcome = confirmed(&cluster, 0, publish(exchange, "a..b", "x", Confirm::None)).await;
    assert_eq!(
        outcome.reason(),
        "a key has no empty segment, this one has one at byte 2"
    );
    let pubsub = &cluster.planes[0].pubsub;
    let wrong = pubsub.subscribe_embedded(&name("orders"), "", &["k"]).await.err();
    assert!(matches!(wrong, Some(SubscribeError::Pattern { .. })), "{wrong:?}");
    let wrong = pubsub
        .subscribe_embedded(&name("news"), "", &["a.b*"])
        .await
        .err();
    assert!(matches!(wrong, Some(SubscribeError::Key { .. })), "{wrong:?}");
}
