//! The process of one owned exchange: takes from the mailbox, steps the kernel's machine, carries its effects out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use squall_kernel::dedup::DedupWindow;
use squall_kernel::exchange::{Exchange, ExchangeEffect, ExchangeInput, RequestKey, Signature};
use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{Boot, ExchangeId, ExchangeName, NodeId, Pid, Revision};
use squall_kernel::message::{MoveState, Parts, Work};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{Command, NodeRecord, Strategy};
use squall_kernel::tasks::TaskInput;
use squall_kernel::time::{Instant, Span};
use tokio::sync::mpsc;

use super::asking::Asking;
use super::beginning::has_ended;
use super::effects::About;
use super::operating::Waiting;
use super::post::{Mail, Orders, Owned, Post};
use super::replicas::Replicas;
use super::tasks::Tasks;
use super::telling::Telling;

use crate::data::DataContext;
use crate::failover::Takeover;
use crate::journal::{MachineKind, PublishEvent};
use crate::limits::{ATTACH_CAP, BATCH_MAX};
use crate::process::{Inbox, Process};

/// Messages of a full mailbox that are taken at one reading of the clock: for some microseconds.
const AT_ONE_TIME: usize = 8;

/// What is known of the exchange before this ownership of it.
pub(super) enum Past {
    /// What the owner before knew, when it moved here.
    Known(Option<MoveState>),
    /// This node's own process, whose move was cancelled, knows it.
    Leaving(Owned),
}

pub(super) struct Running {
    pub(super) core: Exchange,
    pub(super) id: ExchangeId,
    pub(super) name: ExchangeName,
    pub(super) strategy: Strategy,
    pub(super) journal_id: String,
    pub(super) context: Arc<DataContext>,
    pub(super) process: Arc<Process>,
    pub(super) inbox: Inbox<Mail>,
    pub(super) post: Arc<Post>,
    /// Handlers the kernel has, with their service tags: to attach those of a node's next run again.
    pub(super) attached: BTreeMap<Pid, String>,
    pub(super) asking: Option<Asking>,
    /// Nodes that missed a system message, and when they are told again.
    pub(super) missed: BTreeMap<NodeId, Instant>,
    pub(super) telling: Telling,
    pub(super) effects: Vec<ExchangeEffect>,
    pub(super) wanted: mpsc::Sender<Command>,
    pub(super) tasks: Option<Tasks>,
    /// How long a publish for one handler is good for that names no time.
    pub(super) ttl: Option<Span>,
    /// Ids of publishes that were passed on, where they are remembered.
    pub(super) known: Option<DedupWindow>,
    /// What travels in a move, when it is too large for one message.
    pub(super) parts: Option<Parts>,
    pub(super) replicas: Arc<Replicas>,
    /// Operators who wait for a change of a binding.
    pub(super) waiting: Waiting,
    /// When it last showed how it stands, to whoever watches.
    pub(super) shown: Option<Instant>,
    /// What is told of how it came here, until its first handler knows; where that is told at all.
    pub(super) taken_over: Option<Takeover>,
}

impl Running {
    /// Runs until it is stopped; `backup` holds the second copy of its tasks.
    pub(super) async fn run(mut self, past: Past, backup: Option<NodeId>) {
        let state = match past {
            Past::Known(state) => state,
            Past::Leaving(before) => {
                let post = Arc::clone(&before.post);
                before.leave(self.context.node).await;
                // Its queue was taken over at once.
                post.take_left().map(|state| MoveState { tasks: None, ..state })
            }
        };
        if let Some(state) = state {
            self.resume(state);
            self.announced();
        }
        self.begin_tasks(backup);
        let post = Arc::clone(&self.post);
        post.wake.begin().await;
        let mut due = self.next_timeout();
        loop {
            let wakes_at = due.into_iter().chain(self.show_at()).min();
            let wait = self.context.clock.wait(wakes_at);
            let (ordered, first) = tokio::select! {
                biased;
                () = post.wake.notified() => (true, None),
                mail = self.inbox.next() => match mail {
                    Some(mail) => (false, Some(mail)),
                    None => return,
                },
                () = wait => (false, None),
            };
            let begun = self.context.clock.now();
            // Also what was ordered before somebody put the message in that was just taken out.
            if ordered || post.wake.hear() {
                self.carry_out_orders(begun);
            }
            self.take(begun, first);
            // Looked at in every turn: a mailbox that is never empty must not hold up what is due.
            let mut ended = self.context.clock.now();
            due = self.next_timeout();
            if due.is_some_and(|due| due <= ended) {
                self.tick(ended);
                ended = self.context.clock.now();
                due = self.next_timeout();
            }
            self.show_if_due();
            self.process.count_busy(ended.since(begun));
            self.post
                .handlers
                .store(self.core.handlers() as u64, Ordering::Relaxed);
            self.post
                .bindings
                .store(self.core.bindings() as u64, Ordering::Relaxed);
        }
    }

