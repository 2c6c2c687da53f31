//! What a game day is worth, by a formula that everybody can check. What does not live here: the game.

use std::fmt;

use serde::Serialize;

use super::report::Report;

/// A game's score with what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Requests answered, in percent of those sent.
    pub answered_percent: f64,
    /// The longest silence of any exchange, in seconds.
    pub silence_s: f64,
    /// Requests without an end, handled twice, stale or changed.
    pub wrong: u64,
    /// Invariants that were broken.
    pub broken: u64,
    /// All of it together, from 0 to 100.
    pub points: f64,
}

/// How points are counted.
pub const FORMULA: &str = "points = answered in percent - 2 for each second of the longest silence - 25 for each request that was \
                           lost, doubled or stale - 100 for each broken invariant; at least 0";

impl Score {
    /// Of that run.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let sum = |count: fn(&super::Series) -> u64| -> u64 { report.series.iter().map(count).sum() };
        let (sent, replied) = (sum(|s| s.outcomes.sent), sum(|s| s.outcomes.replied));
        let wrong = sum(|s| s.lost + s.doubled + s.wrong);
        let broken = report.judged.breaches.len() as u64;
        let silence_ms = report.series.iter().map(|s| s.gap_ms).max().unwrap_or_default();
        let answered_percent = 100.0 * replied as f64 / sent.max(1) as f64;
        let silence_s = silence_ms as f64 / 1000.0;
        let points = answered_percent - 2.0 * silence_s - 25.0 * wrong as f64 - 100.0 * broken as f64;
        Self {
            answered_percent,
            silence_s,
            wrong,
            broken,
            points: points.max(0.0),
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "score {:.2}: {:.3} % answered, longest silence {:.2} s, {} lost, doubled or stale, {} broken ({FORMULA})",
            self.points, self.answered_percent, self.silence_s, self.wrong, self.broken
        )
    }
}
