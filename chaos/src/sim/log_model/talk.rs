//! What replicas of the modelled log keep, say to each other, and want done.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use squall_kernel::id::{NodeId, Revision, Term};
use squall_kernel::message::ProposeResult;
use squall_kernel::registry::{Command, Registry};
use squall_kernel::time::Instant;

use crate::sim::log::Ticket;

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) term: Term,
    pub(super) body: Body,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Body {
    /// A leader's first.
    Blank,
    /// Who has a vote and who only listens.
    Members {
        voters: BTreeSet<NodeId>,
        learners: BTreeSet<NodeId>,
    },
    /// A change of the registry.
    Command(Command),
}

/// What replicas say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Talk {
    /// Asks for a vote, or whether there would be one.
    Ask {
        term: Term,
        last: (Term, u64),
        pre: bool,
    },
    /// The answer.
    Vote { term: Term, pre: bool, granted: bool },
    /// From the leader: entries after the first `after.1`, the last of which is of the term `after.0`.
    Append {
        term: Term,
        after: (Term, u64),
        entries: Vec<Entry>,
        commit: u64,
        sent_at: Instant,
    },
    /// The answer: durable up to there, or where to begin.
    Appended {
        term: Term,
        ok: bool,
        len: u64,
        sent_at: Instant,
    },
    /// Stand for election at once: the leader hands over.
    Lead { term: Term },
}

/// What must survive a crash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Durable {
    pub(super) term: Term,
    pub(super) voted: Option<NodeId>,
    pub(super) log: Vec<Entry>,
    pub(super) commit: usize,
}

/// A change of it.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) term: Term,
    pub(super) voted: Option<NodeId>,
    pub(super) keep: usize,
    pub(super) entries: Vec<Entry>,
    pub(super) commit: usize,
}

impl Durable {
    pub(super) fn take(&mut self, write: Write) {
        self.term = write.term;
        self.voted = write.voted;
        self.log.truncate(write.keep);
        self.log.extend(write.entries);
        self.commit = write.commit.min(self.log.len());
    }
}

/// What a replica wants done.
#[derive(Debug)]
pub(super) enum Act {
    Send {
        to: NodeId,
        talk: Talk,
    },
    /// Make this durable, then do the rest.
    Write {
        write: Write,
        then: Option<(NodeId, Talk)>,
    },
    Answer {
        ticket: Ticket,
        result: ProposeResult,
    },
    /// The registry as it is after that revision.
    Applied(Revision, Option<Command>, Arc<Registry>),
}
