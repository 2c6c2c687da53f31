//! What a handler's fence and its view of the owner let through, told to the journal while they are held: so it has
//! deliveries and system messages in the order in which they took place.
//!
//! What does not live here: what becomes of them then (`handlers`).

use squall_kernel::exchange::{RequestKey, Signature};
use squall_kernel::fence::{Fenced, Pass};
use squall_kernel::frame::Frame;
use squall_kernel::id::ExchangeId;
use squall_kernel::message::SystemMessage;
use squall_kernel::view::Heard;

use super::{Attachment, Handlers};
use crate::journal::{Fact, PublishEvent};
use crate::wire::ReturnPath;

impl Handlers {
    /// Takes a delivery to the handler's fence.
    pub(super) fn pass(&self, attachment: &Attachment, frame: &Frame) -> Result<Pass, Fenced> {
        let mut view = attachment.view();
        let signature = Signature::of_wire(frame.signature);
        let passed = view.deliver(frame.epoch, frame.leader_epoch, signature.is_some());
        if let (Ok(_), Some(signature)) = (&passed, signature) {
            let _room_or_not = attachment.remember(&view, signature);
        }
        self.context.tell(|| {
            let (exchange, handler, epoch) = (frame.exchange, attachment.pid(), frame.epoch);
            match &passed {
                Ok(_) => Fact::Passed {
                    request: RequestKey::of(frame),
                    exchange,
                    handler,
                    epoch,
                    leader_epoch: frame.leader_epoch,
                    signature,
                },
                Err(fenced) => Fact::Fenced {
                    exchange,
                    handler,
                    epoch,
                    seen: fenced.epoch,
                },
            }
        });
        passed
    }

    /// The one handler that a publish goes to has it.
    pub(super) fn handed(&self, attachment: &Attachment, exchange: ExchangeId, publish: RequestKey) {
        let handler = attachment.pid();
        self.context
            .tell_publish(exchange, || PublishEvent::Handed { publish, handler });
    }

    /// A delivery that passed the fence took no effect after all.
    pub(super) fn given_back(&self, attachment: &Attachment, frame: &Frame) {
        self.context.given_back(attachment.pid(), &ReturnPath::of(frame));
    }

    /// Takes a system message to the handler's view.
    pub(super) fn hear(&self, attachment: &Attachment, message: &SystemMessage) -> Heard {
        let mut view = attachment.view();
        let heard = view.hear(attachment.pid(), message);
        if heard == Heard::News {
            self.context.tell(|| Fact::Heard {
                exchange: message.exchange,
                handler: attachment.pid(),
                epoch: message.epoch,
                counter: message.counter,
                what: message.what.clone(),
            });
        }
        heard
    }
}
