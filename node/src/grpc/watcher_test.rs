use std::time::Duration;

use squall_proto::v1::{Interest, Row, RowKind};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::fake::{FakeNode, exchange, key};
use super::*;

const MS: Duration = Duration::from_millis(1);

type TestWatcher = Watcher<FakeNode, ReceiverStream<Result<Interest, Status>>>;

struct Bench {
    node: Arc<FakeNode>,
    wake: Wake,
    interests: mpsc::Sender<Result<Interest, Status>>,
    closing: watch::Sender<bool>,
    watcher: TestWatcher,
}

fn bench(rows: Vec<Row>) -> Bench {
    let (node, wake, closing) = (FakeNode::new(), Wake::default(), watch::Sender::new(false));
    node.set(rows);
    let (interests, inbound) = mpsc::channel(8);
    let watcher = Watcher::new(
        Arc::clone(&node),
        ReceiverStream::new(inbound),
        &wake,
        closing.subscribe(),
    );
    Bench {
        node,
        wake,
        interests,
        closing,
        watcher,
    }
}

impl Bench {
    async fn wants(&self, interest: Interest) {
        self.interests
            .send(Ok(interest))
            .await
            .expect("the watcher listens");
    }

    async fn frame(&mut self) -> v1::Frame {
        self.watcher
            .next()
            .await
            .expect("the stream goes on")
            .expect("no error")
    }

    async fn delta(&mut self) -> v1::Delta {
        match self.frame().await.body {
            Some(Body::Delta(delta)) => delta,
            other => panic!("not a delta: {other:?}"),
        }
    }
}

