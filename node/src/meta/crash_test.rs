//! Power losses at every write: what was acknowledged is there afterwards, whatever became of the writes that were
//! not synced.

use std::io;
use std::sync::Mutex;

use openraft::RaftLogReader;
use openraft::entry::RaftEntry as _;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt as _;
use openraft::vote::RaftLeaderId as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use redb::StorageBackend;

use super::super::types::{Entry, LeaderId, Live, LogId, SnapshotMeta, Vote};
use super::*;

const NODE: NodeId = NodeId(1);
/// More than any disk here lives to see.
const ENTRIES_MAX: u64 = 1000;

/// A disk whose writes are in doubt until they are synced, and that dies after some of them.
#[derive(Debug, Clone)]
struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    synced: Vec<u8>,
    now: Vec<u8>,
    pending: Vec<Write>,
    writes_left: u32,
}

#[derive(Debug)]
enum Write {
    Len(usize),
    Bytes(usize, Vec<u8>),
}

impl Write {
    fn onto(&self, image: &mut Vec<u8>) {
        match self {
            Self::Len(len) => image.resize(*len, 0),
            Self::Bytes(at, bytes) => {
                image.resize(image.len().max(at + bytes.len()), 0);
                image[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

impl Disk {
    fn new(image: Vec<u8>, writes_left: u32) -> Self {
        Self(Arc::new(Mutex::new(Platter {
            synced: image.clone(),
            now: image,
            pending: vec![],
            writes_left,
        })))
    }

    fn write(&self, write: Write) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.spend()?;
        write.onto(&mut platter.now);
        platter.pending.push(write);
        Ok(())
    }

    /// What is found after the power loss: each write since the last sync is there, or not, or half.
    fn after_power_loss(&self, rng: &mut StdRng) -> Vec<u8> {
        let platter = self.0.lock().unwrap();
        let mut image = platter.synced.clone();
        for write in &platter.pending {
            match (write, rng.random_range(0..3)) {
                (_, 0) => {}
                (Write::Bytes(at, bytes), 1) => {
                    Write::Bytes(*at, bytes[..bytes.len() / 2].to_vec()).onto(&mut image);
                }
                _ => write.onto(&mut image),
            }
        }
        image
    }
}

impl Platter {
    fn spend(&mut self) -> io::Result<()> {
        self.writes_left = self
            .writes_left
            .checked_sub(1)
            .ok_or_else(|| io::Error::other("power loss"))?;
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (platter, at) = (self.0.lock().unwrap(), usize::try_from(offset).unwrap());
        let bytes = platter
            .now
            .get(at..at + out.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.write(Write::Len(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.spend()?;
        platter.synced = platter.now.clone();
        platter.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write(Write::Bytes(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}

fn at(index: u64) -> LogId {
    LogId::new(LeaderId::new(3, 1).to_committed(), index)
}

fn open(disk: Disk) -> Store {
    let database = Database::builder().create_with_backend(disk).unwrap();
    Store::on(database, Path::new("simulated"), NODE, Commits::Inline).unwrap()
}

async fn append(log: &mut LogStore, index: u64) -> io::Result<()> {
    let (done, wait) = Live::oneshot();
    let entry = [Entry::new_blank(at(index))];
    RaftLogStorage::<Live>::append(log, entry, IOFlushed::signal(done)).await?;
    wait.await.unwrap()
}

async fn save_vote(log: &mut LogStore, term: u64) -> io::Result<()> {
    let vote = Vote {
        leader_id: LeaderId::new(term, 1),
        committed: false,
    };
    RaftLogStorage::<Live>::save_vote(log, &vote).await
}

/// Votes, appends and purges until the disk dies; returns the last index and term that were acknowledged.
async fn work(store: &mut Store, from: u64) -> (u64, u64) {
    let (mut index, mut term) = (from, 0);
    if save_vote(&mut store.log, 3).await.is_err() {
        return (index, term);
    }
    while index < from + ENTRIES_MAX {
        if append(&mut store.log, index).await.is_err() {
            return (index, term);
        }
        index += 1;
        if save_vote(&mut store.log, 3 + index).await.is_err() {
            return (index, term);
        }
        term = 3 + index;
        if index.is_multiple_of(7) {
            let about = SnapshotMeta {
                last_log_id: Some(at(index - 5)),
                ..SnapshotMeta::default()
            };
            if store.writer.build_snapshot(about, Arc::default()).await.is_err() {
                return (index, term);
            }
            RaftLogStorage::<Live>::purge(&mut store.log, at(index - 5))
                .await
                .unwrap();
        }
    }
    (index, term)
}

#[tokio::test]
async fn no_power_loss_takes_what_was_acknowledged() {
    let fresh = Disk::new(vec![], u32::MAX);
    drop(open(fresh.clone()));
    let prepared = fresh.0.lock().unwrap().now.clone();
    for seed in 0..100 {
        let mut rng = StdRng::seed_from_u64(seed);
        let dying = Disk::new(prepared.clone(), rng.random_range(5..400));
        let mut store = open(dying.clone());
        let (next, term) = work(&mut store, 0).await;
        let image = dying.after_power_loss(&mut rng);
        drop(store);

        let mut store = open(Disk::new(image, u32::MAX));
        let entries = RaftLogReader::<Live>::try_get_log_entries(&mut store.log, ..)
            .await
            .unwrap();
        let last = entries.last().map_or(0, |e| e.log_id.index + 1);
        assert!(
            last >= next,
            "seed {seed}: {next} entries were acknowledged, {last} are there"
        );
        let vote = RaftLogReader::<Live>::read_vote(&mut store.log).await.unwrap();
        assert!(
            vote.map_or(0, |v| v.leader_id.term) >= term,
            "seed {seed}: the vote of term {term} is forgotten"
        );
    }
}

#[tokio::test]
async fn a_killed_nodes_file_opens_again() {
    let (home, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = DataDir::open(home.path()).unwrap();
    let mut store = Store::open(&dir).unwrap();
    save_vote(&mut store.log, 3).await.unwrap();
    for index in 0..50 {
        append(&mut store.log, index).await.unwrap();
    }
    // As a kill leaves it: written, but not closed.
    for file in ["identity.json", "registry.redb"] {
        std::fs::copy(home.path().join(file), copy.path().join(file)).unwrap();
    }
    let revived = DataDir::open(copy.path()).unwrap();
    let mut again = Store::open(&revived).unwrap();
    let entries = RaftLogReader::<Live>::try_get_log_entries(&mut again.log, ..)
        .await
        .unwrap();
    assert_eq!(entries.len(), 50);
    store.writer.close().await;
    again.writer.close().await;
}
