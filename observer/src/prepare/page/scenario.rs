//! The page of a scenario: what it teaches, its steps, and its run where the last one was of it.

use super::{Sheet, Source};
use crate::console::Run;
use crate::measure::fold;
use crate::prepare::board::scenarios::{lesson, run_of, state};
use crate::theme::Tone;

pub(super) fn sheet(source: Source<'_>, name: &str) -> Option<(String, Sheet)> {
    let room = source.body.width.saturating_sub(7);
    let offered = source.told?.board.scenarios.iter().find(|s| s.name == name);
    let ran = run_of(source.told, name);
    if offered.is_none() && ran.is_none() {
        return None;
    }
    let mut sheet = Sheet::default();
    if let Some(run) = ran {
        stands(&mut sheet, run, room);
    }
    if let Some(scenario) = offered {
        sheet.heading("What it teaches");
        for mut line in lesson(scenario, room) {
            line.insert(0, ("  ".to_owned(), Tone::Plain));
            sheet.lines.push(line);
        }
    }
    if let Some(run) = ran {
        told(&mut sheet, run, room);
    }
    Some((format!("Scenario {name}"), sheet))
}

fn stands(sheet: &mut Sheet, run: &Run, room: u16) {
    sheet.heading(match run.ended {
        Some(_) => "Its last run",
        None => "Its run",
    });
    let (words, tone) = state(run);
    sheet.say(words, tone);
    let report = run.report.iter();
    for line in report.flat_map(|report| fold(&format!("report {report}"), room)) {
        sheet.say(line, Tone::Accent);
    }
}

/// The newest come last, as they came: the end of the page is where a run goes on.
fn told(sheet: &mut Sheet, run: &Run, room: u16) {
    sheet.heading("What was told of the run");
    for line in &run.lines {
        for (i, line) in fold(line, room.saturating_sub(2)).into_iter().enumerate() {
            let indent = if i == 0 { "" } else { "  " };
            sheet.say(format!("{indent}{line}"), Tone::Plain);
        }
    }
    if run.lines.is_empty() {
        sheet.say("nothing yet", Tone::Dim);
    }
}
