//! The voters, as far as a node has a part in them: the meta leader keeps them by the rule, and an operator's wishes find
//! their way to it from any node.
//!
//! What does not live here: the rule (`squall_kernel::voters`), and how the change is made (`meta`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use squall_kernel::id::{Boot, NodeId, NodeName};
use squall_kernel::membership::{MemberChange, MemberRefused, MemberResult};
use squall_kernel::message::{Call, PeerMessage, ProposeResult};
use squall_kernel::voters::Roll;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Control;
use super::calls::Calls;
use super::proposals::{PROPOSE_WITHIN, Proposals};
use crate::meta::{ChangeError, Granted};

/// How long one node may take to answer: two commits in a row under load, and a third for a removal.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What is between those that wish for changes of the voters and the leader.
#[derive(Debug)]
pub(super) struct Members {
    calls: Calls<MemberResult>,
    /// What the meta leader knows of the nodes; none on others.
    roll: watch::Sender<Option<Arc<Roll>>>,
    /// One change at a time.
    changing: AtomicBool,
}

impl Members {
    pub(super) fn of_run(boot: Boot) -> Self {
        Self {
            calls: Calls::of_run(boot),
            roll: watch::Sender::default(),
            changing: AtomicBool::new(false),
        }
    }
}

impl Control {
    /// Called after every input: looks at the voters now and then.
    pub(super) fn keep_voters(&mut self) {
        let now = self.parts.clock.now();
        if !self.attendance.is_due(now) {
            return;
        }
        {
            let state = self.meta_in.borrow();
            let members = state.voters.iter().chain(&state.learners).copied();
            let linked = |id| id == self.parts.me.id || self.neighbours.contains_key(&id);
            self.attendance.look(now, &self.registry, members, linked);
        }
        let leads = self.meta_view.leads && self.meta_view.quorum;
        let live = |id| self.core.is_alive(id);
        let roll = leads.then(|| Arc::new(self.attendance.roll(now, &self.registry, live)));
        self.parts.proposals.members.roll.send_replace(roll.clone());
        if let Some(roll) = roll {
            self.adjust_voters(roll);
        }
    }

    fn adjust_voters(&self, roll: Arc<Roll>) {
        let (meta, members) = (self.parts.meta.clone(), Arc::clone(&self.parts.proposals.members));
        tokio::spawn(async move {
            let Some(_turn) = Turn::take(&members) else { return };
            match meta.keep_voters(&roll).await {
                Ok(Some(change)) => tracing::info!(?change, "the voters changed"),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the voters did not change"),
            }
        });
    }
}

/// The right to change the members, given back when dropped.
struct Turn<'a>(&'a Members);

impl<'a> Turn<'a> {
    fn take(members: &'a Members) -> Option<Self> {
        let free = !members.changing.swap(true, Ordering::AcqRel);
        free.then_some(Self(members))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.changing.store(false, Ordering::Release);
    }
}

impl Proposals {
    /// Asks for a change of the voters wherever the leader is, for at most five seconds, or an election time where there is
    /// no quorum. Tries again only what certainly
    /// was not done, or does no harm when done twice: every change names the state that is wanted.
    pub async fn change_member(&self, change: MemberChange) -> MemberResult {
        let deadline = Instant::now() + PROPOSE_WITHIN;
        let mut last = MemberResult::Failed {
            reason: "no meta leader is known".into(),
        };
        let mut uncertain = false;
        while Instant::now() < deadline {
            if self.quorum_is_lost().await {
                return if uncertain { last } else { MemberResult::NoQuorum };
            }
            match self.attempt_change(&change).await {
                MemberResult::NotLeader { .. } | MemberResult::NoQuorum => {}
                busy @ MemberResult::Refused(MemberRefused::Busy) if !uncertain => last = busy,
                MemberResult::Refused(MemberRefused::Busy) => {}
                MemberResult::Unknown { reason } => {
                    uncertain = true;
                    last = MemberResult::Unknown { reason };
                }
                failed @ MemberResult::Failed { .. } if !uncertain => last = failed,
                MemberResult::Failed { .. } => {}
                ended => return done_before(&change, ended, uncertain),
            }
            self.await_news(deadline).await;
        }
        last
    }

