//! The world's side of nodes: their runs, their timers, and what they want done.

use squall_kernel::fault::FaultTable;
use squall_kernel::id::{Boot, Incarnation, ZoneName};
use squall_kernel::registry::Introduction;
use squall_kernel::time::{Instant, Span};

use super::{COMES_AGAIN, Due, HOLDS_EVERY, Held, Place, TIMER_LATE, World, network};
use crate::history::{Mark, What};
use crate::sim::clock::Clock;
use crate::sim::fault::Seat;
use crate::sim::host::{Host, HostConfig, Output};
use crate::sim::links::Way;
use crate::sim::log::LogState;
use crate::sim::rng::Rng;

impl World {
    /// Starts a node: a new run on what its disk holds.
    pub(super) fn start(&mut self, seat: Seat) {
        let now = self.now;
        let (seed, profile, work) = (self.plan.seed, self.plan.profile, self.plan.work);
        let gives_up_vote = self.log.changes_voters();
        let expects = u32::try_from(self.plan.nodes.len()).expect("few nodes");
        let place = self.place(seat);
        if place.host.is_some() {
            return;
        }
        place.run += 1;
        let again = place.run > 1;
        let calendar = place.calendar_ms + i64::try_from(now.0 / 1000).expect("a short run");
        let shown = u64::try_from(calendar.max(0)).expect("not negative");
        place.incarnation = Incarnation(shown.max(place.incarnation.0 + 1));
        let ppm = place.plan.clock_ppm;
        place.clock = Clock::new(now, place.plan.clock_offset, ppm);
        (place.wake, place.paused, place.down_by) = (None, false, None);
        place.faults = FaultTable::default();
        place.state = LogState::default();
        let me = introduction(place);
        let (id, run, incarnation) = (me.id, place.run, me.incarnation);
        let rng = Rng::fork(seed, &format!("handlers {seat} {run}"));
        let worker_rng = Rng::fork(seed, &format!("workers {seat} {run}"));
        let talk_rng = Rng::fork(seed, &format!("talks {seat} {run}"));
        let config = HostConfig {
            me,
            profile,
            expects,
            work,
            rng,
            worker_rng,
            talk_rng,
            gives_up_vote,
        };
        let local = place.clock.local(now);
        place.host = Some(Host::new(local, config));
        self.event(seat, What::Started { incarnation });
        if again {
            self.restarted_at = now;
        }
        if run > 1 && self.plan.voter_ids().contains(&id) {
            self.event(seat, What::Mark(Mark::VoterRestarted));
        }
        self.deck.restarted(seat);
        self.log.start(id, ppm, run);
        self.dial_all(seat);
        self.pump(seat);
    }

    /// Ends a node's run.
    pub(super) fn end(&mut self, seat: Seat, graceful: bool) {
        let now = self.now;
        let place = self.place(seat);
        let Some(host) = place.host.as_mut() else { return };
        if graceful {
            let local = place.clock.local(now);
            host.leave(local);
            self.pump(seat);
        }
        self.event(seat, What::Ended { graceful });
        let place = self.place(seat);
        place.host = None;
        place.held.clear();
        (place.paused, place.lease) = (false, Instant(0));
        let id = self.id(seat);
        self.log.end(id);
        self.links_end(seat, graceful);
        self.tell_end(seat);
    }

    pub(super) fn leave(&mut self, seat: Seat) {
        if self.places[seat.index()].runs() {
            self.end(seat, true);
            self.after(COMES_AGAIN, Due::Start(seat));
        }
    }

    pub(super) fn kill(&mut self, seat: Seat) {
        if self.places[seat.index()].runs() {
            self.end(seat, false);
            self.after(COMES_AGAIN, Due::Start(seat));
        }
    }

    /// The nodes on the same machine see that a process is no more.
    pub(super) fn tell_end(&mut self, of: Seat) {
        let (machine, incarnation) = (
            self.places[of.index()].plan.machine,
            self.places[of.index()].incarnation,
        );
        for seat in self.plan.seats().filter(|seat| *seat != of) {
            if self.places[seat.index()].plan.machine == machine {
                let takes = self.rng.span(Span(50), Span(2_000));
                self.after(
                    takes,
                    Due::Died {
                        seat,
                        of,
                        incarnation,
                    },
                );
            }
        }
    }

    pub(super) fn died(&mut self, seat: Seat, of: Seat, incarnation: Incarnation) {
        if self.places[seat.index()].paused {
            return self.place(seat).held.push(Held::Died(of, incarnation));
        }
        let node = self.id(of);
        self.tell(seat, |host, now| host.died(now, node, incarnation));
    }

