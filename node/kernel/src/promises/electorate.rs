//! The voters in force, by the entry of the log that says so. While they change, those before and those after both are:
//! whatever needs a majority needs one of each.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, Revision, Term};

/// Which entry of the log says who votes. Two nodes that name the same one mean the same voters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct VotersAt {
    /// Term of the leader that wrote it.
    pub term: Term,
    /// Its place in the log.
    pub revision: Revision,
}

/// The voters in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Electorate {
    /// The entry of the log, which may not be committed yet.
    pub at: VotersAt,
    /// One set; two while a change from the first to the second is under way.
    pub halves: Vec<BTreeSet<NodeId>>,
}

impl Electorate {
    /// True when `node` votes in any half.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.halves.iter().any(|half| half.contains(&node))
    }

    /// All voters, of all halves.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<NodeId> {
        self.halves.iter().flatten().copied().collect()
    }

    /// True before there is a cluster.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.halves.is_empty()
    }

    /// True when those that `agree` are a majority of every half.
    #[must_use]
    pub fn has_majority(&self, agree: impl Fn(NodeId) -> bool) -> bool {
        let majority = |half: &BTreeSet<NodeId>| half.iter().filter(|v| agree(**v)).count() > half.len() / 2;
        !self.is_empty() && self.halves.iter().all(majority)
    }
}

/// Voters that never change: those of the founding.
impl From<BTreeSet<NodeId>> for Electorate {
    fn from(voters: BTreeSet<NodeId>) -> Self {
        Self {
            at: VotersAt::default(),
            halves: if voters.is_empty() {
                Vec::new()
            } else {
                vec![voters]
            },
        }
    }
}
