//! Raft's log store: the bounded tail of the log in memory, every change of it on disk. Reads never touch the disk.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{AsyncRuntime, LogState, OptionalSend, RaftLogReader};

use super::disk::{Op, encode};
use super::types::{Entry, LogId, Types, Vote};
use super::writer::Writer;

/// What the file holds, or will hold once the queue is written.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) entries: BTreeMap<u64, Entry>,
}

/// The log; clones share it.
#[derive(Clone)]
pub struct LogStore {
    tail: Arc<Mutex<Tail>>,
    writer: Writer,
}

impl LogStore {
    pub(crate) fn new(tail: Tail, writer: Writer) -> Self {
        Self {
            tail: Arc::new(Mutex::new(tail)),
            writer,
        }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: AsyncRuntime> RaftLogReader<Types<R>> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self
            .tail()
            .entries
            .range(range)
            .map(|(_, entry)| entry.clone())
            .collect())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.tail().vote)
    }
}

impl<R: AsyncRuntime> RaftLogStorage<Types<R>> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types<R>>, io::Error> {
        let tail = self.tail();
        let last = tail
            .entries
            .values()
            .next_back()
            .map(|entry| entry.log_id)
            .or(tail.purged);
        Ok(LogState {
            last_purged_log_id: tail.purged,
            last_log_id: last,
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.tail().vote = Some(*vote);
        self.writer.write(Op::Vote(*vote)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.tail().committed = committed;
        self.writer.submit_unwatched(Op::Committed(committed)).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.tail().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types<R>>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut encoded = Vec::new();
        {
            let mut tail = self.tail();
            for entry in entries {
                encoded.push((entry.log_id.index, encode(&entry)));
                tail.entries.insert(entry.log_id.index, entry);
            }
        }
        self.writer
            .submit(Op::Append(encoded), move |result| callback.io_completed(result))
            .await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index + 1);
        drop(self.tail().entries.split_off(&from));
        self.writer.write(Op::TruncateFrom(from)).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        {
            let mut tail = self.tail();
            tail.entries = tail.entries.split_off(&(upto.index + 1));
            tail.purged = Some(upto);
        }
        self.writer.submit_unwatched(Op::Purge(upto)).await
    }
}
