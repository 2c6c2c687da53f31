//! How messages change the model. Pure and total: every message is taken in every state, and what is to
//! be done outside comes back as commands. What does not live here: the dialog's own steps (`chaos.rs`).

mod chaos;

use crossterm::event::KeyEvent;
use squall_filter::Filter;

use crate::clean;
use crate::dialog::Stage;
use crate::keymap::{self, Action, Context};
use crate::limits::TYPED_CHARS_MAX;
use crate::model::{Cmd, Frozen, Message, Model, Overlay, Screen};
use crate::prepare::{self, prepare};
use crate::table::{Motion, Sort};

/// Takes one message in.
pub fn update(model: &mut Model, message: Message) -> Vec<Cmd> {
    match message {
        Message::Tick(now) => {
            model.now = model.now.max(now);
            let now = model.now;
            model.live.sample(now);
            refresh(model);
            Vec::new()
        }
        Message::Fed(updates) => {
            for update in updates {
                model.live.apply(model.now, update);
            }
            Vec::new()
        }
        Message::Key(event) => {
            let before = model.wants();
            let mut cmds = key(model, &event);
            settle_filter(model);
            let wants = model.wants();
            if wants != before {
                cmds.push(Cmd::Want(wants));
            }
            refresh(model);
            model.dirty = true;
            cmds
        }
        Message::Resize(width, height) => {
            model.size = (width, height);
            refresh(model);
            model.dirty = true;
            Vec::new()
        }
        Message::Previewed(radius) => {
            chaos::previewed(model, radius);
            Vec::new()
        }
        Message::Fired(result) => {
            chaos::fired(
                model,
                result
                    .map(|t| clean::text(&t))
                    .map_err(|e| clean::text(&e.to_string())),
            );
            Vec::new()
        }
        Message::Halted(result) => {
            let (text, bad) = match result {
                Ok(text) => (text, false),
                Err(error) => (error.to_string(), true),
            };
            notice(model, "Halt", &text, bad);
            Vec::new()
        }
        Message::Status(line) => {
            let line = clean::text(&line);
            model.dirty |= model.status.as_ref() != Some(&line);
            model.status = Some(line);
            Vec::new()
        }
    }
}

/// The context keys are read in.
#[must_use]
pub fn context(model: &Model) -> Context {
    match &model.overlay {
        Overlay::None => Context::Main,
        Overlay::Help => Context::Help,
        Overlay::Filter(_) => Context::Filter,
        Overlay::Notice { .. } => Context::Done,
        Overlay::Chaos(dialog) => match dialog.stage {
            Stage::Form => Context::Form,
            Stage::Typing(_) => Context::Typing,
            Stage::Confirm => Context::Confirm,
            Stage::Running | Stage::Done(_) => Context::Done,
        },
    }
}

/// Prepares anew what is drawn; the screen is dirty only when that is something else.
fn refresh(model: &mut Model) {
    let before = std::mem::take(&mut model.prepared);
    prepare(model);
    model.dirty |= before != model.prepared;
}

fn key(model: &mut Model, event: &KeyEvent) -> Vec<Cmd> {
    let context = context(model);
    let Some(action) = keymap::action(context, event) else {
        if let Some(c) = keymap::typed(event) {
            type_char(model, c);
        }
        return Vec::new();
    };
    if action == Action::Quit {
        return vec![Cmd::Quit];
    }
    match context {
        Context::Main => main(model, action),
        Context::Filter => filter(model, action),
        Context::Help => {
            model.overlay = Overlay::None;
            Vec::new()
        }
        Context::Form | Context::Typing | Context::Confirm | Context::Done => chaos::act(model, action),
    }
}

fn main(model: &mut Model, action: Action) -> Vec<Cmd> {
    let motion = match action {
        Action::Show(screen) => return show(model, screen),
        Action::NextScreen => return show(model, neighbour(model.screen, 1)),
        Action::PreviousScreen => return show(model, neighbour(model.screen, -1)),
        Action::SortLeft => return sort(model, SortStep::Left),
        Action::SortRight => return sort(model, SortStep::Right),
        Action::SortInvert => return sort(model, SortStep::Invert),
        Action::Chaos => return chaos::open(model),
        Action::HaltAll => return chaos::halt(model),
        Action::Freeze => {
            freeze(model);
            Motion::Stay
        }
        Action::Filter => {
            model.overlay = Overlay::Filter(model.pane().filter_text.clone());
            Motion::Stay
        }
        Action::Help => {
            model.overlay = Overlay::Help;
            Motion::Stay
        }
        Action::Close => {
            set_filter(model, String::new());
            Motion::Stay
        }
        Action::Up => Motion::By(-1),
        Action::Down => Motion::By(1),
        Action::PageUp => Motion::Pages(-1),
        Action::PageDown => Motion::Pages(1),
        Action::First => Motion::First,
        Action::Last => Motion::Last,
        Action::Left | Action::Right => {
            let by = if action == Action::Left { -1 } else { 1 };
            prepare::move_sideways(model, by);
            Motion::Stay
        }
        Action::Accept | Action::Erase | Action::EraseAll | Action::Quit => Motion::Stay,
    };
    model.pane_mut().cursor.motion = motion;
    Vec::new()
}

