//! What becomes of a handler that panicked or is done: its restart policy, and how often it is restarted at most. After
//! Erlang/OTP's supervisors ("Design Principles", restart type and maximum restart intensity).
//!
//! What does not live here: catching panics, and restarting.

use alloc::collections::VecDeque;

use crate::limits;
use crate::reason::DetachReason;
use crate::time::{Instant, Span};

/// When a handler is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// After a panic, and when it is done.
    #[default]
    Permanent,
    /// After a panic; it is detached when it is done.
    Transient,
    /// Never: it is detached after either.
    Temporary,
}

/// A handler's restart policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supervision {
    /// When it is restarted.
    pub restart: Restart,
    /// How often at most within that time, up to [`limits::RESTARTS_MAX`]; once more, and it is detached for good.
    pub restarts: u32,
    /// That time.
    pub within: Span,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            restart: Restart::default(),
            restarts: 10,
            within: Span::from_ms(60_000),
        }
    }
}

/// How a handler's run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It panicked.
    Panicked,
    /// It has done what it was for.
    Done,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Restart,
    /// It is detached, for good.
    Detach(DetachReason),
}

/// Follows one handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervisor {
    policy: Supervision,
    /// Restarts within the policy's time, at most as many as it allows.
    restarted: VecDeque<Instant>,
}

impl Supervisor {
    /// Of a handler that has just begun.
    #[must_use]
    pub const fn new(policy: Supervision) -> Self {
        Self {
            policy,
            restarted: VecDeque::new(),
        }
    }

    /// The handler's run has ended.
    pub fn ended(&mut self, now: Instant, exit: Exit) -> Verdict {
        let reason = match exit {
            Exit::Panicked => DetachReason::Panicked,
            Exit::Done => DetachReason::Done,
        };
        let goes_on = match self.policy.restart {
            Restart::Permanent => true,
            Restart::Transient => exit == Exit::Panicked,
            Restart::Temporary => false,
        };
        while self
            .restarted
            .front()
            .is_some_and(|at| now.since(*at) >= self.policy.within)
        {
            self.restarted.pop_front();
        }
        let most = self.policy.restarts.min(limits::RESTARTS_MAX) as usize;
        if !goes_on || self.restarted.len() >= most {
            return Verdict::Detach(reason);
        }
        self.restarted.push_back(now);
        Verdict::Restart
    }

    /// Restarts within the policy's time, as of the last end.
    #[must_use]
    pub fn restarts(&self) -> usize {
        self.restarted.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant(ms * 1000)
    }

    #[test]
    fn each_policy_restarts_after_what_it_says() {
        use DetachReason::{Done, Panicked};
        let table = [
            (Restart::Permanent, Exit::Panicked, Verdict::Restart),
            (Restart::Permanent, Exit::Done, Verdict::Restart),
            (Restart::Transient, Exit::Panicked, Verdict::Restart),
            (Restart::Transient, Exit::Done, Verdict::Detach(Done)),
            (Restart::Temporary, Exit::Panicked, Verdict::Detach(Panicked)),
            (Restart::Temporary, Exit::Done, Verdict::Detach(Done)),
        ];
        for (restart, exit, expected) in table {
            let policy = Supervision {
                restart,
                ..Supervision::default()
            };
            let mut supervisor = Supervisor::new(policy);
            assert_eq!(supervisor.ended(at(0), exit), expected, "{restart:?} {exit:?}");
        }
    }

    #[test]
    fn one_restart_too_many_within_the_time_detaches_and_later_ones_do_not_count_the_first() {
        let mut supervisor = Supervisor::new(Supervision {
            restarts: 2,
            within: Span::from_ms(100),
            ..Supervision::default()
        });
        let gone = Verdict::Detach(DetachReason::Panicked);
        assert_eq!(supervisor.ended(at(0), Exit::Panicked), Verdict::Restart);
        assert_eq!(supervisor.ended(at(60), Exit::Panicked), Verdict::Restart);
        assert_eq!(supervisor.clone().ended(at(99), Exit::Panicked), gone);
        assert_eq!(supervisor.ended(at(100), Exit::Panicked), Verdict::Restart);
        assert_eq!(supervisor.restarts(), 2);
        assert_eq!(supervisor.ended(at(110), Exit::Panicked), gone);
    }

    #[test]
    fn no_restarts_at_all_are_none() {
        let mut supervisor = Supervisor::new(Supervision {
            restarts: 0,
            ..Supervision::default()
        });
        let verdict = supervisor.ended(at(0), Exit::Panicked);
        assert_eq!(verdict, Verdict::Detach(DetachReason::Panicked));
    }
}
