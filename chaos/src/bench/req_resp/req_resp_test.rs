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
    let row = row(Where::Local, 10, &tally, Duration::from_secs(2)).unwrap();
    assert_eq!((row.requests, row.rate, row.in_flight), (4, 2.0, 10));
    assert!(
        (20.0..20.5).contains(&row.p50_us) && (40.0..41.0).contains(&row.p99_us),
        "{row:?}"
    );
    let json = serde_json::to_value(&row).unwrap();
    assert_eq!(json["where"], "local");
    assert_eq!(heading().chars().count(), row.line().chars().count());
}

#[test]
fn a_request_that_failed_leaves_no_row() {
    let mut failed = tally(&[10]);
    failed.failed = 1;
    failed.failure = Some("timeout".into());
    let error = row(Where::Clients, 1, &failed, Duration::from_secs(1)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("clients, 1 in flight: 1 of 1 requests failed: timeout"),
        "{error}"
    );
    assert!(row(Where::Clients, 1, &tally(&[]), Duration::from_secs(1)).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_local_run_answers_every_request() {
    let options = ReqRespOptions {
        places: vec![Where::Local],
        in_flight: vec![1, 3],
        measured: Duration::from_millis(50),
        warm_up: Duration::ZERO,
        traces: None,
        program: PathBuf::from("squall"),
    };
    let mut told = 0;
    let done = run(&options, |_| told += 1).await.unwrap();
    assert_eq!((told, done.rows.len(), done.version), (2, 2, SCHEMA));
    assert!(done.rows.iter().all(|row| row.requests > 0));
}
