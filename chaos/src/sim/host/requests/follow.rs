//! What becomes of open requests when the registry moves or an owner is out of reach. As `squall_node::router::follow` does it.

use squall_kernel::id::NodeId;
use squall_kernel::reason::NoReply;
use squall_kernel::time::Instant;
use squall_node::data::Change;

use super::{Open, Stage, talking};
use crate::sim::host::Host;

impl Host {
    /// Ends what a lost node holds, and tries again at once what waits.
    pub(in crate::sim::host) fn requests_changed(&mut self, now: Instant, change: &Change) {
        if change.concerns_requests() {
            for open in self
                .requests
                .take_all(|open| !follows(open, change) || talking::handler_lost(open, change))
            {
                self.end(now, &open, NoReply::Interrupted);
            }
        }
        for open in self
            .requests
            .take_all(|open: &mut Open| matches!(open.stage, Stage::Waiting { .. }))
        {
            self.retry(now, open);
        }
    }

    /// What is sent to that owner does not arrive any more, or its answers do not: what it had may have been carried out.
    pub(in crate::sim::host) fn interrupt_requests_at(&mut self, now: Instant, node: NodeId) {
        let held = |open: &mut Open| {
            matches!(open.stage, Stage::Sent { owner, .. } if owner == node) || talking::is_with(open, node)
        };
        for open in self.requests.take_all(held) {
            self.end(now, &open, NoReply::Interrupted);
        }
    }
}

/// False when nobody is left who could end it, as in the live router.
fn follows(open: &mut Open, change: &Change) -> bool {
    match &mut open.stage {
        Stage::Sent { owner, keeper } => change.follow(open.exchange, *owner, keeper),
        Stage::Waiting { .. } => true,
    }
}
