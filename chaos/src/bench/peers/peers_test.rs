//! Rows, ratios and goals; and a small run beside the peer that needs nothing installed.

use super::*;

fn step(round: usize, peer: Option<Peer>, rate: f64) -> Step {
    Step {
        place: Setting::Requests(Where::ThreeNodes),
        load: Load::Closed(100),
        round,
        peer,
        rate,
        p50_us: rate / 10.0,
        p99_us: 1.0,
        p999_us: 2.0,
        cpu_us: Some(3.0),
    }
}

fn measured(rows: Vec<Row>, missing: Vec<Missing>) -> Peers {
    Peers {
        version: SCHEMA,
        machine: Machine::here(),
        rounds: 3,
        seconds: 1.0,
        rows,
        missing,
    }
}

#[test]
fn each_ratio_is_of_one_round_whatever_the_order_within_it() {
    let steps = [
        step(0, None, 400.0),
        step(0, Some(Peer::NatsThree), 100.0),
        step(1, Some(Peer::NatsThree), 100.0),
        step(1, None, 300.0),
        step(2, None, 1000.0),
        step(2, Some(Peer::NatsThree), 200.0),
    ];
    let rows = report::rows(&steps);
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].peer, rows[0].rate, rows[0].against), (None, 400.0, None));
    assert_eq!(
        (rows[1].rate, rows[1].p50_us, rows[1].cpu_us),
        (100.0, 10.0, Some(3.0))
    );
    assert_eq!(rows[1].rates, [100.0, 100.0, 200.0]);
    let against = rows[1].against.unwrap();
    let ratio = against.ratio;
    assert_eq!((ratio.least, ratio.median, ratio.most), (3.0, 4.0, 5.0));
    assert_eq!((against.goal, against.met), (Some(4.0), Some(true)));
    assert_eq!(against.p99_ratio.median, 1.0);
    let json = serde_json::to_value(measured(rows, Vec::new())).unwrap();
    assert_eq!(json["rows"][1]["peer"], "nats_three");
    assert_eq!(json["rows"][1]["where"], "three_nodes");
    assert!(json["rows"][0]["peer"].is_null());
}

#[test]
fn a_goal_is_missed_below_it_and_nothing_is_said_where_none_was_set() {
    let row = |peer, squall| {
        let steps = [step(0, None, squall), step(0, Some(peer), 100.0)];
        report::rows(&steps).swap_remove(1).against.unwrap()
    };
    assert_eq!(row(Peer::ErlangThree, 599.0).met, Some(false));
    assert_eq!(row(Peer::ErlangThree, 600.0).met, Some(true));
    let chain = row(Peer::Chain, 10.0);
    assert_eq!((chain.goal, chain.met), (None, None));
}

#[test]
fn the_goals_are_those_that_were_set() {
    let goals = |peer: Peer| IN_FLIGHT.map(|in_flight| peer.goal(Load::Closed(in_flight)));
    assert_eq!(goals(Peer::Erlang), [Some(1.25), None, Some(1.5), None]);
    assert_eq!(goals(Peer::ErlangThree), [Some(1.0), None, Some(6.0), Some(6.0)]);
    assert_eq!(goals(Peer::Nats), [None, None, None, Some(2.0)]);
    assert_eq!(goals(Peer::NatsThree), [None, None, Some(4.0), Some(4.0)]);
    assert_eq!(goals(Peer::Rabbitmq), [Some(1.0); 4]);
    assert_eq!(
        fanning::PUBLISHERS.map(|n| Peer::NatsFive.goal(Load::Closed(n))),
        [Some(5.0); 2]
    );
    assert_eq!(goals(Peer::Chain), [Some(0.9), None, None, None]);
    assert_eq!(
        Peer::Rabbitmq.goal(Load::Open(1)),
        None,
        "goals are of closed loops"
    );
}

