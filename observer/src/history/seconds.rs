//! Process rows of one second as one: there are so many of them that keeping each of their values would leave room for some
//! seconds only, and nobody goes back by less than a second.
//!
//! What does not live here: all other rows, which are kept as they come.

use std::collections::BTreeMap;

use squall_proto::v1;
use squall_proto::v1::row::Row;

use crate::feed::RowsUpdate;
use crate::limits::HISTORY_STEP_MS;
use crate::units::Moment;

/// The second that is being gathered.
#[derive(Debug, Clone, Default)]
pub(super) struct Seconds {
    began: Option<Moment>,
    latest: Moment,
    nodes: BTreeMap<String, Gathered>,
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

    /// The second is over.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        self.began
            .is_some_and(|began| now.since(began) >= HISTORY_STEP_MS)
    }

    /// When the newest of it came; none while there is nothing.
    pub(super) fn latest(&self) -> Option<Moment> {
        self.began.map(|_| self.latest)
    }

    /// What was gathered, as updates: one for each moment at which a node took some, in their order.
    pub(super) fn updates(&self) -> Vec<RowsUpdate> {
        self.clone().take()
    }

    /// The same, and begins anew.
    pub(super) fn take(&mut self) -> Vec<RowsUpdate> {
        self.began = None;
        std::mem::take(&mut self.nodes)
            .into_iter()
            .flat_map(|(node, gathered)| gathered.updates(&node))
            .collect()
    }
}

impl Gathered {
    fn updates(self, node: &str) -> Vec<RowsUpdate> {
        let mut by_time: BTreeMap<u64, RowsUpdate> = BTreeMap::new();
        let update = |taken_unix_ms| RowsUpdate {
            node: node.to_owned(),
            taken_unix_ms,
            ..RowsUpdate::default()
        };
        // A pid is never given twice, so it does not matter when it goes.
        let newest = by_time
            .entry(self.taken_unix_ms)
            .or_insert_with(|| update(self.taken_unix_ms));
        newest.removed = self.removed;
        for (taken, row) in self.rows.into_values() {
            let of_time = by_time.entry(taken).or_insert_with(|| update(taken));
            of_time.rows.push(row);
        }
        by_time.into_values().collect()
    }
}
