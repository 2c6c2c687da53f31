//! What `squall exchange declare` says of an exchange with tasks.

use std::time::Duration;

use clap::Args;
use squall_kernel::id::ExchangeName;
use squall_kernel::registry::Settings;
use squall_kernel::time::Span;

use crate::cli::values;

/// Settings of an exchange with tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
#[command(next_help_heading = "With --pattern task")]
pub(super) struct TaskSettings {
    /// How long a worker may keep a task without a word [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = values::some_time)]
    lease: Option<Duration>,
    /// How often a task is tried at most, unless it says so itself [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempts: Option<u32>,
    /// Tasks of one key are carried out one after the other, in the order in which they were submitted
    #[arg(long)]
    ordered: bool,
    /// Exchange that gets the tasks that are given up; its own dead letters are kept either way
    #[arg(long, value_name = "NAME")]
    dead_letter: Option<ExchangeName>,
    /// Exchange whose leader chooses the worker of each task: an exchange with the strategy `consensus`
    #[arg(long, value_name = "NAME")]
    scheduler: Option<ExchangeName>,
}

impl TaskSettings {
    /// Writes them into the settings.
    pub(super) fn fill(&self, settings: &mut Settings) {
        let span = |time: Duration| Span(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        settings.lease = self.lease.map(span);
        settings.attempts = self.attempts;
        settings.ordered = self.ordered;
        settings.dead_letter = self.dead_letter.clone();
        settings.scheduler = self.scheduler.clone();
    }
}
