//! Orders about links: from one node to another, in that direction alone.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use squall_chaos::fault::amount::span;
use squall_kernel::fault::{Latency, LinkFault, Shape, Share};
use squall_kernel::time::Span;

use crate::cli::values;

/// From where to where.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct Ends {
    /// Name or role of the node that sends
    from: String,
    /// Name or role of the node that receives; `rest` for all others
    to: String,
    /// And the same the other way
    #[arg(long)]
    both: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ShapeArg {
    /// From less to more by the jitter, all as likely
    Uniform,
    /// A bell; the jitter is its standard deviation
    Normal,
    /// Never less, now and then much more; the jitter is the mean of what is added
    Exponential,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(super) enum LinkCommand {
    /// Delay everything from one node to another
    Delay {
        #[command(flatten)]
        ends: Ends,
        /// Delay
        #[arg(value_name = "DURATION", value_parser = values::some_time)]
        delay: Duration,
        /// How far delays are spread
        #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = values::duration)]
        jitter: Duration,
        /// How they are spread
        #[arg(long, value_enum, default_value = "uniform")]
        shape: ShapeArg,
    },
    /// Lose a share of what one node sends to another: it comes 200ms later or more, and what is behind it waits
    Loss {
        #[command(flatten)]
        ends: Ends,
        /// What is lost, such as 5%
        #[arg(value_name = "SHARE", value_parser = values::share)]
        share: Share,
    },
    /// Write a share of what one node sends to another twice; it is caught, and the link made anew
    Duplicate {
        #[command(flatten)]
        ends: Ends,
        /// What is doubled, such as 5%
        #[arg(value_name = "SHARE", value_parser = values::share)]
        share: Share,
    },
    /// Let a share of what one node sends to another be overtaken: what overtook it waits for it
    Reorder {
        #[command(flatten)]
        ends: Ends,
        /// What is overtaken, such as 5%
        #[arg(value_name = "SHARE", value_parser = values::share)]
        share: Share,
        /// How much later it comes
        #[arg(value_name = "DURATION", value_parser = values::some_time)]
        by: Duration,
    },
    /// Change a bit in a share of what one node sends to another; it is caught, and the link made anew
    Corrupt {
        #[command(flatten)]
        ends: Ends,
        /// What is changed, such as 1%
        #[arg(value_name = "SHARE", value_parser = values::share)]
        share: Share,
    },
    /// Let so many bytes a second through, on each connection
    Rate {
        #[command(flatten)]
        ends: Ends,
        /// Bytes a second, such as 64kB
        #[arg(value_name = "SIZE", value_parser = values::bytes)]
        bytes: u64,
    },
    /// Let nothing through from one node to another
    Cut {
        #[command(flatten)]
        ends: Ends,
    },
    /// Let nothing through for a while, then all at once, again and again
    Clog {
        #[command(flatten)]
        ends: Ends,
        /// Length of one stall
        #[arg(value_name = "DURATION", value_parser = values::some_time)]
        stall: Duration,
    },
    /// Break the connections from one node to another
    Reset {
        #[command(flatten)]
        ends: Ends,
        /// And again after each such time
        #[arg(long, value_name = "DURATION", value_parser = values::some_time)]
        every: Option<Duration>,
    },
    /// Write little at a time
    Slice {
        #[command(flatten)]
        ends: Ends,
        /// Bytes at a time, such as 7B
        #[arg(value_name = "SIZE", value_parser = values::bytes)]
        bytes: u64,
    },
    /// Break each connection when it has carried so much
    Limit {
        #[command(flatten)]
        ends: Ends,
        /// Such as 10kB
        #[arg(value_name = "SIZE", value_parser = values::bytes)]
        bytes: u64,
    },
    /// Keep connections open that have ended: the other node does not see their end before
    SlowClose {
        #[command(flatten)]
        ends: Ends,
        /// For so long
        #[arg(value_name = "DURATION", value_parser = values::some_time)]
        by: Duration,
    },
}

impl LinkCommand {
    /// The links that it is aimed at.
    pub(super) fn target(&self) -> String {
        let Ends { from, to, both } = self.ends();
        format!("{from} {} {to}", if *both { "<->" } else { "->" })
    }

    fn ends(&self) -> &Ends {
        let (Self::Delay { ends, .. }
        | Self::Loss { ends, .. }
        | Self::Duplicate { ends, .. }
        | Self::Reorder { ends, .. }
        | Self::Corrupt { ends, .. }
        | Self::Rate { ends, .. }
        | Self::Cut { ends }
        | Self::Clog { ends, .. }
        | Self::Reset { ends, .. }
        | Self::Slice { ends, .. }
        | Self::Limit { ends, .. }
        | Self::SlowClose { ends, .. }) = self;
        ends
    }

    /// What it does.
    pub(super) fn fault(&self) -> LinkFault {
        match self {
            Self::Delay {
                delay, jitter, shape, ..
            } => LinkFault::Delay(Latency {
                time: span(*delay),
                jitter: span(*jitter),
                shape: match shape {
                    ShapeArg::Uniform => Shape::Uniform,
                    ShapeArg::Normal => Shape::Normal,
                    ShapeArg::Exponential => Shape::Exponential,
                },
            }),
            Self::Loss { share, .. } => LinkFault::Loss(*share),
            Self::Duplicate { share, .. } => LinkFault::Duplicate(*share),
            Self::Reorder { share, by, .. } => LinkFault::Reorder {
                share: *share,
                by: span(*by),
            },
            Self::Corrupt { share, .. } => LinkFault::Corrupt(*share),
            Self::Rate { bytes, .. } => LinkFault::Rate(*bytes),
            Self::Cut { .. } => LinkFault::Cut,
            Self::Clog { stall, .. } => LinkFault::Clog(span(*stall)),
            Self::Reset { every, .. } => LinkFault::Reset(every.map_or(Span::ZERO, span)),
            // What is too much for a slice is refused by the node, in words.
            Self::Slice { bytes, .. } => LinkFault::Slice(u32::try_from(*bytes).unwrap_or(u32::MAX)),
            Self::Limit { bytes, .. } => LinkFault::Limit(*bytes),
            Self::SlowClose { by, .. } => LinkFault::SlowClose(span(*by)),
        }
    }
}
