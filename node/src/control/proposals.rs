//! Getting commands into the log from any node: here when this node leads, else through the node that does.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use squall_kernel::id::{Boot, NodeId};
use squall_kernel::message::{Call, PeerMessage, ProposeResult};
use squall_kernel::promises::VotersAt;
use squall_kernel::registry::{Command, Introduction, Outcome, Refused};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::calls::Calls;
use super::membership::Members;
use super::opinion::Opinion;
use super::quorum::QuorumSight;
use crate::journal::{Fact, Recorder};
use crate::mesh::Mesh;
use crate::meta::{ChangeError, Meta};

/// How long a proposal looks for a leader that takes it: longer than any failover of the meta plane should last.
pub(super) const PROPOSE_WITHIN: Duration = Duration::from_secs(5);
/// How long one node may take to answer: a commit under load, not an election.
const ANSWER_WITHIN: Duration = Duration::from_millis(1500);
/// Between two looks for a leader, when nothing tells of one.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Proposes commands, from any task.
#[derive(Clone)]
pub struct Proposals {
    pub(super) mesh: Arc<Mesh>,
    pub(super) meta: Meta,
    calls: Arc<Calls<ProposeResult>>,
    pub(super) members: Arc<Members>,
    quorum: QuorumSight,
    recorder: Recorder,
}

impl Proposals {
    pub(crate) fn new(
        boot: Boot,
        mesh: Arc<Mesh>,
        meta: Meta,
        opinion: watch::Receiver<Arc<Opinion>>,
        recorder: Recorder,
    ) -> Self {
        Self {
            quorum: QuorumSight::new(opinion),
            mesh,
            meta,
            calls: Arc::new(Calls::of_run(boot)),
            members: Arc::new(Members::of_run(boot)),
            recorder,
        }
    }

    /// Proposes `command` wherever the leader is and waits for what becomes of it, for at most five seconds, or an
    /// election time where there is no quorum. Tries again only where that cannot do harm: registry commands done twice
    /// are refused or change nothing.
    pub async fn propose(&self, command: Command) -> ProposeResult {
        let deadline = Instant::now() + PROPOSE_WITHIN;
        let mut uncertain = false;
        let mut last = ProposeResult::Failed {
            reason: "no meta leader is known".into(),
        };
        while Instant::now() < deadline {
            if self.quorum_is_lost().await {
                return if uncertain { last } else { ProposeResult::NoQuorum };
            }
            match self.attempt(&command).await {
                ProposeResult::Committed { outcome, revision } => {
                    let twice = uncertain && is_second_deletion(&command, &outcome);
                    if twice {
                        let outcome = Outcome::Done;
                        return ProposeResult::Committed { outcome, revision };
                    }
                    self.recorder.tell(|| Fact::Acknowledged {
                        revision,
                        command: Box::new(command),
                    });
                    return ProposeResult::Committed { outcome, revision };
                }
                ProposeResult::Unknown { reason } => {
                    uncertain = true;
                    last = ProposeResult::Unknown { reason };
                }
                ProposeResult::NotLeader { .. } | ProposeResult::NoQuorum => {}
                failed @ ProposeResult::Failed { .. } => {
                    if !uncertain {
                        last = failed;
                    }
                }
            }
            self.await_news(deadline).await;
        }
        last
    }

    async fn attempt(&self, command: &Command) -> ProposeResult {
        let leader = self.meta.state().borrow().leader;
        match leader {
            None => ProposeResult::NotLeader { leader: None },
            Some(leader) if leader == self.meta.id() => self.here(command.clone()).await,
            Some(leader) => {
                let command = command.clone();
                self.ask(leader, |call| PeerMessage::Propose { call, command })
                    .await
            }
        }
    }

    /// Asks a node to take in this one.
    pub(crate) async fn ask_to_join(&self, node: NodeId, introduction: Introduction) -> ProposeResult {
        self.ask(node, |call| PeerMessage::Join { call, introduction })
            .await
    }

    async fn ask(&self, node: NodeId, message: impl FnOnce(Call) -> PeerMessage) -> ProposeResult {
        let mut waiting = self.calls.open();
        if self.mesh.send_control(node, &message(waiting.call)).is_err() {
            return ProposeResult::Failed {
                reason: "the meta leader is not connected".into(),
            };
        }
        match timeout(ANSWER_WITHIN, &mut waiting.answer).await {
            Ok(Ok(result)) => result,
            _ => ProposeResult::Unknown {
                reason: "the meta leader did not answer in time".into(),
            },
        }
    }

    /// Takes an answer from the mesh.
    pub(crate) fn answered(&self, call: Call, result: ProposeResult) {
        self.calls.answer(call, result);
    }

    /// Proposes as the leader.
    pub(crate) async fn here(&self, command: Command) -> ProposeResult {
        match self.meta.propose(command).await {
            Ok(done) => ProposeResult::Committed {
                outcome: done.outcome,
                revision: done.revision,
            },
            Err(error) => ProposeResult::from(&error),
        }
    }

    /// Proposes what the core decided as the leader, under these voters. What rests on promises gathered from them must
    /// not enter the log under others (`squall_kernel::promises`); the core gathers again.
    pub(super) async fn verdict(&self, command: Command, voters: VotersAt) -> ProposeResult {
        if !command.rests_on_promises() {
            return self.here(command).await;
        }
        match self.meta.propose_under(command, voters).await {
            Ok(done) => ProposeResult::Committed {
                outcome: done.outcome,
                revision: done.revision,
            },
            Err(error) => ProposeResult::from(&error),
        }
    }

    /// Takes a node in, as the leader: a learner of the log, then a member of the registry.
    pub(crate) async fn admit(&self, introduction: Introduction) -> ProposeResult {
        // The registry will say no: no place in the log for who is not let in.
        let taken = {
            let registry = self.meta.registry();
            let registry = registry.borrow();
            registry
                .node_named(introduction.name.as_str())
                .is_some_and(|n| n.id != introduction.id && n.is_up())
        };
        if taken {
            return self.here(Command::NodeUp(introduction)).await;
        }
        match self
            .meta
            .add_learner(introduction.id, &introduction.mesh_addr)
            .await
        {
            Ok(_) => self.here(Command::NodeUp(introduction)).await,
            Err(ChangeError::Propose(error)) => ProposeResult::from(&error),
            Err(error) => ProposeResult::Failed {
                reason: error.to_string(),
            },
        }
    }

    /// Waits out an election at most: true when there is no quorum to ask.
    pub(super) async fn quorum_is_lost(&self) -> bool {
        let election = self.meta.profile().times().election_max;
        self.quorum.is_lost(Duration::from_millis(election.as_ms())).await
    }

    pub(super) async fn await_news(&self, deadline: Instant) {
        let mut state = self.meta.state();
        state.mark_unchanged();
        let next = deadline.min(Instant::now() + LOOK_AGAIN);
        // Either way the next attempt looks at the state as it is then.
        let _ = timeout_at(next, state.changed()).await;
    }
}

/// The same seam as a trait, for sessions and the admin service.
impl crate::grpc::Proposer for Proposals {
    fn propose(&self, command: Command) -> BoxFuture<'_, ProposeResult> {
        Self::propose(self, command).boxed()
    }
}

/// A deletion whose first try may have succeeded finds nothing to delete: that is what was wanted, and another revision
/// did it.
fn is_second_deletion(command: &Command, outcome: &Outcome) -> bool {
    matches!(
        (command, outcome),
        (
            Command::Delete { .. },
            Outcome::Refused(Refused::UnknownExchange(_))
        )
    )
}
