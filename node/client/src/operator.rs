//! What operators use: a client of the admin services of a cluster's nodes, over gRPC.
//!
//! What does not live here: which node is asked (`asking`), requests and handlers (`client`), and who decides on what is asked
//! (the registry, the meta plane).

mod asking;
mod bindings;
mod certificate;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::time::Duration;

use squall_proto::v1;
use tonic::{Code, Status};

use self::asking::{ANSWER_WITHIN, Contact, SUSPECT_WITHIN, answered, contact};
pub use self::bindings::{Binding, BindingsPage};
pub use self::certificate::{
    Answers, Books, Certificate, Doubt, Figures, MailboxFigures, OwnedFigures, PassedFigures,
};

/// What each node says of its traces, by name.
pub type Traced = BTreeMap<String, Result<v1::TracingResponse, OperatorError>>;

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
        let words = words(&status);
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

/// What a node said; of a connection that failed, what its innermost cause says, too: `tcp connect error` alone helps nobody.
fn words(status: &Status) -> String {
    let message = status.message();
    let mut innermost = status.source();
    while let Some(cause) = innermost.and_then(|outer| outer.source()) {
        innermost = Some(cause);
    }
    let cause = innermost.map(ToString::to_string).unwrap_or_default();
    if message.contains(&cause) {
        message.to_owned()
    } else {
        format!("{message}: {cause}")
    }
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
        self.ask(v1::ListNodesRequest {}, |mut admin, request| async move {
            admin.list_nodes(request).await
        })
        .await
    }

    /// The exchanges.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn exchanges(&self) -> Result<v1::ListExchangesResponse, OperatorError> {
        self.ask(v1::ListExchangesRequest {}, |mut admin, request| async move {
            admin.list_exchanges(request).await
        })
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
        self.tell(request, |mut admin, request| async move {
            admin.move_exchange(request).await
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
        self.tell(request, |mut admin, request| async move {
            admin.set_proxy(request).await
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
        self.tell(request, |mut admin, request| async move {
            admin.drain_node(request).await
        })
        .await
    }

    /// Forgets a node that is down.
    ///
    /// # Errors
    /// [`OperatorError`], with the reason.
    pub async fn remove(&self, node: &str) -> Result<v1::MembersChanged, OperatorError> {
        let request = v1::RemoveNodeRequest { node: node.into() };
        self.tell(request, |mut admin, request| async move {
            admin.remove_node(request).await
        })
        .await
    }

    /// Gives a node the vote.
    ///
    /// # Errors
    /// [`OperatorError`], with the reason.
    pub async fn promote(&self, node: &str) -> Result<v1::MembersChanged, OperatorError> {
        let request = v1::PromoteNodeRequest { node: node.into() };
        self.tell(request, |mut admin, request| async move {
            admin.promote_node(request).await
        })
        .await
    }

    /// Takes a node's vote.
    ///
    /// # Errors
    /// [`OperatorError`], with the reason.
    pub async fn demote(&self, node: &str) -> Result<v1::MembersChanged, OperatorError> {
        let request = v1::DemoteNodeRequest { node: node.into() };
        self.tell(request, |mut admin, request| async move {
            admin.demote_node(request).await
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
        self.tell(request, |mut admin, request| async move {
            admin.set_voter_rule(request).await
        })
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

    /// Which share of messages each member that is not down traces, by name, and what became of its spans; changes the share
    /// at all of them, where one is given (from 0 to 1). A node that does not answer, or sends its traces nowhere, stands in the
    /// list with its reason.
    ///
    /// # Errors
    /// [`OperatorError`] when the members cannot be had.
    pub async fn tracing(&self, share: Option<f64>) -> Result<Traced, OperatorError> {
        let members = self.nodes().await?.members;
        let asked = members
            .into_iter()
            .filter(|member| member.state() != v1::NodeState::Down)
            .map(|member| async move {
                let answer = tracing_of(member.grpc_addr, share).await;
                (member.name, answer)
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

async fn tracing_of(addr: String, share: Option<f64>) -> Result<v1::TracingResponse, OperatorError> {
    let mut admin = contact(addr)?.admin;
    answered(ANSWER_WITHIN, admin.tracing(v1::TracingRequest { share })).await
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
        assert!(words.contains("refused"), "the cause is told: {words}");
        assert!(Operator::new(Vec::<String>::new()).is_err());
    }
}
