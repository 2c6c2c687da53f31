//! A report in some lines, for a terminal. What does not live here: the report (`report`), its page (`html`).

use super::Report;
use super::report::Failover;
use super::upkeep::in_words;

/// How a run fared: failovers, requests, what processes held, what went wrong, and how it ended; some lines.
#[must_use]
pub fn summary(report: &Report) -> String {
    let mut text = String::new();
    for deed in &report.deeds {
        for Failover { exchange, phases, .. } in &deed.failovers {
            text += &format!("{exchange}: {phases}\n");
        }
    }
    for series in &report.series {
        text += &format!(
            "{}: {} of {} answered, longest silence {} ms\n",
            series.exchange, series.outcomes.replied, series.outcomes.sent, series.gap_ms
        );
    }
    for (name, held) in &report.held {
        text += &format!("{}\n", in_words(name, held));
    }
    for complaint in report.complaints() {
        text += &format!("{complaint}\n");
    }
    let held = report
        .judged
        .verdicts
        .iter()
        .filter(|(_, verdict)| verdict == "ok")
        .count();
    text += &format!(
        "{held} invariants held over {} events\n{}: {}\n",
        report.judged.events,
        report.scenario,
        report.ended.as_str()
    );
    text
}
