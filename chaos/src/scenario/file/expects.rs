//! Expectations of a scenario's file. What does not live here: judging them (`crate::run`).

use std::time::Duration;

use toml::Spanned;

use super::super::Expect;
use super::super::text::{ExpectText, Range as Bounds};
use super::steps::one_of;
use super::values::{share, some, time};
use super::{Read, Text, wrong};
use crate::coverage::Sight;

pub(super) fn expect(text: &ExpectText, known: &[&str]) -> Read<Expect> {
    let of_class = some(text.class.as_ref(), class)?;
    let seen = text.seen.iter().map(sight);
    Ok(Expect {
        exchange: some(text.exchange.as_ref(), |said| one_of(said, known))?,
        gap: some(text.gap.as_ref(), time)?.or(of_class),
        failed: some(text.failed.as_ref(), share)?,
        lost: text.lost,
        doubled: text.doubled,
        owner_changes: text.owner_changes.as_ref().map(bounds).transpose()?,
        elections: text.elections,
        seen: seen.collect::<Read<_>>()?,
    })
}

fn bounds(said: &Spanned<Bounds>) -> Read<(u64, u64)> {
    match *said.get_ref() {
        Bounds::Exactly(count) => Ok((count, count)),
        Bounds::Between(least, most) if least <= most => Ok((least, most)),
        Bounds::Between(..) => Err(wrong(said.span(), "expected the least first, then the most")),
    }
}

/// Longest time without a good reply of a class of failovers: its 99th percentile.
fn class(said: &Text) -> Read<Duration> {
    let classes = [("G0", 30), ("G1", 250), ("G1m", 800), ("G2", 700), ("G3", 800)];
    let found = classes.into_iter().find(|(word, _)| word == said.get_ref());
    let words: Vec<&str> = classes.iter().map(|(word, _)| *word).collect();
    found
        .map(|(_, ms)| Duration::from_millis(ms))
        .ok_or_else(|| wrong(said.span(), format!("expected one of {}", words.join(", "))))
}

fn sight(said: &Text) -> Read<Sight> {
    let found = Sight::all().find(|sight| sight.as_str() == said.get_ref());
    found.ok_or_else(|| {
        let words: Vec<String> = Sight::all().map(|sight| format!("\"{sight}\"")).collect();
        let why = format!(
            "nothing of that name is looked for; there are {}",
            words.join(", ")
        );
        wrong(said.span(), why)
    })
}
