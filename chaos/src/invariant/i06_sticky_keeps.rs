//! I6: a sticky signature keeps its handler while it is up, across owner crashes and moves too.
//!
//! A handler is up until it detaches, its node ends, or the registry says that its node is lost. A handler of a node that
//! was held for lost is judged again once its owner has it again: until then it may take what was sent to it before.

use std::collections::BTreeMap;

use squall_kernel::exchange::Signature;
use squall_kernel::id::{ExchangeId, NodeId, Pid};
use squall_kernel::time::Instant;

use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, What};
use crate::limits::{GRANTS_REMEMBERED, TURNS_REMEMBERED};

/// The checker of I6.
#[derive(Debug)]
pub struct StickyKeeps {
    /// Who has which signature, and by which event.
    holders: Recent<(ExchangeId, Signature), (Pid, Event)>,
    /// Who serves, in the eyes of the owner, since when.
    views: Recent<ExchangeId, (Instant, Vec<Pid>)>,
    /// When each node was last said to be lost.
    lost: BTreeMap<NodeId, Instant>,
    judged: u64,
}

impl Default for StickyKeeps {
    fn default() -> Self {
        Self {
            holders: Recent::new(TURNS_REMEMBERED),
            views: Recent::new(GRANTS_REMEMBERED),
            lost: BTreeMap::new(),
            judged: 0,
        }
    }
}

impl StickyKeeps {
    fn gone(&mut self, is_gone: impl Fn(Pid) -> bool) {
        self.holders.retain(|_, (pid, _)| !is_gone(*pid));
    }

    /// True when the owner has the handler, and had it after its node was lost the last time.
    fn serves(&self, exchange: ExchangeId, handler: Pid) -> bool {
        let lost = self.lost.get(&handler.node);
        self.views
            .get(&exchange)
            .is_some_and(|(at, servers)| servers.contains(&handler) && lost.is_none_or(|lost| lost < at))
    }

    fn kept(
        &mut self,
        event: &Event,
        exchange: ExchangeId,
        signature: Signature,
        handler: Pid,
    ) -> Result<(), Breach> {
        if !self.serves(exchange, handler) {
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
                exchange,
                signature,
                handler,
            } => return self.kept(event, *exchange, *signature, *handler),
            What::Detached { handler } => self.gone(|pid| pid == *handler),
            What::Ended { .. } => self.gone(|pid| pid.node == event.node),
            What::Lost { lost } => {
                self.lost.insert(*lost, event.at);
                self.gone(|pid| pid.node == *lost);
            }
            What::Deleted { exchange } => self.holders.retain(|(id, _), _| id != exchange),
            What::OwnerView { exchange, view, .. } => {
                self.views.insert(*exchange, (event.at, view.servers.clone()));
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
    use super::super::story::{at, broken, handler, holds, owner_view, unknown};
    use super::*;

    fn kept(ms: u64, node: u64, n: u64) -> Event {
        let signature = Signature::new(7);
        let (exchange, handler) = (ExchangeId(1), handler(n));
        at(
            ms,
            node,
            What::Kept {
                exchange,
                signature,
                handler,
            },
        )
    }

    fn served() -> Vec<Event> {
        vec![
            owner_view(1, 1, (1, 2), None, &[1, 2]),
            kept(2, 1, 1),
            kept(3, 1, 1),
        ]
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
            at(4, 3, What::Lost { lost: NodeId(1) }),
        ] {
            let mut story = served();
            story.extend([gone, kept(5, 2, 2)]);
            holds(StickyKeeps::default(), &story);
        }
    }

    #[test]
    fn what_reaches_a_lost_node_before_it_is_back_is_not_judged() {
        let mut story = served();
        story.extend([
            at(4, 3, What::Lost { lost: NodeId(1) }),
            kept(5, 2, 2),
            kept(6, 1, 1),
            kept(7, 2, 2),
        ]);
        holds(StickyKeeps::default(), &story);
        story.extend([owner_view(8, 1, (1, 4), None, &[1, 2]), kept(9, 1, 1)]);
        broken(StickyKeeps::default(), &story);
    }

    #[test]
    fn without_signatures_nothing_is_said() {
        unknown(StickyKeeps::default(), &served()[..1]);
    }
}
