//! What this process uses: processor time and memory, as the system tells. What does not live here: other processes.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::req_resp::tally::Window;

/// Processor time that this process has used, all threads together.
pub(super) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Processor time used while the window counts. Returns when it closes.
pub(super) async fn processor_time_within(window: Window) -> Duration {
    tokio::time::sleep_until(window.counts_from.into()).await;
    let before = processor_time();
    tokio::time::sleep_until(window.until.into()).await;
    processor_time().saturating_sub(before)
}

/// Resident memory of this process, in bytes; 0 where the system does not tell.
pub(super) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    resident_of(&status).unwrap_or_default()
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_told_in_kib() {
        let status = "Name:\tsquall\nVmHWM:\t   9 kB\nVmRSS:\t   1234 kB\nThreads:\t3\n";
        assert_eq!(resident_of(status), Some(1234 * 1024));
        assert_eq!(resident_of("Name:\tsquall\n"), None);
    }

    #[test]
    fn processor_time_grows_with_work() {
        let before = processor_time();
        let mut sum = 0_u64;
        while processor_time() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(processor_time() > before);
    }
}
