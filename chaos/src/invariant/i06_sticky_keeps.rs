//! I6: a sticky signature keeps its handler while it is up, across owner crashes and moves too.
//!
//! A handler is up until it detaches, its node ends, or the registry says that its node is lost. A handler of a node that
//! the registry does not hold for up, or not any more, is judged once the node is up and the owner has the handler since:
//! until then each new owner takes it for gone. What it takes that was sent to it before is not judged.

use std::collections::BTreeMap;

use squall_kernel::exchange::{RequestKey, Signature};
use squall_kernel::id::{ExchangeId, NodeId, Pid, Revision};
use squall_kernel::time::Instant;

use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, What};
use crate::limits::{GRANTS_REMEMBERED, HANDLERS_REMEMBERED, REQUESTS_REMEMBERED, TURNS_REMEMBERED};

/// The checker of I6.
#[derive(Debug)]
pub struct StickyKeeps {
    /// Who has which signature, and by which event.
    holders: Recent<(ExchangeId, Signature), (Pid, Event)>,
    /// Who serves, in the eyes of the owner, each since when; and when that was told last.
    views: Recent<ExchangeId, (Instant, BTreeMap<Pid, Instant>)>,
    /// When each request was first passed on.
    routed: Recent<RequestKey, Instant>,
    /// Since when each node is up, and none while it is not; by which revision of the registry.
    up: BTreeMap<NodeId, (Revision, Option<Instant>)>,
    /// Where each node's registry stands: one that starts again tells of old times.
    revisions: Recent<NodeId, Revision>,
    /// Handlers that are detached: what is on its way to them may reach them all the same.
    detached: Recent<Pid, ()>,
    judged: u64,
}

impl Default for StickyKeeps {
    fn default() -> Self {
        Self {
            holders: Recent::new(TURNS_REMEMBERED),
            views: Recent::new(GRANTS_REMEMBERED),
            routed: Recent::new(REQUESTS_REMEMBERED),
            up: BTreeMap::new(),
            revisions: Recent::new(GRANTS_REMEMBERED),
            detached: Recent::new(HANDLERS_REMEMBERED),
            judged: 0,
        }
    }
}

impl StickyKeeps {
    fn gone(&mut self, is_gone: impl Fn(Pid) -> bool) {
        self.holders.retain(|_, (pid, _)| !is_gone(*pid));
    }

    /// True when its node is up, the owner has the handler since, and has passed the request on since.
    fn serves(&self, exchange: ExchangeId, handler: Pid, request: RequestKey) -> bool {
        let up = self.up.get(&handler.node).and_then(|(_, since)| *since);
        let listed = self
            .views
            .get(&exchange)
            .and_then(|(at, servers)| Some((*at, *servers.get(&handler)?)));
        let since = up.zip(listed).filter(|(up, (at, _))| up < at);
        let routed = self.routed.get(&request).copied();
        since.is_some_and(|(_, (_, listed))| routed.is_none_or(|at| at >= listed))
    }

    /// Since when `node` is up, to be changed by what `by` has learned of it; none where more is known already.
    fn latest(&mut self, by: NodeId, node: NodeId) -> Option<&mut Option<Instant>> {
        let revision = self.revisions.get(&by).copied().unwrap_or_default();
        let (known, up) = self.up.entry(node).or_default();
        (*known <= revision).then(|| {
            *known = revision;
            up
        })
    }

    /// What an owner tells of who serves.
    fn viewed(&mut self, at: Instant, exchange: ExchangeId, servers: &[Pid]) {
        let before = self.views.remove(&exchange).map(|(_, servers)| servers);
        let before = before.unwrap_or_default();
        let since = |pid: &Pid| (*pid, before.get(pid).copied().unwrap_or(at));
        let servers = servers.iter().map(since).collect();
        self.views.insert(exchange, (at, servers));
    }

    fn kept(
        &mut self,
        event: &Event,
        (exchange, signature): (ExchangeId, Signature),
        request: RequestKey,
        handler: Pid,
    ) -> Result<(), Breach> {
        if self.detached.get(&handler).is_some() || !self.serves(exchange, handler, request) {
            return Ok(());
        }
        let key = (exchange, signature);
        self.judged += 1;
        let breach = match self.holders.get(&key) {
            Some((holder, before)) if *holder != handler => {
                let text = format!(
                    "#{exchange}: {handler} got a request of signature {signature}, which {holder} has and is up"
                );
                Err(Breach::new(Id(6), Some(before), event, text))
            }
            _ => Ok(()),
        };
        self.holders.insert(key, (handler, event.clone()));
        breach
    }
}

impl Invariant for StickyKeeps {
    fn id(&self) -> Id {
        Id(6)
    }

