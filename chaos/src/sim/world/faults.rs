//! The world's side of faults: what begins and ends at nodes and links.

use squall_kernel::fault::FaultKind;
use squall_kernel::planted::{self, Bug};
use squall_kernel::time::Span;

use super::{Due, Held, World};
use crate::history::What;
use crate::sim::fault::{Seat, SimFault};
use crate::sim::host::Host;
use crate::sim::links::Way;

/// Who sets faults, as their tables name it.
const BY: &str = "plan";

impl World {
    pub(super) fn begin_fault(&mut self, place: usize) {
        let fault = self.plan.faults[place].clone();
        self.count(fault.what.kind().as_str());
        let ends_by = fault.ends();
        self.event(
            fault.what.seat(),
            What::Fault {
                id: fault.id,
                text: fault.what.to_string(),
                ends_by,
            },
        );
        self.active.insert(place, self.now);
        self.at(ends_by, Due::End(place));
        self.act(fault.id, &fault.what, fault.lasts);
    }

    fn act(&mut self, id: u64, fault: &SimFault, lasts: Span) {
        match fault {
            SimFault::Crash { node } => self.take_down(*node, id, false),
            SimFault::Stop { node } => self.take_down(*node, id, true),
            SimFault::Pause { node } => self.pause(*node),
            SimFault::ClockSkew { node, ppm } => self.set_rate(*node, *ppm),
            SimFault::ClockStep { node, ms } => self.place(*node).calendar_ms += ms,
            SimFault::SlowDisk { node, by } => self.slow_disk(*node, *by),
            SimFault::FullDisk { node } => {
                let id = self.id(*node);
                self.log.set_full(id, true);
            }
            _ => self.set_on_links(id, fault, lasts),
        }
    }

    /// Each node that sends holds its part: what it does, and until when, is the table's.
    fn set_on_links(&mut self, id: u64, fault: &SimFault, ttl: Span) {
        let now = self.now;
        for (way, what) in fault.on_links(self.plan.nodes.len()) {
            let kind = FaultKind::link(self.plan.nodes[way.to.index()].name.clone(), what);
            let set = self
                .place(way.from)
                .faults
                .set(now, &entry(id, way), kind, ttl, BY);
            set.expect("what a plan does to links fits a table");
            self.flow(way);
        }
    }

    fn clear_on_links(&mut self, id: u64, fault: &SimFault) {
        for (way, _) in fault.on_links(self.plan.nodes.len()) {
            self.place(way.from).faults.clear(&entry(id, way));
            self.flow(way);
        }
    }

    pub(super) fn end_fault(&mut self, place: usize) {
        let fault = self.plan.faults[place].clone();
        self.active.remove(&place);
        self.mend(fault.id, &fault.what);
        self.event(fault.what.seat(), What::FaultOver { id: fault.id });
    }

    fn mend(&mut self, id: u64, fault: &SimFault) {
        match fault {
            SimFault::Crash { node } | SimFault::Stop { node } => self.bring_up(*node, id),
            SimFault::Pause { node } => {
                let also =
                    |other: &SimFault| matches!(other, SimFault::Pause { node: other } if other == node);
                if !self.acts(also) {
                    self.resume(*node);
                }
            }
            SimFault::ClockSkew { node, .. } => {
                let ppm = self.place(*node).plan.clock_ppm;
                self.set_rate(*node, ppm);
            }
            SimFault::SlowDisk { node, .. } => self.slow_disk(*node, Span::ZERO),
            SimFault::FullDisk { node } => {
                let also =
                    |other: &SimFault| matches!(other, SimFault::FullDisk { node: other } if other == node);
                if !self.acts(also) {
                    let node_id = self.id(*node);
                    self.log.set_full(node_id, false);
                }
                self.bring_up(*node, id);
            }
            _ => self.clear_on_links(id, fault),
        }
    }

