//! Which publishes went from node to node.

use std::collections::BTreeMap;

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::NodeId;

use super::super::recent::Recent;
use crate::history::Event;
use crate::limits::REQUESTS_REMEMBERED;

/// Frames with one publish, by where they went, and from where.
type Frames = BTreeMap<(NodeId, NodeId), Event>;

/// Frames, as many of the latest as there may be; all with one publish are forgotten together.
#[derive(Debug)]
pub(super) struct Passed {
    publishes: Recent<RequestKey, Frames>,
    frames: usize,
}

impl Default for Passed {
    fn default() -> Self {
        Self {
            publishes: Recent::new(REQUESTS_REMEMBERED),
            frames: 0,
        }
    }
}

impl Passed {
    /// A frame that went there before: from the same node, or from another one where that is no excuse.
    pub(super) fn before(
        &self,
        publish: RequestKey,
        (from, to): (NodeId, NodeId),
        from_others: bool,
    ) -> Option<&Event> {
        let frames = self.publishes.get(&publish)?;
        let mut there = frames.range((to, NodeId(0))..=(to, NodeId(u64::MAX)));
        there
            .find(|((_, sender), _)| *sender == from || !from_others)
            .map(|(_, before)| before)
    }

    pub(super) fn note(&mut self, publish: RequestKey, (from, to): (NodeId, NodeId), event: &Event) {
        if self.publishes.get(&publish).is_none() {
            let forgotten = self.publishes.insert(publish, Frames::new());
            self.without(forgotten);
        }
        if let Some(frames) = self.publishes.get_mut(&publish) {
            let before = frames.insert((to, from), event.clone());
            self.frames += usize::from(before.is_none());
        }
        while self.frames > REQUESTS_REMEMBERED {
            let forgotten = self.publishes.forget_oldest();
            self.without(forgotten);
        }
    }

    /// Nobody has got it: it goes out again.
    pub(super) fn again(&mut self, publish: RequestKey) {
        let forgotten = self.publishes.remove(&publish);
        self.without(forgotten);
    }

    fn without(&mut self, frames: Option<Frames>) {
        self.frames -= frames.map_or(0, |frames| frames.len());
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::story::{at, request};
    use super::*;
    use crate::history::What;

    #[test]
    fn frames_are_bounded_in_all_and_those_with_one_publish_go_together() {
        let mut passed = Passed::default();
        let event = at(1, 1, What::Paused);
        let way = |to: u64| (NodeId(1), NodeId(to));
        for publish in 0..=REQUESTS_REMEMBERED as u64 / 2 {
            for to in [2, 3] {
                passed.note(request(publish), way(to), &event);
            }
        }
        assert_eq!(passed.frames, REQUESTS_REMEMBERED);
        assert_eq!(passed.before(request(0), way(2), false), None);
        assert_eq!(passed.before(request(0), way(3), false), None);
        assert_eq!(passed.before(request(1), way(3), false), Some(&event));
        passed.again(request(1));
        assert_eq!(passed.before(request(1), way(3), false), None);
        assert_eq!(passed.frames, REQUESTS_REMEMBERED - 2);
    }

    #[test]
    fn from_another_node_is_twice_unless_it_went_over() {
        let mut passed = Passed::default();
        let event = at(1, 1, What::Paused);
        passed.note(request(1), (NodeId(1), NodeId(3)), &event);
        let other = (NodeId(2), NodeId(3));
        assert_eq!(passed.before(request(1), other, false), Some(&event));
        assert_eq!(passed.before(request(1), other, true), None);
        assert_eq!(passed.before(request(1), (NodeId(1), NodeId(4)), false), None);
    }
}
