//! What becomes of open requests when the registry moves or an owner is out of reach: whoever knows where a request went is
//! followed from owner to owner, so that its requester does not wait for what nobody knows any more.
//!
//! What does not live here: how a move hands on what is open (`exchanges`), and the rule (`data::Change`).

use squall_kernel::id::NodeId;
use squall_kernel::reason::NoReply;

use super::Router;
use super::open::{Open, Stage};
use super::talking::handler_lost;
use crate::data::Change;

impl Router {
    /// Ends what a lost node holds, and tries again at once what waits.
    pub(crate) fn registry_changed(&self, change: &Change) {
        if change.concerns_requests() {
            for mut open in self
                .table
                .take_all(|open| !follows(open, change) || handler_lost(open, change))
            {
                self.tell_of_loss(&mut open, change);
                self.end(open, NoReply::Interrupted);
            }
        }
        let mut waiting = self.table.take_waiting();
        // As they came: publishes of one publisher should not overtake each other.
        waiting.sort_by_key(|open| open.started);
        let now = self.context.clock.now();
        for open in waiting {
            self.dispatch(open, now);
        }
        if change.any_deleted() {
            self.stats.keep(|exchange| change.exchange(exchange).is_some());
        }
    }

    /// Its span says who was lost: the node that had it, or the one that kept what was known of it.
    fn tell_of_loss(&self, open: &mut Open, change: &Change) {
        if !open.traced.is_on() {
            return;
        }
        let speaker = open.talk.as_ref().and_then(|talk| talk.speaker());
        let speaker = speaker.map(|speaker| speaker.handler.node);
        let (owner, keeper) = match open.stage {
            Stage::Sent { owner, keeper } => (Some(owner), Some(keeper)),
            Stage::New | Stage::Waiting { .. } => (None, None),
        };
        let held = [owner, keeper, speaker];
        let lost = held.into_iter().flatten().find(|node| change.is_lost(*node));
        if let Some(node) = lost.or(owner) {
            let exchange = open.request.exchange;
            let failovers = &self.context.failovers;
            failovers.lost(&mut open.traced, exchange, node, change);
        }
    }

    /// What is sent to that owner does not arrive any more, or its answers do not: what it had may have been carried out.
    pub(crate) fn unreachable(&self, node: NodeId) {
        let held = self.table.take_all(|open| {
            matches!(open.stage, Stage::Sent { owner, .. } if owner == node)
                || open.talk.as_ref().is_some_and(|talk| talk.is_with(node))
        });
        for mut open in held {
            let failovers = &self.context.failovers;
            failovers.unreached(&mut open.traced, node, &self.context.registry());
            self.end(open, NoReply::Interrupted);
        }
    }
}

/// False when nobody is left who could end it.
fn follows(open: &mut Open, change: &Change) -> bool {
    match &mut open.stage {
        Stage::Sent { owner, keeper } => change.follow(open.request.exchange, *owner, keeper),
        Stage::New | Stage::Waiting { .. } => true,
    }
}