    fn claim(&self) -> &'static str {
        "a sticky signature keeps its handler while it is up"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        match &event.what {
            What::Kept {
                request,
                exchange,
                signature,
                handler,
            } => return self.kept(event, (*exchange, *signature), *request, *handler),
            What::Routed { request, .. } if self.routed.get(request).is_none() => {
                self.routed.insert(*request, event.at);
            }
            What::Detached { handler } => {
                self.detached.insert(*handler, ());
                self.gone(|pid| pid == *handler);
            }
            What::Ended { .. } => self.gone(|pid| pid.node == event.node),
            What::Applied { revision, .. } => {
                self.revisions.insert(event.node, *revision);
            }
            What::Lost { lost, .. } => {
                if let Some(up) = self.latest(event.node, *lost) {
                    *up = None;
                    self.gone(|pid| pid.node == *lost);
                }
            }
            What::Up { node } => {
                if let Some(up) = self.latest(event.node, *node) {
                    up.get_or_insert(event.at);
                }
            }
            What::Deleted { exchange } => self.holders.retain(|(id, _), _| id != exchange),
            What::OwnerView { exchange, view, .. } => {
                self.viewed(event.at, *exchange, &view.servers);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Verdict {
        Verdict::judged(self.judged, "no request had a signature")
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::Boot;

    use super::super::story::{applied, at, broken, handler, holds, owner_view, request, routed, unknown};
    use super::*;

    fn kept(ms: u64, node: u64, n: u64) -> Event {
        let signature = Signature::new(7);
        let (exchange, handler) = (ExchangeId(1), handler(n));
        at(
            ms,
            node,
            What::Kept {
                request: request(ms),
                exchange,
                signature,
                handler,
            },
        )
    }

    fn lost(t: u64, node: u64) -> Event {
        let (lost, before) = (NodeId(node), Boot(2));
        at(t, 3, What::Lost { lost, before })
    }

    fn served() -> Vec<Event> {
        let up = |n| at(0, 1, What::Up { node: NodeId(n) });
        let mut story = vec![up(1), up(2), owner_view(1, 1, (1, 2), None, &[1, 2])];
        story.extend([kept(2, 1, 1), kept(3, 1, 1)]);
        story
    }

    #[test]
    fn what_reaches_a_handler_after_it_was_detached_binds_nothing() {
        let handler = handler(1);
        let mut story = served();
        story.extend([at(4, 1, What::Detached { handler }), kept(5, 1, 1), kept(6, 2, 2)]);
        holds(StickyKeeps::default(), &story);
    }

    #[test]
    fn another_handler_while_the_first_is_up_is_a_breach() {
        let mut story = served();
        holds(StickyKeeps::default(), &story);
        story.push(kept(4, 2, 2));
        let text = broken(StickyKeeps::default(), &story).text;
        assert!(text.contains("which <1.1:1> has and is up"), "{text}");
    }

    #[test]
    fn a_handler_that_is_gone_is_followed_by_another() {
        for gone in [
            at(4, 1, What::Detached { handler: handler(1) }),
            at(4, 1, What::Ended { graceful: false }),
            lost(4, 1),
        ] {
            let mut story = served();
            story.extend([gone, kept(5, 2, 2)]);
            holds(StickyKeeps::default(), &story);
        }
    }

    #[test]
    fn what_reaches_a_lost_node_before_it_is_back_is_not_judged() {
        let mut story = served();
        story.extend([lost(4, 1), kept(5, 2, 2), kept(6, 1, 1), kept(7, 2, 2)]);
        holds(StickyKeeps::default(), &story);
        story.extend([owner_view(8, 1, (1, 4), None, &[1, 2]), kept(9, 1, 1)]);
        holds(StickyKeeps::default(), &story);
        let up = at(10, 3, What::Up { node: NodeId(1) });
        story.extend([up, owner_view(11, 1, (1, 5), None, &[1, 2]), kept(12, 1, 1)]);
        broken(StickyKeeps::default(), &story);
    }

    #[test]
    fn what_a_node_tells_of_old_times_makes_nobody_up() {
        let up = |t, by| at(t, by, What::Up { node: NodeId(1) });
        let mut story = vec![applied(0, 3, 5, 1)];
        story.extend(served());
        // The first node's log ends before it was lost.
        story.extend([lost(4, 1), applied(5, 1, 2, 1), up(5, 1)]);
        let mut judged = story.clone();
        let then = [
            owner_view(6, 1, (1, 4), None, &[1, 2]),
            kept(7, 1, 1),
            kept(8, 2, 2),
        ];
        story.extend(then.clone());
        holds(StickyKeeps::default(), &story);
        judged.extend([applied(5, 3, 6, 1), up(5, 3)]);
        judged.extend(then);
        broken(StickyKeeps::default(), &judged);
    }

    #[test]
    fn what_was_sent_to_a_handler_before_its_node_came_back_is_not_judged() {
        let up = at(5, 3, What::Up { node: NodeId(1) });
        let back = owner_view(6, 1, (1, 4), None, &[1, 2]);
        let gone = owner_view(4, 1, (1, 3), None, &[2]);
        let mut story = served();
        story.extend([routed(3, 8, "", 1), lost(4, 1), gone, kept(5, 2, 2), up, back]);
        story.push(kept(8, 1, 1));
        holds(StickyKeeps::default(), &story);
        story.extend([routed(9, 9, "", 1), kept(9, 1, 1)]);
        broken(StickyKeeps::default(), &story);
    }

    #[test]
    fn without_signatures_nothing_is_said() {
        unknown(StickyKeeps::default(), &served()[..3]);
    }
}
