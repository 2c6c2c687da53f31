//! The ids of publishes that owners remember, from one to the next where it knows what the one before remembered.

use std::collections::{BTreeMap, BTreeSet};

use squall_kernel::id::{Epoch, ExchangeId};
use squall_kernel::time::Span;

use super::super::{Breach, Id};
use crate::history::Event;
use crate::limits::TASKS_REMEMBERED;

/// Of its window an id is remembered for certain: clocks differ a little.
const CERTAIN_PERCENT: u64 = 90;

#[derive(Debug, Default)]
struct Window {
    /// The epoch under which an id was taken last.
    epoch: Epoch,
    ids: BTreeMap<String, Event>,
    /// Epochs since then that an owner began, and those whose owner knows the ids of the one before.
    owned: BTreeSet<Epoch>,
    remembering: BTreeSet<Epoch>,
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
            of.ids.remove(id);
        }
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
        let certain = Span(window.0 * CERTAIN_PERCENT / 100);
        let before = of.ids.get(id).filter(|before| event.at < before.at + certain);
        if let Some(before) = before.filter(|_| !known) {
            let text = format!("the id '{id}' was taken a second time, within its window of {window}");
            return Err(Breach::new(Id(7), Some(before), event, text));
        }
        if !known && of.ids.len() < TASKS_REMEMBERED {
            of.ids.insert(id.clone(), event.clone());
        }
        Ok(())
    }
}

impl Window {
    /// What was taken under earlier epochs counts as long as each owner since then knew it from the one before.
    fn go_on_to(&mut self, epoch: Epoch) {
        if epoch == self.epoch {
            return;
        }
        let since = self.owned.iter().filter(|it| **it > self.epoch && **it <= epoch);
        let whole = since.chain([&epoch]).all(|it| self.remembering.contains(it));
        if !whole {
            self.ids.clear();
        }
        self.epoch = epoch;
        self.owned.retain(|it| *it > epoch);
        self.remembering.retain(|it| *it > epoch);
    }
}
