//! What clients of this node did wrong, counted by reason: what was refused to them because it broke a rule or a bound.
//!
//! What does not live here: what the clients are told, and faults in talks and replies, which the tally counts beside
//! these. What embedded handlers and subscribers are refused is not counted: they are the node's own.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use squall_kernel::id::NameError;
use squall_kernel::keys::KeyError;
use squall_kernel::limits::{PAYLOAD_BYTES_MAX, TAG_BYTES_MAX, TASK_PAYLOAD_BYTES_MAX};
use squall_kernel::reason::ClientFault;

use crate::handlers::AttachError;
use crate::pubsub::SubscribeError;
use crate::router::Request;

/// Counts by reason.
#[derive(Debug, Default)]
pub struct ClientFaults([AtomicU64; ClientFault::ALL.len()]);

impl ClientFaults {
    /// How often that was refused.
    #[must_use]
    pub fn of(&self, fault: ClientFault) -> u64 {
        place(fault).map_or(0, |place| self.0[place].load(Relaxed))
    }

    /// What was refused at all, and how often.
    pub fn counted(&self) -> impl Iterator<Item = (ClientFault, u64)> + '_ {
        let all = ClientFault::ALL.iter().zip(&self.0);
        all.map(|(fault, count)| (*fault, count.load(Relaxed)))
            .filter(|(_, count)| *count > 0)
    }

    pub(crate) fn count(&self, fault: ClientFault) {
        if let Some(place) = place(fault) {
            self.0[place].fetch_add(1, Relaxed);
        }
    }

    /// Counts what is too large about a request, a publish or a task, if anything is: it is about to be declined.
    pub(crate) fn look_at(&self, request: &Request) {
        let max = if request.submit {
            TASK_PAYLOAD_BYTES_MAX
        } else {
            PAYLOAD_BYTES_MAX
        };
        if request.payload.len() > max {
            self.count(ClientFault::TooLarge);
        } else if request.tags.all().into_iter().map(Bytes::len).max() > Some(TAG_BYTES_MAX) {
            self.count(ClientFault::TooLong);
        }
    }

    pub(crate) fn not_attached(&self, error: &AttachError) {
        self.count(of_attach(error));
    }

    pub(crate) fn not_subscribed(&self, error: &SubscribeError) {
        if let Some(fault) = of_subscribe(error) {
            self.count(fault);
        }
    }

    pub(crate) fn not_a_name(&self, error: &NameError) {
        self.count(match error {
            NameError::TooLong { .. } => ClientFault::TooLong,
            _ => ClientFault::Malformed,
        });
    }
}

/// What is wrong with an attachment that is refused.
pub(crate) fn of_attach(error: &AttachError) -> ClientFault {
    match error {
        AttachError::TagTooLong { .. } => ClientFault::TooLong,
        AttachError::TooMany { .. } => ClientFault::TooMany,
        AttachError::UnknownExchange(_) => ClientFault::NotThere,
        AttachError::NoTasks(..) | AttachError::TasksOnly(_) | AttachError::PublishesOnly(_) => {
            ClientFault::WrongPattern
        }
    }
}

/// What is wrong with a subscription that is refused; none where it is no fault of the client.
pub(crate) fn of_subscribe(error: &SubscribeError) -> Option<ClientFault> {
    Some(match error {
        SubscribeError::Key { error, .. } => of_key(error),
        SubscribeError::Tag(_) => ClientFault::TooLong,
        SubscribeError::Refused { .. } | SubscribeError::Patterns(_) | SubscribeError::TooMany { .. } => {
            ClientFault::TooMany
        }
        SubscribeError::UnknownExchange(_) | SubscribeError::InUse { .. } => ClientFault::NotThere,
        SubscribeError::Pattern { .. } => ClientFault::WrongPattern,
        SubscribeError::Controller { .. } => ClientFault::Denied,
        SubscribeError::Overloaded | SubscribeError::Ended => return None,
    })
}

fn of_key(error: &KeyError) -> ClientFault {
    match error {
        KeyError::TooLong { .. } => ClientFault::TooLong,
        _ => ClientFault::Malformed,
    }
}

fn place(fault: ClientFault) -> Option<usize> {
    ClientFault::ALL.iter().position(|it| *it == fault)
}
