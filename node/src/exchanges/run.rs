//! The process of one owned exchange: takes from the mailbox, steps the kernel's machine, carries its effects out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_kernel::exchange::{Exchange, ExchangeEffect, ExchangeInput, RequestKey};
use squall_kernel::frame::{Frame, Kind};
use squall_kernel::id::{Boot, Epoch, ExchangeId, ExchangeName, NodeId, Pid};
use squall_kernel::message::{MoveState, PeerMessage, SystemMessage};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{Command, Moving, Strategy};
use squall_kernel::time::{Instant, Span};
use tokio::sync::mpsc;

use super::telling::Telling;
use super::{Mail, Orders, Post, lives};
use crate::data::DataContext;
use crate::journal::MachineKind;
use crate::limits::{ATTACH_CAP, BATCH_MAX};
use crate::process::{Inbox, Process};
use crate::spans;
use crate::wire::{ReturnPath, lane_key};

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
    /// Nodes that missed a system message, and when they are told again.
    pub(super) missed: BTreeMap<NodeId, Instant>,
    pub(super) telling: Telling,
    pub(super) effects: Vec<ExchangeEffect>,
    pub(super) wanted: mpsc::Sender<Command>,
    pub(super) departing: Arc<Mutex<HashMap<ExchangeId, (Epoch, MoveState)>>>,
}

impl Running {
    /// Runs until it is stopped; `state` is what the owner before knew, when the exchange moved here.
    pub(super) async fn run(mut self, state: Option<MoveState>) {
        if let Some(state) = state {
            self.resume(state);
        }
        let post = Arc::clone(&self.post);
        loop {
            let timeout = self.next_timeout().map(|at| at.since(self.context.clock.now()));
            let first = tokio::select! {
                biased;
                () = post.wake.notified() => None,
                mail = self.inbox.next() => match mail {
                    Some(mail) => Some(mail),
                    None => return,
                },
                () = wait(timeout) => None,
            };
            let begun = self.context.clock.now();
            self.carry_out_orders();
            self.take(first);
            self.tick_if_due();
            self.process.count_busy(self.context.clock.now().since(begun));
            self.post
                .handlers
                .store(self.core.handlers() as u64, Ordering::Relaxed);
        }
    }

