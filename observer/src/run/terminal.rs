//! The terminal around the loop: what comes of it, and leaving it as it was, also when it is not there any more.

use std::io::{Error, ErrorKind, Write as _, stdout};

use base64::Engine as _;
use crossterm::cursor::Show;
use crossterm::event::{DisableMouseCapture, Event, KeyEventKind};

use crate::model::Message;

/// Why the observer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The user left.
    Quit,
    /// The terminal went away.
    InputEnded,
}

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

/// Gives a text to the terminal's clipboard, by OSC 52; terminals that have none leave it alone. Says what came of it.
pub(super) fn copied(text: &str) -> Result<String, String> {
    let coded = base64::engine::general_purpose::STANDARD.encode(text);
    let mut out = stdout();
    let written = write!(out, "\x1b]52;c;{coded}\x07").and_then(|()| out.flush());
    written.map_err(|error| error.to_string())?;
    Ok(format!(
        "'{text}' is in the clipboard, if the terminal takes it (OSC 52)."
    ))
}
