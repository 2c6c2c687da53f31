//! The rows of this node and of the members as it sees them.
//!
//! What does not live here: where the figures come from (`control`, `meta`, `system`).

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use squall_kernel::id::NodeId;
use squall_kernel::reason::ClientFault;
use squall_kernel::registry::{Duty, NodeLife, NodeRecord, Registry};
use squall_proto::v1;

use super::NodeSources;
use crate::client_faults::ClientFaults;
use crate::control::Opinion;
use crate::meta::{MetaState, Role};

impl NodeSources {
    pub(super) fn members(&self, registry: &Registry) -> Vec<v1::Member> {
        let opinion = Arc::clone(&self.opinion.borrow());
        registry
            .nodes
            .values()
            .map(|node| self.member(registry, node, &opinion))
            .collect()
    }

    fn member(&self, registry: &Registry, node: &NodeRecord, opinion: &Opinion) -> v1::Member {
        let suspect = node.id != self.me.id && opinion.peers.get(&node.id).is_none_or(|p| p.suspect);
        let state = match (node.is_up(), suspect) {
            (false, _) => v1::NodeState::Down,
            (true, true) => v1::NodeState::Suspect,
            (true, false) => v1::NodeState::Up,
        };
        v1::Member {
            name: node.name.as_str().into(),
            raft_id: node.id.0,
            incarnation: node.incarnation.0,
            mesh_addr: node.mesh_addr.clone(),
            grpc_addr: node.grpc_addr.clone(),
            role: role_of(node.id, opinion) as i32,
            state: state as i32,
            duty: duty_of(node) as i32,
            why: why_down(node),
            exchanges: registry.owned_by(node.id).count() as u64,
            quorum_critical: opinion.quorum_critical.contains(&node.id),
        }
    }

    pub(super) fn node_row(&self, registry: &Registry) -> v1::NodeRow {
        let opinion = Arc::clone(&self.opinion.borrow());
        let meta = self.meta.borrow().clone();
        let now = self.now();
        let system = self
            .system
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .read(now);
        let tally = &self.data.context.wire.tally;
        let leader = opinion.meta_leader.and_then(|id| registry.name_of(id));
        v1::NodeRow {
            name: self.me.name.as_str().into(),
            incarnation: self.me.incarnation.0,
            role: own_role(&meta, &opinion) as i32,
            raft_id: self.me.id.0,
            term: opinion.term.0,
            meta_leader: leader.map(|n| n.as_str().to_owned()).unwrap_or_default(),
            quorum: opinion.quorum,
            revision: registry.revision.0,
            cpu_percent: system.cpu_percent,
            rss_bytes: system.rss_bytes,
            fds: system.fds,
            processes: self.data.context.processes.len() as u64,
            messages_in: tally.taken_in.read(),
            messages_out: tally.sent_out.read(),
            uptime_ms: now.0 / 1000,
            version: env!("CARGO_PKG_VERSION").into(),
            insecure: self.insecure,
            members: self.members(registry),
            lease_left_ms: self.data.context.lease.left(now).as_ms(),
            waiting_for: opinion.waiting_for.clone(),
            timer_late_ms: opinion.timer_late_ms,
            dropped: tally.dropped(),
            os_pid: u64::from(std::process::id()),
            refusals: refusals(&tally.client_faults),
            decisions_explained: tally.explained.load(Relaxed),
            detail_watchers: tally.detail_watchers.load(Relaxed),
            heartbeat_us: self.heartbeat.0,
        }
    }
}

fn refusals(faults: &ClientFaults) -> Vec<v1::Refusals> {
    let told = |(fault, count): (ClientFault, u64)| v1::Refusals {
        reason: fault.as_str().to_owned(),
        count,
    };
    faults.counted().map(told).collect()
}

fn duty_of(node: &NodeRecord) -> v1::NodeDuty {
    match node.duty {
        Duty::Full => v1::NodeDuty::Full,
        Duty::Weak => v1::NodeDuty::Weak,
        Duty::Draining { leave: false } => v1::NodeDuty::Draining,
        Duty::Draining { leave: true } => v1::NodeDuty::Leaving,
    }
}

fn why_down(node: &NodeRecord) -> String {
    match node.life {
        NodeLife::Up => String::new(),
        NodeLife::Down(reason) => reason.as_str().to_owned(),
    }
}

fn role_of(node: NodeId, opinion: &Opinion) -> v1::MetaRole {
    if opinion.meta_leader == Some(node) {
        v1::MetaRole::Leader
    } else if opinion.voters.contains(&node) {
        v1::MetaRole::Voter
    } else {
        v1::MetaRole::Learner
    }
}

/// A leader that lost its quorum still says that it leads: it counts as a voter here.
fn own_role(meta: &MetaState, opinion: &Opinion) -> v1::MetaRole {
    match meta.role {
        Role::Leader if opinion.leads => v1::MetaRole::Leader,
        Role::Leader | Role::Voter | Role::Candidate => v1::MetaRole::Voter,
        Role::Learner => v1::MetaRole::Learner,
        Role::Uninitialized | Role::Stopped => v1::MetaRole::Unspecified,
    }
}
