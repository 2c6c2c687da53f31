//! How far somebody wants to go, and whether deeds go further. What does not live here: how far they go (`extent`).

use super::Extent;

/// What deeds may do at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Nodes that may be gone or have worse links at a time.
    pub nodes: usize,
    /// Links that may be worse at a time, each way counted.
    pub links: usize,
    /// Exchanges that may stand still at a time.
    pub exchanges: usize,
    /// A majority of the voters must be left.
    pub keep_quorum: bool,
}

impl Default for Budget {
    /// Anything that leaves a majority.
    fn default() -> Self {
        Self {
            nodes: usize::MAX,
            links: usize::MAX,
            exchanges: usize::MAX,
            keep_quorum: true,
        }
    }
}

/// Deeds go too far.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Beyond {
    /// The quorum would be lost.
    #[error("no majority of the voters would be left")]
    Quorum,
    /// More than is allowed would be touched.
    #[error("{what}: {would} would be touched, at most {allowed} may be")]
    Many {
        /// Of what.
        what: &'static str,
        /// How many.
        would: usize,
        /// The limit.
        allowed: usize,
    },
}

impl Budget {
    /// Whether that is within the budget.
    ///
    /// # Errors
    /// [`Beyond`] names the first limit that it is not within.
    pub fn allows(&self, extent: &Extent) -> Result<(), Beyond> {
        if self.keep_quorum && extent.quorum_lost {
            return Err(Beyond::Quorum);
        }
        let counts = [
            ("nodes", extent.nodes().len(), self.nodes),
            ("links", extent.ways.len(), self.links),
            ("exchanges", extent.stalled.len(), self.exchanges),
        ];
        let beyond = counts.into_iter().find(|(_, would, allowed)| would > allowed);
        beyond.map_or(Ok(()), |(what, would, allowed)| {
            Err(Beyond::Many { what, would, allowed })
        })
    }
}
