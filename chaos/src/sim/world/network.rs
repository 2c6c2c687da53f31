//! The world's side of links: who is connected to whom, what travels, and what comes back.

use squall_kernel::frame::Frame;
use squall_kernel::limits::OPEN_REQUESTS_MAX;
use squall_kernel::message;
use squall_kernel::time::{Instant, Span};

use super::{Due, Held, World};
use crate::sim::fault::Seat;
use crate::sim::host::{Host, Lane};
use crate::sim::links::{Phase, Returned, Way, Weather};

/// Frames that one node may have under way.
pub(super) const FRAMES_MAX: usize = OPEN_REQUESTS_MAX;
/// A link that broke is resumed within that time or given up, as in the mesh.
const GRACE: Span = Span::from_ms(2_000);
/// Shortest and longest time between two dials.
const REDIAL: (Span, Span) = (Span::from_ms(20), Span::from_ms(120));

impl World {
    pub(super) fn weather(&self, way: Way) -> Weather {
        if self.active.is_empty() {
            return Weather::default();
        }
        let faults = &self.plan.faults;
        Weather::of(
            way,
            self.active
                .iter()
                .map(|(place, since)| (*since, &faults[*place].what)),
        )
    }

    pub(super) fn send(&mut self, way: Way, lane: Lane, frame: &Frame) {
        let (now, weather) = (self.now, self.weather(way));
        let Some(link) = self.links.get_mut(&way) else {
            return;
        };
        if link.phase == Phase::Down {
            return;
        }
        let connection = link.connection;
        let arrives = link.send(now, lane, frame, (&weather, &self.plan.link, &mut self.rng));
        match arrives {
            Some(at) => self.at(
                at,
                Due::Arrive {
                    way,
                    lane,
                    connection,
                },
            ),
            None => self.count("frames held back"),
        }
    }

    pub(super) fn arrive(&mut self, way: Way, lane: Lane, connection: u64) {
        let weather = (self.weather(way), self.weather(way.back()));
        let now = self.now;
        let Some(link) = self.links.get_mut(&way).filter(|l| l.connection == connection) else {
            return;
        };
        let (incarnation, runs) = {
            let to = &self.places[way.to.index()];
            (to.incarnation, to.host.is_some())
        };
        // Nobody is there, or another run that knows nothing of this connection.
        let reaches = match link.phase {
            Phase::Up(peer) | Phase::Broken(peer) => peer == incarnation,
            Phase::Down => true,
        };
        if !runs || !reaches {
            return;
        }
        let Some(arrived) = link.arrive(now, lane, (&weather.0, &weather.1), &mut self.rng) else {
            return self.count("frames dropped as repeated");
        };
        if arrived.repeated {
            self.after(
                Span(1),
                Due::Arrive {
                    way,
                    lane,
                    connection,
                },
            );
        }
        self.digest.word(now.0);
        self.digest.word(arrived.checksum);
        if self.places[way.to.index()].paused {
            let held = Held::Arrived(way.from, arrived.frame);
            return self.place(way.to).held.push(held);
        }
        self.take_in(way.to, way.from, &arrived.frame);
    }

    pub(super) fn take_in(&mut self, seat: Seat, from: Seat, frame: &Frame) {
        let from = self.id(from);
        self.tell(seat, |host, now| host.arrived(now, from, frame));
    }

    /// A message of a node's log sets out on the control lane.
    pub(super) fn send_of_log(&mut self, way: Way, said: &message::PeerMessage) {
        self.send(way, Lane::CONTROL, &message::control(said));
    }

    /// A node that has started dials all, and all dial it.
    pub(super) fn dial_all(&mut self, seat: Seat) {
        for other in self.plan.seats().filter(|other| *other != seat) {
            let way = Way {
                from: seat,
                to: other,
            };
            for way in [way, way.back()] {
                let takes = self.rng.span(Span::from_ms(1), REDIAL.0);
                self.after(takes, Due::Dial(way));
            }
        }
    }

