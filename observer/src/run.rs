//! The event loop: keys, rows and time in, frames out. The network never runs in the path of a key. The
//! terminal is restored however the loop ends, also when its future is dropped or something panics.

mod options;
mod terminal;

use std::io::{self, IsTerminal as _, stdout};
use std::mem::ManuallyDrop;
use std::sync::Arc;

use crossterm::event::{EnableMouseCapture, Event, EventStream};
use futures::{Stream, StreamExt as _};
use ratatui::Terminal;
use ratatui::backend::Backend;
use ratatui::layout::{Position, Rect};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;
use crate::console::{Board, Console, ConsoleError};
use crate::error::Error;
use crate::feed::grpc::GrpcFeed;
use crate::feed::replay::{Opened, ReplayFeed};
use crate::feed::{Feed, Update};
use crate::keeper::Keeper;
use crate::limits::LOOP_QUEUE;
use crate::model::{Cmd, Message, Model, Replay};
use crate::pace::{Pace, TICK};
use crate::question::Wish;
use crate::recording::Recorder;
use crate::save;
use crate::theme::Theme;
use crate::traces::{Span, TraceFeed};
use crate::update::update;
use crate::view::view;
pub use options::Options;
pub use terminal::Exit;
use terminal::{Restore, copied, input_message, is_gone};

/// Watches the cluster until the user leaves. Needs a tokio runtime; dropping the future restores the
/// terminal too, so a caller may race it against signals.
///
/// # Errors
/// [`Error::NoTerminal`] without a terminal, [`Error::Io`] when it fails.
pub async fn run(options: Options) -> Result<Exit, Error> {
    if !stdout().is_terminal() {
        return Err(Error::NoTerminal);
    }
    let config = &options.config;
    let theme = Theme::choose(config.color, std::env::var_os("NO_COLOR").as_deref())
        .palette(config.theme)
        .ascii(config.ascii);
    let clock = Clock::start();
    // Files come first: what is wrong with them is said on a terminal that is as it was.
    let recorder = options
        .record
        .as_deref()
        .map(|path| Recorder::create(path, clock.now()))
        .transpose()?;
    let replay = options
        .replay
        .as_deref()
        .map(|path| ReplayFeed::open(path, 1.0))
        .transpose()?;
    let guard = Restore;
    let terminal = ratatui::try_init()?;
    if config.mouse {
        crossterm::execute!(stdout(), EnableMouseCapture)?;
    }
    let keys = EventStream::new();
    let result = match replay {
        Some((feed, clock, opened)) => {
            let mut looped = Loop::new(terminal, theme, feed, Clock::Replay(clock), options)?;
            looped.plays(&opened);
            looped.run(keys).await
        }
        None => {
            let feed = GrpcFeed::start(options.addresses.clone());
            let mut looped = Loop::new(terminal, theme, feed, clock, options)?;
            looped.model.recording = recorder.is_some();
            looped.recorder = recorder;
            looped.run(keys).await
        }
    };
    drop(guard);
    result
}

/// The same on a screen of the caller's own, and with the caller's keys, without recordings. It is how the observer is
/// measured.
///
/// # Errors
/// [`Error::Io`] when the screen or the keys fail.
pub async fn run_on<B: Backend<Error = io::Error>>(
    screen: Terminal<B>,
    keys: impl Stream<Item = io::Result<Event>> + Unpin,
    options: Options,
) -> Result<Exit, Error> {
    let feed = GrpcFeed::start(options.addresses.clone());
    let theme = Theme::new(true).palette(options.config.theme);
    let looped = Loop::new(screen, theme, feed, Clock::start(), options)?;
    looped.run(keys).await
}

/// The next value of what may be there; never one where it is not, or its sender is gone.
async fn news<T: Clone>(of: &mut Option<watch::Receiver<T>>) -> T {
    if let Some(values) = of
        && values.changed().await.is_ok()
    {
        return values.borrow_and_update().clone();
    }
    std::future::pending().await
}

struct Loop<F, B: Backend> {
    /// Never dropped: it would complain on standard error that its cursor cannot be shown, which is the same terminal, and where
    /// that is gone the complaint panics. [`Restore`] shows the cursor.
    terminal: ManuallyDrop<Terminal<B>>,
    theme: Theme,
    feed: F,
    clock: Clock,
    model: Model,
    console: Option<Arc<dyn Console>>,
    status: Option<watch::Receiver<String>>,
    board: Option<watch::Receiver<Arc<Board>>>,
    traces: TraceFeed,
    answers: mpsc::Receiver<Message>,
    answer: mpsc::Sender<Message>,
    keeper: Keeper,
    pace: Pace,
    next_tick: Instant,
    fed: bool,
    /// A key has not been drawn yet.
    hurried: bool,
    /// The terminal has another size than it had: what it shows of the last frame is not known.
    resized: bool,
    recorder: Option<Recorder>,
}

