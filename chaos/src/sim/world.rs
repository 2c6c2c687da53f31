//! A simulated cluster: nodes, links, the log, faults and work on one list of what happens when. One thread, no clock but
//! its own; the same plan gives the same run.
//!
//! What does not live here: what a node does (`host`), what the log does (`log`), and what a history means (`invariant`).

mod faults;
mod log_side;
mod network;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

use squall_kernel::frame::Frame;
use squall_kernel::id::{Boot, Incarnation, NodeId};
use squall_kernel::registry::Introduction;
use squall_kernel::time::{Instant, Span};

use super::Tier;
use super::clock::Clock;
use super::fault::Seat;
use super::host::{Host, HostConfig, Lane, Output};
use super::links::{Link, Way};
use super::log::{Log, LogState, Output as LogOutput};
use super::outcome::{Digest, Run};
use super::plan::{NodePlan, Plan};
use super::rng::Rng;
use super::workload::{Deck, LOOK_EVERY};
use crate::history::{Event, Mark, What};

/// Between two looks at what nodes hold.
const HOLDS_EVERY: Span = Span::from_ms(500);
/// A timer fires that much late at most, on a quiet machine.
const TIMER_LATE: Span = Span(300);
/// Milliseconds that the calendars of all nodes show at the beginning.
const CALENDAR_MS: i64 = 1_000_000;
/// A run that would end in the middle of a move goes on for so long,
const EXTENSION: Span = Span::from_ms(250);
/// so many times: a move that does not end is a breach.
const EXTENSIONS_MAX: u64 = 8;
/// After so long a node that left in order is started again.
const COMES_AGAIN: Span = Span::from_ms(400);
/// Steps after which a run is given up: a hundred times what a busy one needs.
const STEPS_MAX: u64 = 20_000_000;

/// A node's place: who runs there now, if anybody.
pub(super) struct Place {
    plan: NodePlan,
    pub(super) host: Option<Host>,
    clock: Clock,
    run: u32,
    incarnation: Incarnation,
    calendar_ms: i64,
    paused: bool,
    /// What waits for a paused node to go on.
    held: Vec<Held>,
    /// The wake-up that counts; others are forgotten.
    wake: Option<Instant>,
    lease: Instant,
    state: LogState,
    /// The fault that keeps it down.
    down_by: Option<u64>,
}

impl Place {
    fn runs(&self) -> bool {
        self.host.is_some() && !self.paused
    }
}

/// What happens to a node.
enum Held {
    Arrived(Seat, Frame),
    Broken(Seat, u64),
    Died(Seat, Incarnation),
    Log(LogOutput),
}

/// What is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Wake(Seat, Instant),
    Arrive {
        way: Way,
        lane: Lane,
        connection: u64,
    },
    Broken {
        way: Way,
        connection: u64,
    },
    GiveUp {
        way: Way,
        connection: u64,
    },
    Dial(Way),
    Begin(usize),
    End(usize),
    Start(Seat),
    /// It has handed over everything, leaves, and comes again later.
    Leave(Seat),
    /// The end of a node's run is seen on its machine.
    Died {
        seat: Seat,
        of: Seat,
        incarnation: Incarnation,
    },
    Request,
    Operation,
    Look,
    Holds,
    Heal,
    Settle,
}

