//! Rows, and small real runs.

use super::*;

fn published(micros: &[u64]) -> Published {
    let mut published = Published {
        deliveries: 10 * micros.len() as u64,
        processor: Duration::from_micros(50),
        events_due: 4 * micros.len() as u64,
        own: micros.len() as u64,
        ..Published::default()
    };
    for us in micros {
        published.tally.asked += 1;
        published.tally.took.count(Duration::from_micros(*us));
    }
    published
}

const SENT: Sent = Sent {
    events: 16,
    out: 36,
    astray: 0,
};

#[test]
fn a_row_counts_deliveries_frames_and_processor_time() {
    let row = row(&published(&[10, 20, 30, 40]), SENT, Duration::from_secs(2)).unwrap();
    assert_eq!((row.publishes_per_s, row.deliveries_per_s), (2.0, 20.0));
    assert_eq!((row.frames_per_publish, row.wire_frames_per_publish), (5.0, 8.0));
    assert_eq!(row.cpu_ns_per_delivery, 1250.0);
    assert!(row.p50_us < row.p99_us);
    assert_eq!(heading().chars().count(), row.line().chars().count());
}

#[test]
fn what_was_not_as_it_must_be_leaves_no_row() {
    let said = |published: &Published, sent| {
        row(published, sent, Duration::from_secs(1))
            .unwrap_err()
            .to_string()
    };
    let good = published(&[10, 20, 30, 40]);
    let events = Sent { events: 17, ..SENT };
    assert!(said(&good, events).contains("17 frames went to nodes with subscribers, not 16"));
    assert!(said(&good, Sent { astray: 1, ..SENT }).contains("astray"));
    let mut failed = published(&[10, 20, 30, 40]);
    failed.tally.fail("it came twice".into());
    assert!(said(&failed, SENT).contains("it came twice"));
    let none = Sent { events: 0, ..SENT };
    assert!(said(&published(&[]), none).contains("no publish"));
}

async fn small(patterns: usize, load: Load) -> Row {
    let options = FanoutOptions {
        subscribers: 60,
        nodes: 2,
        patterns,
        loads: vec![load],
        measured: Duration::from_millis(100),
        warm_up: Duration::ZERO,
    };
    let mut told = 0;
    let done = run(&options, |_| told += 1).await.unwrap();
    assert_eq!((told, done.rows.len(), done.version), (1, 1, SCHEMA));
    done.rows[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_run_delivers_each_publish_to_all_with_one_frame_a_node() {
    let row = small(0, Load::Closed(2)).await;
    assert_eq!((row.frames_per_publish, row.wire_frames_per_publish), (2.0, 2.0));
    assert_eq!(row.deliveries, 60 * row.publishes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_run_with_wildcards_delivers_to_those_who_match() {
    let row = small(12, Load::Closed(2)).await;
    assert_eq!((row.patterns, row.frames_per_publish), (12, 2.0));
    assert_eq!(row.load, Load::Closed(2));
    assert_eq!(
        row.deliveries,
        20 * row.publishes,
        "a topic is that of a third of them"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_loop_counts_the_publishes_that_were_to_be_made() {
    let row = small(12, Load::Open(200)).await;
    assert_eq!(row.load, Load::Open(200));
    assert_eq!(row.publishes + row.held_back, 20, "a tenth of a second: {row:?}");
    assert_eq!(
        (row.deliveries, row.frames_per_publish),
        (20 * row.publishes, 2.0)
    );
}

#[tokio::test]
async fn bounds_are_kept() {
    let options = FanoutOptions {
        subscribers: 1,
        nodes: 1,
        patterns: 0,
        loads: vec![Load::Closed(PUBLISHERS_MAX + 1)],
        measured: Duration::from_millis(1),
        warm_up: Duration::ZERO,
    };
    assert!(run(&options, |_| ()).await.is_err());
}
