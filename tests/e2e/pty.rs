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
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Option<Box<dyn Write + Send>>,
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
    /// Nothing more is read.
    let_go: bool,
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
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_squall"));
        command.args(args);
        Self::spawn(command, tmp, (columns, rows))
    }

    fn spawn(mut command: CommandBuilder, tmp: &Path, (columns, rows): (u16, u16)) -> Self {
        let pair = native_pty_system()
            .openpty(size(columns, rows))
            .expect("a pseudo-terminal");
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
            let_go: false,
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
            master: Some(pair.master),
            keys: Some(keys),
            child,
            shared,
            before,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.process_id().expect("the program runs")
    }

    pub(crate) fn press(&mut self, keys: &str) {
        let to = self.keys.as_mut().expect("the terminal is there");
        to.write_all(keys.as_bytes()).expect("the terminal takes keys");
        to.flush().expect("the terminal takes keys");
    }

    /// A size of nothing is one too; the screen that is kept for looking at has room for a word then.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let mut seen = self.shared.lock();
        seen.parser.screen_mut().set_size(rows.max(5), columns.max(20));
        let master = self.master.as_ref().expect("the terminal is there");
        master.resize(size(columns, rows)).expect("a new size");
    }

    /// What `wanted` makes of the first screen for which it makes something.
    pub(crate) fn wait<T>(&self, what: &str, mut wanted: impl FnMut(&Screen<'_>) -> Option<T>) -> T {
        let what = std::cell::RefCell::new(what.to_owned());
        self.wait_screen(&what, |_, text| wanted(&Screen(text)))
    }

    fn wait_screen<T>(
        &self,
        what: &std::cell::RefCell<String>,
        mut wanted: impl FnMut(&vt100::Screen, &str) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.shared.lock();
        loop {
            let screen = seen.parser.screen();
            let text = screen.contents();
            if let Some(found) = wanted(screen, &text) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !seen.ended,
                "the program ended before the screen showed {}:\n{text}",
                what.borrow()
            );
            assert!(
                !left.is_zero(),
                "the screen does not show {}:\n{text}",
                what.borrow()
            );
            seen = self.shared.news.wait_timeout(seen, left).expect("not poisoned").0;
        }
    }

    /// Waits until the screen has all of `words`.
    pub(crate) fn sees(&self, words: &[&str]) {
        self.wait(&format!("{words:?}"), |screen| {
            words.iter().all(|word| screen.0.contains(word)).then_some(())
        });
    }

    /// True when the screen has those words now.
    pub(crate) fn shows(&self, words: &str) -> bool {
        self.shared.lock().parser.screen().contents().contains(words)
    }

    /// Waits until nothing is wrong with the cells of the screen: `wrong` says what is. A frame that is half written is looked
    /// at again.
    pub(crate) fn wait_cells(&self, what: &str, wrong: impl Fn(&vt100::Screen) -> Option<String>) {
        let said = std::cell::RefCell::new(what.to_owned());
        self.wait_screen(&said, |screen, _| match wrong(screen) {
            None => Some(()),
            Some(why) => {
                *said.borrow_mut() = format!("{what}: {why}");
                None
            }
        });
    }

    /// The terminal goes away, as when its window is closed. Gives how the program ends.
    pub(crate) fn vanish(mut self) -> u32 {
        self.shared.lock().let_go = true;
        // What the program writes next wakes whoever reads; when that has let go, nobody has the terminal any more.
        self.press("?");
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.shared.lock();
        while !seen.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the program writes nothing");
            seen = self.shared.news.wait_timeout(seen, left).expect("not poisoned").0;
        }
        drop(seen);
        (self.keys, self.master) = (None, None);
        wait_for_exit(self.id());
        self.child.wait().expect("it ended").exit_code()
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
            modes_restored: self.master.as_deref().map(modes) == Some(self.before),
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
            seen.ended = read == 0 || seen.let_go;
            if seen.ended {
                // Before anybody is told: who waits for the end knows that the terminal is let go.
                drop(output);
                self.news.notify_all();
                return;
            }
            self.news.notify_all();
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

fn modes(master: &(dyn MasterPty + Send)) -> Modes {
    let termios = master.get_termios().expect("a terminal");
    (
        termios.input_flags.bits(),
        termios.output_flags.bits(),
        termios.local_flags.bits(),
    )
}
