//! `squall up`: a local cluster with its supervisor, and the guard that the supervisor starts beside it.

use std::io::stdout;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use squall_chaos::supervisor::{RestartPolicy, StartError, SupervisorOptions};
use squall_chaos::{guard, up};
use squall_kernel::id::ZoneName;
use squall_kernel::profile::Profile;

use super::connect::ConnectArgs;
use super::cookie;
use super::exit::{Exit, Worded};
use super::signals;
use super::values;

/// Starts a local cluster and keeps it until it is told to end.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct UpArgs {
    /// Number of nodes, called a, b, c, …
    #[arg(short = 'n', long, value_name = "N", default_value_t = 3)]
    nodes: usize,
    /// Data, logs and cookie of the cluster [default: $XDG_STATE_HOME/squall or ~/.local/state/squall]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Take faults
    #[arg(long)]
    chaos: bool,
    /// Judge the invariants while the cluster runs: `squall chaos verdicts` and the observer show what they say
    #[arg(long)]
    judge: bool,
    /// Start a node that ended by itself again
    #[arg(long)]
    restart: bool,
    /// Send traces and metrics of the nodes to this OTLP/gRPC collector
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Times of the cluster
    #[arg(long, default_value = "lan", value_parser = values::profile())]
    profile: Profile,
    /// Zones of the nodes, in turn: with `x,y` the first node is in x, the second in y, the third in x
    #[arg(long, value_name = "ZONE[,ZONE…]", value_delimiter = ',')]
    zones: Vec<ZoneName>,
    /// Further arguments for every node, after `--`
    #[arg(last = true, value_name = "NODE ARGS")]
    node_args: Vec<String>,
}

pub(crate) async fn run(args: UpArgs, connect: ConnectArgs) -> Result<()> {
    let program = std::env::current_exe().context("this program cannot be found")?;
    let data_dir = args.data_dir.unwrap_or_else(cookie::default_data_dir);
    let options = SupervisorOptions {
        base_port: connect.base_port,
        chaos: args.chaos,
        judge: args.judge,
        otlp: args.otlp,
        profile: args.profile,
        extra_args: args.node_args,
        zones: args.zones,
        restart: if args.restart {
            RestartPolicy::Backoff
        } else {
            RestartPolicy::Never
        },
        ..SupervisorOptions::new(program, args.nodes, data_dir)
    };
    up::run(options, signals::ended(), stdout())
        .await
        .map_err(|error| explained(&error))
}

/// A cluster that does not start lacks ports, files or a sound argument, unless its processes fail.
pub(crate) fn explained(error: &StartError) -> anyhow::Error {
    let exit = match error {
        StartError::Guard { .. } | StartError::Node { .. } => Exit::Failed,
        _ => Exit::Usage,
    };
    Worded::new(error.to_string(), exit).into()
}

/// What the supervisor starts beside itself.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct GuardArgs {
    /// Directory to remove at the end
    #[arg(long, value_name = "DIR")]
    temporary: Option<PathBuf>,
}

/// Serves the supervisor until it is gone.
pub(crate) async fn guard(args: GuardArgs) -> Result<()> {
    guard::run(args.temporary.as_deref())
        .await
        .context("the guard ends")
}
