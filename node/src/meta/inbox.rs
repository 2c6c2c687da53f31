//! The receiving side of Raft's network: questions from other nodes, and snapshots put together from their pieces.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::raft::AppendEntriesResponse;
use openraft::storage::Snapshot;
use openraft::{AsyncRuntime, EntryPayload, Raft};
use squall_kernel::id::NodeId;
use squall_kernel::limits::SNAPSHOT_BYTES_MAX;

use super::machine::{self, StateMachine};
use super::types::{Entry, LogId, Types};
use super::wire::{Chunk, Refusal, Reply, Request, decode, encode};

/// Snapshots put together at once: the leader's, and one of a leader deposed meanwhile. Bounds the memory to
/// twice the largest snapshot.
const ASSEMBLIES_MAX: usize = 2;

/// Answers other nodes' questions.
#[derive(Debug, Default)]
pub struct Inbox {
    assemblies: Mutex<Assemblies>,
    undecodable: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct Assemblies {
    by_sender: BTreeMap<NodeId, Assembly>,
    /// Counts pieces, to tell which assembly was left alone longest.
    clock: u64,
}

#[derive(Debug)]
struct Assembly {
    transfer: u64,
    total: u64,
    bytes: BytesMut,
    touched: u64,
}

impl Inbox {
    /// Requests so far that were no requests.
    #[must_use]
    pub fn undecodable(&self) -> u64 {
        self.undecodable.load(Ordering::Relaxed)
    }

    /// The answer to a request. Never fails: bad bytes get an answer that says so, and are counted.
    pub async fn answer<R: AsyncRuntime>(
        &self,
        raft: &Raft<Types<R>, StateMachine>,
        from: NodeId,
        request: &[u8],
    ) -> Bytes {
        let Some(request) = decode::<Request<Types<R>>>(request) else {
            self.undecodable.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(peer = %from, bytes = request.len(), "a Raft request that cannot be decoded");
            return encode(&Reply::<Types<R>>::Refused(Refusal::Undecodable));
        };
        encode(
            &self
                .carry_out(raft, from, request)
                .await
                .unwrap_or_else(Reply::Refused),
        )
    }

    async fn carry_out<R: AsyncRuntime>(
        &self,
        raft: &Raft<Types<R>, StateMachine>,
        from: NodeId,
        request: Request<Types<R>>,
    ) -> Result<Reply<Types<R>>, Refusal> {
        match request {
            Request::Append(rpc) => {
                let members = last_members(&rpc.entries);
                let answer = raft.append_entries(rpc).await.map_err(|_| Refusal::Stopped)?;
                let taken = matches!(
                    answer,
                    AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_)
                );
                if let Some(at) = members.filter(|_| taken) {
                    await_told(raft, at).await;
                }
                Ok(Reply::Append(answer))
            }
            Request::Vote(rpc) => raft
                .vote(rpc)
                .await
                .map(Reply::Vote)
                .map_err(|_| Refusal::Stopped),
            Request::PreVote(rpc) => raft
                .pre_vote(rpc)
                .await
                .map(Reply::Vote)
                .map_err(|_| Refusal::Stopped),
            Request::TransferLeader(rpc) => {
                let answer = raft.handle_transfer_leader(rpc).await;
                answer.map(Reply::TransferLeader).map_err(|_| Refusal::Stopped)
            }
            Request::Snapshot(chunk) => self.snapshot(raft, from, chunk).await,
        }
    }

    async fn snapshot<R: AsyncRuntime>(
        &self,
        raft: &Raft<Types<R>, StateMachine>,
        from: NodeId,
        chunk: Chunk<Types<R>>,
    ) -> Result<Reply<Types<R>>, Refusal> {
        let whole = self
            .assemblies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(from, chunk.transfer, chunk.total, chunk.offset, &chunk.bytes)?;
        let Some(whole) = whole else {
            return Ok(Reply::Piece);
        };
        let Some(about) = chunk.about else {
            return Err(Refusal::OutOfOrder);
        };
        // Looked into before Raft sees it: a snapshot that cannot be installed would stop this node for good.
        machine::decode(&whole).map_err(|_| Refusal::Damaged)?;
        let installed = raft
            .install_full_snapshot(
                chunk.vote,
                Snapshot {
                    meta: about,
                    snapshot: whole,
                },
            )
            .await;
        installed.map(Reply::Snapshot).map_err(|_| Refusal::Stopped)
    }
}

/// The last change of the members among these entries.
fn last_members(entries: &[Entry]) -> Option<LogId> {
    let members = |e: &&Entry| matches!(e.payload, EntryPayload::Membership(_));
    entries.iter().rev().find(members).map(|e| e.log_id)
}

