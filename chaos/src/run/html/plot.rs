//! Rates and latencies over time as SVG, with the faults as bands behind them. What does not live here: what they mean.

use std::fmt::Write as _;

use super::text;
use crate::run::report::Report;
use crate::run::{Bucket, Series};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 190.0;
/// Room for numbers on the left, for the faults' names above, for seconds below.
const LEFT: f64 = 58.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 20.0;
/// Latencies are drawn from a tenth of a millisecond to ten seconds, each decade as high as the others.
const DECADES: f64 = 5.0;
const LEAST_US: f64 = 100.0;
/// Points of a curve: more than a screen shows.
const POINTS_MAX: usize = 1_000;

/// Answered and failed requests a second.
pub(super) fn rates(report: &Report, series: &Series) -> String {
    let per_s = 1000.0 / series.bucket_ms.max(1) as f64;
    let rate = |bucket: &Bucket| (bucket.good as f64 * per_s, bucket.failed as f64 * per_s);
    let most = series
        .buckets
        .iter()
        .map(|b| rate(b).0.max(rate(b).1))
        .fold(1.0, f64::max);
    let top = rounded_up(most);
    let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / top).min(1.0);
    let mut svg = begin("requests a second: answered, and failed", report, series);
    for part in [0.0, 0.5, 1.0] {
        rule(&mut svg, y(top * part), &format!("{:.0}", top * part));
    }
    curve(&mut svg, series, "var(--rate)", |bucket| Some(y(rate(bucket).0)));
    curve(&mut svg, series, "var(--bad)", |bucket| {
        (bucket.failed > 0).then(|| y(rate(bucket).1))
    });
    svg + "</svg>"
}

/// Latencies of good replies: half, and 99 of 100.
pub(super) fn latencies(report: &Report, series: &Series) -> String {
    let y = |us: u64| {
        let decades = (us as f64 / LEAST_US).max(1.0).log10().min(DECADES);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * decades / DECADES
    };
    let mut svg = begin("latency of good replies: half, and 99 of 100", report, series);
    for (us, words) in [
        (100, "0.1 ms"),
        (1_000, "1 ms"),
        (10_000, "10 ms"),
        (100_000, "100 ms"),
        (1_000_000, "1 s"),
        (10_000_000, "10 s"),
    ] {
        rule(&mut svg, y(us), words);
    }
    curve(&mut svg, series, "var(--rate)", |bucket| {
        (bucket.p50_us > 0).then(|| y(bucket.p50_us))
    });
    curve(&mut svg, series, "var(--tail)", |bucket| {
        (bucket.p99_us > 0).then(|| y(bucket.p99_us))
    });
    svg + "</svg>"
}

/// Milliseconds that are drawn.
fn length(report: &Report, series: &Series) -> f64 {
    let drawn = series.buckets.len() as u64 * series.bucket_ms;
    drawn.max(report.lasted_ms).max(1) as f64
}

fn x(ms: f64, length: f64) -> f64 {
    LEFT + (WIDTH - LEFT) * (ms / length).clamp(0.0, 1.0)
}

/// The frame: title, bands of the faults, seconds.
fn begin(title: &str, report: &Report, series: &Series) -> String {
    let length = length(report, series);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\"><text x=\"{LEFT}\" y=\"11\">{title}</text>"
    );
    for (row, deed) in report.deeds.iter().enumerate() {
        let (from, to) = (x(deed.at_ms as f64, length), x(deed.ends_ms as f64, length));
        let words = text(&deed.text);
        let _ = write!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"var(--band)\" fill-opacity=\".14\"><title>\
             {words}</title></rect><text x=\"{:.1}\" y=\"{:.1}\" style=\"fill:var(--band)\">{words}</text>",
            (to - from).max(1.5),
            HEIGHT - TOP - BOTTOM,
            from + 3.0,
            TOP - 2.0 + 12.0 * (row % 4) as f64,
        );
    }
    let step = [1, 2, 5, 10, 30, 60, 300, 1800, 3600]
        .into_iter()
        .find(|step| length / 1000.0 / f64::from(*step) <= 16.0)
        .unwrap_or(7200);
    let mut second = 0.0;
    while second * 1000.0 <= length {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\">{second:.0} s</text>",
            x(second * 1000.0, length),
            HEIGHT - 5.0
        );
        second += f64::from(step);
    }
    svg
}

fn rule(svg: &mut String, y: f64, words: &str) {
    let _ = write!(
        svg,
        "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"var(--line)\"/><text x=\"{:.1}\" y=\"{:.1}\" \
         text-anchor=\"end\">{words}</text>",
        LEFT - 6.0,
        y + 4.0
    );
}

/// A line through the buckets; it breaks off where there is no value.
fn curve(svg: &mut String, series: &Series, colour: &str, y: impl Fn(&Bucket) -> Option<f64>) {
    let length = (series.buckets.len() as u64 * series.bucket_ms).max(1) as f64;
    let every = series.buckets.len().div_ceil(POINTS_MAX).max(1);
    let mut path = String::new();
    let mut pen_down = false;
    for (place, bucket) in series.buckets.iter().enumerate().step_by(every) {
        let at = x((place as u64 * series.bucket_ms) as f64, length);
        match y(bucket) {
            Some(y) => {
                let _ = write!(path, "{}{at:.1} {y:.1}", if pen_down { 'L' } else { 'M' });
                if !pen_down {
                    // One value alone is a point.
                    path += "h1";
                }
                pen_down = true;
            }
            None => pen_down = false,
        }
    }
    let _ = write!(
        svg,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.4\"/>"
    );
}

/// One, two or five, and zeros.
fn rounded_up(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|n| n * decade)
        .find(|top| *top >= value)
        .unwrap_or(value)
}
