//! The gRPC `Session` service over a real connection, with the generated client.

use std::sync::Arc;

use squall_kernel::registry::{Pattern, Settings, Strategy};
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event;
use squall_proto::v1::session_client::SessionClient;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Status, Streaming};

use super::cluster::{Cluster, Log};
use crate::session::GrpcSessions;

pub(super) async fn connect(cluster: &Cluster, n: usize) -> SessionClient<Channel> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let leaving = watch::Sender::new(false);
    let service = GrpcSessions::new(Arc::clone(&cluster.planes[n]), leaving.subscribe()).into_server();
    let serving = Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    SessionClient::connect(format!("http://{address}")).await.unwrap()
}

pub(super) struct Talk {
    actions: mpsc::Sender<v1::ClientBatch>,
    events: Streaming<v1::ServerBatch>,
    ready: std::collections::VecDeque<Event>,
}

impl Talk {
    pub(super) async fn open(client: &mut SessionClient<Channel>) -> Self {
        let (actions, batches) = mpsc::channel(8);
        let first = Action::Open(v1::OpenSession { name: "test".into() });
        actions.send(batch(vec![first])).await.unwrap();
        let events = client
            .open(ReceiverStream::new(batches))
            .await
            .unwrap()
            .into_inner();
        Self {
            actions,
            events,
            ready: std::collections::VecDeque::new(),
        }
    }

    pub(super) async fn say(&self, actions: Vec<Action>) {
        self.actions.send(batch(actions)).await.unwrap();
    }

    /// The reason with which the node has ended it.
    pub(super) async fn end(&mut self) -> Status {
        self.events.message().await.expect_err("it has ended")
    }

    pub(super) async fn next(&mut self) -> Event {
        while self.ready.is_empty() {
            let batch = self.events.message().await.unwrap().unwrap();
            self.ready
                .extend(batch.events.into_iter().filter_map(|e| e.event));
        }
        self.ready.pop_front().unwrap()
    }
}

fn batch(actions: Vec<Action>) -> v1::ClientBatch {
    let actions = actions
        .into_iter()
        .map(|action| v1::ClientAction { action: Some(action) })
        .collect();
    v1::ClientBatch { actions }
}

pub(super) fn attach(handler: u32, exchange: &str) -> Action {
    Action::Attach(v1::Attach {
        handler,
        exchange: exchange.into(),
        connection_tag: "c".into(),
        ..Default::default()
    })
}

pub(super) fn call(id: u64, exchange: &str) -> v1::RequestCall {
    v1::RequestCall {
        id,
        exchange: exchange.into(),
        payload: "question".into(),
        ..Default::default()
    }
}

/// A8, A21.
#[tokio::test]
async fn a_handler_joins_through_the_service_and_leads() {
    let mut cluster = Cluster::new(2);
    cluster.declare("ledger", Strategy::Consensus);
    let (mut serving, mut asking) = (connect(&cluster, 1).await, connect(&cluster, 0).await);
    let mut server = Talk::open(&mut serving).await;
    assert!(matches!(server.next().await, Event::Opened(opened) if opened.node == "b"));
    server
        .say(vec![
            attach(7, "ledger"),
            attach(8, "nothing"),
            attach(7, "ledger"),
        ])
        .await;
    let Event::Attached(attached) = server.next().await else {
        panic!("not attached")
    };
    assert_eq!((attached.handler, attached.epoch), (7, 1));
    assert!(
        matches!(server.next().await, Event::Refused(r) if r.handler == 8 && r.reason.contains("'nothing'"))
    );
    assert!(matches!(server.next().await, Event::Refused(r) if r.handler == 7));
    loop {
        cluster.appoint().await;
        let Event::System(system) = server.next().await else {
            panic!("no system message")
        };
        if let Some(v1::system_message::What::Leader(leader)) = system.what
            && leader.you
        {
            assert_eq!((leader.leader, leader.leader_epoch), (attached.pid, 1));
            break;
        }
    }
    let mut request = Request::new(call(1, "ledger"));
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request
        .metadata_mut()
        .insert("traceparent", traceparent.parse().unwrap());
    let answer = tokio::spawn(async move { asking.request(request).await });
    let Event::Delivery(delivery) = server.next().await else {
        panic!("no delivery")
    };
    assert_eq!(
        (delivery.handler, &delivery.payload[..], delivery.leader_epoch),
        (7, &b"question"[..], 1)
    );
    assert_eq!(delivery.traceparent, traceparent);
    let reply = v1::Reply {
        delivery: delivery.delivery,
        payload: "answer".into(),
        ..Default::default()
    };
    server.say(vec![Action::Reply(reply)]).await;
    let outcome = answer.await.unwrap().unwrap().into_inner();
    assert_eq!(
        (outcome.kind(), &outcome.payload[..]),
        (v1::OutcomeKind::Reply, &b"answer"[..])
    );
}

#[tokio::test]
async fn outcomes_of_a_sessions_requests_come_as_events() {
    let mut cluster = Cluster::new(1);
    let log = Log::default();
    cluster.declare("orders", Strategy::RoundRobin);
    let mut client = connect(&cluster, 0).await;
    let mut talk = Talk::open(&mut client).await;
    assert!(matches!(talk.next().await, Event::Opened(_)));
    talk.say(vec![Action::Request(call(1, "orders"))]).await;
    let Event::Outcome(outcome) = talk.next().await else {
        panic!("no outcome")
    };
    assert_eq!((outcome.id, outcome.kind()), (1, v1::OutcomeKind::NoResponders));
    cluster.attach(0, "orders", log.handler("on-a"));
    talk.say(vec![
        Action::Request(call(2, "orders")),
        Action::Request(call(3, "nothing")),
    ])
    .await;
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let Event::Outcome(outcome) = talk.next().await else {
            panic!("no outcome")
        };
        outcomes.push((outcome.id, outcome.kind(), outcome.reason));
    }
    outcomes.sort_unstable_by_key(|(id, ..)| *id);
    assert_eq!(outcomes[0], (2, v1::OutcomeKind::Reply, String::new()));
    assert_eq!(
        outcomes[1],
        (
            3,
            v1::OutcomeKind::Unavailable,
            "unavailable: unknown exchange 'nothing'".into()
        )
    );
}

