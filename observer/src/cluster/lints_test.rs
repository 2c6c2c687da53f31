//! Tests of the lints: each with the numbers at which it begins.

use squall_proto::v1;
use squall_proto::v1::row::Row;

use super::*;
use crate::feed::{RowsUpdate, Update};

struct Made {
    cluster: Cluster,
    now: Moment,
}

impl Made {
    fn new() -> Self {
        Self {
            cluster: Cluster::default(),
            now: Moment(1_000_000),
        }
    }

    fn rows(&mut self, node: &str, taken_ms: u64, rows: Vec<Row>) {
        let own = Row::Node(v1::NodeRow {
            name: node.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            heartbeat_us: 50_000,
            ..Default::default()
        });
        let all = std::iter::once(own)
            .chain(rows)
            .map(|row| v1::Row { row: Some(row) });
        let update = RowsUpdate {
            node: node.to_owned(),
            rows: all.collect(),
            taken_unix_ms: taken_ms,
            ..Default::default()
        };
        self.cluster.apply(self.now, Update::Rows(update));
    }

    fn lints(&self) -> Vec<String> {
        lints(&self.cluster, self.now)
    }
}

fn process(waiting: u64, bound: u64) -> Row {
    Row::Process(v1::ProcessRow {
        pid: "<a.1>".to_owned(),
        name: "orders".to_owned(),
        enqueued: 1000 + waiting,
        dequeued: 1000,
        bound,
        ..Default::default()
    })
}

fn link(peer: &str, state: v1::LinkState, rtt_p50_us: u64) -> Row {
    Row::Link(v1::LinkRow {
        peer: peer.to_owned(),
        state: state as i32,
        rtt_p50_us,
        ..Default::default()
    })
}

#[test]
fn a_mailbox_is_said_from_85_percent_on() {
    for (waiting, said) in [(84, false), (85, true)] {
        let mut made = Made::new();
        made.rows("a", 1_000_000, vec![process(waiting, 100)]);
        assert_eq!(!made.lints().is_empty(), said, "{:?}", made.lints());
    }
    let mut made = Made::new();
    made.rows("a", 1_000_000, vec![process(96, 100)]);
    assert_eq!(made.lints(), ["<a.1> orders on a: mailbox 96% full, 96 of 100"]);
    let mut unbounded = Made::new();
    unbounded.rows("a", 1_000_000, vec![process(9_999, 0)]);
    assert!(unbounded.lints().is_empty());
}

#[test]
fn a_mailbox_that_grows_for_half_a_minute_is_said_and_one_that_shrinks_is_not() {
    let mut made = Made::new();
    for second in 0..=30u64 {
        made.now = Moment(1_000_000 + second * 1_000);
        assert!(made.lints().is_empty(), "{second}");
        made.rows("a", made.now.0, vec![process(100 + second, 10_000)]);
    }
    assert_eq!(
        made.lints(),
        ["<a.1> orders on a: mailbox grows, by 30 in 30s to 130"]
    );
    made.now = Moment(made.now.0 + 1_000);
    made.rows("a", made.now.0, vec![process(90, 10_000)]);
    assert!(made.lints().is_empty(), "it was nearly emptied");
}

#[test]
fn leaders_that_come_and_go_are_counted_over_a_minute() {
    let appointed = |n: u64| v1::Event {
        seq: n,
        unix_ms: 1_000_000 - n * 10_000,
        kind: "leader-appointed".to_owned(),
        subject: "orders".to_owned(),
        ..Default::default()
    };
    for (times, said) in [(3u64, false), (4, true)] {
        let mut made = Made::new();
        made.rows("a", 1_000_000, Vec::new());
        let events = (1..=times).map(appointed).collect();
        made.cluster.events.add("a", 1, events, 0);
        assert_eq!(!made.lints().is_empty(), said, "{:?}", made.lints());
    }
    let mut made = Made::new();
    made.rows("a", 1_000_000, Vec::new());
    made.cluster
        .events
        .add("a", 1, (1..=5).map(appointed).collect(), 0);
    assert_eq!(made.lints(), ["orders: 5 leaders within a minute"]);
}

#[test]
fn directions_of_a_link_are_two() {
    let mut made = Made::new();
    made.rows("a", 1_000_000, vec![link("b", v1::LinkState::Up, 300)]);
    made.rows("b", 1_000_000, vec![link("a", v1::LinkState::Down, 0)]);
    assert_eq!(made.lints(), ["a → b is up, b → a is not"]);
    let mut made = Made::new();
    made.rows("a", 1_000_000, vec![link("b", v1::LinkState::Up, 24_000)]);
    made.rows("b", 1_000_000, vec![link("a", v1::LinkState::Up, 1_000)]);
    assert_eq!(made.lints(), ["a → b takes 24ms, b → a 1.0ms"]);
    made.rows("a", 1_000_000, vec![link("b", v1::LinkState::Up, 25_001)]);
    made.rows("b", 1_000_000, vec![link("a", v1::LinkState::Up, 25_000)]);
    assert_eq!(
        made.lints(),
        ["a → b: round trip 25ms, above half the heartbeat of 50ms"]
    );
}

#[test]
fn versions_and_clocks_that_differ_are_said() {
    let mut made = Made::new();
    made.rows("a", 1_000_000, Vec::new());
    made.rows("b", 1_000_900, Vec::new());
    assert_eq!(made.lints(), ["clocks differ: b is 900ms ahead of a"]);
    let mut made = Made::new();
    made.rows("a", 1_000_000, Vec::new());
    let newer = v1::NodeRow {
        name: "b".to_owned(),
        version: "9.1.0".to_owned(),
        ..Default::default()
    };
    made.rows("b", 1_000_000, vec![Row::Node(newer)]);
    let own = env!("CARGO_PKG_VERSION");
    let differ = format!("versions differ: {own} on a, 9.1.0 on b");
    let newer = format!("b runs 9.1.0, newer than this observer ({own}): not all of it may show");
    assert_eq!(made.lints(), [differ, newer]);
}

#[test]
fn of_many_the_worst_are_said_and_the_others_counted() {
    let mut all = Vec::new();
    put(
        &mut all,
        (1..=5).map(|n| (n, format!("line {n}"))).collect(),
        made,
    );
    assert_eq!(all, ["line 5 (and 2 more like it)", "line 4", "line 3"]);
}
