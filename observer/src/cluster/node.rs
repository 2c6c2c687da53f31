//! One node: its connection, and what it says about itself, its links, its exchanges, its opinions, its
//! processes and its faults. What does not live here: anything that needs two nodes.

use std::collections::{BTreeMap, VecDeque};

use squall_proto::v1;
use squall_proto::v1::row::Row;

use super::process::Processes;
use super::rate::Rate;
use crate::clean;
use crate::feed::{Link, RowsUpdate};
use crate::limits::{LOAD_SAMPLES, NODES_MAX, ROWS_PER_NODE_MAX};
use crate::units::Moment;

/// The watcher's connection to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// Being dialled for the first time.
    Connecting {
        /// Since when.
        since: Moment,
    },
    /// The stream is open.
    Live,
    /// Lost, or never had; the next try is on its way.
    Down {
        /// Since when.
        since: Moment,
        /// Why, in words.
        why: String,
        /// The address refuses: nothing runs there.
        refused: bool,
    },
}

/// An exchange as one node has it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The row.
    pub row: v1::ExchangeRow,
    /// Requests per second.
    pub requests: Rate,
    /// Requests turned away per second.
    pub refused: Rate,
}

/// A node's opinion on one exchange.
#[derive(Debug, Clone)]
pub struct Opinion {
    /// The row.
    pub row: v1::LeaderRow,
    /// Since when, by the node's clock, it has acted as owner under this epoch without a break.
    pub owner_since_ms: u64,
    /// When the row was taken, by the node's clock.
    pub taken_ms: u64,
}

/// A fault, with the moment it ends by the reader's clock.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The row.
    pub row: v1::FaultRow,
    /// When it ends by itself.
    pub ends: Moment,
}

/// A node and its rows.
#[derive(Debug, Clone)]
pub struct Node {
    /// Name.
    pub name: String,
    /// The connection to it.
    pub connection: Connection,
    /// Who it said it was.
    pub hello: Option<v1::HelloResponse>,
    /// What it said last of itself.
    pub row: Option<v1::NodeRow>,
    /// When its last frame arrived.
    pub heard: Moment,
    /// When that frame was taken, by the node's clock.
    pub taken_ms: u64,
    /// When its processes were taken, by the node's clock, where that is not the time of the last frame: of the past they are
    /// kept by the second.
    pub processes_taken_ms: Option<u64>,
    /// A whole snapshot has arrived since the stream was opened.
    pub complete: bool,
    /// Links to its peers.
    pub links: BTreeMap<String, v1::LinkRow>,
    /// Exchanges as it has them.
    pub exchanges: BTreeMap<String, Exchange>,
    /// Its opinions.
    pub opinions: BTreeMap<String, Opinion>,
    /// Its processes; empty unless they are watched.
    pub processes: Processes,
    /// Its active faults.
    pub faults: BTreeMap<String, Fault>,
    /// Messages in per second.
    pub rate_in: Rate,
    /// Messages out per second.
    pub rate_out: Rate,
    /// Messages dropped per second.
    pub rate_dropped: Rate,
    /// Load of the last ten minutes, a sample a second; none where nothing was heard.
    pub load: VecDeque<Option<f32>>,
    /// Updates merged on the way because the reader was slow.
    pub coalesced: u64,
    /// Process rows left out by the node's limit.
    pub rows_omitted: u64,
    /// Gaps in the stream that were healed by asking again.
    pub gaps: u64,
    /// By how much its clock seems to be ahead of the reader's, less what frames take: the quickest of the last ones.
    pub skew_ms: Option<i64>,
    /// Why the node refused the last interest.
    pub refusal: Option<String>,
}

impl Node {
    /// A node that is being dialled.
    #[must_use]
    pub fn new(name: String, now: Moment) -> Self {
        Self {
            name,
            connection: Connection::Connecting { since: now },
            hello: None,
            row: None,
            heard: now,
            taken_ms: 0,
            processes_taken_ms: None,
            complete: false,
            links: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            opinions: BTreeMap::new(),
            processes: Processes::default(),
            faults: BTreeMap::new(),
            rate_in: Rate::default(),
            rate_out: Rate::default(),
            rate_dropped: Rate::default(),
            load: VecDeque::new(),
            coalesced: 0,
            rows_omitted: 0,
            gaps: 0,
            skew_ms: None,
            refusal: None,
        }
    }

