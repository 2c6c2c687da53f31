//! What Raft's nodes say to each other, and its bytes. What does not live here: who carries the bytes (`transport`),
//! and what is done about them (`network`, `inbox`).

use bytes::Bytes;
use openraft::RaftTypeConfig;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotMetaOf, VoteOf};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A question to another node's Raft.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum Request<C: RaftTypeConfig> {
    Append(AppendEntriesRequest<C>),
    Vote(VoteRequest<C>),
    PreVote(VoteRequest<C>),
    TransferLeader(TransferLeaderRequest<C>),
    Snapshot(Chunk<C>),
}

/// A piece of a snapshot; the last one says what the whole covers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Chunk<C: RaftTypeConfig> {
    /// Number of this sending, drawn by the sender.
    pub(crate) transfer: u64,
    pub(crate) vote: VoteOf<C>,
    pub(crate) total: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
    /// With the last piece.
    pub(crate) about: Option<SnapshotMetaOf<C>>,
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum Reply<C: RaftTypeConfig> {
    Append(AppendEntriesResponse<C>),
    Vote(VoteResponse<C>),
    TransferLeader(TransferLeaderResponse<C>),
    /// The piece was kept; more are expected.
    Piece,
    Snapshot(SnapshotResponse<C>),
    Refused(Refusal),
}

/// Why a node did not answer the question itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The bytes are no question.
    #[error("the request cannot be decoded")]
    Undecodable,
    /// A snapshot above the bound.
    #[error("the snapshot is above the bound")]
    TooLarge,
    /// A piece that does not follow the one before: the sender begins again.
    #[error("the snapshot's piece is out of order")]
    OutOfOrder,
    /// The assembled snapshot is no registry.
    #[error("the snapshot is damaged")]
    Damaged,
    /// Raft has stopped on that node.
    #[error("the node's meta plane has stopped")]
    Stopped,
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    postcard::to_allocvec(value)
        .expect("Raft's messages are plain data of known length")
        .into()
}

/// The whole input, and nothing behind it.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}
