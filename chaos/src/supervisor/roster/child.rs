//! One node of a supervisor: whether it runs, is paused, ends or is dead, and what each order makes of that.
//!
//! What does not live here: who gives orders, and the end of all (`roster`).

use squall_kernel::id::NodeName;
use squall_kernel::time::{Instant, Span};

use super::super::order::{Effect, OsPid, Refused, RestartPolicy};
use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, END_GRACE, STEADY};

/// What a child is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Runs.
    Running {
        /// Process.
        pid: OsPid,
    },
    /// Stopped by SIGSTOP.
    Paused {
        /// Process.
        pid: OsPid,
        /// When it is thawed.
        until: Instant,
    },
    /// Was sent SIGTERM; its end is awaited for a while.
    Stopping {
        /// Process.
        pid: OsPid,
        /// When it is sent SIGKILL.
        by: Instant,
        /// When it is started again.
        restart: Option<Instant>,
    },
    /// Was sent SIGKILL; its end is awaited.
    Dying {
        /// Process.
        pid: OsPid,
        /// When it is started again.
        restart: Option<Instant>,
    },
    /// Does not run.
    Dead {
        /// When it is started again.
        restart: Option<Instant>,
    },
}

/// A child as shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Name.
    pub name: NodeName,
    /// What it is at.
    pub phase: Phase,
    /// How often it was started.
    pub starts: u64,
    /// How it ended last; empty while it never did.
    pub last_exit: String,
    pub(super) since: Instant,
    failures: u32,
    /// Its data go before it starts the next time.
    wiped: bool,
}

impl Child {
    /// One that was never started, and is to be at `now`.
    pub(super) fn new(now: Instant, name: &NodeName) -> Self {
        Self {
            name: name.clone(),
            phase: Phase::Dead { restart: Some(now) },
            starts: 0,
            last_exit: String::new(),
            since: now,
            failures: 0,
            wiped: false,
        }
    }

    /// Its process, when there is one.
    #[must_use]
    pub fn pid(&self) -> Option<OsPid> {
        match self.phase {
            Phase::Running { pid }
            | Phase::Paused { pid, .. }
            | Phase::Stopping { pid, .. }
            | Phase::Dying { pid, .. } => Some(pid),
            Phase::Dead { .. } => None,
        }
    }

