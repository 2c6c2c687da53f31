//! What benchmarks start beside themselves: `squall bench-role …` in a process of its own, which ends with its standard input, and
//! so with whoever started it. What does not live here: nodes (`req_resp::host`), and who starts these.

use std::ffi::OsString;
use std::future::pending;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, stdin};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::req_resp::host::PATIENCE;
use super::{BenchError, io_error, peers, req_resp};

/// The hidden command.
const COMMAND: &str = "bench-role";
/// A child has nothing to hand over: it ends with its standard input.
const END_GRACE: std::time::Duration = std::time::Duration::from_secs(5);

/// What such a process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Attaches the benchmark's handlers through a gRPC session.
    GrpcHandlers {
        /// Address of the node's gRPC services.
        grpc: SocketAddr,
    },
    /// Watches all that nodes have to show.
    Watch {
        /// Addresses of the nodes' gRPC services.
        grpc: Vec<SocketAddr>,
        /// The details of the benchmark's exchange are open, too.
        details: bool,
    },
    /// Passes on the bytes of the one connection that it takes.
    Relay {
        /// Where they go.
        to: SocketAddr,
    },
    /// Runs a program that does not end with its standard input, and ends it and all it started.
    Keep {
        /// The program and its arguments.
        command: Vec<OsString>,
    },
    /// Echoes as a queue group of a NATS server.
    NatsHandlers {
        /// Address of the server.
        server: SocketAddr,
    },
    /// Subscribes at a NATS server.
    NatsSubscribers {
        /// Address of the server.
        server: SocketAddr,
        /// Which subscribers.
        part: Part,
    },
    /// Echoes from a queue of a RabbitMQ server.
    RabbitmqHandlers {
        /// Address of the server.
        server: SocketAddr,
    },
}

/// The subscribers of a fan-out that one of its processes has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Subscribers in all.
    pub subscribers: usize,
    /// Processes over which they are spread.
    pub nodes: usize,
    /// Different patterns with wildcards among them; 0 for one plain key.
    pub patterns: usize,
    /// Which of the processes, from 0.
    pub node: usize,
    /// Publishers, at most.
    pub publishers: usize,
}

impl Role {
    /// How the program is told of it.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![COMMAND.into()];
        let mut option = |word: &str, name: &str, value: String| {
            arguments.extend([word.into(), name.into(), value.into()]);
        };
        match self {
            Self::GrpcHandlers { grpc } => option("grpc-handlers", "--grpc", grpc.to_string()),
            Self::Watch { grpc, details } => {
                let all: Vec<String> = grpc.iter().map(ToString::to_string).collect();
                option("watch", "--grpc", all.join(","));
                arguments.extend(details.then(|| "--details".into()));
            }
            Self::Relay { to } => option("relay", "--to", to.to_string()),
            Self::NatsHandlers { server } => option("nats-handlers", "--server", server.to_string()),
            Self::NatsSubscribers { server, part } => {
                option("nats-subscribers", "--server", server.to_string());
                for (name, number) in [
                    ("--subscribers", part.subscribers),
                    ("--nodes", part.nodes),
                    ("--patterns", part.patterns),
                    ("--node", part.node),
                    ("--publishers", part.publishers),
                ] {
                    arguments.extend([name.into(), number.to_string().into()]);
                }
            }
            Self::RabbitmqHandlers { server } => option("rabbitmq-handlers", "--server", server.to_string()),
            Self::Keep { command } => {
                arguments.extend(["keep".into(), "--".into()]);
                arguments.extend(command.iter().cloned());
            }
        }
        arguments
    }
}

/// Does it until standard input ends.
///
/// # Errors
/// [`BenchError`] when it cannot be done, or ended before.
pub async fn run(role: Role) -> Result<(), BenchError> {
    match role {
        // It has something to do at its end.
        Role::Keep { command } => peers::keep::run(&command, stdin_ended()).await,
        Role::GrpcHandlers { grpc } => until_end(req_resp::session::serve(&grpc.to_string())).await,
        Role::Watch { grpc, details } => until_end(req_resp::watched::watch(&grpc, details)).await,
        Role::Relay { to } => until_end(peers::chain::relay(to)).await,
        Role::NatsHandlers { server } => until_end(peers::nats::serve(server)).await,
        Role::NatsSubscribers { server, part } => until_end(peers::nats_fan::subscribe(server, part)).await,
        Role::RabbitmqHandlers { server } => until_end(peers::rabbitmq::serve(server)).await,
    }
}

/// What has nothing more to do waits, too.
async fn until_end(work: impl Future<Output = Result<(), BenchError>>) -> Result<(), BenchError> {
    let work = async {
        work.await?;
        pending().await
    };
    tokio::select! {
        biased;
        () = stdin_ended() => Ok(()),
        ended = work => ended,
    }
}

/// Tells whoever started this process one word or number, in a line.
pub(super) fn tell(what: impl std::fmt::Display) -> Result<(), BenchError> {
    let mut out = std::io::stdout().lock();
    let told = writeln!(out, "{what}").and_then(|()| out.flush());
    told.map_err(io_error("standard output"))
}

/// Starts one. Dropped, it is killed.
pub(super) fn start(program: &Path, role: &Role) -> Result<Child, BenchError> {
    let mut command = Command::new(program);
    child(command.args(role.arguments()))
}

/// Starts a process that ends with its standard input, and tells its first line on standard output. Dropped, it is killed.
pub(super) fn child(command: &mut Command) -> Result<Child, BenchError> {
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Ctrl-C at the terminal is for this process, whose end is theirs.
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    spawned.map_err(io_error("a process of the benchmark"))
}

/// The first line that it tells.
pub(super) async fn first_line(child: &mut Child, what: &str) -> Result<String, BenchError> {
    let out = child.stdout.as_mut().ok_or_else(|| silent(what))?;
    let mut line = String::new();
    let mut lines = BufReader::new(out);
    match timeout(PATIENCE, lines.read_line(&mut line)).await {
        Ok(Ok(1..)) => Ok(line.trim().to_owned()),
        Ok(_) => Err(silent(what)),
        Err(_) => Err(req_resp::host::late(what)),
    }
}

fn silent(what: &str) -> BenchError {
    BenchError::Unsound(format!("{what}: the process has ended"))
}

/// Ends them, all at once, and waits.
pub(super) async fn end(children: &mut [Child]) {
    for child in children.iter_mut() {
        drop(child.stdin.take());
    }
    for child in children {
        if timeout(END_GRACE, child.wait()).await.is_err() {
            // Fails only for a process that has ended meanwhile.
            drop(child.kill().await);
        }
    }
}

/// Ids of those that have not been waited for.
pub(super) fn ids(children: &[Child]) -> Vec<u32> {
    children.iter().filter_map(Child::id).collect()
}

/// Whoever started this process is gone, or has had enough of it.
pub(super) async fn stdin_ended() {
    let mut input = stdin();
    let mut ignored = [0; 256];
    while input.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}
