//! Becoming a member: what is tried, one try at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use squall_kernel::founding::{Step, decide};
use squall_kernel::id::NodeId;
use squall_kernel::message::ProposeResult;
use squall_kernel::registry::{Outcome, Refused};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Control;

/// Between two tries: long enough for an election.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// One try at a time: its result comes back here.
#[derive(Debug, Default)]
pub(super) struct Joining {
    running: Option<mpsc::Receiver<ProposeResult>>,
    next: Option<Instant>,
    /// Who is asked next, by place among the neighbours.
    turn: usize,
    hint: Option<NodeId>,
    again: bool,
    problem: String,
}

impl Joining {
    /// The registry holds this run for lost: introduce it again.
    pub(super) fn introduce_again(&mut self) {
        self.again = true;
    }

    /// Takes the result of a try; true when the next one may start.
    fn ready(&mut self) -> bool {
        if let Some(running) = &mut self.running {
            match running.try_recv() {
                Ok(result) => self.finished(result),
                Err(mpsc::error::TryRecvError::Empty) => return false,
                Err(mpsc::error::TryRecvError::Disconnected) => {}
            }
            self.running = None;
            self.next = Some(Instant::now() + TRY_AGAIN);
        }
        self.next.is_none_or(|at| Instant::now() >= at)
    }

    fn finished(&mut self, result: ProposeResult) {
        self.hint = None;
        self.problem.clear();
        match result {
            ProposeResult::Committed {
                outcome: Outcome::Refused(refused),
                ..
            } => {
                self.problem = refused.to_string();
                if matches!(refused, Refused::NameTaken(_)) {
                    tracing::error!(%refused, "this node is not let in");
                }
            }
            ProposeResult::Committed { .. } => self.again = false,
            ProposeResult::NotLeader { leader } => self.hint = leader,
            // Told by one that proposes for others; who takes nodes in asks nobody else.
            ProposeResult::NoQuorum => "no quorum".clone_into(&mut self.problem),
            ProposeResult::Unknown { reason } | ProposeResult::Failed { reason } => self.problem = reason,
        }
    }
}

impl Control {
    /// Called after every input: cheap when there is nothing to do.
    pub(super) fn work_on_membership(&mut self) {
        self.keep_voters();
        if !self.joining.ready() {
            return;
        }
        let initialized = self.meta_in.borrow().initialized;
        let me = &self.parts.me;
        let step = decide(
            self.parts.founding,
            me,
            initialized,
            &self.registry,
            &self.neighbours,
        );
        match step {
            Step::Member if self.joining.again => self.ask_to_join(),
            Step::Member => self.waits_for(String::new()),
            // Its own majority: the only voter, or the survivor of a lost cluster, needs nobody to let it in.
            Step::Wait { .. } if self.meta_view.leads => self.ask_to_join(),
            Step::Wait { reason } => self.waits_for(reason),
            Step::Join => {
                let problem = &self.joining.problem;
                let reason = if problem.is_empty() {
                    "a cluster to let it in".into()
                } else {
                    problem.clone()
                };
                self.waits_for(reason);
                self.ask_to_join();
            }
            Step::Found { nodes } => self.found(&nodes),
        }
    }

    fn waits_for(&mut self, mut reason: String) {
        if let Some(stranger) = self.stranger.as_ref().filter(|_| !reason.is_empty()) {
            reason = format!("{reason}; {stranger}");
        }
        if self.waiting_for != reason {
            if !reason.is_empty() {
                tracing::info!("waiting for {reason}");
            }
            self.waiting_for = reason;
            self.publish_opinion();
        }
    }

    fn ask_to_join(&mut self) {
        let me = self.parts.me.clone();
        let known = self.meta_in.borrow().leader;
        let asked = self
            .joining
            .hint
            .or(known)
            .filter(|id| *id == me.id || self.neighbours.contains_key(id));
        let turn = self.joining.turn;
        let Some(whom) = asked.or_else(|| nth(&self.neighbours, turn)) else {
            // Alone: a single voter that starts again leads itself.
            return;
        };
        self.joining.turn = turn.wrapping_add(1);
        // The answer comes over the other node's own link: without that it is lost, and all its time is waited for.
        if whom != me.id && !self.parts.mesh.is_linked_back(whom) {
            return;
        }
        let (done, running) = mpsc::channel(1);
        self.joining.running = Some(running);
        let proposals = self.parts.proposals.clone();
        tokio::spawn(async move {
            let result = if whom == me.id {
                proposals.admit(me).await
            } else {
                proposals.ask_to_join(whom, me).await
            };
            let _ = done.try_send(result);
        });
    }

    fn found(&mut self, nodes: &[NodeId]) {
        let (meta, me) = (self.parts.meta.clone(), self.parts.me.clone());
        let profile = self.parts.profile;
        let cluster = self
            .parts
            .dir
            .cluster()
            .unwrap_or_else(|| squall_kernel::id::ClusterId(rand::random()));
        let ids: BTreeSet<NodeId> = nodes.iter().copied().collect();
        let known = &self.addresses;
        let address = |id: NodeId| {
            if id == me.id {
                Some(me.mesh_addr.clone())
            } else {
                known.get(&id).cloned()
            }
        };
        let voters: BTreeMap<NodeId, String> = crate::meta::founding_voters(me.id, &ids)
            .into_iter()
            .filter_map(|id| address(id).map(|addr| (id, addr)))
            .collect();
        let (done, running) = mpsc::channel(1);
        self.joining.running = Some(running);
        tokio::spawn(async move {
            let result = match meta.found(cluster, profile, voters).await {
                Ok(()) => ProposeResult::NotLeader { leader: None },
                Err(error) => ProposeResult::Failed {
                    reason: error.to_string(),
                },
            };
            let _ = done.try_send(result);
        });
    }
}

fn nth(neighbours: &BTreeMap<NodeId, squall_kernel::founding::Neighbour>, turn: usize) -> Option<NodeId> {
    let count = neighbours.len();
    (count > 0)
        .then(|| neighbours.keys().nth(turn % count).copied())
        .flatten()
}