/// What woke the loop.
enum Woken {
    Input(Option<std::io::Result<Event>>),
    Answer(Message),
    Status(String),
    Board(Arc<Board>),
    Fed(Vec<Update>),
    Traced(Vec<Span>),
    Time,
}

impl<F: Feed, B: Backend<Error = io::Error>> Loop<F, B> {
    fn new(
        terminal: Terminal<B>,
        theme: Theme,
        feed: F,
        clock: Clock,
        options: Options,
    ) -> Result<Self, Error> {
        let size = terminal.size()?;
        let mut model = Model::new(
            (size.width, size.height),
            options.config.view,
            options.console.is_some(),
        );
        model.keymap = Arc::new(options.config.keymap);
        model.faults = options
            .console
            .as_ref()
            .map(|console| console.known())
            .unwrap_or_default();
        if let Some(status) = &options.status {
            model.status = Some(crate::clean::text(&status.borrow()));
        }
        let board = options.console.as_ref().map(|console| console.board());
        if let Some(board) = &board {
            let first = Arc::clone(&board.borrow());
            update(&mut model, Message::Board(first));
        }
        let (answer, answers) = mpsc::channel(LOOP_QUEUE);
        let recalled = answer.clone();
        let keeper = Keeper::start(move |found| recalled.blocking_send(Message::Recalled(found)).is_ok())?;
        Ok(Self {
            terminal: ManuallyDrop::new(terminal),
            theme,
            feed,
            clock,
            model,
            console: options.console,
            status: options.status,
            board,
            traces: options.traces.feed(),
            answers,
            answer,
            keeper,
            pace: Pace::default(),
            next_tick: Instant::now(),
            fed: false,
            hurried: false,
            resized: false,
            recorder: None,
        })
    }

    /// What is shown is a recording.
    fn plays(&mut self, opened: &Opened) {
        self.model.replay = Some(Replay {
            speed: 1.0,
            paused: false,
            ended: None,
        });
        if let Some(warning) = &opened.warning {
            self.model.status = Some(crate::clean::text(warning));
        }
    }

    async fn run(mut self, mut input: impl Stream<Item = io::Result<Event>> + Unpin) -> Result<Exit, Error> {
        self.feed.want(self.model.wants());
        loop {
            let message = match self.woken(&mut input).await {
                Woken::Input(Some(Ok(event))) => {
                    self.hurried = true;
                    self.resized |= matches!(event, Event::Resize(..));
                    input_message(&event)
                }
                Woken::Input(Some(Err(error))) if !is_gone(&error) => return Err(error.into()),
                Woken::Input(_) => return Ok(Exit::InputEnded),
                Woken::Answer(message) => Some(message),
                Woken::Status(line) => Some(Message::Status(line)),
                Woken::Board(board) => {
                    self.fed = true;
                    Some(Message::Board(board))
                }
                Woken::Fed(updates) => {
                    self.fed = true;
                    self.record(&updates);
                    Some(Message::Fed(updates))
                }
                Woken::Traced(spans) => {
                    self.fed = true;
                    Some(Message::Traced(spans))
                }
                Woken::Time => None,
            };
            if let Some(message) = message
                && self.step(message)
            {
                return Ok(Exit::Quit);
            }
            match self.paint() {
                Err(error) if is_gone(&error) => return Ok(Exit::InputEnded),
                painted => painted?,
            }
        }
    }

    async fn woken(&mut self, input: &mut (impl Stream<Item = io::Result<Event>> + Unpin)) -> Woken {
        let due = self.model.dirty || self.fed;
        let frame = self
            .pace
            .next(self.hurried)
            .map_or(self.next_tick, Instant::from_std);
        let wake = if due {
            frame.min(self.next_tick)
        } else {
            self.next_tick
        };
        let status = news(&mut self.status);
        let board = news(&mut self.board);
        tokio::select! {
            biased;
            event = input.next() => Woken::Input(event),
            Some(message) = self.answers.recv() => Woken::Answer(message),
            line = status => Woken::Status(line),
            board = board => Woken::Board(board),
            () = sleep_until(wake) => Woken::Time,
            Some(updates) = self.feed.next() => Woken::Fed(updates),
            Some(spans) = self.traces.next() => Woken::Traced(spans),
        }
    }

