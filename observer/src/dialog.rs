//! The chaos dialog's state: a target frozen when it opens, what to do to it, for how long, and how far it
//! has come. What does not live here: keys ([`crate::update`]), drawing ([`crate::view`]).

use std::time::Duration;

use crate::cluster::Cluster;
use crate::console::{Known, Order, Radius};
use crate::facts;
use crate::units::{Moment, millis};

/// What is aimed at, as it was when the dialog opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A node.
    Node {
        /// Its name.
        name: String,
        /// Its incarnation and process id then.
        was: Run,
        /// The exchange that it was aimed at as the owner of.
        owns: Option<String>,
    },
    /// A directed link.
    Link {
        /// Node that sends.
        from: String,
        /// Node that receives.
        to: String,
        /// The sender's incarnation and process id then.
        was: Run,
        /// The receiver's.
        other: Run,
    },
}

/// One run of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Run {
    /// Incarnation; 0 when it was never heard.
    pub incarnation: u64,
    /// Process id, when known.
    pub os_pid: Option<u64>,
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Kill a node.
    Kill,
    /// Stop it by a signal.
    Pause,
    /// Let it go on.
    Resume,
    /// Kill and start it.
    Restart,
    /// Delay a link.
    Delay,
    /// Lose a share of what goes over a link.
    Loss,
    /// Cut a link.
    Cut,
    /// Another fault that the console knows, by its place among [`Dialog::others`].
    Other(usize),
}

/// A line of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// What to do.
    Deed,
    /// For how long.
    Ttl,
    /// How much later.
    Delay,
    /// How much is lost.
    Loss,
    /// Another fault, as it is written.
    Words,
    /// Whom it is aimed at.
    Whom,
}

/// How far the dialog has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Choosing.
    Form,
    /// The target's name is being typed.
    Typing(String),
    /// A fault is being written.
    Writing(String),
    /// Asked once more.
    Confirm,
    /// Being carried out.
    Running,
    /// Done, or refused.
    Done(Result<String, String>),
}

/// The dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    /// The target.
    pub target: Target,
    /// Deed chosen.
    pub deed: Deed,
    /// Line of the form that the arrows change.
    pub field: Field,
    /// Index into [`TTLS_MS`]; one beyond it means "stays down".
    pub ttl: usize,
    /// Index into [`DELAYS_MS`].
    pub delay: usize,
    /// Index into [`LOSSES_PERCENT`].
    pub loss: usize,
    /// Faults of the console's that fit the target, beside those that have a form of their own.
    pub others: Vec<Known>,
    /// The chosen one of them as it is written now; empty for its example.
    pub words: String,
    /// Whom the order may be aimed at: the target itself first, then roles and shapes that it has.
    pub whom: Vec<String>,
    /// Index into these.
    pub aim: usize,
    /// What it would do to the cluster.
    pub radius: Option<Radius>,
    /// How far it has come.
    pub stage: Stage,
}

/// Times to choose from.
pub const TTLS_MS: [u64; 6] = [5_000, 10_000, 30_000, 60_000, 120_000, 300_000];
/// Delays to choose from; the jitter is a quarter of them.
pub const DELAYS_MS: [u64; 7] = [10, 50, 100, 200, 500, 1_000, 5_000];
/// Losses to choose from.
pub const LOSSES_PERCENT: [u32; 6] = [1, 2, 5, 10, 20, 50];
const NODE_DEEDS: [Deed; 4] = [Deed::Kill, Deed::Pause, Deed::Resume, Deed::Restart];
const LINK_DEEDS: [Deed; 3] = [Deed::Delay, Deed::Loss, Deed::Cut];

impl Deed {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Restart => "restart",
            Self::Delay => "delay",
            Self::Loss => "loss",
            Self::Cut => "cut",
            Self::Other(_) => "another fault",
        }
    }
}

/// The console's word for it is that of a deed with a form of its own.
fn has_form(known: &Known) -> bool {
    let word = known.example.split_whitespace().next();
    let own = NODE_DEEDS.iter().chain(&LINK_DEEDS);
    own.map(|deed| deed.as_str()).any(|own| Some(own) == word)
}

