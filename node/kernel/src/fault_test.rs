//! The conformance suite of the fault table: what a driver, simulated or live, may rely on.

use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use super::*;

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn cut(to: &str) -> FaultKind {
    FaultKind::link(name(to), LinkFault::Cut)
}

fn delay(to: &str, delay_ms: u64, jitter_ms: u64) -> FaultKind {
    let latency = Latency {
        time: Span::from_ms(delay_ms),
        jitter: Span::from_ms(jitter_ms),
        shape: Shape::Uniform,
    };
    FaultKind::link(name(to), LinkFault::Delay(latency))
}

fn loss(to: &str, share: Share) -> FaultKind {
    FaultKind::link(name(to), LinkFault::Loss(share))
}

/// What becomes of something to b that sets out at the start.
fn judge(table: &FaultTable, rng: u64) -> Verdict {
    table.judge(&name("b"), START, START, rng)
}

fn wait(table: &FaultTable, rng: u64) -> Span {
    let verdict = judge(table, rng);
    assert!(!verdict.held);
    verdict.at.since(START)
}

/// A table with one fault on the way to b, that begins at the start.
fn with(what: LinkFault) -> FaultTable {
    let mut table = FaultTable::default();
    let kind = FaultKind::link(name("b"), what);
    table.set(START, "f", kind, SECOND, "").unwrap();
    table
}

fn held(table: &mut FaultTable, to: &str, now: Instant, frames: u64) -> bool {
    table.verdict(&name(to), now, 0, frames).held
}

fn ids(table: &FaultTable, now: Instant) -> Vec<&str> {
    table.list(now).map(|f| f.id.as_str()).collect()
}

const SECOND: Span = Span::from_ms(1000);
const START: Instant = Instant(5);

