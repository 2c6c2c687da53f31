//! What a client may do wrong with publishes and subscriptions, over the gRPC session: it is told, it is counted, and
//! nobody else notices. Chunks, credit, questions and replies are in `talk_faults`, scripts in `routing` and
//! `script_test`.

use bytes::Bytes;
use squall_kernel::limits::{
    FRAME_BYTES_MAX, PATTERNS_PER_EXCHANGE_MAX, PATTERNS_PER_SUBSCRIBER_MAX, PAYLOAD_BYTES_MAX,
    SUBSCRIBERS_PER_NODE_MAX,
};
use squall_kernel::reason::ClientFault;
use squall_kernel::registry::{Pattern, Settings, Strategy};
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event;

use tonic::Code;

use super::cluster::{Cluster, name};
use super::grpc_session::{Talk, attach, call, connect, publish, subscribe};
use crate::grpc::limits::SESSION_BYTES_MAX;
use crate::limits::SESSION_SUBSCRIBERS_MAX;

fn news() -> Cluster {
    let mut cluster = Cluster::new(2);
    cluster.declare_pattern("news", Pattern::PublishSubscribe, Settings::default());
    cluster
}

/// What a node has refused to clients, by reason.
pub(super) fn counted(cluster: &Cluster, n: usize) -> Vec<(ClientFault, u64)> {
    let tally = &cluster.planes[n].context.wire.tally;
    tally.client_faults.counted().collect()
}

pub(super) async fn open(cluster: &Cluster, n: usize) -> Talk {
    let mut talk = Talk::open(&mut connect(cluster, n).await).await;
    assert!(matches!(talk.next().await, Event::Opened(_)));
    talk
}

async fn subscribed(cluster: &Cluster) -> Talk {
    let mut reader = open(cluster, 1).await;
    reader.say(vec![subscribe(1, "news", "a.#")]).await;
    assert!(matches!(reader.next().await, Event::Subscribed(_)));
    reader
}

pub(super) fn large(id: u64, bytes: usize) -> Action {
    let Action::Publish(mut large) = publish(id, "a.b") else {
        panic!("a publish")
    };
    large.payload = Bytes::from(vec![0; bytes]);
    Action::Publish(large)
}

/// The next publish of somebody else goes through, and is the first thing that the subscriber hears.
async fn goes_on(cluster: &Cluster, reader: &mut Talk) {
    let mut other = open(cluster, 0).await;
    other.say(vec![publish(9, "a.good")]).await;
    let Event::Outcome(outcome) = other.next().await else {
        panic!("no outcome")
    };
    assert_eq!((outcome.kind(), outcome.id), (v1::OutcomeKind::Reply, 9));
    assert!(matches!(reader.next().await, Event::Published(event) if event.key == "a.good"));
}

/// Keys of a megabyte, keys that are none, and payloads above the bound.
#[tokio::test]
async fn bad_publishes_are_declined_by_name_and_reach_nobody() {
    let cluster = news();
    let mut reader = subscribed(&cluster).await;
    let mut bad = open(&cluster, 0).await;
    bad.say(vec![publish(1, &"k".repeat(1024 * 1024))]).await;
    let told = bad.next().await;
    assert!(
        matches!(
            &told,
            Event::Outcome(it) if it.id == 1
                && it.kind() == v1::OutcomeKind::Declined
                && it.reason == "a tag has at most 255 bytes, not 1048576"
        ),
        "{told:?}"
    );
    let rest = [
        (publish(2, "a..b"), "empty segment"),
        (publish(3, "a.*"), "wildcards are for subscribers"),
        (publish(4, "a.\u{7}"), "control characters"),
        (large(5, PAYLOAD_BYTES_MAX + 1), "above the bound"),
    ];
    for (action, words) in rest {
        bad.say(vec![action]).await;
        let Event::Outcome(outcome) = bad.next().await else {
            panic!("no outcome: {words}")
        };
        assert_eq!(outcome.kind(), v1::OutcomeKind::Declined, "{words}");
        assert!(outcome.reason.contains(words), "{}", outcome.reason);
    }
    assert_eq!(cluster.planes[0].router.stats()[0].declined, 4, "counted");
    assert_eq!(
        counted(&cluster, 0),
        [(ClientFault::TooLong, 1), (ClientFault::TooLarge, 1)]
    );
    goes_on(&cluster, &mut reader).await;
}

