//! A new incarnation of the cluster from what one survivor has. What does not live here: the files, and the question
//! whether to do it.

use super::{Duty, NodeLife, Refused, Registry};
use crate::id::{ClusterId, NodeId};
use crate::limits::{RECOVERY_EPOCHS, RECOVERY_EXCHANGES};
use crate::reason::Lost;

impl Registry {
    /// The survivor's registry may lack the lost majority's last changes: epochs and exchange numbers that the majority
    /// gave out since must not be given out again, so they go on far beyond.
    pub(super) fn recover(&mut self, cluster: ClusterId, survivor: NodeId) -> Result<bool, Refused> {
        if !self.nodes.contains_key(&survivor) {
            return Err(Refused::UnknownNode(survivor));
        }
        if self.cluster == Some(cluster) {
            return Ok(false);
        }
        self.cluster = Some(cluster);
        if let Some(survivor) = self.nodes.get_mut(&survivor) {
            survivor.duty = Duty::Full;
        }
        for node in self.nodes.values_mut().filter(|n| n.id != survivor) {
            node.tenure.0 += 1;
            if node.is_up() {
                node.life = NodeLife::Down(Lost::Recovered);
            }
        }
        self.last_exchange.0 = self.last_exchange.0.saturating_add(RECOVERY_EXCHANGES);
        self.epochs_used.owner.0 += RECOVERY_EPOCHS;
        self.epochs_used.leader.0 += RECOVERY_EPOCHS;
        for exchange in self.exchanges.values_mut() {
            exchange.owner = None;
            exchange.moving = None;
            exchange.epoch.0 += RECOVERY_EPOCHS;
            // Every process of before is gone, the survivor's too: it is not running.
            exchange.leader = None;
            exchange.leader_epoch.0 += RECOVERY_EPOCHS;
        }
        self.adopt_orphans();
        Ok(true)
    }
}
