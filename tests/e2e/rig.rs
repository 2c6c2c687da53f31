//! Starts real nodes and clients for a test and ends every one of them with it. Waits for what a process says, never for
//! time to pass.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;

/// Generous: it only decides how long a broken build takes to fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn squall() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command
        .env_remove("SQUALL_CONNECT")
        .env_remove("SQUALL_COOKIE_FILE")
        .env_remove("SQUALL_LOG");
    command
}

/// A child that is killed and reaped with its holder.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().expect("the program starts"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lines of a stream, read by a thread, so that waiting for one can end.
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = sync_channel(1024);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self(receiver)
    }

    /// The first line for which `wanted` gives something.
    pub(crate) fn find<T>(&self, what: &str, wanted: impl FnMut(&str) -> Option<T>) -> T {
        let found = self.find_until(Instant::now() + PATIENCE, what, wanted);
        found.unwrap_or_else(|seen| panic!("the stream ended without {what}: {:#?}", tail(&seen)))
    }

    /// The same; gives the lines of a stream that ended without.
    fn find_until<T>(
        &self,
        deadline: Instant,
        what: &str,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, Vec<String>> {
        let mut seen = Vec::new();
        loop {
            match self
                .0
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => match wanted(&line) {
                    Some(found) => return Ok(found),
                    None => seen.push(line),
                },
                Err(RecvTimeoutError::Timeout) => panic!("no {what} in time; last lines: {:#?}", tail(&seen)),
                Err(RecvTimeoutError::Disconnected) => return Err(seen),
            }
        }
    }
}

fn tail(lines: &[String]) -> &[String] {
    &lines[lines.len().saturating_sub(20)..]
}

/// Ports that nothing else uses: below the range from which the system gives out its own, each asked for once.
pub(crate) fn free_base(count: u16) -> u16 {
    const FIRST: u16 = 18_000;
    const ALL: u16 = 14_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Runs of the tests at the same time begin at different places.
    let start = u16::try_from(std::process::id() % 100).expect("small") * 100;
    loop {
        let next = NEXT.fetch_add(count, Ordering::Relaxed);
        assert!(next < ALL, "out of ports");
        let base = FIRST + (start + next) % ALL;
        let fits = base + count <= FIRST + ALL;
        if fits && (base..base + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
}

/// What to start a node with.
pub(crate) struct NodeSpec<'a> {
    pub(crate) name: &'a str,
    pub(crate) extra: &'a [&'a str],
}

/// Nodes in one directory, each on ports `base + 10·i`.
pub(crate) struct Cluster {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) base: u16,
    pub(crate) nodes: Vec<Option<Process>>,
    /// What every node is started with.
    always: Vec<String>,
    /// What every node logs; what it does by itself where nothing is said.
    logged: Option<&'static str>,
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

