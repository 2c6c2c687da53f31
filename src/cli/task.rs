//! `squall task`: submit tasks, work on them, look at them.

pub(crate) mod list;
mod program;

use std::io::{Write as _, stdout};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use clap::{Args, Subcommand};
use serde_json::json;
use squall_client::{RequestError, SubmitOptions, WorkOptions};
use squall_kernel::frame::Priority;
use squall_kernel::id::ExchangeName;
use squall_kernel::limits::PAYLOAD_BYTES_MAX;
use squall_kernel::reason::NoReply;

use self::program::Program;
use super::connect::ConnectArgs;
use super::exit::Worded;
use super::payload::payload;
use super::{signals, values};

/// Longest wait for the first connection: long enough for a cluster that is just starting.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long tasks in hand may still be finished when the program is asked to end.
const FAREWELL: Duration = Duration::from_secs(10);

/// Submits tasks, works on them, and lists them.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct TaskArgs {
    #[command(subcommand)]
    command: TaskCommand,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum TaskCommand {
    /// Submit a task, and wait until it is kept
    Submit(SubmitArgs),
    /// Work on tasks with a program, until ended
    Work(WorkArgs),
    /// List the open tasks: what waits, and for what, and what workers have in hand
    List(list::ListArgs),
    /// List the dead letters, with why they were given up
    Dead(list::ListArgs),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct SubmitArgs {
    /// Exchange with the pattern `task`
    exchange: ExchangeName,
    /// Payload; `-` reads it from standard input
    #[arg(default_value = "-")]
    payload: String,
    /// Key: where the exchange is ordered, tasks of one key are carried out one after the other
    #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
    key: String,
    /// Service tag: only workers of this group
    #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
    service_tag: String,
    /// How urgent it is, 0 to 9, the higher first
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: u8,
    /// Do not give it out before that time has passed
    #[arg(long, value_name = "DURATION", default_value = "0s", hide_default_value = true, value_parser = values::duration)]
    delay: Duration,
    /// Give it up when that time has passed [default: what the exchange says]
    #[arg(long, value_name = "DURATION", value_parser = values::some_time)]
    deadline: Option<Duration>,
    /// How often it is tried at most [default: what the exchange says]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    attempts: u32,
    /// The submitter's own id: a second submit with it is the same task; at most 200 bytes
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    id: String,
    /// How long to wait until it is kept
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = values::some_time)]
    timeout: Duration,
    /// Print what became of it as JSON
    #[arg(long)]
    json: bool,
}

/// The program and its arguments take every word that follows them.
const WORK_USAGE: &str = "squall task work [OPTIONS] <EXCHANGE> --command <PROGRAM> [ARGS]...";

#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(override_usage = WORK_USAGE)]
struct WorkArgs {
    /// Exchange with the pattern `task`
    exchange: ExchangeName,
    /// Program to run for each task; must come last: all that follow are its arguments. One word alone is split at its
    /// blanks, and there is no quoting in it: give program and arguments as words of their own, or name a script. The
    /// payload is its standard input. Exit code 0 completes the task; another one gives it back, with the first line of its
    /// standard error as the reason. SQUALL_EXCHANGE, SQUALL_TASK, SQUALL_LEASE, SQUALL_ATTEMPT and SQUALL_KEY are set.
    /// The lease is extended as long as it runs
    #[arg(long, value_name = "PROGRAM [ARGS]", num_args = 1.., required = true, allow_hyphen_values = true)]
    command: Vec<String>,
    /// Service tag: the group this worker belongs to
    #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
    service_tag: String,
    /// Tasks in hand at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    credit: u32,
    /// How long to wait for an exchange that is unknown or unavailable
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::some_time)]
    wait: Duration,
}

pub(crate) async fn run(args: TaskArgs, connect: ConnectArgs) -> Result<()> {
    match args.command {
        TaskCommand::Submit(args) => submit(args, connect).await,
        TaskCommand::Work(args) => work(args, connect).await,
        TaskCommand::List(args) => list::run(&args, false, &connect).await,
        TaskCommand::Dead(args) => list::run(&args, true, &connect).await,
    }
}

async fn submit(args: SubmitArgs, connect: ConnectArgs) -> Result<()> {
    let payload = payload(&args.payload, PAYLOAD_BYTES_MAX)?;
    let client = connect.client("squall task", CONNECT_WITHIN).await?;
    let options = SubmitOptions {
        key: Bytes::from(args.key),
        service_tag: Bytes::from(args.service_tag),
        priority: Priority::new(args.priority).unwrap_or_default(),
        delay: args.delay,
        deadline: args.deadline,
        attempts: args.attempts,
        message_id: Bytes::from(args.id),
        timeout: args.timeout,
    };
    let kept = client.submit(args.exchange.as_str(), payload, options).await;
    client.close().await;
    let kept = kept.map_err(|error| {
        let words = match &error {
            RequestError::Unavailable(NoReply::UnknownExchange) => format!(
                "exchange '{0}': there is none; `squall exchange declare {0} --pattern task` declares it",
                args.exchange
            ),
            other => format!("exchange '{}': {other}", args.exchange),
        };
        Worded::of(error, words)
    })?;
    if args.json {
        let document = json!({
            "task": kept.task.to_string(),
            "copies": kept.copies.as_str(),
            "duplicate": kept.duplicate,
        });
        writeln!(stdout(), "{document:#}")?;
    } else {
        let again = if kept.duplicate { ", submitted before" } else { "" };
        writeln!(stdout(), "task {}: {}{again}", kept.task, kept.copies.as_str())?;
    }
    Ok(())
}

async fn work(args: WorkArgs, connect: ConnectArgs) -> Result<()> {
    let program = Arc::new(Program::new(&args.exchange, &args.command)?);
    let client = connect.client("squall task", CONNECT_WITHIN).await?;
    let options = WorkOptions {
        service_tag: args.service_tag,
        credit: args.credit,
        wait: args.wait,
    };
    let run = move |task| {
        let program = Arc::clone(&program);
        async move { program.carry_out(task).await }
    };
    let attached = client.work(args.exchange.as_str(), options, run).await;
    let explained = |error: anyhow::Error| {
        let words = format!("exchange '{}': {error:#}", args.exchange);
        Worded::of(error, words)
    };
    let mut attachment = attached.map_err(|error| explained(error.into()))?;
    if let Some(pid) = attachment.pid() {
        writeln!(stdout(), "working on {} as {pid}", args.exchange)?;
    }
    let over = tokio::select! {
        why = attachment.ended() => Some(why),
        () = signals::ended() => None,
    };
    // A program that does not end is killed, and its task given to another worker.
    let _busy = tokio::time::timeout(FAREWELL, attachment.detach()).await;
    client.close().await;
    over.map_or(Ok(()), |why| Err(explained(why.into())))
}
