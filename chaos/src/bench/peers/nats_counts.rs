//! What a process of subscribers of NATS counts, and how patterns are said to NATS. What does not live here: subscribing (`nats_fan`).

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bench::fanout::ledger::Notice;
use crate::bench::fanout::plan::Plan;
use crate::bench::role::Part;

/// What all subscribers of one process have got.
pub(super) struct Counts {
    /// Of those, how many want each topic.
    receivers: Vec<usize>,
    /// Deliveries of its latest publish, by publisher.
    got: Vec<AtomicUsize>,
}

impl Counts {
    /// Nothing, of that part of the plan's subscribers.
    pub(super) fn of(plan: &Plan, part: Part) -> Self {
        let topics = plan.topics().last().map_or(0, |last| last + 1);
        let receivers = (0..topics).map(|topic| plan.receivers_at(part.node, topic));
        let got = std::iter::repeat_with(AtomicUsize::default);
        Self {
            receivers: receivers.collect(),
            got: got.take(part.publishers).collect(),
        }
    }

    /// One of them has got what it wants, for the first time. True when it is the last one.
    pub(super) fn delivered(&self, notice: Notice) -> bool {
        let got = &self.got[notice.publisher as usize];
        let last = got.fetch_add(1, Ordering::AcqRel) + 1 == self.receivers[notice.topic as usize];
        if last {
            // The publisher waits for the word of this before it publishes the next one.
            got.store(0, Ordering::Release);
        }
        last
    }
}

/// Topics of which one publish each reaches every one of so many processes that has subscribers.
pub(super) fn covering(plan: &Plan, processes: usize) -> Vec<u32> {
    let mut reached = vec![false; processes];
    let adds = |topic: &u32| {
        let mut more = false;
        for (process, reached) in reached.iter_mut().enumerate() {
            if !*reached && plan.receivers_at(process, *topic) > 0 {
                (*reached, more) = (true, true);
            }
        }
        more
    };
    plan.topics().into_iter().filter(adds).collect()
}

/// The pattern in the words of NATS. Its `>` is for one word or more and for the end alone, which is enough for keys of three words, as
/// all are here.
pub(super) fn subject(pattern: &str) -> String {
    let behind = pattern.strip_prefix("#.").and_then(|rest| rest.rsplit_once('.'));
    if let Some((topic, _)) = behind {
        format!("*.{topic}.>")
    } else if let Some(start) = pattern.strip_suffix(".#") {
        format!("{start}.>")
    } else {
        pattern.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What NATS says of its wildcards: `*` is one word, `>` at the end one or more.
    fn matches(subject: &str, key: &str) -> bool {
        let (mut wanted, mut words) = (subject.split('.'), key.split('.'));
        loop {
            match (wanted.next(), words.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(wants), Some(word)) if wants == word => {}
                _ => return false,
            }
        }
    }

    #[test]
    fn subjects_are_as_many_as_patterns_and_match_what_they_match() {
        let plan = Plan::new(40, 5, 20);
        let subjects: Vec<String> = (0..40).map(|n| subject(&plan.pattern_of(n))).collect();
        assert_eq!(subjects.iter().collect::<BTreeSet<_>>().len(), 20);
        for topic in plan.topics() {
            let key = Plan::key(topic);
            for (subscriber, subject) in subjects.iter().enumerate() {
                let wants = plan.topic_of(subscriber) == topic;
                assert_eq!(matches(subject, &key), wants, "{subject} {key}");
            }
        }
        assert_eq!(subject("news.0.eur"), "news.0.eur");
    }

    #[test]
    fn a_publish_of_each_covering_topic_reaches_all_that_publishes_reach() {
        for (subscribers, nodes, wild) in [(5, 5, 1000), (5, 5, 2), (1000, 5, 50), (100, 3, 0), (7, 4, 9)] {
            let plan = Plan::new(subscribers, nodes, wild);
            let covering = covering(&plan, nodes);
            for node in 0..nodes {
                let reaches = |topic: &u32| plan.receivers_at(node, *topic) > 0;
                assert_eq!(
                    covering.iter().any(reaches),
                    plan.topics().iter().any(reaches),
                    "{plan:?}"
                );
            }
            assert!(covering.len() <= nodes);
        }
        assert_eq!(covering(&Plan::new(1000, 5, 50), 5), [0]);
    }

    #[test]
    fn the_last_one_of_the_process_that_wants_a_publish_is_told() {
        let part = Part {
            subscribers: 40,
            nodes: 5,
            patterns: 8,
            node: 2,
            publishers: 2,
        };
        let plan = Plan::new(part.subscribers, part.nodes, part.patterns);
        let counts = Counts::of(&plan, part);
        for (topic, number) in [(1, 1), (0, 2), (1, 3)] {
            let here = plan.receivers_at(part.node, topic);
            assert!(here > 1);
            for publisher in [0, 1] {
                let notice = Notice {
                    publisher,
                    topic,
                    number,
                };
                let told: Vec<bool> = (1..=here).map(|_| counts.delivered(notice)).collect();
                let expected: Vec<bool> = (1..=here).map(|n| n == here).collect();
                assert_eq!(told, expected);
            }
        }
    }
}
