//! A question before something is done, cut to what shows of it: what it is about in full, then what is asked or what came of it.
//!
//! What does not live here: how the question stands (`question`), and drawing.

use ratatui::layout::Rect;

use super::board::scenarios::lesson;
use super::page::Piece;
use crate::dialog::Stage;
use crate::measure::fold;
use crate::model::{Model, Overlay};
use crate::question::{About, Question};
use crate::theme::Tone;

/// What is drawn of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Where it may stand.
    pub size: (u16, u16),
    /// Title.
    pub title: String,
    /// The lines that show of what it is about.
    pub lines: Vec<Vec<Piece>>,
    /// The first of them.
    pub first: usize,
    /// Lines there are.
    pub total: usize,
    /// What is asked, typed, or what came of it.
    pub foot: Vec<Vec<Piece>>,
}

impl Asked {
    /// Some of it is out of sight.
    #[must_use]
    pub fn scrolls(&self) -> bool {
        self.lines.len() < self.total
    }
}

/// Columns of the box.
const WIDTH: u16 = 76;
/// Columns of it that are not its text: borders, and a blank at each side.
const AROUND: u16 = 4;
/// Rows of it that are neither: borders, a blank, and the keys.
const EXTRA: u16 = 4;
/// Rows that an answer may take.
const ANSWER_ROWS: usize = 6;

/// Prepares the question that is open, if one is, for a room of that size.
pub(super) fn prepare(model: &Model, over: Rect) -> Option<Asked> {
    let Overlay::Question(question) = &model.overlay else {
        return None;
    };
    let width = WIDTH.min(over.width);
    let text = width.saturating_sub(AROUND);
    let (title, lines) = about(question, text);
    let foot = foot(question, text);
    let total = lines.len();
    let around = EXTRA.saturating_add(u16::try_from(foot.len()).unwrap_or(u16::MAX));
    let height = usize::from(over.height.saturating_sub(around)).max(1);
    let first = question.first.min(total.saturating_sub(height));
    let lines: Vec<Vec<Piece>> = lines.into_iter().skip(first).take(height).collect();
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    Some(Asked {
        size: (width, rows.saturating_add(around).min(over.height)),
        title,
        lines,
        first,
        total,
        foot,
    })
}

fn about(question: &Question, width: u16) -> (String, Vec<Vec<Piece>>) {
    let said = |words: &str| {
        let lines = fold(words, width).into_iter();
        lines.map(|line| vec![(line, Tone::Plain)]).collect()
    };
    match &question.about {
        About::Run(scenario) => (
            format!("Run {} on this cluster", scenario.name),
            lesson(scenario, width),
        ),
        About::Stop(name) => (
            format!("Stop the run of {name}"),
            said("Its faults are undone, and what it was to show is not known."),
        ),
        About::Unlock => (
            "Unlock".to_owned(),
            said(
                "After a halt the nodes refuse new faults until somebody says why it is safe to go on. The reason is kept with \
                 the nodes' events.",
            ),
        ),
    }
}

fn foot(question: &Question, width: u16) -> Vec<Vec<Piece>> {
    match &question.stage {
        Stage::Form | Stage::Confirm => {
            let ask = match &question.about {
                About::Run(_) => "It breaks things on this cluster. Enter runs it.",
                About::Stop(_) | About::Unlock => "Enter ends it.",
            };
            vec![vec![(ask.to_owned(), Tone::Bad)]]
        }
        Stage::Typing(text) | Stage::Writing(text) => typed(text, question.wanting, width),
        Stage::Running => vec![vec![("Being carried out …".to_owned(), Tone::Warn)]],
        Stage::Done(result) => {
            let (mark, text, tone) = match result {
                Ok(text) => ("✔ ", text, Tone::Good),
                Err(text) => ("✖ ", text, Tone::Bad),
            };
            let lines = fold(text, width.saturating_sub(2)).into_iter().take(ANSWER_ROWS);
            let marked = lines.enumerate().map(|(i, line)| {
                let mark = if i == 0 { mark } else { "  " };
                vec![(mark.to_owned(), tone), (line, tone)]
            });
            marked.collect()
        }
    }
}

/// What is typed: its end, where all of it has no room.
fn typed(text: &str, wanting: bool, width: u16) -> Vec<Vec<Piece>> {
    const LABEL: &str = "reason: ";
    let room = usize::from(width).saturating_sub(LABEL.len() + 2);
    let beyond = text.chars().count().saturating_sub(room);
    let end: String = text.chars().skip(beyond).collect();
    let (note, tone) = if wanting {
        ("Nothing is sent without a reason.", Tone::Bad)
    } else {
        ("Enter sends it.", Tone::Dim)
    };
    vec![
        vec![
            (LABEL.to_owned(), Tone::Dim),
            (end, Tone::Strong),
            ("▏".to_owned(), Tone::Strong),
        ],
        vec![(note.to_owned(), tone)],
    ]
}
