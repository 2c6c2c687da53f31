//! What journals have of tasks: where they are kept, who was given them, and what was told of their ends (I9 judges it).

use std::io::Cursor;

use squall_kernel::message::Settlement;
use squall_kernel::registry::Settings;
use squall_kernel::tasks::TaskId;

use super::cluster::{Cluster, quiet};
use super::failover::Memory;
use super::tasks::{Worker, declare, kept, submit};
use crate::journal::{Entry, Fact, Journal, TaskEvent, read};

/// Carries out two tasks, one of them after the owner is lost; gives what the node at `at` tells of that.
async fn story_of(at: usize) -> Vec<TaskEvent> {
    let memory = Memory::default();
    let (journal, writer) = Journal::start_writer(memory.clone()).unwrap();
    let mut cluster = Cluster::recording(3, Some((&journal, at)));
    let exchange = declare(&mut cluster, Settings::default());
    let worker = Worker::attach(&cluster, 2, 1);
    quiet().await;
    kept(&submit(&cluster, 2, exchange, "first").await);
    kept(&submit(&cluster, 2, exchange, "second").await);
    quiet().await;
    worker.say(&cluster, 0, Settlement::Confirm).await;
    cluster.kill(0);
    cluster.declare_lost(0);
    quiet().await;
    worker.say(&cluster, 1, Settlement::Confirm).await;
    drop((cluster, worker, journal));
    quiet().await;
    writer.finish().unwrap();
    let bytes = memory.0.lock().unwrap().clone();
    let mut story = Vec::new();
    read(Cursor::new(bytes), |entry| {
        if let Entry::Fact {
            fact: Fact::Task { exchange: of, what },
            ..
        } = entry
        {
            assert_eq!(of, exchange);
            story.push(what);
        }
    })
    .unwrap();
    story
}

fn in_words(story: &[TaskEvent]) -> Vec<String> {
    story.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn an_owner_tells_what_it_knows_has_told_and_counts_on() {
    let story = story_of(0).await;
    assert_eq!(
        in_words(&story),
        [
            "queue begins at epoch 1 with 0 tasks as the first one",
            "no second copy of epoch 1",
            "second copy of epoch 1 at 2",
            "task 1.1 accepted of 3/17592186044417: two copies",
            "task 1.1 lease 1.1 given to <3.1:1>",
            "task 1.2 accepted of 3/17592186044418: two copies",
            "task 1.1 completed by <3.1:1> under lease 1.1",
            "task 1.2 lease 1.2 given to <3.1:1>",
            "queue ends at epoch 1 with 2 tasks",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_backup_tells_of_its_copy_before_the_owner_counts_on_it_and_goes_on_with_it() {
    let story = story_of(1).await;
    assert_eq!(
        in_words(&story),
        [
            "has a whole copy",
            "queue begins at epoch 2 with 2 tasks of its copy",
            "no second copy of epoch 2",
            "second copy of epoch 2 at 3",
            "task 1.2 completed by <3.1:1> under lease 1.2",
            "queue ends at epoch 2 with 2 tasks",
        ]
    );
    let TaskEvent::Begins { tasks, .. } = &story[1] else {
        panic!("{:?}", story[1])
    };
    assert_eq!(tasks.len(), 2);
    assert!(tasks.is_sorted() && tasks[0] != TaskId(0), "{tasks:?}");
}
