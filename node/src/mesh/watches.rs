//! Watches on the processes of peers on the same system, and what is told of their ends: each run's end once.
//!
//! What does not live here: how an end is seen (`death`), what it means (the kernel's core).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use squall_kernel::handshake::ProcessIdentity;
use squall_kernel::id::{Incarnation, NodeId};
use squall_kernel::limits::NODES_MAX;
use squall_kernel::registry::Introduction;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::MeshEvent;
use crate::death::Sight;

/// All watches.
pub(super) struct Watches {
    /// This process; none when it neither watches nor is watched.
    own: Option<ProcessIdentity>,
    control: Handle,
    events: mpsc::Sender<MeshEvent>,
    stop: watch::Receiver<bool>,
    runs: Mutex<BTreeMap<NodeId, Run>>,
}

/// The latest run of a peer that there is something to say of.
struct Run {
    incarnation: Incarnation,
    told: bool,
    task: Option<AbortHandle>,
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Watches {
    pub(super) fn new(
        own: Option<ProcessIdentity>,
        control: Handle,
        events: mpsc::Sender<MeshEvent>,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            own,
            control,
            events,
            stop,
            runs: Mutex::default(),
        })
    }

    /// What this node tells of its process.
    pub(super) const fn own(&self) -> Option<ProcessIdentity> {
        self.own
    }

    /// A run of a peer has proved itself: its process is watched from now on, if it can be and is not yet.
    pub(super) fn watch(self: &Arc<Self>, node: &Introduction, process: Option<ProcessIdentity>) {
        let (Some(own), Some(process)) = (self.own, process) else {
            return;
        };
        // Nodes in one process end together, so there is nobody to see it.
        if !own.shares_pids_with(&process) || own.pid == process.pid {
            return;
        }
        let mut runs = self.lock();
        let known = runs.get(&node.id);
        let later = known.is_none_or(|run| run.incarnation < node.incarnation);
        let unseen =
            known.is_some_and(|run| run.incarnation == node.incarnation && run.task.is_none() && !run.told);
        if !(later || unseen) || !has_room(&mut runs, node.id) {
            return;
        }
        let sight = {
            let _inside = self.control.enter();
            Sight::open(process)
        };
        match sight {
            Ok(sight) => {
                let end = Arc::clone(self).until_end(node.clone(), sight);
                let run = Run {
                    incarnation: node.incarnation,
                    told: false,
                    task: Some(self.control.spawn(end).abort_handle()),
                };
                runs.insert(node.id, run);
            }
            Err(why) => tracing::debug!(node = %node.name, %why, "the peer's process is not watched"),
        }
    }

    async fn until_end(self: Arc<Self>, node: Introduction, sight: Sight) {
        let mut stop = self.stop.clone();
        let seen = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            seen = sight.ended() => seen,
        };
        match seen {
            Ok(()) => self.died(&node, "its process has ended").await,
            Err(why) => tracing::debug!(node = %node.name, %why, "the peer's process is out of sight"),
        }
    }

    /// Tells the control plane of a run's end, the first time.
    pub(super) async fn died(&self, node: &Introduction, why: &str) {
        let (id, incarnation) = (node.id, node.incarnation);
        if !self.is_first(id, incarnation) {
            return;
        }
        tracing::info!(node = %node.name, %incarnation, "dead: {why}");
        // Nobody listens any more when the node ends.
        let _ended = self
            .events
            .send(MeshEvent::Died {
                node: id,
                incarnation,
            })
            .await;
    }

    /// True when the end of that run was not told before, and no later run is known.
    fn is_first(&self, node: NodeId, incarnation: Incarnation) -> bool {
        let mut runs = self.lock();
        match runs.get_mut(&node) {
            Some(run) if run.incarnation == incarnation => !std::mem::replace(&mut run.told, true),
            Some(run) if run.incarnation > incarnation => false,
            _ => {
                let room = has_room(&mut runs, node);
                if room {
                    let run = Run {
                        incarnation,
                        told: true,
                        task: None,
                    };
                    runs.insert(node, run);
                }
                room
            }
        }
    }

    /// The peer is forgotten, and its run with it.
    pub(super) fn forget(&self, node: NodeId) {
        self.lock().remove(&node);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Run>> {
        self.runs.lock().expect("no holder of the lock panics")
    }
}

/// Makes room for a node, at the cost of those of which all is said; false when there is none.
fn has_room(runs: &mut BTreeMap<NodeId, Run>, node: NodeId) -> bool {
    if runs.len() >= NODES_MAX && !runs.contains_key(&node) {
        runs.retain(|_, run| !run.told);
    }
    runs.len() < NODES_MAX || runs.contains_key(&node)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[path = "watches_test.rs"]
mod tests;