    /// Nodes may have been lost while the state was under way.
    fn resume(&mut self, state: MoveState) {
        let now = self.context.clock.now();
        let registry = self.context.registry_kept();
        let handlers = state.servers.iter().map(|s| s.pid);
        let gone: BTreeSet<NodeId> = handlers
            .chain(state.routes.iter().map(|r| r.handler))
            .filter(|pid| has_ended(&registry, *pid))
            .map(|pid| pid.node)
            .collect();
        if let Some(known) = &mut self.known {
            known.absorb(now, &state.ids);
            let epoch = self.core.epoch();
            self.context
                .tell_publish(self.id, || PublishEvent::Remembers { epoch });
        }
        let there = state.servers.iter().map(|s| (s.pid, s.service_tag.clone()));
        self.attached.extend(there);
        self.step(now, &ExchangeInput::Resume { state });
        for node in gone {
            let first = registry.nodes.get(&node).map(NodeRecord::first_run);
            self.node_lost(now, node, first);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        let missed = self.missed.values().min().copied();
        let tasks = self.tasks_timeout();
        let taken_over = self.taken_over.as_ref().map(Takeover::due);
        [
            self.core.next_timeout(),
            missed,
            self.telling.next_due(),
            tasks,
            taken_over,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Some handler knows who owns it now.
    fn announced(&mut self) {
        if !self.attached.is_empty()
            && let Some(taken_over) = self.taken_over.take()
        {
            taken_over.announced();
        }
    }

    fn tick(&mut self, now: Instant) {
        self.step(now, &ExchangeInput::Tick);
        // One that nobody attaches to is told of without that.
        self.taken_over.take_if(|taken_over| taken_over.due() <= now);
        if self.tasks_timeout().is_some_and(|at| at <= now) {
            self.task_step(now, &TaskInput::Tick);
        }
        let due: Vec<NodeId> = self
            .missed
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(node, _)| *node)
            .collect();
        for node in due {
            self.missed.remove(&node);
            self.tell_again(now, node);
        }
        self.tell_due(now);
    }

    /// Attaching again is answered with the whole view.
    fn tell_again(&mut self, now: Instant, node: NodeId) {
        let there: Vec<(Pid, String)> = self
            .attached
            .iter()
            .filter(|(pid, _)| pid.node == node)
            .map(|(p, t)| (*p, t.clone()))
            .collect();
        for (handler, service_tag) in there {
            self.attach(now, (handler, service_tag), (Vec::new(), None), None);
        }
    }

    /// Takes what is in the mailbox, the turn having begun just now. Some messages in a row are taken at one time; where a function
    /// is asked, which takes its own, each at its own.
    fn take(&mut self, mut now: Instant, first: Option<(Mail, Instant)>) {
        let mut next = first;
        let at_one_time = if self.asking.is_some() { 1 } else { AT_ONE_TIME };
        for taken in 0..BATCH_MAX {
            let Some((mail, put)) = next.or_else(|| self.inbox.try_next()) else {
                return;
            };
            if taken > 0 && taken % at_one_time == 0 {
                now = self.context.clock.now();
            }
            let _step = self.context.clock.step_at(now);
            self.mail(now, mail, put);
            next = None;
        }
    }

    fn mail(&mut self, now: Instant, mail: Mail, put: Instant) {
        if self.post.stopped.load(Ordering::Acquire) {
            // Handlers attach with the next owner by themselves, and workers say again what nobody answers.
            if let Mail::Request(frame) | Mail::Submit(frame) = mail {
                self.refuse(&frame, NoReply::Moved);
            }
            return;
        }
        match mail {
            Mail::Request(frame) => self.request(now, frame, put),
            Mail::Attach(attach) => {
                let claims = (attach.bound, attach.returned);
                self.attach(now, (attach.handler, attach.service_tag), claims, attach.work);
            }
            Mail::Detach { handler, reason } => {
                self.attached.remove(&handler);
                self.step(now, &ExchangeInput::Detach { handler, reason });
                self.worker_detached(now, handler);
            }
            Mail::Submit(frame) => self.submit(now, &frame),
            Mail::Settle(frame) => self.settle(now, &frame),
            Mail::TaskAnswer { from, answer } => {
                self.task_step(now, &TaskInput::Answered { from, answer });
            }
            Mail::LeaseAsk {
                handler,
                leader_epoch,
                asked_at,
            } => {
                let input = ExchangeInput::LeaseAsk {
                    handler,
                    leader_epoch,
                    asked_at,
                    lease_until: self.lease_until(),
                };
                self.step(now, &input);
            }
        }
    }

    fn request(&mut self, now: Instant, mut frame: Box<Frame>, put: Instant) {
        if self.tasks.is_some() {
            let why = format!("the exchange '{}' takes tasks, not requests", self.name);
            return self.answer(&frame, Status::Declined, why);
        }
        if self.is_given_up(&frame) {
            return;
        }
        if self.is_known(now, &frame) {
            return self.answer_known(&frame);
        }
        let lease_until = self.lease_until();
        let routed = self.routed(now, lease_until, &frame);
        if let Some(payload) = routed.payload {
            frame.payload = payload;
        }
        let input = ExchangeInput::Request {
            request: RequestKey::of(&frame),
            epoch: frame.epoch,
            service_tag: group(&frame).clone(),
            key: frame.tags.key.clone(),
            choice: routed.choice,
            deadline: put + Span::from_ms(u64::from(frame.left_ms)),
            lease_until,
        };
        self.step_about(now, &input, Some((frame, now.since(put))));
    }

    pub(super) fn lease_until(&self) -> Instant {
        if self.post.paused.load(Ordering::Acquire) || self.post.stopped.load(Ordering::Acquire) {
            Instant(0)
        } else {
            self.context.lease.until()
        }
    }

    fn attach(
        &mut self,
        now: Instant,
        (handler, service_tag): (Pid, String),
        (bound, returned): (Vec<Signature>, Option<Revision>),
        work: Option<Work>,
    ) {
        let input = ExchangeInput::Attach {
            handler,
            service_tag: service_tag.clone(),
            bound,
            returned,
        };
        let before = self.core.handlers();
        self.step(now, &input);
        let new = self.core.handlers() > before;
        if new || self.attached.contains_key(&handler) {
            self.worker_attached(now, handler, &service_tag, work);
        }
        if new {
            self.attached.insert(handler, service_tag);
            self.announced();
        }
    }

    fn carry_out_orders(&mut self, now: Instant) {
        let orders: Orders =
            std::mem::take(&mut *self.post.orders.lock().unwrap_or_else(PoisonError::into_inner));
        for (node, first_run) in orders.lost {
            self.node_lost(now, node, Some(first_run));
        }
        if let Some(leader) = orders.leader {
            self.step(now, &ExchangeInput::LeaderCommitted { leader });
        }
        for node in orders.rolled {
            self.step(now, &ExchangeInput::Roll { node });
            self.task_step(now, &TaskInput::Rolled { node });
        }
        for node in orders.tell_again {
            self.missed.insert(node, now + ATTACH_CAP);
        }
        if let Some(backup) = orders.backup {
            self.backup_named(now, backup);
        }
        for word in orders.undelivered.into_iter().chain(orders.scheduled) {
            self.task_step(now, &word);
        }
        for task in orders.forwarded {
            self.forwarded(now, task);
        }
        for noted in orders.noted {
            self.step(now, &noted);
        }
        if let Some((to, epoch)) = orders.leave {
            self.leave_tasks(now);
            // From here on nothing is counted that changes: what is to be told is told as it stands.
            self.tell_now(now);
            self.step(now, &ExchangeInput::Leave { to, epoch });
        }
        for asked in orders.asked {
            self.asked_bindings(now, asked);
        }
    }

    /// Runs of a node before `first_run` have ended, all of them when none is told. Handlers of a later one may have attached
    /// before the registry told of that.
    fn node_lost(&mut self, now: Instant, node: NodeId, first_run: Option<Boot>) {
        self.missed.remove(&node);
        self.telling.forget(node);
        let all = std::mem::take(&mut self.attached);
        let (gone, kept): (BTreeMap<_, _>, _) = all.into_iter().partition(|(pid, _)| pid.node == node);
        self.attached = kept;
        let stays = |pid: &Pid| first_run.is_some_and(|first| pid.boot() >= first);
        let back: Vec<(Pid, String, Vec<Signature>, Option<Work>)> = gone
            .into_iter()
            .filter(|(pid, _)| stays(pid))
            .map(|(pid, tag)| (pid, tag, self.core.bound_to(pid), self.work_of(pid)))
            .collect();
        self.step(now, &ExchangeInput::NodeLost { node });
        self.task_step(now, &TaskInput::NodeLost { node });
        for (handler, service_tag, bound, work) in back {
            self.attach(now, (handler, service_tag), (bound, None), work);
        }
    }

    pub(super) fn step(&mut self, now: Instant, input: &ExchangeInput) {
        self.step_about(now, input, None);
    }

    fn step_about(&mut self, now: Instant, input: &ExchangeInput, mut about: About) {
        let mut effects = std::mem::take(&mut self.effects);
        let watched = about.as_ref().filter(|_| self.post.watching.is_on());
        let explained = watched.and_then(|(frame, _)| self.explained(now, frame, input));
        self.core.step(now, input, &mut effects);
        if let Some((frame, _)) = watched {
            self.decided(frame, explained, &effects);
        }
        if let Some(journal) = &self.context.journal {
            journal.step(MachineKind::Exchange, &self.journal_id, now, input, &effects);
        }
        for effect in effects.drain(..) {
            self.carry_out(effect, &mut about);
        }
        self.effects = effects;
    }
}

/// The group that a request wants: of one that is ahead of another exchange the service tag says which.
pub(super) fn group(frame: &Frame) -> &Bytes {
    static ANY: Bytes = Bytes::new();
    if frame.ahead { &ANY } else { &frame.tags.service }
}
