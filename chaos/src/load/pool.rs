//! The load processes of the demo: starts them, reads their lines, ends them. What does not live here: what they do.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Counts, Share, Totals};

/// Load processes have nothing to hand over.
const END_GRACE: Duration = Duration::from_secs(2);

/// The processes to start.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// The squall program: run as `PROGRAM load-client …`.
    pub program: PathBuf,
    /// Addresses of the nodes (mesh). Each process prefers another one.
    pub connect: Vec<String>,
    /// File with the cluster's cookie.
    pub cookie_file: PathBuf,
    /// Directory for their logs.
    pub log_dir: PathBuf,
    /// Handlers and requests of each process.
    pub shares: Vec<(Vec<Share>, Vec<Share>)>,
}

/// Load processes that run. They end when it is dropped, as their stdin does.
#[derive(Debug)]
pub struct Pool {
    processes: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    stdin: Option<ChildStdin>,
    child: Child,
    latest: watch::Receiver<Counts>,
    reader: JoinHandle<()>,
}

impl Pool {
    /// Starts all processes.
    ///
    /// # Errors
    /// A process or its log file could not be started; those before it end.
    pub fn start(options: &PoolOptions) -> io::Result<Self> {
        let processes = (0..options.shares.len()).map(|number| Process::start(options, number));
        Ok(Self {
            processes: processes.collect::<io::Result<_>>()?,
        })
    }

    /// The sum of what they have reported.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let lines: Vec<Counts> = self
            .processes
            .iter()
            .map(|process| process.latest.borrow().clone())
            .collect();
        Totals::of(&lines)
    }

    /// How many still report.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.processes
            .iter()
            .filter(|process| !process.reader.is_finished())
            .count()
    }

    /// How many were started.
    #[must_use]
    pub fn started(&self) -> usize {
        self.processes.len()
    }

    /// Ends them and waits for their ends.
    pub async fn end(mut self) {
        for process in &mut self.processes {
            process.stdin = None;
        }
        for process in &mut self.processes {
            if timeout(END_GRACE, process.child.wait()).await.is_err() {
                // Fails only for a process that has ended meanwhile.
                drop(process.child.kill().await);
            }
        }
    }
}

impl Process {
    fn start(options: &PoolOptions, number: usize) -> io::Result<Self> {
        let log = File::create(options.log_dir.join(format!("load-{number}.log")))?;
        let mut child = Command::new(&options.program)
            .args(arguments(options, number))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout was asked for");
        let (sender, latest) = watch::channel(Counts::default());
        let reader = tokio::spawn(read(stdout, sender));
        Ok(Self {
            stdin,
            child,
            latest,
            reader,
        })
    }
}

async fn read(stdout: ChildStdout, latest: watch::Sender<Counts>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(counts) => drop(latest.send_replace(counts)),
            Err(error) => tracing::warn!(%error, "a load process wrote something else than counts"),
        }
    }
}

fn arguments(options: &PoolOptions, number: usize) -> Vec<String> {
    let mut connect = options.connect.clone();
    let nodes = connect.len().max(1);
    connect.rotate_left(number % nodes);
    let mut arguments = vec!["load-client".to_owned(), "--connect".into(), connect.join(",")];
    arguments.extend(["--cookie-file".into(), options.cookie_file.display().to_string()]);
    let (handlers, requests) = &options.shares[number];
    for (name, shares) in [("--handlers", handlers), ("--requests", requests)] {
        arguments.extend(
            shares
                .iter()
                .flat_map(|share| [name.to_owned(), share.to_string()]),
        );
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_prefers_another_node() {
        let share = |text: &str| vec![text.parse().unwrap()];
        let options = PoolOptions {
            program: "squall".into(),
            connect: vec!["a:1".into(), "b:1".into()],
            cookie_file: "/d/cookie".into(),
            log_dir: "/d".into(),
            shares: vec![(share("users=2"), vec![]), (vec![], share("users=200"))],
        };
        let line = |number| arguments(&options, number).join(" ");
        assert_eq!(
            line(0),
            "load-client --connect a:1,b:1 --cookie-file /d/cookie --handlers users=2"
        );
        assert_eq!(
            line(1),
            "load-client --connect b:1,a:1 --cookie-file /d/cookie --requests users=200"
        );
    }
}