struct Scheduled {
    at: Instant,
    number: u64,
    due: Due,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// A cluster.
pub struct World {
    tier: Tier,
    plan: Plan,
    now: Instant,
    pub(super) places: Vec<Place>,
    links: BTreeMap<Way, Link>,
    log: Box<dyn Log>,
    due: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    steps: u64,
    extended: u64,
    /// Faults that act now, by their place in the plan, with their beginning.
    active: BTreeMap<usize, Instant>,
    deck: Deck,
    rng: Rng,
    history: Vec<Event>,
    counts: BTreeMap<&'static str, u64>,
    digest: Digest,
}

impl World {
    /// The cluster of a plan, on that log.
    #[must_use]
    pub fn new(tier: Tier, plan: &Plan, log: Box<dyn Log>) -> Self {
        let place = |node: &NodePlan| Place {
            plan: node.clone(),
            host: None,
            clock: Clock::new(Instant(0), node.clock_offset, node.clock_ppm),
            run: 0,
            incarnation: Incarnation(0),
            calendar_ms: CALENDAR_MS,
            paused: false,
            held: Vec::new(),
            wake: None,
            lease: Instant(0),
            state: LogState::default(),
            down_by: None,
        };
        let ways = plan.seats().flat_map(|from| {
            let others = plan.seats().filter(move |to| *to != from);
            others.map(move |to| Way { from, to })
        });
        Self {
            tier,
            now: Instant(0),
            places: plan.nodes.iter().map(place).collect(),
            links: ways.map(|way| (way, Link::default())).collect(),
            log,
            due: BinaryHeap::new(),
            scheduled: 0,
            steps: 0,
            extended: 0,
            active: BTreeMap::new(),
            deck: Deck::new(plan),
            rng: Rng::fork(plan.seed, "world"),
            history: Vec::new(),
            counts: BTreeMap::new(),
            digest: Digest::default(),
            plan: plan.clone(),
        }
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(mut self) -> Run {
        self.begin();
        while self.step() {}
        let mut digest = self.digest;
        for event in &self.history {
            digest.display(event);
        }
        Run {
            tier: self.tier,
            simulated: Span(self.now.0),
            plan: self.plan,
            history: self.history,
            counts: self.counts,
            digest: digest.value(),
            steps: self.steps,
        }
    }

    fn begin(&mut self) {
        for seat in self.plan.seats() {
            let at = self.places[seat.index()].plan.starts;
            self.at(at, Due::Start(seat));
        }
        for place in 0..self.plan.faults.len() {
            self.at(self.plan.faults[place].at, Due::Begin(place));
        }
        self.after(Span::ZERO, Due::Request);
        self.after(self.plan.work.change_every, Due::Operation);
        self.after(LOOK_EVERY, Due::Look);
        self.after(HOLDS_EVERY, Due::Holds);
        // After the last fault's end.
        self.at(self.plan.healed_at() + Span(1), Due::Heal);
        self.at(self.plan.ends_at(), Due::Settle);
    }

    /// Does the next thing; false at the end.
    fn step(&mut self) -> bool {
        self.steps += 1;
        assert!(
            self.steps < STEPS_MAX,
            "seed {} does not come to its end",
            self.plan.seed
        );
        let next = self.due.peek().map_or(self.plan.ends_at(), |Reverse(s)| s.at);
        self.now = self.now.max(self.log.run(next));
        let outputs = self.log.outputs();
        if !outputs.is_empty() {
            for output in outputs {
                self.log_said(output);
            }
            return true;
        }
        let Some(Reverse(Scheduled { due, .. })) = self.due.pop() else {
            return false;
        };
        if due == Due::Settle {
            if self.moves() && self.extended < EXTENSIONS_MAX {
                self.extended += 1;
                self.after(EXTENSION, Due::Settle);
                return true;
            }
            self.event_of_all(What::Settled);
            return false;
        }
        self.happen(due);
        true
    }

    /// True while some node sees an exchange on its way.
    fn moves(&self) -> bool {
        let mut hosts = self.places.iter().filter_map(|place| place.host.as_ref());
        hosts.any(|host| host.registry().exchanges.values().any(|e| e.moving.is_some()))
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Wake(seat, at) => self.woken(seat, at),
            Due::Arrive {
                way,
                lane,
                connection,
            } => self.arrive(way, lane, connection),
            Due::Broken { way, connection } => self.broken(way, connection),
            Due::GiveUp { way, connection } => self.give_up(way, connection),
            Due::Dial(way) => self.dial(way),
            Due::Begin(fault) => self.begin_fault(fault),
            Due::End(fault) => self.end_fault(fault),
            Due::Start(seat) => self.start(seat),
            Due::Leave(seat) => self.leave(seat),
            Due::Died {
                seat,
                of,
                incarnation,
            } => self.died(seat, of, incarnation),
            Due::Request => self.request(),
            Due::Operation => self.operation(),
            Due::Look => self.look(),
            Due::Holds => self.tell_holds(),
            Due::Heal => self.event_of_all(What::Healed),
            Due::Settle => {}
        }
    }

    fn at(&mut self, at: Instant, due: Due) {
        self.scheduled += 1;
        let number = self.scheduled;
        self.due.push(Reverse(Scheduled { at, number, due }));
    }

    fn after(&mut self, span: Span, due: Due) {
        self.at(self.now + span, due);
    }

    fn event(&mut self, seat: Seat, what: What) {
        let (at, node) = (self.now, self.id(seat));
        self.history.push(Event { at, node, what });
    }

