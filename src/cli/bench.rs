//! `squall bench`: measures this program on this machine and prints a table or JSON. What does not live here: what measurements start
//! beside themselves (`host`).

use std::io::{self, Write as _, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::Value;
use squall_chaos::bench::failover::{self, Class, FailoverOptions, Programme};
use squall_chaos::bench::observe::{self, ObserveOptions, Part};
use squall_chaos::bench::req_resp::{self, ReqRespOptions, Where};
use squall_chaos::bench::screen::{self, ScreenOptions};
use squall_chaos::bench::tracing::{self, TracingOptions};
use squall_chaos::bench::{BenchError, Load, Machine};
use squall_kernel::profile::Profile;

use super::exit::{Exit, Quiet};
use super::{signals, up, values};

mod host;
mod peer;

use host::TracesArgs;
pub(crate) use host::{BenchNodeArgs, BenchRoleArgs, node, role};
use peer::PeersArgs;

mod fanout;
mod growth;
mod memory;
mod tasks;

pub(crate) use memory::{BenchClientsArgs, clients};

/// Longest measurement of one row, in seconds: a slip of the keyboard should not take a day.
const SECONDS_MAX: f64 = 600.0;
/// Highest rate of an open loop: more than one thread can send.
const RATE_MAX: u32 = 1_000_000;

/// Measures this program on this machine.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, PartialEq, Subcommand)]
enum What {
    /// Requests a second, and how long they take: in one node, over three nodes, from clients, and through gRPC sessions
    ReqResp(ReqRespArgs),
    /// Requests, publishes and tasks beside other programs, in turn: Erlang, NATS, RabbitMQ, and a bare chain of TCP connections
    Peers(PeersArgs),
    /// Requests a second without traces, with some, with all, and with a collector that is gone or silent, in turn
    Tracing(TracingArgs),
    /// How long an exchange does not answer when something happens to its owner or to the meta leader
    Failover(FailoverArgs),
    /// Deliveries a second to very many subscribers, and frames between nodes for each publish
    Fanout(fanout::FanoutArgs),
    /// Tasks submitted, carried out and settled a second, at one node and with a backup
    Tasks(tasks::TasksArgs),
    /// How the cost of a request grows with nodes, exchanges, processes, payload and handlers, and that of making exchanges and handlers
    Growth(growth::GrowthArgs),
    /// Memory of idle subscribers, handlers, sessions and exchanges
    Memory(memory::MemoryArgs),
    /// What a frame of the observer costs
    Screen(ScreenArgs),
    /// The budgets of the observer: frames, memory, the stream, how soon what happens is on the screen
    Observe(ObserveArgs),
}

#[derive(Debug, Clone, PartialEq, Args)]
struct ReqRespArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long each row is measured
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Only this arrangement; may be repeated
    #[arg(long = "where", value_name = "WHERE", value_parser = place())]
    places: Vec<Where>,
    /// Only so many requests in flight; may be repeated [default: 1, 10, 100 and 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4000))]
    in_flight: Vec<u16>,
    /// Instead: so many a second whatever becomes of those before, each latency counted from when it was to be sent; may be repeated
    #[arg(long = "rate", value_name = "N/s", value_parser = rate, conflicts_with = "in_flight")]
    rates: Vec<u32>,
    /// Measure each row three times without an observer, with one of all views, and with one that has the exchange's details open, in turn
    #[arg(long)]
    watched: bool,
    #[command(flatten)]
    traces: TracesArgs,
}

impl BenchArgs {
    /// A node in this process sends traces.
    pub(crate) fn sends_traces(&self) -> bool {
        matches!(&self.what, What::ReqResp(args) if args.traces.otlp.is_some())
    }
}

