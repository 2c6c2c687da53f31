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

fn loss(to: &str, share: Share) -> FaultKind {
    FaultKind::Loss { to: name(to), share }
}

fn wait(table: &FaultTable, rng: u64) -> Span {
    match table.judge(&name("b"), START, rng) {
        Verdict::DelayUntil(at) => at.since(START),
        Verdict::Pass => Span::ZERO,
        Verdict::Hold => panic!("held"),
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
fn what_is_lost_comes_after_pauses_that_double_and_one_draw_gives_one_verdict() {
    let mut table = FaultTable::default();
    let share = Share::from_percent(20);
    table.set(START, "l", loss("b", share), SECOND, "").unwrap();
    let waits: Vec<u64> = (0..100_000).map(|rng| wait(&table, rng).as_ms()).collect();
    let often = |ms| waits.iter().filter(|wait| **wait == ms).count();
    // 80 %, 16 %, 3.2 %, 0.64 % of a hundred thousand, give or take five standard deviations.
    for (ms, expected, off) in [
        (0, 80_000, 640),
        (200, 16_000, 580),
        (600, 3_200, 280),
        (1_400, 640, 130),
    ] {
        assert!(often(ms).abs_diff(expected) <= off, "{ms} ms: {}", often(ms));
    }
    assert_eq!(wait(&table, 7), wait(&table, 7));
    table.set(START, "l", loss("b", Share::ALL), SECOND, "").unwrap();
    let longest = Span(RETRANSMIT.0 * ((1 << LOSSES_MAX) - 1));
    assert_eq!((wait(&table, 1), longest.as_ms()), (longest, 25_400));
}

#[test]
fn a_loss_touches_what_it_loses_adds_up_with_delays_and_yields_to_a_cut() {
    let mut table = FaultTable::default();
    table.set(START, "d", delay("b", 10, 0), SECOND, "").unwrap();
    let share = Share::from_percent(50);
    table.set(START, "l", loss("b", share), SECOND, "").unwrap();
    let waits: Vec<u64> = (0..64).map(|rng| wait(&table, rng).as_ms()).collect();
    assert!(waits.contains(&10) && waits.contains(&210), "{waits:?}");
    for rng in 0..64 {
        table.verdict(&name("b"), START, rng, 1);
    }
    let lost = waits.iter().filter(|wait| **wait > 10).count() as u64;
    let touched = |table: &FaultTable| table.list(START).map(|f| f.touched).collect::<Vec<u64>>();
    assert_eq!(touched(&table), [64, lost]);
    table.set(START, "c", cut("b"), SECOND, "").unwrap();
    assert_eq!(table.verdict(&name("b"), START, 0, 1), Verdict::Hold);
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
    for asked in [Share::NONE, Share(1_000_001), Share(u32::MAX)] {
        let refused = Err(FaultError::Loss { asked });
        assert_eq!(table.set(START, "", loss("b", asked), SECOND, ""), refused);
    }
    assert_eq!(
        FaultError::Loss {
            asked: Share::from_percent(120)
        }
        .to_string(),
        "a loss is more than 0% and at most 100%, not 120%"
    );
    for least_and_most in [Share(1), Share::ALL] {
        table
            .set(START, "l", loss("b", least_and_most), SECOND, "")
            .unwrap();
    }
    table.clear("l");
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
    assert_eq!(loss("b", Share::from_percent(5)).to_string(), "loss of 5% to b");
    let shares = [Share(5_000), Share(125_500), Share(1)].map(|share| share.to_string());
    assert_eq!(shares, ["0.5%", "12.55%", "0.0001%"]);
    assert_eq!(delay("b", 200, 0).to_string(), "delay 200.000ms to b");
    assert_eq!(delay("b", 200, 50).to_string(), "delay 200.000ms ± 50.000ms to b");
}