    pub(super) fn woken(&mut self, seat: Seat, at: Instant) {
        let place = self.place(seat);
        if place.wake != Some(at) {
            return;
        }
        place.wake = None;
        if place.paused {
            // Its timers are found late when it goes on.
            return;
        }
        self.tell(seat, Host::wake);
    }

    /// Gives a node an input at its own time, and carries out what comes of it.
    pub(super) fn tell(&mut self, seat: Seat, input: impl FnOnce(&mut Host, Instant)) {
        let now = self.now;
        let place = self.place(seat);
        if let Some(host) = place.host.as_mut() {
            input(host, place.clock.local(now));
            self.pump(seat);
        }
    }

    pub(super) fn pump(&mut self, seat: Seat) {
        let place = self.place(seat);
        let Some(host) = place.host.as_mut() else { return };
        if !host.is_quiet() {
            let outputs: Vec<Output> = host.outputs().collect();
            for output in outputs {
                self.carry_out(seat, output);
            }
        }
        self.wake_in_time(seat);
    }

    pub(super) fn wake_in_time(&mut self, seat: Seat) {
        let now = self.now;
        let place = self.place(seat);
        let Some(next) = place.host.as_ref().map(Host::next_timeout) else {
            return;
        };
        let at = place.clock.true_time(next).max(now);
        // The wake-up that is planned is early enough, as long as it is not later than a timer may be.
        if place.wake.is_some_and(|wake| wake <= at + TIMER_LATE) || at.0 == u64::MAX {
            return;
        }
        let late = self.rng.span(Span::ZERO, TIMER_LATE);
        let at = at + late;
        self.place(seat).wake = Some(at);
        self.at(at, Due::Wake(seat, at));
    }

    pub(super) fn carry_out(&mut self, seat: Seat, output: Output) {
        let id = self.id(seat);
        match output {
            Output::Send { to, lane, frame } => {
                if let Some(to) = self.seat_of(to) {
                    self.send(Way { from: seat, to }, lane, &frame);
                }
            }
            Output::Raft { from, message } => self.log.message(id, from, message),
            Output::Propose {
                ticket,
                command,
                under,
            } => self.log.propose(id, ticket, command, under),
            Output::Admit { ticket, introduction } => self.log.admit(id, ticket, introduction),
            Output::Found => self.log.found(id, &self.plan.voter_ids()),
            Output::KeepVoters { roll } => self.log.keep_voters(id, roll),
            Output::Elections { allowed } => self.log.set_elections(id, allowed),
            Output::Lease { until } => {
                self.place(seat).lease = until;
                self.tell_lease(seat);
            }
            Output::Leads {
                exchange,
                handler,
                leader_epoch,
                until,
            } => {
                let until = self.place(seat).clock.true_time(until);
                self.event(
                    seat,
                    What::Leads {
                        exchange,
                        handler,
                        leader_epoch,
                        until,
                    },
                );
            }
            Output::Transfer { to } => self.log.transfer(id, to),
            Output::Leave => self.after(Span(1), Due::Leave(seat)),
            Output::Event(what) => self.event(seat, what),
            Output::Count(what) => self.count(what),
        }
    }

    /// The lease in true time, by the rate at which the node's clock runs now.
    pub(super) fn tell_lease(&mut self, seat: Seat) {
        let place = self.place(seat);
        let until = match place.lease {
            Instant(0) => Instant(0),
            until => place.clock.true_time(until),
        };
        self.event(seat, What::Lease { until });
    }

    pub(super) fn tell_holds(&mut self) {
        for seat in self.plan.seats() {
            let ways = self.links.iter().filter(|(way, _)| way.from == seat);
            let frames: usize = ways.map(|(_, link)| link.len()).sum();
            let Some(host) = &self.places[seat.index()].host else {
                continue;
            };
            let links = ("frames to peers", frames, network::FRAMES_MAX);
            for (place, count, bound) in host.holds().into_iter().chain([links]) {
                let place = place.to_owned();
                let (count, bound) = (count as u64, bound as u64);
                self.event(seat, What::Holds { place, count, bound });
            }
        }
        self.after(HOLDS_EVERY, Due::Holds);
    }
}

fn introduction(place: &Place) -> Introduction {
    let name = place.plan.name.clone();
    Introduction {
        id: place.plan.id,
        mesh_addr: format!("{name}:1"),
        grpc_addr: format!("{name}:2"),
        functions: Vec::new(),
        zone: ZoneName::new(&format!("z{}", place.plan.machine)).ok(),
        name,
        incarnation: place.incarnation,
        boot: Boot(place.run),
    }
}
