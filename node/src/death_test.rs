//! Tests with real processes: what ends one is seen, what stops one is not, and no other process is taken for it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::time::timeout;

use super::*;

/// Only there so that a failure ends.
const LONG: Duration = Duration::from_secs(60);

/// A process that does nothing until its standard input ends. It is ended with the test.
pub(crate) struct Cat {
    child: Child,
    _input: ChildStdin,
}

impl Cat {
    pub(crate) fn start() -> Self {
        let mut cat = Command::new("cat");
        let mut child = cat.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        Self { child, _input: input }
    }

    pub(crate) fn process(&self) -> ProcessIdentity {
        system::identity_of(self.child.id())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Stops it; it has stopped when this returns.
    pub(crate) fn stop(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
        let stopped = waitpid(Some(self.pid()), WaitOptions::UNTRACED).unwrap();
        assert!(stopped.is_some_and(|(_, status)| status.stopped()));
    }

    /// Kills it, and leaves it unnoticed by its parent.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Its parent takes notice.
    pub(crate) fn reap(&mut self) {
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _noticed_already = self.child.wait();
    }
}

async fn ended(sight: &Sight) {
    timeout(LONG, sight.ended())
        .await
        .expect("it comes in time")
        .unwrap();
}

#[tokio::test]
async fn a_killed_process_has_ended_before_its_parent_notices() {
    let mut cat = Cat::start();
    let sight = Sight::open(cat.process()).unwrap();
    cat.kill();
    ended(&sight).await;
    cat.reap();
    ended(&sight).await;
}

#[tokio::test]
async fn a_stopped_process_has_not_ended() {
    let mut cat = Cat::start();
    let sight = Sight::open(cat.process()).unwrap();
    cat.stop();
    // The end of another process, killed later, is seen: whatever there was to see of the stopped one came before.
    let mut other = Cat::start();
    let seen = Sight::open(other.process()).unwrap();
    other.kill();
    tokio::select! {
        biased;
        result = sight.ended() => panic!("a stopped process was taken for dead: {result:?}"),
        () = ended(&seen) => {}
    }
    cat.kill();
    ended(&sight).await;
}

#[tokio::test]
async fn another_process_with_the_same_pid_is_not_watched() {
    let cat = Cat::start();
    let earlier = ProcessIdentity {
        start_time: cat.process().start_time - 1,
        ..cat.process()
    };
    assert!(matches!(Sight::open(earlier), Err(Blind::Another(pid)) if pid == earlier.pid));
}

#[tokio::test]
async fn a_process_that_is_gone_cannot_be_watched() {
    let mut cat = Cat::start();
    let gone = cat.process();
    cat.kill();
    cat.reap();
    assert!(matches!(Sight::open(gone), Err(Blind::Process { .. })));
    let none = ProcessIdentity { pid: 0, ..gone };
    assert!(matches!(Sight::open(none), Err(Blind::Process { .. })));
}

#[test]
fn a_child_shares_the_pids_of_its_parent() {
    let (own, child) = (own().unwrap(), Cat::start().process());
    assert!(own.shares_pids_with(&child));
    assert_eq!(own.pid, std::process::id());
    assert!(own.start_time <= child.start_time);
}
