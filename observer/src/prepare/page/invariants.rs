//! The page of the invariants: what was broken, with the two events that cannot both be; every claim and what was found; and what
//! happened meanwhile, for what never did was not tested.

use super::{Sheet, Source};
use crate::console::{Bar, Invariant, Verdict};
use crate::measure::fold;
use crate::prepare::board::bar::broken;
use crate::theme::Tone;
use crate::units::count;

pub(super) fn sheet(source: Source<'_>) -> Option<(String, Sheet)> {
    let judged = source.told?.board.bar.as_ref()?;
    let room = source.body.width.saturating_sub(7);
    let mut sheet = Sheet::default();
    match judged {
        Err(why) => {
            sheet.heading("Nobody judges the invariants");
            for line in fold(why, room) {
                sheet.say(line, Tone::Warn);
            }
        }
        Ok(bar) => {
            for invariant in broken(source.told) {
                breach(&mut sheet, invariant, room);
            }
            all(&mut sheet, bar, room);
            seen(&mut sheet, bar);
        }
    }
    Some(("What must hold".to_owned(), sheet))
}

fn breach(sheet: &mut Sheet, invariant: &Invariant, room: u16) {
    let Verdict::Broken { text, first, second } = &invariant.verdict else {
        return;
    };
    sheet.heading(format!("{} was broken", invariant.id));
    for line in fold(text, room) {
        sheet.say(line, Tone::Bad);
    }
    let both = first.is_some();
    let events = [
        first.as_deref().map(|first| ("the event before", first)),
        Some((
            if both {
                "the event that cannot be beside it"
            } else {
                "the event"
            },
            second,
        )),
    ];
    for (label, words) in events.into_iter().flatten() {
        sheet.say(label, Tone::Dim);
        for line in fold(words, room.saturating_sub(2)) {
            sheet.say(format!("  {line}"), Tone::Plain);
        }
    }
}

fn all(sheet: &mut Sheet, bar: &Bar, room: u16) {
    sheet.heading(format!("The invariants, over {} events", count(bar.events)));
    for invariant in &bar.invariants {
        let (sign, tone, why) = match &invariant.verdict {
            Verdict::Holds => ("✔ holds    ", Tone::Good, None),
            Verdict::Unknown(why) => ("– not known", Tone::Dim, Some(why)),
            Verdict::Broken { .. } => ("✖ BROKEN   ", Tone::Bad, None),
        };
        let before = format!("  {:<4} {sign}  ", invariant.id);
        let indent = crate::measure::width(&before);
        for (i, line) in fold(&invariant.claim, room.saturating_sub(indent))
            .into_iter()
            .enumerate()
        {
            let label = if i == 0 { before.clone() } else { blank(indent) };
            sheet.lines.push(vec![(label, tone), (line, Tone::Plain)]);
        }
        for line in why
            .into_iter()
            .flat_map(|why| fold(why, room.saturating_sub(indent)))
        {
            sheet
                .lines
                .push(vec![(blank(indent), Tone::Dim), (line, Tone::Dim)]);
        }
    }
}

fn blank(width: u16) -> String {
    " ".repeat(usize::from(width))
}

/// What happened, then what did not.
fn seen(sheet: &mut Sheet, bar: &Bar) {
    sheet.heading("What happened meanwhile");
    let happened = bar.seen.iter().filter(|(_, times)| *times > 0);
    for (what, times) in happened.clone() {
        sheet.lines.push(vec![
            (format!("  {:>11}  ", format!("{}×", count(*times))), Tone::Strong),
            (what.clone(), Tone::Plain),
        ]);
    }
    for (what, _) in bar.seen.iter().filter(|(_, times)| *times == 0) {
        sheet.lines.push(vec![
            ("   not tested  ".to_owned(), Tone::Dim),
            (what.clone(), Tone::Dim),
        ]);
    }
    if bar.seen.is_empty() {
        sheet.say("nobody counts it", Tone::Dim);
    }
}
