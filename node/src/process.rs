//! The process table: everything with a pid, and its counters, read from outside without asking the process.
//!
//! What does not live here: what a process does, and which processes are worth showing.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use squall_kernel::id::{Boot, NodeId, Pid};
use squall_kernel::time::{Instant, Span};

mod bell;
mod load;
mod mailbox;
mod queue;
mod watched;

pub(crate) use bell::Bell;
pub(crate) use load::Load;
pub use mailbox::{Inbox, Mailbox, Push, mailbox};
use watched::Watched;
pub(crate) use watched::envelope_of;
pub use watched::{Bucket, Envelope, Inside, Letter, ProcessWatch, Sender, quantile};

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProcessKind {
    /// An exchange on its owner.
    Exchange,
    /// A handler, embedded or of a session.
    Handler,
    /// A client's session.
    Session,
    /// Sends requests without a session.
    Requester,
    /// Keeps the subscriptions of an exchange at this node.
    Subscriptions,
    /// Gets publishes, embedded or of a session.
    Subscriber,
}

impl ProcessKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Exchange,
        Self::Handler,
        Self::Session,
        Self::Requester,
        Self::Subscriptions,
        Self::Subscriber,
    ];

    /// True for those whose name is that of the exchange that they serve.
    #[must_use]
    pub const fn serves_an_exchange(self) -> bool {
        matches!(
            self,
            Self::Exchange | Self::Handler | Self::Subscriptions | Self::Subscriber
        )
    }

    /// The kind's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Handler => "handler",
            Self::Session => "session",
            Self::Requester => "requester",
            Self::Subscriptions => "subscriptions",
            Self::Subscriber => "subscriber",
        }
    }
}

/// A process as others see it. It is in the table for as long as somebody holds it.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    name: Arc<str>,
    kind: ProcessKind,
    started: Instant,
    bound: u32,
    enqueued: AtomicU64,
    dequeued: AtomicU64,
    oldest: AtomicU64,
    busy: AtomicU64,
    sent: AtomicU64,
    restarts: AtomicU64,
    dropped: AtomicU64,
    watchers: AtomicU32,
    /// Messages wait in a mailbox of this module.
    has_mailbox: AtomicBool,
    watched: Mutex<Option<Arc<Watched>>>,
    table: Weak<Rows>,
}

// A million processes must fit a node (256 bytes each beside their mailbox).
const _: () = assert!(size_of::<Process>() <= 256);

/// The figures of a process at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Pid.
    pub pid: Pid,
    /// Name, or what it serves.
    pub name: Arc<str>,
    /// Kind.
    pub kind: ProcessKind,
    /// Messages put into the mailbox.
    pub enqueued: u64,
    /// Messages taken out of it.
    pub dequeued: u64,
    /// Bound of the mailbox.
    pub bound: u32,
    /// Age of the oldest message, or a little more; zero when the mailbox is empty.
    pub oldest: Span,
    /// Time spent working.
    pub busy: Span,
    /// Messages sent out.
    pub sent: u64,
    /// Restarts.
    pub restarts: u64,
    /// Age.
    pub age: Span,
    /// Messages refused because the mailbox was full.
    pub dropped: u64,
}

impl ProcessFigures {
    /// Messages in the mailbox.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.enqueued.saturating_sub(self.dequeued)
    }
}

impl Process {
    /// Pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Name, or what it serves.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Counts a message put into the mailbox at `now`.
    pub fn count_enqueued(&self, now: Instant) {
        let before = self.enqueued.fetch_add(1, Relaxed);
        if before == self.dequeued.load(Relaxed) {
            self.oldest.store(now.0, Relaxed);
        }
    }

    /// Takes back a count of a message that did not fit.
    fn count_refused(&self) {
        self.enqueued.fetch_sub(1, Relaxed);
        self.count_dropped();
    }

    /// Counts a message that was taken out of the mailbox, and had been put there at `put`.
    pub fn count_dequeued(&self, put: Instant) {
        self.dequeued.fetch_add(1, Relaxed);
        // The next one was put there no earlier: close enough, and no look into the queue.
        self.oldest.store(put.0, Relaxed);
    }

    /// Counts a message that was refused.
    pub fn count_dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    /// Counts time spent working.
    #[inline]
    pub fn count_busy(&self, time: Span) {
        self.busy.fetch_add(time.0, Relaxed);
        if let Some(watched) = self.watched() {
            watched.worked(time);
        }
    }

    /// Takes in how long a message has waited, for whoever watches; mailboxes of this module do so by themselves.
    #[inline]
    pub fn count_wait(&self, time: Span) {
        if let Some(watched) = self.watched() {
            watched.waited(time);
        }
    }

    /// Watches it closely, until that is dropped.
    #[must_use]
    pub fn watch(self: &Arc<Self>) -> ProcessWatch {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        self.watchers.fetch_add(1, Relaxed);
        ProcessWatch::new(self, Arc::clone(watched.get_or_insert_default()))
    }

