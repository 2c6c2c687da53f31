//! Who may link with whom, and why not, in words that name both.
//!
//! What does not live here: whether the other side is who it says (the proof in `handshake`), and what is done about a refusal
//! (`machine`).

use alloc::format;
use alloc::string::String;

use super::machine::Facts;
use super::{Hello, LANES, PROTOCOL_VERSION, Purpose};
use crate::id::ClusterId;
use crate::limits;
use crate::reason::Refusal;
use crate::registry::Introduction;

/// Why not, and in words.
pub(super) type Reason = (Refusal, String);

/// One node with its cluster.
pub(super) type Member<'a> = (&'a Introduction, Option<ClusterId>);

/// May the dialler that says this talk to the node?
pub(super) fn check_hello(facts: &Facts<'_>, hello: &Hello) -> Result<(), Reason> {
    if hello.version != PROTOCOL_VERSION {
        return Err(reason(Refusal::Version, super::version_detail(hello.version)));
    }
    match (hello.purpose, &hello.node) {
        (Purpose::Client, None) => Ok(()),
        (Purpose::Link { lane }, Some(_)) if lane >= LANES => {
            Err(reason(Refusal::Garbage, format!("there is no lane {lane}")))
        }
        (Purpose::Link { .. } | Purpose::Seed, Some(node)) => {
            acceptable((node, hello.cluster), (facts.me, facts.cluster), facts.live)
        }
        _ => Err(reason(
            Refusal::Garbage,
            "only nodes link, and clients are no nodes",
        )),
    }
}

/// May these two nodes link? A node without a cluster links with any. The words hold on both sides.
pub(super) fn acceptable(other: Member<'_>, me: Member<'_>, live: &[Introduction]) -> Result<(), Reason> {
    let ((node, theirs), (own, ours)) = (other, me);
    if node.id == own.id {
        return Err(reason(
            Refusal::Myself,
            format!("node {} reached itself", place(own)),
        ));
    }
    if let (Some(theirs), Some(ours)) = (theirs, ours)
        && theirs != ours
    {
        let (node, own) = (place(node), place(own));
        let detail = format!("node {node} belongs to cluster {theirs}, node {own} to cluster {ours}");
        return Err(reason(Refusal::Cluster, detail));
    }
    if let Some(holder) = live
        .iter()
        .chain([own])
        .find(|other| other.name == node.name && other.id != node.id)
    {
        let detail = format!(
            "the name of node {} belongs to the live node {}; choose another",
            place(node),
            place(holder)
        );
        return Err(reason(Refusal::NameTaken, detail));
    }
    match live
        .iter()
        .find(|other| other.id == node.id && other.incarnation > node.incarnation)
    {
        Some(newer) => {
            let (old, new) = (node.incarnation, newer.incarnation);
            let detail = format!("node {} is run {old}, but run {new} of it is live", place(node));
            Err(reason(Refusal::OldIncarnation, detail))
        }
        None => Ok(()),
    }
}

/// The words of a proof that fails.
pub(super) fn cookie_detail(hello: &Hello, listener: &Introduction) -> String {
    let dialler = match &hello.node {
        Some(node) => format!("node {}", place(node)),
        None => format!(
            "client '{}'",
            printable(&hello.client_name, limits::NODE_NAME_BYTES_MAX)
        ),
    };
    format!(
        "{dialler} and node {} have different ones; use the same --cookie-file",
        place(listener)
    )
}

/// Without control characters and at most `max` bytes: it comes from outside and is shown in terminals.
pub(super) fn printable(text: &str, max: usize) -> String {
    let mut kept: String = text
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if kept.len() > max {
        let end = (0..=max).rev().find(|i| kept.is_char_boundary(*i)).unwrap_or(0);
        kept.truncate(end);
    }
    kept
}

fn place(node: &Introduction) -> String {
    format!(
        "'{}' at {}",
        node.name,
        printable(&node.mesh_addr, limits::NODE_NAME_BYTES_MAX)
    )
}

fn reason(refusal: Refusal, detail: impl Into<String>) -> Reason {
    (refusal, detail.into())
}
