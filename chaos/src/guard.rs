//! The guard: a small process beside the supervisor that holds the pauses. It thaws a paused process at its deadline,
//! and when its own stdin ends, because the supervisor died, it ends every process it watches, and removes their directory
//! if that was a temporary one. One order a line on stdin, one answer a line on stdout. What does not live here: the
//! supervisor's end of the pipe (`supervisor::watch`).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin, stdout};
use tokio::time::{Instant, sleep_until, timeout};

use crate::limits::{ORPHAN_GRACE, TTL_MAX};
use crate::process::{ProcessRef, Send};

/// The answer to an order that was carried out.
pub const OK: &str = "ok";

/// How the name of a directory begins that a guard removes; no other is touched.
pub const TEMPORARY_PREFIX: &str = "squall-demo-";

/// An order to the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardOrder {
    /// Watch this process. Sent before the process can be reaped, so that the id cannot mean another.
    Watch(u32),
    /// Forget it: it has ended.
    Forget(u32),
    /// Stop it, and let it go on after so many milliseconds.
    Pause(u32, u64),
    /// Let it go on.
    Thaw(u32),
}

impl fmt::Display for GuardOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Watch(pid) => write!(f, "watch {pid}"),
            Self::Forget(pid) => write!(f, "forget {pid}"),
            Self::Pause(pid, ms) => write!(f, "pause {pid} {ms}"),
            Self::Thaw(pid) => write!(f, "thaw {pid}"),
        }
    }
}

/// The line is not an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an order of the guard")]
pub struct NotAnOrder;

impl FromStr for GuardOrder {
    type Err = NotAnOrder;

    fn from_str(line: &str) -> Result<Self, NotAnOrder> {
        let mut words = line.split_ascii_whitespace();
        let verb = words.next().ok_or(NotAnOrder)?;
        let pid = words
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or(NotAnOrder)?;
        let order = match verb {
            "watch" => Self::Watch(pid),
            "forget" => Self::Forget(pid),
            "thaw" => Self::Thaw(pid),
            "pause" => {
                let ms: u64 = words
                    .next()
                    .and_then(|word| word.parse().ok())
                    .ok_or(NotAnOrder)?;
                Self::Pause(pid, ms.min(TTL_MAX.as_ms()))
            }
            _ => return Err(NotAnOrder),
        };
        if words.next().is_some() {
            Err(NotAnOrder)
        } else {
            Ok(order)
        }
    }
}

struct Watched {
    process: ProcessRef,
    thaw_at: Option<Instant>,
}

#[derive(Default)]
struct Guard {
    watched: BTreeMap<u32, Watched>,
}

/// Runs the guard on this process's stdin and stdout until stdin ends; then the temporary directory is removed, if there
/// is one.
///
/// # Errors
/// The directory is not called as a temporary one is, and nothing was done; or reading stdin failed: what was watched has
/// been ended all the same.
pub async fn run(temporary: Option<&Path>) -> io::Result<()> {
    if let Some(dir) = temporary {
        check_temporary(dir)?;
    }
    let mut guard = Guard::default();
    let outcome = guard.serve().await;
    guard.end_all().await;
    match temporary.map(std::fs::remove_dir_all) {
        // The supervisor itself may have been faster.
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => outcome.and(Err(error)),
        _ => outcome,
    }
}

fn check_temporary(dir: &Path) -> io::Result<()> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    if dir.is_absolute() && name.starts_with(TEMPORARY_PREFIX) {
        return Ok(());
    }
    let why = format!(
        "{} is no temporary directory of a demo: it is left alone",
        dir.display()
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

impl Guard {
    async fn serve(&mut self) -> io::Result<()> {
        let mut lines = BufReader::new(stdin()).lines();
        let mut out = stdout();
        loop {
            let thaw = self.watched.values().filter_map(|watched| watched.thaw_at).min();
            tokio::select! {
                biased;
                line = lines.next_line() => {
                    let line: Option<String> = line?;
                    let Some(line) = line else { return Ok(()) };
                    let answer = self.obey(&line);
                    // A supervisor that no longer reads is about to end stdin as well.
                    out.write_all(answer.as_bytes()).await?;
                    out.flush().await?;
                }
                () = at(thaw) => self.thaw_due(),
            }
        }
    }

    fn obey(&mut self, line: &str) -> String {
        let done = line
            .parse()
            .map_err(io::Error::other)
            .and_then(|order| self.carry_out(order));
        match done {
            Ok(()) => format!("{OK}\n"),
            Err(error) => format!("no: {error}\n").replace(['\r'], " "),
        }
    }

    fn carry_out(&mut self, order: GuardOrder) -> io::Result<()> {
        match order {
            GuardOrder::Watch(pid) => {
                let process = ProcessRef::open(pid)?;
                self.watched.insert(
                    pid,
                    Watched {
                        process,
                        thaw_at: None,
                    },
                );
                Ok(())
            }
            GuardOrder::Forget(pid) => {
                self.watched.remove(&pid);
                Ok(())
            }
            GuardOrder::Pause(pid, ms) => {
                let watched = self.find(pid)?;
                watched.thaw_at = Some(Instant::now() + Duration::from_millis(ms));
                watched.process.send(Send::Stop)
            }
            GuardOrder::Thaw(pid) => {
                let watched = self.find(pid)?;
                watched.thaw_at = None;
                watched.process.send(Send::Continue)
            }
        }
    }

    fn find(&mut self, pid: u32) -> io::Result<&mut Watched> {
        self.watched
            .get_mut(&pid)
            .ok_or_else(|| io::Error::other(format!("process {pid} is not watched")))
    }

    fn thaw_due(&mut self) {
        let now = Instant::now();
        for watched in self
            .watched
            .values_mut()
            .filter(|w| w.thaw_at.is_some_and(|at| at <= now))
        {
            watched.thaw_at = None;
            report(watched.process.send(Send::Continue));
        }
    }

    /// Nodes see the end of their own stdin and end themselves; those that were stopped must be thawed for that, and
    /// those that do not manage are killed.
    async fn end_all(&mut self) {
        for watched in self.watched.values() {
            report(watched.process.send(Send::Continue));
        }
        let all = async {
            for watched in self.watched.values() {
                watched.process.ended().await;
            }
        };
        if timeout(ORPHAN_GRACE, all).await.is_ok() {
            return;
        }
        for watched in self.watched.values() {
            report(watched.process.send(Send::Kill));
        }
        // They end at once, and write nothing more then.
        let killed = async {
            for watched in self.watched.values() {
                watched.process.ended().await;
            }
        };
        let _stuck = timeout(ORPHAN_GRACE, killed).await;
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// The guard has no log; its stderr is the supervisor's.
fn report(result: io::Result<()>) {
    if let Err(error) = result {
        eprintln!("guard: signal refused: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_survive_the_pipe() {
        let all = [
            GuardOrder::Watch(7),
            GuardOrder::Forget(7),
            GuardOrder::Pause(7, 1500),
            GuardOrder::Thaw(7),
        ];
        for order in all {
            assert_eq!(order.to_string().parse(), Ok(order));
        }
    }

    #[test]
    fn garbage_is_not_an_order_and_no_pause_outlasts_the_bound() {
        for line in [
            "", "watch", "watch x", "watch -1", "pause 7", "kill 7", "thaw 7 8",
        ] {
            assert_eq!(line.parse::<GuardOrder>(), Err(NotAnOrder), "{line:?}");
        }
        assert_eq!(
            "pause 7 99999999999".parse(),
            Ok(GuardOrder::Pause(7, TTL_MAX.as_ms()))
        );
    }
}
