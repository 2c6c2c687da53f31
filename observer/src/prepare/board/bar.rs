//! What must hold: the invariants as the console judges them, each with a sign, and what the observer looks at itself. Where one was
//! broken, the two events that cannot both be, in full.
//!
//! What does not live here: the page with all claims and what was not tested (`page/invariants`).

use crate::cluster::checks;
use crate::console::{self, Invariant, Verdict};
use crate::measure::{fold, width};
use crate::prepare::page::Piece;
use crate::prepare::{Source, Told};
use crate::theme::Tone;
use crate::units::{count, millis};

/// What is drawn of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bar {
    /// Its rows.
    pub rows: Vec<Vec<Piece>>,
    /// How many hold, in words.
    pub note: String,
}

/// Where nothing is judged since nobody was asked to.
const HINT: &str = "start with --chaos: invariants are judged, scenarios run";
/// Where the console has not said anything yet.
const NOT_YET: &str = "– invariants: nobody has judged them yet";
/// Rows of the view from which there is room for what the observer looks at itself, under the invariants.
const CHECKS_FROM: u16 = 18;
/// The same where something was broken, which has to be said in full.
const CHECKS_BESIDE_BREACH_FROM: u16 = 24;
/// Rows of the view below which the invariants are counted, not named, where something was broken.
const NAMED_FROM: u16 = 13;
/// Rows that a reason why nobody judges may take.
const WHY_ROWS: usize = 2;
/// Width from which one row is enough for what the observer looks at itself.
const WIDE: u16 = 100;

/// Prepares it.
pub(super) fn prepare(source: Source<'_>) -> Bar {
    let room = source.body.width.saturating_sub(3);
    let most = usize::from(source.body.height / 4).max(1);
    let judged = source.told.map(|told| told.board.bar.as_ref());
    let is_broken = broken(source.told).next().is_some();
    let mut rows: Vec<Vec<Piece>> = match judged {
        None => vec![vec![(HINT.to_owned(), Tone::Dim)]],
        Some(None) => vec![vec![(NOT_YET.to_owned(), Tone::Dim)]],
        Some(Some(Err(why))) => fold(&format!("– nobody judges the invariants: {why}"), room)
            .into_iter()
            .take(WHY_ROWS)
            .map(|line| vec![(line, Tone::Warn)])
            .collect(),
        Some(Some(Ok(bar))) if is_broken && source.body.height < NAMED_FROM => flow(counted(bar), room, 1),
        Some(Some(Ok(bar))) => flow(bar.invariants.iter().map(item).collect(), room, most),
    };
    let least = if is_broken {
        CHECKS_BESIDE_BREACH_FROM
    } else {
        CHECKS_FROM
    };
    let own = match (judged.flatten(), source.body.height) {
        (None, _) if source.body.width < WIDE => 2,
        (Some(_), height) if height < least => 0,
        _ => 1,
    };
    rows.extend(flow(looked_at(source), room, own));
    let note = match judged.flatten() {
        Some(Ok(bar)) => note(bar, source.told.and_then(|told| told.age_ms), room),
        _ => String::new(),
    };
    Bar { rows, note }
}

/// An invariant: its number, and a sign that needs no colour.
fn item(invariant: &Invariant) -> Vec<Piece> {
    let id = |tone| (format!("{} ", invariant.id), tone);
    match &invariant.verdict {
        Verdict::Holds => vec![id(Tone::Plain), ("✔".to_owned(), Tone::Good)],
        Verdict::Unknown(_) => vec![id(Tone::Dim), ("–".to_owned(), Tone::Dim)],
        Verdict::Broken { .. } => vec![id(Tone::Bad), ("✖ BROKEN".to_owned(), Tone::Bad)],
    }
}

/// Those that were broken, and how many there are of the others.
fn counted(bar: &console::Bar) -> Vec<Vec<Piece>> {
    let is_broken = |i: &&Invariant| matches!(i.verdict, Verdict::Broken { .. });
    let mut items: Vec<Vec<Piece>> = bar.invariants.iter().filter(is_broken).map(item).collect();
    let hold = bar
        .invariants
        .iter()
        .filter(|i| i.verdict == Verdict::Holds)
        .count();
    let unknown = bar.invariants.len() - items.len() - hold;
    items.push(vec![
        ("✔ ".to_owned(), Tone::Good),
        (format!("{hold} hold"), Tone::Plain),
    ]);
    items.push(vec![(format!("– {unknown} not known"), Tone::Dim)]);
    items
}

/// What the observer looks at itself: what does not hold first, with its figure.
fn looked_at(source: Source<'_>) -> Vec<Vec<Piece>> {
    let mut all = checks::checks(source.cluster, source.now);
    all.sort_by_key(|check| check.holds);
    let all = all.into_iter();
    all.map(|check| match check.holds {
        true => vec![
            ("✔ ".to_owned(), Tone::Good),
            (check.name.to_owned(), Tone::Plain),
        ],
        false => vec![
            ("▲ ".to_owned(), Tone::Warn),
            (format!("{}: {}", check.name, check.figure), Tone::Warn),
        ],
    })
    .collect()
}

