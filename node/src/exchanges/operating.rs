//! What operators ask of the bindings of an owned exchange: brought to its process whatever its mailbox holds, and answered when
//! the kernel's machine has an answer.
//!
//! What does not live here: what becomes of a binding (the kernel's `Exchange`), and the words for people (`grpc::admin`).

use std::collections::BTreeMap;

use bytes::Bytes;
use squall_kernel::exchange::{Choice, ExchangeInput, NotBindable, Signature, Wish, WishAnswer};
use squall_kernel::frame::{Frame, Kind, Tags};
use squall_kernel::id::{ExchangeId, NodeId, Pid};
use squall_kernel::limits::{BINDING_WORDS_MAX, TAG_BYTES_MAX};
use squall_kernel::message::PeerMessage;
use squall_kernel::registry::Strategy;
use squall_kernel::time::Instant;
use tokio::sync::oneshot;

use super::Exchanges;
use super::run::Running;
use crate::limits::BINDING_QUESTIONS_MAX;
use crate::wire::count;

/// Which binding is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingKey {
    /// That of requests with this key and service tag.
    Key {
        /// Key.
        key: Bytes,
        /// Service tag; empty for none.
        service_tag: Bytes,
    },
    /// That of a signature.
    Signature(Signature),
}

/// What is asked of the bindings of an exchange. Handlers are named as people read them, with or without angle brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingQuestion {
    /// To bind one.
    Bind {
        /// Which.
        binding: BindingKey,
        /// To whom.
        handler: String,
        /// Take it from whoever has it.
        rebind: bool,
    },
    /// To take one back.
    Unbind {
        /// Which.
        binding: BindingKey,
    },
    /// To show some.
    Page {
        /// Only this one.
        binding: Option<BindingKey>,
        /// Only those of this handler.
        handler: Option<String>,
        /// Only those after this one.
        after: Option<Signature>,
        /// At most so many.
        limit: usize,
    },
}

/// A binding, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownBinding {
    /// Signature.
    pub signature: Signature,
    /// Handler that has it.
    pub handler: Pid,
    /// Its service tag.
    pub service_tag: String,
}

/// The answer to a [`BindingQuestion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingReply {
    /// What became of a change.
    Changed {
        /// Signature.
        signature: Signature,
        /// Handler that was to have it.
        handler: Option<Pid>,
        /// What became of it.
        answer: WishAnswer,
    },
    /// Some bindings.
    Page {
        /// Those.
        bindings: Vec<ShownBinding>,
        /// There are others behind.
        more: bool,
        /// All of the exchange.
        total: usize,
        /// The signature that was asked for.
        signature: Option<Signature>,
        /// The owner has yet to hear from some nodes what their handlers have.
        incomplete: bool,
    },
    /// No handler of that name is attached to the exchange.
    NoSuchHandler(String),
    /// The key has no signature, and why.
    NoSignature(String),
}

/// A question on its way to the process.
pub(super) struct Asked {
    question: BindingQuestion,
    reply: oneshot::Sender<BindingReply>,
}

/// Whoever waits for a change, by the number of the question. Bounded as the kernel bounds changes.
#[derive(Default)]
pub(super) struct Waiting {
    last: u64,
    open: BTreeMap<u64, Waiter>,
}

struct Waiter {
    signature: Signature,
    handler: Option<Pid>,
    reply: oneshot::Sender<BindingReply>,
}

impl Exchanges {
    /// Asks the process of an exchange that is owned here; none when it is not. The reply never comes when the exchange
    /// is given away meanwhile.
    pub(crate) fn ask_bindings(
        &self,
        exchange: ExchangeId,
        question: BindingQuestion,
    ) -> Option<oneshot::Receiver<BindingReply>> {
        let owned = self.read();
        let owned = owned.get(&exchange)?;
        let (reply, replied) = oneshot::channel();
        owned.post.order(|orders| {
            // One that is not taken is dropped, and its asker told that nothing came.
            if orders.asked.len() < BINDING_QUESTIONS_MAX {
                orders.asked.push(Asked { question, reply });
            }
        });
        Some(replied)
    }

    /// A handler's node answers a word about a signature. One that finds no room is asked for again.
    pub(crate) fn binding_noted(&self, from: NodeId, message: &PeerMessage) {
        let PeerMessage::BindingNoted {
            exchange,
            epoch,
            handler,
            signature,
            number,
            noted,
        } = *message
        else {
            return;
        };
        if handler.node != from {
            return count(&self.context.wire.tally.garbled);
        }
        if let Some(owned) = self.read().get(&exchange).filter(|owned| owned.epoch == epoch) {
            owned.post.order(|orders| {
                if orders.noted.len() < BINDING_WORDS_MAX {
                    orders.noted.push(ExchangeInput::Noted {
                        handler,
                        signature,
                        number,
                        noted,
                    });
                }
            });
        }
    }
}

