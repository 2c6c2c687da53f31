//! When handlers of `squall reply` go on, and when they leave: the supervision of the client library at the command line.
//!
//! What does not live here: what a crash is (`program`), and restarting (the client library).

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, value_parser};
use squall_client::{Restart, Supervision};
use squall_kernel::limits::RESTARTS_MAX;
use squall_kernel::time::Span;

use crate::cli::values;

/// A handler's supervision.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct RestartArgs {
    /// When a handler goes on: permanent, always; transient, after a crash, and it leaves when it is done (--times);
    /// temporary, after neither. It crashes when a signal ends its program: the request ends as failed, for what the
    /// program had done by then is done. When all handlers have left, so does squall
    #[arg(long, value_name = "POLICY", default_value = "permanent", value_parser = policy())]
    restart: Restart,
    /// How often at most within --restarts-within; once more, and the handler leaves for good
    #[arg(
        long,
        value_name = "N",
        default_value_t = Supervision::default().restarts,
        value_parser = value_parser!(u32).range(0..=i64::from(RESTARTS_MAX))
    )]
    restarts: u32,
    /// See --restarts
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = values::some_time)]
    restarts_within: Duration,
    /// Requests after which a handler is done
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    times: Option<u64>,
}

impl RestartArgs {
    pub(super) fn supervision(&self) -> Supervision {
        let within = u64::try_from(self.restarts_within.as_micros()).unwrap_or(u64::MAX);
        Supervision {
            restart: self.restart,
            restarts: self.restarts,
            within: Span(within),
        }
    }

    /// Counts a handler's requests.
    pub(super) fn turns(&self) -> Turns {
        Turns {
            most: self.times,
            taken: 0,
        }
    }
}

/// Requests of a handler since it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turns {
    most: Option<u64>,
    taken: u64,
}

impl Turns {
    pub(super) fn take(&mut self) {
        self.taken += 1;
    }

    pub(super) fn are_done(&self) -> bool {
        self.most.is_some_and(|most| self.taken >= most)
    }

    pub(super) fn begin_anew(&mut self) {
        self.taken = 0;
    }
}

fn policy() -> impl TypedValueParser<Value = Restart> {
    PossibleValuesParser::new(["permanent", "transient", "temporary"]).map(|word| match word.as_str() {
        "transient" => Restart::Transient,
        "temporary" => Restart::Temporary,
        _ => Restart::Permanent,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Reply {
        #[command(flatten)]
        restart: RestartArgs,
    }

    fn parsed(text: &str) -> RestartArgs {
        let words = std::iter::once("reply").chain(text.split_whitespace());
        Reply::try_parse_from(words).unwrap().restart
    }

    #[test]
    fn without_a_word_it_is_the_librarys_supervision() {
        assert_eq!(parsed("").supervision(), Supervision::default());
        let told = parsed("--restart temporary --restarts 3 --restarts-within 2s").supervision();
        assert_eq!(
            told,
            Supervision {
                restart: Restart::Temporary,
                restarts: 3,
                within: Span::from_ms(2_000),
            }
        );
    }

    #[test]
    fn a_handler_is_done_after_its_times_and_begins_anew() {
        let mut turns = parsed("--times 2").turns();
        turns.take();
        assert!(!turns.are_done());
        turns.take();
        assert!(turns.are_done());
        turns.begin_anew();
        assert!(!turns.are_done());
        let mut ever = parsed("").turns();
        ever.take();
        assert!(!ever.are_done());
    }
}