#[derive(Debug, Clone, PartialEq, Args)]
struct TracingArgs {
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
    /// Only this arrangement; may be repeated [default: local and three_nodes]
    #[arg(long = "where", value_name = "WHERE", value_parser = place())]
    places: Vec<Where>,
    /// Requests in flight; may be repeated [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4000))]
    in_flight: Vec<u16>,
    /// Instead: so many a second whatever becomes of those before, each latency counted from when it was to be sent; may be repeated
    #[arg(long = "rate", value_name = "N/s", value_parser = rate, conflicts_with = "in_flight")]
    rates: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct FailoverArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Only these classes: G0 owner asked to end, G1 owner killed, G1m owner and meta leader killed, G1o meta leader
    /// killed or paused, G2 owner paused, G3 owner cut off, G4 owner slow, G4l owner's links lose 5% for a minute, G5 founding
    /// and restart [default: all but G4l]
    #[arg(long, value_name = "CLASS[,CLASS…]", value_delimiter = ',', value_parser = class())]
    classes: Vec<Class>,
    /// Trials of each class
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    trials: u32,
    /// Instead: kill so many owners in all, G1 and G1m in turn
    #[arg(long, value_name = "N", conflicts_with_all = ["classes", "trials"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    kills: Option<u32>,
    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 500)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Keep 64 requests under way on another exchange beside
    #[arg(long)]
    loaded: bool,
    /// Nodes do not take the seen end of a process for a proof of its death, as on systems apart
    #[arg(long)]
    no_proof_of_death: bool,
    /// Nodes keep journals, and the invariants are checked over them at the end
    #[arg(long)]
    check: bool,
    /// Times of the cluster
    #[arg(long, default_value = "lan", value_parser = values::profile())]
    profile: Profile,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct ScreenArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Processes of the made-up cluster
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(3..=700_000))]
    processes: u32,
    /// Columns and rows
    #[arg(long, value_name = "COLSxROWS", default_value = "200x60", value_parser = values::size)]
    size: (u16, u16),
    /// Frames for each view
    #[arg(long, value_name = "N", default_value_t = screen::FRAMES)]
    #[arg(value_parser = clap::value_parser!(u32).range(i64::from(screen::FRAMES)..=1_000_000))]
    frames: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct ObserveArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Only these parts: ring, frames, attach, stream, cost, changes, keys
    #[arg(long, value_name = "PART[,PART…]", value_delimiter = ',', value_parser = part())]
    parts: Vec<Part>,
    /// Owners killed, and twenty keys pressed for each of them
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000))]
    trials: u32,
}

pub(crate) async fn run(args: BenchArgs) -> Result<()> {
    match args.what {
        What::ReqResp(args) => req_resp(args).await,
        What::Peers(args) => peer::run(args).await,
        What::Tracing(args) => tracing(args).await,
        What::Failover(args) => failover(args).await,
        What::Fanout(args) => fanout::run(args).await,
        What::Tasks(args) => tasks::run(args).await,
        What::Growth(args) => growth::run(args).await,
        What::Memory(args) => memory::run(args).await,
        What::Screen(args) => screen(args).await,
        What::Observe(args) => observe(args).await,
    }
}

async fn req_resp(args: ReqRespArgs) -> Result<()> {
    let json = args.json;
    let options = args.options(program()?)?;
    begin(json, &req_resp::heading())?;
    let mut told = Ok(());
    let measured = tokio::select! {
        biased;
        () = signals::ended() => return Err(Quiet(Exit::Failed).into()),
        measured = req_resp::run(&options, |row| tell(json, &row.line(), &mut told)) => measured?,
    };
    told?;
    finish(json, &serde_json::to_value(&measured)?, "")
}

impl ReqRespArgs {
    fn options(self, program: PathBuf) -> Result<ReqRespOptions> {
        let mut options = ReqRespOptions::new(program, self.seconds);
        options.traces = self.traces.traces()?;
        options.watched = self.watched;
        if !self.places.is_empty() {
            options.places = self.places;
        }
        options.loads = loads(&self.in_flight, &self.rates, &req_resp::IN_FLIGHT);
        Ok(options)
    }
}

async fn tracing(args: TracingArgs) -> Result<()> {
    let options = TracingOptions {
        program: program()?,
        places: match args.places {
            given if given.is_empty() => vec![Where::Local, Where::ThreeNodes],
            given => given,
        },
        loads: loads(&args.in_flight, &args.rates, &[100]),
        measured: args.seconds,
        rounds: args.rounds.into(),
    };
    begin(args.json, &tracing::heading())?;
    let mut told = Ok(());
    let measured = tokio::select! {
        biased;
        () = signals::ended() => return Err(Quiet(Exit::Failed).into()),
        measured = tracing::run(&options, |step| tell(args.json, &step.line(), &mut told)) => measured?,
    };
    told?;
    finish(args.json, &serde_json::to_value(&measured)?, &measured.table())
}