impl Running {
    pub(super) fn asked_bindings(&mut self, now: Instant, asked: Asked) {
        let Asked { question, reply } = asked;
        let (binding, handler) = match &question {
            BindingQuestion::Bind { binding, handler, .. } => (Some(binding), Some(handler)),
            BindingQuestion::Unbind { binding } => (Some(binding), None),
            BindingQuestion::Page { binding, handler, .. } => (binding.as_ref(), handler.as_ref()),
        };
        let signature = match binding.map(|binding| self.signature_of(binding)).transpose() {
            Ok(signature) => signature,
            Err(why) => return answer(reply, BindingReply::NoSignature(why)),
        };
        let handler = match handler.map(|name| self.handler_named(name)).transpose() {
            Ok(handler) => handler,
            Err(none) => return answer(reply, none),
        };
        let wish = match question {
            BindingQuestion::Page { after, limit, .. } => {
                return answer(reply, self.page(signature, handler, after, limit));
            }
            BindingQuestion::Unbind { .. } => Wish::Unbind,
            BindingQuestion::Bind { binding, rebind, .. } => Wish::Bind {
                handler: handler.expect("a question to bind names a handler"),
                service_tag: match binding {
                    BindingKey::Key { service_tag, .. } => service_tag,
                    BindingKey::Signature(_) => Bytes::new(),
                },
                rebind,
            },
        };
        let signature = signature.expect("a question to change a binding names it");
        let waiter = Waiter {
            signature,
            handler,
            reply,
        };
        self.wish(now, waiter, wish);
    }

    fn wish(&mut self, now: Instant, waiter: Waiter, wish: Wish) {
        if self.post.stopped.load(std::sync::atomic::Ordering::Acquire) {
            return waiter.tell(WishAnswer::Refused(NotBindable::Moved));
        }
        let signature = waiter.signature;
        self.waiting.last += 1;
        let asked = self.waiting.last;
        self.waiting.open.insert(asked, waiter);
        let input = ExchangeInput::Wish {
            asked,
            signature,
            wish,
            lease_until: self.lease_until(),
        };
        self.step(now, &input);
    }

    /// The machine has an answer for whoever asked.
    pub(super) fn answer_wish(&mut self, asked: u64, answer: WishAnswer) {
        if let Some(waiter) = self.waiting.open.remove(&asked) {
            tracing::info!(
                exchange = %self.name,
                signature = %waiter.signature,
                ?answer,
                "a binding by an operator"
            );
            waiter.tell(answer);
        }
    }

    fn page(
        &self,
        signature: Option<Signature>,
        handler: Option<Pid>,
        after: Option<Signature>,
        limit: usize,
    ) -> BindingReply {
        let mut found = match signature {
            Some(signature) => {
                let bound = self.core.bound(signature);
                let wanted = bound.filter(|bound| handler.is_none_or(|handler| handler == *bound));
                wanted.map(|pid| (signature, pid)).into_iter().collect()
            }
            // One more than is shown tells whether there are more.
            None => self.core.bindings_after(after, handler, limit.saturating_add(1)),
        };
        let more = found.len() > limit;
        found.truncate(limit);
        let shown = |(signature, handler)| ShownBinding {
            signature,
            handler,
            service_tag: self.attached.get(&handler).cloned().unwrap_or_default(),
        };
        BindingReply::Page {
            bindings: found.into_iter().map(shown).collect(),
            more,
            total: self.core.bindings(),
            signature,
            incomplete: self.core.is_rolling(),
        }
    }

    fn handler_named(&self, name: &str) -> Result<Pid, BindingReply> {
        let bare = |text: &str| text.trim_start_matches('<').trim_end_matches('>').to_owned();
        let wanted = bare(name);
        let mut all = self.attached.keys().copied();
        all.find(|pid| bare(&self.context.pid_text(*pid)) == wanted)
            .ok_or_else(|| BindingReply::NoSuchHandler(format!("<{wanted}>")))
    }

    /// The signature that requests like this are routed by; why there is none.
    fn signature_of(&mut self, binding: &BindingKey) -> Result<Signature, String> {
        let (key, service_tag) = match binding {
            BindingKey::Signature(signature) => return Ok(*signature),
            BindingKey::Key { key, service_tag } => (key, service_tag),
        };
        for (what, text) in [("key", key), ("service tag", service_tag)] {
            if text.len() > TAG_BYTES_MAX {
                let len = text.len();
                return Err(format!(
                    "a {what} has at most {TAG_BYTES_MAX} bytes, this one has {len}"
                ));
            }
        }
        if self.strategy == Strategy::Sticky {
            return if key.is_empty() {
                Err("a key is needed: the exchange is sticky".into())
            } else {
                Ok(Signature::of_key(key).within(service_tag))
            };
        }
        let like = Frame {
            epoch: self.core.epoch(),
            tags: Tags {
                key: key.clone(),
                service: service_tag.clone(),
                ..Tags::default()
            },
            ..Frame::new(Kind::Request)
        };
        // Whatever the lease: what it gives is not acted on without one.
        match self.routed(Instant(0), Instant(1), &like).choice {
            Choice::Signature(signature) => Ok(signature.within(service_tag)),
            Choice::Decline(why) => Err(format!("the exchange's function declines such a request: {why}")),
            Choice::Redirect(to) => Err(format!(
                "the exchange's function sends such a request on to '{to}'"
            )),
            Choice::None | Choice::Pick(_) | Choice::Group(_) => {
                Err("the exchange's function gives no signature".into())
            }
        }
    }
}

impl Waiter {
    fn tell(self, become_of: WishAnswer) {
        let changed = BindingReply::Changed {
            signature: self.signature,
            handler: self.handler,
            answer: become_of,
        };
        answer(self.reply, changed);
    }
}

/// Whoever asked may have gone.
fn answer(to: oneshot::Sender<BindingReply>, reply: BindingReply) {
    let _nobody_waits = to.send(reply);
}
