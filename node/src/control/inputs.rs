//! What reaches the control side: links and messages from the mesh, the registry and the meta plane, each told to the core
//! and to whoever else has to know.
//!
//! What does not live here: calls and their answers (`rpc`), joining and the voters (`joining`, `membership`).

use std::sync::Arc;
use std::time::SystemTime;

use squall_kernel::core::{CoreInput, MetaView, NodeCore};
use squall_kernel::founding::Neighbour;
use squall_kernel::id::NodeId;
use squall_kernel::message::PeerMessage;
use squall_kernel::reason::Refusal;
use squall_kernel::registry::NodeRecord;
use squall_kernel::time::{Instant, Span};

use super::{Control, ControlError, tell};
use crate::mesh::MeshEvent;
use crate::meta::{MetaState, Role};
use crate::telemetry::told::ago;

/// The lane of heartbeats, promises and Raft.
const CONTROL_LANE: u8 = 0;

/// When a node was last heard here; now, where it never was.
fn last_heard(core: &NodeCore, now: Instant, node: NodeId) -> SystemTime {
    let known = core.opinion(now, node);
    ago(known.map_or(Span::ZERO, |(_, heard, _)| now.since(heard)))
}

impl Control {
    pub(super) fn mesh_event(&mut self, event: MeshEvent) {
        match event {
            MeshEvent::Connected {
                node,
                lane,
                cluster,
                initialized,
            } => {
                // It may have named one since: what comes later is told as an event of its own.
                let cluster = self.parts.mesh.cluster_of(node.id).or(cluster);
                let neighbour = Neighbour {
                    name: node.name.clone(),
                    cluster,
                    initialized: initialized || cluster.is_some(),
                };
                self.neighbours.insert(node.id, neighbour);
                self.stranger = None;
                self.addresses.insert(node.id, node.mesh_addr.clone());
                if lane == CONTROL_LANE {
                    self.teller.link(&self.registry, &node, true, "");
                    self.step(&CoreInput::Connected { node: node.id });
                    let (meta, id) = (self.parts.meta.clone(), node.id);
                    tokio::spawn(async move { meta.peer_is_back(id).await });
                }
            }
            MeshEvent::Broken { node, lane, why } => {
                if lane == CONTROL_LANE {
                    self.neighbours.remove(&node.id);
                    self.round_trips.remove(&node.id);
                    self.teller.link(&self.registry, &node, false, &why);
                    self.step(&CoreInput::Broken { node: node.id });
                    self.publish_opinion();
                }
            }
            MeshEvent::Refused {
                who,
                refusal,
                detail,
                dialled,
            } => {
                self.teller.refused(&who, refusal, &detail, dialled);
                if dialled && refusal == Refusal::Cluster {
                    self.stranger = Some(tell::other_cluster(&who, &detail));
                }
            }
            MeshEvent::Control { from, message, .. } => self.message(from, message),
            MeshEvent::Belongs { node, cluster } => {
                if let Some(neighbour) = self.neighbours.get_mut(&node) {
                    (neighbour.cluster, neighbour.initialized) = (Some(cluster), true);
                }
            }
            MeshEvent::Died { node, incarnation } => {
                self.teller.died(&self.registry, node);
                self.missed(node);
                self.step(&CoreInput::Died { node, incarnation });
                self.publish_opinion();
            }
        }
    }

    fn message(&mut self, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::Raft { .. }
            | PeerMessage::RaftAnswer { .. }
            | PeerMessage::Propose { .. }
            | PeerMessage::Join { .. }
            | PeerMessage::Proposed { .. }
            | PeerMessage::Members { .. }
            | PeerMessage::MembersChanged { .. } => self.rpc(from, message),
            PeerMessage::Heartbeat { .. }
            | PeerMessage::HeartbeatAck { .. }
            | PeerMessage::GatherAsk { .. }
            | PeerMessage::GatherAnswer { .. }
            | PeerMessage::Obituary { .. }
            | PeerMessage::Goodbye { .. } => {
                // A promise must not come from a voter that has told the leader of later voters already.
                if self.parts.meta.voters_at() != self.meta_view.voters.at {
                    self.take_meta(&self.parts.meta.state_now());
                }
                match &message {
                    PeerMessage::Obituary { node, .. } => self.missed(*node),
                    PeerMessage::Goodbye { .. } => self.missed(from),
                    _ => {}
                }
                if let PeerMessage::HeartbeatAck { sent_at, .. } = &message {
                    let now = self.parts.clock.now();
                    self.round_trips
                        .entry(from)
                        .or_default()
                        .add(now, now.since(*sent_at));
                }
                self.step(&CoreInput::Message { from, message });
            }
            // The data plane's own messages travel on data lanes.
            other => tracing::debug!(%from, ?other, "message on the wrong lane"),
        }
    }

    /// A node is missed for whatever reason, for the first time or again.
    pub(super) fn missed(&mut self, node: NodeId) {
        let (core, now) = (&self.core, self.parts.clock.now());
        self.lapses.sign(node, || last_heard(core, now, node));
    }

    pub(super) fn registry_changed(&mut self) -> Result<(), ControlError> {
        let registry = Arc::clone(&self.registry_in.borrow_and_update());
        if let Some(cluster) = registry.cluster {
            self.parts.dir.bind_cluster(cluster)?;
            self.parts.mesh.set_cluster(cluster);
        }
        let others = registry.nodes.values().filter(|n| n.id != self.parts.me.id);
        self.parts
            .mesh
            .set_peers(others.map(NodeRecord::introduction).collect());
        self.teller.registry(&self.registry, &registry);
        let now = self.parts.clock.now();
        let heard = |node| last_heard(&self.core, now, node);
        let times = self.parts.data.context.failovers.times();
        let taken = self.lapses.registry(&self.registry, &registry, now, heard, times);
        self.parts.data.exchanges.taken_over(taken);
        self.attendance.note(self.parts.clock.now(), &registry);
        self.registry = Arc::clone(&registry);
        self.parts.data.registry_changed(&registry);
        self.step(&CoreInput::Registry(registry));
        self.publish_opinion();
        Ok(())
    }

    pub(super) fn meta_changed(&mut self) -> Result<(), ControlError> {
        let state = self.meta_in.borrow_and_update().clone();
        if let Some(failure) = &state.failure {
            let failed = || ControlError::Meta(failure.clone());
            return Err(self
                .parts
                .meta
                .write_failure()
                .map_or_else(failed, ControlError::Disk));
        }
        self.take_meta(&state);
        Ok(())
    }

    fn take_meta(&mut self, state: &MetaState) {
        let acts = state.leads(&self.registry.profile.times());
        let view = MetaView {
            term: state.term,
            voters: state.electorate.clone(),
            leads: state.role == Role::Leader,
            quorum: acts,
        };
        self.teller.meta(state, acts);
        self.lapses.leads(acts);
        if view != self.meta_view {
            self.meta_view = view.clone();
            self.step(&CoreInput::Meta(view));
            self.publish_opinion();
        }
    }
}
