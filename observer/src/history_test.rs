//! Tests of the ring.

use squall_proto::v1;
use squall_proto::v1::row::Row;

use super::*;
use crate::feed::{Link, RowsUpdate};

/// What cannot be packed: letters without any order.
fn noise(seed: u64, len: usize) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + (state >> 32) as u8 % 94)
    };
    (0..len).map(|_| letter()).collect()
}

/// Node a has taken in so many messages, and carries a name of some bytes.
fn told(messages_in: u64, ballast: &str) -> Update {
    Update::Rows(RowsUpdate {
        node: "a".to_owned(),
        rows: vec![v1::Row {
            row: Some(Row::Node(v1::NodeRow {
                name: "a".to_owned(),
                messages_in,
                waiting_for: ballast.to_owned(),
                ..Default::default()
            })),
        }],
        ..Default::default()
    })
}

/// A ring that was told something four times a second, for so many seconds.
fn ring(seconds: u64) -> (History, Cluster, Moment) {
    let (mut history, mut cluster, mut now) = (History::default(), Cluster::default(), Moment(1_000_000));
    for n in 0..seconds * 4 {
        now = Moment(1_000_000 + n * 250);
        let update = told(n, "");
        history.push(now, vec![update.clone()]);
        cluster.sample(now);
        cluster.apply(now, update);
    }
    (history, cluster, now)
}

fn messages(cluster: &Cluster) -> Option<u64> {
    cluster.nodes.get("a")?.row.as_ref().map(|row| row.messages_in)
}

#[test]
fn every_moment_is_made_again_as_it_was() {
    let (history, cluster, now) = ring(120);
    for n in [1u64, 7, 199, 200, 201, 479] {
        let at = Moment(1_000_000 + n * 250);
        let (then, shown) = history.at(at).expect("it is held");
        assert_eq!((messages(&then), shown), (Some(n), at));
    }
    let (then, _) = history.at(now).expect("it is held");
    assert_eq!(messages(&then), messages(&cluster));
    assert_eq!(then.nodes["a"].load.len(), cluster.nodes["a"].load.len());
    let (first, shown) = history.at(Moment(0)).expect("the first there is");
    assert_eq!(
        (messages(&first), shown),
        (Some(0), Moment(1_000_000)),
        "brought within what is held"
    );
}

#[test]
fn ten_minutes_are_held_and_no_more() {
    let (history, _, now) = ring(900);
    let held = now.since(history.since().expect("something"));
    assert!(
        (HISTORY_MS..HISTORY_MS + 2 * KEYFRAME_MS_MAX).contains(&held),
        "{held}"
    );
}

#[test]
fn large_updates_are_held_for_a_shorter_time_within_the_bound_of_bytes() {
    let ballast = noise(7, 5 << 20);
    let mut seen = Seen::default();
    for n in 0..60 {
        seen.take(1_000_000 + n * 1000, told(n, &ballast));
    }
    let bytes = seen.history.bytes();
    assert!(bytes <= HISTORY_BYTES + HISTORY_BYTES / 2, "{bytes}");
    let held = 1_059_000 - seen.history.since().expect("something").0;
    assert!(held > 10_000 && held < 59_000, "{held}");
    assert_eq!(messages(&seen.at(1_054_000)), Some(54));
}

fn processes(at: u64, counts: &[(u64, u64)], removed: &[u64]) -> Update {
    let row = |&(n, enqueued): &(u64, u64)| v1::Row {
        row: Some(Row::Process(v1::ProcessRow {
            pid: format!("<a.{n}>"),
            enqueued,
            ..Default::default()
        })),
    };
    let gone = |n: &u64| v1::RowKey {
        kind: v1::RowKind::Process.into(),
        key: format!("<a.{n}>"),
    };
    Update::Rows(RowsUpdate {
        node: "a".to_owned(),
        rows: counts.iter().map(row).collect(),
        removed: removed.iter().map(gone).collect(),
        taken_unix_ms: at,
        ..Default::default()
    })
}

/// Feeds a ring as the observer does.
#[derive(Default)]
struct Seen {
    history: History,
    cluster: Cluster,
}

impl Seen {
    fn take(&mut self, at: u64, update: Update) {
        let now = Moment(at);
        self.history.push(now, vec![update.clone()]);
        self.cluster.sample(now);
        self.cluster.apply(now, update);
    }

