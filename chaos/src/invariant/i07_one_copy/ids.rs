//! The ids of publishes that owners remember, from one to the next where it knows what the one before remembered.
//!
//! An owner remembers a number of ids at most; where so many were taken within their window, it may have forgotten any of them
//! before its time, and nothing is said of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use squall_kernel::id::{Epoch, ExchangeId};
use squall_kernel::limits::DEDUP_IDS_MAX;
use squall_kernel::time::{Instant, Span};

use super::super::recent::Recent;
use super::super::{Breach, Id};
use crate::history::Event;

/// Of its window an id is remembered for certain: clocks differ a little.
const CERTAIN_PERCENT: u64 = 90;
/// And after so much of it for certain no more.
const AT_MOST_PERCENT: u64 = 110;

#[derive(Debug)]
struct Window {
    /// The epoch under which an id was taken last.
    epoch: Epoch,
    /// Ids that are remembered for certain, the oldest first.
    ids: Recent<String, Event>,
    /// When ids were taken, whoever was the owner then; the latest of them, as many as one remembers.
    taken: VecDeque<Instant>,
    /// Epochs since then that an owner began, and those whose owner knows the ids of the one before.
    owned: BTreeSet<Epoch>,
    remembering: BTreeSet<Epoch>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            epoch: Epoch::default(),
            ids: Recent::new(DEDUP_IDS_MAX),
            taken: VecDeque::new(),
            owned: BTreeSet::new(),
            remembering: BTreeSet::new(),
        }
    }
}

/// By exchange.
#[derive(Debug, Default)]
pub(super) struct Ids {
    windows: BTreeMap<ExchangeId, Window>,
}

impl Ids {
    pub(super) fn owned(&mut self, exchange: ExchangeId, epoch: Epoch) {
        self.windows.entry(exchange).or_default().owned.insert(epoch);
    }

    pub(super) fn remembers(&mut self, exchange: ExchangeId, epoch: Epoch) {
        self.windows
            .entry(exchange)
            .or_default()
            .remembering
            .insert(epoch);
    }

    /// What was taken under it came back, and nobody has it.
    pub(super) fn given_up(&mut self, exchange: ExchangeId, id: &str) {
        if let Some(of) = self.windows.get_mut(&exchange) {
            of.ids.remove(&id.to_owned());
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    pub(super) fn deleted(&mut self, exchange: ExchangeId) {
        self.windows.remove(&exchange);
    }

    pub(super) fn taken(
        &mut self,
        event: &Event,
        (exchange, epoch): (ExchangeId, Epoch),
        (id, window): &(String, Span),
        known: bool,
    ) -> Result<(), Breach> {
        let of = self.windows.entry(exchange).or_default();
        if epoch < of.epoch {
            return Ok(());
        }
        of.go_on_to(epoch);
        of.expire(event.at, *window);
        if known {
            return Ok(());
        }
        if let Some(before) = of.ids.get(id) {
            let text = format!("the id '{id}' was taken a second time, within its window of {window}");
            return Err(Breach::new(Id(7), Some(before), event, text));
        }
        if of.is_full(event.at) {
            of.ids.retain(|_, _| false);
        } else {
            of.ids.insert(id.clone(), event.clone());
        }
        Ok(())
    }
}

impl Window {
    fn expire(&mut self, now: Instant, window: Span) {
        let percent = |percent: u64| Span(window.0 / 100 * percent);
        let (certain, at_most) = (percent(CERTAIN_PERCENT), percent(AT_MOST_PERCENT));
        self.ids.forget_while(|taken| taken.at + certain <= now);
        while self.taken.front().is_some_and(|at| *at + at_most <= now) {
            self.taken.pop_front();
        }
    }

    /// Counts one more; true where it may be one more than are remembered.
    fn is_full(&mut self, now: Instant) -> bool {
        self.taken.push_back(now);
        let full = self.taken.len() > DEDUP_IDS_MAX;
        if full {
            self.taken.pop_front();
        }
        full
    }

    /// What was taken under earlier epochs counts as long as each owner since then knew it from the one before.
    fn go_on_to(&mut self, epoch: Epoch) {
        if epoch == self.epoch {
            return;
        }
        let since = self.owned.iter().filter(|it| **it > self.epoch && **it <= epoch);
        let whole = since.chain([&epoch]).all(|it| self.remembering.contains(it));
        if !whole {
            self.ids.retain(|_, _| false);
        }
        self.epoch = epoch;
        self.owned.retain(|it| *it > epoch);
        self.remembering.retain(|it| *it > epoch);
    }
}