#[tokio::test]
async fn a_stream_that_does_not_begin_with_open_is_refused() {
    let cluster = Cluster::new(1);
    let mut client = connect(&cluster, 0).await;
    let (actions, batches) = mpsc::channel(8);
    actions.send(batch(vec![attach(1, "orders")])).await.unwrap();
    let mut events = client
        .open(ReceiverStream::new(batches))
        .await
        .unwrap()
        .into_inner();
    let error = events.message().await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
}

pub(super) fn subscribe(subscriber: u32, exchange: &str, pattern: &str) -> Action {
    Action::Subscribe(v1::Subscribe {
        subscriber,
        exchange: exchange.into(),
        patterns: vec![pattern.into()],
        connection_tag: "c".into(),
        credit: 1,
    })
}

pub(super) fn publish(id: u64, key: &str) -> Action {
    Action::Publish(v1::Publish {
        id,
        exchange: "news".into(),
        key: key.into(),
        payload: "rain".into(),
        confirm: v1::Confirm::Received.into(),
        message_id: id.to_string(),
        ..Default::default()
    })
}

/// A1: one process answers a request and publishes, in one session and at the same time.
#[tokio::test]
async fn one_service_uses_several_patterns_at_once() {
    let mut cluster = Cluster::new(2);
    let greet = cluster.declare("greet", Strategy::RoundRobin);
    cluster.declare_pattern("news", Pattern::PublishSubscribe, Settings::default());
    let (mut there, mut here) = (connect(&cluster, 1).await, connect(&cluster, 0).await);
    let (mut reader, mut service) = (Talk::open(&mut there).await, Talk::open(&mut here).await);
    let (Event::Opened(_), Event::Opened(_)) = (reader.next().await, service.next().await) else {
        panic!("not opened")
    };
    reader.say(vec![subscribe(2, "news", "a.#")]).await;
    assert!(matches!(reader.next().await, Event::Subscribed(_)));
    service.say(vec![attach(7, "greet")]).await;
    assert!(matches!(service.next().await, Event::Attached(_)));
    let plane = Arc::clone(&cluster.planes[1]);
    let asked =
        tokio::spawn(async move { plane.router.request(super::cluster::asked(greet, "hello")).await });
    let delivery = loop {
        if let Event::Delivery(delivery) = service.next().await {
            break delivery;
        }
    };
    let answer = Action::Reply(v1::Reply {
        delivery: delivery.delivery,
        payload: "good day".into(),
        ..Default::default()
    });
    service.say(vec![publish(1, "a.b"), answer]).await;
    assert!(matches!(reader.next().await, Event::Published(event) if event.key == "a.b"));
    assert_eq!(asked.await.unwrap().payload, "good day");
    assert!(
        matches!(service.next().await, Event::Outcome(outcome) if outcome.kind() == v1::OutcomeKind::Reply)
    );
}

/// A29 over the session: a subscriber with a credit of one gets the second publish when it has taken the first.
#[tokio::test]
async fn a_session_subscribes_and_publishes() {
    let mut cluster = Cluster::new(2);
    cluster.declare_pattern("news", Pattern::PublishSubscribe, Settings::default());
    let (mut there, mut here) = (connect(&cluster, 1).await, connect(&cluster, 0).await);
    let (mut reader, mut writer) = (Talk::open(&mut there).await, Talk::open(&mut here).await);
    let (Event::Opened(_), Event::Opened(_)) = (reader.next().await, writer.next().await) else {
        panic!("not opened")
    };
    reader
        .say(vec![subscribe(1, "news", "a*"), subscribe(2, "news", "a.#")])
        .await;
    assert!(
        matches!(reader.next().await, Event::SubscriberEnded(it) if it.subscriber == 1 && it.reason.contains("alone"))
    );
    assert!(matches!(reader.next().await, Event::Subscribed(it) if it.subscriber == 2));
    writer
        .say(vec![publish(1, "a.b"), publish(2, "a.c"), publish(3, "a..c")])
        .await;
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let Event::Outcome(outcome) = writer.next().await else {
            panic!("no outcome")
        };
        outcomes.push((outcome.id, outcome.kind(), outcome.reply_count));
    }
    outcomes.sort_by_key(|(id, ..)| *id);
    let kinds = [
        v1::OutcomeKind::Reply,
        v1::OutcomeKind::Reply,
        v1::OutcomeKind::Declined,
    ];
    assert_eq!(outcomes, [(1, kinds[0], 1), (2, kinds[1], 1), (3, kinds[2], 0)]);
    for (key, id) in [("a.b", "1"), ("a.c", "2")] {
        let Event::Published(event) = reader.next().await else {
            panic!("no publish")
        };
        assert_eq!(
            (event.subscriber, event.key.as_str(), event.message_id.as_str()),
            (2, key, id)
        );
        assert_eq!(
            (event.connection_tags, &event.payload[..]),
            (vec!["c".to_owned()], &b"rain"[..])
        );
        reader
            .say(vec![Action::Took(v1::Took {
                subscriber: 2,
                events: 1,
            })])
            .await;
    }
}
