//! The program in a pseudo-terminal: what its screen shows, what is typed, how it leaves the terminal. Waits for what the
//! screen shows, never for time to pass.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::rig::{PATIENCE, wait_for_exit};

/// The program and the terminal it runs in; killed with its holder.
pub(crate) struct Pty {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    shared: Arc<Shared>,
    before: Modes,
}

struct Shared {
    seen: Mutex<Seen>,
    news: Condvar,
}

struct Seen {
    parser: vt100::Parser,
    raw: Vec<u8>,
    ended: bool,
}

/// How the terminal treats what is typed and written: input, output and local modes.
type Modes = (u32, u32, u32);

/// What is left of a program's screen after its end.
pub(crate) struct Left {
    pub(crate) code: u32,
    pub(crate) raw: Vec<u8>,
    pub(crate) cursor_hidden: bool,
    pub(crate) alternate_screen: bool,
    /// The terminal's modes are those from before.
    pub(crate) modes_restored: bool,
}

impl Pty {
    /// Starts the program of this package; its temporary files go to `tmp`.
    pub(crate) fn start(args: &[&str], tmp: &Path, (columns, rows): (u16, u16)) -> Self {
        let pair = native_pty_system()
            .openpty(size(columns, rows))
            .expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_squall"));
        command.args(args);
        command.env("TERM", "xterm-256color");
        command.env("TMPDIR", tmp);
        for variable in ["SQUALL_CONNECT", "SQUALL_COOKIE_FILE", "NO_COLOR"] {
            command.env_remove(variable);
        }
        let before = modes(&*pair.master);
        let child = pair.slave.spawn_command(command).expect("the program starts");
        let output = pair.master.try_clone_reader().expect("the terminal's output");
        let parser = vt100::Parser::new(rows, columns, 0);
        let seen = Seen {
            parser,
            raw: Vec::new(),
            ended: false,
        };
        let shared = Arc::new(Shared {
            seen: Mutex::new(seen),
            news: Condvar::new(),
        });
        std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.read(output)
        });
        let keys = pair.master.take_writer().expect("the terminal's input");
        Self {
            master: pair.master,
            keys,
            child,
            shared,
            before,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.process_id().expect("the program runs")
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys
            .write_all(keys.as_bytes())
            .expect("the terminal takes keys");
        self.keys.flush().expect("the terminal takes keys");
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let mut seen = self.shared.lock();
        seen.parser.screen_mut().set_size(rows, columns);
        self.master.resize(size(columns, rows)).expect("a new size");
    }

    /// What `wanted` makes of the first screen for which it makes something.
    pub(crate) fn wait<T>(&self, what: &str, mut wanted: impl FnMut(&Screen<'_>) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.shared.lock();
        loop {
            let text = seen.parser.screen().contents();
            if let Some(found) = wanted(&Screen(&text)) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !seen.ended,
                "the program ended before the screen showed {what}:\n{text}"
            );
            assert!(!left.is_zero(), "the screen does not show {what}:\n{text}");
            seen = self.shared.news.wait_timeout(seen, left).expect("not poisoned").0;
        }
    }

    /// Waits until the screen has all of `words`.
    pub(crate) fn sees(&self, words: &[&str]) {
        self.wait(&format!("{words:?}"), |screen| {
            words.iter().all(|word| screen.0.contains(word)).then_some(())
        });
    }

    /// Waits for the program's end, and until nobody has the terminal open any more.
    pub(crate) fn left(mut self) -> Left {
        wait_for_exit(self.id());
        let code = self.child.wait().expect("it ended").exit_code();
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.shared.lock();
        while !seen.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the program ended, but something of it holds the terminal"
            );
            seen = self.shared.news.wait_timeout(seen, left).expect("not poisoned").0;
        }
        let screen = seen.parser.screen();
        Left {
            code,
            raw: seen.raw.clone(),
            cursor_hidden: screen.hide_cursor(),
            alternate_screen: screen.alternate_screen(),
            modes_restored: modes(&*self.master) == self.before,
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        // A wait that gave up must not hide why.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, mut output: impl Read) {
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = output.read(&mut buffer).unwrap_or(0);
            let mut seen = self.lock();
            seen.parser.process(&buffer[..read]);
            seen.raw.extend_from_slice(&buffer[..read]);
            seen.ended = read == 0;
            self.news.notify_all();
            if seen.ended {
                return;
            }
        }
    }
}

/// The text of a screen.
pub(crate) struct Screen<'a>(pub(crate) &'a str);

impl Screen<'_> {
    /// The lines as words, without the frames' bars and the selection's arrow.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Vec<&str>> {
        let words = |line| {
            str::split_whitespace(line)
                .filter(|word| *word != "│" && *word != "▶")
                .collect()
        };
        self.0.lines().map(|line| line.trim_start_matches('│')).map(words)
    }
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols,
        pixel_width: 0,
        pixel_height: 0,
    }
}

fn modes(master: &dyn MasterPty) -> Modes {
    let termios = master.get_termios().expect("a terminal");
    (
        termios.input_flags.bits(),
        termios.output_flags.bits(),
        termios.local_flags.bits(),
    )
}
