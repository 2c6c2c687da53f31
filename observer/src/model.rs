//! The observer's whole state, the messages that change it, and the commands it asks for. What does not
//! live here: how it changes ([`crate::update`]) and how it looks ([`crate::view`]).

use std::sync::Arc;

use crossterm::event::{KeyEvent, MouseEvent};
use squall_filter::Filter;

use crate::cluster::Cluster;
use crate::console::{ConsoleError, Order, Picture, Radius};
use crate::dialog::Dialog;
use crate::feed::{Entity, Update, Wants};
use crate::history::History;
use crate::keymap::Keymap;
use crate::palette::Palette;
use crate::prepare::Prepared;
use crate::prepare::processes::detail::Trail;
use crate::prepare::processes::order::ProcessOrder;
use crate::prepare::registry::order::RegistryOrder;
use crate::prepare::waterfall::Unfolded;
use crate::table::{Cursor, Motion, RowId, Sort};
use crate::theme;
use crate::traces::{self, SourceStatus, Span, TraceId, Traces};
use crate::units::Moment;

/// The views.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Screen {
    /// Nodes, load, health.
    #[default]
    Overview,
    /// Links.
    Mesh,
    /// Exchanges.
    Exchanges,
    /// Opinions on leadership.
    Leaders,
    /// Processes.
    Processes,
    /// What exists, by name.
    Registry,
    /// Events.
    Timeline,
    /// Traces.
    Traces,
    /// Active faults.
    Chaos,
}

impl Screen {
    /// How many views there are.
    pub const COUNT: usize = 9;

    /// All views in the order of their tabs.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Overview,
        Self::Mesh,
        Self::Exchanges,
        Self::Leaders,
        Self::Processes,
        Self::Registry,
        Self::Timeline,
        Self::Traces,
        Self::Chaos,
    ];

    /// Title of the tab.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Mesh => "Mesh",
            Self::Exchanges => "Exchanges",
            Self::Leaders => "Leaders",
            Self::Processes => "Processes",
            Self::Registry => "Registry",
            Self::Timeline => "Timeline",
            Self::Traces => "Traces",
            Self::Chaos => "Chaos",
        }
    }

    /// As it is written on the command line, in the configuration and in the palette.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Mesh => "mesh",
            Self::Exchanges => "exchanges",
            Self::Leaders => "leaders",
            Self::Processes => "processes",
            Self::Registry => "registry",
            Self::Timeline => "timeline",
            Self::Traces => "traces",
            Self::Chaos => "chaos",
        }
    }

    /// What it shows, in a few words.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Overview => "Overview: nodes, load",
            Self::Mesh => "Mesh: links, each direction",
            Self::Exchanges => "Exchanges: owners, rates",
            Self::Leaders => "Leaders: who believes what",
            Self::Processes => "Processes: mailboxes",
            Self::Registry => "Registry: what exists",
            Self::Timeline => "Timeline: what happened",
            Self::Traces => "Traces: spans of requests",
            Self::Chaos => "Chaos: faults that act",
        }
    }

    /// The view of that name, as on the command line.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|s| s.word().eq_ignore_ascii_case(name))
    }
}

/// What lies over the view.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Overlay {
    /// Nothing.
    #[default]
    None,
    /// The keys.
    Help,
    /// A filter is being typed.
    Filter(String),
    /// A command is being typed.
    Palette(Palette),
    /// The chaos dialog.
    Chaos(Box<Dialog>),
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

/// The page of one row, over its view.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What it is about.
    pub id: RowId,
    /// The first line that shows.
    pub first: usize,
    /// How to scroll when it is prepared next.
    pub motion: Motion,
}

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
    /// Totals since the start instead of rates.
    pub totals: bool,
    /// What the filter said of traces.
    pub found: traces::search::Found,
    /// The page of a trace.
    pub waterfall: Unfolded,
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
    /// What lies over it.
    pub overlay: Overlay,
    /// The cluster, live.
    pub live: Cluster,
    /// The frozen copy that is shown instead.
    pub frozen: Option<Frozen>,
    /// What each view remembers, in the order of the tabs.
    pub panes: [Pane; Screen::COUNT],
    /// What is drawn.
    pub prepared: Prepared,
    /// The screen no longer shows what is prepared.
    pub dirty: bool,
    /// Orders can be given.
    pub console: bool,
    /// The caller's own line.
    pub status: Option<String>,
    /// How a recording is played; none where the cluster is live.
    pub replay: Option<Replay>,
    /// A recording is being written.
    pub recording: bool,
    /// The keys.
    pub keymap: Arc<Keymap>,
    /// What was seen lately.
    pub history: History,
    /// Traces.
    pub traces: Traces,
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

    /// What is selected: the row of the open page, or that of the view.
    #[must_use]
    pub fn selected(&self) -> Option<&RowId> {
        let page = self.page.as_ref().map(|page| &page.id);
        page.or(self.pane().cursor.id.as_ref())
    }

    /// Opens a view; a page is left.
    pub fn open(&mut self, screen: Screen) {
        (self.screen, self.page) = (screen, None);
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
                filter,
                limit: 0,
                detail: self.watched(),
            };
        }
        let (sort, filter, limit) = match self.screen {
            Screen::Processes => {
                let sort = crate::prepare::process_sort_word(self);
                (
                    sort,
                    self.panes[Screen::Processes as usize].filter_sent.as_str(),
                    0,
                )
            }
            Screen::Registry => ("age", crate::prepare::registry::PROCESSES, 0),
            // The fullest mailboxes are looked at in every view: they are what may go wrong.
            _ => ("mailbox", "", FULLEST),
        };
        Wants {
            processes: true,
            sort: sort.to_owned(),
            filter: filter.to_owned(),
            limit,
            detail: None,
        }
    }

    /// What the open page shows in detail.
    fn watched(&self) -> Option<Entity> {
        match self.page.as_ref().map(|page| &page.id)? {
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
    /// The caller's own line changed.
    Status(String),
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
    Fire(Order),
    /// End all faults.
    Halt,
    /// Play the recording at that speed; 0 stands still.
    Play(f64),
    /// Play so many milliseconds of it at once.
    PlayOn(u64),
    /// Give a text to the terminal's clipboard.
    Copy(String),
    /// Save the view to a file; the name's ending says in which form.
    Save(String),
    /// Draw in other colours.
    Theme(theme::Palette),
    /// Ask for all of a trace.
    Trace(TraceId),
}