#[test]
fn a_fault_acts_on_its_peer_alone_and_until_its_time_is_over() {
    let mut table = FaultTable::default();
    assert_eq!(table.verdict(&name("b"), START, 0, 1), Verdict::pass(START));
    assert_eq!(table.set(START, "", cut("b"), SECOND, "me"), Ok("f1".into()));
    assert!(held(&mut table, "b", START, 3));
    assert!(!held(&mut table, "c", START, 1));
    assert_eq!(table.next_timeout(), Some(START + SECOND));
    let end = START + SECOND;
    assert!(held(&mut table, "b", Instant(end.0 - 1), 1));
    assert!(!held(&mut table, "b", end, 1));
    assert_eq!(ids(&table, end), Vec::<&str>::new());
    let fault = Fault {
        id: "f1".into(),
        kind: cut("b"),
        by: "me".into(),
        began: START,
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
    let waits = |table: &FaultTable| {
        let mut all: Vec<u64> = (0..20_000).map(|rng| wait(table, rng).0).collect();
        all.sort_unstable();
        (all[0], all[all.len() - 1])
    };
    let (least, most) = waits(&table);
    assert!((150_000..150_100).contains(&least) && (249_900..=250_000).contains(&most));
    table.set(START, "d", delay("b", 10, 50), SECOND, "").unwrap();
    let (least, most) = waits(&table);
    assert!(least == 0 && (59_900..=60_000).contains(&most));
}

#[test]
fn delays_add_up_and_a_cut_beats_them() {
    let mut table = FaultTable::default();
    table.set(START, "one", delay("b", 10, 0), SECOND, "").unwrap();
    table.set(START, "two", delay("b", 20, 0), SECOND, "").unwrap();
    let verdict = table.verdict(&name("b"), START, 9, 1);
    assert_eq!((verdict.held, verdict.at), (false, START + Span::from_ms(30)));
    table.set(START, "three", cut("b"), SECOND, "").unwrap();
    assert!(held(&mut table, "b", START, 2));
    let touched: Vec<u64> = table.list(START).map(|f| f.touched).collect();
    assert_eq!(touched, [3, 2, 3]);
}

#[test]
fn what_was_drawn_stays_drawn_whichever_faults_come_and_go() {
    let mut table = with(LinkFault::Loss(Share::from_percent(50)));
    let before: Vec<Span> = (0..64).map(|rng| wait(&table, rng)).collect();
    table.set(START, "a", delay("b", 7, 0), SECOND, "").unwrap();
    let beside: Vec<Span> = (0..64).map(|rng| wait(&table, rng)).collect();
    let later = |wait: &Span| Span(wait.0 + 7_000);
    assert_eq!(beside, before.iter().map(later).collect::<Vec<_>>());
    table.clear("a");
    assert_eq!((0..64).map(|rng| wait(&table, rng)).collect::<Vec<_>>(), before);
}

#[test]
fn what_is_overtaken_waits_and_what_is_changed_or_doubled_is_so_in_its_share() {
    let share = Share::from_percent(10);
    let by = Span::from_ms(40);
    let often = |what, is: &dyn Fn(&Verdict) -> bool| {
        let mut table = with(what);
        let count = (0..10_000)
            .filter(|rng| is(&table.verdict(&name("b"), START, *rng, 1)))
            .count() as u64;
        let touched = table.list(START).next().map(|fault| fault.touched);
        assert_eq!(touched, Some(count), "{what:?}");
        count
    };
    for count in [
        often(LinkFault::Reorder { share, by }, &|v| v.at == START + by),
        often(LinkFault::Corrupt(share), &|v| v.acts.corrupt.is_some()),
        often(LinkFault::Duplicate(share), &|v| v.acts.twice),
    ] {
        assert!((850..1150).contains(&count), "{count} of 10000");
    }
    let table = with(LinkFault::Slice(7));
    assert_eq!(judge(&table, 1).acts.slice, Some(7));
    assert!(Verdict::pass(START).acts.is_none() && !judge(&table, 1).acts.is_none());
}

#[test]
fn what_touches_is_what_is_counted() {
    let mut table = FaultTable::default();
    let half = LinkFault::Duplicate(Share::from_percent(50));
    for (id, what) in [("half", half), ("reset", LinkFault::Reset(Span::ZERO))] {
        let kind = FaultKind::link(name("b"), what);
        table.set(START, id, kind, SECOND, "").unwrap();
    }
    table.set(START, "other", cut("c"), SECOND, "").unwrap();
    let to = name("b");
    for rng in 0..100 {
        let before: u64 = table.list(START).map(|fault| fault.touched).sum();
        let touching = table.touching(&to, START, rng).map(|fault| fault.id.clone());
        let touching: Vec<String> = touching.collect();
        table.verdict(&to, START, rng, 1);
        let after: u64 = table.list(START).map(|fault| fault.touched).sum();
        assert_eq!(after - before, touching.len() as u64, "{rng}: {touching:?}");
        assert!(touching.iter().all(|id| id == "half"));
    }
    assert!(table.touching(&to, START + SECOND, 1).next().is_none());
}

#[test]
fn a_clog_lets_all_go_at_the_end_of_each_stall() {
    let table = with(LinkFault::Clog(Span::from_ms(100)));
    let goes = |ms| {
        let since = START + Span::from_ms(ms);
        table.judge(&name("b"), since, since, 0).at.since(START).as_ms()
    };
    assert_eq!(
        [0, 1, 99, 100, 101, 250].map(goes),
        [100, 100, 100, 200, 200, 300]
    );
}

#[test]
fn at_a_rate_one_goes_after_the_other_and_the_slowest_counts() {
    let mut table = with(LinkFault::Rate(10_000));
    let kind = FaultKind::link(name("b"), LinkFault::Rate(1_000_000));
    table.set(START, "g", kind, SECOND, "").unwrap();
    let mut pacer = Pacer::default();
    let verdict = judge(&table, 0);
    let gone: Vec<u64> = [100, 1_000, 0]
        .map(|bytes| pacer.goes(&verdict, bytes).unwrap().since(START).as_ms())
        .to_vec();
    assert_eq!(gone, [10, 110, 110]);
    let later = Verdict::pass(START + SECOND);
    assert_eq!(
        pacer.goes(&later, 1 << 30),
        Some(START + SECOND),
        "without a rate at once"
    );
    assert_eq!(pacer.goes(&Verdict { held: true, ..later }, 1), None);
}

#[test]
fn connections_break_when_a_reset_is_set_and_each_time_after() {
    let b = name("b");
    let every = Span::from_ms(100);
    let at = |ms| START + Span::from_ms(ms);
    let mut table = with(LinkFault::Reset(every));
    let bears = |opened, now| table.bears(&b, opened, now);
    assert!(bears(Instant(1), START).broken, "it stood before");
    assert!(!bears(START, START).broken && !bears(START, at(99)).broken);
    assert!(bears(START, at(100)).broken && !bears(at(100), at(199)).broken);
    assert_eq!(bears(START, at(250)).next_break, Some(at(300)));
    assert_eq!(table.bears(&name("c"), START, at(100)), Bears::default());
    table.touch(&b, START, |what| matches!(what, LinkFault::Reset(_)));
    assert_eq!(table.list(START).next().map(|fault| fault.touched), Some(1));
    let once = with(LinkFault::Reset(Span::ZERO));
    assert!(once.bears(&b, Instant(1), at(500)).broken);
    assert_eq!(once.bears(&b, START, at(500)), Bears::default());
}

#[test]
fn a_connection_carries_no_more_than_the_least_limit_and_closes_as_slowly_as_the_slowest() {
    let mut table = with(LinkFault::Limit(1_000));
    for (id, what) in [
        ("g", LinkFault::Limit(64)),
        ("h", LinkFault::SlowClose(Span::from_ms(5))),
        ("i", LinkFault::SlowClose(Span::from_ms(9))),
    ] {
        let kind = FaultKind::link(name("b"), what);
        table.set(START, id, kind, SECOND, "").unwrap();
    }
    let bears = table.bears(&name("b"), START, START);
    assert_eq!((bears.limit, bears.slow_close), (Some(64), Span::from_ms(9)));
    assert_eq!(table.bears(&name("b"), START, START + SECOND), Bears::default());
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
    assert!(held(&mut table, "b", START, 1));
}

#[test]
fn the_same_fault_once_more_goes_on_and_lasts_longer_and_another_one_begins_anew() {
    let mut table = FaultTable::default();
    let set = |table: &mut FaultTable, at, kind| {
        table.set(Instant(at), "f", kind, Span(1_000), "me").unwrap();
        table.list(Instant(at)).next().unwrap().clone()
    };
    let first = set(&mut table, 10, delay("b", 5, 0));
    let renewed = set(&mut table, 500, delay("b", 5, 0));
    assert_eq!((renewed.began, renewed.ends), (first.began, Instant(1_500)));
    let other = set(&mut table, 600, delay("b", 6, 0));
    assert_eq!((other.began, other.ends), (Instant(600), Instant(1_600)));
}

#[test]
fn the_same_id_replaces_and_both_ways_out_end_it() {
    let mut table = FaultTable::default();
    table.set(START, "x", cut("b"), SECOND, "").unwrap();
    table.set(START, "x", cut("c"), SECOND, "").unwrap();
    assert!(!held(&mut table, "b", START, 1));
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
    let latency = Latency {
        time: Span(u64::MAX),
        jitter: Span(9),
        shape: Shape::Uniform,
    };
    let kind = FaultKind::link(name("b"), LinkFault::Delay(latency));
    assert_eq!(
        table.set(START, "", kind, SECOND, ""),
        Err(FaultError::Delay {
            asked,
            max: DELAY_MAX
        })
    );
    for asked in [Share::NONE, Share(1_000_001), Share(u32::MAX)] {
        let refused = Err(FaultError::Share { what: "loss", asked });
        assert_eq!(table.set(START, "", loss("b", asked), SECOND, ""), refused);
    }
    assert_eq!(
        FaultError::Share {
            what: "loss",
            asked: Share::from_percent(120)
        }
        .to_string(),
        "loss takes more than 0% and at most 100%, not 120%"
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
    assert_eq!(loss("b", Share::from_percent(5)).to_string(), "loss 5% to b");
    let shares = [Share(5_000), Share(125_500), Share(1)].map(|share| share.to_string());
    assert_eq!(shares, ["0.5%", "12.55%", "0.0001%"]);
    assert_eq!(delay("b", 200, 0).to_string(), "delay 200ms to b");
    assert_eq!(delay("b", 200, 50).to_string(), "delay 200ms ±50ms to b");
}

#[test]
fn what_does_not_fit_is_refused_with_what_would() {
    let half = Share::from_percent(50);
    let long = Span(DELAY_MAX.0 + 1);
    let refused = |what: LinkFault| {
        let kind = FaultKind::link(name("b"), what);
        let mut table = FaultTable::default();
        let refused = table
            .set(START, "", kind, SECOND, "")
            .map_err(|error| error.to_string());
        assert!(table.is_empty());
        refused.expect_err("it does not fit")
    };
    for (what, words) in [
        (
            LinkFault::Rate(999),
            "a rate is at least 1000 and at most 10000000000 bytes a second, not 999B/s",
        ),
        (
            LinkFault::Clog(Span(9)),
            "a stall is at least 1ms and at most 60000ms, not 9us",
        ),
        (
            LinkFault::Reset(Span(1)),
            "resets are at least 10ms and at most 60000ms apart, not every 1us",
        ),
        (
            LinkFault::Slice(0),
            "a slice has at least 1 and at most 65536 bytes, not 0B",
        ),
        (LinkFault::Limit(0), "a connection carries at least 1 byte, not 0"),
        (
            LinkFault::SlowClose(long),
            "a connection stays open for more than nothing and at most 60000ms, not 60000001us",
        ),
        (
            LinkFault::Reorder {
                share: half,
                by: Span::ZERO,
            },
            "what is overtaken comes later by more than nothing and at most 60000ms, not 50% by 0ms",
        ),
        (
            LinkFault::Corrupt(Share::NONE),
            "corrupt takes more than 0% and at most 100%, not 0%",
        ),
    ] {
        assert_eq!(refused(what), words);
    }
}

#[test]
fn every_fault_on_a_link_reads_as_people_say_it() {
    let share = Share::from_percent(5);
    let ms = Span::from_ms;
    let words = [
        LinkFault::Duplicate(share),
        LinkFault::Reorder { share, by: ms(20) },
        LinkFault::Corrupt(share),
        LinkFault::Rate(64_000),
        LinkFault::Clog(ms(300)),
        LinkFault::Reset(Span::ZERO),
        LinkFault::Reset(ms(500)),
        LinkFault::Slice(7),
        LinkFault::Limit(10_000_000),
        LinkFault::SlowClose(ms(900)),
    ]
    .map(|what| FaultKind::link(name("b"), what).to_string());
    assert_eq!(
        words,
        [
            "duplicate 5% to b",
            "reorder 5% by 20ms to b",
            "corrupt 5% to b",
            "rate 64kB/s to b",
            "clog 300ms to b",
            "reset to b",
            "reset every 500ms to b",
            "slice 7B to b",
            "limit 10MB to b",
            "slow-close 900ms to b",
        ]
    );
}
