//! The command line: what can be said, and who does it. What does not live here: any of the doing.

mod bench;
mod chaos;
mod connect;
mod cookie;
mod crash;
mod demo;
mod exchange;
mod exit;
mod journal;
mod manual;
mod node;
mod observe;
mod payload;
#[cfg(feature = "planted")]
mod planted;
mod publish;
mod reply;
mod request;
mod signals;
mod subscribe;
mod task;
mod trace;
mod up;
mod values;

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use squall_node::telemetry::logging;

use self::connect::ConnectArgs;
use self::exit::{Exit, Usage};

/// How long tasks that cannot be cancelled may hold up the end of the program.
const FAREWELL: Duration = Duration::from_millis(100);
/// Clients speak of errors only.
const LOG_DEFAULT: &str = "error";
/// Where nodes run in this process. That a change of members comes too early the leader finds out, and tries again.
const LOG_OF_NODES: &str = "error,openraft::raft::api::management=off";

/// A clustered message broker that you are invited to break
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(name = "squall", version, max_term_width = 100, after_help = CODES)]
struct Cli {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

const CODES: &str = "Exit codes: 0 answered, 1 failed, 2 usage or file error, 3 no responders, 4 timeout, \
                     5 unavailable, 6 declined, 7 rejected, 8 interrupted";

#[derive(Debug, Clone, PartialEq, Subcommand)]
enum Command {
    /// Show a local cluster under load; this is what happens without any command
    Demo(demo::DemoArgs),
    /// Start a local cluster and keep it
    Up(up::UpArgs),
    /// Watch a cluster
    Observe(observe::ObserveArgs),
    /// Break things, for a limited time
    Chaos(chaos::ChaosArgs),
    /// Declare, list, move and delete exchanges
    Exchange(exchange::ExchangeArgs),
    /// Answer requests: echo them, run a program, or let them pass, send them on, decline them
    Reply(reply::ReplyArgs),
    /// Send requests
    Request(request::RequestArgs),
    /// Publish to all subscribers of a key
    Publish(publish::PublishArgs),
    /// Print what is published
    Subscribe(subscribe::SubscribeArgs),
    /// Submit tasks, and work on them
    Task(task::TaskArgs),
    /// Show or change which share of messages is traced
    Trace(trace::TraceArgs),
    /// Measure this program on this machine
    Bench(bench::BenchArgs),
    /// Replay what a node recorded
    Journal(journal::JournalArgs),
    /// Run one broker node; list, drain and change the members
    Node(Box<node::NodeArgs>),
    /// Print completions for a shell
    Completions(manual::CompletionsArgs),
    /// Print the manual page
    Man(manual::ManArgs),
    /// Hold pauses beside a supervisor; started by `squall up`
    #[command(hide = true)]
    Guard(up::GuardArgs),
    /// Put load on a cluster; started by `squall demo`
    #[command(hide = true)]
    LoadClient(demo::LoadArgs),
    /// Run a node with handlers; started by `squall bench`
    #[command(hide = true)]
    BenchNode(bench::BenchNodeArgs),
    /// Do something for a benchmark; started by `squall bench`
    #[command(hide = true)]
    BenchRole(bench::BenchRoleArgs),
    /// Connect clients that do nothing; started by `squall bench`
    #[command(hide = true)]
    BenchClients(bench::BenchClientsArgs),
}

impl Cli {
    fn parsed(args: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(args)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.connect.prefer_said(|arg| matches.value_source(arg));
        Ok(cli)
    }
}

/// Parses the arguments, runs the command, gives the exit code.
pub(crate) fn main() -> ExitCode {
    #[cfg(feature = "planted")]
    planted::plant();
    match Cli::parsed(std::env::args_os()) {
        Ok(cli) => exit::end(run(cli)),
        Err(error) => {
            // A closed pipe is no reason to complain: `squall --help | head`.
            let _closed = error.print();
            if error.exit_code() == 0 {
                Exit::Answered.into()
            } else {
                Exit::Usage.into()
            }
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let connect = cli.connect;
    match cli
        .command
        .unwrap_or_else(|| Command::Demo(demo::DemoArgs::default()))
    {
        Command::Completions(args) => manual::completions(&args, Cli::command()),
        Command::Man(args) => manual::man(&args, Cli::command()),
        Command::Node(args) => node::run(*args, &connect),
        Command::Journal(args) => journal::run(args),
        Command::Demo(args) => block_on(demo::run(args, connect)),
        Command::Up(args) => block_on(up::run(args, connect)),
        Command::Observe(args) => block_on(observe::run(args, connect)),
        Command::Chaos(args) => {
            log_to_stderr(args.log_filter())?;
            on_runtime(chaos::run(args, connect))
        }
        Command::Bench(args) => {
            // A node that sends traces sets up the log with them.
            if !args.sends_traces() {
                log_to_stderr(LOG_OF_NODES)?;
            }
            on_runtime(bench::run(args))
        }
        Command::BenchNode(args) => {
            if !args.sends_traces() {
                log_to_stderr(LOG_OF_NODES)?;
            }
            on_runtime(bench::node(args, connect))
        }
        Command::BenchRole(args) => block_on(bench::role(args)),
        Command::BenchClients(args) => block_on(bench::clients(args, connect)),
        Command::Guard(args) => block_on(up::guard(args)),
        Command::LoadClient(args) => block_on(demo::load_client(args, connect)),
        Command::Exchange(args) => block_on(exchange::run(args, connect)),
        Command::Reply(args) => block_on(reply::run(args, connect)),
        Command::Subscribe(args) => block_on(subscribe::run(args, connect)),
        Command::Publish(args) => {
            let payload = publish::payload(&args)?;
            block_on(publish::run(args, payload, connect))
        }
        Command::Task(args) => block_on(task::run(args, connect)),
        Command::Trace(args) => block_on(trace::run(args, connect)),
        Command::Request(args) => {
            let payload = request::payload(&args)?;
            block_on(request::run(args, payload, connect))
        }
    }
}

/// Runs a client command to its end.
fn block_on(command: impl Future<Output = Result<()>>) -> Result<()> {
    log_to_stderr(LOG_DEFAULT)?;
    on_runtime(command)
}

/// Runs to the end of `command`, and leaves behind what still waits for standard input.
fn on_runtime(command: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("threads cannot be started")?;
    let result = runtime.block_on(command);
    runtime.shutdown_timeout(FAREWELL);
    result
}

/// What is logged where `SQUALL_LOG` says nothing is up to the command.
fn log_to_stderr(unsaid: &str) -> Result<()> {
    let filter = std::env::var(logging::VARIABLE);
    let set_up = logging::init(filter.as_deref().unwrap_or(unsaid), None, None);
    set_up.map_err(|error| Usage(error.to_string()).into())
}

#[cfg(test)]
#[path = "cli_test.rs"]
mod tests;
