//! What the meta leader does about nodes that are gone, and about those that are heard again.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{CoreEffect, NodeCore};
use crate::id::{NodeId, Tenure};
use crate::limits::DRIFT_PPM;
use crate::message::PeerMessage;
use crate::promises::Gather;
use crate::reason::Lost;
use crate::registry::Command;
use crate::time::Instant;

impl NodeCore {
    pub(super) fn acts_as_meta_leader(&self) -> bool {
        self.meta.leads && self.meta.quorum
    }

    /// Gathers promises of suspects, declares them lost when all promises have run out, and lets nodes that are heard
    /// again have promises again. With each `beat` those voters are asked again that may not have heard.
    pub(super) fn work_as_meta_leader(&mut self, now: Instant, beat: bool, out: &mut Vec<CoreEffect>) {
        if !self.acts_as_meta_leader() {
            self.gathers.clear();
            return;
        }
        let (me, registry) = (self.me, Arc::clone(&self.registry));
        for record in registry.nodes.values().filter(|n| n.id != me) {
            if record.is_up() && !self.is_alive(record.id) && now >= self.late_until {
                self.gather(now, record.id, record.tenure, beat, out);
            } else if let Some(gather) = self.gathers.remove(&record.id)
                && record.is_up()
                && gather.tenure == record.tenure
            {
                out.push(CoreEffect::Propose(Command::RenewTenure {
                    node: record.id,
                    tenure: record.tenure,
                }));
            }
        }
    }

    fn gather(&mut self, now: Instant, node: NodeId, tenure: Tenure, beat: bool, out: &mut Vec<CoreEffect>) {
        let not_before = self.voters_since + self.times.promise.lengthened(DRIFT_PPM);
        let is_new = self.gathers.get(&node).is_none_or(|g| g.tenure != tenure);
        if is_new {
            self.gathers.insert(node, Gather::new(tenure, not_before));
        }
        if is_new || beat {
            self.ask_voters(now, node, tenure, out);
        }
        let ready = self
            .gathers
            .get(&node)
            .and_then(|g| g.ready_at(now, &self.meta.voters, self.times.promise));
        if ready.is_some_and(|at| now >= at) {
            // The proposal may be lost with this leadership; asking and proposing go on until the registry has moved.
            if let Some(gather) = self.gathers.get_mut(&node) {
                *gather = Gather::new(tenure, not_before);
            }
            out.push(CoreEffect::Propose(Command::NodeLost {
                node,
                tenure,
                reason: Lost::Silent,
            }));
        }
    }

    fn ask_voters(&mut self, now: Instant, node: NodeId, tenure: Tenure, out: &mut Vec<CoreEffect>) {
        let message = PeerMessage::GatherAsk {
            node,
            tenure,
            term: self.meta.term,
        };
        for to in self.meta.voters.iter().filter(|v| **v != self.me && **v != node) {
            out.push(CoreEffect::Send {
                to: *to,
                message: message.clone(),
            });
        }
        if self.meta.voters.contains(&self.me) {
            let remaining = self.voter.end(now, node, tenure);
            if let Some(gather) = self.gathers.get_mut(&node) {
                gather.answer(now, self.me, remaining);
            }
        }
    }
}
