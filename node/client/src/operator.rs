//! What operators use: a client of the admin services of a cluster's nodes, over gRPC.
//!
//! What does not live here: requests and handlers (`client`), and who decides on what is asked (the registry, the meta
//! plane).

mod certificate;
mod tasks;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use squall_proto::v1;
use squall_proto::v1::admin_client::AdminClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

pub use certificate::{
    Answers, Books, Certificate, Doubt, Figures, MailboxFigures, OwnedFigures, PassedFigures,
};

/// How long one node may take to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long a change may take: longer than a node looks for the meta leader.
const CALL_WITHIN: Duration = Duration::from_secs(10);
/// How long a question may take: it is answered from what the node has at hand.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The same for a node that others suspect: it may be suspected wrongly, or be reached from here. The silence that makes a
/// node suspect on one site.
const SUSPECT_WITHIN: Duration = Duration::from_millis(250);
/// Room for the list of all exchanges a cluster may have.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why an operator's call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// Refused, with the reason and what to do; nothing changed.
    #[error("{0}")]
    Refused(String),
    /// The arguments are not such as could be carried out anywhere.
    #[error("{0}")]
    Invalid(String),
    /// Certainly not carried out: nobody answers, or there is no meta leader.
    #[error("{0}")]
    Unavailable(String),
    /// It may or may not have been carried out.
    #[error("{0}")]
    Unknown(String),
}

impl From<Status> for OperatorError {
    fn from(status: Status) -> Self {
        let words = status.message().to_owned();
        match status.code() {
            Code::NotFound | Code::FailedPrecondition | Code::AlreadyExists | Code::ResourceExhausted => {
                Self::Refused(words)
            }
            Code::InvalidArgument => Self::Invalid(words),
            Code::Unavailable | Code::Unimplemented => Self::Unavailable(words),
            _ => Self::Unknown(words),
        }
    }
}

/// A node whose admin service can be asked.
#[derive(Debug, Clone)]
struct Contact {
    addr: String,
    admin: AdminClient<Channel>,
}

/// A client of the admin services: asks one node, and the next when that one is gone.
#[derive(Debug, Clone)]
pub struct Operator {
    contacts: Vec<Contact>,
}

impl Operator {
    /// Takes the gRPC addresses of some nodes, `host:port`; one that lives is enough. Connects with the first call.
    ///
    /// # Errors
    /// [`OperatorError::Invalid`] for what is no address, or none at all.
    pub fn new(addrs: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, OperatorError> {
        let contacts: Vec<Contact> = addrs
            .into_iter()
            .map(|a| contact(a.into()))
            .collect::<Result<_, _>>()?;
        if contacts.is_empty() {
            return Err(OperatorError::Invalid(
                "no address of a gRPC service is known".into(),
            ));
        }
        Ok(Self { contacts })
    }

    /// The members, and who answered.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn nodes(&self) -> Result<v1::ListNodesResponse, OperatorError> {
        self.ask(|mut admin| async move { admin.list_nodes(v1::ListNodesRequest {}).await })
            .await
    }

