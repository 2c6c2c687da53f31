//! Tasks beside Raft: publishing its state, and finishing a founding that a crash cut in two.

use std::sync::Arc;
use std::time::Duration;

use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver as _;
use squall_kernel::profile::Times;
use squall_kernel::registry::{Command, Registry};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Founding;
use super::machine::StateMachine;
use super::state::{MetaState, Role};
use super::types::{Live, Proposal};

/// Publishes Raft's metrics as `MetaState`. On a leader also once a heartbeat: the age of its quorum grows exactly
/// when nothing happens.
pub(super) fn watch_state(
    raft: &Raft<Live, StateMachine>,
    times: Times,
) -> (watch::Receiver<MetaState>, JoinHandle<()>) {
    let mut metrics = raft.metrics();
    let (publish, state) = watch::channel(MetaState::of(&metrics.borrow_watched()));
    let task = tokio::spawn(async move {
        let mut beat = interval(Duration::from_millis(times.heartbeat.as_ms()));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let leading = publish.borrow().role == Role::Leader;
            let changed = tokio::select! {
                changed = metrics.changed() => changed.is_ok(),
                _ = beat.tick(), if leading => true,
            };
            let now = MetaState::of(&metrics.borrow_watched());
            publish.send_if_modified(|held| {
                let differs = *held != now;
                *held = now;
                differs
            });
            if !changed {
                return;
            }
        }
    });
    (state, task)
}

/// A cluster exists in two steps: Raft is initialized with its voters, then the first leader commits `Found`. Whoever
/// leads while the registry is not founded proposes it, so a crash between the two leaves nothing to repair. A second
/// proposal is refused by the registry.
pub(super) async fn complete_founding(
    raft: Raft<Live, StateMachine>,
    mut state: watch::Receiver<MetaState>,
    mut registry: watch::Receiver<Arc<Registry>>,
    intent: watch::Receiver<Founding>,
    times: Times,
) {
    let patience = Duration::from_millis(times.election_max.as_ms());
    while registry.borrow_and_update().cluster.is_none() {
        if state.borrow_and_update().leads(&times) {
            let Founding { cluster, profile } = *intent.borrow();
            let found = Proposal(Command::Found { cluster, profile });
            // Failed or late: the state says so, and as long as this node leads, the next beat tries again.
            if let Ok(Err(e)) = timeout(patience, raft.client_write(found)).await {
                tracing::debug!(error = %e, "founding is not committed yet");
            }
            if registry.borrow().cluster.is_some() {
                return;
            }
        }
        let ended = tokio::select! {
            changed = state.changed() => changed.is_err(),
            changed = registry.changed() => changed.is_err(),
        };
        if ended {
            return;
        }
    }
}
