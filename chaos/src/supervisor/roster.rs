//! Which node runs, is paused or is dead, and what is due when: pure, stepped with `now`. What does not live here:
//! processes, signals, pipes; `actor` carries the effects out and reports back.

use squall_kernel::id::NodeName;
use squall_kernel::time::{Instant, Span};

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, END_GRACE, STEADY, TTL_DEFAULT, TTL_MAX};

use super::order::{Deed, Effect, Order, OsPid, Refused, RestartPolicy};

#[cfg(test)]
#[path = "roster_test.rs"]
mod tests;

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
    since: Instant,
    failures: u32,
}

/// How a node's process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// In words.
    pub how: String,
    /// It left by itself and in order.
    pub in_order: bool,
}

/// All children of a supervisor.
#[derive(Debug, Clone)]
pub struct Roster {
    children: Vec<Child>,
    policy: RestartPolicy,
    end_by: Option<Instant>,
}

impl Roster {
    /// All of `names`, none started; `tick` at `now` starts them.
    #[must_use]
    pub fn new(now: Instant, names: &[NodeName], policy: RestartPolicy) -> Self {
        let child = |name: &NodeName| Child {
            name: name.clone(),
            phase: Phase::Dead { restart: Some(now) },
            starts: 0,
            last_exit: String::new(),
            since: now,
            failures: 0,
        };
        Self {
            children: names.iter().map(child).collect(),
            policy,
            end_by: None,
        }
    }

    /// The children, in order of their names' places.
    #[must_use]
    pub fn children(&self) -> &[Child] {
        &self.children
    }

    /// A child by name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Child> {
        self.children.iter().find(|child| child.name.as_str() == name)
    }

    /// True when no child runs and none will be started.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.end_by.is_some()
            && self
                .children
                .iter()
                .all(|c| matches!(c.phase, Phase::Dead { .. }))
    }

    /// The shell started a node.
    pub fn started(&mut self, now: Instant, name: &NodeName, pid: OsPid) {
        if let Some(child) = self.find(name.as_str()) {
            child.phase = Phase::Running { pid };
            child.starts += 1;
            child.since = now;
        }
    }

    /// The shell could not start a node.
    pub fn start_failed(&mut self, now: Instant, name: &NodeName, why: String) {
        let policy = self.policy;
        if let Some(child) = self.find(name.as_str()) {
            child.last_exit = why;
            child.phase = Phase::Dead {
                restart: child.next_try(now, policy),
            };
        }
    }

    /// A node's process ended. Ignored when the node runs as another process by now. One that left in order, because it
    /// was drained or told to end, is not started again by itself.
    pub fn exited(&mut self, now: Instant, name: &NodeName, pid: OsPid, exit: Exit) {
        let policy = if self.end_by.is_some() || exit.in_order {
            RestartPolicy::Never
        } else {
            self.policy
        };
        let Some(child) = self.find(name.as_str()).filter(|child| child.pid() == Some(pid)) else {
            return;
        };
        child.last_exit = exit.how;
        let restart = match child.phase {
            Phase::Dying { restart, .. } | Phase::Stopping { restart, .. } => restart,
            Phase::Running { .. } | Phase::Paused { .. } | Phase::Dead { .. } => child.next_try(now, policy),
        };
        child.phase = Phase::Dead { restart };
    }

    /// Carries an order out.
    ///
    /// # Errors
    /// [`Refused`] says why nothing was done.
    pub fn act(&mut self, now: Instant, order: &Order) -> Result<Vec<Effect>, Refused> {
        if self.end_by.is_some() {
            return Err(Refused::Ending);
        }
        if order.ttl > TTL_MAX {
            return Err(Refused::TtlTooLong {
                asked_s: order.ttl.as_ms() / 1000,
            });
        }
        let ttl = if order.ttl == Span::ZERO {
            TTL_DEFAULT
        } else {
            order.ttl
        };
        let known = self.children.iter().map(|child| child.name.to_string()).collect();
        let unknown = || Refused::UnknownNode {
            node: order.node.clone(),
            known,
        };
        let child = self.find(&order.node).ok_or_else(unknown)?;
        child.check_pid(order.expect)?;
        match order.deed {
            Deed::Kill { stay_down } => child.kill(if stay_down { None } else { Some(now + ttl) }),
            Deed::Stop { stay_down } => child.stop(now, if stay_down { None } else { Some(now + ttl) }),
            Deed::Pause => child.pause(now, ttl),
            Deed::Resume => child.resume(),
            Deed::Restart => Ok(child.restart(now)),
        }
    }

    /// Thaws every paused node and starts every dead one; names them.
    pub fn halt(&mut self, now: Instant) -> (Vec<Effect>, Vec<NodeName>) {
        let (mut effects, mut names) = (Vec::new(), Vec::new());
        if self.end_by.is_some() {
            return (effects, names);
        }
        for child in &mut self.children {
            let undone = child.undo(now);
            if matches!(child.phase, Phase::Running { .. }) && undone.is_empty() {
                continue;
            }
            names.push(child.name.clone());
            effects.extend(undone);
        }
        (effects, names)
    }

    /// Thaws every paused node, and nothing else: nobody is left to hold a pause.
    pub fn thaw_all(&mut self) -> Vec<Effect> {
        let paused = self
            .children
            .iter_mut()
            .filter(|child| matches!(child.phase, Phase::Paused { .. }));
        paused.filter_map(|child| child.resume().ok()).flatten().collect()
    }

    /// Carries out what is due.
    pub fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let forced = self.end_by.is_some_and(|by| by <= now);
        if forced {
            self.end_by = Some(now + END_GRACE);
        }
        self.children
            .iter_mut()
            .filter_map(|child| child.due(now, forced))
            .collect()
    }

    /// Ends all: SIGTERM first, SIGKILL for those left after the grace.
    pub fn end(&mut self, now: Instant) -> Vec<Effect> {
        if self.end_by.is_some() {
            return Vec::new();
        }
        self.end_by = Some(now + END_GRACE);
        self.children.iter_mut().flat_map(Child::end).collect()
    }

    /// When `tick` has something to do.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let end = self.end_by.filter(|_| !self.ended());
        self.children.iter().filter_map(Child::deadline).chain(end).min()
    }

    fn find(&mut self, name: &str) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.name.as_str() == name)
    }
}

