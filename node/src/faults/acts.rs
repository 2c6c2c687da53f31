//! What faults do to the node itself: its clock, its calendar, its disk, and threads that spin. Done while the table is
//! held, so nothing here waits.
//!
//! What does not live here: the clock, the calendar and the disk that obey, and faults on links, handlers and messages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use squall_kernel::fault::{Fault, FaultKind, FaultTable, NodeSuffers};
use squall_kernel::time::Instant;

use super::burn::Burn;
use crate::calendar::Calendar;
use crate::clock::Clock;
use crate::datadir::DiskFault;

/// What faults act on beside links, handlers and messages.
#[derive(Debug)]
pub struct Acts {
    clock: Clock,
    calendar: Calendar,
    disk: Arc<DiskFault>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What was done last: what others do to the disk by hand stays done.
    suffers: NodeSuffers,
    /// By the fault's id, and when it began.
    burns: BTreeMap<(String, Instant), Burn>,
}

impl Acts {
    /// On that clock, and on no disk and calendar of any node.
    #[must_use]
    pub fn on(clock: Clock) -> Self {
        Self {
            clock,
            calendar: Calendar::default(),
            disk: Arc::default(),
            state: Mutex::default(),
        }
    }

    /// On that calendar and that disk, too.
    #[must_use]
    pub fn and(self, calendar: Calendar, disk: Arc<DiskFault>) -> Self {
        Self {
            calendar,
            disk,
            ..self
        }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Does what the table says now.
    pub(super) fn obey(&self, table: &FaultTable, now: Instant) {
        let suffers = table.node(now);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut state.suffers, suffers);
        if suffers.skew_ppm != before.skew_ppm {
            self.clock.skew(suffers.skew_ppm);
        }
        if suffers.step_ms != before.step_ms {
            self.calendar.step(suffers.step_ms);
        }
        self.disk(&before, &suffers);
        state.burn(table, now);
    }

    fn disk(&self, before: &NodeSuffers, suffers: &NodeSuffers) {
        if suffers.slow_disk != before.slow_disk {
            self.disk.set_slow(Duration::from_micros(suffers.slow_disk.0));
        }
        if suffers.full_disk != before.full_disk {
            self.disk.set_full_above(suffers.full_disk.then_some(0));
        }
        if suffers.held_disk != before.held_disk {
            self.disk.set_held(suffers.held_disk);
        }
    }
}

impl State {
    /// Those that are over end, and those that are new begin.
    fn burn(&mut self, table: &FaultTable, now: Instant) {
        let burning = |fault: &Fault| match fault.kind {
            FaultKind::Burn { threads } => {
                let left = Duration::from_micros(fault.ends.since(now).0);
                Some(((fault.id.clone(), fault.began), (threads, left)))
            }
            _ => None,
        };
        let wanted: BTreeMap<_, _> = table.list(now).filter_map(burning).collect();
        self.burns.retain(|fault, _| wanted.contains_key(fault));
        for (fault, (threads, left)) in wanted {
            self.burns
                .entry(fault)
                .or_insert_with(|| Burn::start(threads, left));
        }
    }
}

#[cfg(test)]
#[path = "acts_test.rs"]
mod tests;
