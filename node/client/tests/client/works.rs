//! The client as a worker, against a fake node that speaks the real frames.

use bytes::Bytes;
use squall_client::tasks::{Done, Task, WorkOptions};
use squall_kernel::frame::{Frame, Kind};
use squall_kernel::id::{MessageId, NodeId, Pid};
use squall_kernel::message::{SettleWord, Settlement, control, parse};
use squall_kernel::tasks::{Retry, SettleResult};
use tokio::sync::mpsc;

use crate::fake_node::{Conn, EXCHANGE, FakeNode};
use crate::handlers::{LONG, SERIAL, connected};

fn owner() -> Pid {
    Pid {
        node: NodeId(1),
        serial: 99,
    }
}

fn task(n: u64) -> Frame {
    Frame {
        exchange: EXCHANGE,
        message: MessageId(n),
        signature: n,
        to: SERIAL,
        from: owner(),
        left_ms: 60_000,
        index: 1,
        count: 1,
        payload: Bytes::from(format!("task {n}")),
        ..Frame::new(Kind::Task)
    }
}

fn settled(n: u64, result: SettleResult) -> Frame {
    Frame {
        exchange: EXCHANGE,
        message: MessageId(n),
        signature: n,
        to: SERIAL,
        from: owner(),
        payload: control(&SettleWord::Result(result)).payload,
        ..Frame::new(Kind::Settle)
    }
}

async fn word(conn: &mut Conn) -> (u64, Settlement) {
    let frame = conn.next().await.expect("a word comes");
    assert_eq!(frame.kind, Kind::Settle);
    (frame.message.0, parse(&frame.payload).unwrap())
}

/// The owner knows with its answer that there is room, and sends the next task right behind it.
#[tokio::test]
async fn the_next_task_may_come_right_behind_the_answer_about_the_one_before() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let (done, mut seen) = mpsc::channel(16);
    let worker = move |task: Task| {
        let done = done.clone();
        async move {
            done.send(task.payload().clone()).await.unwrap();
            Done::Confirm
        }
    };
    let options = WorkOptions {
        wait: LONG,
        ..WorkOptions::default()
    };
    let (attachment, _) = tokio::join!(client.work("mails", options, worker), conn.attach(SERIAL));
    let _attachment = attachment.unwrap();
    conn.send(&task(1)).await;
    for n in 1..50 {
        assert_eq!(word(&mut conn).await, (n, Settlement::Confirm));
        conn.send_all(&[settled(n, SettleResult::Confirmed), task(n + 1)])
            .await;
        assert_eq!(seen.recv().await.unwrap(), format!("task {n}"));
    }
}

/// More than the worker takes is said to be no attempt.
#[tokio::test]
async fn a_task_beyond_the_credit_goes_back_unseen() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let worker = |_| std::future::pending::<Done>();
    let options = WorkOptions {
        wait: LONG,
        ..WorkOptions::default()
    };
    let (attachment, _) = tokio::join!(client.work("mails", options, worker), conn.attach(SERIAL));
    let _attachment = attachment.unwrap();
    conn.send_all(&[task(1), task(2)]).await;
    let unseen = Settlement::GiveBack {
        said: String::new(),
        retry: Retry::Unseen,
    };
    assert_eq!(word(&mut conn).await, (2, unseen));
}