    fn unwatch(&self) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if self.watchers.fetch_sub(1, Relaxed) == 1 {
            *watched = None;
        }
    }

    /// What is kept while somebody watches. Asked for every message: while nobody does it is one look at a number.
    #[inline]
    fn watched(&self) -> Option<Arc<Watched>> {
        if self.watchers.load(Relaxed) == 0 {
            return None;
        }
        self.kept_for_watchers()
    }

    #[cold]
    fn kept_for_watchers(&self) -> Option<Arc<Watched>> {
        self.watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// True when its messages wait where a watch sees their envelopes.
    #[must_use]
    pub fn has_mailbox(&self) -> bool {
        self.has_mailbox.load(Relaxed)
    }

    /// Counts messages sent out.
    pub fn count_sent(&self, messages: u64) {
        self.sent.fetch_add(messages, Relaxed);
    }

    /// Counts a restart.
    pub fn count_restart(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    /// Messages in the mailbox, and how many fit. Never too many, but for those that are being refused.
    #[must_use]
    pub fn fill(&self) -> (u64, u64) {
        // Enqueued first: a message that passes in between must not count as one that is in.
        let enqueued = self.enqueued.load(Acquire);
        let depth = enqueued.saturating_sub(self.dequeued.load(Relaxed));
        (depth, u64::from(self.bound))
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> ProcessKind {
        self.kind
    }

    /// Its figures at `now`.
    #[must_use]
    pub fn figures(&self, now: Instant) -> ProcessFigures {
        // Dequeued first: a message that passes in between must not make the depth negative.
        let dequeued = self.dequeued.load(Relaxed);
        let enqueued = self.enqueued.load(Relaxed).max(dequeued);
        let oldest = Instant(self.oldest.load(Relaxed));
        ProcessFigures {
            pid: self.pid,
            name: Arc::clone(&self.name),
            kind: self.kind,
            enqueued,
            dequeued,
            bound: self.bound,
            oldest: if enqueued == dequeued {
                Span::ZERO
            } else {
                now.since(oldest)
            },
            busy: Span(self.busy.load(Relaxed)),
            sent: self.sent.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
            age: now.since(self.started),
            dropped: self.dropped.load(Relaxed),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(rows) = self.table.upgrade() {
            rows.write()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&self.pid.serial);
        }
    }
}

type Rows = RwLock<BTreeMap<u64, Weak<Process>>>;

/// All processes of a node.
#[derive(Debug)]
pub struct ProcessTable {
    node: NodeId,
    boot: Boot,
    last: AtomicU32,
    rows: Arc<Rows>,
}

impl ProcessTable {
    /// An empty table of the node's `boot`th run.
    #[must_use]
    pub fn new(node: NodeId, boot: Boot) -> Self {
        Self {
            node,
            boot,
            last: AtomicU32::new(0),
            rows: Arc::default(),
        }
    }

    /// Enters a process; it leaves the table when the last holder lets go of it. The name of its exchange is shared with that.
    #[must_use]
    pub fn enter(
        &self,
        kind: ProcessKind,
        name: impl Into<Arc<str>>,
        bound: usize,
        now: Instant,
    ) -> Arc<Process> {
        let n = self.last.fetch_add(1, Relaxed) + 1;
        let process = Arc::new(Process {
            pid: Pid::new(self.node, self.boot, n),
            name: name.into(),
            kind,
            started: now,
            bound: u32::try_from(bound).unwrap_or(u32::MAX),
            enqueued: AtomicU64::new(0),
            dequeued: AtomicU64::new(0),
            oldest: AtomicU64::new(now.0),
            busy: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            watchers: AtomicU32::new(0),
            has_mailbox: AtomicBool::new(false),
            watched: Mutex::default(),
            table: Arc::downgrade(&self.rows),
        });
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        rows.insert(process.pid.serial, Arc::downgrade(&process));
        process
    }

    /// The process of that number.
    #[must_use]
    pub fn get(&self, serial: u64) -> Option<Arc<Process>> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.get(&serial)?.upgrade()
    }

    /// Calls `with` for every process, in order of their start. The table is not locked meanwhile.
    pub fn each(&self, mut with: impl FnMut(&Process)) {
        let all: Vec<Arc<Process>> = {
            let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
            rows.values().filter_map(Weak::upgrade).collect()
        };
        for process in &all {
            with(process);
        }
    }

    /// Processes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn table() -> ProcessTable {
        ProcessTable::new(NodeId(7), Boot(2))
    }

    #[test]
    fn a_process_leaves_the_table_with_its_last_holder() {
        let table = table();
        let one = table.enter(ProcessKind::Session, "one", 4, Instant(0));
        let two = table.enter(ProcessKind::Handler, "two", 4, Instant(0));
        assert_eq!(two.pid(), Pid::new(NodeId(7), Boot(2), 2));
        drop(one);
        let mut names = Vec::new();
        table.each(|p| names.push(p.name().to_string()));
        assert_eq!(names, ["two"]);
    }

    #[test]
    fn a_full_mailbox_gives_the_message_back_and_counts_it() {
        let table = table();
        let process = table.enter(ProcessKind::Exchange, "orders", 2, Instant(0));
        let (mailbox, mut inbox) = mailbox(Arc::clone(&process), Clock::start(), 2);
        assert!(mailbox.push(1).is_ok() && mailbox.push(2).is_ok());
        assert!(matches!(mailbox.push(3), Err(Push::Full(3))));
        let figures = process.figures(Instant(u64::MAX));
        assert_eq!((figures.depth(), figures.dropped, figures.enqueued), (2, 1, 2));
        assert!(figures.oldest > Span::ZERO);
        assert_eq!(inbox.try_next().map(|(item, _)| item), Some(1));
        assert_eq!(inbox.try_next().map(|(item, _)| item), Some(2));
        assert_eq!(process.figures(Instant(u64::MAX)).oldest, Span::ZERO);
        drop(inbox);
        assert!(matches!(mailbox.push(4), Err(Push::Closed(4))));
    }
}
