//! Questions of other nodes that wait for Raft: each gets a task of its own, so that nothing waits behind it.

use bytes::Bytes;
use squall_kernel::id::NodeId;
use squall_kernel::message::{PeerMessage, ProposeResult};

use super::Control;

impl Control {
    pub(super) fn rpc(&self, from: NodeId, message: PeerMessage) {
        let mesh = self.parts.mesh.clone();
        match message {
            PeerMessage::Raft { call, body } => {
                let meta = self.parts.meta.clone();
                tokio::spawn(async move {
                    let body = meta.handle_rpc(from, Bytes::from(body)).await.into();
                    // The asker's own deadline covers an answer that cannot be sent.
                    let _ = mesh.send_control(from, &PeerMessage::RaftAnswer { call, body });
                });
            }
            PeerMessage::RaftAnswer { call, body } => self.parts.carrier.answered(call, body),
            PeerMessage::Proposed { call, result } => self.parts.proposals.answered(call, result),
            PeerMessage::MembersChanged { call, result } => {
                self.parts.proposals.member_changed(call, result);
            }
            PeerMessage::Members { call, change } => {
                let proposals = self.parts.proposals.clone();
                tokio::spawn(async move {
                    let result = proposals.change_member_here(&change).await;
                    let _ = mesh.send_control(from, &PeerMessage::MembersChanged { call, result });
                });
            }
            PeerMessage::Propose { call, command } => {
                let proposals = self.parts.proposals.clone();
                tokio::spawn(async move {
                    let result = proposals.here(command).await;
                    let _ = mesh.send_control(from, &PeerMessage::Proposed { call, result });
                });
            }
            PeerMessage::Join { call, introduction } => {
                let proposals = self.parts.proposals.clone();
                // Who is let in must be heard: a node that reaches only others would be lost again at once.
                let heard = self.core.is_alive(introduction.id);
                tokio::spawn(async move {
                    let result = if heard {
                        proposals.admit(introduction).await
                    } else {
                        ProposeResult::Failed {
                            reason: "there is no link to the meta leader".into(),
                        }
                    };
                    let _ = mesh.send_control(from, &PeerMessage::Proposed { call, result });
                });
            }
            _ => {}
        }
    }
}