    /// When it is thawed, killed after a stop that takes too long, or started again.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Paused { until, .. } => Some(until),
            Phase::Stopping { by, .. } => Some(by),
            Phase::Dead { restart } => restart,
            Phase::Running { .. } | Phase::Dying { .. } => None,
        }
    }

    pub(super) fn check_pid(&self, expect: Option<OsPid>) -> Result<(), Refused> {
        // Where nothing runs, nothing else than what was meant can be hit.
        match (expect, self.pid()) {
            (Some(expected), Some(actual)) if actual != expected => Err(Refused::OtherPid {
                node: self.name.clone(),
                expected: expected.0,
                actual: actual.0,
            }),
            _ => Ok(()),
        }
    }

    /// A node that does not run is wiped as well, and starts when its time has come.
    pub(super) fn wipe(&mut self, restart: Instant) -> Vec<Effect> {
        self.wiped = true;
        match self.kill(Some(restart)) {
            Ok(effects) => effects,
            Err(_not_running) => {
                self.phase = Phase::Dead {
                    restart: Some(restart),
                };
                Vec::new()
            }
        }
    }

    pub(super) fn kill(&mut self, restart: Option<Instant>) -> Result<Vec<Effect>, Refused> {
        let pid = self.pid().ok_or_else(|| self.not_running())?;
        self.phase = Phase::Dying { pid, restart };
        Ok(vec![Effect::Kill(self.name.clone())])
    }

    /// A stopped process takes no SIGTERM before it is thawed.
    pub(super) fn stop(&mut self, now: Instant, restart: Option<Instant>) -> Result<Vec<Effect>, Refused> {
        let by = now + END_GRACE;
        let (pid, paused) = match self.phase {
            Phase::Running { pid } => (pid, false),
            Phase::Paused { pid, .. } => (pid, true),
            // It ends anyway; what changes is when it comes back.
            Phase::Stopping { pid, by, .. } => {
                self.phase = Phase::Stopping { pid, by, restart };
                return Ok(Vec::new());
            }
            Phase::Dying { .. } | Phase::Dead { .. } => return Err(self.not_running()),
        };
        self.phase = Phase::Stopping { pid, by, restart };
        let mut effects = vec![Effect::Term(self.name.clone())];
        if paused {
            effects.push(Effect::Thaw(self.name.clone()));
        }
        Ok(effects)
    }

    pub(super) fn pause(&mut self, now: Instant, ttl: Span) -> Result<Vec<Effect>, Refused> {
        match self.phase {
            Phase::Running { pid } | Phase::Paused { pid, .. } => {
                self.phase = Phase::Paused {
                    pid,
                    until: now + ttl,
                };
                Ok(vec![Effect::Pause(self.name.clone(), ttl)])
            }
            Phase::Stopping { .. } | Phase::Dying { .. } | Phase::Dead { .. } => Err(self.not_running()),
        }
    }

    pub(super) fn resume(&mut self) -> Result<Vec<Effect>, Refused> {
        match self.phase {
            Phase::Running { .. } => Ok(Vec::new()),
            Phase::Paused { pid, .. } => {
                self.phase = Phase::Running { pid };
                Ok(vec![Effect::Thaw(self.name.clone())])
            }
            Phase::Stopping { .. } | Phase::Dying { .. } | Phase::Dead { .. } => Err(self.not_running()),
        }
    }

    pub(super) fn restart(&mut self, now: Instant) -> Vec<Effect> {
        match self.pid() {
            Some(pid) => {
                self.phase = Phase::Dying {
                    pid,
                    restart: Some(now),
                };
                vec![Effect::Kill(self.name.clone())]
            }
            None => self.start(),
        }
    }

    pub(super) fn undo(&mut self, now: Instant) -> Vec<Effect> {
        match self.phase {
            Phase::Running { .. } => Vec::new(),
            Phase::Paused { pid, .. } => {
                self.phase = Phase::Running { pid };
                vec![Effect::Thaw(self.name.clone())]
            }
            Phase::Stopping { pid, by, .. } => {
                let restart = Some(now);
                self.phase = Phase::Stopping { pid, by, restart };
                Vec::new()
            }
            Phase::Dying { pid, .. } => {
                let restart = Some(now);
                self.phase = Phase::Dying { pid, restart };
                Vec::new()
            }
            Phase::Dead { .. } => self.start(),
        }
    }

    fn start(&mut self) -> Vec<Effect> {
        self.phase = Phase::Dead { restart: None };
        let name = self.name.clone();
        vec![match std::mem::take(&mut self.wiped) {
            true => Effect::StartWiped(name),
            false => Effect::Start(name),
        }]
    }

    pub(super) fn due(&mut self, now: Instant, forced: bool) -> Option<Effect> {
        if forced {
            return self.pid().map(|_| Effect::Kill(self.name.clone()));
        }
        match self.phase {
            Phase::Paused { pid, until } if until <= now => {
                self.phase = Phase::Running { pid };
                Some(Effect::Thaw(self.name.clone()))
            }
            Phase::Stopping { pid, by, restart } if by <= now => {
                self.phase = Phase::Dying { pid, restart };
                Some(Effect::Kill(self.name.clone()))
            }
            Phase::Dead { restart: Some(at) } if at <= now => self.start().pop(),
            _ => None,
        }
    }

    /// A stopped process takes no SIGTERM before it is thawed.
    pub(super) fn end(&mut self) -> Vec<Effect> {
        let name = self.name.clone();
        match self.phase {
            Phase::Running { .. } => vec![Effect::Term(name)],
            Phase::Paused { pid, .. } => {
                self.phase = Phase::Running { pid };
                vec![Effect::Term(name.clone()), Effect::Thaw(name)]
            }
            Phase::Stopping { pid, by, .. } => {
                let restart = None;
                self.phase = Phase::Stopping { pid, by, restart };
                Vec::new()
            }
            Phase::Dying { pid, .. } => {
                self.phase = Phase::Dying { pid, restart: None };
                Vec::new()
            }
            Phase::Dead { .. } => {
                self.phase = Phase::Dead { restart: None };
                Vec::new()
            }
        }
    }

    pub(super) fn next_try(&mut self, now: Instant, policy: RestartPolicy) -> Option<Instant> {
        if now.since(self.since) >= STEADY {
            self.failures = 0;
        }
        let doubled = BACKOFF_MIN.0.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        match policy {
            RestartPolicy::Never => None,
            RestartPolicy::Backoff => Some(now + Span(doubled.min(BACKOFF_MAX.0))),
        }
    }

    fn not_running(&self) -> Refused {
        let last_exit = if self.last_exit.is_empty() {
            "never started"
        } else {
            &self.last_exit
        };
        Refused::NotRunning {
            node: self.name.clone(),
            last_exit: last_exit.to_owned(),
        }
    }
}