/// Numbers that stand for nothing are refused and not taken for others; a delivery is open until it is answered properly.
#[tokio::test]
async fn unknown_numbers_and_names_of_a_megabyte_are_refused_in_few_words() {
    let mut cluster = news();
    cluster.declare("orders", Strategy::RoundRobin);
    let mut bad = open(&cluster, 0).await;
    let Action::Publish(mut wild) = publish(1, "a.b") else {
        panic!("a publish")
    };
    wild.confirm = 99;
    bad.say(vec![Action::Publish(wild)]).await;
    let Event::Outcome(outcome) = bad.next().await else {
        panic!("no outcome")
    };
    assert_eq!((outcome.id, outcome.kind()), (1, v1::OutcomeKind::Declined));
    assert_eq!(outcome.reason, "invalid argument: there is no confirm 99");
    bad.say(vec![Action::Request(call(2, &"x".repeat(1024 * 1024)))])
        .await;
    let Event::Outcome(outcome) = bad.next().await else {
        panic!("no outcome")
    };
    assert_eq!(outcome.kind(), v1::OutcomeKind::Unavailable);
    assert!(outcome.reason.len() < 128, "{} bytes", outcome.reason.len());

    bad.say(vec![attach(1, "orders")]).await;
    assert!(matches!(bad.next().await, Event::Attached(_)));
    let mut asks = open(&cluster, 1).await;
    asks.say(vec![Action::Request(call(3, "orders"))]).await;
    let delivery = loop {
        match bad.next().await {
            Event::Delivery(delivery) => break delivery.delivery,
            Event::System(_) => {}
            other => panic!("{other:?}"),
        }
    };
    let reply = |verdict| {
        Action::Reply(v1::Reply {
            delivery,
            verdict,
            payload: "good day".into(),
            ..v1::Reply::default()
        })
    };
    bad.say(vec![reply(77)]).await;
    let Event::TalkRefused(told) = bad.next().await else {
        panic!("not refused")
    };
    assert_eq!(
        (told.delivery, told.fault()),
        (delivery, v1::TalkFault::Malformed)
    );
    assert_eq!(told.reason, "invalid argument: there is no verdict 77");
    bad.say(vec![reply(0)]).await;
    let Event::Outcome(outcome) = asks.next().await else {
        panic!("no outcome")
    };
    assert_eq!(outcome.payload, "good day");
    assert_eq!(counted(&cluster, 0), [(ClientFault::Malformed, 2)]);
}

/// A message far above any frame is not even read: its session ends, with the reason, and no other one.
#[tokio::test]
async fn a_message_above_all_bounds_ends_its_session_alone() {
    let cluster = news();
    let mut reader = subscribed(&cluster).await;
    let mut bad = open(&cluster, 0).await;
    bad.say(vec![large(1, SESSION_BYTES_MAX + 1)]).await;
    let why = bad.end().await;
    assert_eq!(why.code(), Code::OutOfRange);
    assert!(why.message().contains(&SESSION_BYTES_MAX.to_string()), "{why}");
    assert_eq!(counted(&cluster, 0), [(ClientFault::TooLarge, 1)]);
    goes_on(&cluster, &mut reader).await;
}

/// Actions of two bytes take much more in memory than on the way.
#[tokio::test]
async fn a_batch_of_a_million_empty_actions_ends_its_session_alone() {
    let cluster = news();
    let mut reader = subscribed(&cluster).await;
    let mut bad = open(&cluster, 0).await;
    let empty = Action::Took(v1::Took::default());
    bad.say(vec![empty; 1_000_000]).await;
    let why = bad.end().await;
    assert_eq!(why.code(), Code::OutOfRange);
    assert!(why.message().contains("fields"), "{why}");
    assert_eq!(counted(&cluster, 0), [(ClientFault::TooLarge, 1)]);
    goes_on(&cluster, &mut reader).await;
}

/// The same for a request without a session.
#[tokio::test]
async fn a_request_above_all_bounds_is_refused_with_the_reason() {
    let cluster = news();
    let mut client = connect(&cluster, 0).await;
    let large = |bytes| v1::RequestCall {
        payload: Bytes::from(vec![0; bytes]),
        ..call(1, "news")
    };
    let declined = client
        .request(large(FRAME_BYTES_MAX + 1))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(declined.kind(), v1::OutcomeKind::Declined);
    assert!(declined.reason.contains("above the bound"), "{}", declined.reason);
    let why = client.request(large(SESSION_BYTES_MAX + 1)).await.unwrap_err();
    assert_eq!(why.code(), Code::OutOfRange);
    assert_eq!(counted(&cluster, 0), [(ClientFault::TooLarge, 2)]);
}

/// Names, patterns and keys of a megabyte, at the node that is asked.
#[tokio::test]
async fn whatever_is_too_long_is_refused_and_counted() {
    let cluster = news();
    let mut reader = subscribed(&cluster).await;
    let mut bad = open(&cluster, 0).await;
    let long = "k".repeat(1024 * 1024);
    let keyed = v1::RequestCall {
        key: long.clone(),
        ..call(1, "news")
    };
    bad.say(vec![
        subscribe(1, "news", &long),
        subscribe(2, &long, "a"),
        attach(3, &long),
        Action::Request(keyed),
    ])
    .await;
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(match bad.next().await {
            Event::SubscriberEnded(it) if it.why() == v1::SubscriberEnd::Refused => it.reason,
            Event::Refused(it) => it.reason,
            Event::Outcome(it) if it.id == 1 && it.kind() == v1::OutcomeKind::Declined => it.reason,
            other => panic!("{other:?}"),
        });
    }
    assert!(
        told.iter()
            .all(|why| why.len() < 1024 && why.contains("has at most") && why.contains("1048576")),
        "{told:?}"
    );
    assert_eq!(counted(&cluster, 0), [(ClientFault::TooLong, 4)]);
    goes_on(&cluster, &mut reader).await;
}

