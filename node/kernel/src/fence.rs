//! The fence of a resource: it remembers the highest epochs it has seen and refuses lower ones (P1 of the design: safety
//! by epoch, without clocks).

use crate::id::{Epoch, LeaderEpoch};
use crate::planted::{self, Bug};

/// Highest epochs seen at one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fence {
    epoch: Epoch,
    leader: LeaderEpoch,
}

/// The right to let one effect take place: only [`Fence::pass`] makes it, so that whoever asks for it cannot be reached
/// by an effect that was not compared with the fence.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Pass {
    epoch: Epoch,
    leader: LeaderEpoch,
}

impl Pass {
    /// Exchange epoch of the effect.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Its leader epoch; 0 where there is none.
    #[must_use]
    pub const fn leader(&self) -> LeaderEpoch {
        self.leader
    }
}

/// An effect came under an epoch that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("fenced: epoch {epoch} leader epoch {leader} seen")]
pub struct Fenced {
    /// Highest exchange epoch seen.
    pub epoch: Epoch,
    /// Highest leader epoch seen.
    pub leader: LeaderEpoch,
}

impl Fence {
    /// Lets an effect through, and remembers its epochs, or refuses it. Leader epoch 0 stands for a strategy without
    /// leader and is not compared.
    ///
    /// # Errors
    /// [`Fenced`] with what was seen, when one of the epochs is lower.
    pub fn pass(&mut self, epoch: Epoch, leader: LeaderEpoch) -> Result<Pass, Fenced> {
        let stale = epoch < self.epoch || (leader != LeaderEpoch(0) && leader < self.leader);
        if stale && !planted::is(Bug::IgnoreEpoch) {
            return Err(Fenced {
                epoch: self.epoch,
                leader: self.leader,
            });
        }
        self.epoch = self.epoch.max(epoch);
        self.leader = self.leader.max(leader);
        Ok(Pass { epoch, leader })
    }

    /// Highest exchange epoch seen.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Highest leader epoch seen.
    #[must_use]
    pub fn leader(&self) -> LeaderEpoch {
        self.leader
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_owner_and_a_stale_leader_are_fenced() {
        let mut fence = Fence::default();
        assert!(fence.pass(Epoch(2), LeaderEpoch(5)).is_ok());
        assert_eq!(
            fence.pass(Epoch(1), LeaderEpoch(6)),
            Err(Fenced {
                epoch: Epoch(2),
                leader: LeaderEpoch(5)
            })
        );
        assert_eq!(
            fence.pass(Epoch(2), LeaderEpoch(4)),
            Err(Fenced {
                epoch: Epoch(2),
                leader: LeaderEpoch(5)
            })
        );
        assert!(fence.pass(Epoch(3), LeaderEpoch(0)).is_ok());
        assert_eq!(
            fence.leader(),
            LeaderEpoch(5),
            "a message without leader epoch lowers nothing"
        );
    }
}