impl Cluster {
    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let base = free_base(60);
        // Another run of the tests, at the same time and by chance on the same ports, is another cluster.
        let cookie = format!("secret of the tests {} {base}", std::process::id());
        std::fs::write(dir.path().join("cookie"), cookie).expect("write the cookie");
        Self {
            dir,
            base,
            nodes: (0..NAMES.len()).map(|_| None).collect(),
            always: Vec::new(),
            logged: None,
        }
    }

    /// `n` nodes that expect each other, with times for loaded machines.
    pub(crate) fn start(n: usize) -> Self {
        Self::start_with(n, &[])
    }

    /// The same, each node with these arguments.
    pub(crate) fn start_with(n: usize, always: &[&str]) -> Self {
        Self::empty().started(n, always)
    }

    /// The same, each node logging that.
    pub(crate) fn logging(filter: &'static str, n: usize, always: &[&str]) -> Self {
        let mut cluster = Self::empty();
        cluster.logged = Some(filter);
        cluster.started(n, always)
    }

    /// The same, ready for faults, and each run of a node with a journal.
    pub(crate) fn start_judged(n: usize) -> Self {
        let cluster = Self::empty();
        let journal = cluster.dir.path().join("%n-%i.jsonl");
        let journal = journal.to_str().expect("a path in UTF-8").to_owned();
        cluster.started(n, &["--chaos", "--journal", &journal])
    }

    fn started(mut self, n: usize, always: &[&str]) -> Self {
        self.always = always.iter().map(|argument| (*argument).to_owned()).collect();
        for i in 0..n {
            self.start_expecting(i, n);
        }
        self.wait_for_members(n);
        self
    }

    pub(crate) fn start_expecting(&mut self, i: usize, n: usize) {
        let joins: Vec<String> = (0..n).filter(|o| *o != i).map(|o| self.mesh(o)).collect();
        let count = n.to_string();
        let mut extra = vec!["--expect", &count];
        for join in &joins {
            extra.extend(["--join", join]);
        }
        self.start_node(i, &extra);
    }

    pub(crate) fn start_node(&mut self, i: usize, extra: &[&str]) {
        let mut command = self.node_command(
            &NodeSpec {
                name: NAMES[i],
                extra,
            },
            i,
        );
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log(i))
            .expect("a log file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.nodes[i] = Some(Process::spawn(&mut command));
    }

    pub(crate) fn node_command(&self, spec: &NodeSpec<'_>, i: usize) -> Command {
        let mut command = squall();
        command
            .args([
                "node",
                "--name",
                spec.name,
                "--listen",
                &self.mesh(i),
                "--grpc",
                &self.grpc(i),
            ])
            .args(["--profile", "slow", "--cookie-file"])
            .arg(self.cookie())
            .arg("--data-dir")
            .arg(self.dir.path().join(NAMES[i]))
            .args(&self.always)
            .args(spec.extra)
            .envs(self.logged.map(|filter| ("SQUALL_LOG", filter)));
        command
    }

    pub(crate) fn log(&self, i: usize) -> PathBuf {
        self.dir.path().join(format!("{}.log", NAMES[i]))
    }

    pub(crate) fn cookie(&self) -> PathBuf {
        self.dir.path().join("cookie")
    }

    pub(crate) fn mesh(&self, i: usize) -> String {
        format!("127.0.0.1:{}", usize::from(self.base) + 10 * i)
    }

    pub(crate) fn grpc(&self, i: usize) -> String {
        format!("127.0.0.1:{}", usize::from(self.base) + 10 * i + 1)
    }

    /// Addresses of all nodes that run.
    pub(crate) fn connect(&self) -> String {
        let running = (0..self.nodes.len()).filter(|i| self.nodes[*i].is_some());
        running.map(|i| self.mesh(i)).collect::<Vec<_>>().join(",")
    }

    /// SIGKILL, reaped.
    pub(crate) fn kill(&mut self, i: usize) {
        drop(self.nodes[i].take().expect("the node runs"));
    }

    pub(crate) fn name(i: usize) -> &'static str {
        NAMES[i]
    }

    pub(crate) fn index(name: &str) -> usize {
        NAMES.iter().position(|n| *n == name).expect("a node's name")
    }

    /// A client command on this cluster.
    pub(crate) fn client(&self, args: &[&str]) -> Command {
        let mut command = squall();
        command
            .args(args)
            .env("SQUALL_CONNECT", self.connect())
            .env("SQUALL_COOKIE_FILE", self.cookie());
        command.stdin(Stdio::null());
        command
    }

    /// A client command that knows these nodes alone.
    pub(crate) fn client_of(&self, nodes: &[usize], args: &[&str]) -> Command {
        let known: Vec<String> = nodes.iter().map(|i| self.mesh(*i)).collect();
        let mut command = self.client(args);
        command.env("SQUALL_CONNECT", known.join(","));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.client(args).output().expect("the program runs")
    }

    /// Runs a command that must succeed; gives what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        self.succeeds(&mut self.client(args))
    }

    pub(crate) fn succeeds(&self, command: &mut Command) -> String {
        let output = command.output().expect("the program runs");
        let args: Vec<_> = command.get_args().collect();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "squall {args:?}: {}\n{text}{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.logs()
        );
        text
    }

    /// A handler that echoes, attached when this returns.
    pub(crate) fn echo(&self, exchange: &str) -> (Process, Lines) {
        self.attached(self.client(&["reply", exchange, "--echo"]))
    }

    /// One that attaches through one of these nodes.
    pub(crate) fn echo_through(&self, nodes: &[usize], exchange: &str) -> (Process, Lines) {
        self.attached(self.client_of(nodes, &["reply", exchange, "--echo"]))
    }

    /// A handler that its owner knows when this returns, and what it says.
    pub(crate) fn attached(&self, mut handler: Command) -> (Process, Lines) {
        let mut process = Process::spawn(handler.stdout(Stdio::null()).stderr(Stdio::piped()));
        let lines = Lines::of(process.0.stderr.take().expect("piped"));
        lines.find("$leader", |line| line.contains("$leader").then_some(()));
        (process, lines)
    }

    /// Watches a headless view until `wanted` gives something.
    pub(crate) fn watch<T>(&self, view: &str, wanted: impl FnMut(&Value) -> Option<T>) -> T {
        watch(
            &mut self.client(&["observe", "--watch", "--view", view, "--json"]),
            view,
            wanted,
        )
    }

    /// Waits until so many are up, and each of them knows who leads: what it says of the cluster is worth something then.
    pub(crate) fn wait_for_members(&self, n: usize) {
        self.watch("overview", |view| {
            let nodes = view["nodes"].as_array()?;
            let voters = nodes
                .iter()
                .filter(|n| n["role"] == "voter" || n["role"] == "leader")
                .count();
            let up = |n: &&Value| n["state"] == "up" && n["meta_leader"].is_string();
            let up = nodes.iter().filter(up).count();
            (up == n && voters == if n % 2 == 1 { n } else { n - 1 }).then_some(())
        });
    }

    /// (owner, epoch) of an exchange, from a row that has an owner.
    pub(crate) fn owner(&self, exchange: &str) -> (String, u64) {
        self.watch("exchanges", |view| owner_in(view, exchange))
    }

    pub(crate) fn logs(&self) -> String {
        let log = |i| std::fs::read_to_string(self.log(i)).unwrap_or_default();
        let last = |text: String| tail(&text.lines().map(ToOwned::to_owned).collect::<Vec<_>>()).join("\n");
        (0..NAMES.len())
            .map(|i| format!("--- {}\n{}\n", NAMES[i], last(log(i))))
            .collect()
    }
}

