//! The registry's log as a small model of Raft: enough of it to elect, to commit by majority, to lose what was not synced,
//! and to have leaders that do not know yet that they are none. The same seam as the real one (`raft`).
//!
//! What does not live here: what a replica decides (`replica`), and the network.

mod replica;
mod talk;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use squall_kernel::id::{ClusterId, NodeId};
use squall_kernel::message::{self, PeerMessage};
use squall_kernel::profile::Profile;
use squall_kernel::promises::VotersAt;
use squall_kernel::registry::{Command, Introduction};
use squall_kernel::time::{Instant, Span};
use squall_kernel::voters::Roll;

use super::clock::Clock;
use super::log::{Log, LogState, Output, Ticket};
use super::plan::{Spread, slowed};
use super::rng::Rng;
use replica::Replica;
use talk::{Act, Durable, Talk, Write};

/// The ticket under which the founding is proposed; nobody else's, as hosts count from 1.
const FOUNDING: Ticket = 0;

/// A node's disk: what is on it, and what is on its way there.
struct Disk {
    durable: Durable,
    /// Writes under way, oldest first.
    doubtful: BTreeMap<u64, Write>,
    /// Until then it works on what it was given so far.
    busy_until: Instant,
    slower: Span,
    full: bool,
    rng: Rng,
}

struct Running {
    replica: Replica,
    clock: Clock,
    run: u64,
    paused: bool,
    /// What waits for the node to go on.
    held: Vec<Due>,
    /// The wake-up that counts; others are forgotten.
    wake: Option<Instant>,
    state: LogState,
    failed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Due {
    Wake(Instant),
    /// A write is durable; what waited for it may go.
    Synced {
        number: u64,
        then: Option<(NodeId, Talk)>,
    },
}

/// The logs of a cluster.
pub struct LogModel {
    seed: u64,
    profile: Profile,
    sync: Spread,
    now: Instant,
    cluster: ClusterId,
    disks: BTreeMap<NodeId, Disk>,
    running: BTreeMap<NodeId, Running>,
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    what: BTreeMap<u64, (NodeId, u64, Due)>,
    count: u64,
    out: Vec<Output>,
}

impl LogModel {
    /// Logs of nodes on these times and disks; nothing runs yet.
    #[must_use]
    pub fn new(seed: u64, profile: Profile, sync: Spread) -> Self {
        Self {
            seed,
            profile,
            sync,
            now: Instant(0),
            cluster: ClusterId(u128::from(Rng::fork(seed, "cluster id").next())),
            disks: BTreeMap::new(),
            running: BTreeMap::new(),
            due: BinaryHeap::new(),
            what: BTreeMap::new(),
            count: 0,
            out: Vec::new(),
        }
    }

    fn schedule(&mut self, at: Instant, node: NodeId, run: u64, due: Due) -> u64 {
        self.count += 1;
        self.due.push(Reverse((at, self.count)));
        self.what.insert(self.count, (node, run, due));
        self.count
    }

    fn with(&mut self, node: NodeId, act: impl FnOnce(&mut Replica, Instant)) {
        let now = self.now;
        if let Some(running) = self.running.get_mut(&node).filter(|r| !r.failed) {
            act(&mut running.replica, running.clock.local(now));
            self.settle(node);
        }
    }

    /// Carries out what a replica wants, and tells what is new of it.
    fn settle(&mut self, node: NodeId) {
        while let Some(running) = self.running.get_mut(&node).filter(|r| !r.replica.acts.is_empty()) {
            for act in std::mem::take(&mut running.replica.acts) {
                self.carry_out(node, act);
            }
        }
        let Some(running) = self.running.get_mut(&node) else {
            return;
        };
        let state = running.replica.state(running.clock.local(self.now));
        let unfounded = state.leads && running.replica.registry.cluster.is_none();
        let news = state != running.state;
        if news {
            running.state = state.clone();
            self.out.push(Output::State { node, state });
        }
        self.wake_in_time(node);
        if unfounded && news {
            let command = Command::Found {
                cluster: self.cluster,
                profile: self.profile,
            };
            self.with(node, |replica, now| replica.propose(now, FOUNDING, command));
        }
    }

    fn wake_in_time(&mut self, node: NodeId) {
        let Some(running) = self.running.get_mut(&node) else {
            return;
        };
        let Some(at) = running.replica.next_timeout() else {
            return;
        };
        let at = running.clock.true_time(at).max(self.now);
        if running.wake.is_none_or(|wake| at < wake) {
            running.wake = Some(at);
            let run = running.run;
            self.schedule(at, node, run, Due::Wake(at));
        }
    }

