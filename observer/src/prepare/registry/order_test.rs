//! The window is that of the whole order, and the order follows what comes and goes.

use squall_proto::v1;
use squall_proto::v1::row::Row;

use super::*;
use crate::feed::{RowsUpdate, Update};

const NOW: Moment = Moment(10_000);

fn feed(cluster: &mut Cluster, node: &str, rows: Vec<Row>, removed: &[&str]) {
    let key = |pid: &&str| v1::RowKey {
        kind: v1::RowKind::Process.into(),
        key: (*pid).to_owned(),
    };
    cluster.apply(
        NOW,
        Update::Rows(RowsUpdate {
            node: node.to_owned(),
            rows: rows.into_iter().map(|row| v1::Row { row: Some(row) }).collect(),
            removed: removed.iter().map(key).collect(),
            taken_unix_ms: 1,
            ..Default::default()
        }),
    );
}

fn process(pid: &str, kind: &str, name: &str, age_ms: u64) -> Row {
    Row::Process(v1::ProcessRow {
        pid: pid.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        age_ms,
        ..Default::default()
    })
}

fn cluster() -> Cluster {
    let mut cluster = Cluster::default();
    let kinds = ["handler", "subscriber", "session", "requester"];
    for node in ["a", "b"] {
        let own = Row::Node(v1::NodeRow {
            name: node.to_owned(),
            uptime_ms: 500,
            ..Default::default()
        });
        let all = (0..150u64).map(|n| {
            let name = format!("an-exchange-with-a-long-name-{}", n * 37 % 11);
            process(
                &format!("<{node}.{n}>"),
                kinds[n as usize % 4],
                &name,
                n * 7919 % 1000,
            )
        });
        feed(&mut cluster, node, std::iter::once(own).chain(all).collect(), &[]);
    }
    cluster
}

fn ids(facts: &[RegistryFact]) -> Vec<String> {
    let id = |fact: &RegistryFact| fact.pid.clone().unwrap_or_else(|| fact.name.clone());
    facts.iter().map(id).collect()
}

#[test]
fn any_window_is_that_of_the_whole_order() {
    let cluster = cluster();
    let filter = Filter::default();
    for column in 0..6 {
        for descending in [false, true] {
            let sort = Sort { column, descending };
            let mut order = RegistryOrder::default();
            let whole = ids(&order.of(&cluster, NOW, sort, &filter).window(0, usize::MAX));
            // Three of four kinds are something to others.
            assert_eq!(whole.len(), 2 + 2 * (150 - 37), "{column}");
            for (first, count) in [(0, 10), (220, 20), (77, 1), (0, 10), (5, 100), (300, 4)] {
                let end = (first + count).min(whole.len());
                let window = order.of(&cluster, NOW, sort, &filter).window(first, count);
                assert_eq!(ids(&window), whole[first.min(whole.len())..end]);
            }
            let ordered = order.of(&cluster, NOW, sort, &filter);
            let at = whole.iter().position(|id| id == "<b.20>").expect("a handler");
            assert_eq!(ordered.rank(|_| false, Some(("b", "<b.20>"))), Some(at));
            let at = whole.iter().position(|id| id == "b").expect("a node");
            assert_eq!(
                ordered.rank(|fact| fact.kind == "node" && fact.name == "b", None),
                Some(at)
            );
        }
    }
}

#[test]
fn it_is_in_the_order_of_the_column() {
    let cluster = cluster();
    let mut order = RegistryOrder::default();
    let sorted = |column| Sort {
        column,
        descending: false,
    };
    let filter = Filter::default();
    let by_kind = order.of(&cluster, NOW, sorted(0), &filter).window(0, usize::MAX);
    assert!(by_kind.is_sorted_by(|a, b| (a.kind, &a.name) <= (b.kind, &b.name)));
    let by_what = order.of(&cluster, NOW, sorted(4), &filter).window(0, usize::MAX);
    assert!(by_what.is_sorted_by(|a, b| a.what <= b.what));
    let by_age = order.of(&cluster, NOW, sorted(5), &filter).window(0, usize::MAX);
    assert!(by_age.is_sorted_by(|a, b| a.age_ms <= b.age_ms));
}

#[test]
fn what_comes_and_goes_and_what_the_filter_wants_shows() {
    let mut cluster = cluster();
    let mut order = RegistryOrder::default();
    let by_name = Sort {
        column: 1,
        descending: false,
    };
    let (all, some) = (Filter::default(), Filter::parse("zebra", &[]).expect("a text"));
    let before = order.of(&cluster, NOW, by_name, &all).window(0, usize::MAX).len();
    feed(
        &mut cluster,
        "a",
        vec![process("<a.900>", "handler", "zebra", 1)],
        &["<a.0>", "<a.3>"],
    );
    let after = order.of(&cluster, NOW, by_name, &all).window(0, usize::MAX);
    // A handler is gone, a requester is none's business, and one has come.
    assert_eq!(after.len(), before);
    assert_eq!(ids(&after).last().map(String::as_str), Some("<a.900>"));
    let ordered = &mut order.of(&cluster, NOW, by_name, &some);
    assert_eq!(
        (ids(&ordered.window(0, 9)), ordered.unfiltered),
        (vec!["<a.900>".to_owned()], before)
    );
}
