//! What the process of an owned exchange leaves for whoever watches it in detail: how it stands, twice a second, and some of its
//! decisions, explained (C3). Only while somebody watches; else it costs the way of a request one relaxed load.
//!
//! What does not live here: the explanation (the kernel's `Exchange`), words for people (`sources::detail`), and streams.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use squall_kernel::exchange::{
    Exchange, ExchangeEffect, ExchangeInput, Explanation, Outcome, RequestKey, Situation,
};
use squall_kernel::frame::{Frame, TraceContext};
use squall_kernel::id::{Epoch, ExchangeId, Pid};
use squall_kernel::limits::HANDLERS_PER_EXCHANGE_MAX;
use squall_kernel::time::Instant;

use super::Exchanges;
use super::post::Post;
use super::run::{Running, group};
use crate::data::DataPlane;
use crate::limits::{
    BINDINGS_SHOWN_MAX, DECISIONS_A_WINDOW_MAX, DECISIONS_KEPT_MAX, HANDLERS_SHOWN_MAX, SHOW_EVERY,
    TRACED_A_WINDOW_MAX, TRACED_KEPT_MAX,
};
use crate::wire::count;

/// A decision that was sampled.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    /// Counts them from 1 while somebody watches.
    pub(crate) number: u64,
    pub(crate) unix_ms: u64,
    pub(crate) request: RequestKey,
    pub(crate) trace: TraceContext,
    pub(crate) key: Bytes,
    pub(crate) service_tag: Bytes,
    pub(crate) explanation: Explanation,
    pub(crate) outcome: Outcome,
}

/// What a watcher of an owned exchange sees.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) epoch: Epoch,
    /// How it stood, and when; none until its process has had a turn.
    pub(crate) situation: Option<(Instant, Arc<Situation>)>,
    /// Requests given to each handler since somebody watches.
    pub(crate) given: BTreeMap<Pid, u64>,
    /// Requests decided since then.
    pub(crate) decided: u64,
    /// Decisions, the oldest first.
    pub(crate) decisions: Vec<Arc<Decision>>,
}

/// What is kept while somebody watches.
#[derive(Default)]
pub(super) struct Watching {
    watchers: AtomicU32,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    situation: Option<(Instant, Arc<Situation>)>,
    /// Bounded as the handlers of an exchange are.
    given: BTreeMap<Pid, u64>,
    decided: u64,
    /// The latest, [`DECISIONS_KEPT_MAX`] at most, of which [`TRACED_KEPT_MAX`] may be older: those that are traced.
    decisions: VecDeque<Arc<Decision>>,
    sampled: u64,
    window: Window,
}

/// Since when decisions are counted for their rate, and how many there were.
#[derive(Default)]
struct Window {
    since: Instant,
    traced: u32,
    others: u32,
}

impl Kept {
    /// The oldest decision goes; one that is traced stays longer, for they are few.
    fn make_room(&mut self) {
        if self.decisions.len() <= DECISIONS_KEPT_MAX {
            return;
        }
        let is_traced = |decision: &Arc<Decision>| decision.trace.sampled;
        let traced = self.decisions.iter().filter(|d| is_traced(d)).count();
        let other = self.decisions.iter().position(|d| !is_traced(d));
        let goes = if traced > TRACED_KEPT_MAX { None } else { other };
        self.decisions.remove(goes.unwrap_or(0));
    }
}

