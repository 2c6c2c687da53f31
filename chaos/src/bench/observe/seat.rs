//! A seat before the observer: the program's own loop, with a screen in memory in place of a terminal, and keys from here.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, TestBackend, WindowSize};
use ratatui::buffer::{Buffer, Cell};
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent};
use ratatui::layout::{Position, Size};
use squall_observer::{Config, Exit, Options, Screen};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;

use crate::bench::BenchError;

const PATIENCE: Duration = Duration::from_secs(30);
/// Columns and rows.
const SIZE: (u16, u16) = (200, 60);

/// An observer that runs until this is dropped.
pub(super) struct Seat {
    keys: mpsc::Sender<io::Result<Event>>,
    frames: watch::Receiver<Frame>,
    screen: Memory,
    task: JoinHandle<Result<Exit, squall_observer::Error>>,
}

/// When a frame was there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) at: Instant,
    /// By the system's clock, in microseconds since 1970.
    pub(super) unix_us: u64,
}

impl Frame {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            at: Instant::now(),
            unix_us: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl Seat {
    pub(super) fn take(addresses: Vec<String>, view: Screen) -> Result<Self, BenchError> {
        let (drawn, frames) = watch::channel(Frame::now());
        let screen = Memory {
            backend: Arc::new(Mutex::new(TestBackend::new(SIZE.0, SIZE.1))),
            drawn: Arc::new(drawn),
        };
        let terminal = Terminal::new(screen.clone()).map_err(crate::bench::io_error("a screen in memory"))?;
        let (keys, pressed) = mpsc::channel(1);
        let options = Options {
            addresses,
            config: Config {
                view,
                ..Config::default()
            },
            ..Options::default()
        };
        let watching = squall_observer::run_on(terminal, ReceiverStream::new(pressed), options);
        Ok(Self {
            keys,
            frames,
            screen,
            task: tokio::spawn(watching),
        })
    }

    /// Presses a key.
    pub(super) async fn press(&self, key: char) -> Result<(), BenchError> {
        let event = Event::Key(KeyEvent::from(KeyCode::Char(key)));
        let sent = self.keys.send(Ok(event)).await;
        sent.map_err(|_| BenchError::Unsound("the observer has ended".into()))
    }

    /// The first frame, of those that are drawn from now on and the one that stands, that shows what is wanted.
    pub(super) async fn until(
        &mut self,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Frame, BenchError> {
        let look = async {
            loop {
                let frame = *self.frames.borrow_and_update();
                if wanted(&self.screen.text()) {
                    return Ok(frame);
                }
                if self.frames.changed().await.is_err() {
                    return Err(BenchError::Unsound("the observer has ended".into()));
                }
            }
        };
        let found = timeout(PATIENCE, look).await;
        found.map_err(|_| BenchError::Late {
            what: what.to_owned(),
            seconds: PATIENCE.as_secs(),
        })?
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A screen in memory that tells of each frame.
#[derive(Clone)]
struct Memory {
    backend: Arc<Mutex<TestBackend>>,
    drawn: Arc<watch::Sender<Frame>>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, TestBackend> {
        self.backend.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it shows, a line a row.
    fn text(&self) -> String {
        let backend = self.lock();
        let buffer: &Buffer = backend.buffer();
        let width = usize::from(buffer.area.width).max(1);
        let rows = buffer.content().chunks(width);
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
        self.drawn.send_replace(Frame::now());
        Ok(())
    }
}
