//! `squall chaos`: breaks things for a limited time.

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use squall_chaos::client::{ChaosClient, ChaosError, ChaosKey};
use squall_chaos::fault::{Fault, NodeDeed};

use super::connect::ConnectArgs;
use super::exit::{Exit, Quiet, Usage, Worded};
use super::signals;
use super::values;

mod fire;
mod held;
mod links;
mod run;
mod sim;
mod verdicts;

/// Kills, pauses, breaks links in a dozen ways, and clocks, disks, handlers and messages; every fault ends by itself. The cluster must run with --chaos.
///
/// NODE is a name, or a role that is looked up when the fault is fired: owner(EXCHANGE), leader(EXCHANGE),
/// follower(EXCHANGE), meta-leader, minority, all; or several with commas.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct ChaosArgs {
    #[command(subcommand)]
    command: ChaosCommand,
    /// How long the fault lasts; a killed node is started, a paused one thawed after it
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = values::some_time)]
    ttl: Duration,
    /// File with the chaos key of nodes that want one; that of a local cluster is found
    #[arg(long, global = true, value_name = "FILE", env = "SQUALL_CHAOS_KEY_FILE")]
    chaos_key_file: Option<PathBuf>,
    /// Renew it until this command ends: it is over then within its time to live, as it is when this command dies
    #[arg(long, global = true)]
    hold: bool,
    /// Say what it would do to the cluster, and do nothing
    #[arg(long, global = true)]
    dry_run: bool,
    /// Go on although no majority of the voters would be left: the name that is asked for
    #[arg(long, global = true, value_name = "NODE")]
    confirm: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum ChaosCommand {
    /// Kill nodes with SIGKILL
    Kill {
        /// Names or roles
        #[arg(value_name = "NODE")]
        node: String,
        /// Do not start them again
        #[arg(long)]
        stay_down: bool,
    },
    /// Let nodes hand over what they have and leave, with SIGTERM
    Stop {
        /// Names or roles
        #[arg(value_name = "NODE")]
        node: String,
        /// Do not start them again
        #[arg(long)]
        stay_down: bool,
    },
    /// Stop nodes with SIGSTOP
    Pause {
        /// Names or roles
        #[arg(value_name = "NODE")]
        node: String,
    },
    /// Let paused nodes go on
    Resume {
        /// Names or roles
        #[arg(value_name = "NODE")]
        node: String,
    },
    /// Kill nodes if they run, and start them
    Restart {
        /// Names or roles
        #[arg(value_name = "NODE")]
        node: String,
    },
    /// Kill nodes, and start them without their data: they come back as nodes that nobody knows
    Wipe {
        /// Names or roles
        #[arg(value_name = "NODE")]
        node: String,
    },
    #[command(flatten)]
    Link(links::LinkCommand),
    Fire(fire::FireArgs),
    #[command(flatten)]
    Held(held::HeldCommand),
    /// List what is active
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// End every fault, thaw and start every node, and take no new faults until unlocked
    Halt {
        /// Why, for whoever is refused
        #[arg(long, value_name = "TEXT", default_value = "halted by hand")]
        reason: String,
        /// Take new faults at once
        #[arg(long)]
        no_lock: bool,
    },
    /// Take new faults again after a halt
    Unlock {
        /// Why, for the audit
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    Verdicts(verdicts::VerdictsArgs),
    /// Write what was done to the cluster as a scenario, to run it again live or in simulation
    ///
    /// The cluster must have been started by `squall up --judge` or `squall demo`. Roles stand as the nodes that had them, called
    /// a, b, c, …; moves are not written.
    Export {
        /// Only of the last so long
        #[arg(long, value_name = "DURATION", value_parser = values::some_time)]
        since: Option<Duration>,
    },
    Run(run::RunArgs),
    Game(run::GameArgs),
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
    if let ChaosCommand::Run(run) = &args.command {
        let client = match run.on_running() {
            true => {
                let key = key(args.chaos_key_file.as_deref())?;
                let client = ChaosClient::new(connect.grpc_addrs()?, user()).with_key(key);
                // That of a supervised cluster is found beside its socket, which is surer than the default directory.
                let cookie = connect
                    .cookie_file
                    .as_deref()
                    .map(super::cookie::read)
                    .transpose()?;
                Some((client, cookie))
            }
            false => None,
        };
        return run::run(run, client).await;
    }
    if let ChaosCommand::Game(args) = &args.command {
        return run::game(args).await;
    }
    let key = key(args.chaos_key_file.as_deref())?;
    let client = ChaosClient::new(connect.grpc_addrs()?, user()).with_key(key);
    tokio::select! {
        done = act(&client, args) => done,
        () = signals::ended() => Err(Quiet(Exit::Interrupted).into()),
    }
}

/// The key in that file.
pub(crate) fn key(file: Option<&Path>) -> Result<Option<ChaosKey>> {
    let read = file.map(|file| {
        ChaosKey::read(file).map_err(|error| Usage(format!("chaos key file {}: {error}", file.display())))
    });
    Ok(read.transpose()?)
}

/// Who asks, for the audit.
pub(crate) fn user() -> String {
    std::env::var("USER").unwrap_or_else(|_| "squall".into())
}

async fn act(client: &ChaosClient, args: ChaosArgs) -> Result<()> {
    let how = fire::How {
        ttl: args.ttl,
        dry_run: args.dry_run,
        confirm: args.confirm,
        hold: args.hold,
    };
    let (deed, node) = match args.command {
        ChaosCommand::Kill { node, stay_down } => (NodeDeed::Kill { stay_down }, node),
        ChaosCommand::Stop { node, stay_down } => (NodeDeed::Stop { stay_down }, node),
        ChaosCommand::Pause { node } => (NodeDeed::Pause, node),
        ChaosCommand::Resume { node } => (NodeDeed::Resume, node),
        ChaosCommand::Restart { node } => (NodeDeed::Restart, node),
        ChaosCommand::Wipe { node } => (NodeDeed::Wipe, node),
        ChaosCommand::Link(order) => {
            return fire::fire(client, &Fault::Link(order.fault()), &order.target(), &how).await;
        }
        ChaosCommand::Held(order) => {
            return fire::fire(client, &Fault::Held(order.fault()), order.node(), &how).await;
        }
        ChaosCommand::Fire(args) => return fire::run(client, &args, &how).await,
        ChaosCommand::Export { since } => {
            let text = client.export(since).await.map_err(explained)?;
            return Ok(write!(stdout(), "{text}")?);
        }
        ChaosCommand::Verdicts(args) => return verdicts::run(client, &args).await,
        ChaosCommand::Run(_) | ChaosCommand::Game(_) | ChaosCommand::Sim(_) => {
            unreachable!("they need no client of a cluster, or have their own")
        }
        ChaosCommand::List { json } => {
            let said = list(client, json).await?;
            return Ok(writeln!(stdout(), "{}", said.trim_end())?);
        }
        ChaosCommand::Halt { reason, no_lock } => return halt(client, (!no_lock).then_some(&reason)).await,
        ChaosCommand::Unlock { reason } => return unlock(client, &reason).await,
    };
    fire::fire(client, &Fault::Node(deed), &node, &how).await
}

async fn unlock(client: &ChaosClient, reason: &str) -> Result<()> {
    let unlocked = client.unlock(reason).await.map_err(explained)?;
    let said = if unlocked.is_empty() {
        "nothing was locked".to_owned()
    } else {
        format!("{} take new faults again", unlocked.join(", "))
    };
    Ok(writeln!(stdout(), "{said}")?)
}

async fn halt(client: &ChaosClient, lock: Option<&String>) -> Result<()> {
    let halted = match lock {
        Some(reason) => client.halt_and_lock(reason).await,
        None => client.halt().await,
    };
    let halted = halted.map_err(explained)?;
    writeln!(stdout(), "{halted}")?;
    if halted.remains.is_clear() {
        Ok(())
    } else {
        Err(Quiet(Exit::Failed).into())
    }
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

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn explained(error: ChaosError) -> anyhow::Error {
    let exit = match error.exit_code() {
        2 => Exit::Usage,
        5 => Exit::Unavailable,
        _ => Exit::Failed,
    };
    Worded::new(error.to_string(), exit).into()
}
