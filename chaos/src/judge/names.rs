//! Who a node is, by its name: its journal says so as soon as it has begun. What happened to a process is told under its name, and
//! waits until then.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;

use squall_kernel::id::{NodeId, NodeName};
use squall_kernel::time::Instant;

use crate::history::{Event, What};
use crate::record::Follow;

/// What waits for a name at most: beyond it the oldest is for nodes that never began to record.
const WAITING_MAX: usize = 1_024;

/// Names, and what waits for them.
#[derive(Debug, Default)]
pub(super) struct Names {
    ids: HashMap<NodeName, NodeId>,
    /// Those that they had before, too: one that was wiped comes back as another.
    names: HashMap<NodeId, NodeName>,
    /// Journals whose first line was not read yet.
    keeps: VecDeque<(NodeName, PathBuf)>,
    waiting: VecDeque<(NodeName, Instant, What)>,
}

impl Names {
    /// That node keeps this journal.
    pub(super) fn keeps(&mut self, node: NodeName, journal: PathBuf) {
        self.keeps.push_back((node, journal));
        self.bound();
    }

    /// That happened to it.
    pub(super) fn wait(&mut self, node: NodeName, at: Instant, what: What) {
        self.waiting.push_back((node, at, what));
        self.bound();
    }

    /// Tells the history what happened to those that are known by now.
    pub(super) fn tell(&mut self, follow: &mut Follow) {
        let Self { ids, names, .. } = self;
        self.keeps.retain(|(node, journal)| {
            let Some(id) = follow.node_of(journal) else {
                return true;
            };
            ids.insert(node.clone(), id);
            names.insert(id, node.clone());
            false
        });
        self.waiting.retain(|(node, at, what)| {
            let Some(id) = ids.get(node) else { return true };
            let event = Event {
                at: *at,
                node: *id,
                what: what.clone(),
            };
            follow.tell(event);
            false
        });
    }

    /// What a node is called.
    pub(super) fn name_of(&self, node: NodeId) -> Option<String> {
        self.names.get(&node).map(ToString::to_string)
    }

    fn bound(&mut self) {
        self.keeps.truncate(WAITING_MAX);
        while self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
        }
    }
}