    /// The exchanges.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn exchanges(&self) -> Result<v1::ListExchangesResponse, OperatorError> {
        self.ask(|mut admin| async move { admin.list_exchanges(v1::ListExchangesRequest {}).await })
            .await
    }

    /// Begins a move; without a node to the one that the exchange prefers.
    ///
    /// # Errors
    /// [`OperatorError`], with the registry's reason.
    pub async fn move_exchange(
        &self,
        name: &str,
        node: Option<&str>,
    ) -> Result<v1::MoveExchangeResponse, OperatorError> {
        let request = v1::MoveExchangeRequest {
            name: name.into(),
            node: node.unwrap_or_default().into(),
        };
        self.tell(|mut admin| {
            let request = request.clone();
            async move { admin.move_exchange(request).await }
        })
        .await
    }

    /// Makes a node a proxy of a publish-subscribe exchange, or takes that from it.
    ///
    /// # Errors
    /// [`OperatorError`], with the registry's reason.
    pub async fn set_proxy(
        &self,
        name: &str,
        node: &str,
        on: bool,
    ) -> Result<v1::SetProxyResponse, OperatorError> {
        let request = v1::SetProxyRequest {
            name: name.into(),
            node: node.into(),
            on,
        };
        self.tell(|mut admin| {
            let request = request.clone();
            async move { admin.set_proxy(request).await }
        })
        .await
    }

    /// Tells a node to hand over.
    ///
    /// # Errors
    /// [`OperatorError`], with the reason.
    pub async fn drain(
        &self,
        node: &str,
        stay: bool,
        anyway: bool,
    ) -> Result<v1::DrainNodeResponse, OperatorError> {
        let request = v1::DrainNodeRequest {
            node: node.into(),
            stay,
            anyway,
        };
        self.tell(|mut admin| {
            let request = request.clone();
            async move { admin.drain_node(request).await }
        })
        .await
    }

    /// Forgets a node that is down.
    ///
    /// # Errors
    /// [`OperatorError`], with the reason.
    pub async fn remove(&self, node: &str) -> Result<v1::MembersChanged, OperatorError> {
        let request = v1::RemoveNodeRequest { node: node.into() };
        self.tell(|mut admin| {
            let request = request.clone();
            async move { admin.remove_node(request).await }
        })
        .await
    }

    /// Gives a node the vote.
    ///
    /// # Errors
    /// [`OperatorError`], with the reason.
    pub async fn promote(&self, node: &str) -> Result<v1::MembersChanged, OperatorError> {
        let request = v1::PromoteNodeRequest { node: node.into() };
        self.tell(|mut admin| {
            let request = request.clone();
            async move { admin.promote_node(request).await }
        })
        .await
    }

    /// Takes a node's vote.
    ///
    /// # Errors
    /// [`OperatorError`], with the reason.
    pub async fn demote(&self, node: &str) -> Result<v1::MembersChanged, OperatorError> {
        let request = v1::DemoteNodeRequest { node: node.into() };
        self.tell(|mut admin| {
            let request = request.clone();
            async move { admin.demote_node(request).await }
        })
        .await
    }

    /// Sets after how long a voter that is down is replaced; none for never.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn voter_rule(
        &self,
        replace_after: Option<Duration>,
    ) -> Result<v1::SetVoterRuleResponse, OperatorError> {
        let ms = replace_after.map_or(0, |after| after.as_millis());
        let request = v1::SetVoterRuleRequest {
            replace_after_ms: u64::try_from(ms).unwrap_or(u64::MAX),
        };
        self.tell(|mut admin| async move { admin.set_voter_rule(request).await })
            .await
    }

    /// Figures of an exchange, of every member that is not down, by name: each node is asked itself, all at once. A node
    /// that does not answer soon, and sooner when the others suspect it, stands in the list with its reason; so do those of
    /// `silent`, which are not asked.
    ///
    /// # Errors
    /// [`OperatorError`] when the members cannot be had.
    pub async fn figures(&self, exchange: &str, silent: &BTreeSet<String>) -> Result<Answers, OperatorError> {
        let members = self.nodes().await?.members;
        let asked = members
            .into_iter()
            .filter(|m| m.state() != v1::NodeState::Down)
            .map(|member| async move {
                let figures = if silent.contains(&member.name) {
                    Err(OperatorError::Unavailable("it did not answer before".into()))
                } else {
                    tokio::select! {
                        biased;
                        figures = figures_of(member.grpc_addr, exchange) => figures,
                        () = self.suspected(&member.name) => Err(OperatorError::Unavailable("it is silent".into())),
                    }
                };
                (member.name, figures)
            });
        Ok(futures::future::join_all(asked).await.into_iter().collect())
    }

    /// Returns when a node has been silent for some time and the others suspect it.
    async fn suspected(&self, node: &str) {
        loop {
            tokio::time::sleep(SUSPECT_WITHIN).await;
            let suspect = |m: &v1::Member| m.name == node && m.state() != v1::NodeState::Up;
            if self
                .nodes()
                .await
                .is_ok_and(|now| now.members.iter().any(suspect))
            {
                return;
            }
        }
    }

    /// Asks the nodes in turn until one answers: for questions, which may be asked twice.
    async fn ask<T, F>(&self, call: impl Fn(AdminClient<Channel>) -> F) -> Result<T, OperatorError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let mut tried = Vec::new();
        for contact in &self.contacts {
            match answered(ANSWER_WITHIN, call(contact.admin.clone())).await {
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
    async fn tell<T, F>(&self, call: impl Fn(AdminClient<Channel>) -> F) -> Result<T, OperatorError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let mut latest = OperatorError::Unavailable("no node answers".into());
        for contact in self.capable().await {
            match answered(CALL_WITHIN, call(contact.admin.clone())).await {
                Err(gone @ OperatorError::Unavailable(_)) => latest = gone,
                decided => return decided,
            }
        }
        Err(latest)
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

impl Operator {
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

async fn look(contact: &Contact, within: Duration) -> Sight {
    let mut admin = contact.admin.clone();
    match answered(within, admin.list_nodes(v1::ListNodesRequest {})).await {
        // One that belongs to no cluster yet waits for one.
        Ok(list) if list.quorum || list.members.is_empty() => Sight::Quorum,
        Ok(_) => Sight::NoQuorum,
        Err(_) => Sight::Silent,
    }
}

async fn answered<T>(
    within: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, OperatorError> {
    match tokio::time::timeout(within, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(OperatorError::Unknown(format!("no answer within {within:?}"))),
    }
}

async fn figures_of(addr: String, exchange: &str) -> Result<Figures, OperatorError> {
    let mut admin = contact(addr)?.admin;
    let request = v1::ExchangeFiguresRequest {
        name: exchange.into(),
    };
    answered(ANSWER_WITHIN, admin.exchange_figures(request))
        .await
        .map(Figures::from)
}

fn contact(addr: String) -> Result<Contact, OperatorError> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}"));
    let endpoint = endpoint.map_err(|_| OperatorError::Invalid(format!("'{addr}' is not an address")))?;
    let channel = endpoint.connect_timeout(CONNECT_WITHIN).connect_lazy();
    Ok(Contact {
        addr,
        admin: AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_what_nobody_could_do_and_from_what_nobody_knows() {
        let of = |code| OperatorError::from(Status::new(code, "why"));
        assert_eq!(of(Code::NotFound), OperatorError::Refused("why".into()));
        assert_eq!(of(Code::FailedPrecondition), OperatorError::Refused("why".into()));
        assert_eq!(of(Code::InvalidArgument), OperatorError::Invalid("why".into()));
        assert_eq!(of(Code::Unavailable), OperatorError::Unavailable("why".into()));
        for unsure in [Code::Unknown, Code::DeadlineExceeded, Code::Cancelled] {
            assert_eq!(of(unsure), OperatorError::Unknown("why".into()));
        }
    }

    #[tokio::test]
    async fn nobody_there_is_unavailable_and_every_address_is_named() {
        let operator = Operator::new(["127.0.0.1:1", "127.0.0.1:2"]).expect("addresses");
        let Err(OperatorError::Unavailable(words)) = operator.nodes().await else {
            panic!("nobody listens there");
        };
        assert!(
            words.contains("127.0.0.1:1") && words.contains("127.0.0.1:2"),
            "{words}"
        );
        assert!(Operator::new(Vec::<String>::new()).is_err());
    }
}
