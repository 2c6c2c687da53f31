//! What the processes of a run hold: memory, descriptors, threads, over time. What does not live here: what nodes count of
//! themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use squall_proto::v1::Child;

/// Between two looks: some hundred in a long run.
const LOOK_LEAST: Duration = Duration::from_secs(2);
const LOOKS_MAX: u32 = 600;

/// What one process held at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// Since the beginning, in milliseconds.
    pub at_ms: u64,
    /// Process id: another one is another run of the node.
    pub os_pid: u64,
    /// Resident memory in KiB.
    pub rss_kib: u64,
    /// Open file descriptors.
    pub fds: u64,
    /// Threads.
    pub threads: u64,
}

/// Looks at processes now and then.
#[derive(Debug)]
pub(super) struct Upkeep {
    every: Duration,
    next: Duration,
    held: BTreeMap<String, Vec<Holding>>,
}

impl Upkeep {
    pub(super) fn new(lasts: Duration) -> Self {
        Self {
            every: LOOK_LEAST.max(lasts / LOOKS_MAX),
            next: Duration::ZERO,
            held: BTreeMap::new(),
        }
    }

    /// Looks at all of them, if it is time to.
    pub(super) fn look(&mut self, at: Duration, children: &[Child]) {
        if at < self.next {
            return;
        }
        self.next = at + self.every;
        let own = ("scenario".to_owned(), u64::from(std::process::id()));
        let nodes = children.iter().map(|child| (child.name.clone(), child.os_pid));
        for (name, pid) in nodes.chain([own]).filter(|(_, pid)| *pid > 0) {
            if let Some(holding) = holding(at, pid) {
                self.held.entry(name).or_default().push(holding);
            }
        }
    }

    pub(super) fn held(self) -> BTreeMap<String, Vec<Holding>> {
        self.held
    }
}

/// None where the system does not tell, or the process has just ended.
fn holding(at: Duration, pid: u64) -> Option<Holding> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let number = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some(Holding {
        at_ms: super::meter::millis(at),
        os_pid: pid,
        rss_kib: number("VmRSS:")?,
        fds: fds as u64,
        threads: number("Threads:")?,
    })
}

/// First, largest and last of what a process held, in the longest run of it that was seen whole.
#[must_use]
pub fn in_words(name: &str, held: &[Holding]) -> String {
    let of = |get: fn(&Holding) -> u64| {
        let values: Vec<u64> = held.iter().map(get).collect();
        let (first, last) = (values.first().copied(), values.last().copied());
        let most = values.iter().copied().max();
        format!(
            "{}, {}, {}",
            first.unwrap_or_default(),
            most.unwrap_or_default(),
            last.unwrap_or_default()
        )
    };
    format!(
        "{name}: MiB {}; descriptors {}; threads {} (first, most, last)",
        of(|h| h.rss_kib / 1024),
        of(|h| h.fds),
        of(|h| h.threads)
    )
}
