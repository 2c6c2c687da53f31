//! A hold on another process that outlives the reuse of its id: a pidfd where the system has them. What does not live
//! here: who signals whom, and when.

use std::io;

use rustix::process::{Pid, Signal};

/// A process that was alive when this was opened.
#[derive(Debug)]
pub struct ProcessRef {
    #[cfg(target_os = "linux")]
    fd: tokio::io::unix::AsyncFd<rustix::fd::OwnedFd>,
    #[cfg(not(target_os = "linux"))]
    pid: Pid,
}

/// What to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Send {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Term,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Continue,
}

impl Send {
    fn signal(self) -> Signal {
        match self {
            Self::Kill => Signal::KILL,
            Self::Term => Signal::TERM,
            Self::Stop => Signal::STOP,
            Self::Continue => Signal::CONT,
        }
    }
}

impl ProcessRef {
    /// Opens the process with id `pid`. Safe against reuse only while the caller's child `pid` is not reaped yet. Needs a
    /// tokio runtime.
    ///
    /// # Errors
    /// There is no such process, or the system refused.
    pub fn open(pid: u32) -> io::Result<Self> {
        let none = || io::Error::from(io::ErrorKind::NotFound);
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(none)?;
        Self::of(pid)
    }

    /// Sends a signal; a process that has ended needs none.
    ///
    /// # Errors
    /// The system refused.
    pub fn send(&self, what: Send) -> io::Result<()> {
        match self.raw_send(what.signal()) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            result => result.map_err(io::Error::from),
        }
    }
}

#[cfg(target_os = "linux")]
impl ProcessRef {
    fn of(pid: Pid) -> io::Result<Self> {
        let fd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
        #[expect(
            deprecated,
            reason = "an OwnedFd keeps its one descriptor; what replaces this is unsafe"
        )]
        let fd = tokio::io::unix::AsyncFd::with_interest(fd, tokio::io::Interest::READABLE)?;
        Ok(Self { fd })
    }

    fn raw_send(&self, signal: Signal) -> rustix::io::Result<()> {
        rustix::process::pidfd_send_signal(self.fd.get_ref(), signal)
    }

    /// Waits for the end of the process.
    pub async fn ended(&self) {
        // An error means that the runtime is going down: nobody is left to wait.
        drop(self.fd.readable().await);
    }
}

#[cfg(not(target_os = "linux"))]
impl ProcessRef {
    fn of(pid: Pid) -> io::Result<Self> {
        rustix::process::test_kill_process(pid)?;
        Ok(Self { pid })
    }

    fn raw_send(&self, signal: Signal) -> rustix::io::Result<()> {
        rustix::process::kill_process(self.pid, signal)
    }

    /// Waits for the end of the process, by asking: there is no pidfd here.
    pub async fn ended(&self) {
        let mut look = tokio::time::interval(std::time::Duration::from_millis(20));
        while rustix::process::test_kill_process(self.pid).is_ok() {
            look.tick().await;
        }
    }
}
