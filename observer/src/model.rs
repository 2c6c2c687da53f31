//! The observer's whole state, the messages that change it, and the commands it asks for. What does not
//! live here: how it changes ([`crate::update`]) and how it looks ([`crate::view`]).

mod page;
mod screen;

use std::collections::BTreeSet;
use std::sync::Arc;

use crossterm::event::{KeyEvent, MouseEvent};
use squall_filter::Filter;

use crate::cluster::Cluster;
use crate::console::{Board, ConsoleError, Known, Order, Picture, Radius};
use crate::dialog::{Dialog, Stage};
use crate::feed::{Entity, Update, Wants};
use crate::keeper::Found;
use crate::keymap::{Context, Keymap};
use crate::limits::BACK_MAX;
use crate::palette::Palette;
use crate::prepare::Prepared;
use crate::prepare::page::Decisions;
use crate::prepare::processes::detail::Trail;
use crate::prepare::processes::order::ProcessOrder;
use crate::prepare::registry::order::RegistryOrder;
use crate::prepare::waterfall::Unfolded;
use crate::question::{Question, Wish};
use crate::table::{Cursor, RowId, Sort};
use crate::theme;
use crate::traces::{self, SourceStatus, Span, TraceId, Traces};
use crate::units::Moment;

pub use page::{Page, Place};
pub use screen::Screen;

/// What lies over the view.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Overlay {
    /// Nothing.
    #[default]
    None,
    /// The keys, from this line on.
    Help(usize),
    /// A filter is being typed.
    Filter(String),
    /// A command is being typed.
    Palette(Palette),
    /// The chaos dialog.
    Chaos(Box<Dialog>),
    /// A question before something is done that is not undone by a key.
    Question(Box<Question>),
    /// Why there is no chaos dialog, or what an order came to.
    Notice {
        /// Title of the box.
        title: String,
        /// What to say.
        text: String,
        /// Whether it is bad news.
        bad: bool,
    },
}

/// Processes of a node that are looked at where the view does not show them.
const FULLEST: u32 = 20;

/// What each view remembers.
#[derive(Debug, Clone, Default)]
pub struct Pane {
    /// Selection.
    pub cursor: Cursor,
    /// Filter as typed.
    pub filter_text: String,
    /// The filter: the last text that was one.
    pub filter: Filter,
    /// The text that it was made of.
    pub filter_sent: String,
    /// Why the text as it stands is none.
    pub filter_error: Option<String>,
    /// Order; none is the view's own.
    pub sort: Option<Sort>,
    /// The order of the processes, where they are shown.
    pub order: ProcessOrder,
    /// The order of what exists, where that is shown.
    pub registry: RegistryOrder,
    /// The last minute of the selected process.
    pub trail: Trail,
    /// Totals since the start instead of rates; the graph instead of the matrix.
    pub totals: bool,
    /// How many seconds a column of the charts is, by its place among those to choose from.
    pub zoom: usize,
    /// The column of a matrix that is chosen, by its node.
    pub column: Option<String>,
    /// What the filter said of traces.
    pub found: traces::search::Found,
    /// The page of a trace.
    pub waterfall: Unfolded,
    /// The decisions on the page of an exchange.
    pub decisions: Decisions,
}

/// The cluster as it was when the screen was frozen.
#[derive(Debug, Clone)]
pub struct Frozen {
    /// The copy.
    pub cluster: Cluster,
    /// When.
    pub at: Moment,
}

/// How a recording is played.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// How fast, when it plays.
    pub speed: f64,
    /// It stands still.
    pub paused: bool,
    /// How it ended, when it has.
    pub ended: Option<String>,
}

/// Speeds at which a recording may be played.
pub const SPEEDS: [f64; 5] = [0.25, 1.0, 4.0, 10.0, 60.0];

