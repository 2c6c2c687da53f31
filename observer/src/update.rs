//! How messages change the model. Pure and total: every message is taken in every state, and what is to
//! be done outside comes back as commands. What does not live here: the dialog's own steps (`chaos`), what is typed (`typing`),
//! going back in time (`travel`), going from row to row (`going`), and the mouse (`pointing`).

mod chaos;
mod going;
mod pointing;
mod tracing;
mod travel;
mod typing;

use std::sync::Arc;

use crossterm::event::KeyEvent;

use crate::clean;
use crate::dialog::Stage;
use crate::keymap::{self, Action, Context};
use crate::model::{Cmd, Message, Model, Overlay, Screen};
use crate::prepare::{self, prepare};
use crate::table::{Align, Motion, Sort};

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
            model.history.push(model.now, &updates, &model.live);
            for update in updates {
                model.live.apply(model.now, update);
            }
            Vec::new()
        }
        Message::Key(event) => acted(model, |model| key(model, &event)),
        Message::Mouse(event) => acted(model, |model| pointing::mouse(model, event)),
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
        Message::ReplayEnded(how) => {
            if let Some(replay) = &mut model.replay {
                replay.ended = Some(how);
            }
            model.dirty = true;
            Vec::new()
        }
        Message::RecordingFailed(why) => {
            model.recording = false;
            notice(model, "Recording", &why, true);
            Vec::new()
        }
        Message::Saved(result) => told(model, "Save", result),
        Message::Copied(result) => told(model, "Copy", result),
        Message::Traced(spans) => {
            model.traces.store.insert(spans);
            Vec::new()
        }
        Message::Sourced(sources) => {
            model.traces.sources = sources;
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

fn told(model: &mut Model, title: &str, result: Result<String, String>) -> Vec<Cmd> {
    let bad = result.is_err();
    let (Ok(text) | Err(text)) = result;
    notice(model, title, &text, bad);
    Vec::new()
}

/// What the user does: nodes are told when something else is wanted by that.
fn acted(model: &mut Model, act: impl FnOnce(&mut Model) -> Vec<Cmd>) -> Vec<Cmd> {
    let before = model.wants();
    let mut cmds = act(model);
    typing::settle(model);
    let wants = model.wants();
    if wants != before {
        cmds.push(Cmd::Want(wants));
    }
    refresh(model);
    model.dirty = true;
    cmds
}

/// The context keys are read in.
#[must_use]
pub fn context(model: &Model) -> Context {
    match &model.overlay {
        Overlay::None => Context::Main,
        Overlay::Help => Context::Help,
        Overlay::Filter(_) => Context::Filter,
        Overlay::Palette(_) => Context::Palette,
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
    let keymap = Arc::clone(&model.keymap);
    let Some(action) = keymap.action(context, event) else {
        if let Some(c) = keymap::typed(event) {
            typing::character(model, c);
        }
        return Vec::new();
    };
    if action == Action::Quit {
        return vec![Cmd::Quit];
    }
    match context {
        Context::Main => main(model, action),
        Context::Filter => typing::filter(model, action),
        Context::Palette => typing::palette(model, action),
        Context::Help => {
            model.overlay = Overlay::None;
            Vec::new()
        }
        Context::Form | Context::Typing | Context::Confirm | Context::Done => chaos::act(model, action),
    }
}

fn main(model: &mut Model, action: Action) -> Vec<Cmd> {
    let motion = match action {
        Action::Up => Motion::By(-1),
        Action::Down => Motion::By(1),
        Action::PageUp => Motion::Pages(-1),
        Action::PageDown => Motion::Pages(1),
        Action::First => Motion::First,
        Action::Last => Motion::Last,
        _ => Motion::Stay,
    };
    match &mut model.page {
        Some(page) => page.motion = motion,
        None => model.pane_mut().cursor.motion = motion,
    }
    match action {
        Action::Show(screen) => model.open(screen),
        Action::NextScreen => model.open(neighbour(model.screen, 1)),
        Action::PreviousScreen => model.open(neighbour(model.screen, -1)),
        Action::Open => return going::open(model),
        Action::SortLeft => sort(model, SortStep::Left),
        Action::SortRight => sort(model, SortStep::Right),
        Action::SortInvert => sort(model, SortStep::Invert),
        Action::Totals => model.pane_mut().totals ^= true,
        Action::Chaos => return chaos::open(model),
        Action::HaltAll => return chaos::halt(model),
        Action::Freeze => return travel::freeze(model),
        Action::StepBack => travel::step(model, -1),
        Action::StepOn => return travel::step_on(model),
        Action::Faster => return travel::speed(model, 1),
        Action::Slower => return travel::speed(model, -1),
        Action::EventBack => travel::to_event(model, -1),
        Action::EventOn => travel::to_event(model, 1),
        Action::Live => model.frozen = None,
        Action::Filter => typing::open_filter(model, false),
        Action::FilterOut => typing::open_filter(model, true),
        Action::Palette => typing::open_palette(model, String::new()),
        Action::Save => typing::open_save(model),
        Action::Copy => return going::copy(model),
        Action::Owner => going::owner(model),
        Action::Users => going::users(model),
        Action::Traces => tracing::of_row(model),
        Action::Help => model.overlay = Overlay::Help,
        Action::Close if model.page.is_some() => model.page = None,
        Action::Close => typing::clear_filter(model),
        Action::Left => prepare::move_sideways(model, -1),
        Action::Right => prepare::move_sideways(model, 1),
        Action::Up
        | Action::Down
        | Action::PageUp
        | Action::PageDown
        | Action::First
        | Action::Last
        | Action::Accept
        | Action::Complete
        | Action::Erase
        | Action::EraseAll
        | Action::Quit => {}
    }
    Vec::new()
}

fn neighbour(screen: Screen, by: isize) -> Screen {
    let count = Screen::ALL.len() as isize;
    Screen::ALL[(screen as isize + by).rem_euclid(count) as usize]
}

#[derive(Clone, Copy)]
enum SortStep {
    Left,
    Right,
    Invert,
}

fn sort(model: &mut Model, step: SortStep) {
    let (columns, own) = prepare::columns(model.screen);
    let Some(own) = own else { return };
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
        _ => columns[column].align == Align::Right,
    };
    model.pane_mut().sort = Some(Sort { column, descending });
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

#[cfg(test)]
#[path = "update/tracing_test.rs"]
mod tracing_tests;
