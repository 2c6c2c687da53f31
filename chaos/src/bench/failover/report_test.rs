//! One trial's figures from replies at known times.

use super::*;

/// Replies at these milliseconds, each asked for 2 ms before; struck at 100, healed from 500 on.
pub(in crate::bench::failover) fn trial(number: u32, class: Class, ends: &[u64]) -> Trial {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let good = ends.iter().map(|ms| Good {
        intended: at(ms - 2),
        ended: at(*ms),
    });
    let seen = Seen {
        good: good.collect(),
        outcomes: Outcomes {
            sent: ends.len() as u64 + 1,
            replied: ends.len() as u64,
            interrupted: 1,
            ..Outcomes::default()
        },
        wrong: 0,
    };
    let times = Times {
        before: start,
        struck: at(100),
        healing: at(500),
        healed: at(700),
        ended: at(1000),
    };
    let sighted = Sighted {
        struck: "a".into(),
        owner: "a".into(),
        leader: "b".into(),
        over: true,
        account: Account::default(),
        doubled: 0,
        stale: 0,
        beside: None,
        inside: None,
        cpu_us: Some(100.0),
    };
    let turn = Turn {
        number,
        class,
        shape: Shape::Plain,
        round: 0,
    };
    Trial::new(turn, sighted, times, &seen)
}

#[test]
fn the_gap_is_the_silence_around_the_strike_and_no_other() {
    // 50 ms of silence before the strike, 150 around it, some less later, 190 after the return.
    let trial = trial(0, Class::G1, &[10, 60, 99, 249, 349, 449, 501, 691]);
    assert_eq!((trial.gap_ms, trial.return_gap_ms), (150.0, 190.0));
    assert_eq!((trial.slowest_ms, trial.healed_ms), (2.0, 600.0));
    let latency = trial.latency.unwrap();
    assert_eq!((latency.p50_ms, latency.p999_ms), (2.0, 2.0));
    assert_eq!(trial.phases.reply_ms, Some(149.0));
    assert_eq!(trial.lost, 0);
    let line = trial.line();
    assert!(line.contains("8 of 9 answered, 1 interrupted"), "{line}");
}

#[test]
fn the_rate_is_back_when_it_stays_back() {
    // A reply every 10 ms, none from 100 to 400: the first whole window has less than half, the rest is enough.
    let ends: Vec<u64> = (1..=10).chain(36..=80).map(|n| n * 10).collect();
    let mut times = None;
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let good: Vec<Good> = ends
        .iter()
        .map(|ms| Good {
            intended: at(*ms),
            ended: at(*ms),
        })
        .collect();
    let all = times.get_or_insert(Times {
        before: start,
        struck: at(100),
        healing: at(800),
        healed: at(800),
        ended: at(800),
    });
    assert_eq!(half_rate(&good, all), Some(Duration::from_millis(250)));
    // Nine replies in the 100 ms before, 45 in the 700 ms from then on.
    assert!((rate_kept(&good, all) - 71.4).abs() < 0.1);
    let never: Vec<Good> = good[..10].to_vec();
    assert_eq!(half_rate(&never, all), None);
}

#[test]
fn what_was_sent_and_did_not_end_is_lost() {
    let outcomes = Outcomes {
        sent: 10,
        held_back: 1,
        replied: 6,
        timeout: 1,
        ..Outcomes::default()
    };
    assert_eq!(lost(&outcomes), 2);
}
