//! The channel between the connections and the screen. It keeps one pending update per node and merges
//! into it what comes while the screen is busy: a slow screen gets newer values, never a queue. Its size
//! is bounded by the rows that exist and by [`EVENTS_PENDING_MAX`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_proto::v1;
use tokio::sync::Notify;

use super::{Detailed, Entity, Link, RowsUpdate, Update, key_of};
use crate::limits::{EVENTS_PENDING_MAX, NODES_MAX};

/// Puts updates in. Never waits.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Shared>);

/// Takes them out, merged.
#[derive(Debug)]
pub struct Inbox(Arc<Shared>);

/// A new channel.
#[must_use]
pub fn channel() -> (Outbox, Inbox) {
    let shared = Arc::new(Shared::default());
    (Outbox(Arc::clone(&shared)), Inbox(shared))
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    seeds: BTreeMap<String, Option<String>>,
    nodes: BTreeMap<String, PendingNode>,
}

#[derive(Debug, Default)]
struct PendingNode {
    hello: Option<v1::HelloResponse>,
    link: Option<Link>,
    rows: Option<PendingRows>,
    refused: Option<String>,
    detail: Option<(Entity, Detailed)>,
    events: Vec<(u64, v1::Event)>,
    lost: u64,
    events_heard: bool,
    merged: u64,
}

#[derive(Debug, Default)]
struct PendingRows {
    rows: BTreeMap<(v1::RowKind, String), v1::Row>,
    removed: BTreeSet<(v1::RowKind, String)>,
    head: RowsUpdate,
}

impl Outbox {
    /// Puts an update in.
    pub fn put(&self, update: Update) {
        lock(&self.0.pending).put(update);
        self.0.filled.notify_one();
    }
}

impl Inbox {
    /// Everything that came since the last call; waits while there is nothing.
    pub async fn take(&mut self) -> Vec<Update> {
        loop {
            let updates = lock(&self.0.pending).drain();
            if !updates.is_empty() {
                return updates;
            }
            self.0.filled.notified().await;
        }
    }
}

impl Pending {
    fn put(&mut self, update: Update) {
        let node = match &update {
            Update::Seed { addr, why } => {
                if self.seeds.len() < NODES_MAX || self.seeds.contains_key(addr) {
                    self.seeds.insert(addr.clone(), why.clone());
                }
                return;
            }
            Update::Connection { node, .. }
            | Update::Hello { node, .. }
            | Update::Events { node, .. }
            | Update::Detail { node, .. }
            | Update::Refused { node, .. } => node.clone(),
            Update::Rows(rows) => rows.node.clone(),
        };
        self.nodes.entry(node).or_default().put(update);
    }

    fn drain(&mut self) -> Vec<Update> {
        let seeds = std::mem::take(&mut self.seeds).into_iter();
        let mut all: Vec<_> = seeds.map(|(addr, why)| Update::Seed { addr, why }).collect();
        for (name, node) in &mut self.nodes {
            node.drain(name, &mut all);
        }
        all
    }
}

impl PendingNode {
    fn put(&mut self, update: Update) {
        match update {
            Update::Seed { .. } => {}
            Update::Connection { state, .. } => self.link = Some(state),
            Update::Hello { hello, .. } => self.hello = Some(hello),
            Update::Refused { reason, .. } => self.refused = Some(reason),
            Update::Detail { of, what, .. } => self.detail = Some((of, what)),
            Update::Rows(rows) => {
                self.link = Some(Link::Live);
                self.rows(rows);
            }
            Update::Events {
                incarnation,
                events,
                lost,
                ..
            } => {
                self.events_heard = true;
                self.lost += lost;
                self.events.extend(events.into_iter().map(|e| (incarnation, e)));
                let over = self.events.len().saturating_sub(EVENTS_PENDING_MAX);
                self.events.drain(..over);
                self.lost += over as u64;
            }
        }
    }

    fn rows(&mut self, update: RowsUpdate) {
        if self.rows.is_some() {
            self.merged += 1;
        }
        let pending = self.rows.get_or_insert_default();
        if update.whole {
            pending.rows.clear();
            pending.removed.clear();
        }
        let whole = pending.head.whole || update.whole;
        let RowsUpdate { rows, removed, .. } = update;
        for row in rows {
            if let Some((kind, key)) = key_of(&row) {
                let key = (kind, key.to_owned());
                pending.removed.remove(&key);
                pending.rows.insert(key, row);
            }
        }
        for key in removed {
            let key = (key.kind(), key.key);
            pending.rows.remove(&key);
            pending.removed.insert(key);
        }
        pending.head = RowsUpdate {
            whole,
            rows: Vec::new(),
            removed: Vec::new(),
            ..update
        };
    }

