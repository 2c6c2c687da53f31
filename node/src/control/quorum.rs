//! Whether there is a quorum to propose to: a change that nobody can agree on is refused at once, not after all the time
//! that a failover may take. What does not live here: who counts as heard (`squall_kernel::core`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::opinion::Opinion;

/// A view on what the node believes of its quorum.
#[derive(Debug, Clone)]
pub(super) struct QuorumSight {
    opinion: watch::Receiver<Arc<Opinion>>,
}

impl QuorumSight {
    pub(super) fn new(opinion: watch::Receiver<Arc<Opinion>>) -> Self {
        Self { opinion }
    }

    /// False at once when there is a quorum; true when there is none, and none comes within `patience`, an election time.
    pub(super) async fn is_lost(&self, patience: Duration) -> bool {
        if !self.opinion.borrow().lacks_quorum() {
            return false;
        }
        let mut opinion = self.opinion.clone();
        let back = opinion.wait_for(|opinion| !opinion.lacks_quorum());
        // A node that ends publishes nothing any more: it has no quorum either.
        !matches!(timeout(patience, back).await, Ok(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::NodeId;
    use tokio::time::Instant;

    use super::*;

    const ELECTION: Duration = Duration::from_millis(300);

    fn opinion(voters: usize, quorum: bool) -> Arc<Opinion> {
        Arc::new(Opinion {
            voters: vec![NodeId(1); voters],
            quorum,
            ..Opinion::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_quorum_that_is_gone_for_an_election_time_is_lost_and_not_before() {
        let (sender, receiver) = watch::channel(opinion(3, false));
        let sight = QuorumSight::new(receiver);
        let begun = Instant::now();
        assert!(sight.is_lost(ELECTION).await);
        assert_eq!(begun.elapsed(), ELECTION);
        let (lost, ()) = tokio::join!(sight.is_lost(ELECTION), async {
            tokio::time::sleep(ELECTION / 2).await;
            sender.send_replace(opinion(3, true));
        });
        assert!(!lost, "it came back in time");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_hears_a_majority_or_belongs_nowhere_waits_for_nothing() {
        let begun = Instant::now();
        for held in [opinion(3, true), opinion(0, false)] {
            let (_sender, receiver) = watch::channel(held);
            assert!(!QuorumSight::new(receiver).is_lost(ELECTION).await);
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
