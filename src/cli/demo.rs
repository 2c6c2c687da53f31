//! `squall demo`: a cluster, load and the observer; and the load processes that the demo starts.

use std::future::pending;
use std::io::{self, IsTerminal as _, stdout};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use squall_chaos::demo::{self, Demo, DemoError, DemoOptions};
use squall_chaos::load::{self, LoadError, LoadOptions, Share};
use squall_kernel::profile::Profile;
use squall_observer::console::Console;
use squall_observer::traces::Sources;
use squall_observer::traces::source::SourceError;
use tokio::sync::watch;

use super::connect::ConnectArgs;
use super::exit::{Exit, Usage, Worded};
use super::{observe, signals, up, values};

/// Starts three nodes with load and watches them; ends all of it afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct DemoArgs {
    /// Number of nodes
    #[arg(short = 'n', long, value_name = "N", default_value_t = 3)]
    nodes: usize,
    /// Pass traces on to this OTLP/gRPC collector
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Times of the cluster
    #[arg(long, default_value = "lan", value_parser = values::profile())]
    profile: Profile,
}

impl Default for DemoArgs {
    fn default() -> Self {
        Self {
            nodes: 3,
            otlp: None,
            profile: Profile::Lan,
        }
    }
}

/// Puts load on a cluster; started by the demo.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct LoadArgs {
    /// Handlers to attach
    #[arg(long, value_name = "EXCHANGE=N")]
    handlers: Vec<Share>,
    /// Requests a second
    #[arg(long, value_name = "EXCHANGE=N")]
    requests: Vec<Share>,
}

pub(crate) async fn run(args: DemoArgs, connect: ConnectArgs) -> Result<()> {
    let program = std::env::current_exe().context("this program cannot be found")?;
    let (traces, otlp) = traces(args.otlp)?;
    let options = DemoOptions {
        nodes: args.nodes,
        base_port: connect.base_port,
        otlp,
        profile: args.profile,
        ..DemoOptions::new(program)
    };
    let shown = demo::run(options, signals::ended(), async |demo: &Demo| {
        show(demo, traces).await
    })
    .await;
    shown.map_err(explained)?.unwrap_or(Ok(()))
}

/// The observer's own source of traces and where the nodes send theirs: to it, and it passes them on to the collector that
/// was named. Without a terminal nobody would look at them.
fn traces(collector: Option<String>) -> Result<(Sources, Option<String>)> {
    let mut traces = Sources::default();
    if !stdout().is_terminal() {
        return Ok((traces, collector));
    }
    let named = |name| {
        std::env::var(name)
            .ok()
            .filter(|url: &String| !url.trim().is_empty())
    };
    let collector = collector
        .or_else(|| named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
        .or_else(|| named("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let known: SocketAddr = observe::OTLP_LISTEN.parse().expect("the default is an address");
    let any = SocketAddr::new(known.ip(), 0);
    let mut listen = |at| traces.listen(at, collector.as_deref());
    // The usual port may be a collector's: one that is named stays free for it, and others need not know of the demo.
    let listening = if collector.is_some() {
        listen(any)
    } else {
        listen(known).or_else(|_| listen(any))
    };
    match listening {
        Ok(at) => Ok((traces, Some(format!("http://{at}")))),
        Err(error @ SourceError::Url { .. }) => Err(Usage(error.to_string()).into()),
        Err(error) => {
            traces.without("OTLP", &error.to_string());
            Ok((traces, collector))
        }
    }
}

async fn show(demo: &Demo, traces: Sources) -> Result<()> {
    if !stdout().is_terminal() {
        return Ok(demo.tell(stdout()).await?);
    }
    let console = Arc::new(demo.console());
    let greeting = greeting(demo);
    let status = watch::Sender::new(greeting.clone());
    let options = squall_observer::Options {
        addresses: demo.grpc_addresses(),
        console: Some(Arc::clone(&console) as Arc<dyn Console>),
        status: Some(status.subscribe()),
        config: observe::configured(None)?,
        record: None,
        replay: None,
        traces,
    };
    let figures = async {
        demo.figures(&greeting, &status).await;
        // Nobody listens any more: the observer is about to end, and it alone ends the show.
        pending().await
    };
    let shown = tokio::select! {
        shown = squall_observer::run(options) => shown.map(drop).map_err(observe::explained),
        never = figures => never,
    };
    console.finish().await;
    shown
}

fn greeting(demo: &Demo) -> String {
    match demo.moved_from() {
        Some(port) => format!(
            "demo on ports {}… (port {port} or one after it is in use)",
            demo.base_port()
        ),
        None => format!(
            "demo on ports {}…; x breaks something, q ends everything",
            demo.base_port()
        ),
    }
}

fn explained(error: DemoError) -> anyhow::Error {
    match error {
        DemoError::Start(error) => up::explained(&error),
        DemoError::NoPorts(..) => Worded::new(error.to_string(), Exit::Usage).into(),
        other => other.into(),
    }
}

pub(crate) async fn load_client(args: LoadArgs, connect: ConnectArgs) -> Result<()> {
    let options = LoadOptions {
        connect: connect.addrs()?,
        cookie: connect.cookie()?,
        handlers: args.handlers,
        requests: args.requests,
    };
    match load::run(options).await {
        // The demo is gone, and with it whoever read the counts.
        Err(LoadError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}
