//! How messages change the model. Pure and total: every message is taken in every state, and what is to
//! be done outside comes back as commands. What does not live here: the dialog's own steps (`chaos`), what is typed (`typing`),
//! going back in time (`travel`), going from row to row (`going`), and the mouse (`pointing`).

mod chaos;
mod going;
mod pointing;
mod question;
mod tracing;
mod travel;
mod typing;

use std::sync::Arc;

use crossterm::event::KeyEvent;

use crate::clean;
use crate::keymap::{self, Action, Context};
use crate::measure::width;
use crate::model::{Cmd, Message, Model, Overlay, Screen};
use crate::prepare::{self, keys, prepare};
use crate::table::{Align, Motion, Sort};
use crate::units::Moment;

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
            for update in &updates {
                model.live.look_at(model.now, update);
            }
            vec![Cmd::Keep(updates)]
        }
        Message::Key(event) => {
            model.told = None;
            acted(model, |model| key(model, &event))
        }
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
                Ok(text) => (format!("{text}{}", chaos::after_halt(model)), false),
                Err(error) => (error.to_string(), true),
            };
            notice(model, "Halt", &text, bad);
            Vec::new()
        }
        Message::Answered(wish, result) => {
            question::answered(
                model,
                wish,
                result
                    .map(|t| clean::text(&t))
                    .map_err(|e| clean::text(&e.to_string())),
            );
            Vec::new()
        }
        Message::Board(board) => {
            // It is drawn with the next tick, like what nodes send.
            model.board = Arc::new(clean::board(&board));
            // Before the first tick nobody knows the time.
            model.board_at = (model.now > Moment::default()).then_some(model.now);
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
            // Before the first tick nobody knows the time.
            model.traced = (model.now > Moment::default()).then_some(model.now);
            Vec::new()
        }
        Message::Sourced(sources) => {
            model.traces.sources = sources;
            Vec::new()
        }
        Message::Forgotten => {
            model.seen_since = Some(model.now);
            tell(
                model,
                "More came than can be kept: what was seen before now is forgotten.",
            );
            model.dirty = true;
            Vec::new()
        }
        Message::Recalled(found) => {
            travel::recalled(model, found);
            refresh(model);
            model.dirty = true;
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

/// Prepares anew what is drawn; the screen is dirty only when that is something else.
fn refresh(model: &mut Model) {
    let before = std::mem::take(&mut model.prepared);
    prepare(model);
    model.dirty |= before != model.prepared;
}

fn key(model: &mut Model, event: &KeyEvent) -> Vec<Cmd> {
    let context = model.context();
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
    if matches!(model.overlay, Overlay::Question(_)) {
        return question::act(model, action);
    }
    match context {
        Context::Main => main(model, action),
        Context::Filter => typing::filter(model, action),
        Context::Palette => typing::palette(model, action),
        Context::Help => {
            help(model, action);
            Vec::new()
        }
        Context::Form
        | Context::Typing
        | Context::Confirm
        | Context::Done
        | Context::Slide
        | Context::Question => chaos::act(model, action),
    }
}

/// The help page scrolls, or is left.
fn help(model: &mut Model, action: Action) {
    let Some(help) = &model.prepared.help else { return };
    let (first, page) = (help.first, help.rows.max(1));
    let last = help.total.saturating_sub(page);
    model.overlay = match action {
        Action::Up => Overlay::Help(first.saturating_sub(1)),
        Action::Down => Overlay::Help((first + 1).min(last)),
        Action::PageUp => Overlay::Help(first.saturating_sub(page)),
        Action::PageDown => Overlay::Help((first + page).min(last)),
        Action::First => Overlay::Help(0),
        Action::Last => Overlay::Help(last),
        _ => Overlay::None,
    };
}

/// What a key does in a view; where it can do nothing it says why.
fn main(model: &mut Model, action: Action) -> Vec<Cmd> {
    if let Err(why) = keys::offer(model, action) {
        tell(model, &why);
        return Vec::new();
    }
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
        Action::Run => question::run(model),
        Action::Stop => question::stop(model),
        Action::Unlock => question::unlock(model),
        Action::Paint => chaos::paint(model),
        Action::Freeze => return travel::freeze(model),
        Action::StepBack => return travel::step(model, -1),
        Action::StepOn => return travel::step_on(model),
        Action::Faster => return travel::speed(model, 1),
        Action::Slower => return travel::speed(model, -1),
        Action::EventBack => return travel::to_event(model, -1),
        Action::EventOn => return travel::to_event(model, 1),
        Action::Live => travel::live(model),
        Action::Filter => typing::open_filter(model, false),
        Action::FilterOut => typing::open_filter(model, true),
        Action::Palette => typing::open_palette(model, String::new()),
        Action::Save => typing::open_save(model),
        Action::Copy => return going::copy(model),
        Action::Owner => going::owner(model),
        Action::Users => going::users(model),
        Action::Traces => return tracing::of_row(model),
        Action::Help => model.overlay = Overlay::Help(0),
        Action::Close => going::back(model),
        Action::Left => prepare::move_sideways(model, -1),
        Action::Right => prepare::move_sideways(model, 1),
        Action::Up
        | Action::Down
        | Action::PageUp
        | Action::PageDown
        | Action::First
        | Action::Last
        | Action::Accept
        | Action::Write
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

/// A short answer goes into the last line, one too long for it into a box.
fn tell(model: &mut Model, text: &str) {
    let text = clean::text(text);
    if width(&text) + TOLD_EXTRA <= model.size.0 {
        model.told = Some(text);
        model.dirty = true;
    } else {
        notice(model, "Not here", &text, false);
    }
}

/// Columns around an answer in the last line.
const TOLD_EXTRA: u16 = 4;

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
#[path = "update/keys_test.rs"]
mod keys_tests;

#[cfg(test)]
#[path = "update/tracing_test.rs"]
mod tracing_tests;
