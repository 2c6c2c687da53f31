//! What nodes tell of tasks to whoever measures: it never goes down at a node, wherever the exchange is owned meanwhile.

use std::time::Duration;

use squall_kernel::id::{Epoch, ExchangeId};
use squall_kernel::message::Settlement;
use squall_kernel::registry::{Command, Settings};
use squall_kernel::tasks::Retry;
use squall_kernel::time::Span;

use super::cluster::{Cluster, name, node, quiet};
use super::tasks::{Worker, declare, kept, submit};
use crate::exchanges::{TaskChanges, TasksShown};

fn changes(cluster: &Cluster, at: usize) -> TaskChanges {
    match cluster.planes[at].exchanges.task_changes()[..] {
        [] => TaskChanges::default(),
        [(_, changes)] => changes,
        ref more => panic!("{more:?}"),
    }
}

fn shown(cluster: &Cluster, at: usize, exchange: ExchangeId) -> Option<TasksShown> {
    cluster.planes[at].exchanges.tasks_shown(exchange)
}

/// Waiting, in hand, dead.
fn stand(shown: TasksShown) -> (u64, u64, u64) {
    (shown.waiting, shown.in_hand, shown.dead)
}

async fn moved(cluster: &mut Cluster, exchange: ExchangeId, from: usize, to: usize) {
    let record = &cluster.registry.exchanges[&exchange];
    assert_eq!(record.owner, Some(node(from)));
    let next = Epoch(record.epoch.0 + 1);
    let target = cluster.registry.nodes[&node(to)].name.clone();
    cluster.apply(&Command::Move {
        exchange: name("mails"),
        to: Some(target),
        epoch: None,
    });
    cluster.planes[from].exchanges.hand_off(exchange, node(to), next);
    cluster.appoint().await;
    quiet().await;
    assert_eq!(cluster.registry.exchanges[&exchange].owner, Some(node(to)));
}

fn back(retry: Retry) -> Settlement {
    Settlement::GiveBack {
        said: "cannot".into(),
        retry,
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_node_did_with_tasks_stays_counted_while_another_one_owns_them() {
    let mut cluster = Cluster::new(3);
    let exchange = declare(&mut cluster, Settings::default());
    let worker = Worker::attach(&cluster, 2, 1);
    quiet().await;
    for payload in ["first", "second"] {
        kept(&submit(&cluster, 2, exchange, payload).await);
    }
    quiet().await;
    assert_eq!(shown(&cluster, 0, exchange).map(stand), Some((1, 1, 0)));
    worker.say(&cluster, 0, Settlement::Confirm).await;
    worker.say(&cluster, 1, back(Retry::AtOnce)).await;
    let at_first = TaskChanges {
        accepted: 2,
        completed: 1,
        tried_again: 1,
        ..TaskChanges::default()
    };
    assert_eq!(changes(&cluster, 0), at_first);
    assert_eq!(shown(&cluster, 0, exchange).map(stand), Some((0, 1, 0)));
    assert_eq!(shown(&cluster, 1, exchange), None, "the owner tells");

    moved(&mut cluster, exchange, 0, 1).await;
    kept(&submit(&cluster, 2, exchange, "third").await);
    worker.say(&cluster, 2, back(Retry::Never)).await;
    assert_eq!(changes(&cluster, 0), at_first);
    assert_eq!(shown(&cluster, 0, exchange), None);
    let meanwhile = TaskChanges {
        accepted: 1,
        dead: 1,
        ..TaskChanges::default()
    };
    assert_eq!(changes(&cluster, 1), meanwhile, "what was before is not its own");
    assert_eq!(shown(&cluster, 1, exchange).map(stand), Some((0, 1, 1)));

    moved(&mut cluster, exchange, 1, 0).await;
    assert_eq!(changes(&cluster, 0), at_first, "nor is what was in between");
    worker.say(&cluster, 3, Settlement::Confirm).await;
    let in_all = TaskChanges {
        completed: 2,
        ..at_first
    };
    assert_eq!(changes(&cluster, 0), in_all);
    assert_eq!(changes(&cluster, 1), meanwhile);
    assert_eq!(shown(&cluster, 0, exchange).map(stand), Some((0, 0, 1)));

    cluster.apply(&Command::Delete { name: name("mails") });
    assert_eq!(
        changes(&cluster, 0),
        TaskChanges::default(),
        "bounded by the exchanges"
    );
}

#[tokio::test(start_paused = true)]
async fn the_oldest_task_has_its_age_with_whoever_owns_it() {
    let mut cluster = Cluster::new(3);
    let exchange = declare(&mut cluster, Settings::default());
    kept(&submit(&cluster, 2, exchange, "old").await);
    tokio::time::sleep(Duration::from_secs(60)).await;
    kept(&submit(&cluster, 2, exchange, "young").await);
    let oldest = |cluster: &Cluster, at| shown(cluster, at, exchange).and_then(|shown| shown.oldest);
    let minute = Span::from_ms(60_000)..Span::from_ms(61_000);
    assert!(oldest(&cluster, 0).is_some_and(|age| minute.contains(&age)));
    moved(&mut cluster, exchange, 0, 1).await;
    assert!(oldest(&cluster, 1).is_some_and(|age| minute.contains(&age)));
    cluster.kill(1);
    cluster.declare_lost(1);
    quiet().await;
    let owner = cluster.registry.exchanges[&exchange].owner;
    let owner = (0..3)
        .find(|n| owner == Some(node(*n)))
        .expect("somebody owns it");
    assert!(oldest(&cluster, owner).is_some_and(|age| minute.contains(&age)));
}
