//! What the parts of a node that obey faults may rely on.

use std::string::{String, ToString};

use super::*;
use crate::fault::{BURN_THREADS_MAX, DELAY_MAX, Share, Wanted};
use crate::keys::KeyPattern;

const SECOND: Span = Span::from_ms(1000);
const START: Instant = Instant(5);

fn exchange(text: &str) -> ExchangeName {
    ExchangeName::new(text).unwrap()
}

fn process(of: &str, what: ProcessFault) -> FaultKind {
    let exchange = exchange(of);
    FaultKind::Process { exchange, what }
}

fn message(of: &str, key: Option<&str>, percent: u32, what: MessageFault) -> FaultKind {
    let of = Wanted {
        exchange: exchange(of),
        key: key.map(|key| KeyPattern::new(key).unwrap()),
        share: Share::from_percent(percent),
    };
    FaultKind::Message { of, what }
}

/// A table with those faults, each for a second from the start.
fn with(kinds: &[FaultKind]) -> FaultTable {
    let mut table = FaultTable::default();
    for kind in kinds {
        table.set(START, "", kind.clone(), SECOND, "").unwrap();
    }
    table
}

fn refused(table: &mut FaultTable, kind: FaultKind) -> String {
    let set = table.set(START, "new", kind, SECOND, "");
    set.expect_err("it does not fit").to_string()
}

fn verdict(table: &mut FaultTable, key: &str, rng: u64) -> MessageVerdict {
    let key = Key::new(key).unwrap();
    table.message(&exchange("news"), Some(&key), START, rng)
}

#[test]
fn clocks_and_disks_suffer_all_faults_together_and_until_they_end() {
    let table = with(&[
        FaultKind::Clock(ClockFault::Skew { ppm: 400_000 }),
        FaultKind::Clock(ClockFault::Skew { ppm: 200_000 }),
        FaultKind::Clock(ClockFault::Step { ms: -30 }),
        FaultKind::Clock(ClockFault::Step { ms: 10 }),
        FaultKind::Disk(DiskFault::Slow { by: SECOND }),
        FaultKind::Disk(DiskFault::Slow { by: SECOND }),
        FaultKind::Disk(DiskFault::Torn),
        FaultKind::Disk(DiskFault::LostTail),
    ]);
    let suffers = NodeSuffers {
        skew_ppm: 500_000,
        step_ms: -20,
        slow_disk: Span::from_ms(2000),
        full_disk: false,
        held_disk: Some(Held::Torn),
    };
    assert_eq!(table.node(START), suffers);
    assert_eq!(table.node(START + SECOND), NodeSuffers::default());
    let full = with(&[
        FaultKind::Disk(DiskFault::Full),
        FaultKind::Disk(DiskFault::LostTail),
    ]);
    assert!(full.node(START).full_disk);
    assert_eq!(full.node(START).held_disk, Some(Held::Whole));
}

#[test]
fn handlers_suffer_what_is_done_to_their_exchange_alone() {
    let mut table = with(&[
        process("orders", ProcessFault::Suspend),
        process("orders", ProcessFault::Slow { by: SECOND }),
        process("orders", ProcessFault::Kill),
        process("news", ProcessFault::Fill),
    ]);
    let later = START + Span::from_ms(10);
    let again = process("orders", ProcessFault::Kill);
    table.set(later, "k", again, SECOND, "").unwrap();
    let orders = HandlersSuffer {
        suspended: true,
        slow: SECOND,
        full: false,
        killed: Some(later),
        panics: None,
    };
    assert_eq!(table.handlers(&exchange("orders"), later), orders);
    assert!(table.handlers(&exchange("news"), later).full);
    let nothing = HandlersSuffer::default();
    assert_eq!(table.handlers(&exchange("tasks"), later), nothing);
    table.touch_handlers(&exchange("orders"), later, |what| what == ProcessFault::Kill);
    let touched: u64 = table.list(later).map(|fault| fault.touched).sum();
    assert_eq!(touched, 2);
}

#[test]
fn messages_are_taken_by_their_exchange_key_and_share() {
    let mut table = with(&[message("news", Some("weather.*"), 100, MessageFault::Drop)]);
    let lost = MessageVerdict {
        lost: true,
        ..MessageVerdict::default()
    };
    let passed = MessageVerdict::default();
    assert_eq!(verdict(&mut table, "weather.north", 1), lost);
    assert_eq!(verdict(&mut table, "sport", 1), passed);
    assert_eq!(table.message(&exchange("news"), None, START, 1), passed, "no key");
    assert_eq!(table.list(START).map(|fault| fault.touched).sum::<u64>(), 1);

    let mut some = with(&[message("news", None, 10, MessageFault::Duplicate)]);
    let taken = (0..10_000)
        .filter(|rng| verdict(&mut some, "x", *rng).twice)
        .count();
    assert!((800..1200).contains(&taken), "{taken}");
    assert_eq!(some.message(&exchange("orders"), None, START, 1), passed);
}

