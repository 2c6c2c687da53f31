//! Process rows of one second as one: there are so many of them that keeping each of their values would leave room for some
//! seconds only, and nobody goes back by less than a second.
//!
//! What does not live here: all other rows, which are kept as they come.

use std::collections::{BTreeMap, VecDeque};

use squall_proto::v1;
use squall_proto::v1::row::Row;

use crate::feed::RowsUpdate;
use crate::limits::HISTORY_STEP_MS;
use crate::units::Moment;

/// Rows put away whenever something comes: some tenths of a millisecond.
const AT_ONCE: usize = 400;

/// The second that is being gathered, and what is still to be kept of those before it.
#[derive(Debug, Clone, Default)]
pub(super) struct Seconds {
    began: Option<Moment>,
    latest: Moment,
    nodes: BTreeMap<String, Gathered>,
    over: VecDeque<Over>,
}

/// The newest of each process of a node.
#[derive(Debug, Clone, Default)]
struct Gathered {
    /// With the time at which the node took it: rates are made of both.
    rows: BTreeMap<String, (u64, v1::Row)>,
    removed: Vec<v1::RowKey>,
    /// When the node told of any last: those that did not come had not changed.
    taken_unix_ms: u64,
}

/// The same of a second that is over.
#[derive(Debug, Clone)]
struct Over {
    node: String,
    gathered: Gathered,
    latest: Moment,
}

impl Seconds {
    /// Takes the processes out of an update that is no whole picture, and gathers them.
    pub(super) fn gather(&mut self, now: Moment, mut update: RowsUpdate) -> RowsUpdate {
        let of_process = |row: &v1::Row| matches!(row.row, Some(Row::Process(_)));
        let is_process = |key: &v1::RowKey| key.kind() == v1::RowKind::Process;
        self.began.get_or_insert(now);
        self.latest = now;
        let node = self.nodes.entry(update.node.clone()).or_default();
        node.taken_unix_ms = update.taken_unix_ms;
        for row in update.rows.extract_if(.., |row| of_process(row)) {
            if let Some(Row::Process(process)) = &row.row {
                node.rows.insert(process.pid.clone(), (update.taken_unix_ms, row));
            }
        }
        for key in update.removed.extract_if(.., |key| is_process(key)) {
            node.rows.remove(&key.key);
            node.removed.push(key);
        }
        update
    }

    /// Some of the seconds that are over, as updates of processes: a part of them, so that nothing waits for all of it, and
    /// all of them within a second.
    pub(super) fn some(&mut self, now: Moment) -> Vec<RowsUpdate> {
        if self
            .began
            .is_some_and(|began| now.since(began) >= HISTORY_STEP_MS)
        {
            self.end();
        }
        let waiting: usize = self.over.iter().map(|over| over.gathered.rows.len()).sum();
        self.take(AT_ONCE.max(waiting / 8))
    }

    /// All that there is.
    pub(super) fn rest(&mut self) -> Vec<RowsUpdate> {
        self.end();
        self.take(usize::MAX)
    }

    /// All that there is of up to a moment; it stays.
    pub(super) fn until(&self, wanted: Moment) -> Vec<RowsUpdate> {
        let mut copy = self.clone();
        if copy.latest <= wanted {
            copy.end();
        }
        copy.over.retain(|over| over.latest <= wanted);
        copy.take(usize::MAX)
    }

    /// The second is over.
    fn end(&mut self) {
        if self.began.take().is_none() {
            return;
        }
        let latest = self.latest;
        let nodes = std::mem::take(&mut self.nodes).into_iter();
        self.over.extend(nodes.map(|(node, gathered)| Over {
            node,
            gathered,
            latest,
        }));
    }

    fn take(&mut self, mut most: usize) -> Vec<RowsUpdate> {
        let mut all = Vec::new();
        while most > 0
            && let Some(first) = self.over.front_mut()
        {
            most -= first.take(most, &mut all).min(most);
            if !first.gathered.rows.is_empty() {
                break;
            }
            // The last of it: what is gone, and until when it is known.
            let last = first.update(first.gathered.taken_unix_ms);
            all.push(RowsUpdate {
                removed: std::mem::take(&mut first.gathered.removed),
                ..last
            });
            self.over.pop_front();
        }
        all
    }
}

impl Over {
    fn update(&self, taken_unix_ms: u64) -> RowsUpdate {
        RowsUpdate {
            node: self.node.clone(),
            taken_unix_ms,
            ..RowsUpdate::default()
        }
    }

    /// So many rows at most, one update for each moment at which the node took some; how many.
    fn take(&mut self, most: usize, all: &mut Vec<RowsUpdate>) -> usize {
        let mut by_time: BTreeMap<u64, RowsUpdate> = BTreeMap::new();
        let mut count = 0;
        while count < most
            && let Some((_, (taken, row))) = self.gathered.rows.pop_first()
        {
            let of_time = by_time.entry(taken).or_insert_with(|| self.update(taken));
            of_time.rows.push(row);
            count += 1;
        }
        all.extend(by_time.into_values());
        count
    }
}
