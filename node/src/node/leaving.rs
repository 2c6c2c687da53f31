//! How a node comes to its end in order: it hands over what it owns, lets another voter lead the registry, sends its
//! clients elsewhere, and only then says goodbye. Every step is bounded, and skipped when somebody is in a hurry.
//!
//! What does not live here: the goodbye and the files (`node`, `control`), and who takes over (the kernel).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use squall_kernel::membership::MemberResult;
use squall_kernel::message::ProposeResult;
use squall_kernel::registry::{Command, Introduction, Outcome, Registry};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::control::Proposals;
use crate::data::DataPlane;
use crate::grpc::Membership as _;
use crate::introspect::EventLog;
use crate::mesh::Mesh;
use crate::meta::Meta;
use crate::session::NativeSessions;

/// How long the hand-over may take. What is not handed over by then fails over after the goodbye.
const HAND_OVER: Duration = Duration::from_secs(2);
/// How long another voter may take to lead: an election.
const NEW_LEADER: Duration = Duration::from_millis(500);
/// How long clients may take to go elsewhere, and what they had under way to end; they give themselves a second.
const CLIENTS_GONE: Duration = Duration::from_millis(1200);
/// How long the voters may take to let this one go.
const NO_VOTE: Duration = Duration::from_secs(3);
/// Between two looks at requests that are still open.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Looks in a row that show no open request.
const QUIET_LOOKS: u32 = 3;

/// How a node is to end. Never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Leave {
    /// Not at all.
    #[default]
    Not,
    /// After handing over.
    InOrder,
    /// With a goodbye only.
    AtOnce,
}

/// What the end of a node needs.
pub(super) struct Leaving {
    pub(super) me: Introduction,
    pub(super) asked: watch::Receiver<Leave>,
    pub(super) drained: watch::Receiver<Option<bool>>,
    pub(super) registry: watch::Receiver<Arc<Registry>>,
    pub(super) proposals: Proposals,
    pub(super) meta: Meta,
    pub(super) mesh: Arc<Mesh>,
    pub(super) data: Arc<DataPlane>,
    pub(super) sessions: Arc<NativeSessions<Proposals>>,
    pub(super) events: Arc<EventLog>,
}

impl Leaving {
    /// Waits until the node is to end, does what is to be done before, and says so.
    pub(super) async fn run(mut self, ready: oneshot::Sender<()>) {
        let mut asked = self.asked.clone();
        let mut drained = self.drained.clone();
        let by_itself = tokio::select! {
            biased;
            // A handle that is dropped without a word is in a hurry.
            _ = asked.wait_for(|leave| *leave != Leave::Not) => false,
            _ = drained.wait_for(|drained| *drained == Some(true)) => true,
        };
        let in_order = async {
            if by_itself {
                self.let_another_lead().await;
                self.give_up_vote().await;
            } else {
                self.hand_over().await;
            }
            self.let_another_lead().await;
            self.send_clients_elsewhere().await;
        };
        tokio::select! {
            biased;
            _ = asked.wait_for(|leave| *leave == Leave::AtOnce) => {}
            () = in_order => {}
        }
        // The control side may have ended by itself meanwhile.
        let _ = ready.send(());
    }

    /// Moves everything away, if there is anything and anybody to take it.
    async fn hand_over(&mut self) {
        let owns = |r: &Registry| r.owned_by(self.me.id).next().is_some();
        if !owns(&self.registry.borrow()) || self.is_alone(&self.registry.borrow()) {
            return;
        }
        let drain = Command::Drain {
            node: self.me.name.clone(),
            leave: false,
        };
        let handed_over = async {
            let begun = self.proposals.propose(drain).await;
            if !matches!(
                begun,
                ProposeResult::Committed {
                    outcome: Outcome::Done | Outcome::Unchanged,
                    ..
                }
            ) {
                tracing::info!(?begun, "nothing is handed over");
                return;
            }
            let (mut drained, mut registry) = (self.drained.clone(), self.registry.clone());
            tokio::select! {
                _ = drained.wait_for(Option::is_some) => {}
                _ = registry.wait_for(|r| self.is_alone(r)) => {}
            }
        };
        if bounded(HAND_OVER, handed_over).await.is_none() {
            tracing::warn!("not everything was handed over in time; the rest fails over");
        }
    }

    fn is_alone(&self, registry: &Registry) -> bool {
        !registry.nodes.values().any(|n| n.id != self.me.id && n.may_own())
    }

    /// A node that leaves for good takes its vote back. Where the others could not do without it, it stays on their list
    /// until it is removed or replaced.
    async fn give_up_vote(&self) {
        let demoted = self.proposals.demote(self.me.name.clone());
        let text = match bounded(NO_VOTE, demoted).await {
            Some(MemberResult::Done { .. } | MemberResult::Unchanged { .. }) => return,
            Some(MemberResult::Refused(refused)) => format!("keeps its vote: {refused}"),
            Some(other) => format!("keeps its vote: {other:?}"),
            None => "keeps its vote: no answer in time".to_owned(),
        };
        tracing::info!("{text}");
        let severity = squall_proto::v1::Severity::Notice;
        self.events
            .record("drained", self.me.name.as_str(), &text, severity, 0);
    }

    async fn let_another_lead(&self) {
        let mut state = self.meta.state();
        let heir = {
            let now = state.borrow();
            let fit = |v: &&squall_kernel::id::NodeId| **v != now.id && self.mesh.is_connected(**v);
            (now.leader == Some(now.id))
                .then(|| now.voters.iter().find(fit).copied())
                .flatten()
        };
        let Some(heir) = heir else { return };
        // A courtesy: without it the others elect one of themselves after a timeout.
        if self.meta.transfer_leader(heir).await.is_ok() {
            let me = self.me.id;
            let led = state.wait_for(|s| s.leader.is_some_and(|leader| leader != me));
            let _the_others_elect_one = timeout(NEW_LEADER, led).await;
        }
    }

    /// Waits until no client is left, and no request that came in here is open.
    async fn send_clients_elsewhere(&self) {
        self.sessions.leave();
        let gone = async {
            self.sessions.gone().await;
            // A look while requests begin and end may miss some.
            let mut quiet = 0;
            while quiet < QUIET_LOOKS {
                tokio::time::sleep(LOOK_AGAIN).await;
                quiet = if self.data.router.open() == 0 {
                    quiet + 1
                } else {
                    0
                };
            }
        };
        if bounded(CLIENTS_GONE, gone).await.is_none() {
            tracing::debug!("clients are still here; they are cut off");
        }
    }
}

async fn bounded<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    timeout(limit, work).await.ok()
}
