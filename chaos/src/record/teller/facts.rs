//! Facts of a journal as events: the requester's side, the handler's side, tasks, the registry's log, faults, and what the
//! node holds.

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{ExchangeId, MessageId, NodeId};
use squall_kernel::registry::Command;
use squall_node::journal::{Ending, Fact};

use super::{Teller, look};
use crate::history::{Answer, Ended, PublishEvent, What};
use crate::record::Try;
use crate::sim::outcome::Digest;

impl Teller {
    pub(super) fn fact(&mut self, fact: Fact) {
        match fact {
            Fact::Tried { request, message } => self.tried(request, message),
            Fact::GivenBack { request, handler } => {
                self.tell(What::GivenBack { request, handler });
            }
            Fact::Left => self.left = Some(self.now),
            Fact::Goodbye => self.goodbye(),
            Fact::Outcome {
                request, more: false, ..
            } => {
                self.begun.remove(&request);
                self.publishes.remove(&request);
                self.request(&fact);
            }
            Fact::Begun { .. } | Fact::Outcome { .. } | Fact::Late { .. } => self.request(&fact),
            Fact::Publish { exchange, what } => self.publish(exchange, what),
            Fact::Detached { handler } => self.tell(What::Detached { handler }),
            Fact::Passed { .. } | Fact::Fenced { .. } | Fact::Leads { .. } | Fact::Heard { .. } => {
                self.handler(fact);
            }
            Fact::Task { exchange, what } => self.tell(What::Task { exchange, what }),
            Fact::Applied { .. } | Fact::Acknowledged { .. } => self.log(&fact),
            Fact::Fault { .. } | Fact::FaultOver { .. } => self.fault(fact),
            Fact::Holds { place, count, bound } => self.tell(What::Holds { place, count, bound }),
        }
    }

    fn own(&self, message: MessageId) -> RequestKey {
        let origin: NodeId = self.header.node;
        RequestKey { origin, message }
    }

    fn tried(&mut self, request: MessageId, message: MessageId) {
        if !self.begun.insert(request) {
            let again = self.own(request);
            if let Some(exchange) = self.publishes.get(&request).copied() {
                let what = PublishEvent::Again { publish: again };
                self.tell(What::Publish { exchange, what });
            }
            self.tell(What::Retried { request: again });
        }
        self.tries.push(Try {
            at: self.now.passed,
            number: self.own(message),
            request,
        });
    }

    fn publish(&mut self, exchange: ExchangeId, what: PublishEvent) {
        if let PublishEvent::Begun { publish, .. } = &what {
            self.publishes.insert(publish.message, exchange);
        }
        self.tell(What::Publish { exchange, what });
    }

    /// The requester's side.
    fn request(&mut self, fact: &Fact) {
        let what = match *fact {
            Fact::Begun {
                request,
                exchange,
                many,
            } => What::Begun {
                request: self.own(request),
                exchange,
                many,
            },
            Fact::Outcome {
                request,
                exchange,
                ending,
                more,
            } => What::Outcome {
                request: self.own(request),
                exchange,
                outcome: answer_of(ending),
                more,
            },
            Fact::Late { message } => What::Late {
                request: self.own(message),
            },
            _ => return,
        };
        self.tell(what);
    }

    /// The handler's side.
    fn handler(&mut self, fact: Fact) {
        let what = match fact {
            Fact::Passed {
                request,
                exchange,
                handler,
                epoch,
                leader_epoch,
                signature,
            } => {
                if let Some(signature) = signature {
                    self.tell(What::Kept {
                        request,
                        exchange,
                        signature,
                        handler,
                    });
                }
                What::Handled {
                    request,
                    exchange,
                    handler,
                    epoch,
                    leader_epoch,
                }
            }
            Fact::Fenced {
                exchange,
                handler,
                epoch,
                seen,
            } => What::Fenced {
                exchange,
                handler,
                epoch,
                seen,
            },
            Fact::Leads {
                exchange,
                handler,
                leader_epoch,
                until,
            } => What::Leads {
                exchange,
                handler,
                leader_epoch,
                until,
            },
            Fact::Heard {
                exchange,
                handler,
                epoch,
                counter,
                what,
            } => {
                let view = self.views.entry((exchange, handler)).or_default();
                look(view, &what);
                What::HandlerView {
                    exchange,
                    handler,
                    version: (epoch, counter),
                    view: view.clone(),
                }
            }
            _ => return,
        };
        self.tell(what);
    }

    /// The registry's log.
    fn log(&mut self, fact: &Fact) {
        let what = match fact {
            Fact::Applied {
                cluster,
                revision,
                command,
            } => What::Command {
                cluster: *cluster,
                revision: *revision,
                digest: digest_of(command),
            },
            Fact::Acknowledged { revision, command } => What::Acknowledged {
                revision: *revision,
                digest: digest_of(command),
            },
            _ => return,
        };
        self.tell(what);
    }

    /// A fault is known by its id in one run of one node; the history wants a number of its own.
    fn fault(&mut self, fact: Fact) {
        match fact {
            Fact::Fault { id, text, ends } => {
                let mut number = Digest::default();
                number.word(self.header.node.0);
                number.word(self.header.incarnation.0);
                number.bytes(id.as_bytes());
                let number = number.value();
                self.faults.insert(id, number);
                self.tell(What::Fault {
                    id: number,
                    text,
                    ends_by: ends,
                });
            }
            Fact::FaultOver { id } => {
                if let Some(id) = self.faults.remove(&id) {
                    self.tell(What::FaultOver { id });
                }
            }
            _ => {}
        }
    }
}

fn answer_of(ending: Ending) -> Answer {
    match ending {
        Ending::Reply(handler) => Answer::Reply { handler },
        Ending::Declined(handler) => Answer::Declined { handler },
        Ending::None(reason) => Answer::None(Ended(reason)),
    }
}

/// Hash of a command.
fn digest_of(command: &Command) -> u64 {
    let mut digest = Digest::default();
    digest.display(command);
    digest.value()
}
