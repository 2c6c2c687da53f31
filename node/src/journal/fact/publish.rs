//! What happens to publishes, and to those who subscribe to them, in the words of journals and of histories alike.
//!
//! What does not live here: when it happens (`router`, `exchanges` and `pubsub`).

use std::fmt;

use serde::{Deserialize, Serialize};
use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{Epoch, NodeId, Pid};
use squall_kernel::publishing::Confirm;
use squall_kernel::time::Span;

/// One thing that happened to a publish, or to a subscriber.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublishEvent {
    /// A publisher published.
    Begun {
        /// The publish: the number of its first try.
        publish: RequestKey,
        /// Who.
        publisher: Pid,
        /// Its key.
        key: String,
        /// What the publisher waits for.
        confirm: Confirm,
        /// It goes to one handler.
        to_one: bool,
    },
    /// It is sent again, or given to the subscribers of its publisher's node for want of an owner.
    Again {
        /// The publish.
        publish: RequestKey,
    },
    /// The publisher was told what it waited for. Whatever else a publish ends with is no confirm.
    Confirmed {
        /// The publish.
        publish: RequestKey,
        /// Its id had been known, and it was not published again.
        known: bool,
    },
    /// The owner, here, took it; told before it goes anywhere.
    Taken {
        /// The publish.
        publish: RequestKey,
        /// The owner's epoch.
        epoch: Epoch,
        /// The id that its publisher gave it, together with the publisher, where ids are remembered; and for how long.
        id: Option<(String, Span)>,
        /// The id was known: it goes to nobody.
        known: bool,
    },
    /// The owner, here, knows all ids that the one before remembered.
    Remembers {
        /// The owner's epoch.
        epoch: Epoch,
    },
    /// This node is to be the next owner, and is told, perhaps in part, what the one before knows.
    Inherits {
        /// The epoch to come.
        epoch: Epoch,
    },
    /// One frame with it goes from here to another node, if it can be sent.
    Passed {
        /// The publish.
        publish: RequestKey,
        /// Where to.
        to: NodeId,
    },
    /// It is in the mailbox of a subscriber, here.
    Got {
        /// The publish.
        publish: RequestKey,
        /// The subscriber.
        subscriber: Pid,
    },
    /// It is in the mailbox of the one handler that it goes to, here.
    Handed {
        /// The publish.
        publish: RequestKey,
        /// The handler.
        handler: Pid,
    },
    /// The owner, here, could not send what it took under that id, or was told that what came back from a handler is not tried
    /// again: the id is new again.
    GivenUp {
        /// The id, with its publisher.
        id: String,
    },
    /// A subscriber, here, asks for what matches.
    Asked {
        /// The subscriber.
        subscriber: Pid,
        /// The pattern.
        pattern: String,
    },
    /// It was told that it gets all of it from now on.
    Subscribed {
        /// The subscriber.
        subscriber: Pid,
        /// The pattern.
        pattern: String,
    },
    /// It wants nothing any more.
    Unsubscribed {
        /// The subscriber.
        subscriber: Pid,
    },
    /// This node gets its publishes from there, from now on; none for nowhere, and at the owner.
    Above {
        /// Which node.
        node: Option<NodeId>,
        /// The owner, as this node knows it; another one than that node where it is a proxy. Not told before format 6.
        #[serde(default)]
        owner: Option<NodeId>,
    },
    /// The owner, here, takes publishes although these have not told of their subscribers.
    Unheard {
        /// Nodes.
        nodes: Vec<NodeId>,
    },
}

impl PublishEvent {
    /// True where a node gets its publishes from another one than the owner, or where nobody said who that is.
    #[must_use]
    pub fn is_through_proxy(&self) -> bool {
        matches!(self, Self::Above { node: Some(node), owner } if *owner != Some(*node))
    }

    /// The publish that it is about, if it is about one.
    pub const fn publish_mut(&mut self) -> Option<&mut RequestKey> {
        match self {
            Self::Begun { publish, .. }
            | Self::Again { publish }
            | Self::Confirmed { publish, .. }
            | Self::Taken { publish, .. }
            | Self::Passed { publish, .. }
            | Self::Got { publish, .. }
            | Self::Handed { publish, .. } => Some(publish),
            Self::Remembers { .. }
            | Self::Inherits { .. }
            | Self::GivenUp { .. }
            | Self::Asked { .. }
            | Self::Subscribed { .. }
            | Self::Unsubscribed { .. }
            | Self::Above { .. }
            | Self::Unheard { .. } => None,
        }
    }
}

impl fmt::Display for PublishEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun {
                publish,
                publisher,
                key,
                confirm,
                to_one,
            } => {
                let to = if *to_one { " to one handler" } else { "" };
                write!(
                    f,
                    "publish {publish} of {publisher}{to}: {key}, confirm {}",
                    confirm.as_str()
                )
            }
            Self::Again { publish } => write!(f, "publish {publish} goes out again"),
            Self::Confirmed {
                publish,
                known: false,
            } => write!(f, "publish {publish} confirmed"),
            Self::Confirmed { publish, known: true } => write!(f, "publish {publish} confirmed as known"),
            Self::Taken {
                publish,
                epoch,
                id,
                known,
            } => {
                let known = if *known { ", known" } else { "" };
                let id = id.as_ref().map_or("", |(id, _)| id);
                write!(f, "publish {publish} taken at epoch {epoch}, id '{id}'{known}")
            }
            Self::Remembers { epoch } => write!(f, "knows the ids of the owner before epoch {epoch}"),
            Self::Inherits { epoch } => write!(f, "is told what it needs as owner of epoch {epoch}"),
            Self::Passed { publish, to } => write!(f, "publish {publish} passed on to {:x}", to.0),
            Self::Got { publish, subscriber } => write!(f, "publish {publish} is with {subscriber}"),
            Self::Handed { publish, handler } => write!(f, "publish {publish} is with the handler {handler}"),
            Self::GivenUp { id } => write!(f, "the id '{id}' is new again"),
            Self::Asked { subscriber, pattern } => write!(f, "{subscriber} asks for {pattern}"),
            Self::Subscribed { subscriber, pattern } => write!(f, "{subscriber} gets {pattern}"),
            Self::Unsubscribed { subscriber } => write!(f, "{subscriber} is unsubscribed"),
            Self::Above { node: Some(node), .. } => write!(f, "gets publishes from {:x}", node.0),
            Self::Above { node: None, .. } => f.write_str("gets publishes from no other node"),
            Self::Unheard { nodes } => {
                write!(f, "waits no longer for the subscribers of {} nodes", nodes.len())
            }
        }
    }
}