async fn failover(args: FailoverArgs) -> Result<()> {
    let options = args.options(program()?);
    let loaded = if args.loaded { ", loaded" } else { "" };
    begin(
        args.json,
        &format!(
            "{} requests/s, profile {}{loaded}",
            args.rate,
            args.profile.as_str()
        ),
    )?;
    let mut told = Ok(());
    let measured = failover::run(&options, signals::ended(), |trial| {
        tell(args.json, &trial.line(), &mut told);
    });
    let measured = measured.await.map_err(explained)?.ok_or(Quiet(Exit::Failed))?;
    told?;
    finish(args.json, &serde_json::to_value(&measured)?, &measured.table())?;
    if measured.broken() {
        return Err(Quiet(Exit::Failed).into());
    }
    Ok(())
}

impl FailoverArgs {
    fn options(&self, program: PathBuf) -> FailoverOptions {
        let classes = if self.classes.is_empty() {
            Class::quick()
        } else {
            self.classes.clone()
        };
        let each = self.trials;
        FailoverOptions {
            programme: self
                .kills
                .map_or(Programme::Trials { classes, each }, Programme::Kills),
            rate: self.rate,
            loaded: self.loaded,
            proof_of_death: !self.no_proof_of_death,
            check: self.check,
            ..FailoverOptions::new(program, self.profile)
        }
    }
}

async fn screen(args: ScreenArgs) -> Result<()> {
    let options = ScreenOptions {
        processes: usize::try_from(args.processes).unwrap_or(usize::MAX),
        size: args.size,
        frames: args.frames,
        pace: screen::PACE,
    };
    begin(args.json, &screen::heading())?;
    let json = args.json;
    let work = tokio::task::spawn_blocking(move || {
        let mut told = Ok(());
        let measured = screen::run(&options, |row| tell(json, &row.line(), &mut told));
        (measured, told)
    });
    let (measured, told) = tokio::select! {
        biased;
        () = signals::ended() => return Err(Quiet(Exit::Failed).into()),
        done = work => done.context("the frames could not be drawn")?,
    };
    told?;
    finish(args.json, &serde_json::to_value(measured?)?, "")
}

async fn observe(args: ObserveArgs) -> Result<()> {
    let mut options = ObserveOptions::new(program()?);
    if !args.parts.is_empty() {
        options.parts = args.parts;
    }
    options.trials = args.trials;
    begin(args.json, &observe::heading())?;
    let mut told = Ok(());
    let measured = tokio::select! {
        biased;
        () = signals::ended() => return Err(Quiet(Exit::Failed).into()),
        measured = observe::run(&options, |figure| tell(args.json, &figure.line(), &mut told)) => {
            measured.map_err(explained)?
        }
    };
    told?;
    finish(args.json, &serde_json::to_value(&measured)?, "")
}

fn program() -> Result<PathBuf> {
    std::env::current_exe().context("this program cannot be found")
}

fn explained(error: BenchError) -> anyhow::Error {
    match error {
        BenchError::Start(error) => up::explained(&error),
        other => other.into(),
    }
}

/// The lines before the table; JSON is one object, printed at the end.
fn begin(json: bool, heading: &str) -> io::Result<()> {
    if json {
        return Ok(());
    }
    writeln!(stdout(), "{}\n{heading}", Machine::here().line())
}

fn tell(json: bool, line: &str, told: &mut io::Result<()>) {
    if !json && told.is_ok() {
        *told = writeln!(stdout(), "{line}");
    }
}

fn finish(json: bool, value: &Value, table: &str) -> Result<()> {
    let text = if json {
        format!("{value:#}\n")
    } else {
        table.to_owned()
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a number of seconds above 0 and up to {SECONDS_MAX}");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if seconds > 0.0 && seconds <= SECONDS_MAX {
        Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
    } else {
        Err(wrong())
    }
}

