//! What deeds would do to a cluster, before they are done: pure, computed from the picture the watcher has, and the same for
//! the observer's dialog, the command line and scenarios.
//!
//! What does not live here: doing them, and how far somebody wants to go (`budget`).

use std::time::Duration;

use squall_kernel::fault::{FaultKind, LinkFault, RETRANSMIT};
use squall_observer::console::{Picture, Radius};

use crate::fault::{Act, Fault, Form, NodeDeed};

mod budget;
mod extent;
#[cfg(test)]
#[path = "radius_test.rs"]
mod tests;

pub use budget::{Beyond, Budget};
pub use extent::Extent;

use extent::Quorum;

/// Names shown in one line; more are counted.
const NAMES_MAX: usize = 4;

/// The blast radius of these deeds, done together for `ttl`, on the cluster of `picture`.
#[must_use]
pub fn radius(acts: &[Act], ttl: Duration, picture: &Picture) -> Radius {
    let extent = Extent::of(acts, picture);
    let mut lines = on_nodes(acts, &extent, ttl, picture);
    lines.extend(on_links(acts, &extent, ttl, picture));
    lines.extend(held(acts, ttl, picture));
    let typed = extent.quorum_lost || kills(acts);
    Radius {
        lines,
        quorum_lost: extent.quorum_lost,
        confirm_by_typing: acts.first().filter(|_| typed).map(|act| act.node().to_owned()),
        impossible: false,
    }
}

/// A kill that still kills somebody.
fn kills(acts: &[Act]) -> bool {
    let kill = |act: &Act| {
        matches!(
            act,
            Act::Node {
                deed: NodeDeed::Kill { .. } | NodeDeed::Wipe,
                ..
            }
        )
    };
    acts.iter().any(kill)
}

/// Nodes that are gone, for a while or for good.
fn on_nodes(acts: &[Act], extent: &Extent, ttl: Duration, picture: &Picture) -> Vec<String> {
    let deeds: Vec<(&str, NodeDeed)> = acts
        .iter()
        .filter_map(|act| match act {
            Act::Node { node, deed } => Some((node.as_str(), *deed)),
            Act::Link { .. } | Act::Hold { .. } => None,
        })
        .collect();
    let Some((_, deed)) = deeds.first() else {
        return Vec::new();
    };
    let names: Vec<&str> = deeds.iter().map(|(node, _)| *node).collect();
    let who = some(&names);
    if !deed.takes_away() {
        return vec![format!("{who} {}", verb(names.len(), "goes on", "go on"))];
    }
    let after = afterwards(&who, names.len(), *deed, ttl);
    if extent.gone.is_empty() {
        return vec![
            format!("{who} {} down already", verb(names.len(), "is", "are")),
            after,
        ];
    }
    let mut lines = vec![Quorum::without(&extent.gone, picture).words(&extent.gone, picture)];
    if let Some(leader) = &picture.meta_leader
        && extent.gone.contains(leader)
    {
        let then = if extent.quorum_lost {
            "nobody follows"
        } else {
            "an election"
        };
        lines.push(format!("{leader} is the meta leader: {then}"));
    }
    lines.extend(exchanges(&extent.gone, extent.quorum_lost, picture));
    lines.push(after);
    lines
}

fn afterwards(who: &str, count: usize, deed: NodeDeed, ttl: Duration) -> String {
    match deed {
        NodeDeed::Kill { stay_down: true } | NodeDeed::Stop { stay_down: true } => {
            format!(
                "{who} {} down until somebody starts it",
                verb(count, "stays", "stay")
            )
        }
        NodeDeed::Kill { .. } | NodeDeed::Stop { .. } => {
            format!(
                "{who} {} again after {}",
                verb(count, "starts", "start"),
                words(ttl)
            )
        }
        NodeDeed::Wipe => format!(
            "{who} {} again after {}, without data: as nodes that nobody knows, without a vote",
            verb(count, "starts", "start"),
            words(ttl)
        ),
        NodeDeed::Pause => format!(
            "{who} {} on after {}; the others must not wait for it",
            verb(count, "goes", "go"),
            words(ttl)
        ),
        NodeDeed::Restart | NodeDeed::Resume => {
            format!("{who} {} again at once", verb(count, "starts", "start"))
        }
    }
}

/// Links that are worse, each in its direction.
fn on_links(acts: &[Act], extent: &Extent, ttl: Duration, picture: &Picture) -> Vec<String> {
    let ways = extent.ways.as_slice();
    let Some((from, to)) = ways.first() else {
        return Vec::new();
    };
    let faults: Vec<LinkFault> = acts
        .iter()
        .filter_map(|act| match act {
            Act::Link { from: a, to: b, what } if a == from && b == to => Some(*what),
            _ => None,
        })
        .collect();
    let mut lines = Vec::new();
    if extent.quorum_lost {
        lines.push("no majority of voters can talk both ways: quorum LOST".to_owned());
    }
    let alone = ways.len() == 1;
    let whom = if alone {
        format!("{from} → {to}")
    } else {
        links_counted(ways)
    };
    for what in &faults {
        let back = match (alone, what) {
            (false, _) => String::new(),
            (true, LinkFault::Cut) => format!("; {to} → {from} still does"),
            (true, _) => format!("; {to} → {from} as before"),
        };
        lines.push(format!("{whom}: {} for {}{back}", done(what), words(ttl)));
    }
    lines.extend(cut_off(extent, picture));
    if alone {
        lines.extend(beside(from, to, picture));
    }
    lines
}

