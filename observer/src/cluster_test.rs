//! What the store makes of updates: states, ages, quorum, splits, restarts.

use squall_proto::v1;
use squall_proto::v1::row::Row;

use super::health::{self, Quorum};
use super::*;
use crate::feed::Link;

fn rows(node: &str, taken: u64, rows: Vec<Row>) -> Update {
    Update::Rows(RowsUpdate {
        node: node.to_owned(),
        whole: true,
        taken_unix_ms: taken,
        rows: rows.into_iter().map(|row| v1::Row { row: Some(row) }).collect(),
        ..Default::default()
    })
}

fn node(name: &str, quorum: bool) -> Row {
    let role = v1::MetaRole::Leader.into();
    Row::Node(v1::NodeRow {
        name: name.to_owned(),
        incarnation: 1,
        quorum,
        role,
        ..Default::default()
    })
}

fn owner(epoch: u64, lease_left_ms: u64) -> Row {
    Row::Leader(v1::LeaderRow {
        exchange: "orders".to_owned(),
        role: v1::LeaderRole::Owner.into(),
        epoch,
        lease_left_ms,
        ..Default::default()
    })
}

fn down(node: &str, refused: bool) -> Update {
    let state = Link::Down {
        why: "gone".to_owned(),
        refused,
    };
    Update::Connection {
        node: node.to_owned(),
        state,
    }
}

fn cluster(updates: Vec<(u64, Update)>) -> Cluster {
    let mut cluster = Cluster::default();
    for (at, update) in updates {
        cluster.apply(Moment(at), update);
    }
    cluster
}

fn state(cluster: &Cluster, name: &str, now: u64) -> State {
    cluster.state(&cluster.nodes[name], Moment(now))
}

#[test]
fn silence_is_first_suspect_and_then_down() {
    let c = cluster(vec![(0, rows("a", 0, vec![node("a", true)]))]);
    assert_eq!(
        [900, 1_500, 3_500].map(|at| state(&c, "a", at)),
        [State::Up, State::Suspect, State::Down]
    );
}

#[test]
fn a_refused_connection_is_down_at_once_and_a_lost_one_is_given_time() {
    let seen = || (0, rows("a", 0, vec![node("a", true)]));
    let refused = cluster(vec![seen(), (100, down("a", true))]);
    let lost = cluster(vec![seen(), (100, down("a", false)), (2_000, down("a", false))]);
    assert_eq!(state(&refused, "a", 101), State::Down);
    assert_eq!(
        [200, 3_000, 3_200].map(|at| state(&lost, "a", at)),
        [State::Suspect, State::Suspect, State::Down]
    );
}

#[test]
fn the_registry_knows_earlier_that_a_node_is_lost() {
    let member = v1::Member {
        name: "b".to_owned(),
        state: v1::NodeState::Down.into(),
        ..Default::default()
    };
    let told = Row::Node(v1::NodeRow {
        name: "a".to_owned(),
        members: vec![member],
        ..Default::default()
    });
    let c = cluster(vec![
        (0, rows("b", 0, vec![node("b", true)])),
        (10, down("b", false)),
        (20, rows("a", 20, vec![told])),
    ]);
    assert_eq!(state(&c, "b", 100), State::Down);
}

#[test]
fn a_dead_nodes_rows_stay_and_say_their_age() {
    let c = cluster(vec![
        (0, rows("a", 0, vec![node("a", true), owner(3, 100)])),
        (100, down("a", true)),
    ]);
    assert_eq!(c.nodes["a"].opinions.len(), 1);
    assert_eq!(c.nodes["a"].stale_ms(Moment(3_200)), Some(3_200));
}

#[test]
fn quorum_is_held_when_one_live_node_hears_a_majority() {
    let held = cluster(vec![
        (0, rows("a", 0, vec![node("a", true)])),
        (0, rows("b", 0, vec![node("b", false)])),
    ]);
    let lost = cluster(vec![(0, rows("a", 0, vec![node("a", false)]))]);
    assert_eq!(health::quorum(&held, Moment(1)), Quorum::Held);
    assert_eq!(health::quorum(&lost, Moment(1)), Quorum::Lost);
    assert_eq!(health::quorum(&held, Moment(5_000)), Quorum::Silent);
    assert_eq!(health::quorum(&Cluster::default(), Moment(1)), Quorum::Loading);
    assert_eq!(
        health::meta_leader(&lost, Moment(1)),
        None,
        "a leader without a majority leads nobody"
    );
}

