//! Counts of a load process: how its requests ended. What does not live here: sending them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use squall_client::RequestError;
use squall_kernel::id::ExchangeName;

/// One line of a load process: everything since its start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Requests its handlers replied to.
    pub handled: u64,
    /// How its requests ended, by exchange.
    pub exchanges: Vec<Outcomes>,
}

/// How the requests to one exchange ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcomes {
    /// Exchange.
    pub exchange: String,
    /// Sent.
    pub sent: u64,
    /// Not sent, because as many as allowed were open.
    pub held_back: u64,
    /// Replied.
    pub replied: u64,
    /// Timed out.
    pub timeout: u64,
    /// No handler was attached.
    pub no_responders: u64,
    /// Declined.
    pub declined: u64,
    /// Turned away.
    pub rejected: u64,
    /// Certainly not delivered.
    pub unavailable: u64,
    /// Delivered, fate unknown.
    pub interrupted: u64,
    /// Refused by the client itself.
    pub invalid: u64,
}

impl Outcomes {
    /// Requests that ended without a reply.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.timeout
            + self.no_responders
            + self.declined
            + self.rejected
            + self.unavailable
            + self.interrupted
            + self.invalid
    }

    /// Counts how one ended: with a reply, or with that error.
    pub(crate) fn count(&mut self, error: Option<&RequestError>) {
        let counter = match error {
            None => &mut self.replied,
            Some(RequestError::Timeout) => &mut self.timeout,
            Some(RequestError::NoResponders) => &mut self.no_responders,
            Some(RequestError::Declined(_)) => &mut self.declined,
            Some(RequestError::Rejected) => &mut self.rejected,
            Some(RequestError::Unavailable(_) | RequestError::NoMiddleware(_)) => &mut self.unavailable,
            Some(RequestError::Interrupted | RequestError::Failed(_)) => &mut self.interrupted,
            Some(RequestError::Invalid(_)) => &mut self.invalid,
        };
        *counter += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.held_back += other.held_back;
        self.replied += other.replied;
        self.timeout += other.timeout;
        self.no_responders += other.no_responders;
        self.declined += other.declined;
        self.rejected += other.rejected;
        self.unavailable += other.unavailable;
        self.interrupted += other.interrupted;
        self.invalid += other.invalid;
    }
}

/// The counts of all load processes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Requests handlers replied to.
    pub handled: u64,
    /// How requests ended, by exchange.
    pub exchanges: BTreeMap<String, Outcomes>,
}

impl Totals {
    /// The sum of the processes' latest lines.
    #[must_use]
    pub fn of<'c>(lines: impl IntoIterator<Item = &'c Counts>) -> Self {
        let mut totals = Self::default();
        for counts in lines {
            totals.handled += counts.handled;
            for outcomes in &counts.exchanges {
                let name = outcomes.exchange.clone();
                let empty = || Outcomes {
                    exchange: outcomes.exchange.clone(),
                    ..Outcomes::default()
                };
                totals.exchanges.entry(name).or_insert_with(empty).add(outcomes);
            }
        }
        totals
    }
}

/// Counters that many tasks write to.
#[derive(Debug)]
pub(super) struct Counters {
    exchange: ExchangeName,
    sent: AtomicU64,
    held_back: AtomicU64,
    replied: AtomicU64,
    timeout: AtomicU64,
    no_responders: AtomicU64,
    declined: AtomicU64,
    rejected: AtomicU64,
    unavailable: AtomicU64,
    interrupted: AtomicU64,
    invalid: AtomicU64,
}

impl Counters {
    pub(super) fn new(exchange: ExchangeName) -> Self {
        let zero = AtomicU64::default;
        Self {
            exchange,
            sent: zero(),
            held_back: zero(),
            replied: zero(),
            timeout: zero(),
            no_responders: zero(),
            declined: zero(),
            rejected: zero(),
            unavailable: zero(),
            interrupted: zero(),
            invalid: zero(),
        }
    }

    pub(super) fn exchange(&self) -> &ExchangeName {
        &self.exchange
    }

    /// Counts a request and gives its number, from 1.
    pub(super) fn sent(&self) -> u64 {
        self.sent.fetch_add(1, Relaxed) + 1
    }

    pub(super) fn held_back(&self) {
        self.held_back.fetch_add(1, Relaxed);
    }

    pub(super) fn ended(&self, error: Option<&RequestError>) {
        let counter = match error {
            None => &self.replied,
            Some(RequestError::Timeout) => &self.timeout,
            Some(RequestError::NoResponders) => &self.no_responders,
            Some(RequestError::Declined(_)) => &self.declined,
            Some(RequestError::Rejected) => &self.rejected,
            Some(RequestError::Unavailable(_) | RequestError::NoMiddleware(_)) => &self.unavailable,
            Some(RequestError::Interrupted | RequestError::Failed(_)) => &self.interrupted,
            Some(RequestError::Invalid(_)) => &self.invalid,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> Outcomes {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        Outcomes {
            exchange: self.exchange.to_string(),
            sent: of(&self.sent),
            held_back: of(&self.held_back),
            replied: of(&self.replied),
            timeout: of(&self.timeout),
            no_responders: of(&self.no_responders),
            declined: of(&self.declined),
            rejected: of(&self.rejected),
            unavailable: of(&self.unavailable),
            interrupted: of(&self.interrupted),
            invalid: of(&self.invalid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_counted_under_exactly_one_end() {
        let counters = Counters::new(ExchangeName::new("users").unwrap());
        let ends = [
            None,
            Some(RequestError::Timeout),
            Some(RequestError::Declined("no".into())),
        ];
        for end in &ends {
            counters.sent();
            counters.ended(end.as_ref());
        }
        let read = counters.read();
        assert_eq!((read.sent, read.replied, read.failed()), (3, 1, 2));
    }

    #[test]
    fn lines_of_several_processes_add_up_by_exchange() {
        let line = |exchange: &str, replied| Counts {
            handled: 1,
            exchanges: vec![Outcomes {
                exchange: exchange.into(),
                replied,
                ..Outcomes::default()
            }],
        };
        let lines = [line("users", 2), line("orders", 3), line("users", 5)];
        let totals = Totals::of(&lines);
        assert_eq!((totals.handled, totals.exchanges["users"].replied), (3, 7));
        let text = serde_json::to_string(&lines[0]).unwrap();
        assert_eq!(serde_json::from_str::<Counts>(&text).unwrap(), lines[0]);
    }
}