#[test]
fn none_is_always_the_first_and_everybody_is_in_each_round() {
    let firsts: Vec<Option<usize>> = (0..3).map(|round| turn(round, 2)[0]).collect();
    assert_eq!(firsts, [None, Some(0), Some(1)]);
    let mut all = turn(7, 2);
    all.sort_unstable();
    assert_eq!(all, [None, Some(0), Some(1)]);
}

#[test]
fn the_table_names_goals_and_whoever_is_missing() {
    let steps = [step(0, None, 100.0), step(0, Some(Peer::NatsThree), 100.0)];
    let missing = Missing {
        peer: Peer::Rabbitmq,
        why: "not here".into(),
    };
    let table = measured(report::rows(&steps), vec![missing]).table();
    let lines: Vec<&str> = table.lines().skip(1).collect();
    assert!(lines[0].starts_with("medians of 3 rounds") && lines[1].ends_with("goal"));
    assert!(
        lines[2].contains(" squall ") && lines[3].ends_with("≥ 4    not met"),
        "{table}"
    );
    assert_eq!(lines[4], "missing: rabbitmq: not here");
    assert_eq!(heading().chars().count(), steps[0].line().chars().count());
    assert!(measured(Vec::new(), Vec::new()).table().is_empty());
}

#[test]
fn a_request_that_failed_is_named_with_whose_it_was() {
    let mut tally = Tally::default();
    tally.ended(None, Some("timeout".into()));
    let error = super::step(
        Setting::Requests(Where::Local),
        (Load::Closed(10), 0),
        Some(Peer::Erlang),
        &tally,
        Duration::from_secs(1),
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "erlang (local), 10 in flight: 1 of 1 requests failed: timeout"
    );
}

#[test]
fn every_peer_is_compared_with_something_and_measured_once() {
    let in_order = Setting::ALL.into_iter().flat_map(|setting| {
        let beside = move |peer: &Peer| peer.beside() == setting;
        Peer::ALL.into_iter().filter(beside)
    });
    let mut measured: Vec<Peer> = in_order.collect();
    measured.sort_unstable();
    assert_eq!(measured, Peer::ALL);
    let others = [
        (Peer::NatsFive, "fanout"),
        (Peer::NatsWildcards, "wildcards"),
        (Peer::RabbitmqTasks, "tasks"),
    ];
    for (peer, word) in others {
        assert_eq!(serde_json::to_value(peer.beside()).unwrap(), word);
    }
    for place in Where::ALL {
        assert!(Setting::ALL.contains(&Setting::Requests(place)), "{place:?}");
    }
}

#[tokio::test]
async fn a_fan_out_of_fewer_subscribers_than_nodes_or_of_no_pattern_is_refused() {
    let mut options = PeersOptions::new("squall".into());
    (options.peers, options.subscribers) = (vec![Peer::NatsFive], 4);
    assert!(run(&options, |_| ()).await.is_err());
    (options.subscribers, options.patterns) = (5, 0);
    assert!(run(&options, |_| ()).await.is_err());
}

#[tokio::test]
async fn with_open_loops_whoever_has_none_is_named() {
    let mut options = PeersOptions::new("squall".into());
    options.peers = vec![
        Peer::Erlang,
        Peer::ErlangThree,
        Peer::NatsFive,
        Peer::NatsWildcards,
        Peer::Chain,
    ];
    options.loads = vec![Load::Open(100)];
    let measured = run(&options, |_| ()).await.unwrap();
    assert!(measured.rows.is_empty());
    let missing: Vec<Peer> = measured.missing.iter().map(|missing| missing.peer).collect();
    assert_eq!(
        missing,
        [
            Peer::Erlang,
            Peer::ErlangThree,
            Peer::Chain,
            Peer::NatsFive,
            Peer::NatsWildcards
        ]
    );
    assert!(
        measured
            .table()
            .contains("missing: chain: it is measured in closed loops alone")
    );
}