/// The whole state.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Now.
    pub now: Moment,
    /// Width and height of the terminal.
    pub size: (u16, u16),
    /// The open view.
    pub screen: Screen,
    /// The page of one row, shown instead.
    pub page: Option<Page>,
    /// Where to go back to, the latest last.
    pub back: Vec<Place>,
    /// What lies over it.
    pub overlay: Overlay,
    /// A short answer, which stands in the last line until the next key.
    pub told: Option<String>,
    /// The cluster, live.
    pub live: Cluster,
    /// The frozen copy that is shown instead.
    pub frozen: Option<Frozen>,
    /// The moment that is to be shown and has not been made again yet.
    pub recalling: Option<Moment>,
    /// The first moment that could be made again, when that was found out last.
    pub seen_since: Option<Moment>,
    /// What each view remembers, in the order of the tabs.
    pub panes: [Pane; Screen::COUNT],
    /// What is drawn.
    pub prepared: Prepared,
    /// The screen no longer shows what is prepared.
    pub dirty: bool,
    /// Orders can be given.
    pub console: bool,
    /// Faults that the console knows.
    pub faults: Vec<Known>,
    /// What the console said of itself last.
    pub board: Arc<Board>,
    /// When it said so.
    pub board_at: Option<Moment>,
    /// Links that are painted: an order given in the Mesh is aimed at all of them.
    pub painted: BTreeSet<(String, String)>,
    /// The caller's own line.
    pub status: Option<String>,
    /// How a recording is played; none where the cluster is live.
    pub replay: Option<Replay>,
    /// A recording is being written.
    pub recording: bool,
    /// The keys.
    pub keymap: Arc<Keymap>,
    /// Traces.
    pub traces: Traces,
    /// When spans came last.
    pub traced: Option<Moment>,
}

impl Model {
    /// A model for a terminal of this size; `console` says whether orders can be given.
    #[must_use]
    pub fn new(size: (u16, u16), screen: Screen, console: bool) -> Self {
        Self {
            size,
            screen,
            console,
            dirty: true,
            ..Self::default()
        }
    }

    /// What the open view remembers.
    #[must_use]
    pub fn pane(&self) -> &Pane {
        &self.panes[self.screen as usize]
    }

    /// What the open view remembers.
    pub fn pane_mut(&mut self) -> &mut Pane {
        &mut self.panes[self.screen as usize]
    }

    /// The cluster that is shown, and the time it is shown at.
    #[must_use]
    pub fn shown(&self) -> (&Cluster, Moment) {
        self.frozen
            .as_ref()
            .map_or((&self.live, self.now), |f| (&f.cluster, f.at))
    }

    /// What the console says of itself: of the live cluster, so nothing beside a recording.
    #[must_use]
    pub fn board(&self) -> Option<&Board> {
        (self.console && self.replay.is_none()).then_some(&*self.board)
    }

    /// A moment of the past is shown, or is about to be.
    #[must_use]
    pub fn is_back(&self) -> bool {
        self.frozen.is_some() || self.recalling.is_some()
    }

    /// What is selected: the chosen line of the open page, where it is a row of its own, or that page's row, or that of the
    /// view.
    #[must_use]
    pub fn selected(&self) -> Option<&RowId> {
        let Some(page) = &self.page else {
            return self.pane().cursor.id.as_ref();
        };
        let chosen = page.chosen.as_ref();
        Some(
            chosen
                .filter(|id| !matches!(id, RowId::Decision(_)))
                .unwrap_or(&page.id),
        )
    }

    /// Opens a view; a page is left, and there is nothing to go back to.
    pub fn open(&mut self, screen: Screen) {
        (self.screen, self.page) = (screen, None);
        self.back.clear();
    }

    /// Goes on to a view, or to a page over it, from where there is a way back.
    pub fn visit(&mut self, screen: Screen, page: Option<Page>) {
        let filter = self.panes[screen as usize].filter_text.clone();
        if self.back.len() == BACK_MAX {
            self.back.remove(0);
        }
        self.back.push(Place {
            screen: self.screen,
            page: self.page.take(),
            arrived: filter.clone(),
            filter,
        });
        (self.screen, self.page) = (screen, page);
    }

    /// The context that keys are read in.
    #[must_use]
    pub fn context(&self) -> Context {
        match &self.overlay {
            Overlay::None => Context::Main,
            Overlay::Help(_) => Context::Help,
            Overlay::Filter(_) => Context::Filter,
            Overlay::Palette(_) => Context::Palette,
            Overlay::Notice { .. } => Context::Done,
            Overlay::Question(question) => match question.stage {
                Stage::Form | Stage::Confirm => Context::Question,
                Stage::Typing(_) | Stage::Writing(_) => Context::Typing,
                Stage::Running | Stage::Done(_) => Context::Done,
            },
            Overlay::Chaos(dialog) => match dialog.stage {
                Stage::Form => Context::Form,
                Stage::Typing(_) | Stage::Writing(_) => Context::Typing,
                Stage::Confirm => Context::Confirm,
                Stage::Done(_) if dialog.slides() => Context::Slide,
                Stage::Running | Stage::Done(_) => Context::Done,
            },
        }
    }

