//! The certificate of a move: what became of every request in the window around it, added up over all nodes.
//!
//! The arithmetic: requests that were open at the start and those that began are all either ended, with one outcome each,
//! or still open; what is missing is lost. A handler's answer to a request that another delivery had answered, or that had
//! been reported as certainly not delivered, is a doubled delivery.

use std::collections::BTreeMap;
use std::fmt;

use squall_kernel::tasks::Scheduling;
use squall_proto::v1;

use super::OperatorError;

/// Figures of one exchange at one node, since that node's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// The node's run.
    pub incarnation: u64,
    /// What was counted.
    pub books: Books,
    /// What it knows as the exchange's owner.
    pub owned: Option<OwnedFigures>,
    /// What it passes on of a publish-subscribe exchange.
    pub passed: PassedFigures,
    /// What mailboxes of its handlers and subscribers did.
    pub mailboxes: MailboxFigures,
}

/// What mailboxes did with messages that they did not give out at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MailboxFigures {
    /// Turned away.
    pub rejected: u64,
    /// Dropped to make room.
    pub dropped: u64,
    /// Out of time while they waited.
    pub expired: u64,
    /// Held back until there was room.
    pub held: u64,
}

impl std::iter::Sum for MailboxFigures {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            rejected: sum.rejected + one.rejected,
            dropped: sum.dropped + one.dropped,
            expired: sum.expired + one.expired,
            held: sum.held + one.held,
        })
    }
}

/// What a node has of a publish-subscribe exchange, as its owner, as a proxy, or for its own subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PassedFigures {
    /// Nodes that get their publishes from it.
    pub downstreams: u64,
    /// Subscribers there.
    pub subscribers: u64,
    /// Events that it sent to other nodes.
    pub events_sent: u64,
    /// Different patterns it knows, of its subscribers and of the nodes it serves.
    pub patterns: u64,
    /// Publishes that it took as owner.
    pub published: u64,
    /// Of those, publishes whose id was known.
    pub duplicates: u64,
    /// Copies put into mailboxes of its subscribers.
    pub delivered: u64,
}

/// What the owner of an exchange knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnedFigures {
    /// Handlers attached.
    pub handlers: u64,
    /// Signatures bound to handlers.
    pub bindings: u64,
    /// Requests declined because the exchange's function failed, since it is owned there.
    pub functions_failed: u64,
    /// What became of questions to the scheduler of its tasks.
    pub scheduling: Scheduling,
}

/// Counts by outcome, of one node or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Books {
    /// Requests that began.
    pub begun: u64,
    /// Requests that ended.
    pub ended: u64,
    /// Requests open at the end of the count.
    pub open: u64,
    /// Replies.
    pub replies: u64,
    /// Declined.
    pub declined: u64,
    /// Certainly not delivered.
    pub refused: u64,
    /// Timed out.
    pub timeouts: u64,
    /// Delivered, fate unknown.
    pub interrupted: u64,
    /// Second answers.
    pub second: u64,
    /// Answers after the end.
    pub late: u64,
    /// Deliveries that handlers accepted.
    pub accepted: u64,
    /// Deliveries refused for their epoch.
    pub fenced: u64,
}

impl From<v1::ExchangeFiguresResponse> for Figures {
    fn from(f: v1::ExchangeFiguresResponse) -> Self {
        Self {
            incarnation: f.incarnation,
            books: Books {
                begun: f.requests,
                ended: f.ended,
                open: f.open,
                replies: f.replies,
                declined: f.declined,
                refused: f.refused,
                timeouts: f.timeouts,
                interrupted: f.interrupted,
                second: f.second_answers,
                late: f.late_answers,
                accepted: f.accepted,
                fenced: f.fenced,
            },
            owned: f.owner.then_some(OwnedFigures {
                handlers: f.handlers,
                bindings: f.bindings,
                functions_failed: f.functions_failed,
                scheduling: f.scheduler.map(scheduling).unwrap_or_default(),
            }),
            passed: PassedFigures {
                downstreams: f.downstreams,
                subscribers: f.subscribers,
                events_sent: f.events_sent,
                patterns: f.patterns,
                published: f.published,
                duplicates: f.duplicates,
                delivered: f.delivered,
            },
            mailboxes: f.mailboxes.map(mailboxes).unwrap_or_default(),
        }
    }
}

fn mailboxes(did: v1::MailboxFigures) -> MailboxFigures {
    MailboxFigures {
        rejected: did.rejected,
        dropped: did.dropped,
        expired: did.expired,
        held: did.held,
    }
}

fn scheduling(said: v1::SchedulerFigures) -> Scheduling {
    Scheduling {
        asked: said.asked,
        followed: said.followed,
        left: said.left,
        waits: said.waits,
        unanswered: said.unanswered,
        unfit: said.unfit,
    }
}

impl Books {
    /// Adds what was counted between two looks at one node; `open` is that of the later look.
    fn add_window(&mut self, before: &Self, after: &Self) {
        let since = |before: u64, after: u64| after.saturating_sub(before);
        self.begun += since(before.begun, after.begun);
        self.ended += since(before.ended, after.ended);
        self.open += after.open;
        self.replies += since(before.replies, after.replies);
        self.declined += since(before.declined, after.declined);
        self.refused += since(before.refused, after.refused);
        self.timeouts += since(before.timeouts, after.timeouts);
        self.interrupted += since(before.interrupted, after.interrupted);
        self.second += since(before.second, after.second);
        self.late += since(before.late, after.late);
        self.accepted += since(before.accepted, after.accepted);
        self.fenced += since(before.fenced, after.fenced);
    }
}

