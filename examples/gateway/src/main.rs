//! `squall-gateway`: lets WebSocket clients subscribe to an exchange (A35). An example of an access layer: one connection is
//! one task, who may have what is decided here or by the exchange's controller, and a client that reads slowly hurts nobody.
//!
//! What does not live here: the talk with one client (`conversation`), what waits for it (`outbox`), who may have what
//! (`tokens`).

mod conversation;
mod outbox;
mod tokens;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use squall_client::{Client, ConnectOptions};
use squall_kernel::id::ExchangeName;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use conversation::Terms;
use outbox::WhenSlow;
use tokens::Tokens;

/// What the system keeps for a client that does not read, in bytes: beyond that its own outbox fills.
const SEND_BUFFER: u32 = 64 * 1024;
/// Connections that wait to be taken in.
const BACKLOG: u32 = 1024;
/// How long clients have to take leave when the gateway ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// Lets WebSocket clients subscribe to a publish-subscribe exchange.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where WebSocket clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7480")]
    listen: SocketAddr,
    /// Mesh addresses of nodes, the gateway's own first: a node beside it, best one that is a proxy of the exchange
    #[arg(
        long,
        value_name = "ADDR[,ADDR…]",
        value_delimiter = ',',
        default_value = "127.0.0.1:7400"
    )]
    connect: Vec<String>,
    /// File with the cluster's cookie
    #[arg(long, value_name = "FILE")]
    cookie_file: Option<PathBuf>,
    /// The exchange
    #[arg(long, value_name = "NAME")]
    exchange: ExchangeName,
    /// Who may have what: a line for each client with its token, its name, and the patterns it may subscribe to with
    /// commas between them
    #[arg(long, value_name = "FILE", required_unless_present = "anyone")]
    tokens: Option<PathBuf>,
    /// Anyone may connect: only the exchange's controller, if it has one, decides who may subscribe to what
    #[arg(long, conflicts_with = "tokens")]
    anyone: bool,
    /// Events that wait for one client at most
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    queue: u32,
    /// What becomes of a client that reads more slowly than events come
    #[arg(long, value_name = "POLICY", value_enum, default_value = "drop-oldest")]
    when_slow: WhenSlow,
    /// Clients at once
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when that fails.
            let _closed = writeln!(std::io::stderr(), "squall-gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let tokens = match &args.tokens {
        Some(file) => Some(Tokens::read(file)?),
        None => None,
    };
    let client = Client::connect(options(&args)?).await.context("no node")?;
    let listener = listen(args.listen).with_context(|| format!("{} cannot be listened at", args.listen))?;
    let at = listener.local_addr()?;
    writeln!(
        std::io::stdout(),
        "squall-gateway: {} at ws://{at}",
        args.exchange
    )?;
    let terms = Arc::new(Terms {
        client: client.clone(),
        exchange: args.exchange,
        tokens,
        queue: args.queue as usize,
        when_slow: args.when_slow,
    });
    let stop = watch::Sender::new(false);
    let mut clients = JoinSet::new();
    let accepting = accept(&listener, &terms, args.clients as usize, &stop, &mut clients);
    tokio::select! {
        () = accepting => {}
        ended = ended() => ended?,
    }
    drop(listener);
    stop.send_replace(true);
    // Whoever does not take leave in time is cut off with the program.
    let _late = tokio::time::timeout(FAREWELL, async { while clients.join_next().await.is_some() {} }).await;
    client.close().await;
    Ok(())
}

fn options(args: &Args) -> Result<ConnectOptions> {
    let cookie = match &args.cookie_file {
        Some(file) => {
            let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
            Some(text.trim_ascii_end().to_vec())
        }
        None => None,
    };
    Ok(ConnectOptions {
        cookie,
        name: "gateway".into(),
        ..ConnectOptions::new(args.connect.clone())
    })
}

fn listen(at: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if at.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    // Connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

/// Takes clients in, each as one task. One that comes when all places are taken is closed at once.
async fn accept(
    listener: &TcpListener,
    terms: &Arc<Terms>,
    places: usize,
    stop: &watch::Sender<bool>,
    clients: &mut JoinSet<()>,
) {
    let places = Arc::new(Semaphore::new(places));
    loop {
        let Some(socket) = next(listener).await else {
            continue;
        };
        // Ended tasks are let go of as new ones come.
        while clients.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (terms, stop) = (Arc::clone(terms), stop.subscribe());
        clients.spawn(async move {
            conversation::hold(socket, &terms, stop).await;
            drop(place);
        });
    }
}

async fn next(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((socket, _)) => Some(socket),
        Err(_) => {
            // Out of descriptors, mostly: some will be free when clients have gone.
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn ended() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