/// Requests a second, with or without the unit.
fn rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse();
    let known = number.ok().filter(|rate| (1..=RATE_MAX).contains(rate));
    known.ok_or_else(|| format!("'{text}' is not a rate: write 1/s to {RATE_MAX}/s"))
}

/// The loads that were said, or else so many in flight.
fn loads(in_flight: &[u16], rates: &[u32], usual: &[usize]) -> Vec<Load> {
    let closed = in_flight.iter().map(|n| Load::Closed(usize::from(*n)));
    let said: Vec<Load> = closed.chain(rates.iter().copied().map(Load::Open)).collect();
    if said.is_empty() {
        usual.iter().copied().map(Load::Closed).collect()
    } else {
        said
    }
}

fn class() -> impl TypedValueParser<Value = Class> {
    PossibleValuesParser::new(Class::ALL.map(Class::as_str)).map(|word| {
        let found = Class::ALL.into_iter().find(|class| class.as_str() == word);
        found.expect("clap lets only these words through")
    })
}

fn part() -> impl TypedValueParser<Value = Part> {
    PossibleValuesParser::new(Part::ALL.map(Part::as_str)).map(|word| {
        let found = Part::ALL.into_iter().find(|part| part.as_str() == word);
        found.expect("clap lets only these words through")
    })
}

fn place() -> impl TypedValueParser<Value = Where> {
    PossibleValuesParser::new(Where::ALL.map(Where::as_str)).map(|word| {
        let found = Where::ALL.into_iter().find(|place| place.as_str() == word);
        found.expect("clap lets only these words through")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_a_number_within_bounds() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "nan", "inf", "601", "3s", ""] {
            assert!(seconds(wrong).unwrap_err().contains("seconds"), "{wrong}");
        }
    }

    #[test]
    fn rates_are_requests_a_second_within_bounds() {
        assert_eq!((rate("2000/s"), rate("5")), (Ok(2_000), Ok(5)));
        for wrong in ["0/s", "1000001", "2/min", "-3", "/s", ""] {
            assert!(rate(wrong).unwrap_err().contains("rate"), "{wrong}");
        }
    }

    #[test]
    fn loads_are_requests_in_flight_or_rates() {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: ReqRespArgs,
        }
        let options = |line: &str| {
            let words = std::iter::once("bench").chain(line.split_whitespace());
            let line = <Line as clap::Parser>::try_parse_from(words).ok()?;
            line.args.options("squall".into()).ok()
        };
        let closed = options("--in-flight 1 --in-flight 7 --where grpc").unwrap();
        assert_eq!(closed.loads, [Load::Closed(1), Load::Closed(7)]);
        assert_eq!((closed.places, closed.watched), (vec![Where::Grpc], false));
        let open = options("--rate 2000/s --rate 10 --watched").unwrap();
        assert_eq!(open.loads, [Load::Open(2_000), Load::Open(10)]);
        assert_eq!((open.places, open.watched), (Where::ALL.to_vec(), true));
        assert!(options("--rate 5 --in-flight 1").is_none());
    }

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: FailoverArgs,
    }

    fn options(line: &str) -> Option<FailoverOptions> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        let line = <Line as clap::Parser>::try_parse_from(words).ok()?;
        Some(line.args.options("squall".into()))
    }

    #[test]
    fn classes_trials_and_kills_say_which_trials() {
        let all = options("").unwrap();
        let classes = Class::quick();
        assert_eq!(all.programme, Programme::Trials { classes, each: 20 });
        assert!(all.proof_of_death && !all.loaded && !all.check);
        let some = options("--classes G0,G4l --trials 3 --loaded --no-proof-of-death --check").unwrap();
        let classes = vec![Class::G0, Class::G4l];
        assert_eq!(some.programme, Programme::Trials { classes, each: 3 });
        assert!(!some.proof_of_death && some.loaded && some.check);
        assert_eq!(options("--kills 7").unwrap().programme, Programme::Kills(7));
        for wrong in [
            "--classes G9",
            "--trials 0",
            "--kills 3 --trials 3",
            "--kills 3 --classes G1",
        ] {
            assert!(options(wrong).is_none(), "{wrong}");
        }
    }
}