    fn drain(&mut self, name: &str, all: &mut Vec<Update>) {
        let node = || name.to_owned();
        all.extend(
            self.hello
                .take()
                .map(|hello| Update::Hello { node: node(), hello }),
        );
        if let Some(PendingRows { rows, removed, head }) = self.rows.take() {
            let removed = removed.into_iter().map(|(kind, key)| v1::RowKey {
                kind: kind.into(),
                key,
            });
            all.push(Update::Rows(RowsUpdate {
                rows: rows.into_values().collect(),
                removed: removed.collect(),
                coalesced: head.coalesced + self.merged,
                ..head
            }));
        }
        all.extend(
            self.refused
                .take()
                .map(|reason| Update::Refused { node: node(), reason }),
        );
        all.extend(self.detail.take().map(|(of, what)| Update::Detail {
            node: node(),
            of,
            what,
        }));
        self.drain_events(name, all);
        // Last, so that the connection stands as it was left.
        all.extend(
            self.link
                .take()
                .map(|state| Update::Connection { node: node(), state }),
        );
    }

    fn drain_events(&mut self, name: &str, all: &mut Vec<Update>) {
        let lost = std::mem::take(&mut self.lost);
        let mut batches: BTreeMap<u64, Vec<v1::Event>> = BTreeMap::new();
        for (incarnation, event) in self.events.drain(..) {
            batches.entry(incarnation).or_default().push(event);
        }
        if std::mem::take(&mut self.events_heard) && batches.is_empty() {
            batches.insert(0, Vec::new());
        }
        for (i, (incarnation, events)) in batches.into_iter().enumerate() {
            let lost = if i == 0 { lost } else { 0 };
            all.push(Update::Events {
                node: name.to_owned(),
                incarnation,
                events,
                lost,
            });
        }
    }
}

/// A poisoned lock guards plain data that is never half-written across a call: it may be used.
fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn rows(whole: bool, requests: u64, names: &[&str]) -> Update {
        let row = |name: &&str| v1::Row {
            row: Some(v1::row::Row::Exchange(v1::ExchangeRow {
                name: (*name).to_owned(),
                requests,
                ..Default::default()
            })),
        };
        let rows = names.iter().map(row).collect();
        Update::Rows(RowsUpdate {
            node: "a".to_owned(),
            whole,
            rows,
            ..Default::default()
        })
    }

    #[test]
    fn a_slow_screen_gets_the_newest_values_once() {
        let (out, mut inbox) = channel();
        out.put(rows(true, 1, &["users", "orders"]));
        for i in 2..100 {
            out.put(rows(false, i, &["users"]));
        }
        let all = inbox.take().now_or_never().expect("there is something");
        let Update::Rows(merged) = &all[0] else {
            panic!("rows first")
        };
        assert_eq!((merged.rows.len(), merged.whole, merged.coalesced), (2, true, 98));
        assert!(matches!(
            &all[1],
            Update::Connection {
                state: Link::Live,
                ..
            }
        ));
        assert!(
            inbox.take().now_or_never().is_none(),
            "nothing is delivered twice"
        );
    }

    #[test]
    fn what_is_removed_and_comes_again_is_there() {
        let (out, mut inbox) = channel();
        let key = v1::RowKey {
            kind: v1::RowKind::Exchange.into(),
            key: "users".to_owned(),
        };
        let removed = RowsUpdate {
            node: "a".to_owned(),
            removed: vec![key],
            ..Default::default()
        };
        out.put(Update::Rows(removed));
        out.put(rows(false, 5, &["users"]));
        let all = inbox.take().now_or_never().expect("there is something");
        let Update::Rows(merged) = &all[0] else {
            panic!("rows first")
        };
        assert_eq!((merged.rows.len(), merged.removed.len()), (1, 0));
    }

    #[test]
    fn events_are_bounded_and_the_lost_are_counted() {
        let (out, mut inbox) = channel();
        let events = vec![v1::Event::default(); EVENTS_PENDING_MAX + 5];
        out.put(Update::Events {
            node: "a".to_owned(),
            incarnation: 1,
            events,
            lost: 1,
        });
        let all = inbox.take().now_or_never().expect("there is something");
        assert!(
            matches!(&all[0], Update::Events { events, lost: 6, .. } if events.len() == EVENTS_PENDING_MAX)
        );
    }

    #[test]
    fn a_loss_after_rows_is_what_stands_at_the_end() {
        let (out, mut inbox) = channel();
        out.put(rows(true, 1, &["users"]));
        let down = Link::Down {
            why: "reset".to_owned(),
            refused: false,
        };
        out.put(Update::Connection {
            node: "a".to_owned(),
            state: down.clone(),
        });
        let all = inbox.take().now_or_never().expect("there is something");
        assert_eq!(
            all.last(),
            Some(&Update::Connection {
                node: "a".to_owned(),
                state: down
            })
        );
    }
}
