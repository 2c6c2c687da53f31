//! What a chaos console tells of itself, made fit for the screen: every text cleaned, every list bounded.
//!
//! What does not live here: what it means (`prepare/board`).

use super::{figure, name, paragraph, text};
use crate::console::{Bar, Board, Invariant, Lock, Run, Scenario, Verdict};
use crate::limits::{INVARIANTS_MAX, NODES_MAX, RUN_LINES_MAX, SCENARIOS_MAX, SEEN_MAX, STEPS_MAX};

/// The board, cleaned and bounded.
#[must_use]
pub fn board(raw: &Board) -> Board {
    Board {
        bar: raw
            .bar
            .as_ref()
            .map(|judged| judged.as_ref().map(bar).map_err(|why| paragraph(why))),
        scenarios: raw.scenarios.iter().take(SCENARIOS_MAX).map(scenario).collect(),
        run: raw.run.as_ref().map(run),
        lock: raw.lock.as_ref().map(lock),
    }
}

fn lock(raw: &Lock) -> Lock {
    Lock {
        nodes: raw.nodes.iter().take(NODES_MAX).map(|node| name(node)).collect(),
        by: name(&raw.by),
        reason: text(&raw.reason),
    }
}

fn bar(raw: &Bar) -> Bar {
    let seen = raw.seen.iter().take(SEEN_MAX);
    Bar {
        invariants: raw
            .invariants
            .iter()
            .take(INVARIANTS_MAX)
            .map(invariant)
            .collect(),
        seen: seen.map(|(what, times)| (text(what), figure(*times))).collect(),
        events: figure(raw.events),
    }
}

fn invariant(raw: &Invariant) -> Invariant {
    Invariant {
        id: name(&raw.id),
        claim: paragraph(&raw.claim),
        verdict: match &raw.verdict {
            Verdict::Holds => Verdict::Holds,
            Verdict::Unknown(why) => Verdict::Unknown(paragraph(why)),
            Verdict::Broken { text, first, second } => Verdict::Broken {
                text: paragraph(text),
                first: first.as_deref().map(paragraph),
                second: paragraph(second),
            },
        },
    }
}

fn scenario(raw: &Scenario) -> Scenario {
    Scenario {
        name: name(&raw.name),
        teaches: paragraph(&raw.teaches),
        steps: raw.steps.iter().take(STEPS_MAX).map(|step| text(step)).collect(),
    }
}

/// Of its lines the newest stay.
fn run(raw: &Run) -> Run {
    let first = raw.lines.len().saturating_sub(RUN_LINES_MAX);
    Run {
        scenario: name(&raw.scenario),
        ended: raw.ended.as_deref().map(name),
        lines: raw.lines[first..].iter().map(|line| text(line)).collect(),
        report: raw.report.as_deref().map(paragraph),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PARAGRAPH_CHARS_MAX;

    #[test]
    fn every_string_of_a_board_is_cleaned_and_every_list_bounded() {
        let bad = || "\u{1b}]0;owned\u{7}".to_owned();
        let broken = Verdict::Broken {
            text: bad(),
            first: Some(bad()),
            second: bad(),
        };
        let verdicts = [Verdict::Holds, Verdict::Unknown(bad()), broken];
        let one = |verdict| Invariant {
            id: bad(),
            claim: bad(),
            verdict,
        };
        let own = Scenario {
            name: bad(),
            teaches: bad(),
            steps: vec![bad(); STEPS_MAX + 1],
        };
        let raw = Board {
            bar: Some(Ok(Bar {
                invariants: verdicts
                    .into_iter()
                    .cycle()
                    .take(INVARIANTS_MAX + 1)
                    .map(one)
                    .collect(),
                seen: vec![(bad(), u64::MAX); SEEN_MAX + 1],
                events: u64::MAX,
            })),
            scenarios: vec![own; SCENARIOS_MAX + 1],
            run: Some(Run {
                scenario: bad(),
                ended: Some(bad()),
                lines: vec![bad(); RUN_LINES_MAX + 1],
                report: Some(bad()),
            }),
            lock: Some(Lock {
                nodes: vec![bad(); NODES_MAX + 1],
                by: bad(),
                reason: bad(),
            }),
        };
        let cleaned = board(&raw);
        let all = format!("{cleaned:?}");
        assert!(!all.contains("\\u{1b}") && !all.contains("\\u{7}"));
        let bar = cleaned.bar.and_then(Result::ok).expect("it is judged");
        assert_eq!((bar.invariants.len(), bar.seen.len()), (INVARIANTS_MAX, SEEN_MAX));
        assert_eq!(cleaned.scenarios.len(), SCENARIOS_MAX);
        assert_eq!(cleaned.scenarios[0].steps.len(), STEPS_MAX);
        assert_eq!(cleaned.run.map(|run| run.lines.len()), Some(RUN_LINES_MAX));
        assert_eq!(cleaned.lock.map(|lock| lock.nodes.len()), Some(NODES_MAX));
        let nobody = Board {
            bar: Some(Err(bad())),
            ..Board::default()
        };
        assert!(!format!("{:?}", board(&nobody)).contains("\\u{1b}"));
    }

    #[test]
    fn of_a_run_the_newest_lines_stay_and_paragraphs_keep_their_words() {
        let raw = Run {
            lines: (0..RUN_LINES_MAX + 3).map(|i| i.to_string()).collect(),
            ..run(&Run {
                scenario: "bridge".to_owned(),
                ended: None,
                lines: Vec::new(),
                report: None,
            })
        };
        assert_eq!(run(&raw).lines[0], "3");
        assert_eq!(paragraph("one\ntwo\n"), "one two");
        let cut = paragraph(&"x".repeat(PARAGRAPH_CHARS_MAX + 9));
        assert!(cut.ends_with('…') && cut.chars().count() == PARAGRAPH_CHARS_MAX + 1);
    }
}
