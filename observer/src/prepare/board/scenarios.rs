//! The scenarios that the console can run, what the selected one teaches, and the run that goes on or was the last.
//!
//! What does not live here: the question before a run (`question`), and the page of a scenario (`page/scenario`).

use ratatui::layout::Rect;

use super::first;
use crate::console::{Run, Scenario};
use crate::layout::chaos::ChaosParts;
use crate::measure::{self, fit, fold};
use crate::prepare::Told;
use crate::prepare::page::Piece;
use crate::table::RowId;
use crate::theme::Tone;

/// A line of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioLine {
    /// Name.
    pub name: String,
    /// How its run stands, where the last one was of it.
    pub state: Option<Piece>,
    /// It is selected.
    pub selected: bool,
}

/// What is said beside the list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Side {
    /// Where.
    pub area: Rect,
    /// What it is about.
    pub title: String,
    /// What can be done, or that something is left out.
    pub note: String,
    /// Its lines.
    pub lines: Vec<Vec<Piece>>,
    /// It changes while a run goes on: its age counts.
    pub aged: bool,
}

/// The names in the list: what is offered, and what runs although nobody offers it.
pub(super) fn names(told: Option<Told<'_>>) -> Vec<&str> {
    let Some(told) = told else { return Vec::new() };
    let mut names: Vec<&str> = told.board.scenarios.iter().map(|s| s.name.as_str()).collect();
    if let Some(run) = &told.board.run
        && !names.contains(&run.scenario.as_str())
    {
        names.push(&run.scenario);
    }
    names
}

/// Columns that a line of the list takes.
pub(super) fn width(told: Option<Told<'_>>, name: &str) -> u16 {
    let of = run_of(told, name).map(state);
    let state = of.map_or(0, |(words, _)| measure::width(&words) + 2);
    measure::width(name).saturating_add(state)
}

/// The run, where it is of that scenario.
pub(in crate::prepare) fn run_of<'a>(told: Option<Told<'a>>, name: &str) -> Option<&'a Run> {
    let run = told.and_then(|told| told.board.run.as_ref());
    run.filter(|run| run.scenario == name)
}

/// How a run stands: a sign and a word.
pub(in crate::prepare) fn state(run: &Run) -> Piece {
    match run.ended.as_deref() {
        None => ("● runs".to_owned(), Tone::Accent),
        Some("passed") => ("✔ passed".to_owned(), Tone::Good),
        Some("failed") => ("✖ failed".to_owned(), Tone::Bad),
        Some("halted") => ("■ halted".to_owned(), Tone::Warn),
        Some("unknown") => ("– unknown".to_owned(), Tone::Warn),
        Some(other) => (format!("▲ {other}"), Tone::Warn),
    }
}

/// The lines of the list that show, and which those are.
pub(super) fn window(
    told: Option<Told<'_>>,
    names: &[&str],
    id: Option<&RowId>,
    area: Rect,
) -> (Vec<ScenarioLine>, String) {
    let height = usize::from(area.height.saturating_sub(2));
    let is_selected = |name: &str| matches!(id, Some(RowId::Scenario(selected)) if selected == name);
    let selected = names.iter().position(|name| is_selected(name));
    let first = first(selected, height);
    let shown = names.iter().skip(first).take(height);
    let shown: Vec<ScenarioLine> = shown
        .map(|name| ScenarioLine {
            name: (*name).to_owned(),
            state: run_of(told, name).map(state),
            selected: is_selected(name),
        })
        .collect();
    let note = if shown.len() < names.len() {
        format!("{}–{} of {}", first + 1, first + shown.len(), names.len())
    } else {
        names.len().to_string()
    };
    (shown, note)
}

/// What stands beside the list: the run, what the selected one teaches, or both. The selected one's own run comes before what it
/// teaches.
pub(super) fn sides(told: Option<Told<'_>>, id: Option<&RowId>, parts: &ChaosParts) -> Vec<Side> {
    let Some(board) = told.map(|told| told.board) else {
        return Vec::new();
    };
    let selected = match id {
        Some(RowId::Scenario(name)) => Some(name.as_str()),
        _ => None,
    };
    let run = board.run.as_ref();
    let shown = selected.or(run.map(|run| run.scenario.as_str()));
    let of = |name: &str| board.scenarios.iter().find(|s| s.name == name);
    let teaches = |area| match shown {
        Some(name) => of(name).map(|scenario| teaching(scenario, area, selected.is_some())),
        None => Some(about(area)),
    };
    let ran = |area| run.map(|run| running(run, area));
    let own = selected.is_none() || run.is_some_and(|run| Some(run.scenario.as_str()) == selected);
    let first = if parts.second.is_empty() && own {
        ran(parts.side).or_else(|| teaches(parts.side))
    } else {
        teaches(parts.side)
    };
    let second = (!parts.second.is_empty()).then(|| ran(parts.second)).flatten();
    first.into_iter().chain(second).collect()
}

/// Columns of a box that are not its text: borders, and a blank at each side.
const AROUND: u16 = 4;

fn room(area: Rect) -> (u16, usize) {
    let height = usize::from(area.height.saturating_sub(2));
    (area.width.saturating_sub(AROUND), height)
}

