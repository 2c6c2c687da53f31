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
        let what = if l.stale_ms.is_some() {
            "not heard"
        } else {
            l.state
        };
        let fault = if l.fault.is_some() { " ✶" } else { "" };
        format!("{} → {} {what}{fault}", l.from, l.to)
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
    let (state, tone) = glyph(l.state);
    match (&l.fault, l.stale_ms, l.state) {
        (_, Some(_), _) => (Some("○"), Tone::Dim),
        (Some(_), ..) => (Some("✶"), Tone::Warn),
        (None, None, "up") => (None, tone),
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
