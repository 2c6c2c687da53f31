//! Sticky bindings by an operator's hand: bound, taken back, shown in pages.
//!
//! What does not live here: what becomes of them (the kernel's `exchange`), and who asks the exchange's process (`sources`).

use squall_kernel::exchange::{NotBindable, Signature, Unsure, WishAnswer};
use squall_kernel::id::{ExchangeName, NodeId, Pid};
use squall_kernel::limits::{BINDING_WAIT, BINDINGS_MAX};
use squall_kernel::registry::{Refused, Registry};
use squall_proto::v1;
use tokio::time::timeout;

use super::parse::exchange_name;
use super::{AdminService, Membership, Proposer};
use crate::exchanges::{BindingKey, BindingQuestion, BindingReply, ShownBinding};
use crate::grpc::limits::{BINDINGS_PAGE_DEFAULT, BINDINGS_PAGE_MAX, CHANGE_TIME_MAX};
use crate::grpc::status::CallError;
use crate::introspect::{NoBindings, Sources};

impl<P: Proposer + Membership, S: Sources> AdminService<P, S> {
    pub(super) async fn bind(&self, asked: v1::BindKeyRequest) -> Result<v1::BindKeyResponse, CallError> {
        let name = exchange_name(&asked.exchange)?;
        let question = BindingQuestion::Bind {
            binding: wanted(asked.binding)?,
            handler: handler_name(asked.handler)?,
            rebind: asked.rebind,
        };
        let (signature, handler, answer) = self.change_binding(&name, question).await?;
        let WishAnswer::Bound { changed, from } = answer else {
            return Err(self.unbound(&name, signature, answer));
        };
        let registry = self.registry.borrow();
        Ok(v1::BindKeyResponse {
            signature: signature.to_string(),
            handler: handler.map(|pid| pid_text(&registry, pid)).unwrap_or_default(),
            node: handler
                .map(|pid| node_text(&registry, pid.node))
                .unwrap_or_default(),
            changed,
            from: from.map(|pid| pid_text(&registry, pid)).unwrap_or_default(),
        })
    }

    pub(super) async fn unbind(
        &self,
        asked: v1::UnbindKeyRequest,
    ) -> Result<v1::UnbindKeyResponse, CallError> {
        let name = exchange_name(&asked.exchange)?;
        let question = BindingQuestion::Unbind {
            binding: wanted(asked.binding)?,
        };
        let (signature, _, answer) = self.change_binding(&name, question).await?;
        let from = match answer {
            WishAnswer::Unbound { from } => Some(from),
            WishAnswer::NotBound => None,
            other => return Err(self.unbound(&name, signature, other)),
        };
        let registry = self.registry.borrow();
        Ok(v1::UnbindKeyResponse {
            signature: signature.to_string(),
            changed: from.is_some(),
            from: from.map(|pid| pid_text(&registry, pid)).unwrap_or_default(),
        })
    }

    pub(super) async fn bindings(
        &self,
        asked: v1::ListBindingsRequest,
    ) -> Result<v1::ListBindingsResponse, CallError> {
        let name = exchange_name(&asked.exchange)?;
        let limit = match asked.limit {
            0 => BINDINGS_PAGE_DEFAULT,
            limit if limit <= BINDINGS_PAGE_MAX => limit,
            limit => {
                return Err(CallError::Invalid {
                    field: "limit",
                    reason: format!("a page has at most {BINDINGS_PAGE_MAX} bindings, not {limit}"),
                });
            }
        };
        let named = (!asked.handler.is_empty()).then_some(asked.handler);
        let after = (!asked.after.is_empty()).then_some(asked.after);
        let question = BindingQuestion::Page {
            binding: asked.binding.map(|binding| wanted(Some(binding))).transpose()?,
            handler: named.map(handler_name).transpose()?,
            after: after.map(|text| signature("after", &text)).transpose()?,
            limit: limit as usize,
        };
        match self.ask_exchange(&name, question).await? {
            BindingReply::Page {
                bindings,
                more,
                total,
                signature,
                incomplete,
            } => {
                let registry = self.registry.borrow();
                Ok(v1::ListBindingsResponse {
                    incomplete,
                    bindings: bindings.into_iter().map(|b| shown(&registry, b)).collect(),
                    more,
                    total: total as u64,
                    signature: signature.map(|s| s.to_string()).unwrap_or_default(),
                })
            }
            BindingReply::Changed { .. } | BindingReply::NoSuchHandler(_) | BindingReply::NoSignature(_) => {
                Err(silent(&name))
            }
        }
    }

