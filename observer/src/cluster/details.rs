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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::feed::Update;
    use crate::history::History;

    fn shown(node: &str, exchange: &str, why: &str) -> Update {
        Update::Detail {
            node: node.to_owned(),
            of: Entity::Exchange(exchange.to_owned()),
            what: Detailed::Nothing(why.to_owned()),
        }
    }

    fn nodes(cluster: &Cluster, exchange: &str) -> Vec<String> {
        let entity = Entity::Exchange(exchange.to_owned());
        cluster
            .details
            .of(&entity)
            .map(|(node, _)| node.clone())
            .collect()
    }

    #[test]
    fn the_last_frames_of_one_entity_are_kept_cleaned_and_bounded() {
        let mut cluster = Cluster::default();
        cluster.apply(Moment(1), shown("a", "orders", "first"));
        cluster.apply(Moment(2), shown("a", "orders", "\u{1b}[2J"));
        cluster.apply(Moment(2), shown("b", "orders", "x"));
        assert_eq!(nodes(&cluster, "orders"), ["a", "b"]);
        let orders = Entity::Exchange("orders".to_owned());
        let (_, last) = cluster.details.of(&orders).next().expect("of a");
        assert_eq!(
            (last.heard, &last.what),
            (Moment(2), &Detailed::Nothing("␛[2J".to_owned()))
        );
        cluster.apply(Moment(3), shown("a", "users", "x"));
        assert_eq!(
            (nodes(&cluster, "orders").len(), nodes(&cluster, "users").len()),
            (0, 1)
        );
        for n in 0..NODES_MAX + 9 {
            cluster.apply(Moment(4), shown(&n.to_string(), "users", "x"));
        }
        assert_eq!(nodes(&cluster, "users").len(), NODES_MAX);
    }

    #[test]
    fn what_can_be_gone_back_to_has_no_details_and_says_so() {
        let (mut history, mut cluster) = (History::default(), Cluster::default());
        for n in 0..20 {
            let update = shown("a", "orders", "x");
            history.push(Moment(1_000 + n * 500), vec![update.clone()]);
            cluster.apply(Moment(1_000 + n * 500), update);
        }
        let (then, _) = history.at(Moment(5_000)).expect("it is held");
        assert!(then.details.past && nodes(&then, "orders").is_empty());
        assert!(!cluster.details.past);
    }
}
