//! Linux: a pidfd, which stays with its process whoever gets the pid next, and `/proc`, which tells when the process
//! started.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use squall_kernel::handshake::ProcessIdentity;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Blind;

/// A line of `/proc/PID/stat` has some 400 bytes.
const STAT_BYTES_MAX: usize = 4096;
/// Places behind the command's name, which may hold anything; proc(5) counts the state as field 3.
const STATE: usize = 0;
const START_TIME: usize = 22 - 3;

/// Which process this one is.
pub(super) fn own() -> Result<ProcessIdentity, Blind> {
    let pid = std::process::id();
    let stat = Stat::read(pid, &open(pid, "/proc/self/stat")?)?;
    // `/proc` may show another pid namespace than the one this process lives in: its pids mean nothing here then.
    if stat.pid != pid {
        return Err(Blind::Another(pid));
    }
    identity(pid, stat.start_time)
}

fn identity(pid: u32, start_time: u64) -> Result<ProcessIdentity, Blind> {
    let failed = |source| Blind::Process { pid, source };
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(failed)?;
    let namespace = fs::metadata("/proc/self/ns/pid").map_err(failed)?;
    Ok(ProcessIdentity {
        boot_id: uuid(boot_id.trim()).ok_or(Blind::Unclear(pid))?,
        pid_namespace: namespace.ino(),
        pid,
        start_time,
    })
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits = text.replace('-', "");
    let all = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let bits = all.then(|| u128::from_str_radix(&digits, 16).ok())??;
    Some(bits.to_be_bytes())
}

fn open(pid: u32, path: &str) -> Result<File, Blind> {
    File::open(path).map_err(|source| Blind::Process { pid, source })
}

/// What `/proc/PID/stat` says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    pid: u32,
    state: char,
    start_time: u64,
}

impl Stat {
    fn read(pid: u32, file: &File) -> Result<Self, Blind> {
        let mut bytes = [0; STAT_BYTES_MAX];
        let len = file
            .read_at(&mut bytes, 0)
            .map_err(|source| Blind::Process { pid, source })?;
        Self::parse(&bytes[..len]).ok_or(Blind::Unclear(pid))
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let line = String::from_utf8_lossy(line);
        let (pid, _) = line.split_once(' ')?;
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            pid: pid.parse().ok()?,
            state: fields.get(STATE)?.chars().next()?,
            start_time: fields.get(START_TIME)?.parse().ok()?,
        })
    }

    const fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// A process under watch.
#[derive(Debug)]
pub(crate) struct Sight {
    process: ProcessIdentity,
    end: AsyncFd<OwnedFd>,
    /// Stays with the process, as the pidfd does.
    stat: File,
}

impl Sight {
    /// Takes a process into view that shares its pids with this one. Called inside a runtime.
    pub(crate) fn open(process: ProcessIdentity) -> Result<Self, Blind> {
        let pid = process.pid;
        let failed = |source| Blind::Process { pid, source };
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let raw = raw.ok_or_else(|| failed(Errno::SRCH.into()))?;
        let end = pidfd_open(raw, PidfdFlags::empty()).map_err(|errno| failed(errno.into()))?;
        // The start time is looked at after the pidfd was opened. So if it is the right one, the process had the pid
        // all the time, and the pidfd is its own.
        let stat = open(pid, &format!("/proc/{pid}/stat"))?;
        if Stat::read(pid, &stat)?.start_time != process.start_time {
            return Err(Blind::Another(pid));
        }
        let end = readiness(end).map_err(failed)?;
        Ok(Self { process, end, stat })
    }

    /// Returns `Ok` when the process has ended, which its parent need not have noticed, and never before.
    pub(crate) async fn ended(&self) -> Result<(), Blind> {
        let pid = self.process.pid;
        loop {
            let ready = self.end.readable().await;
            let mut ready = ready.map_err(|source| Blind::Process { pid, source })?;
            if self.is_dead()? {
                return Ok(());
            }
            // Readiness is a hint; the system's word counts.
            ready.clear_ready();
        }
    }

    fn is_dead(&self) -> Result<bool, Blind> {
        match Stat::read(self.process.pid, &self.stat) {
            Ok(stat) => Ok(stat.is_dead()),
            Err(Blind::Process { source, .. }) if is_gone(&source) => Ok(true),
            Err(why) => Err(why),
        }
    }
}

#[expect(
    deprecated,
    reason = "its heir is unsafe, for owners of descriptors that close them too early; this one keeps its own open"
)]
fn readiness(end: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(end, Interest::READABLE)
}

/// True when the process is gone altogether: its parent has noticed.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// The identity of another process, for tests.
#[cfg(test)]
pub(super) fn identity_of(pid: u32) -> ProcessIdentity {
    let stat = Stat::read(pid, &open(pid, &format!("/proc/{pid}/stat")).unwrap()).unwrap();
    identity(pid, stat.start_time).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_be_called_anything() {
        let line = b"12 (a) Z 1) (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        let stat = Stat {
            pid: 12,
            state: 'S',
            start_time: 777,
        };
        assert_eq!(Stat::parse(line), Some(stat));
    }

    #[test]
    fn half_a_line_is_no_process() {
        for line in [
            "",
            "12",
            "12 (a",
            "12 (a) S 1 2 3",
            "x (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 7",
        ] {
            assert_eq!(Stat::parse(line.as_bytes()), None, "{line}");
        }
        assert_eq!(uuid("bcd1c111-67ee-4427-be1e-ba8c0263d5e"), None);
        assert_eq!(uuid("+cd1c111-67ee-4427-be1e-ba8c0263d5e7"), None);
    }
}
