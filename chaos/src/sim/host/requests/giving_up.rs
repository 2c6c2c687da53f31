//! Publishes that went to one handler and came back. As `squall_node::router::publishing` does it.

use bytes::Bytes;
use squall_kernel::frame::{Frame, Status};
use squall_kernel::publishing::{Confirm, GIVEN_BACK, GIVEN_UP};
use squall_kernel::reason::NoReply;
use squall_kernel::time::Instant;
use squall_node::wire::lane_key;

use super::{Open, Sort};
use crate::sim::host::Host;

/// True when the owner took a publish with an id, and the only node that should get it did not: sent again it would be taken
/// for known.
pub(super) fn was_taken(open: &Open, frame: &Frame) -> bool {
    let has_id = matches!(&open.sort, Sort::Publish(published) if published.has_id());
    has_id && frame.index > 0 && frame.count > 0
}

/// The refusal of a publish that was passed on to one handler, as the tries see it: its id is known to the owner now, and
/// nobody has it.
pub(super) fn given_back(open: &mut Open, frame: &Frame) -> Option<Frame> {
    let Sort::Publish(published) = &mut open.sort else {
        return None;
    };
    let refused = matches!(frame.status, Status::None(_));
    if !refused || (frame.index, frame.count) != (GIVEN_BACK, 0) {
        return None;
    }
    published.given_back = true;
    Some(Frame {
        index: 0,
        ..frame.clone()
    })
}

impl Host {
    /// One that came back and is not tried again: its id is new again. Where the owner cannot be told, the id is known for
    /// as long as any.
    pub(super) fn publish_given_up(&mut self, now: Instant, open: &Open, status: Status) {
        let uncertain = [NoReply::Interrupted, NoReply::Timeout].map(Status::None);
        let certain = matches!(status, Status::None(_)) && !uncertain.contains(&status);
        let came_back = matches!(&open.sort, Sort::Publish(published) if published.given_back);
        if !came_back || !certain {
            return;
        }
        let record = self.registry.exchanges.get(&open.exchange);
        let Some((owner, epoch)) = record.and_then(|record| Some((record.owner?, record.epoch))) else {
            return;
        };
        let message = self.requests.next_id();
        let word = Frame {
            epoch,
            index: GIVEN_UP,
            signature: Confirm::None.number(),
            payload: Bytes::new(),
            ..self.frame(now, open, message)
        };
        let _known_for_longer = self.send(owner, lane_key(open.exchange, open.from.serial), word);
    }
}