    /// Takes a change of the connection in; the rows stay.
    pub fn connection(&mut self, now: Moment, link: Link) {
        self.connection = match link {
            Link::Live => Connection::Live,
            Link::Down { why, refused } => {
                let since = match &self.connection {
                    Connection::Live => now,
                    Connection::Connecting { since } | Connection::Down { since, .. } => *since,
                };
                Connection::Down {
                    since,
                    why: clean::text(&why),
                    refused,
                }
            }
        };
    }

    /// Takes the node's introduction in.
    pub fn hello(&mut self, mut hello: v1::HelloResponse) {
        for name in [
            &mut hello.node,
            &mut hello.version,
            &mut hello.cluster,
            &mut hello.supervisor,
        ] {
            *name = clean::name(name);
        }
        hello.capabilities.iter_mut().for_each(|c| *c = clean::name(c));
        hello.members.iter_mut().for_each(clean::member);
        self.hello = Some(hello);
    }

    /// Takes rows in: a whole picture, or what changed.
    pub fn rows(&mut self, now: Moment, update: &RowsUpdate) {
        let taken_ms = clean::figure(update.taken_unix_ms);
        self.heard = now;
        self.skew(now, taken_ms);
        self.taken_ms = self.taken_ms.max(taken_ms);
        self.coalesced = clean::figure(update.coalesced);
        self.rows_omitted = clean::figure(update.rows_omitted);
        self.gaps = update.gaps;
        self.connection = Connection::Live;
        if update.whole && self.processes_taken_ms.is_some() {
            self.processes_taken_ms = Some(taken_ms);
        }
        let before = update.whole.then(|| self.set_aside());
        for row in &update.rows {
            // Nearly all of them: they say nothing new but their figures.
            if let (None, Some(Row::Process(process))) = (&before, &row.row)
                && self.processes.follow(taken_ms, process)
            {
                continue;
            }
            let mut row = row.clone();
            clean::row(&mut row);
            if row.row.as_ref().is_some_and(|row| !self.has_room_for(row)) {
                self.rows_omitted += 1;
                continue;
            }
            self.row(now, taken_ms, row, before.as_ref());
        }
        for key in &update.removed {
            self.remove(key.kind(), &clean::name(&key.key));
        }
        self.complete |= update.whole;
    }

    /// The moment, by the node's clock, that the figures of its processes are of.
    #[must_use]
    pub fn processes_ms(&self) -> u64 {
        self.processes_taken_ms.unwrap_or(self.taken_ms)
    }

    /// Takes processes in, and nothing else.
    pub fn processes(&mut self, update: RowsUpdate) {
        let taken_ms = clean::figure(update.taken_unix_ms);
        self.processes_taken_ms = self.processes_taken_ms.max(Some(taken_ms));
        for mut row in update.rows {
            clean::row(&mut row);
            if let Some(Row::Process(process)) = row.row {
                self.processes.put(taken_ms, process, None);
            }
        }
        for key in update.removed {
            self.processes.remove(&clean::name(&key.key));
        }
    }

    /// A frame that took long makes a clock seem behind: the largest figure is the closest, and is let go slowly, so that a
    /// clock that is set shows.
    fn skew(&mut self, now: Moment, taken_unix_ms: u64) {
        if taken_unix_ms == 0 {
            return;
        }
        let seen = taken_unix_ms.cast_signed().saturating_sub(now.0.cast_signed());
        self.skew_ms = Some(self.skew_ms.map_or(seen, |known| seen.max(known - 1)));
    }

    /// Takes a load sample.
    pub fn sample(&mut self, now: Moment) {
        let fresh = super::is_fresh(self, now);
        let rate = self.rate_in.per_s(self.taken_ms).filter(|_| fresh);
        if self.load.len() == LOAD_SAMPLES {
            self.load.pop_front();
        }
        self.load.push_back(rate.map(|r| r as f32));
    }

    /// Milliseconds without a frame, when that is too long or the stream is lost.
    #[must_use]
    pub fn stale_ms(&self, now: Moment) -> Option<u64> {
        (self.row.is_some() && !super::is_fresh(self, now)).then(|| now.since(self.heard))
    }

