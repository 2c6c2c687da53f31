//! `squall observe`: the observer on a terminal, or its picture as text, JSON or SVG.

use std::fs;
use std::io::{Write as _, stdout};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use squall_chaos::client::ChaosClient;
use squall_chaos::console::ChaosConsole;
use squall_observer::check::{self, Question, Verdict};
use squall_observer::console::Console;
use squall_observer::headless::{self, Format};
use squall_observer::svg;
use squall_observer::traces::Sources;
use squall_observer::traces::source::SourceError;
use squall_observer::{ColorChoice, Config, Error, Palette, Screen};

use super::connect::ConnectArgs;
use super::exit::{Exit, Quiet, Usage, Worded};
use super::signals;
use super::values;

/// Where traces come in unless told otherwise: the port that OTLP/gRPC is known by.
pub(crate) const OTLP_LISTEN: &str = "127.0.0.1:4317";

/// Watches a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(group(ArgGroup::new("headless").args(["once", "watch"])))]
#[command(group(ArgGroup::new("unattended").args(["once", "watch", "svg"])))]
#[command(group(ArgGroup::new("format").args(["json", "text", "csv"])))]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct ObserveArgs {
    #[command(subcommand)]
    command: Option<ObserveCommand>,
    /// View to begin with, or to print [default: as configured, else overview]
    #[arg(long, value_parser = values::screen())]
    view: Option<Screen>,
    /// Print the view once and end
    #[arg(long)]
    once: bool,
    /// Print the view every second
    #[arg(long)]
    watch: bool,
    /// Print it as JSON
    #[arg(long, requires = "headless")]
    json: bool,
    /// Print it as text, as without another form
    #[arg(long, requires = "headless")]
    text: bool,
    /// Print it as CSV
    #[arg(long, requires = "headless")]
    csv: bool,
    /// Print only rows that match
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true,
        requires = "headless"
    )]
    filter: String,
    /// Print this exchange, or the process of this pid, in detail
    #[arg(long, value_name = "NAME", requires = "unattended", conflicts_with = "filter")]
    detail: Option<String>,
    /// Draw the screen, or with --detail a page, into this file
    #[arg(long, value_name = "FILE", conflicts_with = "headless")]
    svg: Option<PathBuf>,
    /// Size of that picture in columns and rows
    #[arg(long, value_name = "COLSxROWS", default_value = "120x40", value_parser = values::size)]
    size: (u16, u16),
    /// How long to wait for a whole picture
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = values::some_time)]
    patience: Duration,
    /// Take traces over OTLP/gRPC at this address
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = OTLP_LISTEN)]
    otlp_listen: Option<SocketAddr>,
    /// Pass the traces that come in on to this OTLP/gRPC collector
    #[arg(long, value_name = "URL", requires = "otlp_listen")]
    otlp_forward: Option<String>,
    /// Listen beyond loopback although there is no encryption yet
    #[arg(long, requires = "otlp_listen")]
    insecure: bool,
    /// Show the traces of this Jaeger's query service
    #[arg(long, value_name = "URL")]
    jaeger: Option<String>,
    /// Allow the chaos dialog and scenarios, and show how the invariants fare
    #[arg(long)]
    chaos: bool,
    /// File with the chaos key of nodes that want one; that of a local cluster is found
    #[arg(long, value_name = "FILE", env = "SQUALL_CHAOS_KEY_FILE", requires = "chaos")]
    chaos_key_file: Option<PathBuf>,
    /// Write what comes into this new file, to be played later
    #[arg(long, value_name = "FILE", conflicts_with_all = ["headless", "svg", "replay"])]
    record: Option<PathBuf>,
    /// Play this recording instead of watching a cluster: space stands still, + and - change the speed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["headless", "svg", "chaos"])]
    replay: Option<PathBuf>,
    /// Use colours [default: as configured, else auto]
    #[arg(long, value_enum)]
    color: Option<Color>,
    /// Which colours [default: as configured, else dark]
    #[arg(long, value_parser = values::theme())]
    theme: Option<Palette>,
    /// Draw nothing but ASCII
    #[arg(long)]
    ascii: bool,
    /// Configuration [default: ~/.config/squall/observer.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the configuration as a file, with all there is to choose, and end
    #[arg(long, conflicts_with_all = ["headless", "chaos", "svg"])]
    print_config: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum ObserveCommand {
    /// Ask one question about the cluster: exit code 0 it holds, 1 it does not, 4 it cannot be known
    Check(CheckArgs),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct CheckArgs {
    /// What is asked: a majority is heard; every exchange has one owner; no fault acts
    #[arg(value_parser = values::question())]
    question: Question,
    /// How long to wait for a whole picture
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = values::some_time)]
    patience: Duration,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    /// Unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl From<Color> for ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

impl ObserveArgs {
    /// What the user's file says, and what the command line says instead.
    fn configured(&self) -> Result<Config> {
        let mut config = configured(self.config.as_deref())?;
        config.view = self.view.unwrap_or(config.view);
        config.color = self.color.map_or(config.color, Into::into);
        config.theme = self.theme.unwrap_or(config.theme);
        config.ascii |= self.ascii;
        Ok(config)
    }
}

impl ObserveArgs {
    /// Where traces come from; what listens does so from now on.
    fn sources(&self) -> Result<Sources> {
        let mut sources = Sources::default();
        let usage = |error: SourceError| Usage(error.to_string());
        if let Some(at) = self.otlp_listen {
            if !at.ip().is_loopback() && !self.insecure {
                let why =
                    "is not a loopback address: there is no encryption yet, so a wider bind needs --insecure";
                return Err(Usage(format!("{at} {why}")).into());
            }
            sources.listen(at, self.otlp_forward.as_deref()).map_err(usage)?;
        }
        if let Some(url) = &self.jaeger {
            sources.jaeger(url).map_err(usage)?;
        }
        Ok(sources)
    }
}

