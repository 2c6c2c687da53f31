//! What was done to a cluster while it was judged, so that it can be done again. What does not live here: writing it as a scenario
//! (`crate::scenario`).

use std::collections::{BTreeMap, VecDeque};

use squall_kernel::id::{ExchangeId, NodeId};
use squall_kernel::time::{Instant, Span};
use squall_proto::v1 as proto;

use crate::history::{Event, What};

/// Faults that are remembered: the newest.
const FAULTS_MAX: usize = 1_000;

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    id: u64,
    at: Instant,
    node: NodeId,
    text: String,
    /// When it was over, or must be.
    until: Instant,
    acts: bool,
}

/// What was done up to now.
#[derive(Debug, Default)]
pub(super) struct Session {
    faults: VecDeque<Fault>,
    /// Requests that were begun.
    begun: BTreeMap<ExchangeId, u64>,
    now: Instant,
}

impl Session {
    /// Takes the next event.
    pub(super) fn see(&mut self, event: &Event) {
        self.now = self.now.max(event.at);
        match &event.what {
            What::Fault { id, text, ends_by } => {
                // One with the same id is replaced.
                self.over(*id, event.at);
                self.faults.push_back(Fault {
                    id: *id,
                    at: event.at,
                    node: event.node,
                    text: text.clone(),
                    until: *ends_by,
                    acts: true,
                });
                if self.faults.len() > FAULTS_MAX {
                    self.faults.pop_front();
                }
            }
            What::FaultOver { id } => self.over(*id, event.at),
            What::Begun { exchange, .. } => *self.begun.entry(*exchange).or_default() += 1,
            What::Deleted { exchange } => drop(self.begun.remove(exchange)),
            _ => {}
        }
    }

    fn over(&mut self, id: u64, at: Instant) {
        let acting = |fault: &&mut Fault| fault.acts && fault.id == id;
        if let Some(fault) = self.faults.iter_mut().rfind(acting) {
            fault.until = at;
            fault.acts = false;
        }
    }

    /// As a message, with the nodes by their names.
    pub(super) fn on_wire(&self, name: impl Fn(NodeId) -> Option<String>) -> proto::SessionResponse {
        let fault = |fault: &Fault| {
            Some(proto::SessionFault {
                at_ms: fault.at.since(Instant(0)).as_ms(),
                node: name(fault.node)?,
                what: fault.text.clone(),
                lasted_ms: fault.until.since(fault.at).max(Span::from_ms(1)).as_ms(),
            })
        };
        proto::SessionResponse {
            faults: self.faults.iter().filter_map(fault).collect(),
            exchanges: self
                .begun
                .iter()
                .map(|(exchange, begun)| proto::SessionExchange {
                    id: exchange.0,
                    begun: *begun,
                })
                .collect(),
            lasted_ms: self.now.since(Instant(0)).as_ms(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64, what: What) -> Event {
        Event {
            at: Instant(ms * 1000),
            node: NodeId(7),
            what,
        }
    }

    fn fault(id: u64, ends_by: u64) -> What {
        What::Fault {
            id,
            text: "cut to b".into(),
            ends_by: Instant(ends_by * 1000),
        }
    }

    #[test]
    fn a_fault_lasted_until_it_was_ended_or_replaced() {
        let mut session = Session::default();
        for event in [
            at(10, fault(1, 500)),
            at(20, fault(1, 600)),
            at(50, What::FaultOver { id: 1 }),
            at(60, fault(2, 160)),
            at(70, What::FaultOver { id: 9 }),
        ] {
            session.see(&event);
        }
        let told = session.on_wire(|_| Some("a".into()));
        let lasted: Vec<_> = told.faults.iter().map(|f| (f.at_ms, f.lasted_ms)).collect();
        assert_eq!(lasted, [(10, 10), (20, 30), (60, 100)]);
        assert_eq!(told.lasted_ms, 70);
    }

    #[test]
    fn the_newest_are_remembered_and_those_of_nobody_are_not_told() {
        let mut session = Session::default();
        for id in 0..=FAULTS_MAX as u64 {
            session.see(&at(id, fault(id, id + 1)));
        }
        let told = session.on_wire(|_| Some("a".into()));
        assert_eq!((told.faults.len(), told.faults[0].at_ms), (FAULTS_MAX, 1));
        assert!(session.on_wire(|_| None).faults.is_empty());
    }
}