    /// Nodes may have been lost while the state was under way.
    fn resume(&mut self, state: MoveState) {
        let now = self.context.clock.now();
        let registry = self.context.registry_kept();
        let handlers = state.servers.iter().map(|s| s.pid);
        let gone: BTreeSet<NodeId> = handlers
            .chain(state.routes.iter().map(|r| r.handler))
            .filter(|pid| !lives(&registry, *pid))
            .map(|pid| pid.node)
            .collect();
        let there = state.servers.iter().map(|s| (s.pid, s.service_tag.clone()));
        self.attached.extend(there);
        self.step(now, &ExchangeInput::Resume { state }, None);
        for node in gone {
            let boot = registry.nodes.get(&node).filter(|n| n.is_up()).map(|n| n.boot);
            self.node_lost(now, node, boot);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        let missed = self.missed.values().min().copied();
        [self.core.next_timeout(), missed, self.telling.next_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Looked at in every turn: a mailbox that is never empty must not hold up what is due.
    fn tick_if_due(&mut self) {
        let now = self.context.clock.now();
        if self.next_timeout().is_some_and(|at| at <= now) {
            self.tick(now);
        }
    }

    fn tick(&mut self, now: Instant) {
        self.step(now, &ExchangeInput::Tick, None);
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
            self.attach(now, handler, service_tag);
        }
    }

    fn take(&mut self, first: Option<(Mail, Instant)>) {
        let mut next = first;
        for _ in 0..BATCH_MAX {
            let Some((mail, put)) = next.or_else(|| self.inbox.try_next()) else {
                return;
            };
            self.mail(mail, put);
            next = None;
        }
    }

    fn mail(&mut self, mail: Mail, put: Instant) {
        if self.post.stopped.load(Ordering::Acquire) {
            // Handlers attach with the next owner by themselves.
            if let Mail::Request(frame) = mail {
                self.refuse(&frame, NoReply::Moved);
            }
            return;
        }
        let now = self.context.clock.now();
        match mail {
            Mail::Request(frame) => self.request(now, &frame, put),
            Mail::Attach(attach) => {
                let (handler, service_tag) = (attach.handler, attach.service_tag);
                self.attach(now, handler, service_tag);
            }
            Mail::Detach { handler, reason } => {
                self.attached.remove(&handler);
                self.step(now, &ExchangeInput::Detach { handler, reason }, None);
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
                self.step(now, &input, None);
            }
        }
    }

    fn request(&mut self, now: Instant, frame: &Frame, put: Instant) {
        let input = ExchangeInput::Request {
            request: RequestKey {
                origin: frame.origin,
                message: frame.message,
            },
            epoch: frame.epoch,
            service_tag: frame.tags.service.clone(),
            deadline: put + Span::from_ms(u64::from(frame.left_ms)),
            lease_until: self.lease_until(),
        };
        self.step(now, &input, Some((frame, now.since(put))));
    }

    fn lease_until(&self) -> Instant {
        if self.post.paused.load(Ordering::Acquire) {
            Instant(0)
        } else {
            self.context.lease.until()
        }
    }

    fn attach(&mut self, now: Instant, handler: Pid, service_tag: String) {
        let input = ExchangeInput::Attach {
            handler,
            service_tag: service_tag.clone(),
        };
        let before = self.core.handlers();
        self.step(now, &input, None);
        if self.core.handlers() > before {
            self.attached.insert(handler, service_tag);
        }
    }

    fn carry_out_orders(&mut self) {
        let orders: Orders =
            std::mem::take(&mut *self.post.orders.lock().unwrap_or_else(PoisonError::into_inner));
        let now = self.context.clock.now();
        for (node, next_run) in orders.lost {
            self.node_lost(now, node, next_run);
        }
        if let Some(leader) = orders.leader {
            self.step(now, &ExchangeInput::LeaderCommitted { leader }, None);
        }
        for node in orders.tell_again {
            self.missed.insert(node, now + ATTACH_CAP);
        }
        if let Some(Moving { to, epoch }) = orders.leave {
            self.step(now, &ExchangeInput::Leave { to, epoch }, None);
        }
    }

    /// Handlers of the node's next run may have attached before the registry told of the end of the one before.
    fn node_lost(&mut self, now: Instant, node: NodeId, next_run: Option<Boot>) {
        self.missed.remove(&node);
        self.telling.forget(node);
        self.step(now, &ExchangeInput::NodeLost { node }, None);
        let (gone, kept) = std::mem::take(&mut self.attached)
            .into_iter()
            .partition(|(pid, _)| pid.node == node);
        self.attached = kept;
        let gone: BTreeMap<Pid, String> = gone;
        for (handler, service_tag) in gone {
            if next_run.is_some_and(|boot| handler.serial >> 32 == u64::from(boot.0)) {
                self.attach(now, handler, service_tag);
            }
        }
    }

    fn step(&mut self, now: Instant, input: &ExchangeInput, request: Option<(&Frame, Span)>) {
        let mut effects = std::mem::take(&mut self.effects);
        self.core.step(now, input, &mut effects);
        if let Some(journal) = &self.context.journal {
            journal.step(MachineKind::Exchange, &self.journal_id, now, input, &effects);
        }
        for effect in effects.drain(..) {
            self.carry_out(effect, request);
        }
        self.effects = effects;
    }

    fn carry_out(&mut self, effect: ExchangeEffect, request: Option<(&Frame, Span)>) {
        match effect {
            ExchangeEffect::Deliver {
                handler,
                leader_epoch,
                index,
                count,
                ..
            } => {
                let (frame, waited) = request.expect("the kernel delivers only in answer to a request");
                let copy = Frame {
                    leader_epoch,
                    index,
                    count,
                    ..frame.clone()
                };
                self.deliver(handler, copy, waited);
            }
            ExchangeEffect::Refuse { reason, .. } => {
                let (frame, _) = request.expect("the kernel refuses only in answer to a request");
                self.refuse(frame, reason);
            }
            ExchangeEffect::Interrupt {
                request,
                index,
                count,
            } => self.interrupt(request, index, count),
            ExchangeEffect::Appoint { leader } => {
                let wanted = Command::AppointLeader {
                    exchange: self.id,
                    epoch: self.core.epoch(),
                    leader,
                };
                if self.wanted.try_send(wanted).is_err() {
                    tracing::warn!(exchange = %self.name, "appointment not taken; it is proposed again");
                }
            }
            ExchangeEffect::Transfer { to, epoch, state } => {
                let exchange = self.id;
                let after_a_cancel = Epoch(epoch.0 + 1);
                self.departing
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(exchange, (after_a_cancel, state.clone()));
                let message = PeerMessage::MoveState {
                    exchange,
                    epoch,
                    state,
                };
                if let Err(error) = self.context.wire.message(to, exchange, message) {
                    tracing::debug!(exchange = %self.name, %error, "state not sent; it is sent again");
                }
            }
            ExchangeEffect::GrantLease {
                handler,
                leader_epoch,
                asked_at,
                remaining,
            } => {
                let message = PeerMessage::LeaderLease {
                    exchange: self.id,
                    epoch: self.core.epoch(),
                    handler,
                    leader_epoch,
                    asked_at,
                    remaining,
                };
                // A lease that is not sent runs out, which is safe.
                let _runs_out = self.context.wire.message(handler.node, self.id, message);
            }
            ExchangeEffect::Tell {
                handler,
                counter,
                what,
            } => {
                let (exchange, epoch) = (self.id, self.core.epoch());
                self.tell(
                    handler.node,
                    Some(handler),
                    SystemMessage {
                        exchange,
                        epoch,
                        counter,
                        what,
                    },
                );
            }
            ExchangeEffect::Announce { node, counter, what } => {
                let (exchange, epoch) = (self.id, self.core.epoch());
                self.tell(
                    node,
                    None,
                    SystemMessage {
                        exchange,
                        epoch,
                        counter,
                        what,
                    },
                );
            }
        }
    }

    fn deliver(&self, handler: Pid, copy: Frame, waited: Span) {
        let span = spans::route_span(&copy.trace, || spans::Route {
            exchange: self.name.as_str(),
            strategy: self.strategy.as_str(),
            candidates: self.core.handlers(),
            picked: self.context.pid_text(handler),
            waited,
        });
        let waited_ms = u32::try_from(waited.as_ms()).unwrap_or(u32::MAX);
        let frame = Frame {
            kind: Kind::Deliver,
            epoch: self.core.epoch(),
            to: handler.serial,
            from: self.process.pid(),
            left_ms: copy.left_ms.saturating_sub(waited_ms).max(1),
            trace: spans::context_of(&span, copy.trace),
            ..copy
        };
        let back = ReturnPath::of(&frame);
        match self
            .context
            .wire
            .frame(handler.node, lane_key(self.id, handler.serial), frame)
        {
            Ok(()) => {
                self.process.count_sent(1);
                self.post.routed.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => self
                .context
                .wire
                .reply(back.none(self.process.pid(), error.reason())),
        }
    }

    fn refuse(&self, frame: &Frame, reason: NoReply) {
        self.post.refused.fetch_add(1, Ordering::Relaxed);
        let back = ReturnPath {
            epoch: self.core.epoch(),
            ..ReturnPath::of(frame)
        };
        self.context.wire.reply(back.none(self.process.pid(), reason));
    }

    fn interrupt(&self, request: RequestKey, index: u32, count: u32) {
        let empty = Frame {
            exchange: self.id,
            epoch: self.core.epoch(),
            origin: request.origin,
            message: request.message,
            index,
            count,
            ..Frame::new(Kind::Reply)
        };
        self.context
            .wire
            .reply(ReturnPath::of(&empty).none(self.process.pid(), NoReply::Interrupted));
    }
}

async fn wait(timeout: Option<Span>) {
    match timeout {
        Some(span) => tokio::time::sleep(Duration::from_micros(span.0)).await,
        None => std::future::pending().await,
    }
}
