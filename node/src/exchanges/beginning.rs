//! How the ownership of an exchange begins: its machine, with what is known of before, and its process.
//!
//! What does not live here: the process's life (`run`), what came in a move (`moving`), and the queue of tasks (`tasks`).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use squall_kernel::dedup::DedupWindow;
use squall_kernel::exchange::{Exchange, ExchangeConfig};
use squall_kernel::id::{Epoch, ExchangeId, NodeId, Pid};
use squall_kernel::limits::MAILBOX_BOUND;
use squall_kernel::registry::{ExchangeRecord, Pattern, Registry};
use squall_kernel::time::Span;

use super::Exchanges;
use super::asking::Asking;
use super::operating::Waiting;
use super::post::{Owned, Post};
use super::run::{Past, Running};
use super::telling::Telling;
use crate::failover::Takeover;
use crate::functions::Ready;
use crate::journal::MachineKind;
use crate::process::{ProcessKind, mailbox};

impl Exchanges {
    /// Starts the process; `before` is the one that this node had, when nobody else can have owned the exchange since.
    pub(super) fn begin(&self, record: &ExchangeRecord, settle: Span, before: Option<Owned>) -> Owned {
        let context = Arc::clone(&self.context);
        let now = context.clock.now();
        let config = config(&context.registry(), record, settle);
        let function = record.function.as_ref();
        let asking = function.map(|function| Asking::new(Ready::of(function, &context.functions)));
        let process = context
            .processes
            .enter(ProcessKind::Exchange, &record.name, MAILBOX_BOUND, now);
        let (mailbox, inbox) = mailbox(Arc::clone(&process), context.clock.clone(), MAILBOX_BOUND);
        let post = Arc::new(Post::default());
        let id = format!("{}@{}", record.id, record.epoch);
        if let Some(journal) = &context.journal {
            journal.start(MachineKind::Exchange, &id, now, &config);
        }
        let left = || before.as_ref().and_then(|before| before.post.take_left());
        let mut state = self.arrived(record).or_else(left);
        let moved = state.as_mut().and_then(|state| state.tasks.take());
        // It had left, and said what it knew; or that is waited for, but for the queue.
        let before = before.filter(|_| state.is_none());
        let kept = before.as_ref().and_then(|before| before.queue.take());
        let tasks = self.tasks_of(record, now, moved, kept);
        let running = Running {
            core: Exchange::new(now, config),
            id: record.id,
            name: record.name.clone(),
            strategy: record.strategy,
            journal_id: id,
            context: Arc::clone(&context),
            process,
            inbox,
            post: Arc::clone(&post),
            attached: BTreeMap::new(),
            asking,
            missed: BTreeMap::new(),
            telling: Telling::default(),
            effects: Vec::new(),
            wanted: self.wanted.clone(),
            tasks,
            ttl: record.settings.ttl,
            known: known(record),
            parts: None,
            replicas: Arc::clone(&self.replicas),
            waiting: Waiting::default(),
            shown: None,
            taken_over: self.take_takeover(record.id),
        };
        let queue = running
            .tasks
            .as_ref()
            .map(|tasks| Arc::clone(&tasks.queue))
            .unwrap_or_default();
        let past = before.map_or(Past::Known(state), Past::Leaving);
        let running = context.runtime.spawn(running.run(past, record.backup));
        Owned {
            epoch: record.epoch,
            leader: record.leader,
            backup: record.backup,
            queue,
            mailbox,
            post,
            running,
        }
    }
}

impl Exchanges {
    fn take_takeover(&self, exchange: ExchangeId) -> Option<Takeover> {
        let mut known = self.taken_over.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&exchange)
    }
}

/// The window of ids, where the exchange passes publishes on to handlers and is to remember them.
fn known(record: &ExchangeRecord) -> Option<DedupWindow> {
    let span = record.settings.dedup?;
    (record.pattern == Pattern::InvertedPublishSubscribe).then(|| DedupWindow::new(span))
}

fn config(registry: &Registry, record: &ExchangeRecord, settle: Span) -> ExchangeConfig {
    ExchangeConfig {
        id: record.id,
        strategy: record.strategy,
        epoch: record.epoch,
        leader: record.leader,
        leader_gone: record
            .leader
            .is_some_and(|leader| has_ended(registry, leader.pid)),
        settle,
        awaited: awaited(registry, record),
        promise: settle,
    }
}

/// True once the run of the node that gave the pid out has ended, as the registry has it. One that follows may not have joined
/// yet, and has handlers all the same.
pub(super) fn has_ended(registry: &Registry, pid: Pid) -> bool {
    let node = registry.nodes.get(&pid.node);
    node.is_none_or(|node| pid.boot() < node.first_run())
}

/// Nodes that may have handlers of an exchange which had another owner before.
fn awaited(registry: &Registry, record: &ExchangeRecord) -> Vec<NodeId> {
    if record.epoch <= Epoch(1) {
        return Vec::new();
    }
    let up = registry.nodes.values().filter(|node| node.is_up());
    up.map(|node| node.id).collect()
}
