//! Tests of the ring.

use squall_proto::v1;
use squall_proto::v1::row::Row;

use super::*;
use crate::feed::RowsUpdate;

/// Node a has taken in so many messages, and carries a name of some bytes.
fn told(messages_in: u64, ballast: usize) -> Update {
    Update::Rows(RowsUpdate {
        node: "a".to_owned(),
        rows: vec![v1::Row {
            row: Some(Row::Node(v1::NodeRow {
                name: "a".to_owned(),
                messages_in,
                waiting_for: "x".repeat(ballast),
                ..Default::default()
            })),
        }],
        ..Default::default()
    })
}

/// A ring that was told something four times a second, for so many seconds.
fn ring(seconds: u64, ballast: usize) -> (History, Cluster, Moment) {
    let (mut history, mut cluster, mut now) = (History::default(), Cluster::default(), Moment(1_000_000));
    for n in 0..seconds * 4 {
        now = Moment(1_000_000 + n * 250);
        let update = told(n, ballast);
        history.push(now, std::slice::from_ref(&update), &cluster);
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
    let (history, cluster, now) = ring(120, 0);
    for n in [1u64, 7, 199, 200, 201, 479] {
        let at = Moment(1_000_000 + n * 250);
        let (then, shown) = history.at(at, &cluster).expect("it is held");
        assert_eq!((messages(&then), shown), (Some(n), at));
    }
    let (then, _) = history.at(now, &cluster).expect("it is held");
    assert_eq!(messages(&then), messages(&cluster));
    assert_eq!(then.nodes["a"].load.len(), cluster.nodes["a"].load.len());
    let (first, shown) = history.at(Moment(0), &cluster).expect("the first there is");
    assert_eq!(
        (messages(&first), shown),
        (Some(0), Moment(1_000_000)),
        "brought within what is held"
    );
}

#[test]
fn ten_minutes_are_held_and_no_more() {
    let (history, _, now) = ring(900, 0);
    let held = now.since(history.since().expect("something"));
    assert!(
        (HISTORY_MS..HISTORY_MS + 2 * KEYFRAME_MS_MAX).contains(&held),
        "{held}"
    );
}

#[test]
fn large_updates_are_held_for_a_shorter_time_within_the_bound_of_bytes() {
    let (history, cluster, now) = ring(600, 400_000);
    assert!(
        history.bytes() <= HISTORY_BYTES + HISTORY_BYTES / 4,
        "{}",
        history.bytes()
    );
    let held = now.since(history.since().expect("something"));
    assert!(held > 10_000 && held < HISTORY_MS, "{held}");
    let (then, _) = history.at(Moment(now.0 - 5_000), &cluster).expect("it is held");
    assert_eq!(messages(&then), Some(600 * 4 - 1 - 20));
}

#[test]
fn nothing_is_held_before_anything_came() {
    assert!(History::default().at(Moment(5), &Cluster::default()).is_none());
}
