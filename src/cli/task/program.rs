//! A program that carries out tasks: payload in, exit code out.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Result;
use squall_client::{Done, Task};
use squall_kernel::id::ExchangeName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::cli::exit::Usage;

/// Of standard error only the first line is used.
const STDERR_BYTES_MAX: u64 = 4096;
/// Shortest pause between two extensions.
const EXTEND_AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// A program and its arguments.
#[derive(Debug)]
pub(super) struct Program {
    exchange: ExchangeName,
    name: String,
    args: Vec<String>,
}

impl Program {
    /// Checks that there is such a program. One word with blanks is a program with its arguments, and nothing in it is quoted:
    /// no shell is between.
    pub(super) fn new(exchange: &ExchangeName, words: &[String]) -> Result<Self> {
        let words: Vec<String> = match words {
            [line] => line.split_whitespace().map(str::to_owned).collect(),
            words => words.to_vec(),
        };
        let (name, args) = words
            .split_first()
            .ok_or_else(|| Usage("--command needs a program".into()))?;
        if !exists(name) {
            return Err(Usage(format!("program '{name}' is not there; check --command and PATH")).into());
        }
        Ok(Self {
            exchange: exchange.clone(),
            name: name.clone(),
            args: args.to_vec(),
        })
    }

    /// Runs the program on a task; it is killed when the task is given to another worker.
    pub(super) async fn carry_out(&self, task: Task) -> Done {
        let ran = tokio::select! {
            ran = self.run(&task) => ran,
            // The word does not count any more: whoever has the task now decides.
            () = keep(&task) => return Done::failed("the lease is over"),
        };
        match ran {
            Ok((status, _)) if status.success() => Done::Confirm,
            Ok((status, stderr)) => {
                let line = stderr.lines().map(str::trim).find(|line| !line.is_empty());
                Done::failed(line.map_or_else(|| format!("{} failed: {status}", self.name), str::to_owned))
            }
            Err(error) => Done::failed(format!("{}: {error}", self.name)),
        }
    }

    async fn run(&self, task: &Task) -> io::Result<(ExitStatus, String)> {
        let mut child = self.start(task)?;
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A program need not read its input.
                let _unread = stdin.write_all(task.payload()).await;
            }
        };
        let said = async {
            let mut bytes = Vec::new();
            if let Some(mut stderr) = stderr {
                (&mut stderr)
                    .take(STDERR_BYTES_MAX)
                    .read_to_end(&mut bytes)
                    .await?;
                tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
            }
            Ok::<_, io::Error>(String::from_utf8_lossy(&bytes).into_owned())
        };
        let ((), said) = tokio::join!(feed, said);
        Ok((child.wait().await?, said?))
    }

    fn start(&self, task: &Task) -> io::Result<Child> {
        Command::new(&self.name)
            .args(&self.args)
            .env("SQUALL_EXCHANGE", self.exchange.as_str())
            .env("SQUALL_TASK", task.id().to_string())
            .env("SQUALL_LEASE", task.lease().to_string())
            .env("SQUALL_ATTEMPT", task.attempt().to_string())
            .env(
                "SQUALL_KEY",
                String::from_utf8_lossy(task.key()).replace('\0', ""),
            )
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

/// Extends the lease by its length, at a third of it; returns when it is over.
async fn keep(task: &Task) {
    let length = task.remaining();
    loop {
        sleep((length / 3).max(EXTEND_AT_MOST_EVERY)).await;
        if task.extend(length).await.is_err() {
            return;
        }
    }
}

fn exists(name: &str) -> bool {
    if name.contains('/') {
        return Path::new(name).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}
