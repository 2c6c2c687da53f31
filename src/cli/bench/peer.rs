//! `squall bench peers`: what can be said, and the table. What does not live here: the measuring.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use squall_chaos::bench::fanout::{PATTERNS_DEFAULT, PATTERNS_MAX};
use squall_chaos::bench::peers::{self, Peer, PeersOptions};
use squall_chaos::bench::req_resp::IN_FLIGHT;

use super::{begin, finish, loads, program, rate, seconds, tell};
use crate::cli::exit::{Exit, Quiet};
use crate::cli::signals;

#[derive(Debug, Clone, PartialEq, Args)]
pub(super) struct PeersArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long each measurement takes
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// How often each is repeated; what is compared is measured in the same round
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Only these: erlang, one node; erlang_three, nodes apart; nats, one server; nats_three, a cluster; nats_five, fan-out over a
    /// cluster, and nats_wildcards, by patterns; rabbitmq, requests; rabbitmq_tasks, a queue; chain, bare TCP over three processes
    /// [default: all]
    #[arg(long, value_name = "PEER[,PEER…]", value_delimiter = ',', value_parser = peer())]
    peers: Vec<Peer>,
    /// Only so many requests or tasks in flight; may be repeated [default: 1, 10, 100 and 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4000))]
    in_flight: Vec<u16>,
    /// Instead: so many requests or tasks a second whatever becomes of those before, each latency counted from when it was to be sent;
    /// may be repeated. For nats, nats_three, rabbitmq and rabbitmq_tasks
    #[arg(long = "rate", value_name = "N/s", value_parser = rate, conflicts_with = "in_flight")]
    rates: Vec<u32>,
    /// Subscribers of the fan-out, over five nodes
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(5..=1_000_000))]
    subscribers: u32,
    /// Different patterns with wildcards of the subscribers, for nats_wildcards
    #[arg(long, value_name = "N", default_value_t = PATTERNS_DEFAULT as u32)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=PATTERNS_MAX as i64))]
    patterns: u32,
    /// Only so many publishers of the fan-out at the same time; may be repeated [default: 1 and 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    publishers: Vec<u16>,
}

impl PeersArgs {
    fn options(self, program: PathBuf) -> PeersOptions {
        let mut options = PeersOptions::new(program);
        options.measured = self.seconds;
        options.rounds = self.rounds.into();
        if !self.peers.is_empty() {
            options.peers = self.peers;
            options.peers.sort_unstable();
            options.peers.dedup();
        }
        options.loads = loads(&self.in_flight, &self.rates, &IN_FLIGHT);
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        (options.subscribers, options.patterns) = (count(self.subscribers), count(self.patterns));
        if !self.publishers.is_empty() {
            options.publishers = self.publishers.into_iter().map(usize::from).collect();
        }
        options
    }
}

pub(super) async fn run(args: PeersArgs) -> Result<()> {
    let json = args.json;
    let options = args.options(program()?);
    begin(json, &peers::heading())?;
    let mut told = Ok(());
    let measured = tokio::select! {
        biased;
        () = signals::ended() => return Err(Quiet(Exit::Failed).into()),
        measured = peers::run(&options, |step| tell(json, &step.line(), &mut told)) => measured?,
    };
    told?;
    finish(json, &serde_json::to_value(&measured)?, &measured.table())
}

fn peer() -> impl TypedValueParser<Value = Peer> {
    PossibleValuesParser::new(Peer::ALL.map(Peer::as_str)).map(|word| {
        let found = Peer::ALL.into_iter().find(|peer| peer.as_str() == word);
        found.expect("clap lets only these words through")
    })
}

#[cfg(test)]
mod tests {
    use squall_chaos::bench::Load;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: PeersArgs,
    }

    fn options(line: &str) -> Option<PeersOptions> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        let line = <Line as clap::Parser>::try_parse_from(words).ok()?;
        Some(line.args.options("squall".into()))
    }

    #[test]
    fn what_is_not_said_is_everything() {
        let all = options("").unwrap();
        assert_eq!(all.peers, Peer::ALL);
        assert_eq!((all.loads, all.rounds), (IN_FLIGHT.map(Load::Closed).to_vec(), 5));
        assert_eq!((all.subscribers, all.publishers), (50_000, vec![1, 8]));
        assert_eq!(all.patterns, PATTERNS_DEFAULT);
    }

    #[test]
    fn a_peer_named_twice_is_measured_once() {
        let some = options("--peers nats,erlang,nats --rounds 2 --seconds 0.5 --in-flight 7").unwrap();
        assert_eq!(some.peers, [Peer::Erlang, Peer::Nats]);
        assert_eq!((some.loads, some.rounds), (vec![Load::Closed(7)], 2));
        let open = options("--rate 1000/s --rate 50").unwrap().loads;
        assert_eq!(open, [Load::Open(1_000), Load::Open(50)]);
        assert_eq!(some.measured, Duration::from_millis(500));
        let few = options("--peers nats_five --subscribers 100 --publishers 2 --publishers 4").unwrap();
        assert_eq!((few.subscribers, few.publishers), (100, vec![2, 4]));
        assert_eq!(options("--patterns 12").unwrap().patterns, 12);
        for wrong in [
            "--peers kafka",
            "--peers",
            "--rounds 0",
            "--in-flight 0",
            "--in-flight 1 --rate 1",
            "--subscribers 4",
            "--patterns 0",
            "--publishers 65",
        ] {
            assert!(options(wrong).is_none(), "{wrong}");
        }
    }
}
