//! What `squall exchange show` tells of an exchange's settings: times, ids, terms of tasks. Those that were left out are told
//! with their defaults where they hold, and not at all where they do nothing.
//!
//! What does not live here: mailboxes and neighbours, which are told with what they did (`table`).

use std::time::Duration;

use squall_kernel::registry::Pattern;
use squall_kernel::time::Span;
use squall_node::limits::{TASK_ATTEMPTS_DEFAULT, TASK_LEASE_DEFAULT, TASK_UNIQUE_FOR_DEFAULT};
use squall_proto::v1::{ExchangeInfo, ExchangeSettings};

use super::super::values::for_terminal;

pub(super) fn rows(e: &ExchangeInfo, settings: &ExchangeSettings) -> Vec<[String; 2]> {
    let pattern = Pattern::parse(&e.pattern);
    let mut rows = Vec::new();
    let mut row = |name: &str, text: String| rows.push([name.to_owned(), text]);
    if pattern != Some(Pattern::RequestResponse) || settings.ttl_ms > 0 {
        row("ttl", time(settings.ttl_ms).unwrap_or_else(|| "for ever".into()));
    }
    let tasks = pattern == Some(Pattern::Task);
    if pattern != Some(Pattern::RequestResponse) || settings.dedup_ms > 0 {
        let remembered = time(settings.dedup_ms);
        let default = || {
            if tasks {
                by_default(TASK_UNIQUE_FOR_DEFAULT)
            } else {
                "ids are not remembered".into()
            }
        };
        row("dedup", remembered.unwrap_or_else(default));
    }
    if tasks {
        let lease = time(settings.lease_ms);
        row("lease", lease.unwrap_or_else(|| by_default(TASK_LEASE_DEFAULT)));
        row(
            "attempts",
            match settings.attempts {
                0 => format!("{TASK_ATTEMPTS_DEFAULT} (the default)"),
                n => n.to_string(),
            },
        );
        let ordered = if settings.ordered {
            "one task of a key at a time"
        } else {
            "no"
        };
        row("ordered", ordered.into());
        let dead = match settings.dead_letter.as_str() {
            "" => "kept here alone".to_owned(),
            name => format!("to {}, and kept here", for_terminal(name)),
        };
        row("dead letters", dead);
    }
    rows
}

/// None where nothing was said.
fn time(ms: u64) -> Option<String> {
    (ms > 0).then(|| format!("{:?}", Duration::from_millis(ms)))
}

fn by_default(span: Span) -> String {
    format!("{:?} (the default)", Duration::from_millis(span.as_ms()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pattern: Pattern, settings: &ExchangeSettings) -> Vec<String> {
        let e = ExchangeInfo {
            pattern: pattern.as_str().into(),
            ..ExchangeInfo::default()
        };
        let rows = rows(&e, settings);
        rows.iter()
            .map(|[name, text]| format!("{name}: {text}"))
            .collect()
    }

    #[test]
    fn every_setting_that_does_something_is_told() {
        let nothing = ExchangeSettings::default();
        assert!(told(Pattern::RequestResponse, &nothing).is_empty());
        let publishes = ["ttl: for ever", "dedup: ids are not remembered"];
        assert_eq!(told(Pattern::PublishSubscribe, &nothing), publishes);
        let tasks = [
            "ttl: for ever",
            "dedup: 300s (the default)",
            "lease: 30s (the default)",
            "attempts: 5 (the default)",
            "ordered: no",
            "dead letters: kept here alone",
        ];
        assert_eq!(told(Pattern::Task, &nothing), tasks);
        let all = ExchangeSettings {
            ttl_ms: 90_000,
            dedup_ms: 500,
            lease_ms: 1500,
            attempts: 3,
            ordered: true,
            dead_letter: "complaints".into(),
            ..ExchangeSettings::default()
        };
        let tasks = [
            "ttl: 90s",
            "dedup: 500ms",
            "lease: 1.5s",
            "attempts: 3",
            "ordered: one task of a key at a time",
            "dead letters: to complaints, and kept here",
        ];
        assert_eq!(told(Pattern::Task, &all), tasks);
    }
}
