//! What many requests came to: outcomes by kind, rate, times. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use squall_client::RequestError;

use crate::cli::exit::{Exit, of_request};
use crate::cli::values::counted;

/// Sub-steps of each power of two: times are known to 1.6 %.
const STEPS: u64 = 64;
const BUCKETS: usize = 64 * STEPS as usize;

/// The word of an outcome without a reply.
pub(crate) fn outcome_word(error: &RequestError) -> &'static str {
    match error {
        RequestError::NoResponders => "no_responders",
        RequestError::Timeout => "timeout",
        RequestError::Unavailable(_) => "unavailable",
        RequestError::Declined(_) => "declined",
        RequestError::Rejected => "rejected",
        RequestError::Interrupted => "interrupted",
        RequestError::Failed(_) => "failed",
        RequestError::NoMiddleware(_) => "no_middleware",
        RequestError::Invalid(_) => "invalid",
    }
}

/// Why there was no reply, without the word of the outcome, which stands beside it.
pub(crate) fn reason(error: &RequestError) -> String {
    let whole = error.to_string();
    let word = outcome_word(error).replace('_', " ");
    let rest = whole.strip_prefix(&word).and_then(|rest| rest.strip_prefix(": "));
    rest.map_or(whole.clone(), str::to_owned)
}

/// Counts of many requests.
#[derive(Debug, Clone)]
pub(super) struct Summary {
    replies: u64,
    others: BTreeMap<&'static str, (u64, Exit, String)>,
    times: Vec<u64>,
    max: Duration,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            replies: 0,
            others: BTreeMap::new(),
            times: vec![0; BUCKETS],
            max: Duration::ZERO,
        }
    }
}

impl Summary {
    /// Counts a reply that took that long.
    pub(super) fn reply(&mut self, took: Duration) {
        self.replies += 1;
        self.max = self.max.max(took);
        self.times[bucket(took)] += 1;
    }

    /// Counts an outcome without a reply.
    pub(super) fn other(&mut self, error: &RequestError) {
        let entry = self.others.entry(outcome_word(error));
        entry.or_insert_with(|| (0, of_request(error), reason(error))).0 += 1;
    }

    /// Adds what another worker has counted.
    pub(super) fn add(&mut self, other: Self) {
        self.replies += other.replies;
        self.max = self.max.max(other.max);
        self.times
            .iter_mut()
            .zip(other.times)
            .for_each(|(mine, theirs)| *mine += theirs);
        for (word, (count, exit, example)) in other.others {
            self.others.entry(word).or_insert((0, exit, example)).0 += count;
        }
    }

    /// Requests that have ended.
    pub(super) fn ended(&self) -> u64 {
        self.replies + self.others.values().map(|(count, ..)| count).sum::<u64>()
    }

    /// 0 when all were answered, else the code of the most frequent other outcome.
    pub(super) fn exit(&self) -> Exit {
        self.others
            .values()
            .max_by_key(|(count, ..)| *count)
            .map_or(Exit::Answered, |(_, exit, _)| *exit)
    }

    fn percentile(&self, p: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank is small and positive"
        )]
        let rank = (self.replies as f64 * p).ceil() as u64;
        let mut seen = 0;
        let at = self.times.iter().position(|count| {
            seen += count;
            seen >= rank.max(1)
        });
        at.map_or(Duration::ZERO, |at| upper(at).min(self.max))
    }

    /// As text, for people.
    pub(super) fn text(&self, asked: u64, took: Duration) -> String {
        Text {
            summary: self,
            asked,
            took,
        }
        .to_string()
    }

    /// As JSON, for programs.
    pub(super) fn document(&self, asked: u64, took: Duration) -> Value {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let mut outcomes = serde_json::Map::from_iter([("reply".to_owned(), self.replies.into())]);
        outcomes.extend(
            self.others
                .iter()
                .map(|(word, (count, ..))| ((*word).to_owned(), (*count).into())),
        );
        json!({
            "count": asked,
            "ended": self.ended(),
            "outcomes": outcomes,
            "took_s": took.as_secs_f64(),
            "rate_per_s": rate(self.ended(), took),
            "reply_ms": { "p50": ms(self.percentile(0.5)), "p99": ms(self.percentile(0.99)), "max": ms(self.max) },
        })
    }
}

