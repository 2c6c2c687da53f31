//! The command line: what can be said, and who does it. What does not live here: any of the doing.

mod connect;
mod cookie;
mod exchange;
mod exit;
mod manual;
mod reply;
mod request;
mod signals;
mod values;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use self::connect::ConnectArgs;
use self::exit::{Exit, Usage};

/// How long tasks that cannot be cancelled may hold up the end of the program.
const FAREWELL: Duration = Duration::from_millis(100);
/// Says what is logged, in the syntax of tracing-subscriber's `EnvFilter`.
const LOG: &str = "SQUALL_LOG";

/// A clustered message broker that you are invited to break
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "squall", version, max_term_width = 100, after_help = CODES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: Command,
}

const CODES: &str = "Exit codes: 0 answered, 1 failed, 2 usage or file error, 3 no responders, 4 timeout, \
                     5 unavailable, 6 declined, 7 rejected, 8 interrupted";

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Command {
    /// Declare, list and delete exchanges
    Exchange(exchange::ExchangeArgs),
    /// Answer requests: echo them, or run a program
    Reply(reply::ReplyArgs),
    /// Send requests
    Request(request::RequestArgs),
    /// Print completions for a shell
    Completions(manual::CompletionsArgs),
    /// Print the manual page
    Man(manual::ManArgs),
}

/// Parses the arguments, runs the command, gives the exit code.
pub(crate) fn main() -> ExitCode {
    match Cli::try_parse() {
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
    match cli.command {
        Command::Completions(args) => manual::completions(&args, Cli::command()),
        Command::Man(args) => manual::man(&args, Cli::command()),
        Command::Exchange(args) => block_on(exchange::run(args, connect)),
        Command::Reply(args) => block_on(reply::run(args, connect)),
        Command::Request(args) => {
            let payload = request::payload(&args)?;
            block_on(request::run(args, payload, connect))
        }
    }
}

/// Runs a client command to its end.
fn block_on(command: impl Future<Output = Result<()>>) -> Result<()> {
    log_to_stderr()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("threads cannot be started")?;
    let result = runtime.block_on(command);
    runtime.shutdown_timeout(FAREWELL);
    result
}

/// Clients speak of errors only, unless `SQUALL_LOG` asks for more.
fn log_to_stderr() -> Result<()> {
    let filter = std::env::var(LOG).unwrap_or_else(|_| "error".into());
    let filter = EnvFilter::try_new(&filter).map_err(|error| Usage(format!("{LOG}='{filter}': {error}")))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    log.try_init()
        .map_err(|error| anyhow::anyhow!("the log cannot be set up: {error}"))
}

#[cfg(test)]
#[path = "cli_test.rs"]
mod tests;