fn show(model: &mut Model, screen: Screen) -> Vec<Cmd> {
    model.screen = screen;
    Vec::new()
}

/// Nodes are told of a filter when it is typed to its end: each one that they are told of costs them a whole picture.
fn settle_filter(model: &mut Model) {
    let typing = matches!(model.overlay, Overlay::Filter(_));
    let pane = model.pane_mut();
    if !typing && pane.filter_error.is_none() && pane.filter_sent != pane.filter_text {
        pane.filter_sent.clone_from(&pane.filter_text);
    }
}

fn neighbour(screen: Screen, by: isize) -> Screen {
    let count = Screen::ALL.len() as isize;
    Screen::ALL[(screen as isize + by).rem_euclid(count) as usize]
}

fn freeze(model: &mut Model) {
    model.frozen = match model.frozen.take() {
        Some(_) => None,
        None => Some(Frozen {
            cluster: model.live.clone(),
            at: model.now,
        }),
    };
}

#[derive(Clone, Copy)]
enum SortStep {
    Left,
    Right,
    Invert,
}

fn sort(model: &mut Model, step: SortStep) -> Vec<Cmd> {
    let (columns, own) = prepare::columns(model.screen);
    let Some(own) = own else { return Vec::new() };
    let current = model.pane().sort.unwrap_or(own);
    let count = columns.len();
    let column = match step {
        SortStep::Left => (current.column + count - 1) % count,
        SortStep::Right => (current.column + 1) % count,
        SortStep::Invert => current.column,
    };
    let descending = match step {
        SortStep::Invert => !current.descending,
        // Numbers are asked for from the top, words from A.
        _ => columns[column].align == crate::table::Align::Right,
    };
    model.pane_mut().sort = Some(Sort { column, descending });
    Vec::new()
}

fn filter(model: &mut Model, action: Action) -> Vec<Cmd> {
    match action {
        Action::Close => {
            set_filter(model, String::new());
            model.overlay = Overlay::None;
        }
        Action::Accept => {
            model.overlay = Overlay::None;
            return Vec::new();
        }
        Action::Erase | Action::EraseAll => {
            let mut text = model.pane().filter_text.clone();
            erase(&mut text, action);
            typed_filter(model, text);
        }
        _ => {}
    }
    Vec::new()
}

fn type_char(model: &mut Model, c: char) {
    match &mut model.overlay {
        Overlay::Filter(text) if text.chars().count() < TYPED_CHARS_MAX => {
            let mut text = std::mem::take(text);
            text.push(c);
            typed_filter(model, text);
        }
        Overlay::Chaos(dialog) => {
            if let Stage::Typing(text) = &mut dialog.stage
                && text.chars().count() < TYPED_CHARS_MAX
            {
                text.push(c);
            }
        }
        Overlay::None | Overlay::Help | Overlay::Filter(_) | Overlay::Notice { .. } => {}
    }
}

fn typed_filter(model: &mut Model, text: String) {
    set_filter(model, text.clone());
    model.overlay = Overlay::Filter(text);
}

/// A text that is no filter yet, such as a lone `!`, keeps the filter before it, and says why it is none.
fn set_filter(model: &mut Model, text: String) {
    let fields = prepare::fields(model.screen);
    let pane = model.pane_mut();
    match Filter::parse(&text, &fields) {
        Ok(filter) => (pane.filter, pane.filter_error) = (filter, None),
        Err(error) => pane.filter_error = Some(clean::text(&error.to_string())),
    }
    pane.filter_text = text;
}

fn erase(text: &mut String, action: Action) {
    if action == Action::EraseAll {
        text.clear();
    } else {
        text.pop();
    }
}

fn notice(model: &mut Model, title: &str, text: &str, bad: bool) {
    model.overlay = Overlay::Notice {
        title: title.to_owned(),
        text: clean::text(text),
        bad,
    };
    model.dirty = true;
}

#[cfg(test)]
#[path = "update_test.rs"]
mod tests;
