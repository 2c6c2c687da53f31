//! One entity in detail: the seam between whoever watches it closely and the parts that know it.
//!
//! What does not live here: gRPC (`grpc::detail`), and what there is to see (`sources::detail`).

use squall_kernel::id::ExchangeName;
use squall_proto::v1;

/// What can be watched in detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entity {
    /// An exchange.
    Exchange(ExchangeName),
    /// A process of this node, by its pid as people read it.
    Process(String),
}

/// Why an entity is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoDetail {
    /// There is no exchange of that name.
    Exchange(String),
    /// There is no such process at this node.
    Process(String),
}

/// A watch of one entity, until it is dropped.
pub trait Detail: Send {
    /// How the entity is now. Nothing is asked of its process, and nothing waits for it.
    fn look(&mut self) -> Look;
}

/// What a look shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Look {
    /// An exchange.
    Exchange(Box<v1::ExchangeDetail>),
    /// A process.
    Process(Box<v1::ProcessDetail>),
    /// It is no more: why, in words.
    Ended(String),
}