pub(crate) fn owner_in(view: &Value, exchange: &str) -> Option<(String, u64)> {
    let row = view["exchanges"]
        .as_array()?
        .iter()
        .find(|e| e["name"] == exchange)?;
    let owner = row["owner"].as_str().filter(|o| !o.is_empty())?;
    Some((owner.to_owned(), row["epoch"].as_u64()?))
}

/// Watches a headless view. The observer ends when no node answers within a few seconds: nodes that are still starting, on a
/// machine that is busy, are asked anew.
pub(crate) fn watch<T>(command: &mut Command, what: &str, mut wanted: impl FnMut(&Value) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let lines = Lines::of(process.0.stdout.take().expect("piped"));
        let found = lines.find_until(deadline, what, |line| {
            wanted(&serde_json::from_str(line).expect("a line of JSON"))
        });
        match found {
            Ok(found) => return found,
            Err(seen) if seen.is_empty() && Instant::now() < deadline => {}
            Err(seen) => panic!("the stream ended without {what}: {:#?}", tail(&seen)),
        }
    }
}

/// True while a process of that id exists.
pub(crate) fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Waits until a child of this process has ended, and leaves it to be reaped.
pub(crate) fn wait_for_exit(pid: u32) {
    let (sender, ended) = sync_channel(1);
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process id");
    std::thread::spawn(move || {
        let _ended = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let _nobody = sender.send(());
    });
    ended
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| panic!("process {pid:?} does not end"));
}

pub(crate) fn signal(process: &Process, signal: Signal) {
    let pid = Pid::from_raw(process.id().cast_signed()).expect("a process id");
    kill_process(pid, signal).expect("the process is there");
}

/// Signals a process and gives how it ended.
pub(crate) fn end(mut process: Process, how: Signal) -> ExitStatus {
    signal(&process, how);
    wait_for_exit(process.id());
    process.0.wait().expect("it ended")
}