fn rows(body: Option<Body>) -> Vec<Row> {
    match body {
        Some(Body::Snapshot(part)) => part.rows,
        other => panic!("not a snapshot: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_comes_at_once_and_then_only_what_changed() {
    let mut bench = bench(vec![exchange("orders", 1), exchange("users", 1)]);
    bench
        .wants(Interest {
            id: 5,
            ..Default::default()
        })
        .await;
    let first = bench.frame().await;
    assert_eq!((first.interest, first.seq), (5, 1));
    assert_eq!(rows(first.body).len(), 2);
    bench.node.set(vec![exchange("orders", 2)]);
    let start = now();
    let delta = bench.delta().await;
    assert_eq!(delta.rows, [exchange("orders", 2)]);
    assert_eq!(delta.removed, [key(RowKind::Exchange, "users")]);
    assert_eq!((now() - start).as_millis() / 10, 25, "after the default interval");
}

#[tokio::test(start_paused = true)]
async fn an_important_change_does_not_wait_for_the_interval() {
    let mut bench = bench(vec![exchange("orders", 1)]);
    bench.wants(Interest::default()).await;
    bench.frame().await;
    bench.node.set(vec![exchange("orders", 2)]);
    bench.wake.raise();
    let start = now();
    assert_eq!(bench.delta().await.rows, [exchange("orders", 2)]);
    assert!(now() - start < 30 * MS);
}

#[tokio::test(start_paused = true)]
async fn an_important_change_rouses_a_watcher_that_waits_already() {
    let mut bench = bench(vec![exchange("orders", 1)]);
    bench.wants(Interest::default()).await;
    bench.frame().await;
    let start = now();
    let (node, wake) = (Arc::clone(&bench.node), bench.wake.clone());
    let change = async {
        tokio::time::advance(40 * MS).await;
        node.set(vec![exchange("orders", 2)]);
        wake.raise();
    };
    let (delta, ()) = tokio::join!(bench.delta(), change);
    assert_eq!(delta.rows, [exchange("orders", 2)]);
    assert!(now() - start < 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_newest_values_once_and_learns_what_was_merged() {
    let mut bench = bench(vec![exchange("orders", 1)]);
    bench.wants(Interest::default()).await;
    bench.frame().await;
    for n in 2..=6 {
        bench.node.set(vec![exchange("orders", n)]);
        tokio::time::advance(250 * MS).await;
    }
    let looks = bench.node.looks.load(std::sync::atomic::Ordering::Relaxed);
    let frame = bench.frame().await;
    assert_eq!(frame.cost.expect("a cost").coalesced, 4);
    assert_eq!(
        frame.body,
        Some(Body::Delta(v1::Delta {
            rows: vec![exchange("orders", 6)],
            removed: vec![]
        }))
    );
    assert_eq!(looks, 1, "nothing is computed for a reader that takes nothing");
    assert!(bench.watcher.pending.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_interest_brings_a_fresh_snapshot_and_drops_what_was_on_its_way() {
    let name = |n: usize| format!("{n:0>250}");
    let mut bench = bench((0..1000).map(|n| exchange(&name(n), 0)).collect());
    bench
        .wants(Interest {
            id: 1,
            ..Default::default()
        })
        .await;
    let first = bench.frame().await;
    assert!(matches!(&first.body, Some(Body::Snapshot(part)) if !part.last));
    bench
        .wants(Interest {
            id: 2,
            filter: "99".into(),
            ..Default::default()
        })
        .await;
    let second = bench.frame().await;
    assert_eq!((second.interest, second.seq), (2, 2));
    assert!(matches!(&second.body, Some(Body::Snapshot(p)) if p.id == 2 && p.part == 0 && p.last));
    assert_eq!(rows(second.body).len(), 19);
}

#[tokio::test(start_paused = true)]
async fn a_refused_interest_leaves_the_one_before_in_force() {
    let mut bench = bench(vec![exchange("orders", 1)]);
    bench
        .wants(Interest {
            id: 1,
            ..Default::default()
        })
        .await;
    bench.frame().await;
    bench
        .wants(Interest {
            id: 2,
            filter: "x".repeat(100_000),
            ..Default::default()
        })
        .await;
    let refused = bench.frame().await;
    let reason = match refused.body {
        Some(Body::Refused(refused)) => refused.reason,
        other => panic!("not refused: {other:?}"),
    };
    assert_eq!(
        reason,
        "filter: the filter has 100000 bytes, at most 256 are allowed"
    );
    assert_eq!(refused.interest, 2);
    bench.node.set(vec![exchange("orders", 2)]);
    let next = bench.frame().await;
    assert_eq!((next.interest, next.seq), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_looked_at_before_the_first_interest_and_silence_is_broken_after_a_second() {
    let mut bench = bench(vec![exchange("orders", 1)]);
    assert!(
        tokio::time::timeout(5000 * MS, bench.watcher.next())
            .await
            .is_err()
    );
    assert_eq!(bench.node.looks.load(std::sync::atomic::Ordering::Relaxed), 0);
    bench.wants(Interest::default()).await;
    bench.frame().await;
    let start = now();
    assert_eq!(bench.delta().await, v1::Delta::default());
    assert_eq!((now() - start).as_millis() / 100, 10);
}

#[tokio::test(start_paused = true)]
async fn the_stream_goes_on_when_the_reader_closes_its_half_and_ends_with_the_node() {
    let Bench {
        node,
        wake: _wake,
        interests,
        closing,
        mut watcher,
    } = bench(vec![exchange("orders", 1)]);
    interests
        .send(Ok(Interest::default()))
        .await
        .expect("the watcher listens");
    drop(interests);
    assert!(watcher.next().await.is_some());
    node.set(vec![]);
    let delta = watcher.next().await.expect("goes on").expect("no error");
    assert!(matches!(delta.body, Some(Body::Delta(_))));
    closing.send_replace(true);
    assert!(watcher.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_cost_of_watching_is_told() {
    let mut bench = bench(vec![exchange("orders", 1)]);
    for serial in 1..=1200 {
        bench
            .node
            .processes
            .lock()
            .expect("not poisoned")
            .push((serial, format!("p{serial}"), serial));
    }
    bench.wants(Interest::default()).await;
    let mut bytes = 0;
    loop {
        let frame = bench.frame().await;
        let cost = frame.cost.expect("a cost");
        assert!(cost.bytes > bytes && cost.bytes - bytes <= 66 * 1024);
        assert_eq!(cost.rows_omitted, 200);
        bytes = cost.bytes;
        if matches!(&frame.body, Some(Body::Snapshot(part)) if part.last) {
            return;
        }
    }
}
