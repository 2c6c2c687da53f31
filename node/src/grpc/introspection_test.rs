use squall_kernel::id::Incarnation;
use squall_proto::v1::{Event, Severity};

use super::*;
use crate::introspect::limits as bounds;

fn log(events: usize) -> Arc<EventLog> {
    let log = Arc::new(EventLog::new(Incarnation(7), Wake::default()));
    for n in 1..=events {
        record(&log, n);
    }
    log
}

fn record(log: &EventLog, n: usize) {
    log.record("test", "x", &n.to_string(), Severity::Info, 0);
}

fn reader(log: &Arc<EventLog>, from: u64) -> (EventReader, watch::Sender<bool>) {
    let closing = watch::Sender::new(false);
    (EventReader::new(log, from, closing.subscribe()), closing)
}

fn seqs(events: &[Event]) -> Vec<u64> {
    events.iter().map(|e| e.seq).collect()
}

#[tokio::test(start_paused = true)]
async fn events_come_from_a_sequence_number_on_and_then_live() {
    let log = log(5);
    let (mut reader, _closing) = reader(&log, 4);
    let batch = reader.next().await.expect("open");
    assert_eq!(
        (seqs(&batch.events), batch.lost, batch.incarnation),
        (vec![4, 5], 0, 7)
    );
    let (batch, ()) = tokio::join!(reader.next(), async { record(&log, 6) });
    assert_eq!(seqs(&batch.expect("open").events), [6]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_falls_behind_the_ring_is_told_how_much_it_lost() {
    let log = log(3);
    let (mut reader, _closing) = reader(&log, 0);
    assert_eq!(seqs(&reader.next().await.expect("open").events), [1, 2, 3]);
    for n in 0..bounds::EVENTS_MAX + 2 {
        record(&log, n);
    }
    let batch = reader.next().await.expect("open");
    assert_eq!(
        (batch.lost, batch.events.len(), batch.events[0].seq),
        (2, bounds::EVENT_BATCH_MAX, 6)
    );
    let batch = reader.next().await.expect("open");
    assert_eq!(
        (batch.lost, batch.events[0].seq),
        (0, 6 + bounds::EVENT_BATCH_MAX as u64)
    );
}

#[tokio::test(start_paused = true)]
async fn an_empty_log_shows_a_sign_of_life_at_once_and_every_second() {
    let (mut reader, closing) = reader(&log(0), 0);
    let start = tokio::time::Instant::now();
    assert_eq!(reader.next().await.expect("open").events, []);
    assert_eq!(start.elapsed().as_millis(), 0);
    assert_eq!(reader.next().await.expect("open").events, []);
    assert_eq!(start.elapsed().as_millis() / 100, 10);
    closing.send_replace(true);
    assert!(reader.next().await.is_none());
}
