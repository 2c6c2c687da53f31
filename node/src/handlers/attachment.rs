//! One attachment: where its deliveries go, its fence, and how far it has followed the owner's messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_client::leadership::{Grants, Leadership};
use squall_kernel::exchange::Signature;
use squall_kernel::fence::Pass;
use squall_kernel::frame::Frame;
use squall_kernel::id::{ExchangeId, ExchangeName, Pid};
use squall_kernel::limits::BINDINGS_MAX;
use squall_kernel::message::Work;
use squall_kernel::reason::DetachReason;
use squall_kernel::tasks::{LeaseNo, TaskId};
use squall_kernel::time::Instant;
use squall_kernel::view::View;

use super::counts::DeliveryCounts;
use super::waiting::Line;
use super::{Fate, HandlerTags, Told};
use crate::process::{Process, Push};
use crate::spans::Attempt;

/// Where the messages of a handler go. Nothing here waits.
pub trait HandlerSink: Send + Sync {
    /// Takes a delivery that has passed the handler's fence.
    ///
    /// # Errors
    /// [`Push`] gives it back.
    fn deliver(
        &self,
        pass: Pass,
        handler: &Arc<Attachment>,
        frame: Box<Frame>,
    ) -> Result<(), Push<Box<Frame>>>;
    /// Takes a system message. False when there is no room: the handler's view is built anew then.
    fn system(&self, handler: &Arc<Attachment>, told: &Arc<Told>) -> bool;
    /// Whether it keeps what it is told as it is, shared with all others; what a client is told is written for each of its handlers.
    fn shares(&self) -> bool {
        false
    }
    /// Takes the owner's word about a task that the worker has, or had, in hand.
    fn settled(&self, handler: &Arc<Attachment>, frame: Frame);
    /// The handler begins to hold a lease of its leadership. Renewals are not told: they are asked for.
    fn leads(&self, handler: &Arc<Attachment>);
    /// The handler answered, or spoke to, a request that has ended or is another's.
    fn too_late(&self, handler: &Arc<Attachment>, frame: Frame) {
        let _ = (handler, frame);
    }
    /// Where a handler inside the node is told what faults do to it; none for a client's, for which that is done on the way.
    fn fate(&self) -> Option<&Fate> {
        None
    }
    /// The handler is detached.
    fn detached(&self, handler: &Arc<Attachment>, reason: DetachReason);
}

static NO_TAGS: HandlerTags = HandlerTags {
    service: String::new(),
    connection: String::new(),
    works: false,
};

/// A handler attached through this node.
pub struct Attachment {
    exchange: ExchangeId,
    name: ExchangeName,
    /// None where there are none.
    tags: Option<Box<HandlerTags>>,
    credit: u32,
    open: AtomicU32,
    process: Arc<Process>,
    sink: Arc<dyn HandlerSink>,
    counts: Arc<DeliveryCounts>,
    line: Option<Box<Line>>,
    view: Mutex<View>,
    /// Signatures delivered to it: what it claims when its exchange has another owner.
    bound: Mutex<BTreeSet<Signature>>,
    grants: Grants,
    next_ask: Mutex<Option<Instant>>,
    /// Tasks that the worker has in hand: what it says to the next owner. Bounded by its credit.
    in_hand: Mutex<BTreeMap<TaskId, (LeaseNo, Attempt)>>,
    /// Faults that were set later kill it, and let it panic: on the clock of the faults, in microseconds.
    killed: AtomicU64,
    panicked: AtomicU64,
}

impl Attachment {
    #[expect(clippy::too_many_arguments, reason = "what a handler is made of, set once")]
    pub(super) fn new(
        exchange: ExchangeId,
        name: ExchangeName,
        tags: HandlerTags,
        credit: u32,
        process: Arc<Process>,
        sink: Arc<dyn HandlerSink>,
        counts: Arc<DeliveryCounts>,
        line: Option<Line>,
        leads: bool,
        attached: Instant,
    ) -> Self {
        Self {
            exchange,
            name,
            in_hand: Mutex::default(),
            tags: (tags != NO_TAGS).then(|| Box::new(tags)),
            credit,
            open: AtomicU32::new(0),
            process,
            sink,
            counts,
            line: line.map(Box::new),
            view: Mutex::default(),
            bound: Mutex::default(),
            grants: if leads { Grants::default() } else { Grants::none() },
            next_ask: Mutex::default(),
            killed: AtomicU64::new(attached.0),
            panicked: AtomicU64::new(attached.0),
        }
    }

