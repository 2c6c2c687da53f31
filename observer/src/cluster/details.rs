//! The last frames of the entity whose page is open, by node: nothing of any other one is kept.
//!
//! What does not live here: what a page makes of them (`prepare::page`).

use std::collections::BTreeMap;

use crate::clean;
use crate::feed::{Detailed, Entity};
use crate::limits::NODES_MAX;
use crate::units::Moment;

/// What nodes show of one entity.
#[derive(Debug, Clone, Default)]
pub struct Details {
    of: Option<Entity>,
    by_node: BTreeMap<String, Shown>,
    /// This is the cluster as it was: details of that moment are not kept.
    pub past: bool,
}

/// What one node shows of it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// When that came.
    pub heard: Moment,
    /// That.
    pub what: Detailed,
}

impl Details {
    /// Of a moment in the past: nothing.
    pub(super) fn past() -> Self {
        Self {
            past: true,
            ..Self::default()
        }
    }

    /// Takes in what a node shows; what was known of another entity is forgotten.
    pub(super) fn take(&mut self, now: Moment, node: String, of: Entity, mut what: Detailed) {
        if self.of.as_ref() != Some(&of) {
            self.by_node.clear();
            self.of = Some(of);
        }
        if self.by_node.len() < NODES_MAX || self.by_node.contains_key(&node) {
            clean::detail(&mut what);
            self.by_node.insert(node, Shown { heard: now, what });
        }
    }

    /// What nodes show of an entity, by node.
    pub fn of(&self, entity: &Entity) -> impl Iterator<Item = (&String, &Shown)> {
        let known = self.of.as_ref() == Some(entity);
        self.by_node.iter().filter(move |_| known)
    }
}
