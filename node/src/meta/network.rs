//! The sending side of Raft's network: questions in `wire`'s encoding over a `RaftTransport`.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{self, Either};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{AsyncRuntime, OptionalSend};
use squall_kernel::id::NodeId;
use squall_kernel::limits::{SNAPSHOT_BYTES_MAX, SNAPSHOT_CHUNK_BYTES};

use super::transport::{RaftTransport, TransportError};
use super::types::{Types, Vote};
use super::wire::{Chunk, Refusal, Reply, Request, decode, encode};

/// Makes a sender for each peer.
pub struct Network {
    me: NodeId,
    transport: Arc<dyn RaftTransport>,
    append_timeout: Duration,
    transfers: Arc<AtomicU64>,
}

/// The sender to one peer.
pub struct Peer {
    me: NodeId,
    to: NodeId,
    transport: Arc<dyn RaftTransport>,
    append_timeout: Duration,
    /// Numbers of snapshots' sendings, one series for all peers.
    transfers: Arc<AtomicU64>,
}

impl Network {
    /// `append_timeout` is for entries, which the peer answers from its disk: longer than a heartbeat's, or a slow
    /// disk is asked again and again for what it is just writing.
    #[must_use]
    pub fn new(me: NodeId, transport: Arc<dyn RaftTransport>, append_timeout: Duration) -> Self {
        Self {
            me,
            transport,
            append_timeout,
            // A restarted node must not go on with a sending of its earlier run.
            transfers: Arc::new(AtomicU64::new(rand::random())),
        }
    }

    /// The same, with the number of the first snapshot sent: a simulation must not draw it.
    #[must_use]
    pub fn numbered_from(mut self, first: u64) -> Self {
        self.transfers = Arc::new(AtomicU64::new(first));
        self
    }
}

impl<R: AsyncRuntime> RaftNetworkFactory<Types<R>> for Network {
    type Network = Peer;

    /// The address is not used: the mesh knows its peers by id.
    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Peer {
        Peer {
            me: self.me,
            to: NodeId(target),
            transport: Arc::clone(&self.transport),
            append_timeout: self.append_timeout,
            transfers: Arc::clone(&self.transfers),
        }
    }
}

impl Peer {
    async fn ask<R: AsyncRuntime>(
        &self,
        what: RPCTypes,
        request: &Request<Types<R>>,
        timeout: Duration,
    ) -> Result<Reply<Types<R>>, RPCError<Types<R>>> {
        let answer = self
            .transport
            .call(self.to, encode(request), timeout)
            .await
            .map_err(|e| match e {
                TransportError::Unreachable(_) => RPCError::Unreachable(Unreachable::new(&e)),
                TransportError::Timeout(timeout) => RPCError::Timeout(Timeout {
                    action: what,
                    id: self.me.0,
                    target: self.to.0,
                    timeout,
                }),
                TransportError::Broken(_) => RPCError::Network(NetworkError::new(&e)),
            })?;
        match decode(&answer) {
            Some(Reply::Refused(refusal)) => Err(self.refused(refusal)),
            Some(reply) => Ok(reply),
            None => Err(self.strange()),
        }
    }

    /// As unreachable, so that Raft backs off: asking again at once would be refused again.
    fn refused<R: AsyncRuntime>(&self, refusal: Refusal) -> RPCError<Types<R>> {
        tracing::debug!(peer = %self.to, %refusal, "a peer refused a Raft request");
        RPCError::Unreachable(Unreachable::new(&refusal))
    }

    fn strange<R: AsyncRuntime>(&self) -> RPCError<Types<R>> {
        tracing::warn!(peer = %self.to, "a peer's Raft answer makes no sense");
        RPCError::Unreachable(Unreachable::from_string(
            "an answer that does not fit the question",
        ))
    }

    async fn send_snapshot<R: AsyncRuntime>(
        &self,
        vote: Vote,
        snapshot: SnapshotOf<Types<R>, Bytes>,
        timeout: Duration,
    ) -> Result<SnapshotResponse<Types<R>>, StreamingError<Types<R>>> {
        let (whole, total) = (&snapshot.snapshot, snapshot.snapshot.len());
        if total > SNAPSHOT_BYTES_MAX {
            return Err(Unreachable::new(&Refusal::TooLarge).into());
        }
        let transfer = self.transfers.fetch_add(1, Ordering::Relaxed);
        let mut offset = 0;
        loop {
            let end = total.min(offset + SNAPSHOT_CHUNK_BYTES);
            let chunk = Chunk {
                transfer,
                vote,
                total: total as u64,
                offset: offset as u64,
                bytes: whole.slice(offset..end),
                about: (end == total).then(|| snapshot.meta.clone()),
            };
            match self
                .ask::<R>(RPCTypes::InstallSnapshot, &Request::Snapshot(chunk), timeout)
                .await?
            {
                Reply::Snapshot(done) => return Ok(done),
                Reply::Piece if end < total => offset = end,
                _ => return Err(self.strange::<R>().into()),
            }
        }
    }
}

impl<R: AsyncRuntime> RaftNetworkV2<Types<R>> for Peer {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<R>>, RPCError<Types<R>>> {
        let timeout = if rpc.entries.is_empty() {
            option.hard_ttl()
        } else {
            option.hard_ttl().max(self.append_timeout)
        };
        match self
            .ask::<R>(RPCTypes::AppendEntries, &Request::Append(rpc), timeout)
            .await?
        {
            Reply::Append(reply) => Ok(reply),
            _ => Err(self.strange()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        match self
            .ask::<R>(RPCTypes::Vote, &Request::Vote(rpc), option.hard_ttl())
            .await?
        {
            Reply::Vote(reply) => Ok(reply),
            _ => Err(self.strange()),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        match self
            .ask::<R>(RPCTypes::Vote, &Request::PreVote(rpc), option.hard_ttl())
            .await?
        {
            Reply::Vote(reply) => Ok(reply),
            _ => Err(self.strange()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types<R>, Bytes>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types<R>>, StreamingError<Types<R>>> {
        let send = self.send_snapshot::<R>(vote, snapshot, option.hard_ttl());
        match future::select(pin!(cancel), pin!(send)).await {
            Either::Left((closed, _)) => Err(closed.into()),
            Either::Right((result, _)) => result,
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<R>>, RPCError<Types<R>>> {
        let request = Request::TransferLeader(rpc);
        match self
            .ask::<R>(RPCTypes::TransferLeader, &request, option.hard_ttl())
            .await?
        {
            Reply::TransferLeader(reply) => Ok(reply),
            _ => Err(self.strange()),
        }
    }
}
