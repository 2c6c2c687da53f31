//! `squall bench fanout`: its options, and how they are said.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use squall_chaos::bench::fanout::{self, FanoutOptions, PATTERNS_DEFAULT, PATTERNS_MAX, PUBLISHERS_MAX};

use super::{begin, finish, loads, rate, seconds, signals, tell};
use crate::cli::exit::{Exit, Quiet};

/// Most subscribers: what one exchange takes at one node, were all of them there.
const SUBSCRIBERS_MAX: u32 = 100_000;
/// Publishers when nothing is said.
const PUBLISHERS: [usize; 2] = [1, 8];

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct FanoutArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long each row is measured
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Subscribers in all
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(SUBSCRIBERS_MAX)))]
    subscribers: u32,
    /// Nodes over which they are spread, all in this process
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=32))]
    nodes: u16,
    /// Publishers at the same time; may be repeated [default: 1 and 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=PUBLISHERS_MAX as i64))]
    publishers: Vec<u16>,
    /// Instead: so many publishes a second whatever becomes of those before, each latency counted from when it was to be made; may be
    /// repeated
    #[arg(long = "rate", value_name = "N/s", value_parser = rate, conflicts_with = "publishers")]
    rates: Vec<u32>,
    /// Subscribe with patterns that have wildcards, and publish what some of them match
    #[arg(long)]
    wildcards: bool,
    /// So many different ones [default: 1000]
    #[arg(long, value_name = "N", requires = "wildcards")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=PATTERNS_MAX as i64))]
    patterns: Option<u32>,
}

impl FanoutArgs {
    fn options(&self) -> FanoutOptions {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        FanoutOptions {
            subscribers: count(self.subscribers),
            nodes: self.nodes.into(),
            patterns: if self.wildcards {
                self.patterns.map_or(PATTERNS_DEFAULT, count)
            } else {
                0
            },
            loads: loads(&self.publishers, &self.rates, &PUBLISHERS),
            measured: self.seconds,
            warm_up: self.seconds / 5,
        }
    }
}

pub(super) async fn run(args: FanoutArgs) -> Result<()> {
    begin(args.json, &fanout::heading())?;
    let mut told = Ok(());
    let options = args.options();
    let measured = tokio::select! {
        biased;
        () = signals::ended() => return Err(Quiet(Exit::Failed).into()),
        measured = fanout::run(&options, |row| tell(args.json, &row.line(), &mut told)) => measured?,
    };
    told?;
    finish(args.json, &serde_json::to_value(&measured)?, "")
}

#[cfg(test)]
mod tests {
    use squall_chaos::bench::Load;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: FanoutArgs,
    }

    fn options(line: &str) -> Option<FanoutOptions> {
        let words = std::iter::once("fanout").chain(line.split_whitespace());
        let line = <Line as clap::Parser>::try_parse_from(words).ok()?;
        Some(line.args.options())
    }

    #[test]
    fn wildcards_are_only_there_when_asked_for() {
        let usual = options("").unwrap();
        assert_eq!((usual.subscribers, usual.nodes, usual.patterns), (50_000, 5, 0));
        assert_eq!(usual.loads, [1, 8].map(Load::Closed));
        assert_eq!(options("--rate 50/s").unwrap().loads, [Load::Open(50)]);
        assert_eq!(options("--wildcards").unwrap().patterns, 1_000);
        let some = options("--wildcards --patterns 7 --publishers 2 --publishers 3 --nodes 2").unwrap();
        assert_eq!((some.patterns, some.nodes), (7, 2));
        assert_eq!(some.loads, [2, 3].map(Load::Closed));
        for wrong in [
            "--patterns 7",
            "--subscribers 0",
            "--subscribers 100001",
            "--nodes 0",
            "--publishers 65",
            "--publishers 1 --rate 1",
            "--seconds 0",
        ] {
            assert!(options(wrong).is_none(), "{wrong}");
        }
    }
}
