//! The scene of a run, as far as sights need it that take more than one event to see. In bounded memory.

use std::collections::{BTreeMap, BTreeSet};

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{Epoch, ExchangeId, NodeId, Pid, Term};
use squall_kernel::time::Instant;

use super::Sight;
use crate::history::{Event, What};
use crate::limits::REQUESTS_REMEMBERED;

#[derive(Debug, Default)]
struct Node {
    ran: bool,
    lease: Option<Instant>,
    owns: BTreeMap<ExchangeId, Epoch>,
    meta_term: Option<Term>,
}

/// Who runs, owns and leads, and what is open.
#[derive(Debug, Default)]
pub(super) struct Scene {
    nodes: BTreeMap<NodeId, Node>,
    granted: BTreeMap<ExchangeId, (Epoch, NodeId)>,
    /// Ends of leases, the next one first.
    due: BTreeSet<(Instant, NodeId)>,
    leaders: BTreeMap<ExchangeId, (Pid, Instant)>,
    /// Open requests and the owner that routed each. What is beyond the bound is not looked at.
    routed: BTreeMap<RequestKey, NodeId>,
    faults: BTreeSet<u64>,
}

impl Scene {
    pub(super) fn see(&mut self, event: &Event, mut had: impl FnMut(Sight)) {
        self.leases_end(event.at, &mut had);
        let at = event.node;
        match &event.what {
            What::Started { .. } => self.started(at, &mut had),
            What::Ended { graceful } => self.ended(event, *graceful, &mut had),
            What::Resumed if self.lost_while_paused(at) => had(Sight::OwnerWokeLate),
            What::Lease { until } => self.lease(at, *until),
            What::Own { exchange, epoch } => {
                self.node(at).owns.insert(*exchange, *epoch);
            }
            What::Disown { exchange, .. } => {
                self.node(at).owns.remove(exchange);
            }
            What::Granted {
                exchange,
                epoch,
                owner,
            } => {
                let granted = self.granted.entry(*exchange).or_insert((*epoch, *owner));
                *granted = (*granted).max((*epoch, *owner));
            }
            What::Deleted { exchange } => {
                self.granted.remove(exchange);
                self.leaders.remove(exchange);
            }
            What::MetaLeader { term, leads } => self.meta_leader(at, leads.then_some(*term), &mut had),
            What::Leads {
                exchange,
                handler,
                until,
                ..
            } => {
                let before = self.leaders.insert(*exchange, (*handler, *until));
                if before.is_some_and(|(before, _)| before != *handler) {
                    had(Sight::LeaderChanged);
                }
            }
            What::Routed { request, .. } if self.routed.len() < REQUESTS_REMEMBERED => {
                self.routed.insert(*request, at);
            }
            What::Outcome {
                request, more: false, ..
            } => {
                self.routed.remove(request);
            }
            What::Fault { id, .. } => self.fault(*id, &mut had),
            What::FaultOver { id } => {
                self.faults.remove(id);
            }
            _ => {}
        }
    }

    /// True when an exchange that it believes to own has gone to another epoch.
    fn lost_while_paused(&self, at: NodeId) -> bool {
        let lost = |(exchange, epoch): (&ExchangeId, &Epoch)| {
            self.granted.get(exchange).is_some_and(|(now, _)| now > epoch)
        };
        self.nodes.get(&at).is_some_and(|node| node.owns.iter().any(lost))
    }

    fn fault(&mut self, id: u64, had: &mut impl FnMut(Sight)) {
        if self.faults.insert(id) && self.faults.len() > 1 {
            had(Sight::FaultsOverlapped);
        }
    }

    fn node(&mut self, node: NodeId) -> &mut Node {
        self.nodes.entry(node).or_default()
    }

    fn started(&mut self, at: NodeId, had: &mut impl FnMut(Sight)) {
        let node = self.node(at);
        if node.ran {
            had(Sight::NodeRestarted);
        }
        node.ran = true;
    }

    fn ended(&mut self, event: &Event, graceful: bool, had: &mut impl FnMut(Sight)) {
        let at = event.node;
        if !graceful {
            if self.routed.values().any(|owner| *owner == at) {
                had(Sight::OwnerKilledInFlight);
            }
            let led = |(pid, until): &(Pid, Instant)| pid.node == at && *until > event.at;
            if self.leaders.values().any(led) {
                had(Sight::LeaderKilled);
            }
            if self.node(at).meta_term.is_some() {
                had(Sight::MetaLeaderKilled);
            }
        }
        self.routed
            .retain(|request, owner| *owner != at && request.origin != at);
        let node = self.node(at);
        if let Some(until) = node.lease {
            self.due.remove(&(until, at));
        }
        let node = self.node(at);
        *node = Node {
            ran: node.ran,
            ..Node::default()
        };
    }

    fn lease(&mut self, at: NodeId, until: Instant) {
        let before = self.node(at).lease.replace(until);
        if let Some(before) = before {
            self.due.remove(&(before, at));
        }
        self.due.insert((until, at));
    }

    /// Leases that had ended by `now` without having been renewed.
    fn leases_end(&mut self, now: Instant, had: &mut impl FnMut(Sight)) {
        while let Some((until, at)) = self.due.first().copied().filter(|(until, _)| *until < now) {
            self.due.remove(&(until, at));
            let node = self.node(at);
            node.lease = None;
            if !node.owns.is_empty() {
                had(Sight::LeaseRanOut);
            }
        }
    }

    fn meta_leader(&mut self, at: NodeId, term: Option<Term>, had: &mut impl FnMut(Sight)) {
        self.node(at).meta_term = term;
        let leads = self
            .nodes
            .values()
            .filter(|node| node.meta_term.is_some())
            .count();
        if term.is_some() && leads > 1 {
            had(Sight::StaleMetaLeader);
        }
    }
}
