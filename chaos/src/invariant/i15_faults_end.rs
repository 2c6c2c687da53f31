//! I15: after its time to live no fault remains.
//!
//! What users of fault injection complain of most is a fault that does not go away. Every fault says when it has ended
//! at the latest, and it must be over by then even if whoever set it is gone, give or take what a timer may be late.

use std::collections::BTreeSet;

use squall_kernel::time::Instant;

use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Event, What};
use crate::limits::{FAULT_GRACE, FAULTS_REMEMBERED};

/// The checker of I15.
#[derive(Debug)]
pub struct FaultsEnd {
    active: Recent<u64, (Instant, Event)>,
    /// Ends of active faults, the next one first.
    due: BTreeSet<(Instant, u64)>,
    forgotten: u64,
    judged: u64,
}

impl Default for FaultsEnd {
    fn default() -> Self {
        Self {
            active: Recent::new(FAULTS_REMEMBERED),
            due: BTreeSet::new(),
            forgotten: 0,
            judged: 0,
        }
    }
}

impl FaultsEnd {
    fn over(&mut self, id: u64) {
        if let Some((ends_by, _)) = self.active.remove(&id) {
            self.due.remove(&(ends_by, id));
            self.judged += 1;
        }
    }

    fn begins(&mut self, event: &Event, id: u64, ends_by: Instant) {
        // The same id again prolongs or replaces the fault.
        self.over(id);
        self.due.insert((ends_by, id));
        if let Some((forgotten, before)) = self.active.insert(id, (ends_by, event.clone())) {
            self.forgotten += 1;
            if let What::Fault { id, .. } = before.what {
                self.due.remove(&(forgotten, id));
            }
        }
    }

    fn overdue(&self, event: &Event) -> Result<(), Breach> {
        let settled = event.what == What::Settled;
        let Some((ends_by, id)) = self.due.first() else {
            return Ok(());
        };
        if event.at <= *ends_by + FAULT_GRACE && !settled {
            return Ok(());
        }
        let set = self.active.get(id).map(|(_, set)| set);
        let text = format!(
            "fault {id} had to end by {ends_by} and still acts at {}",
            event.at
        );
        Err(Breach::new(self.id(), set, event, text))
    }
}

impl Invariant for FaultsEnd {
    fn id(&self) -> Id {
        Id(15)
    }

    fn claim(&self) -> &'static str {
        "after its time to live no fault remains"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        match &event.what {
            What::FaultOver { id } => {
                let late = self
                    .active
                    .get(id)
                    .is_some_and(|(ends_by, _)| event.at > *ends_by + FAULT_GRACE);
                if late {
                    return self.overdue(event);
                }
                self.over(*id);
            }
            What::Fault { id, ends_by, .. } => self.begins(event, *id, *ends_by),
            _ => {}
        }
        self.overdue(event)
    }

    fn end(&mut self) -> Verdict {
        if self.forgotten > 0 {
            Verdict::Unknown(format!("{} faults were too many to follow", self.forgotten))
        } else {
            Verdict::judged(self.judged, "no fault ended")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{at, broken, holds, started, unknown};
    use super::*;

    fn fault(ms: u64, id: u64, ends_by_ms: u64) -> Event {
        let what = What::Fault {
            id,
            text: "cut 1 to 2".into(),
            ends_by: Instant(ends_by_ms * 1000),
        };
        at(ms, 1, what)
    }

    fn over(ms: u64, id: u64) -> Event {
        at(ms, 1, What::FaultOver { id })
    }

    #[test]
    fn faults_that_end_in_time_hold() {
        holds(
            FaultsEnd::default(),
            &[
                fault(1, 1, 100),
                fault(2, 2, 50),
                over(50, 2),
                over(100, 1),
                started(5_000, 2),
            ],
        );
        unknown(FaultsEnd::default(), &[fault(1, 1, 100), started(99, 2)]);
    }

    #[test]
    fn a_fault_that_outlives_its_time_is_a_breach() {
        let breach = broken(FaultsEnd::default(), &[fault(1, 1, 100), started(601, 2)]);
        assert_eq!(
            breach.to_string(),
            "I15 broken: fault 1 had to end by 0.100000s and still acts at 0.601000s\n  \
             0.001000s 1 fault 1 until 0.100000s: cut 1 to 2\n  0.601000s 2 started incarnation 1"
        );
        broken(FaultsEnd::default(), &[fault(1, 1, 100), over(700, 1)]);
    }

    #[test]
    fn a_fault_that_acts_when_the_run_has_settled_is_a_breach() {
        broken(
            FaultsEnd::default(),
            &[fault(1, 1, 100), at(50, 1, What::Settled)],
        );
    }
}
