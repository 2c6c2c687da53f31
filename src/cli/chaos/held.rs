//! Orders about one node: its clocks, its disk, its processor, the handlers that are attached at it, and messages of exchanges
//! that it owns.

use std::time::Duration;

use clap::Subcommand;
use squall_kernel::fault::{ClockFault, DiskFault, FaultKind, MessageFault, ProcessFault, Share, Wanted};
use squall_kernel::id::ExchangeName;
use squall_kernel::keys::KeyPattern;
use squall_kernel::time::Span;

use crate::cli::values;

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(super) enum HeldCommand {
    /// Let a node's clock run at another rate, or its calendar jump
    #[command(subcommand)]
    Clock(Clock),
    /// Let the disk under a node's registry be slow, be full, or lose what was not synced
    #[command(subcommand)]
    Disk(Disk),
    /// Let threads of a node spin
    Burn {
        /// Name of the node
        node: String,
        /// How many, at most 64
        #[arg(value_parser = clap::value_parser!(u8).range(1..=64))]
        threads: u8,
    },
    /// Do something to the handlers and workers of an exchange that are attached at a node
    #[command(subcommand)]
    Process(Process),
    /// Do something to messages of an exchange that a node owns, on their way to handlers and subscribers
    #[command(subcommand)]
    Message(Message),
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(super) enum Clock {
    /// The clock runs faster, or slower; it goes on from where it is when that ends
    Skew {
        /// Name of the node
        node: String,
        /// By so much, such as +5000ppm or -200ppm
        #[arg(value_name = "RATE", value_parser = values::rate, allow_hyphen_values = true)]
        rate: i32,
    },
    /// The calendar is ahead, or behind
    Step {
        /// Name of the node
        node: String,
        /// By so much, such as 2h or -90s
        #[arg(value_name = "DURATION", value_parser = values::jump, allow_hyphen_values = true)]
        by: i64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(super) enum Disk {
    /// Each sync takes longer
    Slow {
        /// Name of the node
        node: String,
        /// By so much
        #[arg(value_name = "DURATION", value_parser = values::some_time)]
        by: Duration,
    },
    /// There is no room: the node leaves in order as soon as it has to write
    Full {
        /// Name of the node
        node: String,
    },
    /// What is synced reaches the disk piece by piece: who kills the node in between leaves a half
    Torn {
        /// Name of the node
        node: String,
    },
    /// What is written stays in memory until it is synced: who kills the node loses the rest
    LostTail {
        /// Name of the node
        node: String,
    },
}

/// Which handlers.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(super) struct Of {
    /// Name of the node
    node: String,
    /// Exchange
    exchange: ExchangeName,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(super) enum Process {
    /// They end as if they had crashed, once
    Kill {
        #[command(flatten)]
        of: Of,
    },
    /// They take nothing from their mailboxes
    Suspend {
        #[command(flatten)]
        of: Of,
    },
    /// Each delivery takes longer
    Slow {
        #[command(flatten)]
        of: Of,
        /// By so much
        #[arg(value_name = "DURATION", value_parser = values::some_time)]
        by: Duration,
    },
    /// The next delivery to each panics, once
    Panic {
        #[command(flatten)]
        of: Of,
    },
    /// Their mailboxes count as full
    Fill {
        #[command(flatten)]
        of: Of,
    },
}

/// Which messages.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(super) struct Which {
    /// Name of the node that owns the exchange
    node: String,
    /// Exchange
    exchange: ExchangeName,
    /// How many of them, such as 10%
    #[arg(value_name = "SHARE", value_parser = values::share)]
    share: Share,
    /// Only those with a key of this pattern
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    key: Option<KeyPattern>,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(super) enum Message {
    /// They are lost
    Drop {
        #[command(flatten)]
        which: Which,
    },
    /// They go later; those behind them do not wait
    Delay {
        #[command(flatten)]
        which: Which,
        /// By so much
        #[arg(value_name = "DURATION", value_parser = values::some_time)]
        by: Duration,
    },
    /// They go twice
    Duplicate {
        #[command(flatten)]
        which: Which,
    },
}

impl HeldCommand {
    /// Which node holds the fault.
    pub(super) fn node(&self) -> &str {
        match self {
            Self::Clock(Clock::Skew { node, .. } | Clock::Step { node, .. })
            | Self::Disk(
                Disk::Slow { node, .. } | Disk::Full { node } | Disk::Torn { node } | Disk::LostTail { node },
            )
            | Self::Burn { node, .. } => node,
            Self::Process(process) => &process.of().node,
            Self::Message(message) => &message.which().node,
        }
    }

    /// What it does.
    pub(super) fn fault(&self) -> FaultKind {
        match self {
            Self::Clock(Clock::Skew { rate, .. }) => FaultKind::Clock(ClockFault::Skew { ppm: *rate }),
            Self::Clock(Clock::Step { by, .. }) => FaultKind::Clock(ClockFault::Step { ms: *by }),
            Self::Disk(disk) => FaultKind::Disk(disk.fault()),
            Self::Burn { threads, .. } => FaultKind::Burn { threads: *threads },
            Self::Process(process) => FaultKind::Process {
                exchange: process.of().exchange.clone(),
                what: process.fault(),
            },
            Self::Message(message) => FaultKind::Message {
                of: message.which().wanted(),
                what: message.fault(),
            },
        }
    }
}

impl Disk {
    fn fault(&self) -> DiskFault {
        match self {
            Self::Slow { by, .. } => DiskFault::Slow { by: span(*by) },
            Self::Full { .. } => DiskFault::Full,
            Self::Torn { .. } => DiskFault::Torn,
            Self::LostTail { .. } => DiskFault::LostTail,
        }
    }
}

impl Process {
    fn of(&self) -> &Of {
        let (Self::Kill { of }
        | Self::Suspend { of }
        | Self::Slow { of, .. }
        | Self::Panic { of }
        | Self::Fill { of }) = self;
        of
    }

    fn fault(&self) -> ProcessFault {
        match self {
            Self::Kill { .. } => ProcessFault::Kill,
            Self::Suspend { .. } => ProcessFault::Suspend,
            Self::Slow { by, .. } => ProcessFault::Slow { by: span(*by) },
            Self::Panic { .. } => ProcessFault::Panic,
            Self::Fill { .. } => ProcessFault::Fill,
        }
    }
}

impl Which {
    fn wanted(&self) -> Wanted {
        Wanted {
            exchange: self.exchange.clone(),
            key: self.key.clone(),
            share: self.share,
        }
    }
}

impl Message {
    fn which(&self) -> &Which {
        let (Self::Drop { which } | Self::Delay { which, .. } | Self::Duplicate { which }) = self;
        which
    }

    fn fault(&self) -> MessageFault {
        match self {
            Self::Drop { .. } => MessageFault::Drop,
            Self::Delay { by, .. } => MessageFault::Delay { by: span(*by) },
            Self::Duplicate { .. } => MessageFault::Duplicate,
        }
    }
}

fn pattern(text: &str) -> Result<KeyPattern, String> {
    KeyPattern::new(text).map_err(|error| error.to_string())
}

fn span(time: Duration) -> Span {
    Span(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        held: HeldCommand,
    }

    fn read(line: &str) -> (String, String) {
        let words = ["squall"].into_iter().chain(line.split(' '));
        let held = Line::try_parse_from(words).unwrap().held;
        (held.node().to_owned(), held.fault().to_string())
    }

    #[test]
    fn every_order_names_its_node_and_says_its_fault() {
        for (line, words) in [
            ("clock skew a +5000ppm", "clock +5000ppm"),
            ("clock skew a -0.5%", "clock -5000ppm"),
            ("clock step a -90s", "clock stepped by -90000ms"),
            ("disk slow a 50ms", "disk slow by 50ms"),
            ("disk lost-tail a", "disk lost-tail"),
            ("burn a 2", "burn 2 threads"),
            ("process suspend a orders", "handlers of orders suspended"),
            ("process slow a orders 5ms", "handlers of orders slow by 5ms"),
            (
                "message drop a news 10% --key weather.*",
                "message news weather.* 10% dropped",
            ),
            (
                "message delay a orders 100% 50ms",
                "message orders 100% delayed by 50ms",
            ),
        ] {
            assert_eq!(read(line), ("a".to_owned(), words.to_owned()), "{line}");
        }
    }
}