/// What a file says, or the user's own where none is named.
pub(crate) fn configured(named: Option<&Path>) -> Result<Config> {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let own = || Config::path(var("XDG_CONFIG_HOME"), var("HOME"));
    if let Some(missing) = named.filter(|path| !path.exists()) {
        return Err(Usage(format!(
            "configuration {}: there is no such file",
            missing.display()
        ))
        .into());
    }
    let path = named.map(Path::to_owned).or_else(own);
    let read = path.map(|path| Config::read(&path)).transpose();
    Ok(read
        .map_err(|error| Usage(error.to_string()))?
        .unwrap_or_default())
}

pub(crate) async fn run(args: ObserveArgs, connect: ConnectArgs) -> Result<()> {
    if args.print_config {
        write!(stdout(), "{}", args.configured()?.to_toml())?;
        return Ok(());
    }
    let addresses = connect.grpc_addrs()?;
    // For the scenarios that are run from here.
    let file = connect.cookie_file.as_deref().filter(|_| args.chaos);
    let cookie = file.map(super::cookie::read).transpose()?;
    tokio::select! {
        done = show(args, addresses, cookie) => done,
        () = signals::ended() => Ok(()),
    }
}

async fn check(args: &CheckArgs, addresses: Vec<String>) -> Result<()> {
    let answer = check::ask(addresses, args.question, args.patience)
        .await
        .map_err(explained)?;
    let (question, verdict) = (args.question.word(), answer.verdict.word());
    if args.json {
        let told = serde_json::json!({ "check": question, "verdict": verdict, "why": answer.why });
        writeln!(stdout(), "{told}")?;
    } else {
        writeln!(stdout(), "{question} {verdict}: {}", answer.why)?;
    }
    match answer.verdict {
        Verdict::Holds => Ok(()),
        Verdict::Broken => Err(Quiet(Exit::Failed).into()),
        Verdict::Unknown => Err(Quiet(Exit::Timeout).into()),
    }
}

async fn show(args: ObserveArgs, addresses: Vec<String>, cookie: Option<Vec<u8>>) -> Result<()> {
    if let Some(ObserveCommand::Check(args)) = &args.command {
        return check(args, addresses).await;
    }
    let traces = args.sources()?;
    if args.once || args.watch {
        return print(&args, addresses, traces).await.map_err(explained);
    }
    let config = args.configured()?;
    let key = super::chaos::key(args.chaos_key_file.as_deref())?;
    let console = args.chaos.then(|| {
        let client = ChaosClient::new(addresses.clone(), super::chaos::user()).with_key(key);
        Arc::new(ChaosConsole::new(Arc::new(client), cookie))
    });
    if let Some(file) = &args.svg {
        let console = console.map(|console| console as Arc<dyn Console>);
        return picture(&args, file, addresses, traces, console).await;
    }
    let options = squall_observer::Options {
        addresses,
        config,
        console: console.clone().map(|console| console as Arc<dyn Console>),
        status: None,
        record: args.record,
        replay: args.replay,
        traces,
    };
    let shown = squall_observer::run(options).await;
    if let Some(console) = console {
        console.finish().await;
    }
    shown.map(drop).map_err(explained)
}

async fn print(args: &ObserveArgs, addresses: Vec<String>, traces: Sources) -> Result<(), Error> {
    let format = match (args.json, args.csv) {
        (true, _) => Format::Json,
        (_, true) => Format::Csv,
        _ => Format::Text,
    };
    let options = headless::Options {
        filter: args.filter.clone(),
        patience: args.patience,
        detail: args.detail.clone(),
        ..headless::Options::new(addresses, args.view.unwrap_or_default(), format)
    };
    let out = &mut stdout();
    match (args.once, options.view) {
        (true, Screen::Traces) => headless::traces::once(&options, traces, out).await,
        (false, Screen::Traces) => headless::traces::watch(&options, traces, out).await,
        (true, _) => headless::once(&options, out).await,
        (false, _) => headless::watch(&options, out).await,
    }
}

async fn picture(
    args: &ObserveArgs,
    file: &PathBuf,
    addresses: Vec<String>,
    traces: Sources,
    console: Option<Arc<dyn Console>>,
) -> Result<()> {
    let options = svg::Options {
        console,
        patience: args.patience,
        detail: args.detail.clone(),
        ..svg::Options::new(addresses, args.view.unwrap_or_default(), args.size)
    };
    let drawn = svg::svg(&options, traces).await.map_err(explained)?;
    fs::write(file, drawn).map_err(|error| Usage(format!("picture {}: {error}", file.display())).into())
}

/// The observer's error with its exit code.
pub(crate) fn explained(error: Error) -> anyhow::Error {
    let exit = match &error {
        Error::Unreachable { .. } | Error::NoDetail(_) | Error::NoTraces(_) => Exit::Unavailable,
        Error::NoTraceSource
        | Error::NotDetailed
        | Error::NoTerminal
        | Error::Filter(_)
        | Error::TooSmall(..)
        | Error::Recording(_) => Exit::Usage,
        Error::Io(_) => return error.into(),
        Error::Json(_) => Exit::Failed,
    };
    Worded::new(error.to_string(), exit).into()
}
