//! Tasks over the gRPC session: submitted, worked on, settled, and what is refused about them (A3, A110).

use bytes::Bytes;
use squall_kernel::limits::{TASK_PAYLOAD_BYTES_MAX, UNIQUE_BYTES_MAX};
use squall_kernel::reason::ClientFault;
use squall_kernel::registry::{Settings, Strategy};
use squall_kernel::time::Span;
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event;
use squall_proto::v1::settle_task::Word;

use super::bad_input::{counted, open};
use super::cluster::Cluster;
use super::grpc_session::{Talk, attach};
use super::tasks::declare;

fn submit(id: u64, payload: &str) -> v1::SubmitTask {
    v1::SubmitTask {
        id,
        exchange: "mails".into(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        ..Default::default()
    }
}

fn attach_worker(worker: u32, exchange: &str) -> Action {
    Action::AttachWorker(v1::AttachWorker {
        worker,
        exchange: exchange.into(),
        ..Default::default()
    })
}

fn settle(task: &v1::Task, word: Word) -> Action {
    Action::SettleTask(v1::SettleTask {
        worker: task.worker,
        task: task.task,
        lease: task.lease,
        word: Some(word),
    })
}

fn give_back(retry: v1::Retry) -> Word {
    Word::GiveBack(v1::GiveBack {
        reason: "cannot".into(),
        retry: retry.into(),
        after_ms: 0,
    })
}

async fn outcome(talk: &mut Talk) -> v1::RequestOutcome {
    match talk.next().await {
        Event::Outcome(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

async fn kept(talk: &mut Talk, id: u64) -> v1::Submitted {
    let told = outcome(talk).await;
    assert_eq!(
        (told.id, told.kind()),
        (id, v1::OutcomeKind::Reply),
        "{}",
        told.reason
    );
    assert!(told.payload.is_empty());
    told.submitted.expect("it is kept")
}

/// The next event, beside who else works there.
async fn next(talk: &mut Talk) -> Event {
    loop {
        match talk.next().await {
            Event::System(_) => {}
            event => return event,
        }
    }
}

async fn task(talk: &mut Talk) -> v1::Task {
    match next(talk).await {
        Event::Task(task) => task,
        other => panic!("{other:?}"),
    }
}

async fn settled(talk: &mut Talk) -> v1::TaskSettled {
    match next(talk).await {
        Event::TaskSettled(settled) => settled,
        other => panic!("{other:?}"),
    }
}

async fn worker(cluster: &Cluster, at: usize) -> Talk {
    let mut talk = open(cluster, at).await;
    talk.say(vec![attach_worker(3, "mails")]).await;
    assert!(matches!(next(&mut talk).await, Event::Attached(it) if it.handler == 3));
    talk
}

/// A3, A110: kept at two nodes, extended, given back, given out again, and completed once.
#[tokio::test]
async fn a_task_is_submitted_worked_on_and_completed_over_the_session() {
    let mut cluster = Cluster::new(3);
    declare(&mut cluster, Settings::default());
    let (mut worker, mut submitter) = (worker(&cluster, 2).await, open(&cluster, 1).await);
    let full = v1::SubmitTask {
        key: "7".into(),
        priority: 4,
        attempts: 3,
        message_id: "welcome 7".into(),
        deadline_ms: 600_000,
        ..submit(1, "welcome")
    };
    let again = v1::SubmitTask {
        id: 2,
        ..full.clone()
    };
    submitter.say(vec![Action::SubmitTask(full)]).await;
    let first = kept(&mut submitter, 1).await;
    assert_eq!((first.copies(), first.duplicate), (v1::Copies::Two, false));
    submitter.say(vec![Action::SubmitTask(again)]).await;
    let second = kept(&mut submitter, 2).await;
    assert_eq!((second.task, second.duplicate), (first.task, true));

    let given = task(&mut worker).await;
    assert_eq!((given.worker, given.task), (3, first.task));
    assert_eq!(
        (given.exchange.as_str(), &given.payload[..]),
        ("mails", &b"welcome"[..])
    );
    assert_eq!((given.key.as_str(), given.priority), ("7", 4));
    assert_eq!((given.attempt, given.attempts), (1, 3));
    assert!((1..=30_000).contains(&given.lease_ms), "{}", given.lease_ms);
    let longer = Word::Extend(v1::Extend { by_ms: 60_000 });
    worker.say(vec![settle(&given, longer)]).await;
    let told = settled(&mut worker).await;
    assert_eq!(
        (told.result(), told.lease),
        (v1::TaskResult::Extended, given.lease)
    );
    assert!(told.lease_ms > 30_000, "{}", told.lease_ms);
    worker
        .say(vec![settle(&given, give_back(v1::Retry::AtOnce))])
        .await;
    assert_eq!(settled(&mut worker).await.result(), v1::TaskResult::GivenBack);

    let anew = task(&mut worker).await;
    assert_eq!((anew.task, anew.attempt), (given.task, 2));
    assert!(anew.lease > given.lease, "a later lease is higher");
    let complete = || Word::Complete(v1::Complete {});
    worker.say(vec![settle(&given, complete())]).await;
    let told = settled(&mut worker).await;
    assert_eq!(
        (told.result(), told.latest_lease),
        (v1::TaskResult::Fenced, anew.lease)
    );
    worker
        .say(vec![settle(&anew, complete()), settle(&anew, complete())])
        .await;
    let ends = [
        settled(&mut worker).await.result(),
        settled(&mut worker).await.result(),
    ];
    assert_eq!(
        ends,
        [v1::TaskResult::Completed, v1::TaskResult::AlreadyCompleted]
    );
    let context = &cluster.planes[2].context;
    let mut waiting = Vec::new();
    context.processes.each(|process| {
        let depth = process.figures(context.clock.now()).depth();
        waiting.push((process.name().to_string(), depth));
    });
    waiting.retain(|(name, _)| name == "mails");
    assert!(!waiting.is_empty());
    assert!(waiting.iter().all(|(_, depth)| *depth == 0), "{waiting:?}");
}

#[tokio::test]
async fn a_cluster_of_one_node_says_single_copy() {
    let mut cluster = Cluster::new(1);
    declare(&mut cluster, Settings::default());
    let mut submitter = open(&cluster, 0).await;
    submitter.say(vec![Action::SubmitTask(submit(1, "x"))]).await;
    let alone = kept(&mut submitter, 1).await;
    assert_eq!(alone.copies(), v1::Copies::Single);
}

#[tokio::test]
async fn a_worker_is_told_that_its_lease_has_ended_and_what_became_of_the_task() {
    let mut cluster = Cluster::new(3);
    let settings = Settings {
        lease: Some(Span::from_ms(100)),
        attempts: Some(2),
        ..Settings::default()
    };
    declare(&mut cluster, settings);
    let (mut slow, mut submitter) = (worker(&cluster, 2).await, open(&cluster, 1).await);
    submitter.say(vec![Action::SubmitTask(submit(1, "x"))]).await;
    kept(&mut submitter, 1).await;
    let first = task(&mut slow).await;
    let Event::TaskEnded(ended) = next(&mut slow).await else {
        panic!("not told")
    };
    assert_eq!(
        (ended.worker, ended.task, ended.lease, ended.why()),
        (3, first.task, first.lease, v1::LeaseEnd::TimedOut)
    );
    let second = task(&mut slow).await;
    slow.say(vec![settle(&second, give_back(v1::Retry::Never))]).await;
    assert_eq!(settled(&mut slow).await.result(), v1::TaskResult::GivenBack);
    slow.say(vec![settle(&second, Word::Complete(v1::Complete {}))])
        .await;
    let told = settled(&mut slow).await;
    assert_eq!(told.result(), v1::TaskResult::Dead);
    assert!(told.reason.contains("given up"), "{}", told.reason);
}

#[tokio::test]
async fn what_a_worker_had_in_hand_when_its_session_ends_goes_to_another_one() {
    let mut cluster = Cluster::new(3);
    declare(&mut cluster, Settings::default());
    let (mut first, mut submitter) = (worker(&cluster, 2).await, open(&cluster, 0).await);
    submitter.say(vec![Action::SubmitTask(submit(1, "x"))]).await;
    kept(&mut submitter, 1).await;
    let given = task(&mut first).await;
    let mut second = worker(&cluster, 1).await;
    drop(first);
    let anew = task(&mut second).await;
    assert_eq!((anew.task, anew.attempt), (given.task, 2));
    let detach = v1::Detach {
        handler: 3,
        why: v1::DetachReason::Done.into(),
    };
    second.say(vec![Action::Detach(detach)]).await;
    let Event::Detached(told) = next(&mut second).await else {
        panic!("not told")
    };
    assert_eq!((told.handler, told.why()), (3, v1::DetachReason::Done));
    let mut third = worker(&cluster, 0).await;
    assert_eq!(task(&mut third).await.attempt, 3);
}

/// What is wrong with a submit.
type Change = fn(&mut v1::SubmitTask);

/// Each wrong submit has one outcome, under its id.
#[tokio::test]
async fn a_submit_that_cannot_be_is_declined_under_its_id() {
    let mut cluster = Cluster::new(2);
    declare(&mut cluster, Settings::default());
    cluster.declare("orders", Strategy::RoundRobin);
    let mut talk = open(&cluster, 1).await;
    let table: [(Change, &str); 6] = [
        (|it| it.key = "k".repeat(256), "at most 255 bytes, not 256"),
        (|it| it.service_tag = "k".repeat(256), "at most 255 bytes"),
        (|it| it.priority = 10, "priorities go from 0 to 9"),
        (
            |it| it.message_id = "k".repeat(UNIQUE_BYTES_MAX + 1),
            "at most 200 bytes",
        ),
        (
            |it| it.payload = Bytes::from(vec![0; TASK_PAYLOAD_BYTES_MAX + 1]),
            "a task has at most",
        ),
        (|it| it.exchange = "orders".into(), "takes requests, not tasks"),
    ];
    for (id, (change, words)) in (1..).zip(table) {
        let mut wrong = submit(id, "x");
        change(&mut wrong);
        talk.say(vec![Action::SubmitTask(wrong)]).await;
        let told = outcome(&mut talk).await;
        assert_eq!((told.id, told.kind()), (id, v1::OutcomeKind::Declined), "{words}");
        assert!(told.reason.contains(words), "{}", told.reason);
        assert_eq!(told.submitted, None);
    }
    let nowhere = v1::SubmitTask {
        exchange: "nothing".into(),
        ..submit(9, "x")
    };
    talk.say(vec![Action::SubmitTask(nowhere)]).await;
    let told = outcome(&mut talk).await;
    assert_eq!((told.id, told.kind()), (9, v1::OutcomeKind::Unavailable));
    let faults = [
        (ClientFault::TooLong, 3),
        (ClientFault::TooLarge, 1),
        (ClientFault::Malformed, 1),
    ];
    assert_eq!(counted(&cluster, 1), faults);
}

#[tokio::test]
async fn a_worker_where_there_are_no_tasks_and_a_word_that_is_none_are_refused() {
    let mut cluster = Cluster::new(2);
    declare(&mut cluster, Settings::default());
    cluster.declare("orders", Strategy::RoundRobin);
    let mut talk = worker(&cluster, 1).await;
    let refused = [
        (attach_worker(4, "orders"), 4, "orders"),
        (attach(5, "mails"), 5, "work on it"),
        (attach_worker(3, "mails"), 3, "attached already"),
    ];
    for (action, number, words) in refused {
        talk.say(vec![action]).await;
        let Event::Refused(told) = next(&mut talk).await else {
            panic!("not refused: {words}")
        };
        assert_eq!(told.handler, number);
        assert!(told.reason.contains(words), "{}", told.reason);
    }
    let unknown = v1::Task {
        worker: 3,
        task: 99,
        lease: 98,
        ..Default::default()
    };
    talk.say(vec![settle(&unknown, Word::Complete(v1::Complete {}))])
        .await;
    let told = settled(&mut talk).await;
    assert_eq!((told.task, told.lease), (99, 98));
    assert_eq!(told.result(), v1::TaskResult::Unknown);
    let Word::GiveBack(back) = give_back(v1::Retry::AtOnce) else {
        panic!("gives back")
    };
    let odd = Word::GiveBack(v1::GiveBack { retry: 99, ..back });
    talk.say(vec![settle(&unknown, odd)]).await;
    let told = settled(&mut talk).await;
    assert_eq!(
        (told.result(), told.reason.as_str()),
        (
            v1::TaskResult::Malformed,
            "invalid argument: there is no retry 99"
        )
    );
    let nobody = v1::Task { worker: 8, ..unknown };
    talk.say(vec![settle(&nobody, Word::Complete(v1::Complete {}))])
        .await;
    assert!(matches!(next(&mut talk).await, Event::Refused(it) if it.handler == 8));
}
