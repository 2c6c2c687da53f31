//! The links of the graph: each direction for itself, so that one that is cut in one direction only is seen to be.

use super::{Way, glyph};
use crate::facts::LinkFact;
use crate::theme::Tone;

/// All directions between so many nodes, the worst last: what is drawn last lies above.
pub(super) fn ways<'a>(
    nodes: usize,
    link: &impl Fn(usize, usize) -> Option<&'a LinkFact>,
    selected: Option<(usize, usize)>,
) -> Vec<Way> {
    let way = |(from, to): (usize, usize)| {
        let l = link(from, to)?;
        let (sign, tone) = sign(l);
        Some(Way {
            from,
            to,
            tone,
            sign,
            selected: selected == Some((from, to)),
        })
    };
    let pairs = (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to)));
    let mut ways: Vec<Way> = pairs.filter(|(from, to)| from != to).filter_map(way).collect();
    ways.sort_by_key(|way| badness(way.tone));
    ways
}

/// A pair of directions that differ, in words.
pub(super) fn uneven(there: &LinkFact, back: &LinkFact) -> Option<(String, Tone)> {
    let told = |l: &LinkFact| {
        let fault = if l.fault.is_some() { " ✶" } else { "" };
        format!("{} → {} {}{fault}", l.from, l.to, l.way)
    };
    let (one, other) = (sign(there), sign(back));
    let worse = if badness(one.1) >= badness(other.1) {
        one
    } else {
        other
    };
    (one != other).then(|| (format!("{} · {}", told(there), told(back)), worse.1))
}

fn sign(l: &LinkFact) -> (Option<&'static str>, Tone) {
    let (state, tone) = glyph(l.way);
    match (l.way, &l.fault) {
        ("unknown", _) => (Some("○"), Tone::Dim),
        ("up", Some(_)) => (Some("✶"), Tone::Warn),
        ("up", None) => (None, tone),
        _ => (Some(state), tone),
    }
}

fn badness(tone: Tone) -> u8 {
    match tone {
        Tone::Bad => 3,
        Tone::Warn => 2,
        Tone::Good => 1,
        _ => 0,
    }
}
