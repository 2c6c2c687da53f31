//! What a node shows of itself: the seam to its parts ([`Sources`]), the choice and comparison of rows, the deltas
//! for one watcher, and the ring of events.
//!
//! What does not live here: gRPC (see `grpc::introspection`) and the figures themselves, which the parts keep in
//! atomics and snapshots.

pub mod detail;
pub mod engine;
pub mod events;
pub mod interest;
pub mod kinds;
pub mod limits;
pub mod opinions;
pub mod pace;
mod paced;
pub mod rows;
pub mod top;
pub mod trend;

use futures::future::BoxFuture;
use squall_kernel::id::{ExchangeName, NodeName, Pid};
use squall_kernel::tasks::TaskId;
use squall_proto::v1;
use tokio::sync::watch;

use crate::calendar::Calendar;
use crate::exchanges::{BindingQuestion, BindingReply};
use crate::metrics::Scrape;
use crate::telemetry::SpanSink;
pub use detail::{Detail, Entity, Look, NoDetail};
pub use events::EventLog;
pub use kinds::KindSet;
pub(crate) use paced::Paced;

/// Where the rows come from. Every call is a cheap read of atomics and snapshots: it takes no lock that message
/// traffic holds, and sends no process a message.
pub trait Sources: Send + Sync + 'static {
    /// Name of this node.
    fn node(&self) -> &NodeName;
    /// The calendar that dates what watchers get: shown to people, never compared.
    fn calendar(&self) -> &Calendar;
    /// Who the node is and whom it knows.
    fn hello(&self) -> v1::HelloResponse;
    /// Appends the rows of `kinds`, processes excepted.
    fn rows(&self, kinds: KindSet, out: &mut Vec<v1::Row>);
    /// Shows every process to `visit`, which keeps only what a watcher wants: nothing is allocated for the others.
    fn processes(&self, visit: &mut dyn FnMut(&ProcessView<'_>));
    /// Measures everything that the metrics' catalogue has.
    fn measure(&self, to: &mut Scrape);
    /// Where spans go, and which messages are traced.
    fn spans(&self) -> &SpanSink;
    /// True when this node hears from a majority of the voters.
    fn quorum(&self) -> bool;
    /// Figures of an exchange at this node that agree with each other; none when there is no such exchange.
    fn figures(&self, exchange: &ExchangeName) -> Option<v1::ExchangeFiguresResponse>;
    /// A page of the tasks of an exchange. It looks at the queue itself, which stands still as long: some hundred tasks.
    ///
    /// # Errors
    /// [`NoTasks`] when this node has none of them to show.
    fn tasks(&self, exchange: &ExchangeName, page: TaskPage) -> Result<v1::ListTasksResponse, NoTasks>;
    /// Asks the process of an exchange about its sticky bindings. Nothing on the way of messages waits for it, and it is no
    /// observer's question.
    fn bindings(
        &self,
        exchange: &ExchangeName,
        question: BindingQuestion,
    ) -> BoxFuture<'static, Result<BindingReply, NoBindings>>;
    /// Begins to watch one entity closely, until that is dropped.
    ///
    /// # Errors
    /// [`NoDetail`] when there is no such entity.
    fn detail(&self, entity: &Entity) -> Result<Box<dyn Detail>, NoDetail>;
}

/// Why a node neither shows nor changes bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoBindings {
    /// There is no such exchange.
    Unknown,
    /// The exchange is not sticky: its pattern or strategy, named here, binds nothing.
    NotSticky(&'static str),
    /// Its owner has them: the name of that node, empty while there is none.
    Elsewhere(String),
    /// The exchange was given away, or asked too much, before it answered: nothing is known of a change.
    Silent,
}

/// Which tasks to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskPage {
    /// Dead letters, else open tasks.
    pub dead: bool,
    /// Only those after this one; 0 for all.
    pub after: TaskId,
    /// At most so many.
    pub limit: usize,
}

/// Why a node shows no tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoTasks {
    /// There is no such exchange.
    Unknown,
    /// The exchange has another pattern, named here.
    OtherPattern(&'static str),
    /// Its owner has them: the name of that node, empty while there is none.
    Elsewhere(String),
}

/// A process as the table has it, borrowed for the time of one look. Fields as in `v1::ProcessRow`.
#[derive(Debug, Clone, Copy)]
pub struct ProcessView<'a> {
    /// Pid.
    pub pid: Pid,
    /// Name or what it serves.
    pub name: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Messages put into the mailbox.
    pub enqueued: u64,
    /// Messages taken out of it.
    pub dequeued: u64,
    /// Bound of the mailbox.
    pub bound: u64,
    /// Age of the oldest message in microseconds.
    pub oldest_us: u64,
    /// Microseconds spent working.
    pub busy_us: u64,
    /// Messages sent out.
    pub sent: u64,
    /// Restarts.
    pub restarts: u64,
    /// Milliseconds since it started.
    pub age_ms: u64,
    /// Messages refused because the mailbox was full.
    pub dropped: u64,
}

impl ProcessView<'_> {
    /// Messages in the mailbox.
    #[must_use]
    pub fn mailbox(&self) -> u64 {
        self.enqueued.saturating_sub(self.dequeued)
    }

    /// The row that goes over the wire; `pid` is the process id as people read it.
    #[must_use]
    pub fn row(&self, pid: String) -> v1::ProcessRow {
        v1::ProcessRow {
            pid,
            name: self.name.to_owned(),
            kind: self.kind.to_owned(),
            enqueued: self.enqueued,
            dequeued: self.dequeued,
            bound: self.bound,
            oldest_us: self.oldest_us,
            busy_us: self.busy_us,
            sent: self.sent,
            restarts: self.restarts,
            age_ms: self.age_ms,
            dropped: self.dropped,
        }
    }
}

/// Rouses every watcher at once when something important changed (a leader, an owner, a link's state, a fault),
/// so that it is on screen before the next regular update. Raise it after the change is readable in [`Sources`].
#[derive(Debug, Clone, Default)]
pub struct Wake(watch::Sender<u64>);

impl Wake {
    /// Rouses the watchers. Callable from any thread; costs nothing while nobody watches.
    pub fn raise(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// A receiver that has seen everything up to now.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
