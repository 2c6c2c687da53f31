//! Leases over a session: asked for, counted from the question; and nodes that send the client away.

use std::time::Duration;

use squall_client::{
    Answer, AttachOptions, Client, ConnectOptions, Context, Delivery, Handler, LeadershipChange,
    RequestOptions,
};
use squall_kernel::frame::Status;
use squall_kernel::id::{Counter, Epoch, LeaderEpoch, NodeId, Pid};
use squall_kernel::message::{ClientMessage, NodeMessage, Servers, System, SystemMessage};
use squall_kernel::reason::{DetachReason, SentAway};
use squall_kernel::time::{Instant, Span};

use crate::fake_node::{Conn, EXCHANGE, FakeNode};
use crate::handlers::{LONG, SERIAL, Scene, attached};

/// Longer than any test takes.
const MINUTE: Span = Span::from_ms(60_000);

fn leader(serial: u64, leader_epoch: u64) -> NodeMessage {
    let leader = Some(Pid {
        node: NodeId(1),
        serial,
    });
    let what = System::Leader {
        leader,
        leader_epoch: LeaderEpoch(leader_epoch),
        servers: Servers::default(),
    };
    NodeMessage::System {
        handler: SERIAL,
        message: SystemMessage {
            exchange: EXCHANGE,
            epoch: Epoch(1),
            counter: Counter(leader_epoch),
            what,
        },
    }
}

async fn grant(conn: &mut Conn, asked_at: Instant, leader_epoch: u64, remaining: Span) {
    conn.tell(&NodeMessage::Leadership {
        handler: SERIAL,
        asked_at,
        leader_epoch: LeaderEpoch(leader_epoch),
        remaining,
        again: Span::from_ms(20_000),
    })
    .await;
}

/// Reads the node's end while the other future runs.
async fn beside<T>(conn: &mut Conn, done: impl Future<Output = T>) -> T {
    let serve = async { while conn.next().await.is_some() {} };
    tokio::select! {
        done = done => done,
        () = serve => panic!("the client left"),
    }
}

async fn leading() -> (Scene, Instant) {
    let mut scene = attached().await;
    scene.conn.tell(&leader(SERIAL, 2)).await;
    let (handler, asked_at) = scene.conn.lease_ask().await;
    assert_eq!(handler, SERIAL);
    (scene, asked_at)
}

#[tokio::test]
async fn a_leader_asks_and_counts_from_its_question() {
    let (mut scene, asked_at) = leading().await;
    let context = scene.attachment.context();
    assert_eq!(context.leadership(), None, "named is not granted");
    grant(&mut scene.conn, asked_at, 2, MINUTE).await;
    let mut changes = context.changes();
    let change = beside(&mut scene.conn, changes.next()).await;
    let LeadershipChange::Leads(held) = change else {
        panic!("{change:?}")
    };
    assert_eq!(held.epoch(), LeaderEpoch(2));
    assert!(held.remaining() < Duration::from_micros(MINUTE.shortened(10_000).0));
    let guard = context.lead().unwrap();
    assert_eq!(guard.token().unwrap().get(), 2);
    scene.conn.tell(&leader(7, 3)).await;
    let change = beside(&mut scene.conn, changes.next()).await;
    assert_eq!(
        change,
        LeadershipChange::Over(LeaderEpoch(2)),
        "another was named"
    );
    assert!(guard.token().is_err());
}

#[tokio::test]
async fn old_answers_and_answers_to_nothing_grant_nothing() {
    let (mut scene, asked_at) = leading().await;
    // What a process reads that was stopped: an answer whose time is over by its own clock.
    grant(&mut scene.conn, asked_at, 2, Span(1)).await;
    grant(&mut scene.conn, Instant(u64::MAX / 2), 2, MINUTE).await;
    grant(&mut scene.conn, asked_at, 1, MINUTE).await;
    let context = scene.attachment.context();
    let mut changes = context.changes();
    let (_, again) = scene.conn.lease_ask().await;
    assert!(again >= asked_at);
    assert_eq!(context.leadership(), None);
    grant(&mut scene.conn, again, 2, MINUTE).await;
    let change = beside(&mut scene.conn, changes.next()).await;
    assert!(matches!(change, LeadershipChange::Leads(held) if held.epoch() == LeaderEpoch(2)));
}

#[tokio::test]
async fn a_leader_that_detaches_gives_up_before_its_node_hears_of_it() {
    let (mut scene, asked_at) = leading().await;
    grant(&mut scene.conn, asked_at, 2, MINUTE).await;
    let context = scene.attachment.context();
    let mut changes = context.changes();
    beside(&mut scene.conn, changes.next()).await;
    assert!(context.leadership().is_some());
    drop(scene.attachment);
    assert_eq!(
        scene.conn.message().await,
        ClientMessage::Detach {
            handler: SERIAL,
            reason: DetachReason::Asked,
        }
    );
    assert_eq!(context.leadership(), None);
}

struct Echo;

impl Handler for Echo {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        Answer::Reply(delivery.payload)
    }
}

#[tokio::test]
async fn a_client_that_is_sent_away_goes_on_elsewhere_and_comes_back_last() {
    let (mut first, mut second) = (FakeNode::start("a", 1).await, FakeNode::start("b", 2).await);
    (first.members, second.members) = (vec![second.me.clone()], vec![first.me.clone()]);
    let options = ConnectOptions {
        connect_within: LONG,
        dial_within: LONG,
        silence: LONG,
        ..ConnectOptions::new([first.addr()])
    };
    let (client, mut conn) = tokio::join!(Client::connect(options), first.accept_client());
    let client = client.unwrap();
    let (attachment, _) = tokio::join!(
        client.attach("orders", AttachOptions::default(), Echo),
        conn.attach(SERIAL)
    );
    let _attachment = attachment.unwrap();
    let why = SentAway::NoQuorum;
    conn.tell(&NodeMessage::Leaving { why }).await;
    let mut elsewhere = second.accept_client().await;
    elsewhere.attach(6).await;
    let asked = client.request("users", "x", RequestOptions::default());
    let answered = async {
        let request = elsewhere.request().await;
        elsewhere.reply(&request, Status::Reply, b"here").await;
    };
    let (reply, ()) = tokio::join!(asked, answered);
    assert_eq!(reply.unwrap().payload.as_ref(), b"here");
    drop(elsewhere);
    let mut again = second.accept_client().await;
    again.attach(7).await;
    // The other one is gone for good: the one that sent it away is better than none.
    drop(second);
    drop(again);
    let mut back = first.accept_client().await;
    back.attach(8).await;
}

#[test]
fn a_context_can_be_kept_by_any_task() {
    const fn kept<T: Clone + Send + Sync + 'static>() {}
    kept::<Context>();
}
