//! The selected process in full: its mailbox, its counters, and its messages of the last minute, which are
//! kept from the moment it is selected.

use std::collections::VecDeque;

use crate::cluster::node::Node;
use crate::cluster::process::Process;
use crate::limits::TRAIL_SECONDS;
use crate::model::Pane;
use crate::prepare::{Detail, Source};
use crate::table::RowId;
use crate::theme::Tone;
use crate::units::{Moment, count, micros, millis, rate};

/// Rows of the details with their borders.
pub const ROWS: u16 = 6;
/// Columns of the bar that shows how full the mailbox is.
const BAR: u64 = 20;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Messages in per second of the selected process, one sample a second.
#[derive(Debug, Clone, Default)]
pub struct Trail {
    of: Option<RowId>,
    samples: VecDeque<Option<f64>>,
    second: u64,
}

impl Trail {
    /// Takes the second's sample in; another process begins anew.
    fn sample(&mut self, of: &RowId, now: Moment, value: Option<f64>) {
        let second = now.0 / 1000;
        if self.of.as_ref() != Some(of) {
            *self = Self {
                of: Some(of.clone()),
                samples: VecDeque::new(),
                second: second.saturating_sub(1),
            };
        }
        // Seconds nobody looked are gaps.
        let missed = second.saturating_sub(self.second).min(TRAIL_SECONDS as u64);
        for left in (0..missed).rev() {
            if self.samples.len() == TRAIL_SECONDS {
                self.samples.pop_front();
            }
            self.samples.push_back(value.filter(|_| left == 0));
        }
        self.second = self.second.max(second);
    }

    /// Those up to a moment: the viewer may have gone back since.
    fn until(&self, now: Moment) -> impl Iterator<Item = &Option<f64>> {
        let newer = self.second.saturating_sub(now.0 / 1000);
        let newer = usize::try_from(newer).unwrap_or(usize::MAX);
        self.samples.iter().take(self.samples.len().saturating_sub(newer))
    }

    fn line(&self, now: Moment) -> String {
        let top = self.until(now).flatten().copied().fold(1.0, f64::max);
        let level = |v: &Option<f64>| match v {
            None => '·',
            Some(v) => LEVELS[((v / top * 8.0).ceil() as usize).clamp(1, 8) - 1],
        };
        self.until(now).map(level).collect()
    }

    fn top(&self, now: Moment) -> Option<f64> {
        self.until(now).flatten().copied().reduce(f64::max)
    }
}

/// Prepares the details of the selected process.
pub(super) fn prepare(source: Source<'_>, pane: &mut Pane) -> Option<Detail> {
    let id = pane.cursor.id.clone()?;
    of(source, &id, pane)
}

/// The details of a process.
pub(crate) fn of(source: Source<'_>, id: &RowId, pane: &mut Pane) -> Option<Detail> {
    let RowId::Process(node, pid) = id else {
        return None;
    };
    let node = source.cluster.nodes.get(node)?;
    let process = node.processes.get(pid)?;
    let now_in = process.rate_in.per_s(node.processes_ms());
    pane.trail.sample(
        id,
        source.now,
        now_in.filter(|_| node.stale_ms(source.now).is_none()),
    );
    Some(Detail {
        title: format!("{pid} {}", process.row.name),
        lines: lines(node, process, source.now, &pane.trail),
    })
}

fn lines(node: &Node, p: &Process, now: Moment, trail: &Trail) -> Vec<Vec<(&'static str, String, Tone)>> {
    let row = &p.row;
    let plain = |label, text: String| (label, text, Tone::Plain);
    let counted = |label, n: u64| {
        let tone = if n > 0 { Tone::Warn } else { Tone::Plain };
        (label, count(n), tone)
    };
    let mut who = vec![
        plain("kind", row.kind.clone()),
        ("node", node.name.clone(), Tone::Accent),
        plain("age", millis(p.age_ms(node.processes_ms()))),
        counted("restarts", row.restarts),
    ];
    if let Some(ms) = node.stale_ms(now) {
        who.push(("stale", millis(ms), Tone::Warn));
    }
    let waiting = if row.bound == 0 {
        plain("mailbox", format!("{}, no bound of its own", count(p.mailbox())))
    } else {
        let (bar, tone) = fullness(p.mailbox(), row.bound);
        let text = format!("{bar} {} of {}", count(p.mailbox()), count(row.bound));
        ("mailbox", text, tone)
    };
    let mailbox = vec![
        waiting,
        plain("oldest", micros(row.oldest_us)),
        counted("dropped", row.dropped),
    ];
    let totals = vec![
        plain("in", count(row.enqueued)),
        plain("out", count(row.dequeued)),
        plain("sent", count(row.sent)),
        plain("worked", micros(row.busy_us)),
    ];
    let trail = vec![
        ("in/s", trail.line(now), Tone::Good),
        ("most", rate(trail.top(now)), Tone::Plain),
    ];
    vec![who, mailbox, totals, trail]
}

/// How full a mailbox is, as a bar.
fn fullness(mailbox: u64, bound: u64) -> (String, Tone) {
    let share = mailbox.saturating_mul(100) / bound.max(1);
    let full = (mailbox.saturating_mul(BAR)).div_ceil(bound.max(1)).min(BAR) as usize;
    let tone = match share {
        90.. => Tone::Bad,
        50..90 => Tone::Warn,
        _ => Tone::Plain,
    };
    ("█".repeat(full) + &"░".repeat(BAR as usize - full), tone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(pid: &str) -> RowId {
        RowId::Process("a".to_owned(), pid.to_owned())
    }

    #[test]
    fn a_second_is_sampled_once_and_missed_ones_are_gaps() {
        let mut trail = Trail::default();
        for ms in [5_000, 5_100, 5_900, 6_000, 9_000] {
            trail.sample(&id("<a.1>"), Moment(ms), Some(8.0));
        }
        assert_eq!(trail.line(Moment(9_000)), "██··█");
        assert_eq!(
            trail.line(Moment(6_500)),
            "██",
            "nothing of later than what is shown"
        );
        trail.sample(&id("<a.2>"), Moment(9_000), None);
        assert_eq!(
            (trail.line(Moment(9_000)).as_str(), trail.top(Moment(9_000))),
            ("·", None)
        );
    }

    #[test]
    fn a_trail_is_bounded() {
        let mut trail = Trail::default();
        for second in 0..1_000 {
            trail.sample(&id("<a.1>"), Moment(second * 1000), Some(1.0));
        }
        trail.sample(&id("<a.1>"), Moment(9_000_000), Some(1.0));
        assert_eq!(trail.samples.len(), TRAIL_SECONDS);
    }

    #[test]
    fn a_mailbox_is_never_fuller_than_full() {
        assert_eq!(fullness(0, 0).0, "░".repeat(20));
        assert_eq!(fullness(9, 4), ("█".repeat(20), Tone::Bad));
        assert_eq!(fullness(1, 4096).0.chars().filter(|c| *c == '█').count(), 1);
    }
}
