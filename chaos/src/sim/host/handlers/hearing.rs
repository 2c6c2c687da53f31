//! What handlers are told of each other, and owners of handlers that are gone.

use squall_kernel::id::{ExchangeId, NodeId, Pid};
use squall_kernel::message::{PeerMessage, SystemMessage};
use squall_kernel::reason::DetachReason;
use squall_kernel::time::Instant;
use squall_kernel::view::Heard;

use super::view::heard;
use crate::history::{Mark, What};
use crate::sim::host::Host;

impl Host {
    /// Handlers that are gone, and that an owner still counts.
    fn deny_ghosts(&mut self, from: NodeId, message: &SystemMessage) {
        let handlers = &self.handlers;
        let ghost = |pid: &Pid| {
            let mine = pid.node == handlers.node && pid.boot() == handlers.boot;
            mine && !handlers.by_serial.contains_key(&pid.serial)
        };
        let ghosts: Vec<Pid> = message.what.serving().filter(ghost).collect();
        for handler in ghosts {
            self.event(What::Mark(Mark::GhostDenied));
            self.deny(from, message.exchange, handler);
        }
    }

    pub(in crate::sim::host) fn deny(&mut self, owner: NodeId, exchange: ExchangeId, handler: Pid) {
        let message = PeerMessage::Detach {
            exchange,
            handler,
            reason: DetachReason::ClientGone,
        };
        let _told_again_at_the_next_word = self.message(owner, exchange, &message);
    }

    pub(in crate::sim::host) fn take_system(
        &mut self,
        now: Instant,
        from: NodeId,
        to: Option<Pid>,
        message: &SystemMessage,
    ) {
        self.deny_ghosts(from, message);
        let wanted: Vec<u64> = match to {
            Some(pid) => vec![pid.serial],
            None => self
                .attached()
                .filter(|(_, exchange)| *exchange == message.exchange)
                .map(|(serial, _)| serial)
                .collect(),
        };
        for serial in wanted {
            self.hear(now, serial, message);
        }
        self.call_roll_of(now, message.exchange);
    }

    fn hear(&mut self, now: Instant, serial: u64, message: &SystemMessage) {
        let pid = self.pid(serial);
        let Some(attachment) = self.handlers.by_serial.get_mut(&serial) else {
            return;
        };
        match attachment.view.hear(pid, message) {
            Heard::News => {
                heard(&mut attachment.seen, &message.what);
                let told = What::HandlerView {
                    exchange: message.exchange,
                    handler: pid,
                    version: (message.epoch, message.counter),
                    view: attachment.seen.clone(),
                };
                self.event(told);
                self.lead_or_not(now, serial);
            }
            Heard::Gap => {
                attachment.view.forget();
                self.count("gaps in a handler's view");
                self.schedule_attach(now, serial);
            }
            Heard::Known => {}
            Heard::Fenced => self.count("system messages fenced"),
        }
    }
}
