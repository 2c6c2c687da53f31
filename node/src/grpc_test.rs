use futures::stream;
use squall_proto::v1;
use squall_proto::v1::admin_client::AdminClient;
use squall_proto::v1::chaos_client::ChaosClient;
use squall_proto::v1::frame::Body as FrameBody;
use squall_proto::v1::introspection_client::IntrospectionClient;
use squall_proto::v1::{Interest, RowKind, Severity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::fake::{Running, exchange, key, start};
use super::*;

/// A watch stream that takes interests later on.
async fn watch(running: &Running, first: Interest) -> (mpsc::Sender<Interest>, tonic::Streaming<v1::Frame>) {
    let (interests, outbound) = mpsc::channel(4);
    interests.send(first).await.expect("room");
    let mut client = IntrospectionClient::new(running.channel.clone());
    let frames = client
        .watch(ReceiverStream::new(outbound))
        .await
        .expect("a stream")
        .into_inner();
    (interests, frames)
}

async fn next(frames: &mut tonic::Streaming<v1::Frame>) -> v1::Frame {
    frames
        .message()
        .await
        .expect("no error")
        .expect("the stream goes on")
}

#[tokio::test]
async fn a_watcher_sees_a_snapshot_in_bounded_parts_then_changes_then_another_interest() {
    let running = start(None).await;
    let name = |n: usize| format!("{n:0>200}");
    running
        .node
        .set((0..1000).map(|n| exchange(&name(n), 0)).collect());
    let (interests, mut frames) = watch(
        &running,
        Interest {
            id: 1,
            ..Default::default()
        },
    )
    .await;
    let (mut rows, mut parts) = (0, 0);
    loop {
        let frame = next(&mut frames).await;
        let Some(FrameBody::Snapshot(part)) = frame.body else {
            panic!("not a part")
        };
        assert_eq!(
            (frame.seq, part.part),
            (parts + 1, u32::try_from(parts).expect("few"))
        );
        rows += part.rows.len();
        parts += 1;
        if part.last {
            break;
        }
    }
    assert!(rows == 1000 && parts > 3, "{rows} rows in {parts} parts");

    running
        .node
        .set((1..1000).map(|n| exchange(&name(n), u64::from(n == 5))).collect());
    running.wake.raise();
    let frame = next(&mut frames).await;
    let changed = v1::Delta {
        rows: vec![exchange(&name(5), 1)],
        removed: vec![],
    };
    let Some(FrameBody::Delta(delta)) = frame.body else {
        panic!("not a delta")
    };
    assert_eq!(
        (delta.rows, delta.removed),
        (changed.rows, vec![key(RowKind::Exchange, &name(0))])
    );

    interests
        .send(Interest {
            id: 2,
            filter: name(7),
            ..Default::default()
        })
        .await
        .expect("open");
    loop {
        let frame = next(&mut frames).await;
        if frame.interest == 2 {
            let rows = vec![exchange(&name(7), 0)];
            let part = v1::SnapshotPart {
                id: 2,
                part: 0,
                last: true,
                rows,
            };
            assert_eq!(frame.body, Some(FrameBody::Snapshot(part)));
            break;
        }
    }
    running.server.stop().await;
    while frames.message().await.expect("ends in order").is_some() {}
}

#[tokio::test]
async fn events_and_hello_are_answered() {
    let running = start(None).await;
    let mut client = IntrospectionClient::new(running.channel.clone());
    let hello = client
        .hello(v1::HelloRequest::default())
        .await
        .expect("hello")
        .into_inner();
    assert_eq!(hello.node, "a");
    for n in ["1", "2", "3"] {
        running.events.record("test", n, "something", Severity::Info, 0);
    }
    let mut first = async |incarnation| {
        let request = v1::EventsRequest {
            from_seq: 3,
            incarnation,
        };
        let mut batches = client.events(request).await.expect("a stream").into_inner();
        let batch = batches.message().await.expect("no error").expect("a batch");
        batch.events.iter().map(|e| e.seq).collect::<Vec<_>>()
    };
    assert_eq!(first(7).await, [3]);
    assert_eq!(
        first(6).await,
        [1, 2, 3],
        "another incarnation starts from the beginning"
    );
    running.server.stop().await;
}

#[tokio::test]
async fn health_is_told_per_service() {
    let running = start(None).await;
    let mut client = HealthClient::new(running.channel.clone());
    for service in [
        "",
        "squall.v1.Introspection",
        "squall.v1.Admin",
        "squall.v1.Chaos",
    ] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let health = client.check(request).await.expect("known").into_inner();
        assert_eq!(health.status, 1, "{service}");
    }
    let unknown = client
        .check(HealthCheckRequest {
            service: "nonsense".into(),
        })
        .await;
    assert_eq!(unknown.expect_err("unknown").code(), Code::NotFound);
    running.server.stop().await;
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let running = start(None).await;
    let mut client = ServerReflectionClient::new(running.channel.clone());
    let list = MessageRequest::ListServices(String::new());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(list),
    };
    let mut answers = client
        .server_reflection_info(stream::iter([request]))
        .await
        .expect("a stream")
        .into_inner();
    let answer = answers.message().await.expect("no error").expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("not a list")
    };
    let names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
    for name in [
        "squall.v1.Introspection",
        "squall.v1.Admin",
        "squall.v1.Chaos",
        "squall.v1.Session",
    ] {
        assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
    }
    running.server.stop().await;
}

#[tokio::test]
async fn without_chaos_every_call_says_how_to_have_it() {
    let running = start(None).await;
    let mut client = ChaosClient::new(running.channel.clone());
    let error = client
        .list_faults(v1::ListFaultsRequest {})
        .await
        .expect_err("off");
    assert_eq!(error.code(), Code::Unimplemented);
    assert_eq!(
        error.message(),
        "this node takes no faults: it was started without --chaos"
    );
    assert_eq!(
        client
            .halt(v1::HaltRequest::default())
            .await
            .expect_err("off")
            .code(),
        Code::Unimplemented
    );
    running.server.stop().await;
}

#[tokio::test]
async fn admin_calls_reach_the_registry_and_an_oversized_one_is_refused() {
    let running = start(None).await;
    let mut client = AdminClient::new(running.channel.clone());
    let request = |name: String| v1::DeclareExchangeRequest {
        name,
        strategy: "round-robin".into(),
        ..Default::default()
    };
    let huge = client
        .declare_exchange(request("x".repeat(100_000)))
        .await
        .expect_err("too large");
    assert_eq!(huge.code(), Code::OutOfRange);
    let declared = client
        .declare_exchange(request("users".into()))
        .await
        .expect("declared")
        .into_inner();
    assert!(declared.created);
    assert_eq!(running.meta.registry.borrow().exchanges.len(), 1);
    running.server.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_and_free_places_are_used_again() {
    let (sender, incoming) = mpsc::channel(limits::INCOMING_MAX);
    let server = Server::start(incoming, |_, _| ()).expect("a thread");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut held = Vec::new();
    for _ in 0..=limits::CONNECTIONS_MAX {
        held.push(TcpStream::connect(address).await.expect("a connection"));
        sender
            .send(listener.accept().await.expect("accepted").0)
            .await
            .expect("the server runs");
    }
    // The server greets whom it takes: settings are the first frame of HTTP/2.
    let mut last = held.pop().expect("many");
    assert_eq!(
        last.read(&mut [0; 9]).await.unwrap_or(0),
        0,
        "closed without a word"
    );
    let mut first = held.swap_remove(0);
    first
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .expect("open");
    assert!(first.read(&mut [0; 9]).await.expect("open") > 0);
    server.stop().await;
}
