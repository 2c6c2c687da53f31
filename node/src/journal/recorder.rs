//! Tells facts to a journal at the node's own time, from any part of the node, and nobody where no journal is kept. What
//! does not live here: the file (`journal`), and what is worth telling (those who tell it).

use squall_kernel::registry::Registry;

use super::{Fact, Journal};
use crate::clock::Clock;
use crate::meta::Witness;

/// Tells facts; clones tell the same journal.
#[derive(Debug, Clone)]
pub struct Recorder {
    journal: Option<Journal>,
    clock: Clock,
}

impl Recorder {
    /// Tells `journal`, if there is one, by that clock.
    #[must_use]
    pub fn new(journal: Option<Journal>, clock: Clock) -> Self {
        Self { journal, clock }
    }

    /// True when somebody listens.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.journal.is_some()
    }

    /// Tells what is made only if somebody listens.
    pub fn tell(&self, fact: impl FnOnce() -> Fact) {
        if let Some(journal) = &self.journal {
            journal.fact(self.clock.now(), &fact());
        }
    }

    /// Tells every command that the registry's log applies, where somebody listens.
    pub(crate) fn witness(&self) -> Option<Witness> {
        self.journal.as_ref()?;
        let recorder = self.clone();
        Some(Box::new(move |registry, command| {
            let Registry {
                cluster, revision, ..
            } = **registry;
            if let (Some(cluster), Some(command)) = (cluster, command) {
                let command = Box::new(command.clone());
                recorder.tell(|| Fact::Applied {
                    cluster,
                    revision,
                    command,
                });
            }
        }))
    }
}