/// Items side by side, two blanks between them, in as many rows as there may be.
fn flow(items: Vec<Vec<Piece>>, room: u16, rows_max: usize) -> Vec<Vec<Piece>> {
    let mut rows: Vec<(u16, Vec<Piece>)> = Vec::new();
    for item in items {
        let wide: u16 = item.iter().map(|(text, _)| width(text)).sum();
        match rows.last_mut() {
            Some((used, row)) if used.saturating_add(wide).saturating_add(2) <= room => {
                row.push(("  ".to_owned(), Tone::Plain));
                row.extend(item);
                *used += wide + 2;
            }
            _ => rows.push((wide, item)),
        }
    }
    let rows = rows.into_iter().take(rows_max);
    rows.map(|(_, row)| row).collect()
}

/// How many hold: in the words that there is room for beside a title and an age.
fn note(bar: &console::Bar, age_ms: Option<u64>, room: u16) -> String {
    let of = |wanted: fn(&Verdict) -> bool| bar.invariants.iter().filter(|i| wanted(&i.verdict)).count();
    let hold = of(|v| matches!(v, Verdict::Holds));
    let broken = of(|v| matches!(v, Verdict::Broken { .. }));
    let unknown = bar.invariants.len() - hold - broken;
    // The corner tells how old what nodes say is; a judge may have fallen silent by himself.
    let old = match age_ms {
        Some(ms) if ms >= OLD_MS => format!(", said {} ago", millis(ms)),
        _ => String::new(),
    };
    let tested = bar.seen.iter().filter(|(_, times)| *times > 0).count();
    let short = match broken {
        0 => format!("{hold} of {} hold{old}", bar.invariants.len()),
        broken => format!("{broken} broken, {hold} hold{old}"),
    };
    let long = format!(
        "{hold} hold · {unknown} not known · {broken} broken · {tested} of {} tested · {} events{old}",
        bar.seen.len(),
        count(bar.events)
    );
    if width(&long) + TITLE <= room { long } else { short }
}

/// What was judged longer ago says so.
const OLD_MS: u64 = 10_000;
/// Columns of the title, and of the age beside the note.
const TITLE: u16 = 34;

/// What was broken, in full, folded to the width of the view.
pub(super) fn breach(told: Option<Told<'_>>, view: u16) -> Vec<Vec<Piece>> {
    let room = view.saturating_sub(5);
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    for invariant in broken(told) {
        if let Verdict::Broken { text, first, second } = &invariant.verdict {
            said(
                &mut lines,
                &format!("✖ {}: ", invariant.id),
                text,
                Tone::Bad,
                room,
            );
            if let Some(first) = first {
                said(&mut lines, "  first  ", first, Tone::Plain, room);
            }
            let when = if first.is_some() { "  then   " } else { "  event  " };
            said(&mut lines, when, second, Tone::Plain, room);
        }
    }
    lines
}

/// A label, and words that go on under themselves.
fn said(lines: &mut Vec<Vec<Piece>>, label: &str, words: &str, tone: Tone, room: u16) {
    let indent = width(label);
    for (i, line) in fold(words, room.saturating_sub(indent)).into_iter().enumerate() {
        let before = match i {
            0 => (label.to_owned(), if tone == Tone::Bad { tone } else { Tone::Dim }),
            _ => (" ".repeat(usize::from(indent)), Tone::Plain),
        };
        lines.push(vec![before, (line, tone)]);
    }
}

/// The invariants that were broken.
pub(in crate::prepare) fn broken<'a>(told: Option<Told<'a>>) -> impl Iterator<Item = &'a Invariant> {
    let bar = told.and_then(|told| told.board.bar.as_ref()?.as_ref().ok());
    let all = bar.map(|bar| bar.invariants.iter()).into_iter().flatten();
    all.filter(|invariant| matches!(invariant.verdict, Verdict::Broken { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rows: &[Vec<Piece>]) -> Vec<String> {
        let line = |row: &Vec<Piece>| row.iter().map(|(text, _)| text.as_str()).collect();
        rows.iter().map(line).collect()
    }

    #[test]
    fn the_three_verdicts_differ_without_colour() {
        let of = |verdict| {
            text(&[item(&Invariant {
                id: "I4".to_owned(),
                claim: String::new(),
                verdict,
            })])
        };
        let broken = Verdict::Broken {
            text: String::new(),
            first: None,
            second: String::new(),
        };
        assert_eq!(of(Verdict::Holds), ["I4 ✔"]);
        assert_eq!(of(Verdict::Unknown("why".to_owned())), ["I4 –"]);
        assert_eq!(of(broken), ["I4 ✖ BROKEN"]);
    }

    #[test]
    fn items_flow_and_what_has_no_room_is_left_out() {
        let items = |n: usize| {
            (0..n)
                .map(|i| vec![(format!("I{i} ✔"), Tone::Good)])
                .collect::<Vec<_>>()
        };
        assert_eq!(text(&flow(items(4), 10, 9)), ["I0 ✔  I1 ✔", "I2 ✔  I3 ✔"]);
        assert_eq!(text(&flow(items(4), 10, 1)), ["I0 ✔  I1 ✔"]);
        assert!(flow(items(4), 0, 0).is_empty());
    }
}
