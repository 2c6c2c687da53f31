//! The observer's whole state, the messages that change it, and the commands it asks for. What does not
//! live here: how it changes ([`crate::update`]) and how it looks ([`crate::view`]).

use crossterm::event::KeyEvent;
use squall_filter::Filter;

use crate::cluster::Cluster;
use crate::console::{ConsoleError, Order, Picture, Radius};
use crate::dialog::Dialog;
use crate::feed::{Update, Wants};
use crate::prepare::Prepared;
use crate::prepare::processes::detail::Trail;
use crate::prepare::processes::order::ProcessOrder;
use crate::table::{Cursor, Sort};
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
    /// Events.
    Timeline,
}

impl Screen {
    /// All views in the order of their tabs.
    pub const ALL: [Self; 6] = [
        Self::Overview,
        Self::Mesh,
        Self::Exchanges,
        Self::Leaders,
        Self::Processes,
        Self::Timeline,
    ];

    /// Title of the tab.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Mesh => "Mesh",
            Self::Exchanges => "Exchanges",
            Self::Leaders => "Leaders",
            Self::Processes => "Processes",
            Self::Timeline => "Timeline",
        }
    }

    /// The view of that name, as on the command line.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|s| s.title().eq_ignore_ascii_case(name))
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
    /// The last minute of the selected process.
    pub trail: Trail,
}

/// The cluster as it was when the screen was frozen.
#[derive(Debug, Clone)]
pub struct Frozen {
    /// The copy.
    pub cluster: Cluster,
    /// When.
    pub at: Moment,
}

/// The whole state.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Now.
    pub now: Moment,
    /// Width and height of the terminal.
    pub size: (u16, u16),
    /// The open view.
    pub screen: Screen,
    /// What lies over it.
    pub overlay: Overlay,
    /// The cluster, live.
    pub live: Cluster,
    /// The frozen copy that is shown instead.
    pub frozen: Option<Frozen>,
    /// What each view remembers, in the order of the tabs.
    pub panes: [Pane; 6],
    /// What is drawn.
    pub prepared: Prepared,
    /// The screen no longer shows what is prepared.
    pub dirty: bool,
    /// Orders can be given.
    pub console: bool,
    /// The caller's own line.
    pub status: Option<String>,
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

    /// What the open view needs from the nodes.
    #[must_use]
    pub fn wants(&self) -> Wants {
        let processes = self.screen == Screen::Processes;
        let sort = if processes {
            crate::prepare::process_sort_word(self)
        } else {
            ""
        };
        let pane = &self.panes[Screen::Processes as usize];
        Wants {
            processes,
            sort: sort.to_owned(),
            filter: if processes {
                pane.filter_sent.clone()
            } else {
                String::new()
            },
        }
    }
}

/// Something happened.
#[derive(Debug, Clone)]
pub enum Message {
    /// Time went on.
    Tick(Moment),
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
}