#[test]
fn the_faults_that_take_a_message_or_touch_handlers_are_those_that_are_counted() {
    let kinds = [
        message("orders", Some("a.*"), 50, MessageFault::Drop),
        message("orders", None, 50, MessageFault::Duplicate),
        message("users", None, 100, MessageFault::Drop),
        process("orders", ProcessFault::Suspend),
        process("orders", ProcessFault::Fill),
        process("users", ProcessFault::Suspend),
    ];
    let mut table = with(&kinds);
    let of = exchange("orders");
    let touched = |table: &FaultTable| table.list(START).map(|fault| fault.touched).sum::<u64>();
    for rng in 0..100 {
        let key = Key::take(bytes::Bytes::from_static(b"a.b")).ok();
        let taking = table.taking(&of, key.as_ref(), START, rng).count() as u64;
        let before = touched(&table);
        table.message(&of, key.as_ref(), START, rng);
        assert_eq!(touched(&table) - before, taking, "{rng}");
    }
    let suspends = |what| what == ProcessFault::Suspend;
    assert_eq!(table.on_handlers(&of, START, suspends).count(), 1);
}

#[test]
fn faults_on_one_message_add_up_and_each_draws_for_itself() {
    let by = Span::from_ms(20);
    let mut table = with(&[
        message("news", None, 50, MessageFault::Delay { by }),
        message("news", None, 50, MessageFault::Delay { by }),
    ]);
    let times = [0, 20, 40].map(|ms| {
        let all = (0..4_000).map(|rng| verdict(&mut table.clone(), "x", rng).later);
        all.filter(|later| *later == Span::from_ms(ms)).count()
    });
    assert!((850..1150).contains(&times[0]), "{times:?}");
    assert!((1850..2150).contains(&times[1]), "{times:?}");
    assert_eq!(verdict(&mut table, "x", 7), verdict(&mut table, "x", 7));
}

#[test]
fn all_that_burns_together_has_a_bound() {
    let mut table = with(&[FaultKind::Burn { threads: 60 }]);
    assert_eq!(
        refused(&mut table, FaultKind::Burn { threads: 5 }),
        "60 threads spin already, and at most 64 do, not 5 more"
    );
    let most = FaultKind::Burn {
        threads: BURN_THREADS_MAX,
    };
    assert_eq!(table.set(START, "f1", most, SECOND, ""), Ok("f1".into()));
    let disk = FaultKind::Disk(DiskFault::Full);
    assert!(table.set(START, "", disk, SECOND, "").is_ok());
}

#[test]
fn what_does_not_fit_is_refused_with_what_would() {
    let long = Span(DELAY_MAX.0 + 1);
    for (kind, words) in [
        (
            FaultKind::Clock(ClockFault::Skew { ppm: 500_001 }),
            "a clock goes faster or slower by 1 to 500000 parts per million, not by 500001",
        ),
        (
            FaultKind::Clock(ClockFault::Step { ms: i64::MIN }),
            "a calendar jumps by 1 to 86400000 ms either way, not by -9223372036854775808",
        ),
        (
            FaultKind::Disk(DiskFault::Slow { by: long }),
            "a sync takes longer by more than nothing and at most 60000ms, not by 60000001us",
        ),
        (FaultKind::Burn { threads: 0 }, "1 to 64 threads spin, not 0"),
        (
            process("orders", ProcessFault::Slow { by: Span::ZERO }),
            "a delivery takes longer by more than nothing and at most 60000ms, not by 0ms",
        ),
        (
            message("news", None, 0, MessageFault::Drop),
            "drop takes more than 0% and at most 100%, not 0%",
        ),
        (
            message("news", None, 1, MessageFault::Delay { by: long }),
            "a message goes later by more than nothing and at most 60000ms, not by 60000001us",
        ),
    ] {
        assert_eq!(refused(&mut FaultTable::default(), kind), words);
    }
}

#[test]
fn every_fault_reads_as_people_say_it() {
    let by = Span::from_ms(50);
    for (kind, words) in [
        (FaultKind::Clock(ClockFault::Skew { ppm: 5000 }), "clock +5000ppm"),
        (
            FaultKind::Clock(ClockFault::Step { ms: -2000 }),
            "clock stepped by -2000ms",
        ),
        (FaultKind::Disk(DiskFault::Slow { by }), "disk slow by 50ms"),
        (FaultKind::Disk(DiskFault::LostTail), "disk lost-tail"),
        (FaultKind::Burn { threads: 1 }, "burn 1 thread"),
        (FaultKind::Burn { threads: 2 }, "burn 2 threads"),
        (
            process("orders", ProcessFault::Suspend),
            "handlers of orders suspended",
        ),
        (
            process("orders", ProcessFault::Slow { by }),
            "handlers of orders slow by 50ms",
        ),
        (
            message("orders", Some("news.*"), 10, MessageFault::Drop),
            "message orders news.* 10% dropped",
        ),
        (
            message("orders", None, 100, MessageFault::Delay { by }),
            "message orders 100% delayed by 50ms",
        ),
    ] {
        assert_eq!(kind.to_string(), words);
    }
}
