//! The sticky bindings of an exchange that this node owns: who can be asked.
//!
//! What does not live here: what is asked, and the answer (`exchanges`).

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use squall_kernel::id::ExchangeName;
use tokio::sync::oneshot;

use crate::data::DataPlane;
use crate::exchanges::{BindingQuestion, BindingReply};
use crate::introspect::NoBindings;
use crate::introspect::opinions::name_or_empty;

pub(super) fn ask(
    data: &DataPlane,
    exchange: &ExchangeName,
    question: BindingQuestion,
) -> BoxFuture<'static, Result<BindingReply, NoBindings>> {
    match question_put(data, exchange, question) {
        Ok(replied) => replied.map(|reply| reply.map_err(|_| NoBindings::Silent)).boxed(),
        Err(none) => ready(Err(none)).boxed(),
    }
}

fn question_put(
    data: &DataPlane,
    exchange: &ExchangeName,
    question: BindingQuestion,
) -> Result<oneshot::Receiver<BindingReply>, NoBindings> {
    let registry = data.context.registry_kept();
    let record = registry.exchange(exchange).ok_or(NoBindings::Unknown)?;
    if !record.pattern.has_strategy() {
        return Err(NoBindings::NotSticky(record.pattern.as_str()));
    }
    if !record.strategy.is_sticky() {
        return Err(NoBindings::NotSticky(record.strategy.as_str()));
    }
    let replied = data.exchanges.ask_bindings(record.id, question);
    replied.ok_or_else(|| {
        let owner = record.owner.filter(|owner| *owner != data.context.node);
        NoBindings::Elsewhere(name_or_empty(&registry, owner))
    })
}
