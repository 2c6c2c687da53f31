//! What the invariants said of a run, as its report has it. What does not live here: judging (`crate::judge`).

use serde::Serialize;
use squall_proto::v1 as proto;

/// What the invariants say of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Judged {
    /// Verdicts, in the order of the invariants: its number, and `ok`, `FAIL: …` or `unknown: …`.
    pub verdicts: Vec<(String, String)>,
    /// What was broken, each with the two events that cannot both be.
    pub breaches: Vec<String>,
    /// What happened at all, and how often.
    pub seen: Vec<(String, u64)>,
    /// Events that were judged.
    pub events: u64,
}

impl Judged {
    /// What is said now of what has happened since `before`.
    pub(super) fn since(before: &proto::VerdictsResponse, now: &proto::VerdictsResponse) -> Self {
        let earlier = |what: &str| {
            let seen = before.seen.iter().find(|seen| seen.what == what);
            seen.map_or(0, |seen| seen.count)
        };
        let seen = now.seen.iter();
        let new = seen.map(|seen| (seen.what.clone(), seen.count.saturating_sub(earlier(&seen.what))));
        Self {
            verdicts: now
                .invariants
                .iter()
                .map(|said| (said.id.clone(), in_words(said, &now.failed)))
                .collect(),
            breaches: breaches(now).collect(),
            seen: new.filter(|(_, count)| *count > 0).collect(),
            events: now.events.saturating_sub(before.events),
        }
    }

    /// What is said where nobody judges.
    pub(super) fn by_nobody(why: &str) -> Self {
        let all = crate::invariant::all();
        Self {
            verdicts: all
                .iter()
                .map(|check| (check.id().to_string(), format!("unknown: {why}")))
                .collect(),
            ..Self::default()
        }
    }

    /// True when that happened.
    pub(super) fn saw(&self, what: &str) -> bool {
        self.seen.iter().any(|(seen, _)| seen == what)
    }
}

/// What is broken, each with the two events.
pub(super) fn breaches(said: &proto::VerdictsResponse) -> impl Iterator<Item = String> + '_ {
    let broken = |said: &&proto::InvariantVerdict| said.state() == proto::VerdictState::Broken;
    said.invariants.iter().filter(broken).map(breach)
}

fn breach(said: &proto::InvariantVerdict) -> String {
    let mut text = format!("{} broken: {}", said.id, said.text);
    for event in [&said.first, &said.second]
        .into_iter()
        .filter(|event| !event.is_empty())
    {
        text += &format!("\n  {event}");
    }
    text
}

fn in_words(said: &proto::InvariantVerdict, failed: &str) -> String {
    match said.state() {
        proto::VerdictState::Broken => format!("FAIL: {}", breach(said)),
        // What held until then may have been broken since.
        _ if !failed.is_empty() => format!("unknown: {failed}"),
        proto::VerdictState::Holds => "ok".to_owned(),
        proto::VerdictState::Unknown | proto::VerdictState::Unspecified => format!("unknown: {}", said.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(state: proto::VerdictState, seen: u64, events: u64) -> proto::VerdictsResponse {
        let mut one = proto::InvariantVerdict {
            id: "I4".into(),
            text: "both own it".into(),
            second: "1 s a owns orders".into(),
            ..Default::default()
        };
        one.set_state(state);
        proto::VerdictsResponse {
            invariants: vec![one],
            seen: vec![proto::Sighting {
                what: "a node left in order".into(),
                count: seen,
            }],
            events,
            failed: String::new(),
        }
    }

    #[test]
    fn what_happened_before_a_run_is_not_counted_to_it() {
        let before = said(proto::VerdictState::Holds, 3, 100);
        let judged = Judged::since(&before, &said(proto::VerdictState::Holds, 3, 150));
        assert_eq!(judged.events, 50);
        assert!(!judged.saw("a node left in order"), "{judged:?}");
        let judged = Judged::since(&before, &said(proto::VerdictState::Holds, 4, 150));
        assert_eq!(judged.seen, [("a node left in order".to_owned(), 1)]);
    }

    #[test]
    fn a_judge_that_has_failed_says_of_nothing_that_it_holds() {
        let failed = proto::VerdictsResponse {
            failed: "a.journal: the recording ended".into(),
            ..said(proto::VerdictState::Holds, 0, 9)
        };
        let judged = Judged::since(&proto::VerdictsResponse::default(), &failed);
        assert_eq!(judged.verdicts[0].1, "unknown: a.journal: the recording ended");
        let broken = proto::VerdictsResponse {
            failed: failed.failed,
            ..said(proto::VerdictState::Broken, 0, 9)
        };
        let judged = Judged::since(&proto::VerdictsResponse::default(), &broken);
        assert_eq!(judged.breaches, ["I4 broken: both own it\n  1 s a owns orders"]);
    }
}