impl Dialog {
    /// A dialog on a target, with the first of its deeds chosen; it offers what the console knows and fits.
    #[must_use]
    pub fn new(target: Target, whom: Vec<String>, known: &[Known]) -> Self {
        let on_links = matches!(target, Target::Link { .. });
        let others = known
            .iter()
            .filter(|known| known.on_links == on_links && !has_form(known));
        let others: Vec<Known> = others.copied().collect();
        let deed = match target {
            Target::Node { .. } => Deed::Kill,
            Target::Link { .. } => Deed::Delay,
        };
        Self {
            target,
            deed,
            field: Field::Deed,
            ttl: 1,
            delay: 3,
            loss: 2,
            others,
            words: String::new(),
            whom,
            aim: 0,
            radius: None,
            stage: Stage::Form,
        }
    }

    /// Deeds that fit the target.
    #[must_use]
    pub fn deeds(&self) -> Vec<Deed> {
        let own: &[Deed] = match self.target {
            Target::Node { .. } => &NODE_DEEDS,
            Target::Link { .. } => &LINK_DEEDS,
        };
        let others = (0..self.others.len()).map(Deed::Other);
        own.iter().copied().chain(others).collect()
    }

    /// The word for a deed.
    #[must_use]
    pub fn word(&self, deed: Deed) -> &str {
        match deed {
            Deed::Other(place) => self.others.get(place).map_or("", |known| {
                known.example.split_whitespace().next().unwrap_or_default()
            }),
            deed => deed.as_str(),
        }
    }

    /// Lines of the form that count for the deed.
    #[must_use]
    pub fn fields(&self) -> Vec<Field> {
        let own: &[Field] = match self.deed {
            Deed::Resume | Deed::Restart => &[Field::Deed],
            Deed::Kill | Deed::Pause | Deed::Cut => &[Field::Deed, Field::Ttl],
            Deed::Delay => &[Field::Deed, Field::Delay, Field::Ttl],
            Deed::Loss => &[Field::Deed, Field::Loss, Field::Ttl],
            Deed::Other(_) => &[Field::Deed, Field::Words, Field::Ttl],
        };
        let whom = (self.whom.len() > 1).then_some(Field::Whom);
        own.iter().copied().chain(whom).collect()
    }

    /// Another fault as it is written now.
    #[must_use]
    pub fn written(&self) -> &str {
        let example = match self.deed {
            Deed::Other(place) => self.others.get(place).map_or("", |known| known.example),
            _ => "",
        };
        if self.words.is_empty() {
            example
        } else {
            &self.words
        }
    }

    /// How another fault is written, and what it does.
    #[must_use]
    pub fn known(&self) -> Option<&Known> {
        match self.deed {
            Deed::Other(place) => self.others.get(place),
            _ => None,
        }
    }

    /// Whom the order is aimed at.
    #[must_use]
    pub fn aimed_at(&self) -> &str {
        self.whom.get(self.aim).map_or("", String::as_str)
    }

    /// True when how much of it can be changed while it acts.
    #[must_use]
    pub fn slides(&self) -> bool {
        matches!(self.deed, Deed::Delay | Deed::Loss) && matches!(self.stage, Stage::Done(Ok(_)))
    }

    /// More or less of it, while it acts.
    pub fn slide(&mut self, up: bool) {
        self.field = if self.deed == Deed::Loss {
            Field::Loss
        } else {
            Field::Delay
        };
        self.change(up);
    }

    /// Goes to another line of the form.
    pub fn move_field(&mut self, down: bool) {
        let fields = self.fields();
        let at = fields.iter().position(|f| *f == self.field).unwrap_or(0);
        let next = if down {
            (at + 1).min(fields.len() - 1)
        } else {
            at.saturating_sub(1)
        };
        self.field = fields[next];
    }

    /// Changes the value of the line.
    pub fn change(&mut self, up: bool) {
        let step = |at: usize, len: usize| {
            if up {
                (at + 1).min(len - 1)
            } else {
                at.saturating_sub(1)
            }
        };
        match self.field {
            Field::Deed => {
                let deeds = self.deeds();
                let at = deeds.iter().position(|d| *d == self.deed).unwrap_or(0);
                self.deed = deeds[step(at, deeds.len())];
                self.words.clear();
                self.ttl = self.ttl.min(self.ttls() - 1);
            }
            Field::Ttl => self.ttl = step(self.ttl, self.ttls()),
            Field::Delay => self.delay = step(self.delay, DELAYS_MS.len()),
            Field::Loss => self.loss = step(self.loss, LOSSES_PERCENT.len()),
            Field::Whom => self.aim = step(self.aim, self.whom.len()),
            // It is written, not chosen.
            Field::Words => {}
        }
    }

    /// True when a killed node is not to be started again.
    #[must_use]
    pub fn stays_down(&self) -> bool {
        self.deed == Deed::Kill && self.ttl >= TTLS_MS.len()
    }

