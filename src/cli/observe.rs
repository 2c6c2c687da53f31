//! `squall observe`: the observer on a terminal, or its picture as text, JSON or SVG.

use std::fs;
use std::io::stdout;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::{ArgGroup, Args, ValueEnum};
use squall_chaos::client::ChaosClient;
use squall_chaos::console::ChaosConsole;
use squall_observer::console::Console;
use squall_observer::headless::{self, Format};
use squall_observer::svg;
use squall_observer::{ColorChoice, Error, Screen};

use super::connect::ConnectArgs;
use super::exit::{Exit, Usage, Worded};
use super::signals;
use super::values;

/// Watches a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(group(ArgGroup::new("headless").args(["once", "watch"])))]
#[command(group(ArgGroup::new("format").args(["json", "text"]).requires("headless")))]
pub(crate) struct ObserveArgs {
    /// View to begin with, or to print
    #[arg(long, default_value = "overview", value_parser = values::screen())]
    view: Screen,
    /// Print the view once and end
    #[arg(long)]
    once: bool,
    /// Print the view every second
    #[arg(long)]
    watch: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// Print it as text, as without --json
    #[arg(long)]
    text: bool,
    /// Print only rows that match
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true,
        requires = "headless"
    )]
    filter: String,
    /// Draw the screen into this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["headless", "chaos"])]
    svg: Option<PathBuf>,
    /// Size of that picture in columns and rows
    #[arg(long, value_name = "COLSxROWS", default_value = "120x40", value_parser = values::size)]
    size: (u16, u16),
    /// How long to wait for a whole picture
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = values::some_time)]
    patience: Duration,
    /// Allow the chaos dialog
    #[arg(long)]
    chaos: bool,
    /// Use colours
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Color {
    /// Unless NO_COLOR is set
    #[default]
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

pub(crate) async fn run(args: ObserveArgs, connect: ConnectArgs) -> Result<()> {
    let addresses = connect.grpc_addrs()?;
    tokio::select! {
        done = show(args, addresses) => done,
        () = signals::ended() => Ok(()),
    }
}

async fn show(args: ObserveArgs, addresses: Vec<String>) -> Result<()> {
    if let Some(file) = &args.svg {
        return picture(&args, file, addresses).await;
    }
    if args.once || args.watch {
        return print(&args, addresses).await.map_err(explained);
    }
    let client = args
        .chaos
        .then(|| Arc::new(ChaosClient::new(addresses.clone(), super::chaos::user())));
    let options = squall_observer::Options {
        addresses,
        screen: args.view,
        color: args.color.into(),
        console: client.map(|client| Arc::new(ChaosConsole::new(client)) as Arc<dyn Console>),
        status: None,
    };
    squall_observer::run(options).await.map(drop).map_err(explained)
}

async fn print(args: &ObserveArgs, addresses: Vec<String>) -> Result<(), Error> {
    let format = if args.json { Format::Json } else { Format::Text };
    let options = headless::Options {
        filter: args.filter.clone(),
        patience: args.patience,
        ..headless::Options::new(addresses, args.view, format)
    };
    if args.once {
        headless::once(&options, &mut stdout()).await
    } else {
        headless::watch(&options, &mut stdout()).await
    }
}

async fn picture(args: &ObserveArgs, file: &PathBuf, addresses: Vec<String>) -> Result<()> {
    let options = svg::Options {
        patience: args.patience,
        ..svg::Options::new(addresses, args.view, args.size)
    };
    let drawn = svg::svg(&options).await.map_err(explained)?;
    fs::write(file, drawn).map_err(|error| Usage(format!("picture {}: {error}", file.display())).into())
}

/// The observer's error with its exit code.
pub(crate) fn explained(error: Error) -> anyhow::Error {
    let exit = match &error {
        Error::Unreachable { .. } => Exit::Unavailable,
        Error::NoTerminal | Error::Filter(_) | Error::TooSmall(..) => Exit::Usage,
        Error::Io(_) => return error.into(),
        Error::Json(_) => Exit::Failed,
    };
    Worded::new(error.to_string(), exit).into()
}
