//! `squall bench memory`: its options, how they are said, and the clients that it starts.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use squall_chaos::bench::memory::{self, Kind, MemoryOptions, clients};
use squall_client::ConnectOptions;

use super::{begin, finish, program, signals, tell};
use crate::cli::connect::ConnectArgs;
use crate::cli::exit::{Exit, Quiet};

/// Most sessions: a node has fewer than 1024 connections.
const SESSIONS_MAX: i64 = 1_000;
/// How long a client may take to its session while a thousand others want one.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct MemoryArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Only these [default: all]
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind())]
    kinds: Vec<Kind>,
    /// Subscribers, and handlers
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Exchanges
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=50_000))]
    exchanges: u32,
    /// Sessions
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=SESSIONS_MAX))]
    sessions: u32,
}

/// Connects clients that do nothing; started by the benchmark.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct BenchClientsArgs {
    /// How many
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=SESSIONS_MAX))]
    count: u32,
}

pub(super) async fn run(args: MemoryArgs) -> Result<()> {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let options = MemoryOptions {
        program: program()?,
        kinds: match args.kinds.as_slice() {
            [] => Kind::ALL.to_vec(),
            given => given.to_vec(),
        },
        count: count(args.count),
        exchanges: count(args.exchanges),
        sessions: count(args.sessions),
    };
    begin(args.json, &memory::heading())?;
    let mut told = Ok(());
    let measured = tokio::select! {
        biased;
        () = signals::ended() => return Err(Quiet(Exit::Failed).into()),
        measured = memory::run(&options, |row| tell(args.json, &row.line(), &mut told)) => measured?,
    };
    told?;
    finish(args.json, &serde_json::to_value(&measured)?, "")
}

/// What the benchmark starts beside itself.
pub(crate) async fn clients(args: BenchClientsArgs, connect: ConnectArgs) -> Result<()> {
    let options = ConnectOptions {
        cookie: connect.cookie()?,
        name: "idle".into(),
        connect_within: CONNECT_WITHIN,
        ..ConnectOptions::new(connect.addrs()?)
    };
    let count = usize::try_from(args.count).unwrap_or(usize::MAX);
    Ok(clients::run(options, count).await?)
}

fn kind() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)).map(|word| {
        let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
        found.expect("clap lets only these words through")
    })
}
