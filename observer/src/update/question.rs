//! The steps of a question: asked, then Enter, or a reason typed and Enter, then what came of it. Never a single key, and never on
//! what is not what it was when it was asked.

use crate::console::Scenario;
use crate::dialog::Stage;
use crate::keymap::Action;
use crate::model::{Cmd, Model, Overlay};
use crate::question::{About, Question, Wish, running};
use crate::table::RowId;

use super::notice;

/// Asks before the selected scenario is run.
pub(super) fn run(model: &mut Model) {
    let Some(RowId::Scenario(name)) = model.selected() else {
        return;
    };
    let board = model.board();
    let mut offered = board.iter().flat_map(|board| &board.scenarios);
    let scenario: Option<Scenario> = offered.find(|scenario| scenario.name == *name).cloned();
    if let Some(scenario) = scenario {
        ask(model, About::Run(scenario));
    }
}

/// Asks before the run is ended.
pub(super) fn stop(model: &mut Model) {
    let runs = model.board().and_then(running).map(|run| run.scenario.clone());
    if let Some(name) = runs {
        ask(model, About::Stop(name));
    }
}

/// Asks for the reason why faults may act again.
pub(super) fn unlock(model: &mut Model) {
    ask(model, About::Unlock);
}

fn ask(model: &mut Model, about: About) {
    model.overlay = Overlay::Question(Box::new(Question::new(about)));
}

/// What was asked of the console was done, or not. A question that was closed meanwhile does not hide the answer.
pub(super) fn answered(model: &mut Model, wish: Wish, result: Result<String, String>) {
    model.dirty = true;
    match &mut model.overlay {
        Overlay::Question(question) if question.stage == Stage::Running && question.wish() == wish => {
            question.stage = Stage::Done(result);
            question.first = 0;
            super::refresh(model);
        }
        _ => {
            let bad = result.is_err();
            notice(model, wish.title(), &result.unwrap_or_else(|e| e), bad);
        }
    }
}

/// A key in a question.
pub(super) fn act(model: &mut Model, action: Action) -> Vec<Cmd> {
    let Overlay::Question(mut question) = std::mem::take(&mut model.overlay) else {
        return Vec::new();
    };
    let mut cmds = Vec::new();
    let stays = match question.stage.clone() {
        Stage::Confirm | Stage::Form => asked(model, &mut question, action, &mut cmds),
        Stage::Typing(text) | Stage::Writing(text) => typing(&mut question, text, action, &mut cmds),
        Stage::Running => action != Action::Close,
        Stage::Done(_) => false,
    };
    if stays {
        model.overlay = Overlay::Question(question);
    }
    cmds
}

/// Scrolls, does it, or leaves it.
fn asked(model: &Model, question: &mut Question, action: Action, cmds: &mut Vec<Cmd>) -> bool {
    let shown = model.prepared.asked.as_ref();
    let (first, rows, total) = shown.map_or((0, 1, 0), |v| (v.first, v.lines.len().max(1), v.total));
    let last = total.saturating_sub(rows);
    match action {
        Action::Up => question.first = first.saturating_sub(1),
        Action::Down => question.first = (first + 1).min(last),
        Action::PageUp => question.first = first.saturating_sub(rows),
        Action::PageDown => question.first = (first + rows).min(last),
        Action::Accept => accept(model, question, cmds),
        Action::Close => return false,
        _ => {}
    }
    true
}

fn accept(model: &Model, question: &mut Question, cmds: &mut Vec<Cmd>) {
    if let Some(why) = question.changed(model.board()) {
        question.stage = Stage::Done(Err(why));
        return;
    }
    question.stage = Stage::Running;
    match &question.about {
        About::Run(scenario) => cmds.push(Cmd::Run(scenario.name.clone())),
        About::Stop(_) => cmds.push(Cmd::Stop),
        // Its reason is typed.
        About::Unlock => {}
    }
}

/// A reason; without one nothing is sent.
fn typing(question: &mut Question, mut text: String, action: Action, cmds: &mut Vec<Cmd>) -> bool {
    match action {
        Action::Accept if text.trim().is_empty() => question.wanting = true,
        Action::Accept => {
            cmds.push(Cmd::Unlock(text.trim().to_owned()));
            question.stage = Stage::Running;
        }
        Action::Erase | Action::EraseAll => {
            super::typing::erase(&mut text, action);
            question.stage = Stage::Typing(text);
        }
        Action::Close => return false,
        _ => {}
    }
    true
}
