//! Publishes that go to one handler each (A109): passed on with nobody to answer, and taken once by their ids (B10).
//!
//! What does not live here: which handler it is (the kernel's `Exchange`), and publishes to subscribers (`pubsub`).

use std::sync::atomic::Ordering;

use squall_kernel::dedup::{DedupState, DedupWindow};
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::Pid;
use squall_kernel::limits::{DEDUP_IDS_MAX, REQUEST_TIMEOUT_MS_MAX};
use squall_kernel::publishing::{Confirm, DUPLICATE, GIVEN_BACK, GIVEN_UP, ONE_WAY, ONE_WAY_CONFIRMED};
use squall_kernel::time::{Instant, Span};

use super::run::Running;
use crate::journal::PublishEvent;
use crate::pubsub::{name_of, publisher_of, taken};

impl Running {
    /// Nobody waits for the handler's answer. For as long as it is good for the handler may take it up, whatever its
    /// publisher waits for. What was sent to the handler is known from then on; what was not may come again.
    pub(super) fn pass_on(&mut self, handler: Pid, mut copy: Box<Frame>, publish: &Frame, waited: Span) {
        let confirm = Confirm::of(publish.signature);
        let good_for = match publish.credit {
            0 => self.ttl.map_or(REQUEST_TIMEOUT_MS_MAX, |ttl| {
                u32::try_from(ttl.as_ms().max(1)).unwrap_or(REQUEST_TIMEOUT_MS_MAX)
            }),
            ttl_ms => ttl_ms,
        };
        (copy.index, copy.credit, copy.left_ms) = (0, 0, good_for);
        copy.count = if confirm == Confirm::Received {
            ONE_WAY_CONFIRMED
        } else {
            ONE_WAY
        };
        // One that comes back was told of before.
        let is_news = publish.index != GIVEN_BACK;
        if is_news {
            self.tell_taken(publish, false);
        }
        let sent = self.deliver(handler, copy, waited);
        let now = self.context.clock.now();
        match &mut self.known {
            Some(known) if sent.is_ok() => known.note(now, publisher_of(publish), &publish.tags.request),
            Some(_) if is_news => self.tell_given_up(publish),
            _ => {}
        }
        match sent {
            Ok(()) if confirm == Confirm::Accepted => self.answer(publish, Status::Reply, String::new()),
            Err(error) if confirm == Confirm::Accepted => self.refuse(publish, error.reason()),
            Ok(()) | Err(_) => {}
        }
    }

    /// True for a publish whose id is known, but for one that comes back from a handler that did not take it.
    pub(super) fn is_known(&mut self, now: Instant, frame: &Frame) -> bool {
        let Some(known) = &mut self.known else {
            return false;
        };
        frame.kind == Kind::Publish
            && frame.index != GIVEN_BACK
            && known.known(now, publisher_of(frame), &frame.tags.request)
    }

    /// What a publisher's node says of a publish that came back, and that it does not try again.
    pub(super) fn is_given_up(&mut self, frame: &Frame) -> bool {
        let given_up = frame.kind == Kind::Publish && frame.index == GIVEN_UP;
        if let Some(known) = self.known.as_mut().filter(|_| given_up) {
            known.take_back(publisher_of(frame), &frame.tags.request);
            self.tell_given_up(frame);
        }
        given_up
    }

    fn tell_given_up(&self, publish: &Frame) {
        if !publish.tags.request.is_empty() {
            self.context.tell_publish(self.id, || PublishEvent::GivenUp {
                id: name_of(publisher_of(publish), &publish.tags.request),
            });
        }
    }

    /// It was passed on before: it is confirmed, and goes no further.
    pub(super) fn answer_known(&self, frame: &Frame) {
        self.post.duplicates.fetch_add(1, Ordering::Relaxed);
        self.tell_taken(frame, true);
        let known = String::from_utf8_lossy(DUPLICATE).into_owned();
        self.answer(frame, Status::Reply, known);
    }

    fn tell_taken(&self, publish: &Frame, known: bool) {
        let window = self.known.as_ref().map(DedupWindow::span);
        self.context
            .tell_publish(self.id, || taken(publish, window, known));
    }

    /// What is known, on its way to the next owner.
    pub(super) fn known_ids(&self) -> DedupState {
        let now = self.context.clock.now();
        let all = self.known.as_ref().map(|known| known.state(now, DEDUP_IDS_MAX));
        all.and_then(|parts| parts.into_iter().next()).unwrap_or_default()
    }
}
