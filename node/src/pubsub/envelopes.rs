//! What can be said from outside of the messages of a table's process.

use squall_kernel::id::NodeId;

use super::Mail;
use crate::process::{Envelope, Letter, Sender, envelope_of};

impl Letter for Mail {
    fn envelope(&self) -> Envelope {
        let of_node = |envelope, node: NodeId| Envelope {
            from: Some(Sender::Node(node)),
            ..envelope
        };
        match self {
            Self::Publish(frame) => envelope_of("publish", frame),
            Self::Local(frame) => envelope_of("publish from here", frame),
            Self::Event(node, frame) => of_node(envelope_of("event", frame), *node),
            Self::News(node, _) => of_node(Envelope::of("news of a table"), *node),
            Self::Subscribe(_) => Envelope::of("subscribe"),
            Self::Permitted(_) => Envelope::of("subscribe, permitted"),
        }
    }
}
