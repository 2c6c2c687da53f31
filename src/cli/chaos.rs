//! `squall chaos`: breaks things for a limited time.

use std::io::{Write as _, stdout};
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use squall_chaos::client::{ActiveFault, ChaosClient, ChaosError};
use squall_proto::v1::{Child, ChildState};

use super::connect::ConnectArgs;
use super::exit::{Exit, Quiet, Worded, one_line};
use super::signals;
use super::values;

mod links;
mod sim;

/// Kills, pauses, and breaks links in a dozen ways; every fault ends by itself. The cluster must run with --chaos.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct ChaosArgs {
    #[command(subcommand)]
    command: ChaosCommand,
    /// How long the fault lasts; a killed node is started, a paused one thawed after it
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = values::some_time)]
    ttl: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum ChaosCommand {
    /// Kill a node with SIGKILL
    Kill {
        /// Name of the node
        node: String,
        /// Do not start it again
        #[arg(long)]
        stay_down: bool,
    },
    /// Stop a node with SIGSTOP
    Pause {
        /// Name of the node
        node: String,
    },
    /// Let a paused node go on
    Resume {
        /// Name of the node
        node: String,
    },
    /// Kill a node if it runs, and start it
    Restart {
        /// Name of the node
        node: String,
    },
    #[command(flatten)]
    Link(links::LinkCommand),
    /// List what is active
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// End every fault, thaw and start every node
    Halt,
    Sim(sim::SimArgs),
}

impl ChaosArgs {
    /// What is logged unless `SQUALL_LOG` says otherwise. Of many simulated clusters nobody wants to read what their nodes
    /// log: that a disk is full, or that a change of members comes too early, is a part of the run, stands in its history
    /// where it matters, and is judged there. A single run tells all but the latter, which the leader tries again.
    pub(crate) fn log_filter(&self) -> &'static str {
        match &self.command {
            ChaosCommand::Sim(args) if args.trace => super::LOG_OF_NODES,
            ChaosCommand::Sim(_) => "error,openraft=off,squall_node=off",
            _ => super::LOG_DEFAULT,
        }
    }
}

pub(crate) async fn run(args: ChaosArgs, connect: ConnectArgs) -> Result<()> {
    // A simulation needs no cluster, and ends at a signal as any program does.
    if let ChaosCommand::Sim(args) = &args.command {
        return sim::run(args);
    }
    let client = ChaosClient::new(connect.grpc_addrs()?, user());
    tokio::select! {
        done = act(&client, args) => done,
        () = signals::ended() => Err(Quiet(Exit::Interrupted).into()),
    }
}

/// Who asks, for the audit.
pub(crate) fn user() -> String {
    std::env::var("USER").unwrap_or_else(|_| "squall".into())
}

async fn act(client: &ChaosClient, args: ChaosArgs) -> Result<()> {
    let ttl = args.ttl;
    let said = match args.command {
        ChaosCommand::Kill { node, stay_down } => child(
            "killed",
            &client
                .kill(&node, ttl, stay_down, None)
                .await
                .map_err(explained)?,
        ),
        ChaosCommand::Pause { node } => child(
            "paused",
            &client.pause(&node, ttl, None).await.map_err(explained)?,
        ),
        ChaosCommand::Resume { node } => child("resumed", &client.resume(&node).await.map_err(explained)?),
        ChaosCommand::Restart { node } => child(
            "restarted",
            &client.restart(&node, None).await.map_err(explained)?,
        ),
        ChaosCommand::Link(order) => {
            let (from, to) = order.ends();
            let set = client.link((from, to), order.fault(), ttl).await;
            fault(&set.map_err(explained)?)
        }
        ChaosCommand::Sim(args) => return sim::run(&args),
        ChaosCommand::List { json } => list(client, json).await?,
        ChaosCommand::Halt => {
            let halted = client.halt().await.map_err(explained)?;
            writeln!(stdout(), "{halted}")?;
            return if halted.remains.is_clear() {
                Ok(())
            } else {
                Err(Quiet(Exit::Failed).into())
            };
        }
    };
    Ok(writeln!(stdout(), "{}", said.trim_end())?)
}

async fn list(client: &ChaosClient, json: bool) -> Result<String> {
    let listing = client.list().await.map_err(explained)?;
    if json {
        return Ok(serde_json::to_string_pretty(&listing)?);
    }
    let text = listing.to_string();
    Ok(if text.is_empty() {
        "nothing is active".into()
    } else {
        text
    })
}

fn child(done: &str, child: &Child) -> String {
    let due = match (child.state(), child.left_ms) {
        (ChildState::Running, _) => format!(", process {}", child.os_pid),
        (_, 0) => ", until it is resumed or restarted".into(),
        (ChildState::Paused, ms) => format!(", thawed in {:.1} s", seconds(ms)),
        (_, ms) => format!(", started again in {:.1} s", seconds(ms)),
    };
    format!("node {} {done}{due}", one_line(&child.name))
}

fn fault(fault: &ActiveFault) -> String {
    format!(
        "fault {} on {}: {}, for {:.1} s",
        fault.id,
        fault.node,
        one_line(&fault.what),
        seconds(fault.left_ms)
    )
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn explained(error: ChaosError) -> anyhow::Error {
    let exit = match error.exit_code() {
        2 => Exit::Usage,
        5 => Exit::Unavailable,
        _ => Exit::Failed,
    };
    Worded::new(error.to_string(), exit).into()
}