    /// Incarnation last heard of; 0 before.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        let row = self.row.as_ref().map_or(0, |r| r.incarnation);
        row.max(self.hello.as_ref().map_or(0, |h| h.incarnation))
    }

    /// Operating system's id of the node's process, when known.
    #[must_use]
    pub fn os_pid(&self) -> Option<u64> {
        self.row.as_ref().map(|r| r.os_pid).filter(|pid| *pid != 0)
    }

    /// Empties the rows before a whole picture; what came before still feeds the rates.
    fn set_aside(&mut self) -> Before {
        self.links.clear();
        self.faults.clear();
        let after = self.processes.after();
        Before {
            exchanges: std::mem::take(&mut self.exchanges),
            opinions: std::mem::take(&mut self.opinions),
            processes: std::mem::replace(&mut self.processes, after),
        }
    }

    /// A node that makes ever more rows up gets no more memory than any other.
    fn has_room_for(&self, row: &Row) -> bool {
        let (known, held, most) = match row {
            Row::Node(_) => return true,
            // A mesh has a column for every end of a link.
            Row::Link(r) => (self.links.contains_key(&r.peer), self.links.len(), NODES_MAX),
            Row::Exchange(r) => {
                let known = self.exchanges.contains_key(&r.name);
                (known, self.exchanges.len(), ROWS_PER_NODE_MAX)
            }
            Row::Leader(r) => {
                let known = self.opinions.contains_key(&r.exchange);
                (known, self.opinions.len(), ROWS_PER_NODE_MAX)
            }
            Row::Process(r) => {
                let known = self.processes.place(&r.pid).is_some();
                (known, self.processes.all().len(), ROWS_PER_NODE_MAX)
            }
            Row::Fault(r) => {
                let known = self.faults.contains_key(&r.id);
                (known, self.faults.len(), ROWS_PER_NODE_MAX)
            }
        };
        known || held < most
    }

    fn row(&mut self, now: Moment, taken_ms: u64, row: v1::Row, before: Option<&Before>) {
        match row.row {
            Some(Row::Node(r)) => self.own_row(taken_ms, r),
            Some(Row::Link(r)) => {
                self.links.insert(r.peer.clone(), r);
            }
            Some(Row::Exchange(r)) => {
                let old = before.map_or(&self.exchanges, |b| &b.exchanges).get(&r.name);
                let mut rates = old.map_or_else(Default::default, |o| (o.requests, o.refused));
                rates.0.push(taken_ms, r.requests);
                rates.1.push(taken_ms, r.refused);
                self.exchanges.insert(
                    r.name.clone(),
                    Exchange {
                        row: r,
                        requests: rates.0,
                        refused: rates.1,
                    },
                );
            }
            Some(Row::Leader(r)) => {
                let old = before.map_or(&self.opinions, |b| &b.opinions).get(&r.exchange);
                let opinion = opinion(taken_ms, r, old);
                self.opinions.insert(opinion.row.exchange.clone(), opinion);
            }
            Some(Row::Process(r)) => {
                self.processes.put(taken_ms, r, before.map(|b| &b.processes));
            }
            Some(Row::Fault(r)) => {
                let ends = Moment(now.0.saturating_add(r.left_ms));
                self.faults.insert(r.id.clone(), Fault { row: r, ends });
            }
            None => {}
        }
    }

    fn own_row(&mut self, taken_ms: u64, row: v1::NodeRow) {
        self.rate_in.push(taken_ms, row.messages_in);
        self.rate_out.push(taken_ms, row.messages_out);
        self.rate_dropped.push(taken_ms, row.dropped);
        self.row = Some(row);
    }

    fn remove(&mut self, kind: v1::RowKind, key: &str) {
        match kind {
            v1::RowKind::Link => drop(self.links.remove(key)),
            v1::RowKind::Exchange => drop(self.exchanges.remove(key)),
            v1::RowKind::Leader => drop(self.opinions.remove(key)),
            v1::RowKind::Process => self.processes.remove(key),
            v1::RowKind::Fault => drop(self.faults.remove(key)),
            v1::RowKind::Node | v1::RowKind::Unspecified => {}
        }
    }
}

struct Before {
    exchanges: BTreeMap<String, Exchange>,
    opinions: BTreeMap<String, Opinion>,
    processes: Processes,
}

fn opinion(taken_ms: u64, row: v1::LeaderRow, old: Option<&Opinion>) -> Opinion {
    let owner = v1::LeaderRole::Owner;
    let unbroken = |o: &&Opinion| o.row.role() == owner && row.role() == owner && o.row.epoch == row.epoch;
    let owner_since_ms = old.filter(unbroken).map_or(taken_ms, |o| o.owner_since_ms);
    Opinion {
        row,
        owner_since_ms,
        taken_ms,
    }
}
