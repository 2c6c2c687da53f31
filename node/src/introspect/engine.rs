//! The picture one watcher has, and what must be sent to bring it up to date. Pure: rows in, frame bodies out.

use std::collections::HashMap;

use prost::Message;
use squall_proto::v1::frame::Body;
use squall_proto::v1::row::Row as Content;
use squall_proto::v1::{Delta, Row, RowKey, RowKind, SnapshotPart};

use super::interest::Wanted;
use super::top::Top;
use super::trend::Trend;
use super::{Sources, limits, rows};

/// Rows as one look at the node found them.
#[derive(Debug, Default)]
pub struct Look {
    /// The rows the interest wants.
    pub rows: Vec<Row>,
    /// Process rows left out by the limit.
    pub omitted: u64,
}

/// Looks at the node; `trend` is what this watcher's looks before saw.
#[must_use]
pub fn look(sources: &impl Sources, wanted: &Wanted, trend: &mut Trend) -> Look {
    let mut rows = Vec::new();
    sources.rows(wanted.kinds, &mut rows);
    rows.retain(|row| {
        rows::key_of(row).is_some_and(|(kind, _)| wanted.kinds.contains(kind))
            && rows::wanted(row, &wanted.filter)
    });
    let mut omitted = 0;
    if wanted.kinds.contains(RowKind::Process) {
        let filters = [&wanted.filter, &wanted.processes];
        let mut top = Top::new(
            sources.node(),
            filters,
            (wanted.column, wanted.reverse),
            wanted.limit,
            trend,
        );
        sources.processes(&mut |process| top.offer(process));
        let (processes, left_out) = top.finish();
        rows.extend(processes.map(|p| Row {
            row: Some(Content::Process(p)),
        }));
        omitted = left_out;
    }
    Look { rows, omitted }
}

/// What a watcher has been sent.
#[derive(Debug, Default)]
pub struct Picture {
    held: HashMap<RowKind, HashMap<String, Held>>,
    round: u64,
}

#[derive(Debug)]
struct Held {
    row: Row,
    round: u64,
}

impl Picture {
    /// Starts anew with `rows`: the parts of snapshot `id`, at least one.
    pub fn snapshot(&mut self, id: u64, rows: Vec<Row>) -> Vec<Body> {
        *self = Self {
            held: HashMap::new(),
            round: 1,
        };
        for row in &rows {
            if let Some((kind, key)) = rows::key_of(row) {
                let held = Held {
                    row: row.clone(),
                    round: self.round,
                };
                self.held.entry(kind).or_default().insert(key.to_owned(), held);
            }
        }
        let parts = chunks(rows);
        let last = parts.len() - 1;
        let part = |(n, rows)| {
            let part = u32::try_from(n).unwrap_or(u32::MAX);
            Body::Snapshot(SnapshotPart {
                id,
                part,
                last: n == last,
                rows,
            })
        };
        parts.into_iter().enumerate().map(part).collect()
    }

    /// What changed towards `rows`: complete values of new and changed rows, keys of those that are gone; nothing
    /// when nothing changed.
    pub fn delta(&mut self, rows: Vec<Row>) -> Vec<Body> {
        self.round += 1;
        let changed: Vec<Row> = rows.into_iter().filter(|row| self.take(row)).collect();
        let removed = self.sweep();
        if changed.is_empty() && removed.is_empty() {
            return Vec::new();
        }
        let mut bodies: Vec<Body> = chunks(changed)
            .into_iter()
            .map(|rows| {
                Body::Delta(Delta {
                    rows,
                    removed: Vec::new(),
                })
            })
            .collect();
        attach_removed(&mut bodies, removed);
        bodies
    }

    /// Notes the row; true when the watcher does not have it like that.
    fn take(&mut self, row: &Row) -> bool {
        let Some((kind, key)) = rows::key_of(row) else {
            return false;
        };
        let of_kind = self.held.entry(kind).or_default();
        let Some(held) = of_kind.get_mut(key) else {
            of_kind.insert(
                key.to_owned(),
                Held {
                    row: row.clone(),
                    round: self.round,
                },
            );
            return true;
        };
        held.round = self.round;
        if rows::same(&held.row, row) {
            return false;
        }
        held.row.clone_from(row);
        true
    }

    /// Forgets the rows that this round did not show, and returns their keys.
    fn sweep(&mut self) -> Vec<RowKey> {
        let mut removed = Vec::new();
        for (kind, of_kind) in &mut self.held {
            let gone = of_kind.extract_if(|_, held| held.round != self.round);
            removed.extend(gone.map(|(key, _)| RowKey {
                kind: *kind as i32,
                key,
            }));
        }
        removed
    }
}

/// Splits rows into parts of bounded size, at least one; a single row above the bound goes alone.
fn chunks(rows: Vec<Row>) -> Vec<Vec<Row>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for row in rows {
        let len = row.encoded_len() + FIELD_BYTES_MAX;
        if bytes + len > limits::PART_BYTES_MAX && bytes > 0 {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += len;
        parts.last_mut().expect("at least one part").push(row);
    }
    parts
}

/// Tag and length in front of a repeated message.
const FIELD_BYTES_MAX: usize = 6;

/// Puts keys into the last delta as far as they fit, the rest into deltas of their own.
fn attach_removed(bodies: &mut Vec<Body>, removed: Vec<RowKey>) {
    let mut bytes = match bodies.last() {
        Some(Body::Delta(last)) => last.encoded_len(),
        _ => limits::PART_BYTES_MAX,
    };
    for key in removed {
        let len = key.encoded_len() + FIELD_BYTES_MAX;
        if bytes + len > limits::PART_BYTES_MAX {
            bodies.push(Body::Delta(Delta::default()));
            bytes = 0;
        }
        bytes += len;
        if let Some(Body::Delta(last)) = bodies.last_mut() {
            last.removed.push(key);
        }
    }
}

#[cfg(test)]
#[path = "engine_test.rs"]
mod tests;
