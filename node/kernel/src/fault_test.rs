//! The conformance suite of the fault table: what a driver, simulated or live, may rely on.

use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use super::*;

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn cut(to: &str) -> FaultKind {
    FaultKind::Cut { to: name(to) }
}

fn delay(to: &str, delay_ms: u64, jitter_ms: u64) -> FaultKind {
    FaultKind::Delay {
        to: name(to),
        delay: Span::from_ms(delay_ms),
        jitter: Span::from_ms(jitter_ms),
    }
}

fn ids(table: &FaultTable, now: Instant) -> Vec<&str> {
    table.list(now).map(|f| f.id.as_str()).collect()
}

const SECOND: Span = Span::from_ms(1000);
const START: Instant = Instant(5);

#[test]
fn a_fault_acts_on_its_peer_alone_and_until_its_time_is_over() {
    let mut table = FaultTable::default();
    assert_eq!(table.verdict(&name("b"), START, 0, 1), Verdict::Pass);
    assert_eq!(table.set(START, "", cut("b"), SECOND, "me"), Ok("f1".into()));
    assert_eq!(table.verdict(&name("b"), START, 0, 3), Verdict::Hold);
    assert_eq!(table.verdict(&name("c"), START, 0, 1), Verdict::Pass);
    assert_eq!(table.next_timeout(), Some(START + SECOND));
    let end = START + SECOND;
    assert_eq!(table.verdict(&name("b"), Instant(end.0 - 1), 0, 1), Verdict::Hold);
    assert_eq!(table.verdict(&name("b"), end, 0, 1), Verdict::Pass);
    assert_eq!(ids(&table, end), Vec::<&str>::new());
    let fault = Fault {
        id: "f1".into(),
        kind: cut("b"),
        by: "me".into(),
        ends: end,
        touched: 4,
    };
    assert_eq!(table.expire(end), vec![fault]);
    assert_eq!((table.next_timeout(), table.is_empty()), (None, true));
}

#[test]
fn a_delay_draws_from_its_whole_range_and_never_below_zero() {
    let mut table = FaultTable::default();
    table.set(START, "d", delay("b", 200, 50), SECOND, "").unwrap();
    let wait = |table: &FaultTable, rng| match table.judge(&name("b"), START, rng) {
        Verdict::DelayUntil(at) => at.since(START),
        Verdict::Pass => Span::ZERO,
        Verdict::Hold => panic!("held"),
    };
    assert_eq!(wait(&table, 0), Span::from_ms(150));
    assert_eq!(wait(&table, 100_000), Span::from_ms(250));
    assert_eq!(wait(&table, 100_001), Span::from_ms(150));
    table.set(START, "d", delay("b", 10, 50), SECOND, "").unwrap();
    assert_eq!(
        (wait(&table, 0), wait(&table, 100_000)),
        (Span::ZERO, Span::from_ms(60))
    );
}

#[test]
fn delays_add_up_and_a_cut_beats_them() {
    let mut table = FaultTable::default();
    table.set(START, "one", delay("b", 10, 0), SECOND, "").unwrap();
    table.set(START, "two", delay("b", 20, 0), SECOND, "").unwrap();
    assert_eq!(
        table.verdict(&name("b"), START, 9, 1),
        Verdict::DelayUntil(START + Span::from_ms(30))
    );
    table.set(START, "three", cut("b"), SECOND, "").unwrap();
    assert_eq!(table.verdict(&name("b"), START, 9, 2), Verdict::Hold);
    let touched: Vec<u64> = table.list(START).map(|f| f.touched).collect();
    assert_eq!(touched, [3, 2, 3]);
}

#[test]
fn the_same_id_replaces_and_both_ways_out_end_it() {
    let mut table = FaultTable::default();
    table.set(START, "x", cut("b"), SECOND, "").unwrap();
    table.set(START, "x", cut("c"), SECOND, "").unwrap();
    assert_eq!(table.verdict(&name("b"), START, 0, 1), Verdict::Pass);
    assert_eq!(table.clear("x").map(|f| f.kind), Some(cut("c")));
    assert_eq!(table.clear("x"), None);
    table.set(START, "f1", cut("b"), SECOND, "").unwrap();
    assert_eq!(table.set(START, "", cut("c"), SECOND, ""), Ok("f2".into()));
    assert_eq!(ids(&table, START), ["f1", "f2"]);
    assert_eq!(table.halt().len(), 2);
    assert!(table.is_empty());
}

#[test]
fn bounds_hold() {
    let mut table = FaultTable::default();
    let max = TTL_MAX;
    for asked in [Span::ZERO, Span(TTL_MAX.0 + 1)] {
        assert_eq!(
            table.set(START, "", cut("b"), asked, ""),
            Err(FaultError::Ttl { asked, max })
        );
    }
    let asked = Span(u64::MAX);
    let kind = FaultKind::Delay {
        to: name("b"),
        delay: Span(u64::MAX),
        jitter: Span(9),
    };
    assert_eq!(
        table.set(START, "", kind, SECOND, ""),
        Err(FaultError::Delay {
            asked,
            max: DELAY_MAX
        })
    );
    let long: String = "x".repeat(65);
    let too_long = Err(FaultError::TooLong {
        len: 65,
        max: FAULT_ID_BYTES_MAX,
    });
    assert_eq!(table.set(START, &long, cut("b"), SECOND, ""), too_long);
    assert_eq!(table.set(START, "", cut("b"), SECOND, &long), too_long);
    for _ in 0..FAULTS_MAX {
        table.set(START, "", cut("b"), SECOND, "").unwrap();
    }
    assert_eq!(
        table.set(START, "", cut("b"), SECOND, ""),
        Err(FaultError::Full { max: FAULTS_MAX })
    );
    // One in place of another is no more, and what is over makes room.
    table.set(START, "f1", cut("c"), SECOND, "").unwrap();
    table.set(START + SECOND, "", cut("b"), SECOND, "").unwrap();
}

#[test]
fn a_fault_reads_as_people_say_it() {
    assert_eq!(cut("b").to_string(), "cut to b");
    assert_eq!(delay("b", 200, 0).to_string(), "delay 200.000ms to b");
    assert_eq!(delay("b", 200, 50).to_string(), "delay 200.000ms ± 50.000ms to b");
}
