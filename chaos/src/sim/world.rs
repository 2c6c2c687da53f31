//! A simulated cluster: nodes, links, the log, faults and work on one list of what happens when. One thread, no clock but
//! its own; the same plan gives the same run.
//!
//! What does not live here: what a node does (`host`), what the log does (`log`), what a watcher is told (`seen`), and what a
//! history means (`invariant`).

mod due;
mod faults;
mod linking;
mod log_side;
mod network;
mod nodes;
mod script;
mod seen;
mod work;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use squall_kernel::fault::FaultTable;
use squall_kernel::frame::Frame;
use squall_kernel::id::{Incarnation, NodeId};
use squall_kernel::time::{Instant, Span};

use due::{Due, Scheduled};
pub use seen::{Answer, Seen};

use super::Tier;
use super::clock::Clock;
use super::fault::Seat;
use super::host::Host;
use super::links::{Link, Way};
use super::log::{Log, LogState, Output as LogOutput};
use super::outcome::{Digest, Run};
use super::plan::{NodePlan, Plan};
use super::rng::Rng;
use super::workload::{Deck, LOOK_EVERY};
use crate::history::{Event, What};

/// Between two looks at what nodes hold.
const HOLDS_EVERY: Span = Span::from_ms(500);
/// A timer fires that much late at most, on a quiet machine.
const TIMER_LATE: Span = Span(300);
/// Milliseconds that the calendars of all nodes show at the beginning.
const CALENDAR_MS: i64 = 1_000_000;
/// A run that would end in the middle of a move, or of a registry write, goes on for so long,
const EXTENSION: Span = Span::from_ms(250);
/// so many times: one that does not end is a breach.
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
    /// Faults on what this node sends, on true time. They stay when its run ends, so that what they hold back stays held, and
    /// the next run starts without, as a live node does.
    faults: FaultTable,
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
    Caught(Seat, u64),
    Unlinked(Seat, Incarnation),
    Died(Seat, Incarnation),
    Log(LogOutput),
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
    /// When a node started again, last.
    restarted_at: Instant,
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
            faults: FaultTable::default(),
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
            restarted_at: Instant(0),
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
    pub fn run(self) -> Run {
        self.run_seen(|_| {})
    }

    /// Runs it to its end; `look` sees it after each step.
    #[must_use]
    pub fn run_seen(mut self, mut look: impl FnMut(&Self)) -> Run {
        self.begin();
        while self.step() {
            look(&self);
        }
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
        for place in 0..self.plan.script.len() {
            self.at(self.plan.script[place].at, Due::Script(place));
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
            let open = (self.moves() || self.writes()) && self.extended < EXTENSIONS_MAX;
            if open || self.recovers() {
                self.extended += u64::from(open);
                self.after(EXTENSION, Due::Settle);
                return true;
            }
            for seat in self.plan.seats() {
                self.tell(seat, |host, _| host.tell_queues());
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

    /// True while a node that was taken down has not had the time to be well again: one that hands many exchanges over first
    /// goes late.
    fn recovers(&self) -> bool {
        let time = Span(self.plan.liveness.0 / 2);
        let starts = |Reverse(it): &Reverse<Scheduled>| matches!(it.due, Due::Start(_));
        let soon = self.now < self.restarted_at + time || self.due.iter().any(starts);
        // Whoever starts again and again is not well.
        soon && self.now < self.plan.ends_at() + self.plan.liveness
    }

    /// True while some node has not heard of a registry write that another one has applied.
    fn writes(&self) -> bool {
        let hosts = self.places.iter().filter_map(|place| place.host.as_ref());
        let revisions: BTreeSet<_> = hosts.map(|host| host.registry().revision).collect();
        revisions.len() > 1
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Wake(seat, at) => self.woken(seat, at),
            Due::Arrive {
                way,
                lane,
                connection,
            } => self.arrive(way, lane, connection),
            Due::Go {
                way,
                lane,
                connection,
            } => self.go(way, lane, connection),
            Due::Flow { way, connection } => self.flow_of(way, connection),
            Due::Broken { way, connection } => self.broken(way, connection),
            Due::GiveUp { way, connection } => self.give_up(way, connection),
            Due::Dial(way) => self.dial(way),
            Due::Begin(fault) => self.begin_fault(fault),
            Due::End(fault) => self.end_fault(fault),
            Due::Script(step) => self.scripted(step),
            Due::Start(seat) => self.start(seat),
            Due::Leave(seat) => self.leave(seat),
            Due::Kill(seat) => self.kill(seat),
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
}
