//! Where the rows come from: a trait, what it delivers, and its implementations: [`grpc`] for a live
//! cluster, [`memory`] for pictures and tests. What does not live here: what the rows mean.

pub mod assemble;
pub mod backoff;
pub mod detail;
pub mod grpc;
pub mod memory;
pub mod pending;
pub mod replay;
mod session;

pub use detail::{Detailed, Entity};
use futures::future::BoxFuture;
use prost::Message as _;
use squall_proto::v1;

/// A source of updates.
pub trait Feed: Send + 'static {
    /// What has come since the last call, merged; waits while there is nothing, ends with `None`.
    /// Dropping the future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Option<Vec<Update>>>;
    /// Says what is wanted from now on.
    fn want(&mut self, wants: Wants);
    /// Nothing comes any more, and why; none for a feed that goes on.
    fn ended(&self) -> Option<String> {
        None
    }
}

/// What the screen needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// Rows of processes, which are many.
    pub processes: bool,
    /// Column by which a node chooses the first processes when it cannot send all.
    pub sort: String,
    /// It chooses the last ones by it.
    pub reverse: bool,
    /// Filter by which it leaves processes out, as typed.
    pub filter: String,
    /// What is shown in detail: nodes keep what that takes only while somebody watches.
    pub detail: Option<Entity>,
    /// Processes of one node at most; 0 for as many as the node sends by itself.
    pub limit: u32,
}

impl Wants {
    /// The interest to send to a node.
    #[must_use]
    pub fn interest(&self, id: u32) -> v1::Interest {
        use v1::RowKind::{Exchange, Fault, Leader, Link, Node, Process};
        let mut kinds = vec![Node, Link, Exchange, Leader, Fault];
        if self.processes {
            kinds.push(Process);
        }
        v1::Interest {
            id,
            kinds: kinds.into_iter().map(i32::from).collect(),
            sort: self.sort.clone(),
            reverse: self.reverse,
            process_filter: self.filter.clone(),
            limit: self.limit,
            ..Default::default()
        }
    }
}

/// Something new.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// A given address does not answer (with the reason), or does now.
    Seed {
        /// The address.
        addr: String,
        /// Why it does not answer.
        why: Option<String>,
    },
    /// The connection to a node changed.
    Connection {
        /// Node.
        node: String,
        /// How it stands.
        state: Link,
    },
    /// A node said who it is.
    Hello {
        /// Node.
        node: String,
        /// What it said.
        hello: v1::HelloResponse,
    },
    /// Rows of a node.
    Rows(RowsUpdate),
    /// Events of a node.
    Events {
        /// Node.
        node: String,
        /// Incarnation the numbers belong to.
        incarnation: u64,
        /// The events.
        events: Vec<v1::Event>,
        /// Events lost before they were read.
        lost: u64,
    },
    /// What a node shows of the entity that is watched in detail.
    Detail {
        /// Node.
        node: String,
        /// The entity.
        of: Entity,
        /// What it shows.
        what: Detailed,
    },
    /// A node refused what was asked of it.
    Refused {
        /// Node.
        node: String,
        /// Why.
        reason: String,
    },
}

impl Update {
    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const FIXED: usize = 200;
        FIXED
            + match self {
                Self::Seed { addr, why } => addr.len() + why.as_ref().map_or(0, String::len),
                Self::Connection { node, .. } => node.len(),
                Self::Hello { hello, .. } => 2 * hello.encoded_len(),
                // In memory a row is some times what it is on the wire.
                Self::Rows(rows) => rows.rows.iter().map(|row| FIXED + 2 * row.encoded_len()).sum(),
                Self::Events { events, .. } => events.iter().map(|e| FIXED + e.encoded_len()).sum(),
                Self::Refused { reason, .. } => reason.len(),
                Self::Detail { what, .. } => match what {
                    Detailed::Exchange(detail) => 2 * detail.encoded_len(),
                    Detailed::Process(detail) => 2 * detail.encoded_len(),
                    Detailed::Nothing(why) => why.len(),
                },
            }
    }
}

/// Why nothing answers at an address where nothing runs.
pub const REFUSED: &str = "connection refused";

/// State of the connection to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// The stream is open.
    Live,
    /// There is none.
    Down {
        /// Why, in words.
        why: String,
        /// The address refuses connections.
        refused: bool,
    },
}

/// Rows of one node: the whole picture, or what changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowsUpdate {
    /// Node.
    pub node: String,
    /// True when these are all the rows there are.
    pub whole: bool,
    /// The rows, complete values.
    pub rows: Vec<v1::Row>,
    /// Keys of rows that are gone.
    pub removed: Vec<v1::RowKey>,
    /// When the node took them, by its own clock.
    pub taken_unix_ms: u64,
    /// Updates merged on the way since the stream began, by the node and by the reader.
    pub coalesced: u64,
    /// Process rows left out by the limit.
    pub rows_omitted: u64,
    /// Gaps healed since the node is watched.
    pub gaps: u64,
}

/// Identity of a row within its node; none for an empty row.
#[must_use]
pub fn key_of(row: &v1::Row) -> Option<(v1::RowKind, &str)> {
    use v1::row::Row;
    Some(match row.row.as_ref()? {
        Row::Node(r) => (v1::RowKind::Node, r.name.as_str()),
        Row::Link(r) => (v1::RowKind::Link, r.peer.as_str()),
        Row::Exchange(r) => (v1::RowKind::Exchange, r.name.as_str()),
        Row::Leader(r) => (v1::RowKind::Leader, r.exchange.as_str()),
        Row::Process(r) => (v1::RowKind::Process, r.pid.as_str()),
        Row::Fault(r) => (v1::RowKind::Fault, r.id.as_str()),
    })
}