impl Child {
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

    fn check_pid(&self, expect: Option<OsPid>) -> Result<(), Refused> {
        match expect {
            Some(expected) if self.pid() != Some(expected) => Err(Refused::OtherPid {
                node: self.name.clone(),
                expected: expected.0,
                actual: self.pid().map_or(0, |pid| pid.0),
            }),
            _ => Ok(()),
        }
    }

    fn kill(&mut self, restart: Option<Instant>) -> Result<Vec<Effect>, Refused> {
        let pid = self.pid().ok_or_else(|| self.not_running())?;
        self.phase = Phase::Dying { pid, restart };
        Ok(vec![Effect::Kill(self.name.clone())])
    }

    /// A stopped process takes no SIGTERM before it is thawed.
    fn stop(&mut self, now: Instant, restart: Option<Instant>) -> Result<Vec<Effect>, Refused> {
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

    fn pause(&mut self, now: Instant, ttl: Span) -> Result<Vec<Effect>, Refused> {
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

    fn resume(&mut self) -> Result<Vec<Effect>, Refused> {
        match self.phase {
            Phase::Running { .. } => Ok(Vec::new()),
            Phase::Paused { pid, .. } => {
                self.phase = Phase::Running { pid };
                Ok(vec![Effect::Thaw(self.name.clone())])
            }
            Phase::Stopping { .. } | Phase::Dying { .. } | Phase::Dead { .. } => Err(self.not_running()),
        }
    }

    fn restart(&mut self, now: Instant) -> Vec<Effect> {
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

    fn undo(&mut self, now: Instant) -> Vec<Effect> {
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
        vec![Effect::Start(self.name.clone())]
    }

    fn due(&mut self, now: Instant, forced: bool) -> Option<Effect> {
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
    fn end(&mut self) -> Vec<Effect> {
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

    fn next_try(&mut self, now: Instant, policy: RestartPolicy) -> Option<Instant> {
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
