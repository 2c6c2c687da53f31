//! What an order would do to a cluster: pure, computed from the picture the watcher has. What does not live here:
//! firing it.

use std::time::Duration;

use squall_kernel::fault::{RETRANSMIT, Share};
use squall_observer::console::{Order, Picture, PictureNode, Radius};

#[cfg(test)]
#[path = "radius_test.rs"]
mod tests;

/// Names shown in one line; more are counted.
const NAMES_MAX: usize = 4;

/// The blast radius of `order` on the cluster of `picture`.
#[must_use]
pub fn radius(order: &Order, picture: &Picture) -> Radius {
    match order {
        Order::Kill {
            node, ttl, stay_down, ..
        } => {
            let after = if *stay_down {
                format!("{node} stays down until somebody starts it")
            } else {
                format!("{node} starts again after {}", words(*ttl))
            };
            Radius {
                confirm_by_typing: Some(node.clone()),
                ..loss(node, after, picture)
            }
        }
        Order::Pause { node, ttl, .. } => loss(
            node,
            format!(
                "{node} goes on after {}; the others must not wait for it",
                words(*ttl)
            ),
            picture,
        ),
        Order::Restart { node, .. } => loss(node, format!("{node} starts again at once"), picture),
        Order::Resume { node } => Radius {
            lines: vec![format!("{node} goes on")],
            ..Radius::default()
        },
        Order::Delay {
            from,
            to,
            delay,
            jitter,
            ttl,
        } => {
            let jitter = if jitter.is_zero() {
                String::new()
            } else {
                format!(" ±{}", words(*jitter))
            };
            let what = format!(
                "{from} → {to}: every frame {}{jitter} later, for {}; {to} → {from} as before",
                words(*delay),
                words(*ttl)
            );
            link(from, to, what, picture)
        }
        Order::Loss {
            from,
            to,
            share_ppm,
            ttl,
        } => {
            let what = format!(
                "{from} → {to}: {} is lost and comes {} later or more, all behind it waits, for {}; {to} → {from} as \
                 before",
                Share(*share_ppm),
                words(Duration::from_micros(RETRANSMIT.0)),
                words(*ttl)
            );
            link(from, to, what, picture)
        }
        Order::Cut { from, to, ttl } => {
            let what = format!(
                "{from} → {to}: nothing passes for {}; {to} → {from} still does",
                words(*ttl)
            );
            let mut radius = link(from, to, what, picture);
            if cut_off(from, to, picture) {
                radius.lines.insert(
                    0,
                    "no majority of voters can talk both ways: quorum LOST".to_owned(),
                );
                radius.quorum_lost = true;
                radius.confirm_by_typing = Some(from.clone());
            }
            radius
        }
    }
}

/// A node is gone, for a while or for good.
fn loss(node: &str, after: String, picture: &Picture) -> Radius {
    let found = picture.nodes.iter().find(|member| member.name == node);
    if found.is_some_and(|member| !member.up) {
        return Radius {
            lines: vec![format!("{node} is down already"), after],
            ..Radius::default()
        };
    }
    let quorum = Quorum::without(node, picture);
    let mut lines = vec![quorum.words(node, found)];
    if picture.meta_leader.as_deref() == Some(node) {
        lines.push(format!(
            "{node} is the meta leader: {}",
            if quorum.lost() {
                "nobody follows"
            } else {
                "an election"
            }
        ));
    }
    lines.extend(exchanges(node, quorum.lost(), picture));
    lines.push(after);
    let confirm_by_typing = quorum.lost().then(|| node.to_owned());
    Radius {
        lines,
        quorum_lost: quorum.lost(),
        confirm_by_typing,
    }
}

/// A link is worse in one direction.
fn link(from: &str, to: &str, what: String, picture: &Picture) -> Radius {
    let mut lines = vec![what];
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
    Radius {
        lines,
        ..Radius::default()
    }
}

struct Quorum {
    voters: usize,
    left: usize,
    before: usize,
}

impl Quorum {
    fn without(node: &str, picture: &Picture) -> Self {
        let voters = || picture.nodes.iter().filter(|member| member.voter);
        let up = voters().filter(|member| member.up).count();
        let left = voters().filter(|member| member.up && member.name != node).count();
        Self {
            voters: voters().count(),
            left,
            before: up,
        }
    }

    fn majority(&self) -> usize {
        self.voters / 2 + 1
    }

    fn lost(&self) -> bool {
        self.voters > 0 && self.left < self.majority()
    }

    fn words(&self, node: &str, member: Option<&PictureNode>) -> String {
        let Self { voters, left, before } = self;
        let count = format!("{left} of {voters} voters left");
        if *voters == 0 {
            "the voters are not known: the quorum may be lost".to_owned()
        } else if *before < self.majority() {
            format!("{count}: the quorum is LOST already")
        } else if self.lost() {
            format!("{count}: quorum LOST, the registry stands still")
        } else if member.is_some_and(|member| !member.voter) {
            format!("{node} does not vote: quorum unchanged")
        } else if *left == self.majority() {
            format!("{count}: quorum holds, the next loss breaks it")
        } else {
            format!("{count}: quorum holds")
        }
    }
}

fn owned<'p>(node: &str, picture: &'p Picture) -> Vec<&'p str> {
    let owned = picture
        .exchanges
        .iter()
        .filter(|exchange| exchange.owner.as_deref() == Some(node));
    owned.map(|exchange| exchange.name.as_str()).collect()
}

/// Without a quorum every exchange stalls, whoever owns it: no lease is renewed.
fn exchanges(node: &str, quorum_lost: bool, picture: &Picture) -> Option<String> {
    if quorum_lost {
        let all: Vec<&str> = picture
            .exchanges
            .iter()
            .map(|exchange| exchange.name.as_str())
            .collect();
        let verb = if all.len() == 1 { "stalls" } else { "stall" };
        return (!all.is_empty()).then(|| format!("{} {verb}: {}", exchanges_counted(all.len()), some(&all)));
    }
    let owned = owned(node, picture);
    if owned.is_empty() {
        return (!picture.exchanges.is_empty()).then(|| format!("no exchange moves: {node} owns none"));
    }
    let verb = if owned.len() == 1 { "moves" } else { "move" };
    Some(format!(
        "{} {verb} to another node: {}",
        exchanges_counted(owned.len()),
        some(&owned)
    ))
}

fn exchanges_counted(count: usize) -> String {
    if count == 1 {
        "1 exchange".to_owned()
    } else {
        format!("{count} exchanges")
    }
}

fn some(names: &[&str]) -> String {
    let shown = names[..names.len().min(NAMES_MAX)].join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// True when the voters that are up no longer contain one that reaches a majority both ways.
fn cut_off(from: &str, to: &str, picture: &Picture) -> bool {
    let up: Vec<&str> = picture
        .nodes
        .iter()
        .filter(|member| member.voter && member.up)
        .map(|member| member.name.as_str())
        .collect();
    let voters = picture.nodes.iter().filter(|member| member.voter).count();
    let majority = voters / 2 + 1;
    if up.len() < majority || !up.contains(&from) || !up.contains(&to) {
        return false;
    }
    let reached = |leader: &str| {
        if leader == from || leader == to {
            up.len() - 1
        } else {
            up.len()
        }
    };
    !up.iter().any(|leader| reached(leader) >= majority)
}

fn words(time: Duration) -> String {
    let ms = time.as_millis();
    if ms >= 1000 && ms.is_multiple_of(1000) {
        format!("{} s", ms / 1000)
    } else {
        format!("{ms} ms")
    }
}
