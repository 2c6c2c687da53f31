//! The world's side of what travels: what sets out, what waits for faults of its sender, and what arrives.
//!
//! What does not live here: who is connected to whom (`linking`), and what a fault does (the kernel's table).

use squall_kernel::fault::Bears;
use squall_kernel::frame::Frame;
use squall_kernel::limits::OPEN_REQUESTS_MAX;
use squall_kernel::message;

use super::{Due, Held, World};
use crate::sim::fault::Seat;
use crate::sim::host::Lane;
use crate::sim::links::{Arrived, Caught, Departed, Link, Phase, Way, Writer};

/// Frames that one node may have under way.
pub(super) const FRAMES_MAX: usize = OPEN_REQUESTS_MAX;

impl World {
    pub(super) fn send(&mut self, way: Way, lane: Lane, frame: &Frame) {
        let departed = self.write(way, |link, writer| match link.phase {
            Phase::Down => None,
            _ => Some(link.send(lane, frame, writer)),
        });
        let Some(departed) = departed.flatten() else {
            return;
        };
        if departed.arrivals.is_empty() {
            self.count("frames held back");
        }
        self.depart(way, &departed);
    }

    /// What a lane holds back is due.
    pub(super) fn go(&mut self, way: Way, lane: Lane, connection: u64) {
        if self.writes_to(way) == Some(connection)
            && let Some(departed) = self.write(way, |link, writer| link.go(lane, writer))
        {
            self.depart(way, &departed);
        }
    }

    /// The faults of a link's sender have changed, or break its connection about now. A node that stands still does nothing
    /// about it until it goes on.
    pub(super) fn flow(&mut self, way: Way) {
        let Some(connection) = self.writes_to(way) else {
            return;
        };
        let bears = self.bears(way);
        if bears.broken {
            return self.snap(way);
        }
        if let Some(at) = bears.next_break {
            self.at(at, Due::Flow { way, connection });
        }
        if let Some(departed) = self.write(way, Link::judge_anew) {
            self.depart(way, &departed);
        }
    }

    /// As [`Self::flow`], while that connection stands.
    pub(super) fn flow_of(&mut self, way: Way, connection: u64) {
        if self.writes_to(way) == Some(connection) {
            self.flow(way);
        }
    }

    /// All that sets out from there, anew.
    pub(super) fn flow_from(&mut self, from: Seat) {
        for to in self.plan.seats().filter(|to| *to != from) {
            self.flow(Way { from, to });
        }
    }

    /// The connection over which a node writes now.
    fn writes_to(&self, way: Way) -> Option<u64> {
        let link = self.links.get(&way)?;
        let up = matches!(link.phase, Phase::Up(_));
        (up && self.places[way.from.index()].runs()).then_some(link.connection)
    }

    /// What its sender's faults make a connection bear now.
    fn bears(&self, way: Way) -> Bears {
        let (faults, to) = (
            &self.places[way.from.index()].faults,
            &self.plan.nodes[way.to.index()].name,
        );
        let opened = self.links.get(&way).map_or(self.now, |link| link.opened);
        faults.bears(to, opened, self.now)
    }

    /// Lets a link do something with its sender's faults.
    pub(super) fn write<T>(
        &mut self,
        way: Way,
        act: impl FnOnce(&mut Link, &mut Writer<'_>) -> T,
    ) -> Option<T> {
        let link = self.links.get_mut(&way)?;
        let mut writer = Writer {
            now: self.now,
            faults: &mut self.places[way.from.index()].faults,
            to: &self.plan.nodes[way.to.index()].name,
            spread: &self.plan.link,
            rng: &mut self.rng,
        };
        Some(act(link, &mut writer))
    }

    pub(super) fn depart(&mut self, way: Way, departed: &Departed) {
        let connection = self.links.get(&way).map_or(0, |link| link.connection);
        for (lane, at) in &departed.arrivals {
            let lane = *lane;
            self.at(
                *at,
                Due::Arrive {
                    way,
                    lane,
                    connection,
                },
            );
        }
        for (lane, at) in &departed.goes {
            let lane = *lane;
            self.at(
                *at,
                Due::Go {
                    way,
                    lane,
                    connection,
                },
            );
        }
        if departed.full {
            self.snap(way);
        }
    }

    pub(super) fn arrive(&mut self, way: Way, lane: Lane, connection: u64) {
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
        let mut back = Writer {
            now: self.now,
            faults: &mut self.places[way.to.index()].faults,
            to: &self.plan.nodes[way.from.index()].name,
            spread: &self.plan.link,
            rng: &mut self.rng,
        };
        let Arrived { frame, checksum } = match link.arrive(lane, &mut back) {
            Ok(Some(arrived)) => arrived,
            Ok(None) => return,
            Err(Caught(what)) => {
                self.count(what);
                return self.caught(way, connection);
            }
        };
        self.digest.word(self.now.0);
        self.digest.word(checksum);
        if self.places[way.to.index()].paused {
            let held = Held::Arrived(way.from, frame);
            return self.place(way.to).held.push(held);
        }
        self.take_in(way.to, way.from, &frame);
    }

    pub(super) fn take_in(&mut self, seat: Seat, from: Seat, frame: &Frame) {
        let from = self.id(from);
        self.tell(seat, |host, now| host.arrived(now, from, frame));
    }

    /// A message of a node's log sets out on the control lane.
    pub(super) fn send_of_log(&mut self, way: Way, said: &message::PeerMessage) {
        self.send(way, Lane::CONTROL, &message::control(said));
    }

    /// True while the sender's faults let nothing through.
    pub(super) fn cut(&self, way: Way) -> bool {
        let faults = &self.places[way.from.index()].faults;
        let to = &self.plan.nodes[way.to.index()].name;
        !faults.is_empty() && faults.judge(to, self.now, self.now, 0).held
    }
}