    async fn change_binding(
        &self,
        name: &ExchangeName,
        question: BindingQuestion,
    ) -> Result<(Signature, Option<Pid>, WishAnswer), CallError> {
        match self.ask_exchange(name, question).await? {
            BindingReply::Changed {
                signature,
                handler,
                answer,
            } => Ok((signature, handler, answer)),
            BindingReply::Page { .. } | BindingReply::NoSuchHandler(_) | BindingReply::NoSignature(_) => {
                Err(silent(name))
            }
        }
    }

    /// The answer of the exchange's process, as far as it understood the question.
    async fn ask_exchange(
        &self,
        name: &ExchangeName,
        question: BindingQuestion,
    ) -> Result<BindingReply, CallError> {
        let asked = self.sources.bindings(name, question);
        let reply = timeout(CHANGE_TIME_MAX, asked)
            .await
            .map_err(|_| CallError::Late {
                seconds: CHANGE_TIME_MAX.as_secs(),
            })?;
        match reply.map_err(|none| nowhere(name, none))? {
            BindingReply::NoSignature(reason) => Err(CallError::Invalid { field: "key", reason }),
            BindingReply::NoSuchHandler(handler) => Err(CallError::Unsafe(format!(
                "no handler {handler} is attached to '{name}'"
            ))),
            reply => Ok(reply),
        }
    }

    /// Why a binding is not as was wished.
    fn unbound(&self, name: &ExchangeName, signature: Signature, answer: WishAnswer) -> CallError {
        let registry = self.registry.borrow();
        let handler = |pid: Pid| {
            let (pid, node) = (pid_text(&registry, pid), node_text(&registry, pid.node));
            format!("{pid} at node {node}")
        };
        match answer {
            WishAnswer::Refused(why) => refused(name, signature, why, handler),
            WishAnswer::Unknown(Unsure::Silent(pid)) => CallError::Unknown {
                reason: format!(
                    "the node of handler {} did not answer within {BINDING_WAIT}; the same may be asked again",
                    handler(pid)
                ),
            },
            WishAnswer::Unknown(Unsure::Moved) => CallError::Unknown {
                reason: format!("'{name}' began to move; the same may be asked again"),
            },
            WishAnswer::Bound { .. } | WishAnswer::Unbound { .. } | WishAnswer::NotBound => silent(name),
        }
    }
}

fn refused(
    name: &ExchangeName,
    signature: Signature,
    why: NotBindable,
    handler: impl Fn(Pid) -> String,
) -> CallError {
    let later = |reason: String| CallError::Unavailable { reason };
    match why {
        NotBindable::NotSticky => not_sticky(name, "of another strategy"),
        NotBindable::NotAttached => {
            CallError::Unsafe(format!("the handler is not attached to '{name}' any more"))
        }
        NotBindable::OtherGroup => CallError::Unsafe(format!(
            "the handler is not of the group that the service tag names: requests of that group to '{name}' would              go to a stranger"
        )),
        NotBindable::BoundTo(pid) => CallError::Unsafe(format!(
            "signature {signature} of '{name}' is bound to {}; to rebind it takes saying so",
            handler(pid)
        )),
        NotBindable::Full => CallError::NoRoom(format!(
            "'{name}' has {BINDINGS_MAX} bindings and takes no more: take others back, or detach their handlers"
        )),
        NotBindable::Settling => later(format!(
            "the owner of '{name}' has just started and waits for handlers that may have the key; try again in a moment"
        )),
        NotBindable::Moved => later(format!("'{name}' is moving; try again in a moment")),
        NotBindable::NoQuorum => later(format!(
            "the owner of '{name}' has no lease now; try again in a moment"
        )),
        NotBindable::Changing => later(format!(
            "another change of signature {signature} of '{name}' is under way; try again in a moment"
        )),
        NotBindable::InDoubt(pid) => later(format!(
            "the node of handler {} has yet to forget signature {signature} after an earlier change; try again in a moment",
            handler(pid)
        )),
        NotBindable::TooMany => later(format!(
            "too many changes of bindings of '{name}' are under way; try again in a moment"
        )),
    }
}