    fn carry_out(&mut self, node: NodeId, act: Act) {
        match act {
            Act::Send { to, talk } => self.send(node, to, &talk),
            Act::Write { write, then } => self.write(node, write, then),
            Act::Answer { ticket, .. } if ticket == FOUNDING => {}
            Act::Answer { ticket, result } => self.out.push(Output::Answer { node, ticket, result }),
            Act::Applied(revision, command, registry) => {
                let command = command.map(|command| (revision, command));
                self.out.push(Output::Registry {
                    node,
                    registry,
                    command,
                });
            }
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, talk: &Talk) {
        let body = message::control(talk).payload.to_vec();
        let message = PeerMessage::Raft { call: 0, body };
        self.out.push(Output::Send { from, to, message });
    }

    fn write(&mut self, node: NodeId, write: Write, then: Option<(NodeId, Talk)>) {
        let (Some(disk), Some(running)) = (self.disks.get_mut(&node), self.running.get_mut(&node)) else {
            return;
        };
        if disk.full {
            running.failed = true;
            let why = "no space left on the disk".into();
            return self.out.push(Output::Failed {
                node,
                why,
                full: true,
            });
        }
        let slower = slowed(self.now, disk.busy_until, disk.slower);
        let takes = Span(self.sync.draw(&mut disk.rng).0 + slower.0);
        let done = disk.busy_until.max(self.now) + takes;
        disk.busy_until = done;
        let (run, number) = (running.run, self.count + 1);
        disk.doubtful.insert(number, write);
        self.schedule(done, node, run, Due::Synced { number, then });
    }

    fn happen(&mut self, node: NodeId, run: u64, due: Due) {
        let Some(running) = self.running.get_mut(&node).filter(|r| r.run == run) else {
            return;
        };
        if running.paused {
            return running.held.push(due);
        }
        match due {
            Due::Wake(at) if running.wake == Some(at) => {
                running.wake = None;
                self.with(node, Replica::tick);
            }
            Due::Wake(_) => {}
            Due::Synced { number, then } => {
                let Some(disk) = self.disks.get_mut(&node) else {
                    return;
                };
                if let Some(write) = disk.doubtful.remove(&number) {
                    disk.durable.take(write);
                }
                let (len, last) = (disk.durable.log.len(), disk.durable.log.last().map(|e| e.term));
                if let Some((to, talk)) = then {
                    self.send(node, to, &talk);
                }
                self.with(node, |replica, now| replica.synced(now, len, last));
            }
        }
    }
}

impl Log for LogModel {
    fn run(&mut self, until: Instant) -> Instant {
        while self.out.is_empty() {
            let Some(Reverse((at, number))) =
                self.due.peek().copied().filter(|Reverse((at, _))| *at <= until)
            else {
                self.now = self.now.max(until);
                break;
            };
            self.due.pop();
            self.now = self.now.max(at);
            if let Some((node, run, due)) = self.what.remove(&number) {
                self.happen(node, run, due);
            }
        }
        self.now
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    fn start(&mut self, node: NodeId, ppm: i32, run: u32) {
        let (seed, now) = (self.seed, self.now);
        let disk = self.disks.entry(node).or_insert_with(|| Disk {
            durable: Durable::default(),
            doubtful: BTreeMap::new(),
            busy_until: now,
            slower: Span::ZERO,
            full: false,
            rng: Rng::fork(seed, &format!("disk {:x}", node.0)),
        });
        let rng = Rng::fork(seed, &format!("replica {:x} {run}", node.0));
        let clock = Clock::new(now, Span(1), ppm);
        let times = self.profile.times();
        let running = Running {
            replica: Replica::new(clock.local(now), node, times, &disk.durable, rng),
            clock,
            run: u64::from(run),
            paused: false,
            held: Vec::new(),
            wake: None,
            state: LogState::default(),
            failed: false,
        };
        self.running.insert(node, running);
        self.settle(node);
    }

    fn end(&mut self, node: NodeId) {
        self.running.remove(&node);
        let Some(disk) = self.disks.get_mut(&node) else {
            return;
        };
        // What waited for the disk waits no more.
        disk.busy_until = self.now;
        let doubtful = std::mem::take(&mut disk.doubtful);
        let survive = disk.rng.index(doubtful.len() + 1);
        if survive < doubtful.len() {
            self.out.push(Output::TailLost { node });
        }
        for write in doubtful.into_values().take(survive) {
            disk.durable.take(write);
        }
    }

    fn pause(&mut self, node: NodeId, paused: bool) {
        let Some(running) = self.running.get_mut(&node) else {
            return;
        };
        running.paused = paused;
        if !paused {
            let (run, now) = (running.run, self.now);
            for due in std::mem::take(&mut running.held) {
                self.schedule(now, node, run, due);
            }
        }
    }

    fn set_rate(&mut self, node: NodeId, ppm: i32) {
        let now = self.now;
        if let Some(running) = self.running.get_mut(&node) {
            running.clock.set_rate(now, ppm);
            running.wake = None;
            self.wake_in_time(node);
        }
    }

    fn set_slower(&mut self, node: NodeId, by: Span) {
        if let Some(disk) = self.disks.get_mut(&node) {
            disk.slower = by;
        }
    }

    fn set_full(&mut self, node: NodeId, full: bool) {
        if let Some(disk) = self.disks.get_mut(&node) {
            disk.full = full;
        }
    }

    fn link(&mut self, node: NodeId, peer: NodeId, up: bool) {
        if up {
            self.with(node, |replica, _| replica.linked(peer));
        }
    }

    fn message(&mut self, node: NodeId, from: NodeId, message: PeerMessage) {
        if let PeerMessage::Raft { body, .. } = message {
            let talk = message::parse(&body).expect("replicas of one build speak alike");
            self.with(node, |replica, now| replica.hear(now, from, talk));
        }
    }

    fn found(&mut self, node: NodeId, voters: &BTreeSet<NodeId>) {
        self.with(node, |replica, now| replica.found(now, voters));
    }

    /// There is one set of voters, so each verdict is under it.
    fn propose(&mut self, node: NodeId, ticket: Ticket, command: Command, _under: Option<VotersAt>) {
        self.with(node, |replica, now| replica.propose(now, ticket, command));
    }

    fn admit(&mut self, node: NodeId, ticket: Ticket, introduction: Introduction) {
        self.with(node, |replica, now| replica.admit(now, ticket, introduction));
    }

    /// The model's voters are those of the founding.
    fn keep_voters(&mut self, _node: NodeId, _roll: Roll) {}

    fn changes_voters(&self) -> bool {
        false
    }

    fn transfer(&mut self, node: NodeId, to: NodeId) {
        self.with(node, |replica, _| replica.hand_over(to));
    }

    fn set_elections(&mut self, node: NodeId, allowed: bool) {
        self.with(node, |replica, _| replica.elections = allowed);
    }
}
