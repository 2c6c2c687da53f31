//! What a client may do wrong with publishes and subscriptions, over the gRPC session: it is told, it is counted, and
//! nobody else notices. Chunks, credit, questions and replies are in `talk_faults`, scripts in `routing` and
//! `script_test`.

use bytes::Bytes;
use squall_kernel::limits::{FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX};
use squall_kernel::registry::{Pattern, Settings};
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event;

use super::cluster::Cluster;
use super::grpc_session::{Talk, connect, publish, subscribe};
use crate::limits::SESSION_SUBSCRIBERS_MAX;

fn news() -> Cluster {
    let mut cluster = Cluster::new(2);
    cluster.declare_pattern("news", Pattern::PublishSubscribe, Settings::default());
    cluster
}

async fn open(cluster: &Cluster, n: usize) -> Talk {
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

fn large(id: u64, bytes: usize) -> Action {
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

/// B6: keys of a megabyte, keys that are none, and payloads above the bound.
#[tokio::test]
async fn bad_publishes_are_declined_by_name_and_reach_nobody() {
    let cluster = news();
    let mut reader = subscribed(&cluster).await;
    let mut bad = open(&cluster, 0).await;
    bad.say(vec![publish(1, &"k".repeat(1024 * 1024))]).await;
    let told = bad.next().await;
    assert!(
        matches!(&told, Event::Refused(it) if it.reason == "publish 1: a tag has at most 255 bytes, not 1048576"),
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
    goes_on(&cluster, &mut reader).await;
}

/// A publish larger than any frame is not even read: its session ends, with the reason, and no other one.
#[tokio::test]
async fn a_publish_above_the_cap_of_frames_ends_its_session_alone() {
    let cluster = news();
    let mut reader = subscribed(&cluster).await;
    let mut bad = open(&cluster, 0).await;
    bad.say(vec![large(1, FRAME_BYTES_MAX + 1)]).await;
    assert!(bad.is_over().await, "its stream has ended");
    goes_on(&cluster, &mut reader).await;
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
