//! Tests of the detector: phi against silence, and its arithmetic against std.

use super::*;

const HEARTBEAT: Span = Span::from_ms(50);

fn at_ms(ms: u64) -> Instant {
    Instant(ms * 1000)
}

/// A detector that heard heartbeats every `gap_ms` until one second.
fn regular(gap_ms: u64) -> Detector {
    let mut detector = Detector::new(HEARTBEAT, at_ms(0));
    for n in 1..=1000 / gap_ms {
        detector.heard(at_ms(n * gap_ms));
    }
    detector
}

#[test]
fn arithmetic_agrees_with_std() {
    for n in 0..2000 {
        let x = f64::from(n) * 0.05 - 50.0;
        let (mine, theirs) = (softplus(x), x.exp().ln_1p());
        assert!(
            (mine - theirs).abs() <= 1e-12 * theirs.max(1.0),
            "softplus({x}) = {mine}, not {theirs}"
        );
        let square = f64::from(n) * f64::from(n) * 1e3;
        assert!((square_root(square) - square.sqrt()).abs() <= 1e-9 * square.sqrt().max(1.0));
    }
    assert!((exp_of_negative(-1.0) - (-1.0_f64).exp()).abs() < 1e-15);
    assert_eq!((exp_of_negative(0.0), exp_of_negative(-1e9)), (1.0, 0.0));
}

#[test]
fn phi_is_low_on_time_and_grows_without_bound_in_silence() {
    let detector = regular(50);
    assert!(detector.phi(at_ms(1050)) < 0.5);
    let phi = |ms: u64| detector.phi(at_ms(1000 + ms));
    assert!(
        phi(100) < 2.0 && phi(150) > 3.0 && phi(250) > 8.0,
        "{} {} {}",
        phi(100),
        phi(150),
        phi(250)
    );
    assert!(phi(500) > 2.0 * phi(250) && phi(60_000) > 1e6 && phi(3_600_000).is_finite());
}

#[test]
fn a_detector_without_samples_expects_heartbeats() {
    let detector = Detector::new(HEARTBEAT, at_ms(0));
    assert!(detector.phi(at_ms(50)) < 0.5 && detector.phi(at_ms(300)) > 8.0);
}

#[test]
fn a_busy_link_that_falls_idle_is_not_suspect_before_a_heartbeat_is_missing() {
    let busy = regular(1);
    assert!(busy.phi(at_ms(1060)) < 1.0);
    assert_eq!(busy.heard_at(), at_ms(1000));
}

#[test]
fn an_irregular_peer_is_given_more_time() {
    let mut irregular = Detector::new(HEARTBEAT, at_ms(0));
    for n in 1..=40 {
        irregular.heard(at_ms(n * 100 + if n % 2 == 0 { 70 } else { 0 }));
    }
    let at = irregular.heard_at() + Span::from_ms(200);
    assert!(irregular.phi(at) < regular(50).phi(at_ms(1200)));
}

#[test]
fn the_window_is_bounded_and_forgets() {
    let mut detector = Detector::new(HEARTBEAT, at_ms(0));
    detector.heard(at_ms(10_000));
    for n in 1..=limits::PHI_WINDOW as u64 {
        detector.heard(at_ms(10_000 + n * 50));
    }
    assert_eq!(detector.gaps_us.len(), limits::PHI_WINDOW);
    assert_eq!(detector.distribution(), (50_000.0, 25_000.0));
}

#[test]
fn a_new_connection_starts_afresh() {
    let mut detector = regular(50);
    detector.reset(at_ms(60_000));
    assert!(detector.phi(at_ms(60_050)) < 0.5);
}

#[test]
fn round_trips_older_than_ten_seconds_do_not_count() {
    let mut trips = RoundTrips::default();
    assert_eq!(trips.at(at_ms(0)), None);
    trips.add(at_ms(0), Span::from_ms(500));
    for n in 1..=100 {
        trips.add(at_ms(5_000 + n), Span(n));
    }
    assert_eq!(
        trips.at(at_ms(5_100)),
        Some(Rtt {
            p50: Span(51),
            p99: Span(100)
        })
    );
    assert_eq!(
        trips.at(at_ms(10_001)),
        Some(Rtt {
            p50: Span(50),
            p99: Span(99)
        })
    );
    assert_eq!(trips.at(at_ms(20_000)), None);
    for n in 0..1000 {
        trips.add(at_ms(30_000), Span(n));
    }
    assert_eq!(trips.samples.len(), RTT_SAMPLES_MAX);
}
