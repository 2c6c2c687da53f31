//! Cells, verdicts, the picture, and one small real run.

use super::*;

fn of(dimension: Dimension, at: u64, micros: u64) -> Cell {
    let mut tally = Tally::default();
    for us in [micros, 2 * micros] {
        tally.asked += 1;
        tally.took.count(Duration::from_micros(us));
    }
    let processor = Duration::from_micros(2 * micros);
    cell((dimension, at, 100), &tally, processor, Duration::from_secs(2)).unwrap()
}

#[test]
fn a_cell_has_its_rate_and_the_processor_time_of_a_request() {
    let cell = of(Dimension::Handlers, 10, 30);
    assert_eq!((cell.requests, cell.rate, cell.cpu_us), (2, 1.0, 30.0));
    assert!(cell.p50_us < cell.p99_us);
    assert_eq!(heading().chars().count(), cell.line().chars().count());
}

#[test]
fn a_request_that_failed_leaves_no_cell() {
    let mut tally = Tally {
        asked: 1,
        ..Tally::default()
    };
    tally.fail("timeout".into());
    let at = (Dimension::Payload, 64, 100);
    let error = cell(at, &tally, Duration::ZERO, Duration::from_secs(1)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("payload, 64: 1 of 1 requests failed: timeout"),
        "{error}"
    );
}

#[test]
fn one_node_is_not_compared_with_several_and_no_payload_is_a_frame() {
    let nodes = [(1, 2), (3, 40), (5, 41), (9, 42)].map(|(at, us)| of(Dimension::Nodes, at, us));
    let found = verdict(Dimension::Nodes, &nodes).growth.unwrap();
    assert!(!found.worse_than_linear, "{found:?}");
    let payload = [(0, 10), (1 << 10, 20), (1 << 20, 9_000)].map(|(at, us)| of(Dimension::Payload, at, us));
    let found = verdict(Dimension::Payload, &payload).growth.unwrap();
    assert!(!found.worse_than_linear && found.overall > 0.5, "{found:?}");
    let worse = [(1, 10), (10, 20), (100, 2_000)].map(|(at, us)| of(Dimension::Exchanges, at, us));
    let line = verdict(Dimension::Exchanges, &worse).line();
    assert!(
        line.contains("up to 100") && line.contains("WORSE THAN LINEAR"),
        "{line}"
    );
    assert!(verdict(Dimension::Nodes, &nodes[..2]).line().contains("too few"));
}

#[test]
fn what_is_made_is_compared_by_what_all_of_it_takes() {
    let made = |dimension, each: [u64; 2]| {
        let cells = [of(dimension, 100, each[0]), of(dimension, 1000, each[1])];
        verdict(dimension, &cells)
    };
    let linear = made(Dimension::Attaching, [30, 30]);
    assert!((linear.growth.unwrap().overall - 1.0).abs() < 1e-9, "{linear:?}");
    assert!(linear.line().contains("of all attachments"), "{linear:?}");
    assert!(
        made(Dimension::Declaring, [30, 60])
            .growth
            .unwrap()
            .worse_than_linear
    );
}

#[test]
fn large_payloads_are_fewer_at_a_time() {
    assert_eq!(in_flight(0), IN_FLIGHT);
    assert_eq!(in_flight(16 << 10), IN_FLIGHT);
    assert_eq!(in_flight(256 << 10), IN_FLIGHT);
    assert_eq!(in_flight(1 << 20), 25);
}

#[test]
fn the_picture_has_a_panel_for_each_dimension_and_a_point_for_each_cell() {
    let cells: Vec<Cell> = [1, 10, 100]
        .into_iter()
        .flat_map(|at| [of(Dimension::Handlers, at, at), of(Dimension::Exchanges, at, 5)])
        .collect();
    let verdicts = [Dimension::Handlers, Dimension::Exchanges, Dimension::Nodes];
    let grown = Grown {
        version: SCHEMA,
        machine: Machine::here(),
        verdicts: verdicts.map(|dimension| verdict(dimension, &[])).into(),
        cells,
    };
    let svg = grown.svg();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<g ").count(), 3);
    assert_eq!(
        svg.matches("<polyline ").count(),
        2 * 3,
        "nothing is drawn of what was not measured"
    );
    assert_eq!(svg.matches("r=\"3\"").count(), 6 * 3);
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_run_measures_each_dimension() {
    let options = GrowthOptions {
        dimensions: vec![
            Dimension::Exchanges,
            Dimension::Processes,
            Dimension::Payload,
            Dimension::Declaring,
            Dimension::Attaching,
        ],
        most: 100,
        measured: Duration::from_millis(200),
        warm_up: Duration::ZERO,
    };
    let mut told = 0;
    let done = run(&options, |_| told += 1).await.unwrap();
    assert_eq!((told, done.cells.len(), done.verdicts.len()), (10, 10, 5));
    assert!(
        done.cells
            .iter()
            .all(|cell| cell.requests > 0 && cell.cpu_us > 0.0)
    );
    assert_eq!(done.verdict_lines().lines().count(), 5);
}
