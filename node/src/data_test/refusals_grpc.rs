//! What a gRPC session refuses by the number of what it refuses, so that the one who did it knows which one it was, and
//! everything else in the session goes on.
//!
//! What does not live here: keys, patterns and floods (`bad_input`), chunks and questions (`talks_grpc`).

use bytes::Bytes;
use squall_kernel::limits::{FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX};
use squall_kernel::reason::ClientFault;
use squall_kernel::registry::{Pattern, Settings, Strategy};
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event;

use super::bad_input::{counted, large, open};
use super::cluster::Cluster;
use super::grpc_session::{Talk, attach, call, publish, subscribe};

const MEGABYTE: usize = 1024 * 1024;

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(2);
    cluster.declare_pattern("news", Pattern::PublishSubscribe, Settings::default());
    cluster.declare_pattern("olds", Pattern::PublishSubscribe, Settings::default());
    cluster.declare("orders", Strategy::RoundRobin);
    cluster
}

async fn outcome(talk: &mut Talk) -> v1::RequestOutcome {
    match talk.next().await {
        Event::Outcome(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

async fn declined(talk: &mut Talk, id: u64, words: &str) {
    let told = outcome(talk).await;
    assert_eq!((told.id, told.kind()), (id, v1::OutcomeKind::Declined));
    assert!(told.reason.contains(words), "{}", told.reason);
}

/// An attached handler, and the delivery of a request that another session has sent as number 5.
async fn delivered(cluster: &Cluster) -> (Talk, Talk, u64) {
    let (mut handler, requester) = (open(cluster, 1).await, open(cluster, 0).await);
    handler.say(vec![attach(1, "orders")]).await;
    while !matches!(handler.next().await, Event::System(_)) {}
    requester.say(vec![Action::Request(call(5, "orders"))]).await;
    let Event::Delivery(delivery) = handler.next().await else {
        panic!("no delivery")
    };
    (handler, requester, delivery.delivery)
}

/// Tags, keys and ids that are too long, and numbers that are none: one outcome each, under their ids.
#[tokio::test]
async fn what_an_action_says_wrong_is_declined_under_its_id() {
    let cluster = cluster();
    let mut talk = open(&cluster, 0).await;
    let long = "k".repeat(256);
    let of = |id: u64, change: fn(&mut v1::Publish, String)| {
        let Action::Publish(mut it) = publish(id, "a.b") else {
            panic!("a publish")
        };
        change(&mut it, "k".repeat(256));
        Action::Publish(it)
    };
    let asked = |id: u64, change: fn(&mut v1::RequestCall, String)| {
        let mut it = call(id, "orders");
        change(&mut it, "k".repeat(256));
        Action::Request(it)
    };
    talk.say(vec![
        of(1, |it, long| it.key = long),
        of(2, |it, long| it.message_id = long),
        of(3, |it, long| it.publisher = long),
        asked(4, |it, long| it.key = long),
        asked(5, |it, long| it.request_tag = long),
        asked(6, |it, long| it.service_tag = long),
        of(7, |it, _| it.priority = 10),
        of(8, |it, _| it.confirm = 99),
    ])
    .await;
    for id in 1..=6 {
        declined(&mut talk, id, "at most 255 bytes, not 256").await;
    }
    declined(&mut talk, 7, "priorities go from 0 to 9").await;
    declined(&mut talk, 8, "there is no confirm 99").await;
    let faults = [(ClientFault::TooLong, 6), (ClientFault::Malformed, 2)];
    assert_eq!(counted(&cluster, 0), faults);
    let mut client = super::grpc_session::connect(&cluster, 0).await;
    let keyed = v1::RequestCall {
        key: long,
        ..call(9, "orders")
    };
    let unary = client.request(keyed).await.unwrap().into_inner();
    assert_eq!(
        unary.kind(),
        v1::OutcomeKind::Declined,
        "the same without a session"
    );
}

/// The session of a publish of nine megabytes goes on, and so do its other requests.
#[tokio::test]
async fn a_publish_above_the_cap_is_declined_under_its_id_and_nothing_else_ends() {
    let cluster = cluster();
    let (handler, mut requester, delivery) = delivered(&cluster).await;
    requester.say(vec![large(6, 9 * MEGABYTE)]).await;
    declined(&mut requester, 6, "above the bound").await;
    assert_eq!(counted(&cluster, 0), [(ClientFault::TooLarge, 1)]);
    let reply = v1::Reply {
        delivery,
        payload: "good".into(),
        ..Default::default()
    };
    handler.say(vec![Action::Reply(reply)]).await;
    let end = outcome(&mut requester).await;
    assert_eq!(
        (end.id, end.kind()),
        (5, v1::OutcomeKind::Reply),
        "the open request"
    );
}

/// Publishes that are legal one by one are legal together.
#[tokio::test]
async fn a_batch_of_nine_megabytes_of_legal_publishes_goes_through() {
    let cluster = cluster();
    let mut talk = open(&cluster, 0).await;
    let batch: Vec<Action> = (1..=9).map(|id| large(id, MEGABYTE)).collect();
    talk.say(batch).await;
    let mut ended = Vec::new();
    for _ in 1..=9 {
        let end = outcome(&mut talk).await;
        assert_eq!(end.kind(), v1::OutcomeKind::Reply, "{}", end.reason);
        ended.push(end.id);
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(counted(&cluster, 0), []);
}

#[tokio::test]
async fn a_reply_above_the_cap_is_refused_by_its_delivery_and_the_handler_goes_on() {
    let cluster = cluster();
    for bytes in [PAYLOAD_BYTES_MAX + 1, FRAME_BYTES_MAX + MEGABYTE] {
        let (mut handler, mut requester, delivery) = delivered(&cluster).await;
        let reply = v1::Reply {
            delivery,
            payload: Bytes::from(vec![0; bytes]),
            ..Default::default()
        };
        handler.say(vec![Action::Reply(reply)]).await;
        let Event::TalkRefused(told) = handler.next().await else {
            panic!("not told")
        };
        assert_eq!((told.delivery, told.fault()), (delivery, v1::TalkFault::TooLarge));
        declined(&mut requester, 5, "above the bound").await;
        requester.say(vec![Action::Request(call(6, "orders"))]).await;
        assert!(matches!(handler.next().await, Event::Delivery(_)), "the next one");
    }
    assert_eq!(counted(&cluster, 1), [(ClientFault::TooLarge, 2)]);
}

/// The first subscriber goes on, whatever else its number is asked for.
#[tokio::test]
async fn a_subscribers_number_is_not_taken_for_another_exchange() {
    let cluster = cluster();
    let mut talk = open(&cluster, 0).await;
    talk.say(vec![subscribe(1, "news", "a.#")]).await;
    assert!(matches!(talk.next().await, Event::Subscribed(it) if it.subscriber == 1));
    talk.say(vec![subscribe(1, "olds", "a.#"), subscribe(1, "", "a.#")])
        .await;
    for words in ["the number 1 is that of a subscriber of 'news'", "''"] {
        let Event::Refused(told) = talk.next().await else {
            panic!("not told")
        };
        assert_eq!((told.subscriber, told.handler), (1, 0));
        assert!(told.reason.contains(words), "{}", told.reason);
    }
    let faults = counted(&cluster, 0);
    assert!(faults.contains(&(ClientFault::NotThere, 1)), "{faults:?}");
    let other = open(&cluster, 1).await;
    other.say(vec![publish(1, "a.b")]).await;
    assert!(matches!(talk.next().await, Event::Published(it) if it.subscriber == 1 && it.exchange == "news"));
    talk.say(vec![subscribe(1, "news", "b")]).await;
    assert!(
        matches!(talk.next().await, Event::Subscribed(it) if it.subscriber == 1),
        "it is added to"
    );
}
