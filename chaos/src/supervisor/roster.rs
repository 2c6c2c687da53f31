//! All nodes of a supervisor: who is told what, and what is due when: pure, stepped with `now`. What does not live here: what
//! becomes of one of them (`child`); processes, signals, pipes: `actor` carries the effects out and reports back.

mod child;

use squall_kernel::id::NodeName;
use squall_kernel::time::{Instant, Span};

use crate::limits::{END_GRACE, TTL_DEFAULT, TTL_MAX};

use super::order::{Deed, Effect, Order, OsPid, Refused, RestartPolicy};
pub use child::{Child, Phase};

#[cfg(test)]
#[path = "roster_test.rs"]
mod tests;

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
        Self {
            children: names.iter().map(|name| Child::new(now, name)).collect(),
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
            Deed::Wipe => Ok(child.wipe(now + ttl)),
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