/// Faults that nodes hold for themselves: nobody is gone, and no link is worse.
fn held(acts: &[Act], ttl: Duration, picture: &Picture) -> Vec<String> {
    let held: Vec<(&str, &FaultKind)> = acts
        .iter()
        .filter_map(|act| match act {
            Act::Hold { node, kind } => Some((node.as_str(), kind)),
            _ => None,
        })
        .collect();
    let Some((_, kind)) = held.first() else {
        return Vec::new();
    };
    let names: Vec<&str> = held.iter().map(|(node, _)| *node).collect();
    let mut lines = vec![format!("{}: {kind} for {}", some(&names), words(ttl))];
    match kind {
        FaultKind::Process { exchange, .. } => {
            lines.push(format!(
                "requests to {exchange} that go to handlers there are late, lost or refused"
            ));
        }
        FaultKind::Message { of, .. } => {
            let owner = picture
                .exchanges
                .iter()
                .find(|exchange| exchange.name == of.exchange.as_str());
            let owner = owner.and_then(|exchange| exchange.owner.as_deref());
            if owner.is_none_or(|owner| !names.contains(&owner)) {
                lines.push(format!("nothing happens while another node owns {}", of.exchange));
            }
        }
        _ => {
            let owned: Vec<&str> = names.iter().flat_map(|node| owned(node, picture)).collect();
            if !owned.is_empty() {
                lines.push(format!(
                    "{} may move to another node if its owner falls behind",
                    some(&owned)
                ));
            }
        }
    }
    lines
}

fn links_counted(ways: &[(String, String)]) -> String {
    let shown: Vec<String> = ways
        .iter()
        .take(NAMES_MAX)
        .map(|(from, to)| format!("{from} → {to}"))
        .collect();
    match ways.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        more => format!("{} links, {} and {more} more", ways.len(), shown.join(", ")),
    }
}

/// What a fault does, in a sentence that goes on with how long.
fn done(what: &LinkFault) -> String {
    match what {
        LinkFault::Cut => "nothing passes".to_owned(),
        LinkFault::Delay(latency) => format!("every frame {latency} later,"),
        LinkFault::Loss(share) => format!(
            "{share} is lost and comes {} later or more, all behind it waits,",
            words(Duration::from_micros(RETRANSMIT.0))
        ),
        other => {
            let does = Form::of(other.word()).map_or("", |form| form.does);
            format!("{}: {does},", Fault::Link(*other))
        }
    }
}

/// Nodes that no majority answers any more.
fn cut_off(extent: &Extent, picture: &Picture) -> Vec<String> {
    let off = extent.cut_off.iter().filter(|_| !extent.quorum_lost);
    off.map(|node| {
        let owned = owned(node, picture);
        let moves = match owned.as_slice() {
            [] => "it owns nothing".to_owned(),
            owned => format!("{} to another node", moving(owned)),
        };
        format!("{node} no longer reaches a majority both ways: {moves}")
    })
    .collect()
}

/// Who leads or owns at an end of a single link.
fn beside(from: &str, to: &str, picture: &Picture) -> Vec<String> {
    let mut lines = Vec::new();
    for (node, peer) in [(from, to), (to, from)] {
        if picture.meta_leader.as_deref() == Some(node) {
            lines.push(format!(
                "{node} is the meta leader: registry changes wait for a majority without {peer}"
            ));
        }
        let owned = owned(node, picture);
        if !owned.is_empty() {
            lines.push(format!(
                "{node} owns {}: requests by way of {peer} are late or lost",
                some(&owned)
            ));
        }
    }
    lines
}

fn owned<'p>(node: &str, picture: &'p Picture) -> Vec<&'p str> {
    let owned = picture
        .exchanges
        .iter()
        .filter(|exchange| exchange.owner.as_deref() == Some(node));
    owned.map(|exchange| exchange.name.as_str()).collect()
}

/// Without a quorum every exchange stalls, whoever owns it: no lease is renewed.
fn exchanges(gone: &[String], quorum_lost: bool, picture: &Picture) -> Option<String> {
    if quorum_lost {
        let all: Vec<&str> = picture
            .exchanges
            .iter()
            .map(|exchange| exchange.name.as_str())
            .collect();
        let stall = verb(all.len(), "stalls", "stall");
        return (!all.is_empty())
            .then(|| format!("{} {stall}: {}", exchanges_counted(all.len()), some(&all)));
    }
    let owned: Vec<&str> = gone.iter().flat_map(|node| owned(node, picture)).collect();
    if owned.is_empty() {
        let own = verb(gone.len(), "owns", "own");
        let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
        return (!picture.exchanges.is_empty())
            .then(|| format!("no exchange moves: {} {own} none", some(&gone)));
    }
    let move_on = verb(owned.len(), "moves", "move");
    Some(format!(
        "{} {move_on} to another node: {}",
        exchanges_counted(owned.len()),
        some(&owned)
    ))
}

fn moving(owned: &[&str]) -> String {
    format!("{} {}", some(owned), verb(owned.len(), "moves", "move"))
}

fn exchanges_counted(count: usize) -> String {
    if count == 1 {
        "1 exchange".to_owned()
    } else {
        format!("{count} exchanges")
    }
}

fn verb(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

fn some(names: &[&str]) -> String {
    let shown = names[..names.len().min(NAMES_MAX)].join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn words(time: Duration) -> String {
    let ms = time.as_millis();
    if ms >= 1000 && ms.is_multiple_of(1000) {
        format!("{} s", ms / 1000)
    } else {
        format!("{ms} ms")
    }
}
