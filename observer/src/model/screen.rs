//! The views, by their tabs and words.

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
    /// Invariants, active faults, scenarios.
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
            Self::Chaos => "Chaos: faults, scenarios",
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
