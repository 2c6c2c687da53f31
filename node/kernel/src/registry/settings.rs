//! What a declaration fixes beside pattern and strategy: bounds, times and neighbours of an exchange.
//!
//! What does not live here: what each of them does (`order`, `dedup`, `tasks`, the shell).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Pattern, Refused};
use crate::id::ExchangeName;
use crate::limits;
use crate::order::WhenFull;
use crate::tasks::Bound;
use crate::time::Span;

/// Settings of an exchange, fixed by its declaration. Each has a default that means "as if nothing was said".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Messages that wait for one handler or subscriber at most, and open tasks of a queue; none for the default.
    pub mailbox: Option<u32>,
    /// What a full mailbox or queue does with one more.
    pub when_full: WhenFull,
    /// How long a publish is good for when it does not say, and the deadline of a task that names none; none for ever.
    pub ttl: Option<Span>,
    /// For how long a publisher's or submitter's own message id is remembered, so that a second message with it is taken
    /// for the first; none for not at all with publishes, for the shell's default (300 s) with tasks.
    pub dedup: Option<Span>,
    /// How long a worker may keep a task without a word; none for the default.
    pub lease: Option<Span>,
    /// How often a task is tried at most; none for the default.
    pub attempts: Option<u32>,
    /// At most one task of each key is in hand at a time.
    pub ordered: bool,
    /// Where tasks go that are given up; they are kept as dead letters either way.
    pub dead_letter: Option<ExchangeName>,
    /// Exchanges whose handlers see a request before this one does, in order (A30).
    pub middleware: Vec<ExchangeName>,
    /// Exchange whose leader decides who may subscribe (A5).
    pub controller: Option<ExchangeName>,
    /// Exchange whose leader chooses the worker of each task (A4).
    pub scheduler: Option<ExchangeName>,
}

impl Settings {
    /// Checks the settings against each other and the pattern.
    pub(super) fn check(&self, own: &ExchangeName, pattern: Pattern) -> Result<(), Refused> {
        let wrong = |why: &str| Err(Refused::Settings(why.to_string()));
        if self.mailbox == Some(0) {
            return wrong("a mailbox of no messages takes none; leave it out for the default");
        }
        if self.attempts == Some(0) {
            return wrong("a task of no attempts is never tried; leave it out for the default");
        }
        if self.middleware.len() > limits::MIDDLEWARE_MAX {
            return wrong("there are too many exchanges in front of it; 8 at most");
        }
        let mut neighbours = self
            .middleware
            .iter()
            .chain(&self.controller)
            .chain(&self.scheduler)
            .chain(&self.dead_letter);
        if neighbours.any(|name| name == own) {
            return wrong(
                "an exchange cannot be its own middleware, controller, scheduler or dead letter exchange",
            );
        }
        let tasks = self.lease.is_some()
            || self.attempts.is_some()
            || self.ordered
            || self.dead_letter.is_some()
            || self.scheduler.is_some();
        if tasks && pattern != Pattern::Task {
            return wrong("lease, attempts, ordered, dead letter and scheduler are for tasks only");
        }
        match pattern {
            Pattern::RequestResponse if self.ttl.is_some() || self.dedup.is_some() => {
                return wrong(
                    "ttl and dedup are for publishes and tasks: a request has its requester's timeout",
                );
            }
            Pattern::Task if self.mailbox.is_some_and(|n| n as usize > limits::TASKS_MAX) => {
                return wrong("a queue holds 100000 open tasks at most: leave mailbox out, or say less");
            }
            _ => {}
        }
        if self.controller.is_some() && pattern != Pattern::PublishSubscribe {
            return wrong("a controller is for publish-subscribe only");
        }
        if !self.middleware.is_empty() && pattern != Pattern::RequestResponse {
            return wrong("middleware is for request-response only");
        }
        Ok(())
    }

    /// How many tasks may be open where the exchange has tasks, and what becomes of one more.
    #[must_use]
    pub fn bound(&self) -> Bound {
        let most = self.mailbox.map_or(limits::TASKS_MAX, |n| n as usize);
        Bound {
            tasks: most.min(limits::TASKS_MAX),
            when_full: self.when_full,
        }
    }

