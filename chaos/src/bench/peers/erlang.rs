//! Erlang/OTP with a program of ours (`squall_bench.erl`): requester, exchange and handlers in one node, or in three. What does not
//! live here: the workload, which is the program's.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::keep::find;
use crate::bench::req_resp::host::{PATIENCE, late};
use crate::bench::req_resp::tally::{Tally, Times};
use crate::bench::{BenchError, free_base, io_error, role, temporary};
use crate::layout;

const MODULE: &str = "squall_bench";
const PROGRAM: &str = include_str!("squall_bench.erl");
/// Requester, exchange, handlers.
const NODES: [&str; 3] = ["requester", "exchange", "handlers"];
/// What an operator has set for Erlang is not for this one.
const VARIABLES: [&str; 5] = [
    "ERL_FLAGS",
    "ERL_AFLAGS",
    "ERL_ZFLAGS",
    "ERL_LIBS",
    "ERL_COMPILER_OPTIONS",
];

/// A requester that takes commands, and the nodes it needs.
pub(super) struct Erlang {
    /// None when it is ending.
    commands: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    pub(super) children: Vec<Child>,
    // After the processes: it is their directory.
    _dir: TempDir,
}

/// Why it cannot be run here, if it cannot.
pub(super) fn missing() -> Option<String> {
    let lacks = |name| find(name, &[]).is_none().then_some(name);
    let name = lacks("erl").or_else(|| lacks("erlc"))?;
    Some(format!("no {name} on the search path (Debian: erlang-base)"))
}

impl Erlang {
    /// All in one node.
    pub(super) async fn one() -> Result<Self, BenchError> {
        let ground = Ground::new().await?;
        let requester = role::child(ground.erl().args(["-run", MODULE, "main", "local"]))?;
        ground.serve(requester, Vec::new()).await
    }

    /// Each in a node of its own.
    pub(super) async fn three() -> Result<Self, BenchError> {
        let ground = Ground::new().await?;
        let places = layout::places(NODES.len(), free_base(NODES.len())?);
        let places = places.map_err(|_| BenchError::NoPorts(NODES.len()))?;
        let ports: Vec<u16> = places.iter().map(|place| place.mesh.port()).collect();
        let node = |name: &str| ground.node(name, &ports);
        let mut children = Vec::new();
        for name in &NODES[1..] {
            let mut child = role::child(node(name).args(["-run", MODULE, "main", "wait"]))?;
            role::first_line(&mut child, "an Erlang node is ready").await?;
            children.push(child);
        }
        let main = ["-run", MODULE, "main", "remote", NODES[1], NODES[2]];
        let requester = role::child(node(NODES[0]).args(main))?;
        ground.serve(requester, children).await
    }

    /// Lets so many processes ask, one request at a time each.
    pub(super) async fn ask(
        &mut self,
        in_flight: usize,
        (warm_up, measured): Times,
    ) -> Result<Tally, BenchError> {
        let command = format!(
            "ask {in_flight} {} {}\n",
            warm_up.as_micros(),
            measured.as_micros()
        );
        let commands = self.commands.as_mut().expect("it is not ending");
        let asked = commands.write_all(command.as_bytes()).await;
        asked.map_err(io_error("an Erlang node"))?;
        let line = timeout(warm_up + measured + PATIENCE, self.lines.next_line()).await;
        let line = line.map_err(|_| late("Erlang's requests end"))?;
        let line = line.map_err(io_error("an Erlang node"))?;
        parsed(&line.unwrap_or_default())
    }

    pub(super) async fn end(&mut self) {
        drop(self.commands.take());
        role::end(&mut self.children).await;
    }
}

struct Ground {
    dir: TempDir,
}