    /// The time chosen, in words.
    #[must_use]
    pub fn ttl_words(&self) -> String {
        match self.deed {
            _ if self.stays_down() => "stays down".to_owned(),
            Deed::Kill => format!("started again after {}", millis(self.ttl_ms())),
            Deed::Pause => format!("thawed after {}", millis(self.ttl_ms())),
            _ => format!("ends after {}", millis(self.ttl_ms())),
        }
    }

    /// The delay chosen, in words.
    #[must_use]
    pub fn delay_words(&self) -> String {
        let ms = DELAYS_MS[self.delay.min(DELAYS_MS.len() - 1)];
        format!("{} ± {}", millis(ms), millis(ms / 4))
    }

    /// The loss chosen, in words.
    #[must_use]
    pub fn loss_words(&self) -> String {
        format!("{}%", self.loss_percent())
    }

    /// The order the form makes.
    #[must_use]
    pub fn order(&self) -> Order {
        // A role may be another node's by the time it is fired: that is what roles are for.
        let itself = self.aim == 0 && self.deed != Deed::Resume;
        let expect_os_pid = match &self.target {
            Target::Node { was, .. } => was.os_pid.filter(|_| itself),
            Target::Link { .. } => None,
        };
        Order {
            fault: self.fault(),
            target: self.aimed_at().to_owned(),
            ttl: Duration::from_millis(self.ttl_ms()),
            expect_os_pid,
        }
    }

    /// What is chosen, as the console reads it.
    fn fault(&self) -> String {
        let word = self.deed.as_str();
        match self.deed {
            Deed::Other(_) => self.written().to_owned(),
            Deed::Kill if self.stays_down() => format!("{word} stay-down"),
            Deed::Kill | Deed::Pause | Deed::Resume | Deed::Restart | Deed::Cut => word.to_owned(),
            Deed::Loss => format!("{word} {}%", self.loss_percent()),
            Deed::Delay => {
                let us = 1_000 * DELAYS_MS[self.delay.min(DELAYS_MS.len() - 1)];
                format!("{word} {us}us ±{}us", us / 4)
            }
        }
    }

    /// Why the order may not be fired any more: the target is not what it was.
    #[must_use]
    pub fn changed(&self, cluster: &Cluster, now: Moment) -> Option<String> {
        if self.aim > 0 {
            // Whoever has the role when it is fired is meant.
            return None;
        }
        match &self.target {
            Target::Node { name, was, owns } => {
                let owned = owns
                    .as_deref()
                    .filter(|owned| owner(cluster, now, owned).as_ref() != Some(name));
                let moved =
                    owned.map(|owned| format!("{name} does not own {owned} any more. Nothing was done."));
                replaced(cluster, name, was).or(moved)
            }
            Target::Link { from, to, was, other } => {
                replaced(cluster, from, was).or_else(|| replaced(cluster, to, other))
            }
        }
    }

    fn ttls(&self) -> usize {
        TTLS_MS.len() + usize::from(self.deed == Deed::Kill)
    }

    fn loss_percent(&self) -> u32 {
        LOSSES_PERCENT[self.loss.min(LOSSES_PERCENT.len() - 1)]
    }

    fn ttl_ms(&self) -> u64 {
        TTLS_MS[self.ttl.min(TTLS_MS.len() - 1)]
    }
}

/// What a node is now, where that is not what it was.
fn replaced(cluster: &Cluster, name: &str, was: &Run) -> Option<String> {
    let is = run(cluster, name);
    if is == *was {
        return None;
    }
    let pid = |r: &Run| r.os_pid.map_or_else(|| "none".to_owned(), |p| p.to_string());
    Some(format!(
        "{name} is not what it was when this opened: incarnation {} is {} now, process {} is {}. Nothing was done.",
        was.incarnation,
        is.incarnation,
        pid(was),
        pid(&is),
    ))
}

/// Who owns an exchange, by the newest registry that could be read.
#[must_use]
pub fn owner(cluster: &Cluster, now: Moment, exchange: &str) -> Option<String> {
    let all = facts::exchanges(cluster, now);
    all.into_iter().find(|e| e.name == exchange)?.owner
}

/// The run of a node as it is known now.
#[must_use]
pub fn run(cluster: &Cluster, name: &str) -> Run {
    cluster
        .nodes
        .get(name)
        .map(|n| Run {
            incarnation: n.incarnation(),
            os_pid: n.os_pid(),
        })
        .unwrap_or_default()
}
