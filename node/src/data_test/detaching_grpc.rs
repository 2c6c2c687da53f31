//! Why handlers and subscribers of gRPC sessions are no more: told to their clients, and by them.

use squall_kernel::registry::{Command, Pattern, Settings, Strategy};
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event;

use super::cluster::{Cluster, name};
use super::grpc_session::{Talk, attach, connect, subscribe};

async fn open(cluster: &Cluster) -> Talk {
    let mut talk = Talk::open(&mut connect(cluster, 0).await).await;
    assert!(matches!(talk.next().await, Event::Opened(_)));
    talk
}

/// The next detachment; system messages are passed over.
async fn detached(talk: &mut Talk) -> (u32, v1::DetachReason, String) {
    loop {
        match talk.next().await {
            Event::Detached(it) => return (it.handler, it.why(), it.reason),
            Event::System(_) | Event::Attached(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Whoever is detached is told why; whoever goes says why, and the timeline tells it.
#[tokio::test]
async fn a_handler_that_is_detached_is_told_why_and_may_say_why() {
    use v1::DetachReason::{Asked, Done, ExchangeDeleted, NodeLost, Panicked};
    let mut cluster = Cluster::new(1);
    cluster.declare("orders", Strategy::RoundRobin);
    let mut talk = open(&cluster).await;
    let table = [
        (1, Panicked, Panicked),
        (2, Done, Done),
        (3, NodeLost, Asked),
        (4, v1::DetachReason::Unspecified, Asked),
    ];
    for (handler, says, told) in table {
        talk.say(vec![attach(handler, "orders")]).await;
        let detach = v1::Detach {
            handler,
            why: says.into(),
        };
        talk.say(vec![Action::Detach(detach)]).await;
        let (number, why, words) = detached(&mut talk).await;
        assert_eq!((number, why), (handler, told), "{words}");
    }
    let events = cluster.events[0].read(0).events.into_iter();
    let exits: Vec<String> = events.map(|event| event.kind).collect();
    assert_eq!(
        exits,
        ["handler-exited", "handler-exited"],
        "the panic and the end"
    );
    talk.say(vec![attach(5, "orders")]).await;
    assert!(matches!(talk.next().await, Event::Attached(_)));
    cluster.apply(&Command::Delete { name: name("orders") });
    let gone = detached(&mut talk).await;
    assert_eq!(gone, (5, ExchangeDeleted, "exchange deleted".to_owned()));
}

/// The event has its reason from a closed list, beside the words.
#[tokio::test]
async fn a_subscriber_is_told_whether_it_was_refused_or_its_exchange_deleted() {
    let mut cluster = Cluster::new(1);
    cluster.declare_pattern("news", Pattern::PublishSubscribe, Settings::default());
    let mut talk = open(&cluster).await;
    talk.say(vec![subscribe(1, "news", "a..b")]).await;
    assert!(
        matches!(talk.next().await, Event::SubscriberEnded(it) if it.why() == v1::SubscriberEnd::Refused)
    );
    talk.say(vec![subscribe(2, "news", "a.b")]).await;
    assert!(matches!(talk.next().await, Event::Subscribed(_)));
    cluster.apply(&Command::Delete { name: name("news") });
    let told = talk.next().await;
    assert!(
        matches!(&told, Event::SubscriberEnded(it) if it.why() == v1::SubscriberEnd::ExchangeDeleted),
        "{told:?}"
    );
}