fn nowhere(name: &ExchangeName, none: NoBindings) -> CallError {
    match none {
        NoBindings::Unknown => Refused::UnknownExchange(name.as_str().into()).into(),
        NoBindings::NotSticky(what) => not_sticky(name, what),
        NoBindings::Elsewhere(owner) if owner.is_empty() => CallError::Unavailable {
            reason: format!("'{name}' has no owner now that knows its bindings"),
        },
        NoBindings::Elsewhere(owner) => {
            CallError::Unsafe(format!("the bindings of '{name}' are at its owner, {owner}"))
        }
        NoBindings::Silent => silent(name),
    }
}

fn not_sticky(name: &ExchangeName, what: &str) -> CallError {
    CallError::Unsafe(format!(
        "the exchange '{name}' binds no keys: it is {what}, not sticky or sticky-fun"
    ))
}

fn silent(name: &ExchangeName) -> CallError {
    CallError::Unknown {
        reason: format!("'{name}' was given away, or asked too much; the same may be asked again"),
    }
}

/// Which binding is meant.
fn wanted(asked: Option<v1::BindingKey>) -> Result<BindingKey, CallError> {
    let asked = asked.ok_or(CallError::Invalid {
        field: "binding",
        reason: "it has to be named, by a key or a signature".into(),
    })?;
    if asked.signature.is_empty() {
        return Ok(BindingKey::Key {
            key: asked.key,
            service_tag: asked.service_tag,
        });
    }
    if !asked.key.is_empty() || !asked.service_tag.is_empty() {
        return Err(CallError::Invalid {
            field: "signature",
            reason: "it stands for itself: leave key and service tag out".into(),
        });
    }
    signature("signature", &asked.signature).map(BindingKey::Signature)
}

fn signature(field: &'static str, text: &str) -> Result<Signature, CallError> {
    let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let value = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
    value
        .and_then(Signature::of_wire)
        .ok_or_else(|| CallError::Invalid {
            field,
            reason: "a signature has 16 hexadecimal digits, not all of them 0".into(),
        })
}

/// Longest name of a node, and two numbers.
const PID_BYTES_MAX: usize = 128;

fn handler_name(text: String) -> Result<String, CallError> {
    if text.is_empty() || text.len() > PID_BYTES_MAX {
        return Err(CallError::Invalid {
            field: "handler",
            reason: "a handler is named by its pid, such as <a.7>".into(),
        });
    }
    Ok(text)
}

fn shown(registry: &Registry, binding: ShownBinding) -> v1::BindingInfo {
    v1::BindingInfo {
        signature: binding.signature.to_string(),
        handler: pid_text(registry, binding.handler),
        node: node_text(registry, binding.handler.node),
        service_tag: binding.service_tag,
    }
}

fn pid_text(registry: &Registry, pid: Pid) -> String {
    registry
        .name_of(pid.node)
        .map_or_else(|| pid.to_string(), |name| pid.text(name.as_str()))
}

fn node_text(registry: &Registry, node: NodeId) -> String {
    registry
        .name_of(node)
        .map_or_else(|| format!("{:x}", node.0), |name| name.as_str().to_owned())
}