    /// Takes a message in and carries out what it asks for; true at the end.
    fn step(&mut self, message: Message) -> bool {
        let mut cmds = update(&mut self.model, message);
        while let Some(cmd) = cmds.pop() {
            match cmd {
                Cmd::Quit => return true,
                Cmd::Want(wants) => self.feed.want(wants),
                Cmd::Preview(order, picture) => {
                    if let Some(console) = &self.console {
                        let radius = console.preview(&order, &picture);
                        cmds.extend(update(&mut self.model, Message::Previewed(radius)));
                    }
                }
                Cmd::Fire(order, picture) => {
                    let result = self.console.as_ref().map(|c| c.fire(order, picture));
                    self.answer_later(result, Message::Fired);
                }
                Cmd::Halt => {
                    let result = self.console.as_ref().map(|c| c.halt());
                    self.answer_later(result, Message::Halted);
                }
                Cmd::Run(scenario) => {
                    let result = self.console.as_ref().map(|c| c.run(scenario));
                    self.answer_later(result, |result| Message::Answered(Wish::Run, result));
                }
                Cmd::Stop => {
                    let result = self.console.as_ref().map(|c| c.stop());
                    self.answer_later(result, |result| Message::Answered(Wish::Stop, result));
                }
                Cmd::Unlock(reason) => {
                    let result = self.console.as_ref().map(|c| c.unlock(reason));
                    self.answer_later(result, |result| Message::Answered(Wish::Unlock, result));
                }
                Cmd::Play(speed) => {
                    if let Clock::Replay(clock) = &self.clock {
                        clock.run(speed);
                    }
                }
                Cmd::PlayOn(ms) => {
                    if let Clock::Replay(clock) = &self.clock {
                        clock.step(ms);
                    }
                }
                Cmd::Copy(text) => {
                    update(&mut self.model, Message::Copied(copied(&text)));
                }
                Cmd::Keep(updates) => {
                    if !self.keeper.push(self.model.now, updates, &self.model.live) {
                        cmds.extend(update(&mut self.model, Message::Forgotten));
                    }
                }
                Cmd::Recall(wanted) => self.keeper.recall(wanted),
                Cmd::Theme(palette) => {
                    self.theme = self.theme.palette(palette);
                    self.model.dirty = true;
                }
                Cmd::Save(file) => self.save(file),
                Cmd::Trace(trace) => self.traces.want(trace),
            }
        }
        false
    }

    /// A file that cannot be written on ends the recording, and nothing else.
    fn record(&mut self, updates: &[Update]) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        if let Err(error) = recorder.record(self.clock.now(), updates) {
            self.recorder = None;
            update(&mut self.model, Message::RecordingFailed(error.to_string()));
        }
    }

    /// Once in a while what was recorded is written out, so that little is missing whatever ends the program.
    fn write_out(&mut self) {
        let failed = self.recorder.as_mut().and_then(|recorder| recorder.flush().err());
        if let Some(error) = failed {
            self.recorder = None;
            update(&mut self.model, Message::RecordingFailed(error.to_string()));
        }
    }

    fn replay_on(&mut self) {
        let ended = self.feed.ended();
        let known = self
            .model
            .replay
            .as_ref()
            .is_none_or(|replay| replay.ended.is_some());
        if let Some(how) = ended.filter(|_| !known) {
            update(&mut self.model, Message::ReplayEnded(how));
        }
    }

    fn save(&self, file: String) {
        let saved = save::saved(&self.model, &self.theme, &file);
        let answer = self.answer.clone();
        // A loop that has ended needs no answer.
        tokio::task::spawn_blocking(move || {
            drop(answer.blocking_send(Message::Saved(saved.and_then(|text| save::write(&file, &text)))));
        });
    }

    fn answer_later(
        &self,
        work: Option<futures::future::BoxFuture<'static, Result<String, ConsoleError>>>,
        wrap: fn(Result<String, ConsoleError>) -> Message,
    ) {
        let Some(work) = work else { return };
        let answer = self.answer.clone();
        // A loop that has ended needs no answer.
        tokio::spawn(async move { drop(answer.send(wrap(work.await)).await) });
    }

    /// Lets the time go on and draws, if it is time to.
    fn paint(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let may = self.pace.may(now.into_std(), self.hurried);
        if now >= self.next_tick || (self.fed && may) {
            self.replay_on();
            self.step(Message::Sourced(self.traces.status()));
            self.step(Message::Tick(self.clock.now()));
            if now >= self.next_tick {
                self.write_out();
            }
            self.next_tick = now + TICK;
            self.fed = false;
        }
        if self.model.dirty && may {
            // One that was made small and large again in between has lost what it showed, whatever its size is now.
            if std::mem::take(&mut self.resized) {
                let size = self.terminal.size()?;
                self.terminal.resize(Rect::from((Position::ORIGIN, size)))?;
            }
            let (model, theme) = (&self.model, &self.theme);
            self.terminal
                .draw(|frame| view(model, theme, frame, frame.area()))?;
            self.model.dirty = false;
            self.pace.drew(now.into_std());
        }
        if !self.fed {
            self.keeper.go_on();
        }
        // A key that changed nothing waits for no frame.
        self.hurried &= self.model.dirty;
        Ok(())
    }
}