    /// What the open view needs from the nodes.
    #[must_use]
    pub fn wants(&self) -> Wants {
        let of_page = self.page.as_ref().and_then(|page| match &page.id {
            RowId::Exchange(name) => Some(format!("name = \"{name}\" or name = \"{name}/*\"")),
            RowId::Node(name) => Some(format!("node = \"{name}\"")),
            RowId::Process(_, pid) => Some(format!("pid = \"{pid}\"")),
            _ => None,
        });
        if let Some(filter) = of_page {
            return Wants {
                processes: true,
                sort: "mailbox".to_owned(),
                reverse: false,
                filter,
                limit: 0,
                detail: self.watched(),
            };
        }
        let ((sort, reverse), filter, limit) = match self.screen {
            Screen::Processes => {
                let sort = crate::prepare::process_sort(self);
                (
                    sort,
                    self.panes[Screen::Processes as usize].filter_sent.as_str(),
                    0,
                )
            }
            Screen::Registry => (("age", false), crate::prepare::registry::PROCESSES, 0),
            // The fullest mailboxes are looked at in every view: they are what may go wrong.
            _ => (("mailbox", false), "", FULLEST),
        };
        Wants {
            processes: true,
            sort: sort.to_owned(),
            reverse,
            filter: filter.to_owned(),
            limit,
            detail: self.watched(),
        }
    }

    /// What the open page shows in detail, or the one that the open trace was gone to from: nodes forget what nobody watches.
    fn watched(&self) -> Option<Entity> {
        let page = match self.page.as_ref()? {
            Page {
                id: RowId::Trace(_), ..
            } => self.back.last()?.page.as_ref()?,
            page => page,
        };
        match &page.id {
            RowId::Exchange(name) => Some(Entity::Exchange(name.clone())),
            RowId::Process(node, pid) => Some(Entity::Process {
                node: node.clone(),
                pid: pid.clone(),
            }),
            _ => None,
        }
    }
}

/// Something happened.
#[derive(Debug, Clone)]
pub enum Message {
    /// Time went on.
    Tick(Moment),
    /// A click, or a turn of the wheel.
    Mouse(MouseEvent),
    /// Everything that was recorded has been played.
    ReplayEnded(String),
    /// The recording cannot be written on.
    RecordingFailed(String),
    /// A view was saved, or not.
    Saved(Result<String, String>),
    /// A text was given to the terminal, or not.
    Copied(Result<String, String>),
    /// A key.
    Key(KeyEvent),
    /// The terminal has this size now.
    Resize(u16, u16),
    /// The nodes sent something.
    Fed(Vec<Update>),
    /// The console says what the dialog's order would do.
    Previewed(Radius),
    /// The dialog's order was carried out, or not.
    Fired(Result<String, ConsoleError>),
    /// All faults were ended, or not.
    Halted(Result<String, ConsoleError>),
    /// What a question was about was done, or not.
    Answered(Wish, Result<String, ConsoleError>),
    /// The console says something new of itself.
    Board(Arc<Board>),
    /// The caller's own line changed.
    Status(String),
    /// A moment of the past was made again.
    Recalled(Found),
    /// What was seen before now cannot be made again any more.
    Forgotten,
    /// Spans came.
    Traced(Vec<Span>),
    /// How the sources of traces stand.
    Sourced(Vec<SourceStatus>),
}

/// Something to be done outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Cmd {
    /// End.
    Quit,
    /// Say what is wanted.
    Want(Wants),
    /// Ask the console what an order would do.
    Preview(Order, Picture),
    /// Carry an order out.
    Fire(Order, Picture),
    /// End all faults.
    Halt,
    /// Let new ones act again, for that reason.
    Unlock(String),
    /// Run that scenario.
    Run(String),
    /// End the run.
    Stop,
    /// Play the recording at that speed; 0 stands still.
    Play(f64),
    /// Play so many milliseconds of it at once.
    PlayOn(u64),
    /// Keep what came, for going back.
    Keep(Vec<Update>),
    /// Make a moment of the past again.
    Recall(Moment),
    /// Give a text to the terminal's clipboard.
    Copy(String),
    /// Save the view to a file; the name's ending says in which form.
    Save(String),
    /// Draw in other colours.
    Theme(theme::Palette),
    /// Ask for all of a trace.
    Trace(TraceId),
}
