//! openraft's own suite on the store, in both ways of committing, and what a restart finds.

use std::collections::BTreeMap;
use std::fs;

use openraft::StorageError;
use openraft::entry::RaftEntry as _;
use openraft::storage::RaftLogStorage;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt as _;
use openraft::vote::RaftLeaderId as _;
use openraft::{RaftLogReader, storage::IOFlushed};
use redb::backends::InMemoryBackend;
use tempfile::TempDir;

use super::super::types::{Entry, LeaderId, Live, LogId, SnapshotMeta, Vote};
use super::*;

/// Stores on a disk with the storage thread, and in memory without it.
struct Stores(Commits);

impl StoreBuilder<Live, LogStore, StateMachine, TempDir> for Stores {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<Live>> {
        let home = tempfile::tempdir().unwrap();
        let database = match self.0 {
            Commits::OnThread => Database::create(home.path().join("registry.redb")).unwrap(),
            Commits::Inline | Commits::Deferred(_) => Database::builder()
                .create_with_backend(InMemoryBackend::new())
                .unwrap(),
        };
        let store = Store::on(database, home.path(), NodeId(1), self.0.clone()).unwrap();
        Ok((home, store.log, store.machine))
    }
}

#[tokio::test]
async fn openrafts_storage_suite_passes_with_group_commit() {
    Suite::test_all(Stores(Commits::OnThread)).await.unwrap();
}

#[tokio::test]
async fn openrafts_storage_suite_passes_with_inline_commit() {
    Suite::test_all(Stores(Commits::Inline)).await.unwrap();
}

fn at(index: u64) -> LogId {
    LogId::new(LeaderId::new(3, 1).to_committed(), index)
}

async fn append(log: &mut LogStore, indexes: std::ops::Range<u64>) {
    let entries: Vec<Entry> = indexes.map(|i| Entry::new_blank(at(i))).collect();
    let (done, wait) = Live::oneshot();
    RaftLogStorage::<Live>::append(log, entries, IOFlushed::signal(done))
        .await
        .unwrap();
    wait.await.unwrap().unwrap();
}

/// Nothing is purged that no snapshot covers.
async fn snapshot(store: &Store, upto: LogId) {
    let about = SnapshotMeta {
        last_log_id: Some(upto),
        ..SnapshotMeta::default()
    };
    let built = store.writer.build_snapshot(about, Arc::default()).await;
    built.unwrap();
}

async fn indexes(log: &mut LogStore) -> Vec<u64> {
    let entries = RaftLogReader::<Live>::try_get_log_entries(log, ..).await.unwrap();
    entries.iter().map(|e| e.log_id.index).collect()
}

async fn opened(dir: &DataDir) -> Store {
    Store::open(dir).unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let dir = DataDir::open(home.path()).unwrap();
    let vote = Vote {
        leader_id: LeaderId::new(3, 1),
        committed: true,
    };
    let mut store = opened(&dir).await;
    RaftLogStorage::<Live>::save_vote(&mut store.log, &vote)
        .await
        .unwrap();
    append(&mut store.log, 0..20).await;
    RaftLogStorage::<Live>::save_committed(&mut store.log, Some(at(9)))
        .await
        .unwrap();
    RaftLogStorage::<Live>::truncate_after(&mut store.log, Some(at(14)))
        .await
        .unwrap();
    snapshot(&store, at(4)).await;
    RaftLogStorage::<Live>::purge(&mut store.log, at(4))
        .await
        .unwrap();
    store.writer.close().await;

    let mut store = opened(&dir).await;
    assert_eq!(indexes(&mut store.log).await, (5..15).collect::<Vec<_>>());
    assert_eq!(
        RaftLogReader::<Live>::read_vote(&mut store.log).await.unwrap(),
        Some(vote)
    );
    assert_eq!(
        RaftLogStorage::<Live>::read_committed(&mut store.log)
            .await
            .unwrap(),
        Some(at(9))
    );
    let state = RaftLogStorage::<Live>::get_log_state(&mut store.log)
        .await
        .unwrap();
    assert_eq!(
        (state.last_purged_log_id, state.last_log_id),
        (Some(at(4)), Some(at(14)))
    );
    store.writer.close().await;
}

#[tokio::test]
async fn appends_that_wait_together_share_a_commit() {
    let home = tempfile::tempdir().unwrap();
    let dir = DataDir::open(home.path()).unwrap();
    let mut store = opened(&dir).await;
    let mut waits = Vec::new();
    for i in 0..200 {
        let (done, wait) = Live::oneshot();
        let entry = [Entry::new_blank(at(i))];
        RaftLogStorage::<Live>::append(&mut store.log, entry, IOFlushed::signal(done))
            .await
            .unwrap();
        waits.push(wait);
    }
    for wait in waits {
        wait.await.unwrap().unwrap();
    }
    let stats = store.writer.stats();
    assert_eq!(stats.jobs, 200);
    assert!(stats.commits < 200, "{stats:?}");
    store.writer.close().await;
}

#[tokio::test]
async fn a_closed_store_refuses_instead_of_pretending() {
    let home = tempfile::tempdir().unwrap();
    let dir = DataDir::open(home.path()).unwrap();
    let mut store = opened(&dir).await;
    store.writer.close().await;
    let vote = Vote {
        leader_id: LeaderId::new(3, 1),
        committed: false,
    };
    assert!(
        RaftLogStorage::<Live>::save_vote(&mut store.log, &vote)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn remains_of_a_first_start_that_was_killed_do_not_matter() {
    let home = tempfile::tempdir().unwrap();
    let dir = DataDir::open(home.path()).unwrap();
    fs::write(dir.registry_file().with_extension("redb.new"), b"half a database").unwrap();
    opened(&dir).await.writer.close().await;
    assert!(dir.has_registry());
}

#[tokio::test]
async fn any_storage_backend_will_do() {
    let database = Database::builder()
        .create_with_backend(InMemoryBackend::new())
        .unwrap();
    let mut store = Store::on(database, Path::new("memory"), NodeId(7), Commits::Inline).unwrap();
    append(&mut store.log, 0..3).await;
    assert_eq!(indexes(&mut store.log).await, [0, 1, 2]);
    let counted: BTreeMap<u64, ()> = indexes(&mut store.log)
        .await
        .into_iter()
        .map(|i| (i, ()))
        .collect();
    assert_eq!(counted.len(), 3);
}