impl Ground {
    /// The program, compiled.
    async fn new() -> Result<Self, BenchError> {
        let dir = temporary()?;
        let source = dir.path().join(MODULE).with_extension("erl");
        std::fs::write(&source, PROGRAM).map_err(io_error("the Erlang program"))?;
        cookie(&dir.path().join(".erlang.cookie"))?;
        let mut compile = plain("erlc", dir.path());
        compile.arg("-o").arg(dir.path()).arg(&source).kill_on_drop(true);
        let output = timeout(PATIENCE, compile.output()).await;
        let output = output
            .map_err(|_| late("erlc has compiled"))?
            .map_err(io_error("erlc"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            return Err(BenchError::Unsound(format!("erlc: {said}")));
        }
        Ok(Self { dir })
    }

    fn erl(&self) -> Command {
        let mut command = plain("erl", self.dir.path());
        command.arg("-noshell").arg("-pa").arg(self.dir.path());
        command
    }

    /// A node that others find, and that listens to this machine alone.
    fn node(&self, name: &str, ports: &[u16]) -> Command {
        let mut command = self.erl();
        command
            .args(["-sname", &format!("{name}@localhost")])
            .args(["-start_epmd", "false", "-epmd_module", MODULE])
            .args(["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]);
        for (name, port) in NODES.iter().zip(ports) {
            command.env(format!("SQUALL_BENCH_PORT_{name}"), port.to_string());
        }
        command
    }

    async fn serve(self, mut requester: Child, mut children: Vec<Child>) -> Result<Erlang, BenchError> {
        let commands = requester.stdin.take().expect("it was piped");
        let mut lines = BufReader::new(requester.stdout.take().expect("it was piped")).lines();
        let ready = timeout(PATIENCE, lines.next_line()).await;
        let line = ready
            .map_err(|_| late("Erlang is ready"))?
            .map_err(io_error("erl"))?;
        if line.as_deref() != Some("ready") {
            let what = format!("erl: {}", line.unwrap_or_else(|| "it has ended".into()));
            return Err(BenchError::Unsound(what));
        }
        children.push(requester);
        Ok(Erlang {
            commands: Some(commands),
            lines,
            children,
            _dir: self.dir,
        })
    }
}

/// A command whose home is the directory, with what is in it alone.
fn plain(name: &str, home: &Path) -> Command {
    let mut command = Command::new(find(name, &[]).unwrap_or_else(|| PathBuf::from(name)));
    command.env("HOME", home).current_dir(home);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command
}

/// What nodes know each other by. Erlang wants it readable by its owner alone.
fn cookie(path: &Path) -> Result<(), BenchError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(path);
    file.and_then(|mut file| write!(file, "{:032x}", rand::random::<u128>()))
        .map_err(io_error("Erlang's cookie"))
}

/// What the program tells of requests: `asked N took BUCKET:COUNT …`, or `failed` and why.
fn parsed(line: &str) -> Result<Tally, BenchError> {
    let wrong = || BenchError::Unsound(format!("Erlang told '{line}'"));
    let mut words = line.split_whitespace();
    let mut tally = Tally::default();
    match words.next() {
        Some("asked") => {}
        Some("failed") => {
            tally.fail(line["failed".len()..].trim().to_owned());
            return Ok(tally);
        }
        _ => return Err(wrong()),
    }
    tally.asked = words
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(wrong)?;
    if words.next() != Some("took") {
        return Err(wrong());
    }
    for word in words {
        let (bucket, count) = word.split_once(':').ok_or_else(wrong)?;
        let (Ok(bucket), Ok(count)) = (bucket.parse(), count.parse()) else {
            return Err(wrong());
        };
        if !tally.took.count_bucket(bucket, count) {
            return Err(wrong());
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_the_program_tells_is_a_tally() {
        let tally = parsed("asked 24 took 10:8 64:8\n").unwrap();
        assert_eq!((tally.asked, tally.took.total()), (24, 16));
        assert_eq!(tally.took.quantile(0.5), Duration::from_nanos(10));
        let failed = parsed("failed timeout").unwrap();
        assert_eq!((failed.failed, failed.failure.as_deref()), (1, Some("timeout")));
        for wrong in [
            "",
            "asked",
            "asked x took",
            "asked 1",
            "asked 1 took 1",
            "asked 1 took 1:x",
            "asked 1 took 99999:1",
            "=ERROR REPORT",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_program_has_the_buckets_of_the_histogram() {
        let mut counted = crate::bench::Histogram::default();
        assert!(counted.count_bucket(2239, 1) && !counted.count_bucket(2240, 1));
        assert!(
            PROGRAM.contains("-define(BUCKETS, 2240)."),
            "as many here and there"
        );
        assert!(PROGRAM.contains(&format!("-module({MODULE}).")));
    }
}
