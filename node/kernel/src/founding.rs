//! How a node becomes part of a cluster: found one, join one, or wait and say for what. A cluster is founded once; a node
//! that was not told to found never does.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, NodeId, NodeName};
use crate::registry::{Introduction, Registry};

/// What a node was told to do when it starts with an empty data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Founding {
    /// Found alone.
    Bootstrap,
    /// Found together with others: so many nodes in all, this one included.
    Expect(u32),
    /// Never found.
    Wait,
}

/// What a peer showed of itself in the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Name.
    pub name: NodeName,
    /// Its cluster, if it has one.
    pub cluster: Option<ClusterId>,
    /// True when its Raft log is not empty.
    pub initialized: bool,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Found a cluster with these nodes.
    Found {
        /// This node and the others of the list.
        nodes: Vec<NodeId>,
    },
    /// Ask a neighbour to be let in, or to take note of this run.
    Join,
    /// Part of the cluster.
    Member,
    /// Wait.
    Wait {
        /// For what, in words.
        reason: String,
    },
}

/// Decides from what is known now; asked again whenever something changes.
#[must_use]
pub fn decide(
    founding: Founding,
    me: &Introduction,
    initialized: bool,
    registry: &Registry,
    neighbours: &BTreeMap<NodeId, Neighbour>,
) -> Step {
    if registry
        .nodes
        .get(&me.id)
        .is_some_and(|n| n.is_up() && n.incarnation == me.incarnation)
    {
        return Step::Member;
    }
    if initialized || neighbours.values().any(|n| n.initialized) {
        return if neighbours.is_empty() && registry.nodes.len() > 1 {
            Step::Wait {
                reason: "a connection to the cluster".into(),
            }
        } else {
            Step::Join
        };
    }
    match founding {
        Founding::Bootstrap => Step::Found {
            nodes: alloc::vec![me.id],
        },
        Founding::Expect(wanted) => together(wanted, me, neighbours),
        Founding::Wait if neighbours.is_empty() => Step::Wait {
            reason: "a node of a cluster to answer at the --join addresses".into(),
        },
        // A neighbour that was no member at the handshake may have become one.
        Founding::Wait => Step::Join,
    }
}

/// Of nodes with the same list only the one with the least name founds; the others hear of it from its Raft.
fn together(wanted: u32, me: &Introduction, neighbours: &BTreeMap<NodeId, Neighbour>) -> Step {
    let mut all: Vec<(&NodeName, NodeId)> = neighbours.iter().map(|(id, n)| (&n.name, *id)).collect();
    all.push((&me.name, me.id));
    all.sort();
    let names = || {
        all.iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    if all.len() < wanted as usize {
        let reason = alloc::format!(
            "{} of {wanted} nodes to found with: here are {}",
            wanted as usize - all.len(),
            names()
        );
        return Step::Wait { reason };
    }
    if all.first().is_some_and(|(_, id)| *id == me.id) {
        Step::Found {
            nodes: all.into_iter().map(|(_, id)| id).collect(),
        }
    } else {
        Step::Wait {
            reason: alloc::format!("'{}' to found the cluster with {}", all[0].0, names()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Boot, Incarnation, Revision};
    use crate::profile::Profile;
    use crate::registry::Command;

    fn me(id: u64, name: &str) -> Introduction {
        Introduction {
            id: NodeId(id),
            name: NodeName::new(name).expect("a good name"),
            incarnation: Incarnation(5),
            boot: Boot(1),
            mesh_addr: String::new(),
            grpc_addr: String::new(),
            functions: Vec::new(),
            zone: None,
        }
    }

    fn pristine(nodes: &[(u64, &str)]) -> BTreeMap<NodeId, Neighbour> {
        let one = |name| Neighbour {
            name: NodeName::new(name).expect("good"),
            cluster: None,
            initialized: false,
        };
        nodes.iter().map(|(id, name)| (NodeId(*id), one(name))).collect()
    }

    fn alone(founding: Founding, neighbours: &BTreeMap<NodeId, Neighbour>) -> Step {
        decide(founding, &me(1, "a"), false, &Registry::default(), neighbours)
    }

    #[test]
    fn only_who_was_told_to_founds() {
        assert_eq!(
            alone(Founding::Bootstrap, &pristine(&[])),
            Step::Found {
                nodes: alloc::vec![NodeId(1)]
            }
        );
        assert!(matches!(alone(Founding::Wait, &pristine(&[])), Step::Wait { .. }));
        assert!(matches!(
            alone(Founding::Wait, &pristine(&[(2, "b")])),
            Step::Join
        ));
    }

    #[test]
    fn expected_nodes_wait_for_each_other_and_the_least_name_founds() {
        let Step::Wait { reason } = alone(Founding::Expect(3), &pristine(&[(7, "c")])) else {
            panic!("must wait")
        };
        assert_eq!(reason, "1 of 3 nodes to found with: here are a, c");
        let all = pristine(&[(7, "c"), (3, "b")]);
        assert_eq!(
            alone(Founding::Expect(3), &all),
            Step::Found {
                nodes: [1, 3, 7].map(NodeId).to_vec()
            }
        );
        let others = pristine(&[(1, "a"), (7, "c")]);
        let step = decide(
            Founding::Expect(3),
            &me(3, "b"),
            false,
            &Registry::default(),
            &others,
        );
        assert!(matches!(step, Step::Wait { .. }), "{step:?}");
    }

    #[test]
    fn a_node_that_sees_a_cluster_joins_it_whatever_it_was_told() {
        let mut neighbours = pristine(&[(2, "b")]);
        neighbours.values_mut().for_each(|n| n.initialized = true);
        for founding in [Founding::Bootstrap, Founding::Expect(2), Founding::Wait] {
            assert_eq!(alone(founding, &neighbours), Step::Join);
        }
    }

    #[test]
    fn a_restarted_member_introduces_its_new_run_and_then_is_one() {
        let mut registry = Registry::default();
        registry.apply(
            Revision(1),
            &Command::Found {
                cluster: ClusterId(1),
                profile: Profile::Lan,
            },
        );
        registry.apply(
            Revision(2),
            &Command::NodeUp(Introduction {
                incarnation: Incarnation(4),
                ..me(1, "a")
            }),
        );
        let step =
            |registry: &Registry| decide(Founding::Bootstrap, &me(1, "a"), true, registry, &BTreeMap::new());
        assert_eq!(step(&registry), Step::Join);
        registry.apply(Revision(3), &Command::NodeUp(me(1, "a")));
        assert_eq!(step(&registry), Step::Member);
    }
}
