//! Which nodes an operator's question or change goes to, in which order, and for how long.
//!
//! What does not live here: what is asked (`operator`, `tasks`).

use std::future::Future;
use std::time::Duration;

use squall_proto::v1;
use squall_proto::v1::admin_client::AdminClient;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::{Operator, OperatorError};

/// How long one node may take to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long a change may take: longer than a node looks for the meta leader.
pub(super) const CALL_WITHIN: Duration = Duration::from_secs(10);
/// How long a question may take: it is answered from what the node has at hand.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The same for a node that others suspect: it may be suspected wrongly, or be reached from here. The silence that makes a
/// node suspect on one site.
pub(super) const SUSPECT_WITHIN: Duration = Duration::from_millis(250);
/// Room for the list of all exchanges a cluster may have.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A node whose admin service can be asked.
#[derive(Debug, Clone)]
pub(super) struct Contact {
    addr: String,
    pub(super) admin: AdminClient<Channel>,
}

impl Operator {
    /// Asks the nodes in turn until one answers: for questions, which may be asked twice.
    pub(super) async fn ask<R, T, F>(
        &self,
        request: R,
        call: impl Fn(AdminClient<Channel>, R) -> F,
    ) -> Result<T, OperatorError>
    where
        R: Clone,
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let mut tried = Vec::new();
        for contact in &self.contacts {
            match answered(ANSWER_WITHIN, call(contact.admin.clone(), request.clone())).await {
                Err(OperatorError::Unavailable(why) | OperatorError::Unknown(why)) => {
                    tried.push(format!("{} ({why})", contact.addr));
                }
                decided => return decided,
            }
        }
        Err(OperatorError::Unavailable(format!(
            "no node answers: {}",
            tried.join(", ")
        )))
    }

    /// The same for changes: a node that may have carried it out is the last one asked, and none is asked that does not
    /// answer a question; it might carry it out when everybody has forgotten it.
    pub(super) async fn tell<R, T, F>(
        &self,
        request: R,
        call: impl Fn(AdminClient<Channel>, R) -> F,
    ) -> Result<T, OperatorError>
    where
        R: Clone,
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let mut latest = OperatorError::Unavailable("no node answers".into());
        for contact in self.capable().await {
            match answered(CALL_WITHIN, call(contact.admin.clone(), request.clone())).await {
                Err(gone @ OperatorError::Unavailable(_)) => latest = gone,
                decided => return decided,
            }
        }
        Err(latest)
    }

    /// An exchange's owner; none where nobody owns it, or the owner is no member any more.
    pub(super) async fn owner_of(&self, exchange: &str) -> Result<Option<v1::Member>, OperatorError> {
        let exchanges = self.exchanges().await?.exchanges;
        let Some(found) = exchanges.into_iter().find(|e| e.name == exchange) else {
            return Ok(None);
        };
        let members = self.nodes().await?.members;
        Ok(members.into_iter().find(|member| member.name == found.owner))
    }

    /// The nodes to be asked for a change, in their order: those that hear a majority, or else the first that answers at
    /// all, which says why nothing can be done.
    async fn capable(&self) -> Vec<&Contact> {
        let Some((first, others)) = self.contacts.split_first() else {
            return Vec::new();
        };
        let sight = look(first, ANSWER_WITHIN).await;
        if sight == Sight::Quorum {
            return self.contacts.iter().collect();
        }
        let looks = others.iter().map(|contact| look(contact, SUSPECT_WITHIN));
        let seen: Vec<Sight> = std::iter::once(sight)
            .chain(futures::future::join_all(looks).await)
            .collect();
        let of = |wanted: Sight| {
            let pairs = self.contacts.iter().zip(&seen);
            pairs
                .filter(move |(_, sight)| **sight == wanted)
                .map(|(contact, _)| contact)
        };
        let mut capable: Vec<&Contact> = of(Sight::Quorum).collect();
        if capable.is_empty() {
            capable.extend(of(Sight::NoQuorum).next());
        }
        capable
    }
}

/// How a node may serve a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// It hears a majority of the voters.
    Quorum,
    /// It answers, and hears none.
    NoQuorum,
    /// It does not answer.
    Silent,
}

async fn look(contact: &Contact, within: Duration) -> Sight {
    let mut admin = contact.admin.clone();
    match answered(within, admin.list_nodes(v1::ListNodesRequest {})).await {
        // One that belongs to no cluster yet waits for one.
        Ok(list) if list.quorum || list.members.is_empty() => Sight::Quorum,
        Ok(_) => Sight::NoQuorum,
        Err(_) => Sight::Silent,
    }
}

/// Waits for an answer, for so long.
pub(super) async fn answered<T>(
    within: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, OperatorError> {
    match tokio::time::timeout(within, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(OperatorError::Unknown(format!("no answer within {within:?}"))),
    }
}

/// A node by the address of its gRPC services; connects with the first call.
pub(super) fn contact(addr: String) -> Result<Contact, OperatorError> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}"));
    let endpoint = endpoint.map_err(|_| OperatorError::Invalid(format!("'{addr}' is not an address")))?;
    let channel = endpoint.connect_timeout(CONNECT_WITHIN).connect_lazy();
    Ok(Contact {
        addr,
        admin: AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
    })
}