#[test]
fn leases_that_overlap_are_a_split_and_a_handover_is_none() {
    let both = |first: (u64, u64), second: u64| {
        cluster(vec![
            (
                first.0,
                rows("a", first.0, vec![node("a", true), owner(7, first.1)]),
            ),
            (second, rows("b", second, vec![node("b", true), owner(8, 100)])),
        ])
    };
    let split = |c: &Cluster, at: u64| health::splits(c, Moment(at)).len();
    assert_eq!(
        split(&both((100, 120), 150), 200),
        0,
        "a may have stopped before b began: its next report tells"
    );
    assert_eq!(
        split(&both((100, 120), 150), 650),
        1,
        "a is silent, its lease runs to 220, b owns from 150"
    );
    assert_eq!(
        split(&both((100, 120), 230), 650),
        0,
        "a's lease has ended when b begins"
    );
}

#[test]
fn two_who_go_on_as_owners_are_a_split_however_their_reports_fall() {
    let mut c = Cluster::default();
    for at in [0, 250, 500] {
        c.apply(Moment(at), rows("a", at, vec![node("a", true), owner(7, 100)]));
        c.apply(
            Moment(at + 125),
            rows("b", at + 125, vec![node("b", true), owner(8, 100)]),
        );
    }
    assert_eq!(health::splits(&c, Moment(700)).len(), 1);
}

#[test]
fn an_exchange_that_nobody_owns_is_found() {
    let router = Row::Leader(v1::LeaderRow {
        exchange: "orders".to_owned(),
        role: v1::LeaderRole::Router.into(),
        ..Default::default()
    });
    let c = cluster(vec![(0, rows("a", 0, vec![node("a", true), router]))]);
    assert_eq!(health::ownerless(&c, Moment(1)).len(), 1);
}

#[test]
fn a_fault_counts_until_its_time_is_up_even_when_its_node_is_silent() {
    let fault = |id: &str, left_ms| {
        Row::Fault(v1::FaultRow {
            id: id.to_owned(),
            what: id.to_owned(),
            left_ms,
            ..Default::default()
        })
    };
    let c = cluster(vec![(
        0,
        rows(
            "a",
            0,
            vec![node("a", true), fault("x", 5_000), fault("y", 2_000)],
        ),
    )]);
    let at = |now| health::faults(&c, Moment(now));
    assert_eq!(
        (at(500).count, at(500).shortest_ms, at(500).what.as_str()),
        (2, 1_500, "y")
    );
    assert_eq!((at(4_000).count, at(6_000).count), (1, 0));
}

#[test]
fn a_hostile_node_cannot_fill_the_store() {
    let mut c = Cluster::default();
    for i in 0..NODES_MAX + 9 {
        c.apply(Moment(0), down(&format!("n{i}"), true));
    }
    assert_eq!((c.nodes.len(), c.nodes_left_out), (NODES_MAX, 9));
}

#[test]
fn a_node_that_makes_ever_more_rows_up_gets_no_more_room_and_that_is_counted() {
    let link = |i: usize| {
        Row::Link(v1::LinkRow {
            peer: format!("p{i}"),
            connects: u64::MAX,
            phi: f64::NAN,
            ..Default::default()
        })
    };
    let told = (0..NODES_MAX + 9).map(link).collect();
    let c = cluster(vec![(0, rows("a", 0, told))]);
    let a = &c.nodes["a"];
    assert_eq!((a.links.len(), a.rows_omitted), (NODES_MAX, 9));
    let p0 = &a.links["p0"];
    assert_eq!(
        (p0.connects, p0.phi),
        (1 << 53, 0.0),
        "figures are such that they can be summed"
    );
}

#[test]
fn a_missing_second_is_a_gap_in_the_chart() {
    let mut c = Cluster::default();
    for second in 0..4u64 {
        let row = v1::NodeRow {
            name: "a".to_owned(),
            messages_in: second * 10,
            ..Default::default()
        };
        c.apply(
            Moment(second * 1000 + 1000),
            rows("a", second * 1000 + 1000, vec![Row::Node(row)]),
        );
        c.sample(Moment(second * 1000 + 1000));
    }
    c.sample(Moment(8_000));
    let load: Vec<_> = c.nodes["a"].load.iter().copied().collect();
    assert_eq!(load[..3], [Some(10.0); 3]);
    assert_eq!(load.last(), Some(&None));
}
