//! `squall node`: one broker node, until it is told to end; and what is done to nodes.

pub(super) mod members;
mod recover;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::{ArgAction, Args, Subcommand};
use squall_chaos::client::ChaosKey;
use squall_kernel::founding::Founding;
use squall_kernel::id::{NodeName, ZoneName};
use squall_kernel::profile::Profile;
use squall_node::datadir::{DataDir, DataDirError};
use squall_node::death::Proofs;
use squall_node::metrics::Push;
use squall_node::node::{Node, NodeError, NodeOptions};
use squall_node::telemetry::{Otlp, SpanSink, Telemetry, logging};

use super::connect::ConnectArgs;
use super::crash;
use super::exit::Usage;
use super::signals;
use super::values::{self, Addresses};

/// Runs one broker node, or says what becomes of one.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct NodeArgs {
    #[command(subcommand)]
    command: Option<NodeCommand>,
    #[command(flatten)]
    run: Option<RunArgs>,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum NodeCommand {
    /// Make one survivor a cluster again, when the quorum is lost for good; offline
    Recover(recover::RecoverArgs),
    #[command(flatten)]
    Members(members::MemberCommand),
}

/// Runs one broker node.
#[derive(Debug, Clone, PartialEq, Args)]
struct RunArgs {
    /// Name, unique in the cluster
    #[arg(long)]
    name: NodeName,
    /// Address of the mesh, for other nodes and native clients
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7400")]
    listen: SocketAddr,
    /// Address of the gRPC services
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7401")]
    grpc: SocketAddr,
    /// Directory that makes this node what it is: its id, its boots, its copy of the registry
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Zone: nodes of one zone are near each other, and get publishes from a proxy of their zone rather than from elsewhere
    #[arg(long, value_name = "ZONE")]
    zone: Option<ZoneName>,
    /// Addresses of other nodes; one is enough
    #[arg(long, value_name = "ADDR[,ADDR…]")]
    join: Vec<Addresses>,
    /// Found a cluster alone, when the data directory is empty
    #[arg(long, conflicts_with = "expect")]
    bootstrap: bool,
    /// Found a cluster together with others, N nodes in all, when all their data directories are empty
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    expect: Option<u32>,
    /// Times of a cluster that this node founds
    #[arg(long, default_value = "lan", value_parser = values::profile())]
    profile: Profile,
    /// Take faults
    #[arg(long)]
    chaos: bool,
    /// Take them only from whoever has this key: a file with a secret. Needed beyond loopback
    #[arg(long, value_name = "FILE", requires = "chaos")]
    chaos_key_file: Option<PathBuf>,
    /// Take the end of another node's process on the same system for a proof that it is dead. Without it the node waits
    /// until its promises have run out, as it does for nodes on other systems, and others wait for this one
    #[arg(long, action = ArgAction::Set, default_value = "on", value_parser = values::on_off())]
    proof_of_death: bool,
    /// Take a broken link, and then a refused connection at the other node's own address, for a proof that it is dead.
    /// Dangerous where a firewall or a proxy may refuse in the place of a live node: two owners may then believe in
    /// themselves until a lease has run out
    #[arg(long)]
    trust_refused: bool,
    /// Listen beyond loopback although there is no encryption yet
    #[arg(long)]
    insecure: bool,
    /// Record what the kernel was given and what it answered, for `squall journal replay`; %n in the name stands for the
    /// name of the node, %i for the number of this run
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Send traces and metrics to this OTLP/gRPC collector; the standard OTEL_ variables are heeded as well
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Share of requests that start a trace, from 0 to 1, where a collector is named, here or by the environment
    #[arg(long, value_name = "RATIO")]
    trace_ratio: Option<f64>,
    /// Threads for messages [default: chosen by the node]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    data_workers: usize,
    /// Unix socket of the supervisor that started the node
    #[arg(long, value_name = "PATH", default_value = "", hide = true)]
    supervisor: String,
    /// End when standard input ends
    #[arg(long, hide = true)]
    end_with_stdin: bool,
}

pub(crate) fn run(args: NodeArgs, connect: &ConnectArgs) -> Result<()> {
    match (args.command, args.run) {
        (Some(NodeCommand::Recover(args)), _) => recover::run(&args),
        (Some(NodeCommand::Members(command)), _) => super::block_on(members::run(command, connect)),
        (None, Some(args)) => run_node(args, connect),
        (None, None) => Err(Usage("a node needs --name and --data-dir".into()).into()),
    }
}