/// What a scenario teaches, and its steps.
pub(in crate::prepare) fn lesson(scenario: &Scenario, width: u16) -> Vec<Vec<Piece>> {
    let plain = |line: String| vec![(line, Tone::Plain)];
    let mut lines: Vec<Vec<Piece>> = fold(&scenario.teaches, width).into_iter().map(plain).collect();
    lines.push(vec![("Steps".to_owned(), Tone::Head)]);
    for step in &scenario.steps {
        for (i, line) in fold(step, width.saturating_sub(2)).into_iter().enumerate() {
            let mark = if i == 0 { "· " } else { "  " };
            lines.push(vec![(mark.to_owned(), Tone::Dim), (line, Tone::Plain)]);
        }
    }
    if scenario.steps.is_empty() {
        lines.push(vec![("none".to_owned(), Tone::Dim)]);
    }
    lines
}

/// What scenarios are, where none is selected.
fn about(area: Rect) -> Side {
    let (width, height) = room(area);
    let words = "Each breaks something on this cluster, and judges what comes of it. Select one: what it teaches stands here, and it \
                 can be run.";
    let lines = fold(words, width).into_iter().take(height);
    Side {
        area,
        title: "None selected".to_owned(),
        lines: lines.map(|line| vec![(line, Tone::Dim)]).collect(),
        ..Side::default()
    }
}

fn teaching(scenario: &Scenario, area: Rect, selected: bool) -> Side {
    let (width, height) = room(area);
    let mut lines = lesson(scenario, width);
    let cut = lines.len() > height;
    let note = if cut && selected { "Enter shows all" } else { "" };
    lines.truncate(height);
    Side {
        area,
        title: scenario.name.clone(),
        note: note.to_owned(),
        lines,
        aged: false,
    }
}

/// A run: how it stands and where its report is, then the newest of what was told of it, as far as there is room.
fn running(run: &Run, area: Rect) -> Side {
    let (width, height) = room(area);
    let mut lines = vec![vec![state(run)]];
    if let Some(report) = &run.report {
        let report = fold(&format!("report {report}"), width);
        lines.extend(report.into_iter().map(|line| vec![(line, Tone::Accent)]));
    }
    // The state and something of what was told fit into the smallest box.
    lines.truncate(height.saturating_sub(1).max(1));
    let left = height.saturating_sub(lines.len());
    lines.extend(newest(&run.lines, width, left));
    Side {
        area,
        title: format!("Run of {}", run.scenario),
        note: String::new(),
        lines,
        aged: true,
    }
}

/// The newest lines as far as there is room: in full, or cut where there is hardly any.
fn newest(all: &[String], width: u16, left: usize) -> Vec<Vec<Piece>> {
    let folded = |line: &String| {
        if left <= FEW {
            vec![fit(line, width.saturating_sub(2)).into_owned()]
        } else {
            fold(line, width.saturating_sub(4))
        }
    };
    let mut shown: Vec<Vec<Piece>> = Vec::new();
    for line in all.iter().rev() {
        let lines = folded(line);
        if shown.len() + lines.len() > left {
            break;
        }
        let marked = lines.into_iter().enumerate().map(|(i, line)| {
            let mark = if i == 0 { "  " } else { "    " };
            vec![(mark.to_owned(), Tone::Dim), (line, Tone::Plain)]
        });
        shown.splice(0..0, marked);
    }
    shown
}

/// Rows in which lines are cut, so that more than one of them shows.
const FEW: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(word: Option<&str>) -> Run {
        Run {
            scenario: "bridge".to_owned(),
            ended: word.map(str::to_owned),
            lines: (0..9).map(|i| format!("line {i}")).collect(),
            report: word.map(|_| "chaos-report-1/report.html".to_owned()),
        }
    }

    fn text(side: &Side) -> Vec<String> {
        let line = |row: &Vec<Piece>| row.iter().map(|(text, _)| text.as_str()).collect();
        side.lines.iter().map(line).collect()
    }

    #[test]
    fn the_newest_lines_of_a_run_show_under_its_state_and_its_report() {
        let goes_on = running(&ended(None), Rect::new(0, 0, 40, 5));
        assert_eq!(text(&goes_on), ["● runs", "  line 7", "  line 8"]);
        let over = running(&ended(Some("failed")), Rect::new(0, 0, 40, 6));
        assert_eq!(
            text(&over),
            [
                "✖ failed",
                "report chaos-report-1/report.html",
                "  line 7",
                "  line 8"
            ]
        );
        assert_eq!(text(&running(&ended(None), Rect::new(0, 0, 9, 3))), ["● runs"]);
    }

    #[test]
    fn every_end_has_a_sign_of_its_own() {
        let mut signs: Vec<String> = [
            None,
            Some("passed"),
            Some("failed"),
            Some("halted"),
            Some("unknown"),
            Some("new"),
        ]
        .map(|word| state(&ended(word)).0)
        .to_vec();
        assert_eq!(signs.last().map(String::as_str), Some("▲ new"), "shown as it is");
        signs.dedup_by_key(|sign| sign.chars().next());
        assert_eq!(signs.len(), 6);
    }
}
