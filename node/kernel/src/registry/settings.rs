//! What a declaration fixes beside pattern and strategy: bounds, times and neighbours of an exchange.
//!
//! What does not live here: what each of them does (`order`, `dedup`, `tasks`, the shell).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Pattern, Refused};
use crate::id::ExchangeName;
use crate::limits;
use crate::order::WhenFull;
use crate::time::Span;

/// Settings of an exchange, fixed by its declaration. Each has a default that means "as if nothing was said".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Messages that wait for one handler or subscriber at most; none for the default.
    pub mailbox: Option<u32>,
    /// What a full mailbox does with one more.
    pub when_full: WhenFull,
    /// How long a publish or a task is good for when it does not say; none for ever.
    pub ttl: Option<Span>,
    /// For how long a publisher's or submitter's own message id is remembered, so that a second message with it is taken
    /// for the first; none for not at all.
    pub dedup: Option<Span>,
    /// How long a worker may keep a task without a word; none for the default.
    pub lease: Option<Span>,
    /// How often a task is tried at most; none for the default.
    pub attempts: Option<u32>,
    /// At most one task of each key is in hand at a time.
    pub ordered: bool,
    /// Where tasks go that are given up; they are kept as dead letters either way.
    pub dead_letter: Option<ExchangeName>,
    /// Exchanges whose handlers see a request before this one does, in order (A30).
    pub middleware: Vec<ExchangeName>,
    /// Exchange whose leader decides who may subscribe (A5).
    pub controller: Option<ExchangeName>,
    /// Exchange whose leader chooses the worker of each task (A4).
    pub scheduler: Option<ExchangeName>,
}

impl Settings {
    /// Checks the settings against each other and the pattern.
    pub(super) fn check(&self, own: &ExchangeName, pattern: Pattern) -> Result<(), Refused> {
        let wrong = |why: &str| Err(Refused::Settings(why.to_string()));
        if self.mailbox == Some(0) {
            return wrong("a mailbox of no messages takes none; leave it out for the default");
        }
        if self.attempts == Some(0) {
            return wrong("a task of no attempts is never tried; leave it out for the default");
        }
        if self.middleware.len() > limits::MIDDLEWARE_MAX {
            return wrong("there are too many exchanges in front of it; 8 at most");
        }
        let mut neighbours = self
            .middleware
            .iter()
            .chain(&self.controller)
            .chain(&self.scheduler)
            .chain(&self.dead_letter);
        if neighbours.any(|name| name == own) {
            return wrong(
                "an exchange cannot be its own middleware, controller, scheduler or dead letter exchange",
            );
        }
        let tasks = self.lease.is_some()
            || self.attempts.is_some()
            || self.ordered
            || self.dead_letter.is_some()
            || self.scheduler.is_some();
        if tasks && pattern != Pattern::Task {
            return wrong("lease, attempts, ordered, dead letter and scheduler are for tasks only");
        }
        if self.controller.is_some() && pattern != Pattern::PublishSubscribe {
            return wrong("a controller is for publish-subscribe only");
        }
        if !self.middleware.is_empty() && pattern != Pattern::RequestResponse {
            return wrong("middleware is for request-response only");
        }
        Ok(())
    }

    /// In words, for whoever declares it again with others.
    pub(super) fn told(&self) -> String {
        alloc::format!("{self:?}")
    }
}