fn run_node(args: RunArgs, connect: &ConnectArgs) -> Result<()> {
    let (end_with_stdin, data_dir) = (args.end_with_stdin, args.data_dir.clone());
    let cookie = connect.cookie()?.unwrap_or_default();
    if cookie.is_empty() && !args.listen.ip().is_loopback() {
        return Err(Usage(format!("listening on {} needs a --cookie-file", args.listen)).into());
    }
    let chaos_key = super::chaos::key(args.chaos_key_file.as_deref())?.map(ChaosKey::into_bytes);
    let wide = [args.listen, args.grpc]
        .into_iter()
        .find(|addr| !addr.ip().is_loopback());
    if let Some(addr) = wide.filter(|_| args.chaos && chaos_key.is_none()) {
        return Err(Usage(format!("taking faults on {addr} needs a --chaos-key-file")).into());
    }
    let otlp = Otlp::read(args.otlp.as_deref(), args.trace_ratio, |name| {
        std::env::var(name).ok()
    });
    let otlp = otlp.map_err(usage)?;
    let push = Push::read(args.otlp.as_deref(), |name| std::env::var(name).ok());
    let push = push.map_err(usage)?;
    let dir = DataDir::open(&args.data_dir).map_err(no_directory)?;
    let telemetry = otlp
        .as_ref()
        .map(|otlp| Telemetry::start(otlp, &args.name, dir.incarnation()));
    let telemetry = telemetry.transpose().map_err(usage)?;
    let filter = std::env::var(logging::VARIABLE);
    let filter = filter.as_deref().unwrap_or(logging::DEFAULT);
    let author = logging::Author::of(&args.name, &dir);
    logging::init(filter, telemetry.as_ref(), Some(author)).map_err(usage)?;
    let options = NodeOptions {
        spans: telemetry.as_ref().map(Telemetry::sink).unwrap_or_default(),
        push,
        ..options(args, cookie, chaos_key)
    };
    let node = Node::start(dir, options);
    let node = node.map_err(not_started)?;
    crash::end_on_panic(&data_dir, node.events());
    let me = node.introduction();
    // Nobody may be listening; the node runs all the same.
    let _nobody = writeln!(
        io::stdout(),
        "node {} mesh {} gRPC {}",
        me.name,
        me.mesh_addr,
        me.grpc_addr
    );
    let ended = super::on_runtime(wait(&node, end_with_stdin));
    let stopped = node.stop();
    if let Some(telemetry) = telemetry {
        telemetry.shutdown();
    }
    ended?;
    stopped.map_err(|error| anyhow!("the node ended: {error}"))
}

async fn wait(node: &Node, end_with_stdin: bool) -> Result<()> {
    let ended = || async {
        node.ended()
            .await
            .map_err(|error| anyhow!("the node ended: {error}"))
    };
    tokio::select! {
        ended = ended() => return ended,
        () = signals::ended() => node.leave(),
        // Whoever held the other end is gone, and nobody will wait for the hand-over.
        () = stdin_end(), if end_with_stdin => node.leave_at_once(),
    }
    tokio::select! {
        ended = ended() => ended,
        () = signals::ended() => {
            node.leave_at_once();
            ended().await
        }
    }
}

/// The supervisor holds the other end for as long as it lives.
async fn stdin_end() {
    let _broken = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
}

fn options(args: RunArgs, cookie: Vec<u8>, chaos_key: Option<Vec<u8>>) -> NodeOptions {
    let founding = match (args.bootstrap, args.expect) {
        (true, _) => Founding::Bootstrap,
        (false, Some(nodes)) => Founding::Expect(nodes),
        (false, None) => Founding::Wait,
    };
    NodeOptions {
        name: args.name,
        listen: args.listen,
        grpc: args.grpc,
        join: args.join.into_iter().flat_map(|addresses| addresses.0).collect(),
        cookie,
        founding,
        profile: args.profile,
        chaos: args.chaos,
        chaos_key,
        supervisor: args.supervisor,
        insecure: args.insecure,
        journal: args.journal,
        spans: SpanSink::default(),
        push: None,
        data_workers: args.data_workers,
        proofs: Proofs {
            process: args.proof_of_death,
            refused: args.trust_refused,
        },
        functions: Default::default(),
        zone: args.zone,
    }
}

fn not_started(error: NodeError) -> anyhow::Error {
    match error {
        // The arguments are right; the file is not.
        NodeError::Meta(_) => anyhow!("{error}"),
        other => usage(other).into(),
    }
}

fn no_directory(error: DataDirError) -> anyhow::Error {
    match &error {
        DataDirError::Damaged { .. } => anyhow!("{error}"),
        DataDirError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => anyhow!("{error}"),
        _ => usage(error).into(),
    }
}

/// A node that does not start lacks an address, a file or a sound argument.
fn usage(error: impl std::error::Error) -> Usage {
    Usage(error.to_string())
}
