//! The terminal around the loop: what comes of it, and leaving it as it was, also when it is not there any more.

use std::io::{Error, ErrorKind, stdout};

use crossterm::cursor::Show;
use crossterm::event::{DisableMouseCapture, Event, KeyEventKind};

use crate::model::Message;

/// What reading from a terminal, or writing to it, gives when it has been hung up (`EIO`, the same on every Unix).
const IO_ERROR: i32 = 5;

/// Restores the terminal when dropped, on every way out.
pub(super) struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        // A terminal that is gone takes nothing any more, and there is nobody to tell.
        let _gone = crossterm::execute!(stdout(), DisableMouseCapture);
        let _gone = ratatui::try_restore();
        let _gone = crossterm::execute!(stdout(), Show);
    }
}

/// The terminal is not there any more: its window was closed, or what it ran in has ended.
pub(super) fn is_gone(error: &Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe || error.raw_os_error() == Some(IO_ERROR)
}

/// What an event means to the model; none where it means nothing.
pub(super) fn input_message(event: &Event) -> Option<Message> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(Message::Key(*key)),
        Event::Mouse(event) => Some(Message::Mouse(*event)),
        Event::Resize(width, height) => Some(Message::Resize(*width, *height)),
        _ => None,
    }
}
