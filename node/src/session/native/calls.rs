//! What a native client asks of its node in control messages, and the answers: numbers of exchanges, attachments,
//! subscriptions, changes of the registry, members.
//!
//! What does not live here: its frames (`native`), and carrying any of it out (the session, the proposer).

use std::sync::Arc;

use futures::FutureExt;
use squall_kernel::id::ExchangeName;
use squall_kernel::message::{Call, ClientMessage, NodeMessage};
use squall_kernel::reason::ClientFault;
use squall_kernel::registry::{Command, NodeRecord};

use super::Native;
use crate::client_faults::{of_attach, of_subscribe};
use crate::grpc::Proposer;
use crate::handlers::HandlerTags;
use crate::limits::SESSION_SUBSCRIBERS_MAX;
use crate::pubsub::SubscribeError;
use crate::session::{Granted, Wanted};

/// Proposals of one client that are under way at once.
const PROPOSALS_MAX: usize = 16;

impl<P: Proposer, R, W> Native<P, R, W> {
    /// Does what the message asks; gives the answer, where there is one and it does not come later.
    pub(super) fn call(&mut self, message: ClientMessage) -> Option<NodeMessage> {
        match message {
            ClientMessage::Lookup { call, name } => Some(self.lookup(call, &name)),
            ClientMessage::Attach {
                call,
                name,
                service_tag,
                connection_tag,
                credit,
            } => {
                let tags = HandlerTags {
                    service: service_tag,
                    connection: connection_tag,
                    works: false,
                };
                Some(self.attach(call, &name, tags, credit))
            }
            ClientMessage::Work {
                call,
                name,
                service_tag,
                credit,
            } => {
                let tags = HandlerTags {
                    service: service_tag,
                    works: true,
                    ..HandlerTags::default()
                };
                Some(self.attach(call, &name, tags, credit))
            }
            ClientMessage::Detach { handler, reason } => {
                self.session.detach(handler, reason);
                None
            }
            ClientMessage::Propose { call, command } => self.propose(call, command),
            ClientMessage::Members { call } => Some(self.members(call)),
            ClientMessage::Ping { call } => Some(NodeMessage::Pong { call }),
            ClientMessage::LeadershipAsk { handler, asked_at } => {
                let granted = self.session.leadership_asked(handler, asked_at)?;
                Some(leadership(granted))
            }
            ClientMessage::Subscribe {
                call,
                subscriber,
                name,
                connection_tag,
                patterns,
                credit,
            } => {
                let wanted = Wanted {
                    number: subscriber,
                    name: &name,
                    connection_tag: connection_tag.into(),
                    patterns: &patterns,
                    credit,
                };
                self.subscribe(call, wanted)
            }
            ClientMessage::Unsubscribe { subscriber } => {
                self.session.unsubscribe(subscriber);
                None
            }
            ClientMessage::Took { subscriber, events } => {
                self.session.took(subscriber, events);
                None
            }
        }
    }

    fn lookup(&self, call: Call, name: &ExchangeName) -> NodeMessage {
        let exchange = self.session.context().registry().names.get(name).copied();
        NodeMessage::Found { call, exchange }
    }

    fn members(&self, call: Call) -> NodeMessage {
        let registry = self.session.context().registry();
        let up = registry.nodes.values().filter(|n| n.is_up());
        let members = up.map(NodeRecord::introduction).collect();
        NodeMessage::Members { call, members }
    }

    fn attach(&mut self, call: Call, name: &ExchangeName, tags: HandlerTags, credit: u32) -> NodeMessage {
        match self.session.attach(name, tags, credit) {
            Ok(handler) => NodeMessage::Attached {
                call,
                handler: handler.pid(),
                exchange: handler.exchange(),
            },
            Err(error) => NodeMessage::Refused {
                call,
                reason: error.to_string(),
                fault: Some(of_attach(&error)),
            },
        }
    }

    /// Subscribes without holding up the session; gives the refusal of what is not even tried.
    fn subscribe(&mut self, call: Call, wanted: Wanted<'_>) -> Option<NodeMessage> {
        let refused = move |error: SubscribeError| NodeMessage::Refused {
            call,
            reason: error.to_string(),
            fault: of_subscribe(&error),
        };
        if self.subscribing.len() >= SESSION_SUBSCRIBERS_MAX {
            let max = SESSION_SUBSCRIBERS_MAX;
            self.session.faults().count(ClientFault::TooMany);
            return Some(refused(SubscribeError::TooMany { max }));
        }
        let subscribing = match self.session.subscribe(wanted) {
            Ok(subscribing) => subscribing,
            Err(error) => return Some(refused(error)),
        };
        let answered = subscribing.map(move |done| match done {
            Ok((subscriber, exchange)) => NodeMessage::Subscribed {
                call,
                subscriber,
                exchange,
            },
            Err(error) => refused(error),
        });
        self.subscribing.push(answered.boxed());
        None
    }

    /// Proposes without holding up the session; gives the refusal of what is not proposed.
    fn propose(&mut self, call: Call, command: Command) -> Option<NodeMessage> {
        let refused = |reason: String, fault| {
            let fault = Some(fault);
            Some(NodeMessage::Refused { call, reason, fault })
        };
        if !matches!(command, Command::Declare { .. } | Command::Delete { .. }) {
            let reason = "a client may declare and delete exchanges, nothing else".to_owned();
            return refused(reason, ClientFault::Garbage);
        }
        if let Err(error) = crate::script::check_command(&command) {
            return refused(error.to_string(), ClientFault::Malformed);
        }
        if self.proposals.len() >= PROPOSALS_MAX {
            let reason = format!("at most {PROPOSALS_MAX} changes of a client are under way at once");
            return refused(reason, ClientFault::TooMany);
        }
        let proposer = Arc::clone(&self.proposer);
        let propose = async move {
            NodeMessage::Proposed {
                call,
                result: proposer.propose(command).await,
            }
        };
        self.proposals.push(propose.boxed());
        None
    }
}

/// What the node tells a leader's client of its leadership.
pub(super) fn leadership(granted: Granted) -> NodeMessage {
    let Granted {
        handler,
        asked_at,
        leader_epoch,
        remaining,
        again,
    } = granted;
    NodeMessage::Leadership {
        handler,
        asked_at,
        leader_epoch,
        remaining,
        again,
    }
}
