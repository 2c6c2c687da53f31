//! Controllers: who is asked, how often, and that nobody subscribes without an answer.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use squall_client::handler::{Answer, Delivery, Handler};
use squall_kernel::registry::{Pattern, Settings, Strategy};

use super::super::cluster::{Cluster, name, quiet};
use super::{payloads, received, subscribe};
use crate::handlers::HandlerTags;
use crate::pubsub::{SubscribeError, Subscription};

/// Lets everybody have what begins with `open`, gives `open.instead` for what begins with `other`, and refuses the rest.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<Vec<String>>>);

impl Handler for Gate {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        let text = String::from_utf8(delivery.payload.to_vec()).unwrap();
        let fields: Vec<&str> = text.split('\t').collect();
        let answer = match fields[..] {
            ["unsubscribe", ..] => "",
            [.., pattern] if pattern.starts_with("open") => "accept",
            [.., pattern] if pattern.starts_with("other") => "keys\topen.instead\topen.too",
            [.., "silent"] => std::future::pending().await,
            [.., "panic"] => panic!("as asked"),
            [.., "odd"] => "perhaps",
            _ => "refuse this is not for you",
        };
        self.0.lock().unwrap().push(text.clone());
        Answer::Reply(Bytes::from_static(answer.as_bytes()))
    }
}

fn attach(cluster: &Cluster, n: usize, gate: &Gate) {
    let tags = HandlerTags {
        service: String::new(),
        connection: String::new(),
        works: false,
    };
    let handlers = &cluster.planes[n].handlers;
    handlers
        .attach_embedded(&name("gate"), tags, gate.clone())
        .unwrap();
}

/// Two handlers of `gate`, one of which leads, and `news` that asks it.
async fn gated() -> (Cluster, Gate) {
    let mut cluster = Cluster::new(3);
    cluster.declare("gate", Strategy::Consensus);
    let settings = Settings {
        controller: Some(name("gate")),
        ..Settings::default()
    };
    cluster.declare_pattern("news", Pattern::PublishSubscribe, settings);
    let gate = Gate::default();
    attach(&cluster, 1, &gate);
    attach(&cluster, 2, &gate);
    cluster.appoint().await;
    (cluster, gate)
}

async fn refused(cluster: &Cluster, pattern: &str) -> String {
    let pubsub = &cluster.planes[2].pubsub;
    match pubsub.subscribe_embedded(&name("news"), "", &[pattern]).await {
        Err(SubscribeError::Controller { reason, .. }) => reason,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("subscribed"),
    }
}

async fn publish(cluster: &Cluster, key: &'static str) -> bool {
    let news = cluster.registry.names[&name("news")];
    let request = crate::router::Request::publish(
        news,
        Bytes::from_static(key.as_bytes()),
        Bytes::from_static(key.as_bytes()),
        crate::router::Publish::default(),
    );
    let outcome = cluster.planes[0].router.request(request).await;
    quiet().await;
    outcome.status == squall_kernel::frame::Status::Reply
}

#[tokio::test(start_paused = true)]
async fn a5_a6_the_controller_accepts_refuses_and_rewrites_and_is_asked_once() {
    let (cluster, gate) = gated().await;
    let mut open = subscribe(&cluster, 0, &["open.#"]).await;
    let mut other: Subscription = subscribe(&cluster, 2, &["other"]).await;
    assert_eq!(refused(&cluster, "closed").await, "this is not for you");
    assert!(publish(&cluster, "open.instead").await && publish(&cluster, "other").await);
    assert_eq!(payloads(&mut open), ["open.instead"]);
    assert_eq!(payloads(&mut other), ["open.instead"]);
    assert_eq!(
        gate.0.lock().unwrap().len(),
        3,
        "A6: one of the two handlers is asked, once each"
    );
    drop(open);
    quiet().await;
    let asked = gate.0.lock().unwrap().clone();
    assert_eq!(asked.len(), 4);
    assert!(asked[0].starts_with("subscribe\tnews\t<a."), "{}", asked[0]);
    assert!(asked[0].ends_with("\topen.#"), "{}", asked[0]);
    assert!(asked[3].starts_with("unsubscribe\tnews\t<a."), "{}", asked[3]);
}

#[tokio::test(start_paused = true)]
async fn a5_without_an_answer_nobody_subscribes() {
    let (mut cluster, _gate) = gated().await;
    assert!(!refused(&cluster, "panic").await.is_empty());
    assert!(refused(&cluster, "odd").await.contains("neither accept"));
    assert_eq!(refused(&cluster, "silent").await, "timeout");
    for n in [1, 2] {
        cluster.kill(n);
        cluster.declare_lost(n);
    }
    cluster.appoint().await;
    let pubsub = &cluster.planes[0].pubsub;
    let nobody = pubsub
        .subscribe_embedded(&name("news"), "", &["open"])
        .await
        .err();
    assert!(
        matches!(nobody, Some(SubscribeError::Controller { .. })),
        "{nobody:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a5_a_failover_of_the_exchange_asks_nobody_again() {
    let (mut cluster, gate) = gated().await;
    let mut kept = subscribe(&cluster, 2, &["open"]).await;
    let asked = gate.0.lock().unwrap().len();
    cluster.kill(0);
    cluster.declare_lost(0);
    cluster.appoint().await;
    let news = cluster.registry.names[&name("news")];
    assert_eq!(
        received(&cluster, 1, news, "x").await,
        Some(0),
        "nobody has that key"
    );
    let request = crate::router::Request::publish(
        news,
        Bytes::from_static(b"open"),
        Bytes::from_static(b"after"),
        crate::router::Publish::default(),
    );
    let outcome = cluster.planes[1].router.request(request).await;
    assert_eq!(outcome.status, squall_kernel::frame::Status::Reply);
    quiet().await;
    assert_eq!(payloads(&mut kept), ["after"]);
    assert_eq!(gate.0.lock().unwrap().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn a5_a_controller_that_is_none_refuses_in_words() {
    let mut cluster = Cluster::new(3);
    cluster.declare("turns", Strategy::RoundRobin);
    for (news, controller, words) in [
        ("news", "nothing", "there is no such exchange"),
        ("olds", "turns", "strategy consensus"),
    ] {
        let settings = Settings {
            controller: Some(name(controller)),
            ..Settings::default()
        };
        cluster.declare_pattern(news, Pattern::PublishSubscribe, settings);
        let pubsub = &cluster.planes[1].pubsub;
        let error = pubsub.subscribe_embedded(&name(news), "", &["k"]).await.err();
        let told = error.expect("refused").to_string();
        assert!(told.contains(words), "{told}");
    }
}
