//! Changes of the registry that a client may ask for: exchanges are declared and deleted.
//!
//! What does not live here: operators' commands (`operator`), and deciding (the cluster).

use std::time::Duration;

use squall_kernel::id::{ExchangeName, Revision};
use squall_kernel::message::{ClientMessage, NodeMessage, ProposeResult};
use squall_kernel::reason::ClientFault;
use squall_kernel::registry::{Command, Outcome};
use tokio::time::Instant;

use super::Client;
use crate::ask::{CallFailed, call, pause};
use crate::error::{CommandError, Invalid, NO_QUORUM};
use crate::limits;
use crate::options::Declaration;

/// What a declaration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// False when the exchange was there already, with the same properties.
    pub created: bool,
    /// Revision of the registry that has it.
    pub revision: Revision,
}

impl Client {
    /// Declares an exchange. Declaring it again with the same properties changes nothing.
    ///
    /// # Errors
    /// [`CommandError::Refused`] when it is declared with other properties; the others when the cluster did not answer
    /// in time, or, before that, when the node has heard no majority of the voters for an election time.
    pub async fn declare(
        &self,
        declaration: Declaration,
        within: Duration,
    ) -> Result<Declared, CommandError> {
        let Declaration {
            name,
            pattern,
            strategy,
            function,
            settings,
            failover,
            takeover,
        } = declaration;
        let command = Command::Declare {
            name,
            pattern,
            strategy,
            function,
            settings,
            failover,
            takeover,
        };
        let (created, revision) = self.propose(&command, within, true).await?;
        Ok(Declared { created, revision })
    }

    /// Deletes an exchange and gives the revision of the registry without it.
    ///
    /// # Errors
    /// [`CommandError`], also when there is no such exchange.
    pub async fn delete(&self, exchange: &str, within: Duration) -> Result<Revision, CommandError> {
        let name = ExchangeName::new(exchange).map_err(Invalid::Name)?;
        let (_, revision) = self.propose(&Command::Delete { name }, within, false).await?;
        Ok(revision)
    }

    /// Proposes a registry command until the cluster has decided; true when it changed something. Only a command that
    /// may be repeated is proposed again after its fate got lost.
    async fn propose(
        &self,
        command: &Command,
        within: Duration,
        repeatable: bool,
    ) -> Result<(bool, Revision), CommandError> {
        let deadline = Instant::now() + within;
        let mut latest = String::from("no node answers");
        let mut unknown = false;
        loop {
            let ask = |call| ClientMessage::Propose {
                call,
                command: command.clone(),
            };
            match call(&self.inner.shared, deadline, None, ask).await {
                Ok(NodeMessage::Proposed {
                    result: ProposeResult::Committed { outcome, revision },
                    ..
                }) => {
                    return match outcome {
                        Outcome::Done => Ok((true, revision)),
                        Outcome::Unchanged => Ok((false, revision)),
                        Outcome::Refused(refused) => Err(refused.into()),
                    };
                }
                Ok(NodeMessage::Proposed {
                    result: ProposeResult::Unknown { reason },
                    ..
                }) => {
                    (latest, unknown) = (reason, true);
                }
                // Certain, and no matter of waiting: an election was waited for already.
                Ok(NodeMessage::Proposed {
                    result: ProposeResult::NoQuorum,
                    ..
                }) if !unknown => return Err(CommandError::Unavailable(NO_QUORUM.into())),
                Ok(NodeMessage::Proposed {
                    result: ProposeResult::NotLeader { .. } | ProposeResult::NoQuorum,
                    ..
                }) => {
                    latest = "no meta leader".into();
                }
                // The next node would find the same.
                Ok(NodeMessage::Refused {
                    reason,
                    fault: Some(ClientFault::Malformed | ClientFault::Garbage),
                    ..
                }) => return Err(CommandError::Malformed(reason)),
                Ok(
                    NodeMessage::Proposed {
                        result: ProposeResult::Failed { reason },
                        ..
                    }
                    | NodeMessage::Refused { reason, .. },
                ) => latest = reason,
                Ok(_) => latest = "the node answered out of turn".into(),
                Err(CallFailed::NoAnswer) => (latest, unknown) = ("the node did not answer".into(), true),
                Err(CallFailed::NotSent) => {}
                Err(CallFailed::Closed) => {
                    return Err(CommandError::Unavailable("the client is closed".into()));
                }
            }
            if unknown && (!repeatable || Instant::now() >= deadline) {
                return Err(CommandError::Unknown(latest));
            }
            if !pause(limits::REFUSED_RETRY, deadline).await {
                let error = if unknown {
                    CommandError::Unknown
                } else {
                    CommandError::Unavailable
                };
                return Err(error(latest));
            }
        }
    }
}