    fn at(&self, at: u64) -> Cluster {
        self.history.at(Moment(at)).expect("it is held").0
    }
}

fn enqueued(cluster: &Cluster, n: u64) -> Option<u64> {
    let found = cluster.nodes.get("a")?.processes.get(&format!("<a.{n}>"))?;
    Some(found.row.enqueued)
}

#[test]
fn processes_are_held_by_the_second_with_their_rates() {
    let mut seen = Seen::default();
    for n in 0..120u64 {
        let at = 1_000_000 + n * 250;
        // The second one is told of twice a second only.
        let told = [(1, n * 10), (2, n * 4)];
        seen.take(at, processes(at, &told[..1 + usize::from(n % 2 == 0)], &[]));
    }
    for second in 2..29u64 {
        let then = seen.at(1_000_000 + second * 1000 + 999);
        let first = enqueued(&then, 1).expect("it was there");
        assert!(
            (second * 40 - 40..=second * 40 + 30).contains(&first),
            "{second}: {first}"
        );
        let node = &then.nodes["a"];
        for (n, rate) in [(1, 40.0), (2, 16.0)] {
            let process = node.processes.get(&format!("<a.{n}>")).expect("it was there");
            assert_eq!(
                process.rate_in.per_s(node.processes_ms()),
                Some(rate),
                "{second}: {n}"
            );
        }
    }
    let now = seen.at(1_000_000 + 119 * 250);
    assert_eq!(enqueued(&now, 1), Some(1190), "and what was gathered last");
}

#[test]
fn a_process_that_ended_stays_away_and_a_lost_node_lost() {
    let mut seen = Seen::default();
    seen.take(1_000_000, processes(1_000_000, &[(1, 1), (2, 1)], &[]));
    seen.take(1_000_250, processes(1_000_250, &[(2, 2)], &[1]));
    let down = Link::Down {
        why: "connection refused".to_owned(),
        refused: true,
    };
    seen.take(
        1_000_500,
        Update::Connection {
            node: "a".to_owned(),
            state: down.clone(),
        },
    );
    seen.take(
        1_005_000,
        Update::Seed {
            addr: "x".to_owned(),
            why: None,
        },
    );
    let then = seen.at(1_005_000);
    assert_eq!((enqueued(&then, 1), enqueued(&then, 2)), (None, Some(2)));
    let node = &then.nodes["a"];
    assert!(matches!(
        node.connection,
        crate::cluster::node::Connection::Down { .. }
    ));
    assert_eq!(node.heard, Moment(1_000_250), "not when it was put away");
}

/// The bound of bytes is made for a thousand busy processes of each of seven nodes, ten minutes long, with whole pictures of them
/// between: about forty bytes for each second of each.
#[test]
fn a_busy_process_takes_few_bytes_a_second() {
    let mut seen = Seen::default();
    let (nodes, each, seconds) = (7, 150, 40u64);
    for n in 0..seconds {
        let now = 1_000_000 + n * 1000;
        for node in 0..nodes {
            let row = |k: u64| v1::Row {
                row: Some(Row::Process(v1::ProcessRow {
                    pid: format!("<n{node}.{k}>"),
                    name: format!("exchange-{:02}", k % 12),
                    kind: "handler".to_owned(),
                    enqueued: n * (k % 397 + 1) + k,
                    dequeued: n * (k % 397 + 1) + k,
                    bound: 4096,
                    oldest_us: (k * 7919 + n * 104_729) % 4_000,
                    busy_us: n * (k % 397 + 1) * 7,
                    sent: n * (k % 397 + 1),
                    age_ms: 3_600_000 + n * 1000,
                    ..Default::default()
                })),
            };
            let rows = RowsUpdate {
                node: format!("n{node}"),
                rows: (0..each).map(row).collect(),
                taken_unix_ms: now,
                ..Default::default()
            };
            seen.take(now, Update::Rows(rows));
        }
    }
    let a_second = seen.history.bytes() as u64 / (nodes * each * seconds);
    assert!(a_second < 40, "{a_second}");
}

#[test]
fn nothing_is_held_before_anything_came() {
    assert!(History::default().at(Moment(5)).is_none());
}