/// B4: the subscribers that an exchange may have at one node, whosever they are. Others have theirs.
#[tokio::test]
async fn a_node_has_a_bound_of_subscribers_of_an_exchange() {
    let mut cluster = news();
    cluster.declare_pattern("olds", Pattern::PublishSubscribe, Settings::default());
    let pubsub = &cluster.planes[0].pubsub;
    let mut first = pubsub
        .subscribe_embedded(&name("news"), "", &["a.#"])
        .await
        .unwrap();
    let mut crowd = Vec::new();
    for _ in 1..SUBSCRIBERS_PER_NODE_MAX {
        crowd.push(
            pubsub
                .subscribe_embedded(&name("news"), "", &["b"])
                .await
                .unwrap(),
        );
    }
    let mut late = open(&cluster, 0).await;
    late.say(vec![subscribe(1, "news", "a.#")]).await;
    let told = late.next().await;
    assert!(
        matches!(&told, Event::SubscriberEnded(it) if it.reason == "'a.#': too many subscribers on this node"),
        "{told:?}"
    );
    assert_eq!(counted(&cluster, 0), [(ClientFault::TooMany, 1)]);
    late.say(vec![subscribe(2, "olds", "a.#")]).await;
    assert!(matches!(late.next().await, Event::Subscribed(it) if it.subscriber == 2));
    let mut reader = subscribed(&cluster).await;
    goes_on(&cluster, &mut reader).await;
    assert_eq!(first.next().await.unwrap().published.key, "a.good");
    crowd.pop();
    late.say(vec![subscribe(3, "news", "a.#")]).await;
    assert!(
        matches!(late.next().await, Event::Subscribed(it) if it.subscriber == 3),
        "its place is free"
    );
}

/// B4: the different patterns that an exchange may have, asked for by many.
#[tokio::test]
async fn a_node_has_a_bound_of_patterns_of_an_exchange() {
    let cluster = news();
    let pubsub = &cluster.planes[0].pubsub;
    let all: Vec<String> = (0..PATTERNS_PER_EXCHANGE_MAX).map(|n| format!("b.{n}")).collect();
    let mut crowd = Vec::new();
    for some in all.chunks(PATTERNS_PER_SUBSCRIBER_MAX) {
        crowd.push(pubsub.subscribe_embedded(&name("news"), "", some).await.unwrap());
    }
    let mut late = open(&cluster, 0).await;
    late.say(vec![subscribe(1, "news", "a.#")]).await;
    let told = late.next().await;
    assert!(
        matches!(&told, Event::SubscriberEnded(it) if it.reason == "'a.#': too many patterns of one exchange"),
        "{told:?}"
    );
    assert_eq!(counted(&cluster, 0), [(ClientFault::TooMany, 1)]);
    late.say(vec![subscribe(2, "news", "b.7")]).await;
    assert!(
        matches!(late.next().await, Event::Subscribed(it) if it.subscriber == 2),
        "others have that one already"
    );
    late.say(vec![publish(3, "b.7")]).await;
    let (mut outcome, mut event) = (None, None);
    while outcome.is_none() || event.is_none() {
        match late.next().await {
            Event::Outcome(it) => outcome = Some(it.kind()),
            Event::Published(it) => event = Some(it.key),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        (outcome, event.as_deref()),
        (Some(v1::OutcomeKind::Reply), Some("b.7"))
    );
}

/// B4: one session has a bounded number of subscribers; the next one is refused, and other sessions have their own.
#[tokio::test]
async fn a_flood_of_subscribers_meets_the_bound_of_its_session() {
    const BEYOND: usize = 10;
    let cluster = news();
    let mut flood = open(&cluster, 0).await;
    let (mut stood, mut refused) = (0, 0);
    for n in 1..=SESSION_SUBSCRIBERS_MAX + BEYOND {
        let number = u32::try_from(n).unwrap();
        flood.say(vec![subscribe(number, "news", "b.#")]).await;
        match flood.next().await {
            Event::Subscribed(_) => stood += 1,
            Event::SubscriberEnded(it) if it.reason.contains(&SESSION_SUBSCRIBERS_MAX.to_string()) => {
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((stood, refused), (SESSION_SUBSCRIBERS_MAX, BEYOND));
    assert_eq!(counted(&cluster, 0), [(ClientFault::TooMany, BEYOND as u64)]);
    let mut reader = subscribed(&cluster).await;
    goes_on(&cluster, &mut reader).await;
}

/// B4: credit that would overflow, and credit for nobody, change nothing for anybody.
#[tokio::test]
async fn credit_beyond_all_bounds_changes_nothing() {
    let cluster = news();
    let mut reader = subscribed(&cluster).await;
    let took = |subscriber, events| Action::Took(v1::Took { subscriber, events });
    reader
        .say(vec![
            took(1, u32::MAX),
            took(1, u32::MAX),
            took(99, 1),
            took(1, 0),
        ])
        .await;
    for _ in 0..2 {
        goes_on(&cluster, &mut reader).await;
    }
}