    /// Something that concerns the whole cluster; told as of the first node.
    fn event_of_all(&mut self, what: What) {
        self.event(Seat(0), what);
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn id(&self, seat: Seat) -> NodeId {
        self.places[seat.index()].plan.id
    }

    fn seat_of(&self, node: NodeId) -> Option<Seat> {
        self.plan.seats().find(|seat| self.id(*seat) == node)
    }

    fn place(&mut self, seat: Seat) -> &mut Place {
        &mut self.places[seat.index()]
    }

    /// Starts a node: a new run on what its disk holds.
    fn start(&mut self, seat: Seat) {
        let now = self.now;
        let (seed, profile, work) = (self.plan.seed, self.plan.profile, self.plan.work);
        let expects = u32::try_from(self.plan.nodes.len()).expect("few nodes");
        let place = self.place(seat);
        if place.host.is_some() {
            return;
        }
        place.run += 1;
        let calendar = place.calendar_ms + i64::try_from(now.0 / 1000).expect("a short run");
        let shown = u64::try_from(calendar.max(0)).expect("not negative");
        place.incarnation = Incarnation(shown.max(place.incarnation.0 + 1));
        let ppm = place.plan.clock_ppm;
        place.clock = Clock::new(now, place.plan.clock_offset, ppm);
        (place.wake, place.paused, place.down_by) = (None, false, None);
        place.state = LogState::default();
        let me = introduction(place);
        let (id, run, incarnation) = (me.id, place.run, me.incarnation);
        let rng = Rng::fork(seed, &format!("handlers {seat} {run}"));
        let config = HostConfig {
            me,
            profile,
            expects,
            work,
            rng,
        };
        let local = place.clock.local(now);
        place.host = Some(Host::new(local, config));
        self.event(seat, What::Started { incarnation });
        if run > 1 && self.plan.voter_ids().contains(&id) {
            self.event(seat, What::Mark(Mark::VoterRestarted));
        }
        self.deck.restarted(seat);
        self.log.start(id, ppm, run);
        self.dial_all(seat);
        self.pump(seat);
    }

    /// Ends a node's run.
    fn end(&mut self, seat: Seat, graceful: bool) {
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

    fn leave(&mut self, seat: Seat) {
        if self.places[seat.index()].runs() {
            self.end(seat, true);
            self.after(COMES_AGAIN, Due::Start(seat));
        }
    }

    /// The nodes on the same machine see that a process is no more.
    fn tell_end(&mut self, of: Seat) {
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

    fn died(&mut self, seat: Seat, of: Seat, incarnation: Incarnation) {
        if self.places[seat.index()].paused {
            return self.place(seat).held.push(Held::Died(of, incarnation));
        }
        let node = self.id(of);
        self.tell(seat, |host, now| host.died(now, node, incarnation));
    }

    fn woken(&mut self, seat: Seat, at: Instant) {
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
    fn tell(&mut self, seat: Seat, input: impl FnOnce(&mut Host, Instant)) {
        let now = self.now;
        let place = self.place(seat);
        if let Some(host) = place.host.as_mut() {
            input(host, place.clock.local(now));
            self.pump(seat);
        }
    }

    fn pump(&mut self, seat: Seat) {
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

    fn wake_in_time(&mut self, seat: Seat) {
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

    fn carry_out(&mut self, seat: Seat, output: Output) {
        let id = self.id(seat);
        match output {
            Output::Send { to, lane, frame } => {
                if let Some(to) = self.seat_of(to) {
                    self.send(Way { from: seat, to }, lane, &frame);
                }
            }
            Output::Raft { from, message } => self.log.message(id, from, message),
            Output::Propose { ticket, command } => self.log.propose(id, ticket, command),
            Output::Admit { ticket, introduction } => self.log.admit(id, ticket, introduction),
            Output::Found => self.log.found(id, &self.plan.voter_ids()),
            Output::AdjustVoters { live } => self.log.adjust_voters(id, &live),
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
    fn tell_lease(&mut self, seat: Seat) {
        let place = self.place(seat);
        let until = match place.lease {
            Instant(0) => Instant(0),
            until => place.clock.true_time(until),
        };
        self.event(seat, What::Lease { until });
    }

    fn tell_holds(&mut self) {
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
        name,
        incarnation: place.incarnation,
        boot: Boot(place.run),
    }
}

/// What the workload may see and do.
impl World {
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) const fn now(&self) -> Instant {
        self.now
    }

    pub(super) fn deck(&mut self) -> &mut Deck {
        &mut self.deck
    }

    pub(super) fn seats(&self) -> impl Iterator<Item = Seat> + use<> {
        self.plan.seats()
    }

    pub(super) fn name(&self, seat: Seat) -> squall_kernel::id::NodeName {
        self.places[seat.index()].plan.name.clone()
    }

    /// The node there, if it runs.
    pub(super) fn host(&self, seat: Seat) -> Option<&Host> {
        let place = &self.places[seat.index()];
        place.host.as_ref().filter(|_| !place.paused)
    }

    /// Gives a node an input, if it runs.
    pub(super) fn tell_running(&mut self, seat: Seat, input: impl FnOnce(&mut Host, Instant)) {
        if self.places[seat.index()].runs() {
            self.tell(seat, input);
        }
    }

    pub(super) fn request_after(&mut self, span: Span) {
        self.after(span, Due::Request);
    }

    pub(super) fn operation_after(&mut self, span: Span) {
        self.after(span, Due::Operation);
    }

    pub(super) fn look_after(&mut self, span: Span) {
        self.after(span, Due::Look);
    }
}
