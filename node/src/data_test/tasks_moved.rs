//! Tasks whose exchange moves, or was about to: the queue goes along, and no move that is cancelled costs a task.

use std::sync::Arc;

use squall_kernel::id::{Epoch, ExchangeId, Revision};
use squall_kernel::message::Settlement;
use squall_kernel::reason::StepDown;
use squall_kernel::registry::{Command, Settings};
use squall_kernel::tasks::SettleResult;
use squall_kernel::time::Span;

use super::cluster::{Cluster, name, node, quiet};
use super::tasks::{Worker, declare, kept, submit, told};

/// Three nodes, an exchange at node 0 with two tasks, and a worker at node `at` that has the first of them in hand.
async fn two_tasks(at: usize) -> (Cluster, ExchangeId, Worker) {
    let mut cluster = Cluster::new(3);
    let exchange = declare(&mut cluster, Settings::default());
    let worker = Worker::attach(&cluster, at, 1);
    quiet().await;
    for payload in ["first", "second"] {
        kept(&submit(&cluster, at, exchange, payload).await);
    }
    quiet().await;
    (cluster, exchange, worker)
}

/// The command that moves the exchange to node `n`.
fn to_node(cluster: &Cluster, n: usize) -> Command {
    Command::Move {
        exchange: name("mails"),
        to: Some(cluster.registry.nodes[&node(n)].name.clone()),
        epoch: None,
    }
}

/// The registry has one command more, and no node hears of it.
fn apply(cluster: &mut Cluster, command: &Command) {
    let revision = Revision(cluster.registry.revision.0 + 1);
    cluster.registry.apply(revision, command);
}

#[tokio::test(start_paused = true)]
async fn a_move_takes_the_queue_along_and_leaves_the_old_owner_with_the_second_copy() {
    let (mut cluster, exchange, worker) = two_tasks(2).await;
    let epoch = cluster.registry.exchanges[&exchange].epoch;
    let moves = to_node(&cluster, 1);
    cluster.apply(&moves);
    let next = Epoch(epoch.0 + 1);
    cluster.planes[0].exchanges.hand_off(exchange, node(1), next);
    cluster.appoint().await;
    let record = &cluster.registry.exchanges[&exchange];
    assert_eq!((record.owner, record.backup), (Some(node(1)), Some(node(0))));
    quiet().await;
    assert_eq!(worker.given().len(), 1, "it stays in hand");
    assert_eq!(
        worker.say(&cluster, 0, Settlement::Confirm).await,
        told(SettleResult::Confirmed)
    );
    assert_eq!(worker.given()[1].0, "second");
    assert_eq!(cluster.planes[0].exchanges.copies(), [(exchange, 1)]);
    cluster.kill(1);
    cluster.declare_lost(1);
    quiet().await;
    assert_eq!(
        worker.say(&cluster, 1, Settlement::Confirm).await,
        told(SettleResult::Confirmed)
    );
}

#[tokio::test(start_paused = true)]
async fn a_move_that_is_cancelled_before_it_began_costs_no_task() {
    let (mut cluster, exchange, worker) = two_tasks(1).await;
    let moves = to_node(&cluster, 2);
    cluster.apply(&moves);
    // The next owner is lost before this one was told to hand over.
    cluster.kill(2);
    cluster.declare_lost(2);
    quiet().await;
    assert_eq!(cluster.registry.exchanges[&exchange].owner, Some(node(0)));
    assert_eq!(
        worker.say(&cluster, 0, Settlement::Confirm).await,
        told(SettleResult::Confirmed)
    );
    assert_eq!(worker.given()[1].0, "second");
    assert_eq!(cluster.planes[1].exchanges.copies(), [(exchange, 1)]);
}

/// A node that lags hears of moves and of their ends at once, or of none of it but that it owns the exchange under a later epoch.
#[tokio::test(start_paused = true)]
async fn moves_that_are_cancelled_one_after_the_other_cost_no_task() {
    let (mut cluster, exchange, worker) = two_tasks(1).await;
    let moves = to_node(&cluster, 2);
    let owner = cluster.planes.remove(0);
    for hears in [true, false] {
        // The first one is told of; what follows is seen as one change.
        apply(&mut cluster, &moves);
        let moving = cluster.registry.exchanges[&exchange].moving.expect("it moves");
        if hears {
            owner.registry_changed(&Arc::new(cluster.registry.clone()));
            owner.exchanges.hand_off(exchange, moving.to, moving.epoch);
            quiet().await;
        }
        let epoch = moving.epoch;
        apply(&mut cluster, &Command::CancelMove { exchange, epoch });
    }
    cluster.planes.insert(0, owner);
    let registry = Arc::new(cluster.registry.clone());
    let record = registry.exchanges[&exchange].clone();
    assert_eq!((record.owner, record.epoch.0), (Some(node(0)), 5));
    for plane in &cluster.planes {
        plane.registry_changed(&registry);
    }
    cluster.planes[0].exchanges.disown(exchange, StepDown::Superseded);
    cluster.planes[0].exchanges.own(&record, Span::from_ms(100));
    quiet().await;
    assert_eq!(
        worker.say(&cluster, 0, Settlement::Confirm).await,
        told(SettleResult::Confirmed)
    );
    assert_eq!(worker.given()[1].0, "second");
}

/// The second cancelled move is heard of at every moment at which the first one is being dealt with: while the process before
/// leaves, when it has left, when the one that follows has taken over what it knew.
#[tokio::test(start_paused = true)]
async fn a_second_cancelled_move_costs_no_task_however_far_the_first_one_has_come() {
    for turns in 0..8 {
        let (mut cluster, exchange, worker) = two_tasks(1).await;
        cancel_a_move(&mut cluster, exchange);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        cancel_a_move(&mut cluster, exchange);
        quiet().await;
        assert_eq!(
            worker.say(&cluster, 0, Settlement::Confirm).await,
            told(SettleResult::Confirmed),
            "after {turns} turns"
        );
        assert_eq!(worker.given()[1].0, "second", "after {turns} turns");
    }
}

/// Node 0, the owner, hears of a move to node 2 when it is cancelled already.
fn cancel_a_move(cluster: &mut Cluster, exchange: ExchangeId) {
    let moves = to_node(cluster, 2);
    apply(cluster, &moves);
    let moving = cluster.registry.exchanges[&exchange].moving;
    let epoch = moving.expect("it moves").epoch;
    apply(cluster, &Command::CancelMove { exchange, epoch });
    let registry = Arc::new(cluster.registry.clone());
    for plane in &cluster.planes {
        plane.registry_changed(&registry);
    }
    let owner = &cluster.planes[0].exchanges;
    owner.disown(exchange, StepDown::Superseded);
    owner.own(&registry.exchanges[&exchange], Span::from_ms(100));
}
