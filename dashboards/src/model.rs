//! What a dashboard consists of. What does not live here: which there are (`boards`), and what Grafana calls all that (`grafana`).

/// One page of Grafana.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// What links name it by; it never changes.
    pub uid: &'static str,
    /// Its name.
    pub title: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What `@` stands for in its expressions: the matchers for what was chosen at its top.
    pub scope: &'static str,
    /// Its panels.
    pub rows: Vec<Row>,
}

/// Panels with a heading.
#[derive(Debug, Clone)]
pub struct Row {
    /// The heading.
    pub title: &'static str,
    /// From left to right; they wrap.
    pub panels: Vec<Panel>,
}

/// A picture of something.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Its name, unique in its dashboard.
    pub title: &'static str,
    /// What to look for in it, and what to do then.
    pub about: &'static str,
    /// How it is drawn.
    pub show: Show,
    /// What its values are counted in.
    pub unit: Unit,
    /// Of 24 columns.
    pub width: u32,
    /// From where on a value is good or bad.
    pub limit: Limit,
    /// Words for the values 0 and 1, where they are no numbers.
    pub words: Option<[&'static str; 2]>,
    /// What it asks.
    pub queries: Vec<Query>,
}

/// How a panel is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// The newest value, large.
    Number,
    /// The name of each series, large.
    Name,
    /// Curves over time.
    Lines,
    /// Curves over time, one upon the other.
    Stacked,
    /// What was when, a bar for each series.
    States,
    /// How many of which length, over time.
    Heat,
    /// The newest values as a table, one line for each series.
    Table,
}

/// What values are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Things a second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// A share of 1.
    Share,
}

/// Which values stand out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// None.
    None,
    /// From this one on.
    BadFrom(f64),
    /// Those below this one.
    BadBelow(f64),
}

/// A question to Prometheus.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// In PromQL, with Grafana's variables.
    pub expr: &'static str,
    /// How each series is called, with its labels in double braces.
    pub legend: &'static str,
}

/// A question with the place where it is asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Dashboard and panel, or annotation.
    pub place: String,
    /// In PromQL, with Grafana's variables.
    pub expr: String,
    /// How its series are called.
    pub legend: &'static str,
}

/// A moment or time that is marked in all panels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) name: &'static str,
    pub(crate) expr: &'static str,
    pub(crate) text: &'static str,
    pub(crate) colour: &'static str,
}

/// What every dashboard marks.
pub(crate) const MARKS: [Mark; 4] = [
    Mark {
        name: "Owners",
        expr: "max by (exchange) (changes(squall_exchange_epoch{job=\"$cluster\"}[30s])) > 0",
        text: "{{exchange}}: another owner",
        colour: "orange",
    },
    Mark {
        name: "Elections",
        expr: "max by (job) (changes(squall_meta_term{job=\"$cluster\"}[30s])) > 0",
        text: "election",
        colour: "purple",
    },
    Mark {
        name: "Starts",
        expr: "max by (instance) (resets(process_uptime_seconds{job=\"$cluster\"}[30s])) > 0",
        text: "{{instance}} was started anew",
        colour: "blue",
    },
    Mark {
        name: "Faults",
        expr: "sum by (kind) (squall_faults_active{job=\"$cluster\"}) > 0",
        text: "fault: {{kind}}",
        colour: "red",
    },
];

impl Dashboard {
    /// An expression with what `@` stands for.
    pub(crate) fn scoped(&self, expr: &str) -> String {
        expr.replace('@', self.scope)
    }

    /// All that is asked: by panels, and for marks.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        let panels = self.rows.iter().flat_map(|row| &row.panels);
        let of_panels = panels.flat_map(|panel| {
            panel.queries.iter().map(|query| Asked {
                place: format!("{} / {}", self.title, panel.title),
                expr: self.scoped(query.expr),
                legend: query.legend,
            })
        });
        let marks = MARKS.iter().map(|mark| Asked {
            place: format!("{} / marks: {}", self.title, mark.name),
            expr: mark.expr.to_owned(),
            legend: mark.text,
        });
        of_panels.chain(marks).collect()
    }
}

impl Panel {
    fn new(show: Show, title: &'static str, unit: Unit, about: &'static str) -> Self {
        Self {
            title,
            about,
            show,
            unit,
            width: if matches!(show, Show::Number | Show::Name) {
                4
            } else {
                8
            },
            limit: Limit::None,
            words: None,
            queries: Vec::new(),
        }
    }

    pub(crate) fn number(title: &'static str, unit: Unit, about: &'static str) -> Self {
        Self::new(Show::Number, title, unit, about)
    }

    pub(crate) fn name(title: &'static str, about: &'static str) -> Self {
        Self::new(Show::Name, title, Unit::Count, about)
    }

    pub(crate) fn lines(title: &'static str, unit: Unit, about: &'static str) -> Self {
        Self::new(Show::Lines, title, unit, about)
    }

    pub(crate) fn stacked(title: &'static str, unit: Unit, about: &'static str) -> Self {
        Self::new(Show::Stacked, title, unit, about)
    }

    pub(crate) fn states(title: &'static str, words: [&'static str; 2], about: &'static str) -> Self {
        let panel = Self::new(Show::States, title, Unit::Count, about);
        panel.said(words).bad_below(1.0)
    }

    pub(crate) fn heat(title: &'static str, unit: Unit, about: &'static str) -> Self {
        Self::new(Show::Heat, title, unit, about)
    }

    pub(crate) fn table(title: &'static str, unit: Unit, about: &'static str) -> Self {
        Self::new(Show::Table, title, unit, about)
    }

    pub(crate) fn ask(mut self, expr: &'static str, legend: &'static str) -> Self {
        self.queries.push(Query { expr, legend });
        self
    }

    pub(crate) fn wide(mut self, columns: u32) -> Self {
        self.width = columns;
        self
    }

    pub(crate) fn said(mut self, words: [&'static str; 2]) -> Self {
        self.words = Some(words);
        self
    }

    pub(crate) fn bad_from(mut self, value: f64) -> Self {
        self.limit = Limit::BadFrom(value);
        self
    }

    pub(crate) fn bad_below(mut self, value: f64) -> Self {
        self.limit = Limit::BadBelow(value);
        self
    }
}