impl Watching {
    pub(super) fn is_on(&self) -> bool {
        self.watchers.load(Relaxed) > 0
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more decision may be explained now. Those that are traced have places of their own: they lead on.
    fn takes_one(&self, now: Instant, traced: bool) -> bool {
        let mut kept = self.lock();
        if now.since(kept.window.since) >= SHOW_EVERY {
            kept.window = Window {
                since: now,
                ..Window::default()
            };
        }
        let window = &mut kept.window;
        let (taken, most) = if traced {
            (&mut window.traced, TRACED_A_WINDOW_MAX)
        } else {
            (&mut window.others, DECISIONS_A_WINDOW_MAX)
        };
        *taken = taken.saturating_add(1);
        *taken <= most
    }

    fn decided(&self, effects: &[ExchangeEffect], decision: impl FnOnce(u64) -> Option<Decision>) {
        let mut kept = self.lock();
        kept.decided += 1;
        for effect in effects {
            if let ExchangeEffect::Deliver { handler, .. } = effect
                && (kept.given.len() < HANDLERS_PER_EXCHANGE_MAX || kept.given.contains_key(handler))
            {
                *kept.given.entry(*handler).or_default() += 1;
            }
        }
        let Some(decision) = decision(kept.sampled + 1) else {
            return;
        };
        kept.sampled += 1;
        kept.decisions.push_back(Arc::new(decision));
        kept.make_room();
    }

    fn show(&self, now: Instant, core: &Exchange) {
        let situation = core.situation(now, HANDLERS_SHOWN_MAX, BINDINGS_SHOWN_MAX);
        self.lock().situation = Some((now, Arc::new(situation)));
    }

    /// The first one finds nothing that was left behind by a decision which the last one's end crossed.
    fn begin(&self) {
        let mut kept = self.lock();
        if self.watchers.fetch_add(1, Relaxed) == 0 {
            *kept = Kept::default();
        }
    }

    /// The last one to go takes along all that was kept.
    fn end(&self) {
        let mut kept = self.lock();
        if self.watchers.fetch_sub(1, Relaxed) == 1 {
            *kept = Kept::default();
        }
    }

    fn seen(&self, epoch: Epoch) -> Seen {
        let kept = self.lock();
        Seen {
            epoch,
            situation: kept.situation.clone(),
            given: kept.given.clone(),
            decided: kept.decided,
            decisions: kept.decisions.iter().cloned().collect(),
        }
    }
}

impl Running {
    /// Explains a request that is about to be decided, while somebody watches and not too many were.
    pub(super) fn explained(
        &self,
        now: Instant,
        frame: &Frame,
        input: &ExchangeInput,
    ) -> Option<Explanation> {
        let takes = self.post.watching.takes_one(now, frame.trace.sampled);
        takes.then(|| self.core.explain(now, input)).flatten()
    }

    /// Takes in how a request was decided, while somebody watches.
    pub(super) fn decided(&self, frame: &Frame, explained: Option<Explanation>, effects: &[ExchangeEffect]) {
        if explained.is_some() {
            count(&self.context.wire.tally.explained);
        }
        self.post.watching.decided(effects, |number| {
            Some(Decision {
                number,
                unix_ms: self.context.calendar.unix_ms(),
                request: RequestKey::of(frame),
                trace: frame.trace,
                key: frame.tags.key.clone(),
                service_tag: group(frame).clone(),
                explanation: explained?,
                outcome: Outcome::of(effects),
            })
        });
    }

    /// When it is to show how it stands, where somebody watches.
    pub(super) fn show_at(&self) -> Option<Instant> {
        let watched = self.post.watching.is_on();
        watched.then(|| self.shown.map_or(Instant(0), |at| at + SHOW_EVERY))
    }

    pub(super) fn show_if_due(&mut self) {
        let Some(due) = self.show_at() else {
            self.shown = None;
            return;
        };
        let now = self.context.clock.now();
        if now >= due {
            self.post.watching.show(now, &self.core);
            self.shown = Some(now);
        }
    }
}

/// Watches an exchange wherever it is owned by this node, until it is dropped.
pub(crate) struct ExchangeWatch {
    data: Arc<DataPlane>,
    exchange: ExchangeId,
    /// The ownership that is watched now.
    held: Option<Arc<Post>>,
}

impl ExchangeWatch {
    pub(crate) fn new(data: Arc<DataPlane>, exchange: ExchangeId) -> Self {
        Self {
            data,
            exchange,
            held: None,
        }
    }

    pub(crate) fn exchange(&self) -> ExchangeId {
        self.exchange
    }

    /// What is seen now; none while this node does not own it.
    pub(crate) fn look(&mut self) -> Option<Seen> {
        let owned = self.data.exchanges.post_of(self.exchange);
        let same = match (&self.held, &owned) {
            (Some(held), Some((_, post))) => Arc::ptr_eq(held, post),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.let_go();
            self.held = owned.as_ref().map(|(_, post)| {
                post.watching.begin();
                // No message: its process has a turn, and shows itself by its own time from then on.
                post.wake.notify_one();
                Arc::clone(post)
            });
        }
        owned.map(|(epoch, post)| post.watching.seen(epoch))
    }

    fn let_go(&mut self) {
        if let Some(post) = self.held.take() {
            post.watching.end();
        }
    }
}

impl Drop for ExchangeWatch {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Exchanges {
    fn post_of(&self, exchange: ExchangeId) -> Option<(Epoch, Arc<Post>)> {
        let owned = self.read();
        let owned = owned.get(&exchange)?;
        Some((owned.epoch, Arc::clone(&owned.post)))
    }
}
