//! Exchanges as a JSON document, and one in full. Null stands for what there is not, and for what nobody answers.
//!
//! What does not live here: the same for people (`table`).

use serde_json::{Value, json};
use squall_client::operator::{MailboxFigures, OwnedFigures};
use squall_proto::v1::{ExchangeInfo, ExchangeSettings};

use super::proxies::Passes;
use super::table::prefers;

pub(super) fn document(exchanges: &[ExchangeInfo], revision: u64) -> Value {
    json!({ "exchanges": exchanges.iter().map(object).collect::<Vec<_>>(), "revision": revision })
}

pub(super) fn object(e: &ExchangeInfo) -> Value {
    json!({
        "name": e.name,
        "pattern": e.pattern,
        "strategy": some(&e.strategy),
        "function": some(&e.function),
        "script_hash": some(&e.script_hash),
        "owner": some(&e.owner),
        "epoch": e.epoch,
        "failover": e.failover,
        "takeover": e.takeover,
        "held": e.held,
        "moving_to": some(&e.moving_to),
        "prefers": some(prefers(e)),
        "leader": some(&e.leader),
        "leader_epoch": e.leader_epoch,
    })
}

/// With what its owner knows; null where the owner does not answer.
pub(super) fn object_in_full(
    e: &ExchangeInfo,
    owned: Option<OwnedFigures>,
    passed: &[Passes],
    mailboxes: MailboxFigures,
) -> Value {
    let mut all = object(e);
    let known = |count: fn(OwnedFigures) -> u64| owned.map(count);
    all["script"] = some(&e.script);
    all["handlers"] = json!(known(|o| o.handlers));
    all["bindings"] = json!(known(|o| o.bindings));
    all["functions_failed"] = json!(known(|o| o.functions_failed));
    all["controller"] = some(&e.controller);
    let settings = e.settings.clone().unwrap_or_default();
    all["middleware"] = json!(settings.middleware);
    all["scheduler"] = some(&settings.scheduler);
    all["settings"] = self::settings(&settings);
    all["scheduling"] = owned.map_or(Value::Null, |owned| {
        let said = owned.scheduling;
        json!({
            "asked": said.asked,
            "followed": said.followed,
            "left": said.left,
            "waits": said.waits,
            "unanswered": said.unanswered,
            "unfit": said.unfit,
        })
    });
    all["mailboxes"] = json!({
        "bound": if settings.mailbox == 0 { Value::Null } else { settings.mailbox.into() },
        "when_full": settings.when_full,
        "rejected": mailboxes.rejected,
        "dropped": mailboxes.dropped,
        "expired": mailboxes.expired,
        "held": mailboxes.held,
    });
    all["proxies"] = passed.iter().map(proxy).collect();
    all
}

/// As declared; null where nothing was said, and the default holds.
fn settings(it: &ExchangeSettings) -> Value {
    let number = |n: u64| (n > 0).then_some(n);
    json!({
        "mailbox": number(it.mailbox.into()),
        "when_full": it.when_full,
        "ttl_ms": number(it.ttl_ms),
        "dedup_ms": number(it.dedup_ms),
        "lease_ms": number(it.lease_ms),
        "attempts": number(it.attempts.into()),
        "ordered": it.ordered,
        "dead_letter": some(&it.dead_letter),
        "middleware": it.middleware,
        "controller": some(&it.controller),
        "scheduler": some(&it.scheduler),
    })
}

/// A proxy, with nulls where it does not answer.
fn proxy(it: &Passes) -> Value {
    json!({
        "node": it.node,
        "downstreams": it.figures.map(|f| f.downstreams),
        "subscribers": it.figures.map(|f| f.subscribers),
        "events_sent": it.figures.map(|f| f.events_sent),
    })
}

fn some(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_one_array_and_null_for_nobody() {
        let orders = ExchangeInfo {
            name: "orders".into(),
            owner: "b".into(),
            takeover: "auto".into(),
            preferred: "b".into(),
            ..ExchangeInfo::default()
        };
        let document = document(&[orders], 9);
        assert_eq!(document["revision"], 9);
        let orders = &document["exchanges"][0];
        assert_eq!(
            (&orders["owner"], &orders["takeover"]),
            (&json!("b"), &json!("auto"))
        );
        for none in ["leader", "moving_to", "prefers"] {
            assert_eq!(orders[none], Value::Null, "{none}");
        }
    }
}
