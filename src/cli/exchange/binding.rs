//! `squall exchange bind|unbind|bindings`: sticky keys by hand, as a line, a table or a document.
//!
//! What does not live here: what becomes of a binding (the exchange's owner), and requests that bind (`squall request`).

use std::io::{Write as _, stdout};

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use squall_client::operator::{Binding, BindingsPage};
use squall_kernel::id::ExchangeName;
use squall_proto::v1::{BindKeyResponse, BindingInfo, ListBindingsResponse, UnbindKeyResponse};

use super::told_of;
use crate::cli::connect::ConnectArgs;
use crate::cli::values::{columns, counted, for_terminal};

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct BindArgs {
    /// Exchange with the strategy `sticky` or `sticky-fun`
    exchange: ExchangeName,
    /// Key, as requests have it. With `sticky-fun` the exchange's function says the signature of a request with it, without
    /// payload
    key: String,
    /// Pid of the handler, as `squall reply` says it when it attaches; its angle brackets may be left out
    handler: String,
    #[command(flatten)]
    meant: Meant,
    /// Take the key from another handler that has it
    #[arg(long)]
    rebind: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct UnbindArgs {
    /// Exchange with the strategy `sticky` or `sticky-fun`
    exchange: ExchangeName,
    /// Key, as requests have it
    key: String,
    #[command(flatten)]
    meant: Meant,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct ListArgs {
    /// Exchange with the strategy `sticky` or `sticky-fun`
    exchange: ExchangeName,
    /// Only that of this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    meant: Meant,
    /// Only those of this handler
    #[arg(long, value_name = "PID")]
    handler: Option<String>,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only those after this one, for the next page: the last signature of the page before
    #[arg(long, value_name = "SIGNATURE", conflicts_with = "key")]
    after: Option<String>,
    /// As JSON: an object with the array `bindings`, with `more` and `total`
    #[arg(long)]
    json: bool,
}

/// What a key means.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct Meant {
    /// Service tag of the requests: keys of one group have nothing to do with those of another one
    #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
    service_tag: String,
    /// KEY is no key, but a signature as `squall exchange bindings` lists it
    #[arg(long, conflicts_with = "service_tag")]
    signature: bool,
}

impl Meant {
    fn by(&self, key: &str) -> Binding {
        if self.signature {
            Binding::Signature(key.to_owned())
        } else {
            Binding::Key {
                key: key.as_bytes().to_vec(),
                service_tag: self.service_tag.clone(),
            }
        }
    }

    /// What was named, in words.
    fn words(&self, key: &str) -> String {
        let key = for_terminal(key);
        match (self.signature, self.service_tag.as_str()) {
            (true, _) => format!("signature {key}"),
            (false, "") => format!("key {key}"),
            (false, tag) => format!("key {key} of group {}", for_terminal(tag)),
        }
    }

    /// The same for a document: null for what was not named.
    fn object(&self, key: &str) -> [(&'static str, Value); 2] {
        let tag = (!self.service_tag.is_empty()).then_some(self.service_tag.as_str());
        [
            ("key", (!self.signature).then_some(key).into()),
            ("service_tag", tag.into()),
        ]
    }
}

pub(super) async fn bind(args: &BindArgs, connect: &ConnectArgs) -> Result<()> {
    let operator = connect.operator().await?;
    let binding = args.meant.by(&args.key);
    let bound = operator
        .bind(args.exchange.as_str(), &binding, &args.handler, args.rebind)
        .await
        .map_err(|error| told_of(&args.exchange, error))?;
    if args.json {
        writeln!(stdout(), "{:#}", args.document(&bound))?;
    } else {
        writeln!(stdout(), "{}", args.line(&bound))?;
    }
    Ok(())
}

impl BindArgs {
    fn line(&self, bound: &BindKeyResponse) -> String {
        let what = self.meant.words(&self.key);
        let change = match (bound.changed, bound.from.as_str()) {
            (false, _) => " already".to_owned(),
            (true, "") => String::new(),
            (true, from) => format!(", taken from {}", for_terminal(from)),
        };
        format!(
            "{what} of {} is bound to {} at node {}{change}; signature {}",
            self.exchange,
            for_terminal(&bound.handler),
            for_terminal(&bound.node),
            bound.signature
        )
    }

    fn document(&self, bound: &BindKeyResponse) -> Value {
        let mut document = json!({
            "exchange": self.exchange.as_str(),
            "signature": bound.signature,
            "handler": bound.handler,
            "node": bound.node,
            "changed": bound.changed,
            "from": some(&bound.from),
        });
        for (name, value) in self.meant.object(&self.key) {
            document[name] = value;
        }
        document
    }
}

pub(super) async fn unbind(args: &UnbindArgs, connect: &ConnectArgs) -> Result<()> {
    let operator = connect.operator().await?;
    let unbound = operator
        .unbind(args.exchange.as_str(), &args.meant.by(&args.key))
        .await
        .map_err(|error| told_of(&args.exchange, error))?;
    if args.json {
        writeln!(stdout(), "{:#}", args.document(&unbound))?;
    } else {
        writeln!(stdout(), "{}", args.line(&unbound))?;
    }
    Ok(())
}

impl UnbindArgs {
    fn line(&self, unbound: &UnbindKeyResponse) -> String {
        let (what, exchange) = (self.meant.words(&self.key), &self.exchange);
        if unbound.changed {
            let from = for_terminal(&unbound.from);
            format!("{what} of {exchange} is taken from {from}; its next request is bound anew")
        } else {
            format!("{what} of {exchange} is not bound: nothing changed")
        }
    }

    fn document(&self, unbound: &UnbindKeyResponse) -> Value {
        let mut document = json!({
            "exchange": self.exchange.as_str(),
            "signature": unbound.signature,
            "changed": unbound.changed,
            "from": some(&unbound.from),
        });
        for (name, value) in self.meant.object(&self.key) {
            document[name] = value;
        }
        document
    }
}

pub(super) async fn list(args: &ListArgs, connect: &ConnectArgs) -> Result<()> {
    let operator = connect.operator().await?;
    let page = BindingsPage {
        binding: args.key.as_ref().map(|key| args.meant.by(key)),
        handler: args.handler.clone(),
        after: args.after.clone(),
        limit: args.limit,
    };
    let told = operator.bindings(args.exchange.as_str(), &page).await;
    let told = told.map_err(|error| told_of(&args.exchange, error))?;
    let mut out = stdout().lock();
    if args.json {
        writeln!(out, "{:#}", args.document(&told))?;
    } else {
        write!(out, "{}", args.text(&told))?;
    }
    Ok(())
}

impl ListArgs {
    fn text(&self, page: &ListBindingsResponse) -> String {
        let head = ["SIGNATURE", "HANDLER", "NODE", "SERVICE TAG"].map(String::from);
        let row =
            |b: &BindingInfo| [&b.signature, &b.handler, &b.node, &b.service_tag].map(|text| cell(text));
        let mut text = if page.bindings.is_empty() {
            String::new()
        } else {
            let rows: Vec<[String; 4]> = std::iter::once(head)
                .chain(page.bindings.iter().map(row))
                .collect();
            columns(&rows)
        };
        if let Some(key) = self.key.as_ref().filter(|_| page.bindings.is_empty()) {
            let what = self.meant.words(key);
            text += &format!("{what} is not bound; its signature is {}\n", page.signature);
        }
        let exchange = &self.exchange;
        text += &format!("{exchange}: {}\n", counted(page.total, "binding", "bindings"));
        if page.incomplete {
            text += "its owner has just started: there may be others that it does not know yet\n";
        }
        if let Some(last) = page.bindings.last().filter(|_| page.more) {
            text += &format!("there are more: --after {} shows the next ones\n", last.signature);
        }
        text
    }

    fn document(&self, page: &ListBindingsResponse) -> Value {
        let object = |b: &BindingInfo| {
            json!({
                "signature": b.signature,
                "handler": b.handler,
                "node": b.node,
                "service_tag": some(&b.service_tag),
            })
        };
        json!({
            "exchange": self.exchange.as_str(),
            "bindings": page.bindings.iter().map(object).collect::<Vec<_>>(),
            "more": page.more,
            "total": page.total,
            "incomplete": page.incomplete,
            "signature": some(&page.signature),
        })
    }
}

fn some(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

fn cell(text: &str) -> String {
    if text.is_empty() {
        "-".into()
    } else {
        for_terminal(text).replace(['\n', '\t'], " ")
    }
}

#[cfg(test)]
#[path = "binding_test.rs"]
mod tests;