    fn acts(&self, wanted: impl Fn(&SimFault) -> bool) -> bool {
        self.active
            .keys()
            .any(|place| wanted(&self.plan.faults[*place].what))
    }

    /// A node that is down already stays down for the fault that lasts longer.
    fn take_down(&mut self, seat: Seat, id: u64, graceful: bool) {
        let place = self.place(seat);
        // A paused process cannot leave in order.
        let graceful = graceful && !place.paused;
        if place.host.is_some() {
            self.end(seat, graceful);
        }
        self.keep_down(seat, id);
    }

    fn keep_down(&mut self, seat: Seat, id: u64) {
        let ends = |id: u64| {
            self.plan
                .faults
                .iter()
                .find(|f| f.id == id)
                .map(super::super::fault::PlannedFault::ends)
        };
        let longer = self.places[seat.index()]
            .down_by
            .is_none_or(|by| ends(id) > ends(by));
        if longer {
            self.place(seat).down_by = Some(id);
        }
    }

    fn bring_up(&mut self, seat: Seat, id: u64) {
        if self.place(seat).down_by == Some(id) {
            self.start(seat);
        }
    }

    /// A node's storage failed: it leaves, and comes back when there is room again.
    pub(super) fn disk_failed(&mut self, seat: Seat) {
        let full = |place: &&usize| {
            let fault = &self.plan.faults[**place].what;
            matches!(fault, SimFault::FullDisk { node } if *node == seat)
        };
        let by = self
            .active
            .keys()
            .find(full)
            .map(|place| self.plan.faults[*place].id);
        self.end(seat, true);
        match by {
            Some(id) => self.keep_down(seat, id),
            None => self.after(Span::from_ms(100), Due::Start(seat)),
        }
    }

    fn pause(&mut self, seat: Seat) {
        let id = self.id(seat);
        let place = self.place(seat);
        if place.runs() {
            place.paused = true;
            self.log.pause(id, true);
            self.event(seat, What::Paused);
            if planted::is(Bug::LyingProofOfDeath) {
                self.tell_end(seat);
            }
        }
    }

    /// What came meanwhile is taken in before the timers are looked at, as by the live control loop.
    fn resume(&mut self, seat: Seat) {
        let id = self.id(seat);
        let place = self.place(seat);
        if !place.paused {
            return;
        }
        place.paused = false;
        let held = std::mem::take(&mut place.held);
        self.event(seat, What::Resumed);
        self.log.pause(id, false);
        for held in held {
            match held {
                Held::Arrived(from, frame) => self.take_in(seat, from, &frame),
                Held::Broken(to, connection) => self.broken(Way { from: seat, to }, connection),
                Held::Caught(from, connection) => self.caught(Way { from, to: seat }, connection),
                Held::Unlinked(of, run) => self.unlinked(Way { from: of, to: seat }, run),
                Held::Died(of, incarnation) => self.died(seat, of, incarnation),
                Held::Log(output) => self.log_said(output),
            }
        }
        self.place(seat).wake = None;
        self.tell(seat, Host::wake);
        self.flow_from(seat);
    }

    fn set_rate(&mut self, seat: Seat, ppm: i32) {
        let (id, now) = (self.id(seat), self.now);
        let place = self.place(seat);
        place.clock.set_rate(now, ppm);
        place.wake = None;
        if place.host.is_none() {
            return;
        }
        let until = place.clock.true_time(place.lease);
        self.log.set_rate(id, ppm);
        if until > now {
            self.tell_lease(seat);
        }
        self.wake_in_time(seat);
    }

    fn slow_disk(&mut self, seat: Seat, by: Span) {
        let id = self.id(seat);
        self.log.set_slower(id, by);
    }
}

/// Its id in the table of the node that sends.
fn entry(id: u64, way: Way) -> String {
    format!("{id}-{}", way.to)
}

#[cfg(test)]
#[path = "faults_test.rs"]
mod tests;