    async fn attempt_change(&self, change: &MemberChange) -> MemberResult {
        let leader = self.meta.state().borrow().leader;
        match leader {
            None => MemberResult::NotLeader { leader: None },
            Some(leader) if leader == self.meta.id() => self.change_member_here(change).await,
            Some(leader) => self.ask_for_change(leader, change.clone()).await,
        }
    }

    async fn ask_for_change(&self, leader: NodeId, change: MemberChange) -> MemberResult {
        let mut waiting = self.members.calls.open();
        let call = waiting.call;
        let message = PeerMessage::Members { call, change };
        if self.mesh.send_control(leader, &message).is_err() {
            return MemberResult::Failed {
                reason: "the meta leader is not connected".into(),
            };
        }
        match timeout(ANSWER_WITHIN, &mut waiting.answer).await {
            Ok(Ok(result)) => result,
            _ => MemberResult::Unknown {
                reason: "the meta leader did not answer in time".into(),
            },
        }
    }

    /// Takes an answer from the mesh.
    pub(super) fn member_changed(&self, call: Call, result: MemberResult) {
        self.members.calls.answer(call, result);
    }

    /// Changes the voters as the leader.
    pub(super) async fn change_member_here(&self, change: &MemberChange) -> MemberResult {
        let roll = self.members.roll.borrow().clone();
        let Some(roll) = roll else {
            let leader = self.meta.state().borrow().leader;
            let leader = leader.filter(|id| *id != self.meta.id());
            return MemberResult::NotLeader { leader };
        };
        let mut roll = Roll::clone(&roll);
        roll.renew(&self.meta.registry().borrow());
        let Some(_turn) = Turn::take(&self.members) else {
            return MemberResult::Refused(MemberRefused::Busy);
        };
        match self.meta.change_member(&roll, change).await {
            Ok(Granted::Done(voters)) => MemberResult::Done {
                voters: names(&roll, &voters),
            },
            Ok(Granted::Unchanged(voters)) => MemberResult::Unchanged {
                voters: names(&roll, &voters),
            },
            Ok(Granted::Refused(refused)) => MemberResult::Refused(refused),
            Err(ChangeError::InProgress) => MemberResult::Refused(MemberRefused::Busy),
            Err(ChangeError::Refused(reason)) => MemberResult::Failed { reason },
            Err(ChangeError::Propose(error)) => match ProposeResult::from(&error) {
                ProposeResult::NotLeader { leader } => MemberResult::NotLeader { leader },
                ProposeResult::Unknown { reason } => MemberResult::Unknown { reason },
                _ => MemberResult::Failed {
                    reason: error.to_string(),
                },
            },
        }
    }
}

/// The same as a trait, for the admin service.
impl crate::grpc::Membership for Proposals {
    fn change(&self, change: MemberChange) -> BoxFuture<'_, MemberResult> {
        self.change_member(change).boxed()
    }
}

fn names(roll: &Roll, voters: &BTreeSet<NodeId>) -> Vec<NodeName> {
    let name = |id: &NodeId| roll.members.get(id).map(|s| s.name.clone());
    voters.iter().filter_map(name).collect()
}

/// A removal whose first try may have succeeded finds nobody to remove: that is what was wanted.
fn done_before(change: &MemberChange, ended: MemberResult, uncertain: bool) -> MemberResult {
    match (change, ended) {
        (MemberChange::Remove(_), MemberResult::Refused(MemberRefused::UnknownNode(_))) if uncertain => {
            MemberResult::Done { voters: Vec::new() }
        }
        (_, ended) => ended,
    }
}
