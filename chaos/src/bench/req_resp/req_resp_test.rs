//! Rows, and one small real run.

use super::*;

fn tally(micros: &[u64]) -> Tally {
    let mut tally = Tally::default();
    for us in micros {
        tally.asked += 1;
        tally.took.count(Duration::from_micros(*us));
    }
    tally
}

#[test]
fn a_row_has_the_rate_of_the_measured_time_and_its_percentiles() {
    let tally = tally(&[10, 20, 30, 40]);
    let row = row(Where::Local, Load::Closed(10), &tally, Duration::from_secs(2)).unwrap();
    assert_eq!((row.requests, row.rate, row.held_back), (4, 2.0, 0));
    assert!(
        (20.0..20.5).contains(&row.p50_us) && (40.0..41.0).contains(&row.p99_us),
        "{row:?}"
    );
    let json = serde_json::to_value(&row).unwrap();
    assert_eq!(
        (&json["where"], &json["in_flight"]),
        (&"local".into(), &10.into())
    );
    assert!(json["cpu_us"].is_null() && json["watched"].is_null());
    assert_eq!(heading().chars().count(), row.line().chars().count());
}

#[test]
fn an_open_loop_tells_its_rate_and_what_it_did_not_send() {
    let mut seen = tally(&[10]);
    seen.held_back = 7;
    let row = row(Where::Clients, Load::Open(2_000), &seen, Duration::from_secs(1)).unwrap();
    let json = serde_json::to_value(&row).unwrap();
    assert_eq!(
        (&json["rate_intended"], &json["held_back"]),
        (&2_000.into(), &7.into())
    );
    assert!(json.get("in_flight").is_none());
    assert!(row.line().contains(" 2000/s ") && row.line().ends_with("\n  7 not sent: too many were open"));
}

#[test]
fn a_request_that_failed_leaves_no_row() {
    let mut failed = tally(&[10]);
    failed.failed = 1;
    failed.failure = Some("timeout".into());
    let error = row(Where::Clients, Load::Closed(1), &failed, Duration::from_secs(1)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("clients, 1 in flight: 1 of 1 requests failed: timeout"),
        "{error}"
    );
    assert!(
        row(
            Where::Clients,
            Load::Closed(1),
            &tally(&[]),
            Duration::from_secs(1)
        )
        .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_local_run_answers_every_request() {
    let options = ReqRespOptions {
        places: vec![Where::Local],
        loads: vec![Load::Closed(1), Load::Closed(3), Load::Open(2_000)],
        measured: Duration::from_millis(500),
        warm_up: Duration::ZERO,
        traces: None,
        watched: false,
        program: PathBuf::from("squall"),
    };
    let mut told = 0;
    let done = run(&options, |_| told += 1).await.unwrap();
    assert_eq!((told, done.rows.len(), done.version), (3, 3, SCHEMA));
    assert!(done.rows.iter().all(|row| row.requests > 0));
}