    pub(super) fn dial(&mut self, way: Way) {
        let (from, to) = (&self.places[way.from.index()], &self.places[way.to.index()]);
        if from.host.is_none() || to.host.is_none() {
            return;
        }
        let peer = to.incarnation;
        let Some(link) = self.links.get(&way) else { return };
        if link.phase == Phase::Up(peer) {
            return;
        }
        let reaches = from.runs() && to.runs() && !self.weather(way).cut && !self.weather(way.back()).cut;
        if !reaches {
            let again = self.rng.span(REDIAL.0, REDIAL.1);
            return self.after(again, Due::Dial(way));
        }
        if matches!(link.phase, Phase::Up(_)) {
            // The end of the peer's run before has not been noticed yet.
            let connection = link.connection;
            self.broken(way, connection);
        }
        let now = self.now;
        let Some(link) = self.links.get_mut(&way) else {
            return;
        };
        let returned = link.connected(now, peer);
        self.give_back(way, returned);
        self.greet(way);
    }

    pub(super) fn greet(&mut self, way: Way) {
        let (from, to) = (self.id(way.from), self.id(way.to));
        let Some(shown) = self.places[way.to.index()].host.as_ref().map(Host::shown) else {
            return;
        };
        let run = self.places[way.from.index()].incarnation;
        self.log.link(from, to, true);
        self.tell(way.to, |host, now| host.linked_back(now, from, run));
        self.tell(way.from, |host, now| host.connected(now, to, shown));
    }

    fn give_back(&mut self, way: Way, returned: Returned) {
        let to = self.id(way.to);
        let Returned { unwritten, written } = returned;
        if !written.is_empty() {
            self.count("frames of unknown fate");
            self.tell(way.from, |host, now| host.fate_unknown(now, to, written));
        }
        if !unwritten.is_empty() {
            self.count("frames given back");
            self.tell(way.from, |host, now| host.undeliverable(now, to, unwritten));
        }
    }

    /// The end of a node's run: its peers see it, where they can.
    pub(super) fn links_end(&mut self, seat: Seat, graceful: bool) {
        let lost = !graceful && self.rng.chance(500);
        for other in self.plan.seats().filter(|other| *other != seat) {
            let way = Way {
                from: other,
                to: seat,
            };
            if let Some(link) = self.links.get_mut(&way.back()) {
                link.forget(lost);
            }
            let takes = Span(self.plan.link.draw(&mut self.rng).0);
            let connection = self.links.get(&way).map_or(0, |link| link.connection);
            self.after(takes, Due::Broken { way, connection });
        }
    }

    pub(super) fn broken(&mut self, way: Way, connection: u64) {
        let cut = self.weather(way.back()).cut;
        let Some(link) = self.links.get_mut(&way).filter(|l| l.connection == connection) else {
            return;
        };
        let Phase::Up(run) = link.phase else {
            return;
        };
        if cut {
            let again = self.rng.span(REDIAL.0, REDIAL.1);
            return self.after(again, Due::Broken { way, connection });
        }
        if self.places[way.from.index()].paused {
            let held = Held::Broken(way.to, connection);
            return self.place(way.from).held.push(held);
        }
        link.broken();
        let (from, to) = (self.id(way.from), self.id(way.to));
        self.log.link(from, to, false);
        self.tell(way.from, |host, now| {
            host.unlinked(to, run);
            host.broken(now, to);
        });
        self.after(GRACE, Due::GiveUp { way, connection });
        // Where the peer runs again already, its dial may have come too early.
        self.after(REDIAL.0, Due::Dial(way));
    }

    pub(super) fn give_up(&mut self, way: Way, connection: u64) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&way).filter(|l| l.connection == connection) else {
            return;
        };
        if !matches!(link.phase, Phase::Broken(_)) {
            return;
        }
        if self.places[way.from.index()].paused {
            return self.after(REDIAL.1, Due::GiveUp { way, connection });
        }
        let returned = link.give_up(now);
        let to = self.id(way.to);
        self.tell(way.from, |host, _| host.given_up(to));
        self.give_back(way, returned);
    }

    /// What cuts held back flows again.
    pub(super) fn release(&mut self) {
        let now = self.now;
        let ways: Vec<Way> = self.links.keys().copied().collect();
        for way in ways {
            let weather = self.weather(way);
            let Some(link) = self.links.get_mut(&way) else {
                continue;
            };
            if weather.cut || !matches!(link.phase, Phase::Up(_)) {
                continue;
            }
            let connection = link.connection;
            let arrivals: Vec<(Lane, Instant)> = link.release(now, &weather, &self.plan.link, &mut self.rng);
            for (lane, at) in arrivals {
                self.at(
                    at,
                    Due::Arrive {
                        way,
                        lane,
                        connection,
                    },
                );
            }
        }
    }
}