struct Text<'a> {
    summary: &'a Summary,
    asked: u64,
    took: Duration,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { summary, asked, took } = self;
        let ended = summary.ended();
        write!(
            f,
            "{} in {:.2?}, {:.0}/s",
            counted(ended, "request", "requests"),
            took,
            rate(ended, *took)
        )?;
        if ended < *asked {
            write!(f, ", {} of {asked} not sent or given up", asked - ended)?;
        }
        write!(f, "\n  reply {}", summary.replies)?;
        if summary.replies > 0 {
            let (p50, p99) = (summary.percentile(0.5), summary.percentile(0.99));
            write!(f, "  p50 {p50:.2?}  p99 {p99:.2?}  max {:.2?}", summary.max)?;
        }
        for (word, (count, _, example)) in &summary.others {
            write!(
                f,
                "\n  {} {count}  ({})",
                word.replace('_', " "),
                crate::cli::exit::one_line(example)
            )?;
        }
        writeln!(f)
    }
}

fn rate(count: u64, took: Duration) -> f64 {
    if took.is_zero() {
        0.0
    } else {
        count as f64 / took.as_secs_f64()
    }
}

/// Log-linear buckets of nanoseconds: exact below `STEPS`, then `STEPS` for each power of two.
fn bucket(time: Duration) -> usize {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let power = nanos.checked_ilog2().unwrap_or(0).saturating_sub(STEPS.ilog2());
    let at = u64::from(power) * STEPS + (nanos >> power);
    usize::try_from(at).map_or(BUCKETS - 1, |at| at.min(BUCKETS - 1))
}

/// The longest time of a bucket.
fn upper(at: usize) -> Duration {
    let at = at as u64;
    let power = (at / STEPS).saturating_sub(1);
    let step = at - power * STEPS;
    Duration::from_nanos(((step + 1) << power) - 1)
}

#[cfg(test)]
mod tests {
    use squall_kernel::reason::NoReply;

    use super::*;

    #[test]
    fn a_bucket_holds_its_times_within_two_percent() {
        for nanos in [
            0,
            1,
            63,
            64,
            65,
            127,
            128,
            1000,
            123_456,
            9_876_543,
            5_000_000_000,
            3_600_000_000_000,
        ] {
            let time = Duration::from_nanos(nanos);
            let top = upper(bucket(time));
            assert!(
                top >= time && top.as_nanos() as f64 <= nanos as f64 * 1.02 + 1.0,
                "{nanos}: {top:?}"
            );
        }
    }

    #[test]
    fn workers_add_up_and_the_most_frequent_failure_gives_the_code() {
        let mut all = Summary::default();
        for ms in 1..=100 {
            let mut one = Summary::default();
            one.reply(Duration::from_millis(ms));
            all.add(one);
        }
        assert_eq!(all.exit(), Exit::Answered);
        let close = |p, ms: u64| all.percentile(p).as_secs_f64() / (ms as f64 / 1000.0);
        assert!((0.98..1.02).contains(&close(0.5, 50)) && (0.98..1.02).contains(&close(0.99, 99)));
        let mut worse = Summary::default();
        worse.other(&RequestError::Timeout);
        worse.other(&RequestError::Unavailable(NoReply::NoOwner));
        worse.other(&RequestError::Unavailable(NoReply::NoQuorum));
        all.add(worse);
        assert_eq!((all.exit(), all.ended()), (Exit::Unavailable, 103));
        let document = all.document(103, Duration::from_secs(1));
        assert_eq!(
            document["outcomes"],
            json!({ "reply": 100, "timeout": 1, "unavailable": 2 })
        );
        assert_eq!(document["reply_ms"]["max"], 100.0);
        let text = all.text(110, Duration::from_secs(1));
        assert!(
            text.contains("7 of 110 not sent") && text.contains("unavailable 2  (no owner)"),
            "{text}"
        );
    }

    #[test]
    fn a_reason_does_not_say_the_outcome_again() {
        let table = [
            (RequestError::Declined("no".into()), "no"),
            (RequestError::Declined("declined: no".into()), "declined: no"),
            (RequestError::Declined(String::new()), ""),
            (RequestError::NoResponders, "no handler is attached"),
            (RequestError::Rejected, "overloaded"),
            (RequestError::Unavailable(NoReply::NoQuorum), "no quorum"),
            (RequestError::Failed("at line 3".into()), "at line 3"),
            (RequestError::NoMiddleware("'auth'".into()), "'auth'"),
        ];
        for (error, told) in table {
            assert_eq!(reason(&error), told, "{error:?}");
        }
        for error in [RequestError::Timeout, RequestError::Interrupted] {
            let reason = reason(&error);
            assert!(
                !reason.is_empty() && !reason.starts_with(outcome_word(&error)),
                "{reason}"
            );
        }
    }

    #[test]
    fn nothing_answered_has_no_times() {
        let text = Summary::default().text(3, Duration::ZERO);
        assert!(!text.contains("p50"), "{text}");
    }
}
