//! Queues of tasks that are full: the policy of the exchange, whoever holds the queue (A110, B9).

use std::sync::Arc;

use squall_kernel::frame::Status;
use squall_kernel::id::NodeName;
use squall_kernel::order::WhenFull;
use squall_kernel::reason::{DeadReason, NoReply};
use squall_kernel::registry::{Command, Settings};
use squall_kernel::tasks::Overflow;
use squall_kernel::time::Span;
use tokio::task::JoinHandle;

use super::cluster::{Cluster, name, node, none, quiet};
use super::tasks::{Worker, declare, kept, submission, submit};
use crate::router::{Outcome, Request};

fn room_for(tasks: u32, when_full: WhenFull) -> Settings {
    Settings {
        mailbox: Some(tasks),
        when_full,
        ..Settings::default()
    }
}

async fn waits(cluster: &Cluster, request: Request) -> JoinHandle<Outcome> {
    let plane = Arc::clone(&cluster.planes[2]);
    let asking = tokio::spawn(async move { plane.router.request(request).await });
    quiet().await;
    asking
}

fn did(cluster: &Cluster, owner: usize) -> Overflow {
    cluster.planes[owner].exchanges.owned()[0].overflow
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_turns_one_more_away_or_makes_room_with_a_dead_letter() {
    let mut cluster = Cluster::new(3);
    let exchange = declare(&mut cluster, room_for(2, WhenFull::Reject));
    for payload in ["first", "second"] {
        kept(&submit(&cluster, 2, exchange, payload).await);
    }
    let third = submit(&cluster, 2, exchange, "third").await;
    assert_eq!(third.status, none(NoReply::Rejected));
    assert_eq!(did(&cluster, 0).rejected, 1);

    let mut cluster = Cluster::new(3);
    let exchange = declare(&mut cluster, room_for(2, WhenFull::DropOldest));
    for payload in ["first", "second", "third"] {
        kept(&submit(&cluster, 2, exchange, payload).await);
    }
    assert_eq!(did(&cluster, 0).dropped, 1);
    let look = cluster.planes[0].exchanges.look_at_tasks(exchange, |queue| {
        let letters = queue.dead_letters();
        letters
            .map(|l| (l.spec.payload.clone(), l.reason))
            .collect::<Vec<_>>()
    });
    let letters = look.expect("it is owned here");
    assert_eq!(letters, [("first".into(), DeadReason::MadeRoom)]);
    cluster.kill(0);
    cluster.declare_lost(0);
    quiet().await;
    let worker = Worker::attach(&cluster, 2, 5);
    quiet().await;
    let given: Vec<String> = worker.given().into_iter().map(|(payload, ..)| payload).collect();
    assert_eq!(given, ["second", "third"], "at both nodes");
}

/// A submit that finds no room waits as long as its submitter does, and follows the queue to its next owner.
#[tokio::test(start_paused = true)]
async fn a_submit_that_is_held_back_comes_in_when_there_is_room_wherever_the_queue_is() {
    let mut cluster = Cluster::new(3);
    let exchange = declare(&mut cluster, room_for(1, WhenFull::Block));
    kept(&submit(&cluster, 2, exchange, "first").await);
    let second = waits(&cluster, submission(exchange, "second", "")).await;
    let brief = Request {
        timeout: Span::from_ms(100),
        ..submission(exchange, "brief", "")
    };
    let brief = waits(&cluster, brief).await;
    assert_eq!(brief.await.unwrap().status, none(NoReply::Timeout));
    quiet().await;
    let so_far = Overflow {
        held: 2,
        expired: 1,
        ..Overflow::default()
    };
    assert_eq!((did(&cluster, 0), second.is_finished()), (so_far, false));

    cluster.apply(&Command::Move {
        exchange: name("mails"),
        to: Some(NodeName::new("b").unwrap()),
        epoch: None,
    });
    let moving = cluster.registry.exchanges[&exchange].moving.expect("it moves");
    cluster.planes[0]
        .exchanges
        .hand_off(exchange, moving.to, moving.epoch);
    cluster.appoint().await;
    assert_eq!(cluster.registry.exchanges[&exchange].owner, Some(node(1)));
    quiet().await;
    assert!(!second.is_finished(), "there is no room at the next owner either");
    let worker = Worker::attach(&cluster, 2, 1);
    quiet().await;
    worker
        .say(&cluster, 0, squall_kernel::message::Settlement::Confirm)
        .await;
    let second = second.await.unwrap();
    assert_eq!(second.status, Status::Reply, "{}", second.reason());
    quiet().await;
    assert_eq!(worker.given()[1].0, "second");
}
