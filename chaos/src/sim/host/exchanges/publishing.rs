//! Publishes that go to one handler each: passed on with nobody to answer, and taken once by their ids. As
//! `squall_node::exchanges::publishing` does it.
//!
//! What does not live here: which handler it is (the kernel's `Exchange`), and publishes to subscribers (`pubsub`).

use squall_kernel::dedup::{DedupState, DedupWindow};
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{ExchangeId, Pid};
use squall_kernel::limits::{DEDUP_IDS_MAX, REQUEST_TIMEOUT_MS_MAX};
use squall_kernel::publishing::{Confirm, DUPLICATE, GIVEN_BACK, GIVEN_UP, ONE_WAY, ONE_WAY_CONFIRMED};
use squall_kernel::registry::{ExchangeRecord, Pattern};
use squall_kernel::time::{Instant, Span};
use squall_node::pubsub::{name_of, publisher_of};
use squall_node::wire::ReturnPath;

use crate::history::PublishEvent;
use crate::sim::host::Host;
use crate::sim::host::pubsub::wants_word;

/// The window of ids, where the exchange passes publishes on to handlers and is to remember them.
pub(super) fn known(record: &ExchangeRecord) -> Option<DedupWindow> {
    let span = record.settings.dedup?;
    (record.pattern == Pattern::InvertedPublishSubscribe).then(|| DedupWindow::new(span))
}

impl Host {
    /// What was sent to the handler is known from then on; what was not may come again.
    pub(super) fn pass_on_to(
        &mut self,
        now: Instant,
        id: ExchangeId,
        handler: Pid,
        copy: Frame,
        publish: &Frame,
    ) {
        let confirm = Confirm::of(publish.signature);
        let ttl = self
            .registry
            .exchanges
            .get(&id)
            .and_then(|record| record.settings.ttl);
        let good_for = ttl.map_or(REQUEST_TIMEOUT_MS_MAX, |ttl| {
            u32::try_from(ttl.as_ms().max(1)).unwrap_or(REQUEST_TIMEOUT_MS_MAX)
        });
        let copy = Frame {
            index: 0,
            count: if confirm == Confirm::Received {
                ONE_WAY_CONFIRMED
            } else {
                ONE_WAY
            },
            credit: 0,
            left_ms: good_for,
            ..copy
        };
        // One that comes back was told of before.
        let is_news = publish.index != GIVEN_BACK;
        if is_news {
            self.tell_taken(publish, false);
        }
        let sent = self.deliver(id, handler, copy);
        if sent.is_ok() {
            self.note_id(now, id, publish);
        } else if is_news {
            self.tell_given_up(publish);
        }
        match sent {
            Ok(()) if confirm == Confirm::Accepted => self.answer_one(publish, Status::Reply, &[]),
            Err(error) if confirm == Confirm::Accepted => {
                self.answer_one(publish, Status::None(error.reason()), &[]);
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn note_id(&mut self, now: Instant, id: ExchangeId, publish: &Frame) {
        let known = self.owned.get_mut(&id).and_then(|owned| owned.known.as_mut());
        if let Some(known) = known {
            known.note(now, publisher_of(publish), &publish.tags.request);
        }
    }

    fn tell_given_up(&mut self, publish: &Frame) {
        let remembers = self
            .owned
            .get(&publish.exchange)
            .is_some_and(|owned| owned.known.is_some());
        if remembers && !publish.tags.request.is_empty() {
            let id = name_of(publisher_of(publish), &publish.tags.request);
            self.tell_of(publish.exchange, PublishEvent::GivenUp { id });
        }
    }

    fn tell_taken(&mut self, publish: &Frame, known: bool) {
        let record = self.registry.exchanges.get(&publish.exchange);
        let window = record.and_then(|record| record.settings.dedup);
        let named = window.filter(|_| !publish.tags.request.is_empty());
        let what = PublishEvent::Taken {
            publish: Self::request_key_of(publish),
            epoch: publish.epoch,
            id: named.map(|span: Span| (name_of(publisher_of(publish), &publish.tags.request), span)),
            known,
        };
        self.tell_of(publish.exchange, what);
    }

    /// True for a publish that goes to no handler: its id is known, or it is only said that another one is given up.
    pub(super) fn ends_at_owner(&mut self, now: Instant, frame: &Frame) -> bool {
        let owned = self.owned.get_mut(&frame.exchange);
        let Some(known) = owned.and_then(|owned| owned.known.as_mut()) else {
            return frame.kind == Kind::Publish && frame.index == GIVEN_UP;
        };
        if frame.kind != Kind::Publish {
            return false;
        }
        match frame.index {
            GIVEN_UP => {
                known.take_back(publisher_of(frame), &frame.tags.request);
                self.tell_given_up(frame);
                true
            }
            GIVEN_BACK => false,
            _ if !known.known(now, publisher_of(frame), &frame.tags.request) => false,
            _ => {
                self.tell_taken(frame, true);
                self.answer_one(frame, Status::Reply, DUPLICATE);
                true
            }
        }
    }

    fn answer_one(&mut self, publish: &Frame, status: Status, payload: &'static [u8]) {
        if wants_word(publish) {
            let back = ReturnPath {
                epoch: self.epoch_of(publish.exchange),
                ..ReturnPath::of(publish)
            };
            self.reply(back.reply(self.nobody(), status, payload.into()));
        }
    }

    /// What is known, on its way to the next owner.
    pub(in crate::sim::host) fn known_ids(&self, now: Instant, id: ExchangeId) -> DedupState {
        let known = self.owned.get(&id).and_then(|owned| owned.known.as_ref());
        let all = known.map(|known| known.state(now, DEDUP_IDS_MAX));
        all.and_then(|parts| parts.into_iter().next()).unwrap_or_default()
    }

    /// What the owner before knew.
    pub(in crate::sim::host) fn absorb_ids(&mut self, now: Instant, id: ExchangeId, ids: &DedupState) {
        let epoch = self.epoch_of(id);
        let owned = self.owned.get_mut(&id);
        if let Some(known) = owned.and_then(|owned| owned.known.as_mut()) {
            known.absorb(now, ids);
            self.tell_of(id, PublishEvent::Remembers { epoch });
        }
    }
}