/// Waits until Raft tells of these members. Only then may the leader hear that this node has them: it gives promises as one
/// of the voters that it knows of (`squall_kernel::promises`, (b)).
async fn await_told<R: AsyncRuntime>(raft: &Raft<Types<R>, StateMachine>, at: LogId) {
    let mut metrics = raft.metrics();
    loop {
        let (known, term) = {
            let now = metrics.borrow_watched();
            (*now.membership_config.log_id(), now.current_term)
        };
        // Under a later leader the entry may have gone again.
        let told = known >= Some(at) || term > **at.committed_leader_id();
        if told || metrics.changed().await.is_err() {
            return;
        }
    }
}

impl Assemblies {
    /// Takes a piece; the whole, once this was the last one.
    pub(crate) fn take(
        &mut self,
        from: NodeId,
        transfer: u64,
        total: u64,
        offset: u64,
        piece: &[u8],
    ) -> Result<Option<Bytes>, Refusal> {
        let end = offset.saturating_add(piece.len() as u64);
        if total > SNAPSHOT_BYTES_MAX as u64 || end > total {
            self.by_sender.remove(&from);
            return Err(Refusal::TooLarge);
        }
        self.clock += 1;
        if offset == 0 {
            self.make_room(from);
            let bytes = BytesMut::new();
            self.by_sender.insert(
                from,
                Assembly {
                    transfer,
                    total,
                    bytes,
                    touched: self.clock,
                },
            );
        }
        let Some(assembly) = self.by_sender.get_mut(&from) else {
            return Err(Refusal::OutOfOrder);
        };
        let follows =
            (assembly.transfer, assembly.total, assembly.bytes.len() as u64) == (transfer, total, offset);
        // An empty piece that ends nothing would go on for ever.
        if !follows || (piece.is_empty() && end < total) {
            self.by_sender.remove(&from);
            return Err(Refusal::OutOfOrder);
        }
        assembly.touched = self.clock;
        assembly.bytes.extend_from_slice(piece);
        if end < total {
            return Ok(None);
        }
        Ok(self.by_sender.remove(&from).map(|whole| whole.bytes.freeze()))
    }

    fn make_room(&mut self, from: NodeId) {
        if self.by_sender.contains_key(&from) || self.by_sender.len() < ASSEMBLIES_MAX {
            return;
        }
        let idle = self
            .by_sender
            .iter()
            .min_by_key(|(_, a)| a.touched)
            .map(|(sender, _)| *sender);
        if let Some(idle) = idle {
            self.by_sender.remove(&idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);

    #[test]
    fn pieces_in_order_make_the_whole() {
        let mut box_ = Assemblies::default();
        assert_eq!(box_.take(A, 9, 5, 0, b"ab"), Ok(None));
        assert_eq!(box_.take(A, 9, 5, 2, b"cd"), Ok(None));
        assert_eq!(
            box_.take(A, 9, 5, 4, b"e"),
            Ok(Some(Bytes::from_static(b"abcde")))
        );
        assert!(box_.by_sender.is_empty());
        assert_eq!(box_.take(A, 9, 0, 0, b""), Ok(Some(Bytes::new())));
    }

    #[test]
    fn a_gap_a_repeat_or_another_sending_begins_again() {
        for (transfer, total, offset) in [(9, 5, 3), (9, 5, 1), (8, 5, 2), (9, 6, 2)] {
            let mut box_ = Assemblies::default();
            assert_eq!(box_.take(A, 9, 5, 0, b"ab"), Ok(None));
            assert_eq!(
                box_.take(A, transfer, total, offset, b"c"),
                Err(Refusal::OutOfOrder)
            );
            assert_eq!(box_.take(A, 9, 5, 2, b"cde"), Err(Refusal::OutOfOrder));
            assert_eq!(
                box_.take(A, 9, 5, 0, b"abcde"),
                Ok(Some(Bytes::from_static(b"abcde")))
            );
        }
    }

    #[test]
    fn sizes_are_bounded_before_anything_is_kept() {
        let mut box_ = Assemblies::default();
        let above = SNAPSHOT_BYTES_MAX as u64 + 1;
        assert_eq!(box_.take(A, 1, above, 0, b"a"), Err(Refusal::TooLarge));
        assert_eq!(box_.take(A, 1, u64::MAX, u64::MAX, b"a"), Err(Refusal::TooLarge));
        assert_eq!(box_.take(A, 1, 3, 0, b"abcd"), Err(Refusal::TooLarge));
        assert_eq!(box_.take(A, 1, 3, 0, b""), Err(Refusal::OutOfOrder));
        assert!(box_.by_sender.is_empty());
    }

    #[test]
    fn the_sender_left_alone_longest_makes_room() {
        let mut box_ = Assemblies::default();
        let (b, c) = (NodeId(2), NodeId(3));
        assert_eq!(box_.take(A, 1, 4, 0, b"a"), Ok(None));
        assert_eq!(box_.take(b, 1, 4, 0, b"a"), Ok(None));
        assert_eq!(box_.take(A, 1, 4, 1, b"a"), Ok(None));
        assert_eq!(box_.take(c, 1, 4, 0, b"a"), Ok(None));
        assert_eq!(box_.by_sender.keys().copied().collect::<Vec<_>>(), [A, c]);
    }
}
