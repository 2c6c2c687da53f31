//! What a watcher of the cluster is told, by the rows that live nodes tell it.

use squall_kernel::id::{Incarnation, NodeName};
use squall_proto::v1;

use super::{Place, World};

/// A node as a watcher finds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its name.
    pub name: NodeName,
    /// Its run.
    pub incarnation: Incarnation,
    /// Whether it answers.
    pub answer: Answer,
}

/// Whether a node answers a watcher.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// What it would do now, for each exchange it knows.
    Rows(Vec<v1::LeaderRow>),
    /// It stands still.
    Silent,
    /// It does not run.
    Gone,
}

impl World {
    /// All nodes, as a watcher would find them now if answers took no time.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        let seen = |place: &Place| Seen {
            name: place.plan.name.clone(),
            incarnation: place.incarnation,
            answer: match &place.host {
                None => Answer::Gone,
                Some(_) if place.paused => Answer::Silent,
                Some(host) => Answer::Rows(host.opinions(place.clock.local(self.now))),
            },
        };
        self.places.iter().map(seen).collect()
    }
}
