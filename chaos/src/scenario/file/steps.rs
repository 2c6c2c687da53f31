//! Steps of a scenario's file: faults and moves, and whom they are aimed at. What does not live here: words of faults and targets
//! (`crate::fault`).

use std::time::Duration;

use squall_kernel::fault::TTL_MAX;
use squall_kernel::id::ExchangeName;
use toml::Spanned;

use super::super::text::StepText;
use super::super::{Deed, Step};
use super::values::{or, time};
use super::{Read, Text, Wrong, wrong};
use crate::fault::{Aim, Fault, Links, Nodes, Target, Unreadable};

pub(super) fn step(source: &str, text: Spanned<StepText>, known: &[&str]) -> Read<Step> {
    let whole = text.span();
    let text = text.into_inner();
    let deed = match (&text.fault, &text.moves) {
        (Some(fault), None) => {
            let read: Fault = fault
                .get_ref()
                .parse()
                .map_err(|error| inside(source, fault, error))?;
            let target = target(source, &text.target, read.aim())?;
            Deed::Fault { fault: read, target }
        }
        (None, Some(exchange)) => {
            let Target::Nodes(to) = target(source, &text.target, Aim::Nodes)? else {
                return Err(wrong(text.target.span(), "expected a node"));
            };
            Deed::Move {
                exchange: one_of(exchange, known)?,
                to,
            }
        }
        _ => return Err(wrong(whole, "a step has either a fault or a move")),
    };
    check_names(&deed, &text.target, known)?;
    let ttl = or(text.ttl.as_ref(), Duration::from_secs(5), time)?;
    let most = Duration::from_micros(TTL_MAX.0);
    if ttl.is_zero() || ttl > most {
        let at = text.ttl.as_ref().map_or(whole, Spanned::span);
        return Err(wrong(at, "a fault lives longer than nothing and at most an hour"));
    }
    Ok(Step {
        at: time(&text.at)?,
        deed,
        ttl,
    })
}

fn target(source: &str, said: &Text, aim: Aim) -> Read<Target> {
    Target::parse(said.get_ref(), aim).map_err(|error| inside(source, said, error))
}

/// The place inside of a text that stands between quotes; of the whole where it is written with escapes.
fn inside(source: &str, said: &Text, error: Unreadable) -> Wrong {
    let span = said.span();
    let plain = source
        .get(span.clone())
        .is_some_and(|raw| raw.len() == said.get_ref().len() + 2);
    let at = if plain {
        span.start + 1 + error.at.start..span.start + 1 + error.at.end
    } else {
        span
    };
    wrong(at, error.why)
}

pub(super) fn one_of(said: &Text, known: &[&str]) -> Read<ExchangeName> {
    let name = said.get_ref();
    if !known.contains(&name.as_str()) {
        let why = format!(
            "the scenario has no exchange '{name}'; it has {}",
            known.join(", ")
        );
        return Err(wrong(said.span(), why));
    }
    ExchangeName::new(name).map_err(|why| wrong(said.span(), why.to_string()))
}

/// Roles are of exchanges that the scenario has.
fn check_names(deed: &Deed, said: &Text, known: &[&str]) -> Read<()> {
    let mut names = Vec::new();
    match deed {
        Deed::Fault { target, .. } => match target {
            Target::Nodes(nodes) => exchanges_of(nodes, &mut names),
            Target::Links(links) => exchanges_of_links(links, &mut names),
        },
        Deed::Move { to, .. } => exchanges_of(to, &mut names),
    }
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let why = format!(
                "the scenario has no exchange '{name}'; it has {}",
                known.join(", ")
            );
            Err(wrong(said.span(), why))
        }
    }
}

fn exchanges_of_links(links: &Links, names: &mut Vec<String>) {
    match links {
        Links::Ways { from, to, .. } => {
            exchanges_of(from, names);
            exchanges_of(to, names);
        }
        Links::Isolate(nodes) | Links::Mute(nodes) | Links::Deaf(nodes) | Links::Bridge(nodes) => {
            exchanges_of(nodes, names);
        }
        Links::Several(all) => all.iter().for_each(|one| exchanges_of_links(one, names)),
        Links::Halves | Links::Ring => {}
    }
}

fn exchanges_of(nodes: &Nodes, names: &mut Vec<String>) {
    match nodes {
        Nodes::Owner(of) | Nodes::Leader(of) | Nodes::Follower(of) => names.push(of.clone()),
        Nodes::Listed(all) => all.iter().for_each(|one| exchanges_of(one, names)),
        Nodes::Named(_) | Nodes::MetaLeader | Nodes::Minority | Nodes::All | Nodes::Rest => {}
    }
}