    /// Pid of the handler.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Exchange.
    #[must_use]
    pub fn exchange(&self) -> ExchangeId {
        self.exchange
    }

    /// Name of the exchange.
    #[must_use]
    pub fn name(&self) -> &ExchangeName {
        &self.name
    }

    /// Tags.
    #[must_use]
    pub fn tags(&self) -> &HandlerTags {
        self.tags.as_deref().unwrap_or(&NO_TAGS)
    }

    /// Its row in the process table.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Where deliveries wait that it does not take yet.
    pub(super) fn line(&self) -> Option<&Line> {
        self.line.as_deref()
    }

    pub(super) fn counts(&self) -> &DeliveryCounts {
        &self.counts
    }

    pub(super) fn sink(&self) -> &Arc<dyn HandlerSink> {
        &self.sink
    }

    /// The leadership that the handler holds now.
    #[must_use]
    pub fn leadership(&self) -> Option<Leadership> {
        self.grants.context().leadership()
    }

    /// What its leadership is granted through.
    pub(super) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// When the owner is next asked for its lease. Only the question planned last is asked.
    pub(super) fn plan_ask(&self, at: Option<Instant>) {
        *self.next_ask.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    pub(super) fn ask_is_planned(&self, at: Instant) -> bool {
        *self.next_ask.lock().unwrap_or_else(PoisonError::into_inner) == Some(at)
    }

    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a signature that passed the handler's fence. Called while the view is held: what an earlier owner's
    /// deliveries bring is remembered before the next owner is told, or does not pass. While the handler waits to be taken in
    /// after a loss nothing is its own: what it had was given away. True when it is remembered.
    pub(super) fn remember(&self, view: &View, signature: Signature) -> bool {
        if view.returned().is_some() {
            return false;
        }
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = bound.len() < BINDINGS_MAX;
        if fits {
            bound.insert(signature);
        }
        fits || bound.contains(&signature)
    }

    /// Signatures that it claims.
    pub(super) fn bound(&self) -> Vec<Signature> {
        let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        bound.iter().copied().collect()
    }

    /// Others may have any of them: it claims none.
    pub(super) fn unbind_all(&self) {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Others have them.
    pub(super) fn unbind(&self, signatures: &[Signature]) {
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        for signature in signatures {
            bound.remove(signature);
        }
    }

    /// What a worker tells the owner of itself; none for a handler of requests.
    pub(super) fn work(&self) -> Option<Work> {
        self.tags().works.then(|| Work {
            credit: self.credit,
            in_hand: self
                .in_hand()
                .iter()
                .map(|(task, (lease, _))| (*task, *lease))
                .collect(),
        })
    }

    /// Takes a task in hand. Of tasks whose end was never heard the oldest leases make room: they are over.
    pub(super) fn hold(&self, task: TaskId, lease: LeaseNo, attempt: Attempt) {
        let mut in_hand = self.in_hand();
        in_hand.insert(task, (lease, attempt));
        if in_hand.len() > self.credit as usize
            && let Some(oldest) = in_hand
                .iter()
                .min_by_key(|(_, (lease, _))| *lease)
                .map(|(task, _)| *task)
        {
            in_hand.remove(&oldest);
        }
    }

    pub(super) fn in_hand(&self) -> MutexGuard<'_, BTreeMap<TaskId, (LeaseNo, Attempt)>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True once for each fault that kills it: `set` is when the last one was.
    pub(super) fn dies_now(&self, set: Option<Instant>) -> bool {
        is_news(&self.killed, set)
    }

    /// The same of faults that let it panic.
    pub(super) fn panics_now(&self, set: Option<Instant>) -> bool {
        is_news(&self.panicked, set)
    }

    /// Takes one of the deliveries the handler accepts at once; false when all are out.
    pub(super) fn take_credit(&self) -> bool {
        if self.credit == u32::MAX {
            // Whoever takes any number is not counted.
            return true;
        }
        let taken = self.open.fetch_add(1, Ordering::Relaxed) < self.credit;
        if !taken {
            self.give_credit();
        }
        taken
    }

    /// A delivery was answered.
    pub(crate) fn give_credit(&self) {
        if self.credit == u32::MAX {
            return;
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a fault was set since; one that is set as the handler is attached counts.
fn is_news(since: &AtomicU64, set: Option<Instant>) -> bool {
    let behind = |set: Instant| set.0.saturating_add(1);
    set.is_some_and(|set| since.fetch_max(behind(set), Ordering::AcqRel) < behind(set))
}
