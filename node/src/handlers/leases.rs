//! The leases of leaders attached here: asked of the owner for each that leads, by one timer for all, and never counted
//! from anything but the question.
//!
//! What does not live here: granting (the owner's exchange), and what a handler makes of its lease (squall-client's
//! `leadership`).

use std::sync::Arc;
use std::time::Duration;

use squall_client::leadership::{Grant, ask_again_in};
use squall_kernel::id::{Epoch, ExchangeId, LeaderEpoch, Pid};
use squall_kernel::limits::DRIFT_PPM;
use squall_kernel::message::{PeerMessage, System, SystemMessage};
use squall_kernel::time::{Instant, Span};

use super::{Attachment, Handlers};
use crate::journal::Fact;

impl Handlers {
    /// How often a lease is asked for while nothing hurries: a third of a promise, of which the owner's lease is made.
    pub(crate) fn lease_every(&self) -> Span {
        Span(self.context.registry().profile.times().promise.0 / 3)
    }

    /// Who leads was told: what was held under another leadership is over before the handler hears of it.
    pub(super) fn appointed(&self, attachment: &Arc<Attachment>, message: &SystemMessage) {
        let System::Leader {
            leader, leader_epoch, ..
        } = message.what
        else {
            return;
        };
        let leads = (leader == Some(attachment.pid())).then_some(leader_epoch);
        let over = attachment.grants().appointed(leads);
        self.lease_is_over(attachment, over);
        if leads.is_some() {
            self.ask(attachment);
        }
    }

    /// The handler holds nothing any more.
    pub(super) fn give_up(&self, attachment: &Attachment) {
        self.lease_is_over(attachment, attachment.grants().give_up());
    }

    fn lease_is_over(&self, attachment: &Attachment, over: Option<LeaderEpoch>) {
        if let Some(leader_epoch) = over {
            self.tell_lease(attachment, leader_epoch, Instant(0));
        }
    }

    /// Tells until when a handler counts on its leadership.
    fn tell_lease(&self, attachment: &Attachment, leader_epoch: LeaderEpoch, until: Instant) {
        self.context.tell(|| Fact::Leads {
            exchange: attachment.exchange(),
            handler: attachment.pid(),
            leader_epoch,
            until,
        });
    }

    /// Asks the owner, and plans the next question. A handler that does not lead any more is not asked for again.
    fn ask(&self, attachment: &Arc<Attachment>) {
        let Some(leader_epoch) = attachment.grants().leads() else {
            return attachment.plan_ask(None);
        };
        let now = self.context.clock.now();
        let exchange = attachment.exchange();
        let confirmed = attachment.view().confirmed();
        let grant = {
            let registry = self.context.registry();
            let record = registry.exchanges.get(&exchange);
            record.and_then(|e| e.owner.filter(|_| confirmed == Some(e.epoch)).zip(confirmed))
        };
        if let Some((owner, epoch)) = grant {
            let message = PeerMessage::LeaderLeaseAsk {
                exchange,
                epoch,
                handler: attachment.pid(),
                leader_epoch,
                asked_at: now,
            };
            let _asked_again = self.context.wire.message(owner, exchange, message);
        }
        self.plan(attachment, now);
    }

    fn plan(&self, attachment: &Arc<Attachment>, now: Instant) {
        let left = attachment.leadership().map_or(Duration::ZERO, |l| l.remaining());
        let every = Duration::from_micros(self.lease_every().0);
        let pause = ask_again_in(left, every).as_micros();
        let at = now + Span(u64::try_from(pause).unwrap_or(u64::MAX));
        attachment.plan_ask(Some(at));
        self.asks.plan(at, attachment.pid().serial);
    }

    /// The owner's answer to the question how long a leader may count on its leadership: counted from the question.
    pub(crate) fn leased(
        &self,
        exchange: ExchangeId,
        epoch: Epoch,
        handler: Pid,
        leader_epoch: LeaderEpoch,
        asked_at: Instant,
        remaining: Span,
    ) {
        let Some(attachment) = self.read().by_serial.get(&handler.serial).cloned() else {
            return;
        };
        let current = attachment.view().confirmed() == Some(epoch);
        if attachment.exchange() != exchange || !current || asked_at > self.context.clock.now() {
            return;
        }
        let until = asked_at + remaining.shortened(DRIFT_PPM);
        let grant = attachment
            .grants()
            .granted(leader_epoch, self.context.clock.at(until));
        if grant != Grant::Nothing {
            self.tell_lease(&attachment, leader_epoch, until);
        }
        if grant == Grant::Began {
            attachment.sink().leads(&attachment);
        }
    }

    /// Asks for leases, for ever.
    pub(crate) async fn keep_leading(self: Arc<Self>) {
        loop {
            for (at, serial) in self.asks.next(&self.context.clock).await {
                let attachment = self.read().by_serial.get(&serial).cloned();
                if let Some(attachment) = attachment.filter(|a| a.ask_is_planned(at)) {
                    self.ask(&attachment);
                }
            }
        }
    }
}
