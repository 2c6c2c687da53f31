//! What the operating system says of this process: processor, memory, open files.

use squall_kernel::time::{Instant, Span};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Between two measurements: the processor's share is an average over that time, and each costs a walk through /proc.
const MEASURE_EVERY: Span = Span::from_ms(1000);

/// Figures of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    /// Percent of one core; negative while not measured yet.
    pub(crate) cpu_percent: f64,
    /// Resident memory.
    pub(crate) rss_bytes: u64,
    /// Open file descriptors; 0 where the system does not tell.
    pub(crate) fds: u64,
    /// Threads; 0 where the system does not tell.
    pub(crate) threads: u64,
    /// Processor time that was used, in milliseconds.
    pub(crate) cpu_ms: u64,
}

/// Measures this process, at most once a second.
pub(crate) struct SystemFigures {
    system: Option<System>,
    pid: Pid,
    next: Option<Instant>,
    samples: u32,
    last: Figures,
}

impl SystemFigures {
    pub(crate) fn new() -> Self {
        Self {
            // A system that cannot be asked shows as unknown figures, not as a dead node.
            system: System::new().ok(),
            pid: Pid::from_u32(std::process::id()),
            next: None,
            samples: 0,
            last: Figures {
                cpu_percent: -1.0,
                rss_bytes: 0,
                fds: 0,
                threads: 0,
                cpu_ms: 0,
            },
        }
    }

    /// The latest figures; measures when a second has passed since the last time.
    pub(crate) fn read(&mut self, now: Instant) -> Figures {
        if self.next.is_none_or(|next| now >= next) {
            self.next = Some(now + MEASURE_EVERY);
            self.measure();
        }
        self.last
    }

    fn measure(&mut self) {
        let Some(system) = &mut self.system else { return };
        let wanted = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.pid]), false, wanted);
        if let Some(process) = system.process(self.pid) {
            // The first sample has nothing to compare with.
            self.samples += 1;
            let cpu_percent = if self.samples > 1 {
                f64::from(process.cpu_usage())
            } else {
                -1.0
            };
            self.last = Figures {
                cpu_percent,
                rss_bytes: process.memory(),
                fds: entries("/proc/self/fd"),
                threads: entries("/proc/self/task"),
                cpu_ms: process.accumulated_cpu_time(),
            };
        }
    }
}

fn entries(dir: &str) -> u64 {
    std::fs::read_dir(dir).map_or(0, |all| all.count() as u64)
}