    /// What differs between these, which an exchange has, and those that are wanted: which of them, what each is, and what
    /// it was to be. In the words of whoever declares it, such as `ttl`, `3s`, `5s`.
    pub(super) fn differences(&self, wanted: &Self) -> (String, String, String) {
        let pairs = self.told().into_iter().zip(wanted.told());
        let differing: Vec<_> = pairs.filter(|((_, is), (_, wanted))| is != wanted).collect();
        if let [((name, is), (_, wanted))] = differing.as_slice() {
            return ((*name).to_string(), is.clone(), wanted.clone());
        }
        let list = |all: Vec<String>| all.join(", ");
        let is = differing.iter().map(|((name, is), _)| format!("{name} {is}"));
        let wanted = differing
            .iter()
            .map(|(_, (name, wanted))| format!("{name} {wanted}"));
        ("settings".into(), list(is.collect()), list(wanted.collect()))
    }

    /// Every setting by the name of its option, with its value; what was left out differs from any value.
    fn told(&self) -> [(&'static str, String); 11] {
        let span = |time: Option<Span>| time.map_or_else(unset, in_units);
        let number = |n: Option<u32>| n.map_or_else(unset, |n| n.to_string());
        let exchange = |name: &Option<ExchangeName>| name.as_ref().map_or_else(unset, ToString::to_string);
        let middleware: Vec<&str> = self.middleware.iter().map(ExchangeName::as_str).collect();
        [
            ("mailbox", number(self.mailbox)),
            ("when-full", self.when_full.as_str().into()),
            ("ttl", span(self.ttl)),
            ("dedup", span(self.dedup)),
            ("lease", span(self.lease)),
            ("attempts", number(self.attempts)),
            ("ordered", if self.ordered { "yes" } else { "no" }.into()),
            ("dead-letter", exchange(&self.dead_letter)),
            (
                "middleware",
                if middleware.is_empty() {
                    unset()
                } else {
                    middleware.join(",")
                },
            ),
            ("controller", exchange(&self.controller)),
            ("scheduler", exchange(&self.scheduler)),
        ]
    }
}

fn unset() -> String {
    "left out".into()
}

/// A time as it is written at the command line: in the largest unit of which it is a whole number.
fn in_units(time: Span) -> String {
    let units = [
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1000),
    ];
    let whole = units
        .into_iter()
        .find(|(_, length)| time.0 > 0 && time.0.is_multiple_of(*length));
    match whole {
        Some((unit, length)) => format!("{}{unit}", time.0 / length),
        None => format!("{}us", time.0),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn what_has_no_effect_under_a_pattern_is_refused() {
        let time = Some(Span::from_ms(5000));
        let ttl = Settings {
            ttl: time,
            ..Settings::default()
        };
        let dedup = Settings {
            dedup: time,
            ..Settings::default()
        };
        let mailbox = Settings {
            mailbox: Some(5),
            ..Settings::default()
        };
        let block = Settings {
            when_full: WhenFull::Block,
            ..Settings::default()
        };
        let crowd = Settings {
            mailbox: Some(100_001),
            ..Settings::default()
        };
        let own = ExchangeName::new("x").expect("a good name");
        let takes =
            |pattern| [&ttl, &dedup, &mailbox, &block, &crowd].map(|s| s.check(&own, pattern).is_ok());
        assert_eq!(takes(Pattern::RequestResponse), [false, false, true, true, true]);
        assert_eq!(takes(Pattern::PublishSubscribe), [true; 5]);
        assert_eq!(takes(Pattern::InvertedPublishSubscribe), [true; 5]);
        assert_eq!(takes(Pattern::Task), [true, true, true, true, false]);
    }

    #[test]
    fn only_what_differs_is_told_and_in_the_words_of_the_command_line() {
        let ttl = |ms| Settings {
            ttl: Some(Span::from_ms(ms)),
            mailbox: Some(7),
            ..Settings::default()
        };
        let told = |(what, is, wanted): (String, String, String)| format!("{what} '{is}', not '{wanted}'");
        assert_eq!(told(ttl(3000).differences(&ttl(5000))), "ttl '3s', not '5s'");
        let name = |text| ExchangeName::new(text).expect("a good name");
        let other = Settings {
            ttl: None,
            lease: Some(Span(90_000_500)),
            when_full: WhenFull::DropOldest,
            middleware: vec![name("log"), name("auth")],
            ordered: true,
            ..ttl(1)
        };
        assert_eq!(
            told(ttl(120_000).differences(&other)),
            "settings 'when-full reject, ttl 2m, lease left out, ordered no, middleware left out', \
             not 'when-full drop-oldest, ttl left out, lease 90000500us, ordered yes, middleware log,auth'"
        );
    }
}
