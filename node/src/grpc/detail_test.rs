use std::sync::Arc;
use std::sync::atomic::Ordering;

use squall_proto::v1::introspection_client::IntrospectionClient;
use tonic::Code;

use super::super::fake::{Details, FakeNode, start};
use super::super::limits;
use super::*;
use crate::introspect::Sources as _;

fn stream() -> (DetailStream, Arc<Details>, watch::Sender<bool>) {
    let (node, closing) = (FakeNode::new(), watch::Sender::new(false));
    let orders = Entity::Exchange(ExchangeName::new("orders").expect("a name"));
    let watch = node.detail(&orders).expect("there is one");
    (
        DetailStream::new(watch, Calendar::default(), closing.subscribe()),
        Arc::clone(&node.details),
        closing,
    )
}

async fn decided(stream: &mut DetailStream) -> u64 {
    let frame = stream.next().await.expect("goes on").expect("no error");
    match frame.body {
        Some(Body::Exchange(detail)) => detail.decided,
        other => panic!("no exchange: {other:?}"),
    }
}

fn asked(entity: Asked) -> v1::DetailRequest {
    v1::DetailRequest { entity: Some(entity) }
}

/// C3.
#[tokio::test(start_paused = true)]
async fn a_frame_comes_at_once_a_second_one_soon_and_then_two_a_second() {
    let (mut stream, details, closing) = stream();
    let start = tokio::time::Instant::now();
    let mut times = Vec::new();
    for n in 0..4 {
        assert_eq!(decided(&mut stream).await, n);
        times.push(start.elapsed().as_millis() / 10);
    }
    assert_eq!(times, [0, 10, 60, 110]);
    tokio::time::advance(DETAIL_INTERVAL * 5).await;
    assert_eq!(
        details.looks.load(Ordering::Relaxed),
        4,
        "a slow reader costs no looks"
    );
    let frame = stream.next().await.expect("goes on").expect("no error");
    assert_eq!((frame.seq, frame.cost.expect("a cost").coalesced), (5, 4));
    closing.send_replace(true);
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_entity_is_told_and_the_stream_ends_with_a_status() {
    let (mut stream, details, _closing) = stream();
    decided(&mut stream).await;
    details.ended.store(true, Ordering::Relaxed);
    let last = stream.next().await.expect("goes on").expect("no error");
    let why = "the exchange 'orders' was deleted";
    assert_eq!(last.body, Some(Body::Ended(v1::EntityEnded { why: why.into() })));
    assert_eq!(Arc::strong_count(&details), 1, "nothing is watched any more");
    let status = stream.next().await.expect("a status").expect_err("the end");
    assert_eq!((status.code(), status.message()), (Code::NotFound, why));
    assert!(stream.next().await.is_none());
}

#[test]
fn hostile_names_are_refused_by_their_length_and_are_not_repeated() {
    let hostile = "\u{1b}]0;x".repeat(10_000);
    for request in [
        asked(Asked::Exchange(hostile.clone())),
        asked(Asked::Process(hostile.clone())),
    ] {
        let refused = entity(request).expect_err("too long").to_string();
        assert!(
            refused.contains("at most 512 bytes, this one has 50000"),
            "{refused}"
        );
        assert!(!refused.contains('\u{1b}'));
    }
    assert!(entity(v1::DetailRequest::default()).is_err());
    assert!(entity(asked(Asked::Exchange(String::new()))).is_err());
}

#[tokio::test]
async fn unknown_entities_are_not_found_and_watchers_are_bounded() {
    let running = start(None).await;
    let client = IntrospectionClient::new(running.channel.clone());
    let ask = |entity| {
        let mut client = client.clone();
        async move { client.detail(asked(entity)).await }
    };
    let unknown = ask(Asked::Exchange("nope".into())).await.expect_err("none");
    assert_eq!(
        (unknown.code(), unknown.message()),
        (Code::NotFound, "there is no exchange 'nope'")
    );
    let unknown = ask(Asked::Process("<a.9>".into())).await.expect_err("none");
    assert_eq!(
        (unknown.code(), unknown.message()),
        (Code::NotFound, "there is no process '<a.9>'")
    );
    let mut open = Vec::new();
    for _ in 0..limits::DETAILS_MAX {
        open.push(
            ask(Asked::Exchange("orders".into()))
                .await
                .expect("a place")
                .into_inner(),
        );
    }
    let more = ask(Asked::Exchange("orders".into())).await.expect_err("no place");
    assert_eq!(more.code(), Code::ResourceExhausted);
    let first = open[0].message().await.expect("a stream").expect("a frame");
    assert!(matches!(first.body, Some(Body::Exchange(_))));
    running.server.stop().await;
}
