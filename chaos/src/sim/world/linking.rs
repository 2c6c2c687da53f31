//! The world's side of connections: who dials whom, who is connected, what breaks a connection, and what comes back then.
//!
//! What does not live here: what travels (`network`).

use squall_kernel::id::Incarnation;
use squall_kernel::time::Span;

use super::{Due, Held, World};
use crate::sim::fault::Seat;
use crate::sim::host::Host;
use crate::sim::links::{Phase, Returned, Way};

/// A link that broke is resumed within that time or given up, as in the mesh.
const GRACE: Span = Span::from_ms(2_000);
/// Shortest and longest time between two dials.
const REDIAL: (Span, Span) = (Span::from_ms(20), Span::from_ms(120));
/// Connections that a fault breaks and whose frames under way are lost with them, of a thousand.
const LOST: u32 = 500;

impl World {
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
        let reaches = from.runs() && to.runs() && !self.cut(way) && !self.cut(way.back());
        if !reaches {
            let again = self.rng.span(REDIAL.0, REDIAL.1);
            return self.after(again, Due::Dial(way));
        }
        if matches!(link.phase, Phase::Up(_)) {
            // The end of the peer's run before has not been noticed yet.
            let connection = link.connection;
            self.broken(way, connection);
        }
        let resumes = self
            .links
            .get(&way)
            .is_some_and(|l| l.phase == Phase::Broken(peer));
        let Some((returned, departed)) = self.write(way, |link, writer| link.connected(peer, writer)) else {
            return;
        };
        if resumes {
            self.count("links resumed");
        }
        self.give_back(way, returned);
        self.greet(way);
        self.depart(way, &departed);
        self.flow(way);
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
        let cut = self.cut(way.back());
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
        self.part(way, run);
    }

    /// The sender's end of a connection is gone.
    fn part(&mut self, way: Way, run: Incarnation) {
        let Some(link) = self.links.get_mut(&way) else {
            return;
        };
        link.broken();
        let connection = link.connection;
        let peer = &self.places[way.to.index()];
        let over = peer.host.is_none() || peer.incarnation != run;
        let (from, to) = (self.id(way.from), self.id(way.to));
        self.log.link(from, to, false);
        self.tell(way.from, |host, now| {
            if over {
                host.unlinked(to, run);
            }
            host.broken(now, to);
        });
        self.after(GRACE, Due::GiveUp { way, connection });
        // Where the peer runs again already, its dial may have come too early.
        self.after(REDIAL.0, Due::Dial(way));
    }

    /// A fault of the sender breaks a connection. What is under way may still arrive.
    pub(super) fn snap(&mut self, way: Way) {
        let lost = self.rng.chance(LOST);
        let Some(link) = self.links.get_mut(&way) else {
            return;
        };
        let Phase::Up(run) = link.phase else { return };
        link.closed |= lost;
        self.count("connections broken by faults");
        self.part(way, run);
        let incarnation = self.places[way.from.index()].incarnation;
        self.unlinked(way, incarnation);
    }

    /// A receiver has caught something that is not as it was sent, and ends the connection; its sender hears of it.
    pub(super) fn caught(&mut self, way: Way, connection: u64) {
        if self.places[way.to.index()].paused {
            return self.place(way.to).held.push(Held::Caught(way.from, connection));
        }
        let incarnation = self.places[way.from.index()].incarnation;
        self.unlinked(way, incarnation);
        let takes = self.plan.link.draw(&mut self.rng);
        self.after(takes, Due::Broken { way, connection });
    }

    /// The receiver's end of a connection is gone: that run of the sender cannot answer over it.
    pub(super) fn unlinked(&mut self, way: Way, run: Incarnation) {
        if self.places[way.to.index()].paused {
            return self.place(way.to).held.push(Held::Unlinked(way.from, run));
        }
        let from = self.id(way.from);
        self.tell(way.to, |host, _| host.unlinked(from, run));
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
}
