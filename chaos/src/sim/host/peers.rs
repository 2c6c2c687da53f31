//! Links to peers as they stand and break, and what comes over them or comes back. What does not live here: links
//! (`sim::links`), and what becomes of a frame that has arrived (`wire`).

use squall_kernel::core::CoreInput;
use squall_kernel::founding::Neighbour;
use squall_kernel::frame::{Frame, Kind};
use squall_kernel::id::{Incarnation, NodeId};
use squall_kernel::reason::NoReply;
use squall_kernel::time::Instant;
use squall_node::wire::LinkError;

use super::Host;

impl Host {
    /// The link to a peer stands.
    pub fn connected(&mut self, now: Instant, node: NodeId, neighbour: Neighbour) {
        self.neighbours.insert(node, neighbour);
        self.lanes.insert(node);
        self.step(now, &CoreInput::Connected { node });
        self.settle(now);
    }

    /// The link of that run of a peer to this node stands: it can answer.
    pub fn linked_back(&mut self, now: Instant, node: NodeId, run: Incarnation) {
        self.linked_back.insert(node, run);
        self.settle(now);
    }

    /// The link to that run of a peer broke, and its link to this node with it.
    pub fn unlinked(&mut self, node: NodeId, run: Incarnation) {
        if self.linked_back.get(&node) == Some(&run) {
            self.linked_back.remove(&node);
        }
    }

    /// It broke; it takes frames in the hope of a new one.
    pub fn broken(&mut self, now: Instant, node: NodeId) {
        self.neighbours.remove(&node);
        self.step(now, &CoreInput::Broken { node });
        self.settle(now);
    }

    /// No hope any more.
    pub fn given_up(&mut self, node: NodeId) {
        self.lanes.remove(&node);
    }

    /// The end of a node's run was seen on this machine.
    pub fn died(&mut self, now: Instant, node: NodeId, incarnation: Incarnation) {
        self.step(now, &CoreInput::Died { node, incarnation });
        self.settle(now);
    }

    /// A frame arrived.
    pub fn arrived(&mut self, now: Instant, from: NodeId, frame: &Frame) {
        self.take_in(now, from, frame);
        self.settle(now);
    }

    /// Frames came back that certainly did not arrive.
    pub fn undeliverable(&mut self, now: Instant, to: NodeId, frames: Vec<Frame>) {
        for frame in frames {
            match frame.kind {
                Kind::Request | Kind::Publish | Kind::Submit => {
                    self.request_not_sent(now, frame.message, LinkError::Down);
                }
                Kind::Task => self.not_given_out(now, to, &frame),
                _ => self.take_back(now, to, frame, NoReply::Unreachable),
            }
        }
        self.settle(now);
    }

    /// Frames came back that may or may not have arrived.
    pub fn fate_unknown(&mut self, now: Instant, to: NodeId, frames: Vec<Frame>) {
        for frame in frames {
            match frame.kind {
                Kind::Request | Kind::Publish | Kind::Submit => self.interrupt_request(now, frame.message),
                _ => self.take_back(now, to, frame, NoReply::Interrupted),
            }
        }
        self.settle(now);
    }
}
