//! What a frame of the observer costs: taking in what the nodes sent, preparing the view, drawing it and writing what
//! changed as a terminal gets it. What does not live here: the made-up cluster (`feed`), and any terminal.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use serde::{Serialize, Serializer};
use squall_observer::Screen;
use squall_observer::feed::Update;
use squall_observer::keeper::Keeper;
use squall_observer::model::{Cmd, Message, Model};
use squall_observer::theme::Theme;
use squall_observer::units::Moment;
use squall_observer::update::update;
use squall_observer::view::view;

use super::{BenchError, Histogram, Machine, SCHEMA, io_error};

mod feed;

use feed::Cluster;

/// Fewest frames a view is measured over.
pub const FRAMES: u32 = 300;
/// Frames before that: the first ones fill what later ones only change.
const WARM_UP: u32 = 10;
/// Time between two frames, by the observer's clock: it draws 30 a second.
const FRAME_MS: u64 = 33;

/// What to measure.
#[derive(Debug, Clone)]
pub struct ScreenOptions {
    /// Processes of the made-up cluster.
    pub processes: usize,
    /// Columns and rows.
    pub size: (u16, u16),
    /// Frames for each view.
    pub frames: u32,
    /// Time from one frame to the next: what works beside the frames has it, too.
    pub pace: Duration,
}

/// The time between two frames of the program.
pub const PACE: Duration = Duration::from_millis(FRAME_MS);

/// One view.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScreenRow {
    /// View.
    #[serde(serialize_with = "title")]
    pub view: Screen,
    /// Frames measured.
    pub frames: u64,
    /// Half of the frames took no longer: from what was fed to what a terminal would show.
    pub p50_ms: f64,
    /// 99 in 100 took no longer.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Half of the frames spent no longer on taking in what was fed; part of the above.
    pub fed_p50_ms: f64,
    /// Bytes a terminal would have got for a frame, on average.
    pub bytes: u64,
}

/// All views.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Screens {
    /// Version of this form.
    pub version: u32,
    /// What they were measured on.
    pub machine: Machine,
    /// Processes.
    pub processes: usize,
    /// Process rows that change with each frame.
    pub changed: usize,
    /// Columns and rows.
    pub size: (u16, u16),
    /// The views.
    pub rows: Vec<ScreenRow>,
}

fn title<S: Serializer>(view: &Screen, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&view.title().to_lowercase())
}

/// Draws every view, and tells each row as soon as it is there. Blocks.
///
/// # Errors
/// [`BenchError`] when the buffer that stands for a terminal fails.
pub fn run(options: &ScreenOptions, mut tell: impl FnMut(&ScreenRow)) -> Result<Screens, BenchError> {
    let machine = Machine::here();
    let mut cluster = Cluster::new(options.processes);
    let mut keeper = Keeper::start(|_| true).map_err(io_error("a thread"))?;
    let mut model = Model::new(options.size, Screen::default(), false);
    update(&mut model, Message::Tick(Moment(cluster.now_ms)));
    feed(&mut model, &keeper, cluster.whole());
    let mut rows = Vec::new();
    for view in Screen::ALL {
        model.screen = view;
        let row = measure(view, &mut model, &mut keeper, &mut cluster, options)?;
        tell(&row);
        rows.push(row);
    }
    Ok(Screens {
        version: SCHEMA,
        machine,
        processes: options.processes,
        changed: cluster.changed(),
        size: options.size,
        rows,
    })
}

/// As the program takes in what nodes send.
fn feed(model: &mut Model, keeper: &Keeper, updates: Vec<Update>) {
    for cmd in update(model, Message::Fed(updates)) {
        if let Cmd::Keep(updates) = cmd {
            let _kept_or_forgotten = keeper.push(model.now, updates, &model.live);
        }
    }
}

fn measure(
    screen: Screen,
    model: &mut Model,
    keeper: &mut Keeper,
    cluster: &mut Cluster,
    options: &ScreenOptions,
) -> Result<ScreenRow, BenchError> {
    let written = Rc::new(Cell::new(0));
    let mut terminal =
        terminal(options.size, Counted(Rc::clone(&written))).map_err(io_error("a terminal's buffer"))?;
    let theme = Theme::new(true);
    let (mut whole, mut fed) = (Histogram::default(), Histogram::default());
    let mut last = Instant::now();
    for frame in 0..options.frames + WARM_UP {
        if frame == WARM_UP {
            written.set(0);
        }
        cluster.now_ms += FRAME_MS;
        let updates = cluster.step();
        pause(options.pace.saturating_sub(last.elapsed()));
        let begun = Instant::now();
        last = begun;
        feed(model, keeper, updates);
        let taken_in = begun.elapsed();
        update(model, Message::Tick(Moment(cluster.now_ms)));
        terminal
            .draw(|frame| view(model, &theme, frame, frame.area()))
            .map_err(io_error("a terminal's buffer"))?;
        let took = begun.elapsed();
        keeper.go_on();
        if frame >= WARM_UP {
            whole.count(took);
            fed.count(taken_in);
        }
    }
    Ok(row(screen, &whole, &fed, written.get()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "time between frames is what is wanted, and nothing is waited for"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn row(view: Screen, whole: &Histogram, fed: &Histogram, bytes: u64) -> ScreenRow {
    let millis = |time: Duration| (time.as_secs_f64() * 1e5).round() / 100.0;
    ScreenRow {
        view,
        frames: whole.total(),
        p50_ms: millis(whole.quantile(0.5)),
        p99_ms: millis(whole.quantile(0.99)),
        max_ms: millis(whole.largest()),
        fed_p50_ms: millis(fed.quantile(0.5)),
        bytes: bytes / whole.total().max(1),
    }
}

/// Counts what a terminal would get.
struct Counted(Rc<Cell<u64>>);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set(self.0.get() + bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn terminal(
    (width, height): (u16, u16),
    written: Counted,
) -> io::Result<Terminal<CrosstermBackend<Counted>>> {
    let viewport = Viewport::Fixed(Rect::new(0, 0, width, height));
    Terminal::with_options(CrosstermBackend::new(written), TerminalOptions { viewport })
}

/// Heading of the table for people.
#[must_use]
pub fn heading() -> String {
    let mut text = format!(
        "{:<10} {:>7} {:>9} {:>9} {:>9}",
        "view", "frames", "p50 ms", "p99 ms", "max ms"
    );
    let _ = write!(text, " {:>14} {:>12}", "of it fed p50", "bytes/frame");
    text
}

impl ScreenRow {
    /// One line of that table.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{:<10} {:>7} {:>9.2} {:>9.2} {:>9.2} {:>14.2} {:>12}",
            self.view.title().to_lowercase(),
            self.frames,
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.fed_p50_ms,
            self.bytes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_is_drawn_and_changes_with_what_is_fed() {
        let options = ScreenOptions {
            processes: 300,
            size: (120, 40),
            frames: 3,
            pace: Duration::ZERO,
        };
        let mut told = Vec::new();
        let done = run(&options, |row| told.push(row.line())).unwrap();
        assert_eq!(done.rows.len(), Screen::ALL.len());
        assert!(
            told.iter()
                .all(|line| line.chars().count() == heading().chars().count())
        );
        for row in &done.rows {
            assert_eq!(row.frames, 3);
            let still = matches!(row.view, Screen::Timeline);
            assert!(still || row.bytes > 0, "{row:?}");
        }
        let json = serde_json::to_value(&done).unwrap();
        assert_eq!(
            (&json["rows"][4]["view"], &json["processes"]),
            (&"processes".into(), &300.into())
        );
    }
}
