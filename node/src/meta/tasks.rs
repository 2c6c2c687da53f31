//! Tasks beside Raft: publishing its state, and finishing a founding that a crash cut in two. Futures, for any runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{AsyncRuntime, Raft};
use squall_kernel::profile::Times;
use squall_kernel::registry::{Command, Registry};
use tokio::sync::watch;

use super::Founding;
use super::machine::StateMachine;
use super::state::{MetaState, Role};
use super::types::{Proposal, Types};

/// Publishes Raft's metrics as `MetaState`, as long as the future is polled and Raft runs. On a leader also once a
/// heartbeat: the age of its quorum grows exactly when nothing happens.
pub fn watch_state<R: AsyncRuntime>(
    raft: &Raft<Types<R>, StateMachine>,
    times: Times,
) -> (
    watch::Receiver<MetaState>,
    impl Future<Output = ()> + Send + use<R>,
) {
    let (publish, state) = watch::channel(MetaState::of(&raft.metrics().borrow_watched()));
    (state, publish_state(raft, times, publish))
}

/// The same, to those that listen already.
pub(super) fn publish_state<R: AsyncRuntime>(
    raft: &Raft<Types<R>, StateMachine>,
    times: Times,
    publish: watch::Sender<MetaState>,
) -> impl Future<Output = ()> + Send + use<R> {
    let mut metrics = raft.metrics();
    publish.send_replace(MetaState::of(&metrics.borrow_watched()));
    let beat = Duration::from_millis(times.heartbeat.as_ms());
    async move {
        loop {
            let leading = publish.borrow().role == Role::Leader;
            let changed = if leading {
                match R::timeout(beat, metrics.changed()).await {
                    Ok(changed) => changed.is_ok(),
                    Err(_) => true,
                }
            } else {
                metrics.changed().await.is_ok()
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
    }
}

/// A cluster exists in two steps: Raft is initialized with its voters, then the first leader commits `Found`. Whoever
/// leads while the registry is not founded proposes it, so a crash between the two leaves nothing to repair. A second
/// proposal is refused by the registry.
pub async fn complete_founding<R: AsyncRuntime>(
    raft: Raft<Types<R>, StateMachine>,
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
            if let Ok(Err(e)) = R::timeout(patience, raft.client_write(found)).await {
                tracing::debug!(error = %e, "founding is not committed yet");
            }
            if registry.borrow().cluster.is_some() {
                return;
            }
        }
        let ended = match select(pin!(state.changed()), pin!(registry.changed())).await {
            Either::Left((changed, _)) | Either::Right((changed, _)) => changed.is_err(),
        };
        if ended {
            return;
        }
    }
}
