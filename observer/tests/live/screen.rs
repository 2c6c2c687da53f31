//! A screen in memory that tells of each frame.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ratatui::backend::{Backend, ClearType, TestBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use tokio::sync::watch;

#[derive(Clone)]
pub(crate) struct Memory {
    backend: Arc<Mutex<TestBackend>>,
    drawn: Arc<watch::Sender<u64>>,
}

impl Memory {
    pub(crate) fn new(width: u16, height: u16) -> Self {
        Self {
            backend: Arc::new(Mutex::new(TestBackend::new(width, height))),
            drawn: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Waits for a frame that shows these words.
    pub(crate) async fn shows(&self, words: &str) {
        let mut frames = self.drawn.subscribe();
        while !self.text().contains(words) {
            frames.changed().await.expect("this screen holds the sender");
        }
    }

    fn lock(&self) -> MutexGuard<'_, TestBackend> {
        self.backend.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it shows, a line a row.
    pub(crate) fn text(&self) -> String {
        let backend = self.lock();
        let buffer = backend.buffer();
        let rows = buffer.content().chunks(usize::from(buffer.area.width).max(1));
        let text = rows.map(|row| row.iter().map(Cell::symbol).collect::<String>());
        text.collect::<Vec<_>>().join("\n")
    }
}

fn sure<T>(done: Result<T, Infallible>) -> io::Result<T> {
    done.map_err(|never| match never {})
}

impl Backend for Memory {
    type Error = io::Error;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> io::Result<()> {
        sure(self.lock().draw(content))
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        sure(self.lock().hide_cursor())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        sure(self.lock().show_cursor())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        sure(self.lock().get_cursor_position())
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        sure(self.lock().set_cursor_position(position))
    }

    fn clear(&mut self) -> io::Result<()> {
        sure(self.lock().clear())
    }

    fn clear_region(&mut self, clear_type: ClearType) -> io::Result<()> {
        sure(self.lock().clear_region(clear_type))
    }

    fn size(&self) -> io::Result<Size> {
        sure(self.lock().size())
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        sure(self.lock().window_size())
    }

    fn flush(&mut self) -> io::Result<()> {
        sure(self.lock().flush())?;
        self.drawn.send_modify(|frames| *frames += 1);
        Ok(())
    }
}
