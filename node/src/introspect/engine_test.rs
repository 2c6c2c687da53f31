use squall_proto::v1;

use super::*;

fn exchange(name: &str, requests: u64) -> Row {
    Row {
        row: Some(Content::Exchange(v1::ExchangeRow {
            name: name.into(),
            requests,
            ..Default::default()
        })),
    }
}

fn fault(id: &str) -> Row {
    Row {
        row: Some(Content::Fault(v1::FaultRow {
            id: id.into(),
            ..Default::default()
        })),
    }
}

fn key(kind: RowKind, key: &str) -> RowKey {
    RowKey {
        kind: kind as i32,
        key: key.into(),
    }
}

/// Rows and removed keys of deltas, in order.
fn changes(bodies: Vec<Body>) -> (Vec<Row>, Vec<RowKey>) {
    let mut all = (Vec::new(), Vec::new());
    for body in bodies {
        let Body::Delta(delta) = body else {
            panic!("not a delta: {body:?}")
        };
        all.0.extend(delta.rows);
        all.1.extend(delta.removed);
    }
    all
}

#[test]
fn an_empty_node_has_a_snapshot_of_one_empty_part() {
    let mut picture = Picture::default();
    let part = SnapshotPart {
        id: 3,
        part: 0,
        last: true,
        rows: vec![],
    };
    assert_eq!(picture.snapshot(3, vec![]), [Body::Snapshot(part)]);
}

#[test]
fn a_delta_has_complete_values_of_what_changed_and_nothing_else() {
    let mut picture = Picture::default();
    picture.snapshot(1, vec![exchange("orders", 1), exchange("users", 5), fault("f")]);
    assert_eq!(
        picture.delta(vec![exchange("orders", 1), exchange("users", 5), fault("f")]),
        []
    );
    let (rows, removed) = changes(picture.delta(vec![
        exchange("orders", 2),
        exchange("users", 5),
        exchange("new", 0),
    ]));
    assert_eq!(rows, [exchange("orders", 2), exchange("new", 0)]);
    assert_eq!(removed, [key(RowKind::Fault, "f")]);
    assert_eq!(
        picture.delta(vec![
            exchange("orders", 2),
            exchange("users", 5),
            exchange("new", 0)
        ]),
        []
    );
}

#[test]
fn one_key_in_two_kinds_is_two_rows() {
    let mut picture = Picture::default();
    picture.snapshot(1, vec![exchange("x", 1), fault("x")]);
    assert_eq!(
        changes(picture.delta(vec![exchange("x", 1)])),
        (vec![], vec![key(RowKind::Fault, "x")])
    );
}

#[test]
fn parts_and_deltas_stay_below_the_bound_and_lose_nothing() {
    let name = |n: usize| format!("{n:0>250}");
    let rows: Vec<Row> = (0..2000).map(|n| exchange(&name(n), 0)).collect();
    let mut picture = Picture::default();
    let parts = picture.snapshot(1, rows.clone());
    assert!(parts.len() > 5);
    let mut seen = Vec::new();
    for (n, body) in parts.iter().enumerate() {
        let Body::Snapshot(part) = body else {
            panic!("not a part")
        };
        assert!(
            part.encoded_len() <= limits::PART_BYTES_MAX + 32,
            "{} bytes",
            part.encoded_len()
        );
        assert_eq!((part.part as usize, part.last), (n, n == parts.len() - 1));
        seen.extend(part.rows.clone());
    }
    assert_eq!(seen, rows);

    let bodies = picture.delta(vec![]);
    for body in &bodies {
        let Body::Delta(delta) = body else {
            panic!("not a delta")
        };
        assert!(delta.encoded_len() <= limits::PART_BYTES_MAX);
    }
    assert_eq!(changes(bodies).1.len(), 2000);
}

#[test]
fn a_new_snapshot_forgets_the_old_picture() {
    let mut picture = Picture::default();
    picture.snapshot(1, vec![exchange("orders", 1)]);
    picture.snapshot(2, vec![exchange("users", 1)]);
    assert_eq!(
        changes(picture.delta(vec![])),
        (vec![], vec![key(RowKind::Exchange, "users")])
    );
}
