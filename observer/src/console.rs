//! What the observer asks of a chaos console. The `chaos` crate implements it; the observer knows no
//! more of faults than what stands here.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;

/// Something destructive: what, to whom, for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The fault as it is written, such as `kill` or `delay 200ms ±50ms`.
    pub fault: String,
    /// Whom it is aimed at, such as `a`, `a -> b` or `owner(orders)`.
    pub target: String,
    /// Time until it ends by itself.
    pub ttl: Duration,
    /// Process id seen on the screen, of the one node that is aimed at; the order is refused when that node runs under
    /// another now.
    pub expect_os_pid: Option<u64>,
}

/// A fault that the console knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// How it is written.
    pub form: &'static str,
    /// One that can be fired as it stands.
    pub example: &'static str,
    /// True when it is aimed at links, false when at nodes.
    pub on_links: bool,
    /// What it does.
    pub does: &'static str,
}

/// The cluster as the watcher sees it when a dialog opens: what a preview is computed from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// Members.
    pub nodes: Vec<PictureNode>,
    /// Exchanges with their owners.
    pub exchanges: Vec<PictureExchange>,
    /// Meta leader, when one is known.
    pub meta_leader: Option<String>,
}

/// A member in a [`Picture`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureNode {
    /// Name.
    pub name: String,
    /// Votes in the registry's Raft group.
    pub voter: bool,
    /// Heard from in time.
    pub up: bool,
}

/// An exchange in a [`Picture`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureExchange {
    /// Name.
    pub name: String,
    /// Owner; none while there is none.
    pub owner: Option<String>,
    /// Node of the leader among its handlers; none while there is none, or where none is known.
    pub leader: Option<String>,
    /// Nodes with handlers of it, as far as they are known.
    pub handlers: Vec<String>,
}

/// The node in the text of a pid, `<node.number>`; none where that is none.
#[must_use]
pub fn node_of_pid(pid: &str) -> Option<String> {
    let (node, _number) = pid.strip_prefix('<')?.rsplit_once('.')?;
    Some(node.to_owned())
}

/// Blast radius: what an order will do, shown before it is fired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Radius {
    /// One-line statements, the worst first, e.g. "2 of 3 voters left: quorum holds".
    pub lines: Vec<String>,
    /// The registry loses its quorum.
    pub quorum_lost: bool,
    /// Text that must be typed before the order may be fired; none when a plain confirmation is enough.
    pub confirm_by_typing: Option<String>,
    /// It cannot be carried out; the first line says why.
    pub impossible: bool,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsoleError {
    /// Refused: names the reason and what to do.
    #[error("{0}")]
    Refused(String),
    /// The node or its supervisor could not be reached.
    #[error("{0}")]
    Unreachable(String),
}

/// What the console knows by itself: how the invariants fare, and which scenarios there are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Board {
    /// How the invariants fare; the reason why nobody judges, where nobody does.
    pub bar: Option<Result<Bar, String>>,
    /// Scenarios that can be run, in the order in which they are offered.
    pub scenarios: Vec<Scenario>,
    /// The run that goes on, or else the last one.
    pub run: Option<Run>,
    /// Where no new fault acts until it is unlocked.
    pub lock: Option<Lock>,
}

/// Nodes that take no new faults, since somebody halted them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Their names.
    pub nodes: Vec<String>,
    /// Who locked the first of them.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// The invariants, as they are judged while the cluster runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bar {
    /// Each of them, in order.
    pub invariants: Vec<Invariant>,
    /// What happened at all and how often, what never did included: that was not tested.
    pub seen: Vec<(String, u64)>,
    /// Events that were judged.
    pub events: u64,
}

/// One invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invariant {
    /// Its number, such as `I3`.
    pub id: String,
    /// What must hold.
    pub claim: String,
    /// What was found.
    pub verdict: Verdict,
}

/// What is said of an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It held, and there was something to hold.
    Holds,
    /// Nobody can say, for this reason.
    Unknown(String),
    /// It was broken.
    Broken {
        /// In words.
        text: String,
        /// The earlier of the two events that cannot both be, where there is one.
        first: Option<String>,
        /// The event that broke it.
        second: String,
    },
}

/// A scenario that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Name.
    pub name: String,
    /// What one learns from it: a paragraph.
    pub teaches: String,
    /// What it does: a line for each step.
    pub steps: Vec<String>,
}

/// A run of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Scenario.
    pub scenario: String,
    /// How it ended: `passed`, `failed`, `halted`, `unknown`; none while it goes on.
    pub ended: Option<String>,
    /// What was told of it, a line each, the newest last; bounded.
    pub lines: Vec<String>,
    /// Where its report is, when it has ended.
    pub report: Option<String>,
}

/// A chaos console behind the observer.
pub trait Console: Send + Sync + 'static {
    /// The faults it knows, in the order in which they are offered.
    fn known(&self) -> Vec<Known>;
    /// Blast radius of `order` on the cluster of `picture`. Pure and quick: called while drawing a dialog.
    fn preview(&self, order: &Order, picture: &Picture) -> Radius;
    /// Carries `order` out on the cluster of `picture`; the text says what was done.
    fn fire(&self, order: Order, picture: Picture) -> BoxFuture<'static, Result<String, ConsoleError>>;
    /// Ends all faults everywhere, and lets no new ones act until [`Self::unlock`]; the text says how many.
    fn halt(&self) -> BoxFuture<'static, Result<String, ConsoleError>>;
    /// Lets new faults act again after a halt. `reason` says why that is safe; the text says where.
    fn unlock(&self, reason: String) -> BoxFuture<'static, Result<String, ConsoleError>>;
    /// What the console knows by itself, as it changes: at most a few times a second.
    fn board(&self) -> watch::Receiver<Arc<Board>>;
    /// Begins a run of that scenario on the cluster that is watched; what becomes of it is on the board.
    fn run(&self, scenario: String) -> BoxFuture<'static, Result<String, ConsoleError>>;
    /// Ends the run that goes on, and undoes its faults.
    fn stop(&self) -> BoxFuture<'static, Result<String, ConsoleError>>;
}
