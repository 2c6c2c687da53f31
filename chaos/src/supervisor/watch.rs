//! The supervisor's end of the guard: starts it, gives it orders, waits for its answers. What does not live here: what
//! the guard does (`crate::guard`).

use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::guard::{GuardOrder, OK};
use crate::limits::GUARD_ANSWER;

/// A guard that runs. Dropping it closes its stdin, on which it ends all it watches and then itself.
#[derive(Debug)]
pub(super) struct Watch {
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    /// Starts `program guard`, which removes `temporary` when it ends. The child is the caller's to wait for.
    pub(super) fn start(program: &Path, temporary: Option<&Path>) -> io::Result<(Self, Child)> {
        let mut command = Command::new(program);
        command.arg("guard");
        if let Some(temporary) = temporary {
            command.arg("--temporary").arg(temporary);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C at the terminal is for the supervisor alone.
            .process_group(0)
            .spawn()?;
        let stdin = child.stdin.take().expect("stdin was asked for");
        let stdout = child.stdout.take().expect("stdout was asked for");
        Ok((
            Self {
                stdin,
                answers: BufReader::new(stdout).lines(),
            },
            child,
        ))
    }

    /// Gives an order and waits until it is carried out.
    pub(super) async fn order(&mut self, order: GuardOrder) -> io::Result<()> {
        let answer = timeout(GUARD_ANSWER, self.ask(order))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        if answer == OK {
            Ok(())
        } else {
            Err(io::Error::other(format!("{order}: {answer}")))
        }
    }

    async fn ask(&mut self, order: GuardOrder) -> io::Result<String> {
        self.stdin.write_all(format!("{order}\n").as_bytes()).await?;
        self.stdin.flush().await?;
        self.answers
            .next_line()
            .await?
            .ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}
