//! What is typed: filters, and commands.
//!
//! What does not live here: what they mean (the filter language, `palette`).

use std::sync::Arc;

use squall_filter::Filter;

use super::{going, main, notice};
use crate::clean;
use crate::dialog::Stage;
use crate::keymap::Action;
use crate::limits::TYPED_CHARS_MAX;
use crate::model::{Cmd, Model, Overlay};
use crate::palette::{Command, Palette};
use crate::prepare;
use crate::table::{Align, Sort};
use crate::units::stamp;

/// A character that is no key.
pub(super) fn character(model: &mut Model, c: char) {
    match &mut model.overlay {
        Overlay::Filter(text) if text.chars().count() < TYPED_CHARS_MAX => {
            let mut text = std::mem::take(text);
            text.push(c);
            typed_filter(model, text);
        }
        Overlay::Palette(palette) if palette.text.chars().count() < TYPED_CHARS_MAX => {
            palette.text.push(c);
            palette.chosen = 0;
        }
        Overlay::Chaos(dialog) => {
            if let Stage::Typing(text) | Stage::Writing(text) = &mut dialog.stage
                && text.chars().count() < TYPED_CHARS_MAX
            {
                text.push(c);
            }
        }
        Overlay::Question(question) => {
            if let Stage::Typing(text) = &mut question.stage
                && text.chars().count() < TYPED_CHARS_MAX
            {
                text.push(c);
                question.wanting = false;
            }
        }
        Overlay::None
        | Overlay::Help(_)
        | Overlay::Filter(_)
        | Overlay::Palette(_)
        | Overlay::Notice { .. } => {}
    }
}

/// Takes characters back.
pub(super) fn erase(text: &mut String, action: Action) {
    if action == Action::EraseAll {
        text.clear();
    } else {
        text.pop();
    }
}

/// Begins with the filter that there is, or with one that leaves out.
pub(super) fn open_filter(model: &mut Model, inverted: bool) {
    let text = if inverted {
        "!".to_owned()
    } else {
        model.pane().filter_text.clone()
    };
    model.overlay = Overlay::Filter(text);
}

/// A key while a filter is typed.
pub(super) fn filter(model: &mut Model, action: Action) -> Vec<Cmd> {
    match action {
        Action::Close => {
            clear_filter(model);
            model.overlay = Overlay::None;
        }
        Action::Accept => model.overlay = Overlay::None,
        Action::Erase | Action::EraseAll => {
            let mut text = match &model.overlay {
                Overlay::Filter(text) => text.clone(),
                _ => String::new(),
            };
            erase(&mut text, action);
            typed_filter(model, text);
        }
        _ => {}
    }
    Vec::new()
}

/// Everything is shown again.
pub(super) fn clear_filter(model: &mut Model) {
    set_filter(model, String::new());
}

/// Nodes are told of a filter when it is typed to its end: each one that they are told of costs them a whole picture.
pub(super) fn settle(model: &mut Model) {
    let typing = matches!(model.overlay, Overlay::Filter(_));
    let pane = model.pane_mut();
    if !typing && pane.filter_error.is_none() && pane.filter_sent != pane.filter_text {
        pane.filter_sent.clone_from(&pane.filter_text);
    }
}

fn typed_filter(model: &mut Model, text: String) {
    set_filter(model, text.clone());
    model.overlay = Overlay::Filter(text);
}

/// A text that is no filter yet, such as a lone `!`, keeps the filter before it, and says why it is none.
pub(super) fn set_filter(model: &mut Model, text: String) {
    let fields = prepare::fields(model.screen);
    let pane = model.pane_mut();
    match Filter::parse(&text, &fields) {
        Ok(filter) => (pane.filter, pane.filter_error) = (filter, None),
        Err(error) => pane.filter_error = Some(clean::text(&error.to_string())),
    }
    pane.filter_text = text;
}

/// The list of commands, with something typed already.
pub(super) fn open_palette(model: &mut Model, text: String) {
    model.overlay = Overlay::Palette(Palette::with(text));
}

/// A file's name to save the view under; its ending says in which form.
pub(super) fn open_save(model: &mut Model) {
    let at = model.shown().1;
    open_palette(
        model,
        format!("save squall-{}-{}.svg", model.screen.word(), stamp(at.0)),
    );
}

/// A key while a command is typed.
pub(super) fn palette(model: &mut Model, action: Action) -> Vec<Cmd> {
    let keymap = Arc::clone(&model.keymap);
    let Overlay::Palette(palette) = &mut model.overlay else {
        return Vec::new();
    };
    match action {
        Action::Close => model.overlay = Overlay::None,
        Action::Up => palette.chosen = palette.chosen.saturating_sub(1),
        Action::Down => {
            let last = palette.fitting(&keymap).len().saturating_sub(1);
            palette.chosen = (palette.chosen + 1).min(last);
        }
        Action::Complete => palette.complete(&keymap),
        Action::Erase | Action::EraseAll => {
            erase(&mut palette.text, action);
            palette.chosen = 0;
        }
        Action::Accept => {
            let command = palette.command(&keymap);
            model.overlay = Overlay::None;
            return match command {
                Ok(command) => carry_out(model, command),
                Err(why) => {
                    notice(model, "Command", &why, true);
                    Vec::new()
                }
            };
        }
        _ => {}
    }
    Vec::new()
}

fn carry_out(model: &mut Model, command: Command) -> Vec<Cmd> {
    match command {
        Command::Do(Action::Quit) => return vec![Cmd::Quit],
        Command::Do(action) => return main(model, action),
        Command::Save(file) => return vec![Cmd::Save(file)],
        Command::Theme(colours) => return vec![Cmd::Theme(colours)],
        Command::Filter(text) => {
            leave_page(model);
            set_filter(model, text);
            if let Some(why) = model.pane().filter_error.clone() {
                notice(model, "Filter", &why, true);
            }
        }
        Command::Goto(name) => {
            leave_page(model);
            going::to(model, &name);
        }
        Command::Sort(word) => sort_by(model, &word),
    }
    Vec::new()
}

/// What is about rows needs them in sight.
fn leave_page(model: &mut Model) {
    if model.page.is_some() {
        model.open(model.screen);
    }
}

fn sort_by(model: &mut Model, word: &str) {
    let (columns, own) = prepare::columns(model.screen);
    let is_called = |title: &str| title.replace(' ', "-").eq_ignore_ascii_case(word);
    match columns.iter().position(|c| is_called(c.title)) {
        Some(column) if own.is_some() => {
            let descending = columns[column].align == Align::Right;
            model.pane_mut().sort = Some(Sort { column, descending });
        }
        _ => {
            let known: Vec<String> = columns.iter().map(|c| c.title.replace(' ', "-")).collect();
            let why = if own.is_none() || known.is_empty() {
                "This view has an order of its own.".to_owned()
            } else {
                format!("There is no column '{word}'; there are {}.", known.join(", "))
            };
            notice(model, "Sort", &why, true);
        }
    }
}

/// Sorts by a column: numbers are asked for from the top, words from A. The same column again turns the order round.
pub(super) fn sort_by_column(model: &mut Model, column: usize) {
    let (columns, own) = prepare::columns(model.screen);
    let (Some(own), Some(of)) = (own, columns.get(column)) else {
        return;
    };
    let current = model.pane().sort.unwrap_or(own);
    let descending = if current.column == column {
        !current.descending
    } else {
        of.align == Align::Right
    };
    model.pane_mut().sort = Some(Sort { column, descending });
}
