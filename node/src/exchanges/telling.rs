//! System messages on their way to the nodes: the first goes at once, and so does who leads; others that follow within
//! [`TELL_EVERY`] travel together, in order. So a thousand handlers that attach cost a node some frames every 10 ms, not one for each.
//!
//! What does not live here: what is told (the kernel), and the view of a handler that missed something.

use std::collections::BTreeMap;

use squall_kernel::id::{NodeId, Pid};
use squall_kernel::message::{PeerMessage, System, SystemMessage};
use squall_kernel::time::Instant;

use super::run::Running;
use crate::limits::{ATTACH_CAP, TELL_BYTES, TELL_EVERY};

/// Messages for handlers on one node, each for one handler or for all of the exchange.
pub(super) type Batch = Vec<(Option<Pid>, SystemMessage)>;

struct Waiting {
    due: Instant,
    batch: Batch,
    bytes: usize,
}

/// What waits to be told, by node.
#[derive(Default)]
pub(super) struct Telling(BTreeMap<NodeId, Waiting>);

impl Telling {
    /// Takes a message and gives what is to be sent now, if anything.
    pub(super) fn put(
        &mut self,
        now: Instant,
        node: NodeId,
        to: Option<Pid>,
        message: SystemMessage,
    ) -> Option<Batch> {
        let Some(waiting) = self.0.get_mut(&node) else {
            let (batch, bytes) = (Batch::new(), 0);
            let due = now + TELL_EVERY;
            self.0.insert(node, Waiting { due, batch, bytes });
            return Some(vec![(to, message)]);
        };
        // Who leads from now on is told to all at once, with what was to be told before.
        let urgent = to.is_none() && matches!(message.what, System::Leader { .. });
        waiting.bytes += size(&message);
        waiting.batch.push((to, message));
        (urgent || waiting.bytes >= TELL_BYTES).then(|| {
            waiting.bytes = 0;
            std::mem::take(&mut waiting.batch)
        })
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.values().map(|waiting| waiting.due).min()
    }

    /// What is due. A node for which nothing came is told the next message at once again.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(NodeId, Batch)> {
        self.0
            .retain(|_, waiting| waiting.due > now || !waiting.batch.is_empty());
        if self.0.is_empty() {
            // An empty map keeps its room.
            self.0 = BTreeMap::new();
        }
        let due = self.0.iter_mut().filter(|(_, waiting)| waiting.due <= now);
        due.map(|(node, waiting)| {
            (waiting.due, waiting.bytes) = (now + TELL_EVERY, 0);
            (*node, std::mem::take(&mut waiting.batch))
        })
        .collect()
    }

    /// The node's run is over: nobody is there to be told.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.0.remove(&node);
    }
}

impl Running {
    pub(super) fn tell(&mut self, node: NodeId, to: Option<Pid>, message: SystemMessage) {
        self.process.count_sent(1);
        let now = self.context.clock.now();
        if let Some(batch) = self.telling.put(now, node, to, message) {
            self.send_batch(now, node, batch);
        }
    }

    pub(super) fn tell_due(&mut self, now: Instant) {
        if self.telling.0.is_empty() {
            return;
        }
        for (node, batch) in self.telling.take_due(now) {
            self.send_batch(now, node, batch);
        }
        if self.telling.0.is_empty() {
            // Handlers came or went, as they do together, and all is told: the room that it took is not needed now.
            self.inbox.trim();
            self.effects = Vec::new();
        }
    }

    /// A message that is lost leaves a gap in that node's view: it is told again, until it is told or lost.
    fn send_batch(&mut self, now: Instant, node: NodeId, messages: Batch) {
        let message = PeerMessage::Systems { messages };
        if let Err(error) = self.context.wire.message(node, self.id, message) {
            tracing::debug!(exchange = %self.name, %node, %error, "system messages lost");
            self.missed.insert(node, now + ATTACH_CAP);
        }
    }
}

/// About what a message takes on the wire.
fn size(message: &SystemMessage) -> usize {
    const FIXED: usize = 64;
    match &message.what {
        System::Leader { servers, .. } => {
            servers.iter().map(|s| FIXED + s.service_tag.len()).sum::<usize>() + FIXED
        }
        System::SlaveUp(server) => FIXED + server.service_tag.len(),
        System::SlaveDown { .. } => FIXED,
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::{Boot, Counter, Epoch, ExchangeId};
    use squall_kernel::message::Server;

    use super::*;

    const HERE: NodeId = NodeId(1);

    fn up(counter: u64, tag: usize) -> SystemMessage {
        SystemMessage {
            exchange: ExchangeId(1),
            epoch: Epoch(1),
            counter: Counter(counter),
            what: System::SlaveUp(Server {
                pid: Pid::new(HERE, Boot(1), 5),
                service_tag: "x".repeat(tag),
            }),
        }
    }

    fn counters(batch: &Batch) -> Vec<u64> {
        batch.iter().map(|(_, message)| message.counter.0).collect()
    }

    #[test]
    fn the_first_goes_at_once_and_the_rest_together_in_order() {
        let mut telling = Telling::default();
        let start = Instant(5);
        let first = telling.put(start, HERE, None, up(1, 0)).unwrap();
        assert_eq!(counters(&first), [1]);
        assert_eq!(telling.put(start, HERE, None, up(2, 0)), None);
        assert_eq!(telling.put(start, HERE, None, up(3, 0)), None);
        let due = telling.next_due().unwrap();
        assert_eq!(due, start + TELL_EVERY);
        assert!(telling.take_due(start).is_empty());
        let sent = telling.take_due(due);
        assert_eq!((sent[0].0, counters(&sent[0].1)), (HERE, vec![2, 3]));
        let quiet = telling.next_due().unwrap();
        assert!(telling.take_due(quiet).is_empty());
        assert_eq!(telling.next_due(), None);
        assert!(telling.put(quiet, HERE, None, up(4, 0)).is_some(), "quiet again");
    }

    #[test]
    fn a_batch_stays_far_below_the_bound_of_a_frame() {
        let mut telling = Telling::default();
        telling.put(Instant(0), HERE, None, up(0, 0));
        let full = (1..).find_map(|n| telling.put(Instant(0), HERE, None, up(n, 200)).map(|b| (n, b)));
        let (last, batch) = full.unwrap();
        assert_eq!(counters(&batch), (1..=last).collect::<Vec<_>>());
        telling.forget(HERE);
        assert_eq!(telling.next_due(), None);
    }
}
