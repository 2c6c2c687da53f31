//! Middleware of clients in other languages (A30): what the gRPC session tells and takes.

use squall_kernel::registry::{Pattern, Settings, Strategy};
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event;

use super::cluster::{Cluster, Log, name};
use super::grpc_session::{Talk, attach, call, connect};

/// `orders` behind `auth`, whose handler is a client's; a second client asks.
async fn rig() -> (Cluster, Talk, Talk) {
    let mut cluster = Cluster::new(2);
    cluster.declare("auth", Strategy::RoundRobin);
    let settings = Settings {
        middleware: vec![name("auth")],
        ..Settings::default()
    };
    cluster.declare_pattern("orders", Pattern::RequestResponse, settings);
    cluster.attach(0, "orders", Log::default().handler("orders"));
    cluster.attach(0, "auth", Log::default().handler("never asked"));
    let (mut serving, mut asking) = (connect(&cluster, 1).await, connect(&cluster, 0).await);
    let mut server = Talk::open(&mut serving).await;
    server.next().await;
    server.say(vec![attach(7, "auth")]).await;
    server.next().await;
    let mut client = Talk::open(&mut asking).await;
    client.next().await;
    (cluster, server, client)
}

async fn delivered(server: &mut Talk) -> v1::Delivery {
    loop {
        match server.next().await {
            Event::Delivery(delivery) => return delivery,
            Event::System(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn outcome(client: &mut Talk) -> v1::RequestOutcome {
    match client.next().await {
        Event::Outcome(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

/// Asks until the client's handler is whose turn it is, and gives what becomes of its verdict.
async fn judged(verdict: v1::Reply) -> (v1::Delivery, v1::RequestOutcome) {
    let (_cluster, mut server, mut client) = rig().await;
    for id in [1, 2] {
        client.say(vec![Action::Request(call(id, "orders"))]).await;
    }
    let delivery = delivered(&mut server).await;
    let reply = v1::Reply {
        delivery: delivery.delivery,
        ..verdict
    };
    server.say(vec![Action::Reply(reply)]).await;
    let (first, second) = (outcome(&mut client).await, outcome(&mut client).await);
    // The other one was answered by a handler that replies, which is not for middleware to do.
    let other = "the middleware 'auth' replied, which is not for it to do";
    let ours = if first.reason == other { second } else { first };
    (delivery, ours)
}

/// A30: a pass, a rewrite, a redirect, a decline and a failure, each as it is meant.
#[tokio::test]
async fn a_client_of_any_language_is_middleware() {
    let of = |verdict: v1::Verdict| v1::Reply {
        verdict: verdict.into(),
        ..Default::default()
    };
    let (delivery, passed) = judged(of(v1::Verdict::Pass)).await;
    assert_eq!(
        (delivery.ahead_of.as_str(), delivery.exchange.as_str()),
        ("orders", "auth")
    );
    assert_eq!(&passed.payload[..], b"orders");
    let rewritten = v1::Reply {
        payload: "decline".into(),
        ..of(v1::Verdict::Rewrite)
    };
    assert_eq!(judged(rewritten).await.1.reason, "orders will not");
    let declined = v1::Reply {
        declined: true,
        reason: "not you".into(),
        ..Default::default()
    };
    let (_, declined) = judged(declined).await;
    assert_eq!(
        (declined.kind(), declined.reason.as_str()),
        (v1::OutcomeKind::Declined, "not you")
    );
    let away = |to: &str| v1::Reply {
        redirect_to: to.into(),
        ..of(v1::Verdict::Redirect)
    };
    assert!(
        judged(away("nowhere"))
            .await
            .1
            .reason
            .contains("'nowhere', which there is not")
    );
    assert!(
        judged(away("no name"))
            .await
            .1
            .reason
            .starts_with("sent on to 'no name'")
    );
    let failed = v1::Reply {
        reason: "at line 3".into(),
        ..of(v1::Verdict::Failed)
    };
    let (_, failed) = judged(failed).await;
    assert_eq!(
        (failed.kind(), failed.reason.as_str()),
        (v1::OutcomeKind::Failed, "failed: at line 3")
    );
}

/// A30: without a handler the outcome says of which middleware.
#[tokio::test]
async fn an_exchange_whose_middleware_is_nobody_says_so() {
    let mut cluster = Cluster::new(1);
    let settings = Settings {
        middleware: vec![name("auth")],
        ..Settings::default()
    };
    cluster.declare_pattern("orders", Pattern::RequestResponse, settings);
    let mut asking = connect(&cluster, 0).await;
    let mut client = Talk::open(&mut asking).await;
    client.next().await;
    client.say(vec![Action::Request(call(1, "orders"))]).await;
    let outcome = outcome(&mut client).await;
    assert_eq!(outcome.kind(), v1::OutcomeKind::NoMiddleware);
    assert!(outcome.reason.contains("'auth'"), "{}", outcome.reason);
}
