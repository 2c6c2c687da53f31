//! Benchmarks: programs that measure and say on what machine, each checking that what it measured was right. What does
//! not live here: judging the figures, and any other broker.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use squall_client::{AttachError, CommandError, ConnectError};

use crate::client::ChaosError;
use crate::supervisor::StartError;

mod cluster;
pub mod failover;
pub mod fanout;
pub mod growth;
mod histogram;
mod load;
pub mod memory;
pub mod observe;
pub mod peers;
mod processor;
pub mod ratio;
pub mod req_resp;
pub mod role;
pub mod screen;
pub mod tasks;
pub mod tracing;
mod usage;

pub use histogram::{Histogram, nearest_rank};
pub use load::Load;

/// Version of the JSON that benchmarks print.
pub const SCHEMA: u32 = 2;

/// What the figures were taken on: without it they mean nothing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// Processors this program may use.
    pub cores: usize,
    /// Their name, where the system tells.
    pub cpu: String,
    /// Operating system and architecture.
    pub system: String,
    /// How the program was built: `release` or `debug`.
    pub profile: &'static str,
    /// Processes ready to run, averaged over the minute before; negative where the system does not tell.
    pub load_before: f64,
}

impl Machine {
    /// This one, now.
    #[must_use]
    pub fn here() -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let name = name
            .and_then(|line| line.split_once(':'))
            .map(|(_, name)| name.trim());
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split_whitespace().next().and_then(|word| word.parse().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: name.unwrap_or("unknown").to_owned(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            profile: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
            load_before: load.unwrap_or(-1.0),
        }
    }

    /// One line in words.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!(
            "{} cores ({}), {}, {} build, load before {:.2}",
            self.cores, self.cpu, self.system, self.profile, self.load_before
        );
        if self.profile == "debug" {
            let _ = write!(line, "; these figures say nothing: build with --release");
        }
        line
    }
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file, directory, process or thread cannot be had.
    #[error("{what}: {source}")]
    Io {
        /// What failed.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No ports for the nodes are free.
    #[error("no free ports for {0} nodes")]
    NoPorts(usize),
    /// The cluster could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A node in this process could not be started, or ended.
    #[error("a node in this process: {0}")]
    Node(String),
    /// Something did not come about in time.
    #[error("not within {seconds} s: {what}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// The figures would be of something that did not work.
    #[error("{0}")]
    Unsound(String),
    /// A fault was not carried out.
    #[error(transparent)]
    Chaos(#[from] ChaosError),
    /// A client did not connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// An exchange was not declared.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A handler did not attach.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> BenchError {
    move |source| BenchError::Io { what, source }
}

/// A directory that goes with its holder.
fn temporary() -> Result<tempfile::TempDir, BenchError> {
    let dir = tempfile::Builder::new().prefix("squall-bench-").tempdir();
    dir.map_err(io_error("temporary directory"))
}

/// First ports below those the system gives out and those of the end-to-end tests, one of which may run a benchmark beside a
/// cluster whose node is just being started again; different for benchmarks that run at the same time.
fn free_base(nodes: usize) -> Result<u16, BenchError> {
    let spread = u16::try_from(std::process::id() % 100).expect("a remainder by 100 fits");
    crate::layout::free_base(nodes, 8_000 + spread * 100).ok_or(BenchError::NoPorts(nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_build_says_that_its_figures_say_nothing() {
        let mut machine = Machine::here();
        assert!(machine.cores >= 1);
        machine.profile = "debug";
        assert!(machine.line().contains("say nothing"));
        machine.profile = "release";
        assert!(!machine.line().contains("say nothing"));
    }
}