/// Why the certificate cannot speak for the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The node was there at one look only.
    #[error("counts of '{0}' are missing: it came or went in the window")]
    CameOrWent(String),
    /// Counts of two runs cannot be compared.
    #[error("counts of '{0}' are missing: it was restarted in the window")]
    Restarted(String),
    /// It did not answer.
    #[error("counts of '{node}' are missing: {why}")]
    Silent {
        /// Node.
        node: String,
        /// Why.
        why: String,
    },
}

impl Doubt {
    /// The node whose counts are missing.
    #[must_use]
    pub fn node(&self) -> &str {
        match self {
            Self::CameOrWent(node) | Self::Restarted(node) | Self::Silent { node, .. } => node,
        }
    }
}

/// What a certificate says in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was lost, doubled or left uncertain, on any node.
    Clean,
    /// What was counted is without fault, but counts are missing, or outcomes leave open what happened.
    NotCertain,
    /// Something was lost or doubled.
    NotClean,
}

impl Verdict {
    /// The verdict's words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::NotCertain => "not certain",
            Self::NotClean => "not clean",
        }
    }
}

/// What became of the requests around a move.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificate {
    /// Nodes whose counts are in it.
    pub nodes: Vec<String>,
    /// Requests open at the start.
    pub open_before: u64,
    /// What was counted in the window.
    pub books: Books,
    /// Why it cannot speak for the whole cluster; empty when it does.
    pub doubts: Vec<Doubt>,
}

/// What nodes answered when asked for their figures, by name.
pub type Answers = BTreeMap<String, Result<Figures, OperatorError>>;

impl Certificate {
    /// From the answers of all nodes before and after.
    #[must_use]
    pub fn between(before: &Answers, after: &Answers) -> Self {
        let mut certificate = Self::default();
        for (node, answer) in before {
            match (answer, after.get(node)) {
                (Ok(old), Some(Ok(new))) if old.incarnation == new.incarnation => {
                    certificate.nodes.push(node.clone());
                    certificate.open_before += old.books.open;
                    certificate.books.add_window(&old.books, &new.books);
                }
                (Ok(_), Some(Ok(_))) => certificate.doubts.push(Doubt::Restarted(node.clone())),
                (Err(error), _) | (_, Some(Err(error))) => certificate.doubts.push(Doubt::Silent {
                    node: node.clone(),
                    why: error.to_string(),
                }),
                (Ok(_), None) => certificate.doubts.push(Doubt::CameOrWent(node.clone())),
            }
        }
        let new = after.keys().filter(|node| !before.contains_key(*node));
        certificate.doubts.extend(new.cloned().map(Doubt::CameOrWent));
        certificate
    }

    /// Requests that are neither ended nor open.
    #[must_use]
    pub fn lost(&self) -> u64 {
        (self.open_before + self.books.begun).saturating_sub(self.books.ended + self.books.open)
    }

    /// Second deliveries of a request.
    #[must_use]
    pub fn doubled(&self) -> u64 {
        self.books.second
    }

    /// Requests that got an outcome which leaves open whether they were carried out: the counts do not tell whether the
    /// move is to blame.
    #[must_use]
    pub fn uncertain(&self) -> u64 {
        self.books.timeouts + self.books.interrupted
    }

    /// What it all amounts to. Counts that are missing cannot clear what the others accuse.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.lost() > 0 || self.doubled() > 0 {
            Verdict::NotClean
        } else if !self.doubts.is_empty() || self.uncertain() > 0 {
            Verdict::NotCertain
        } else {
            Verdict::Clean
        }
    }

    /// True when nothing was lost, doubled or left uncertain, on any node.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.verdict() == Verdict::Clean
    }

    /// True when the counts agree: a request that was between two counters when they were read shows as lost until the
    /// next look.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.open_before + self.books.begun == self.books.ended + self.books.open
    }
}

impl Certificate {
    /// One line: what was lost and doubled, and the verdict; whose counts are missing comes first.
    #[must_use]
    pub fn conclusion(&self) -> String {
        let counted = format!("lost {}, doubled {}", self.lost(), self.doubled());
        let missing: Vec<&str> = self.doubts.iter().map(Doubt::node).collect();
        let verdict = self.verdict();
        if verdict == Verdict::NotCertain && !missing.is_empty() {
            let missing = missing.join(", ");
            return format!("not certain: counts of {missing} are missing; {counted} in the others");
        }
        format!("{counted}: {}", verdict.as_str())
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = &self.books;
        writeln!(
            f,
            "  outcomes: {} replied, {} declined, {} refused, {} timed out, {} interrupted",
            b.replies, b.declined, b.refused, b.timeouts, b.interrupted
        )?;
        writeln!(
            f,
            "  lost {} = {} open before + {} begun - {} ended - {} still open",
            self.lost(),
            self.open_before,
            b.begun,
            b.ended,
            b.open
        )?;
        writeln!(
            f,
            "  doubled {} = second answers; of deliveries {} accepted, {} fenced; answers that came late {}",
            self.doubled(),
            b.accepted,
            b.fenced,
            b.late
        )?;
        let nodes = self.nodes.join(", ");
        writeln!(
            f,
            "  counted on {}",
            if nodes.is_empty() { "no node" } else { &nodes }
        )?;
        for doubt in &self.doubts {
            writeln!(f, "  not certain: {doubt}")?;
        }
        if self.uncertain() > 0 {
            let words = "timed out or interrupted in the window: whether the move or their handlers are to blame, the \
                         counts do not tell";
            writeln!(f, "  not certain: {} {words}", self.uncertain())?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "certificate_test.rs"]
mod tests;
