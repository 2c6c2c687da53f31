//! Group commit: a thread of its own carries out whatever is queued in one durable transaction and then tells
//! everybody who waited. The control runtime never waits for a disk. What does not live here: the file's layout.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use squall_kernel::limits::SNAPSHOT_BYTES_MAX;
use squall_kernel::planted::{self, Bug};
use squall_kernel::registry::Registry;
use tokio::sync::{mpsc, oneshot};

use super::disk::{Disk, Op, WriteFailure};
use super::types::SnapshotMeta;

/// Jobs that may wait for the disk; more, and Raft itself waits.
const JOBS_QUEUED_MAX: usize = 1024;
/// Jobs in one transaction: bounds how long the first of them waits for the last.
const JOBS_PER_COMMIT_MAX: usize = 256;

type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

enum Job {
    Write(Op, Done),
    /// Encodes a registry here and not on the control runtime.
    Build(SnapshotMeta, Arc<Registry>, oneshot::Sender<io::Result<Bytes>>),
    Close(oneshot::Sender<()>),
}

/// Tells whoever waited what became of a commit.
pub type Finish = Box<dyn FnOnce() + Send>;

/// Where commits are carried out.
#[derive(Clone)]
pub enum Commits {
    /// On the storage thread, grouped: a live node.
    OnThread,
    /// At once, by whoever asks: a simulation, whose order of events must not depend on threads.
    Inline,
    /// At once too, but who waited is told when this sees fit: a simulated disk takes its time.
    Deferred(Arc<dyn Fn(Finish) + Send + Sync>),
}

/// What the storage has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StorageStats {
    /// Transactions committed.
    pub commits: u64,
    /// Jobs in them.
    pub jobs: u64,
    /// Time in commits, in microseconds.
    pub commit_us_total: u64,
    /// Longest commit, in microseconds.
    pub commit_us_max: u64,
}

#[derive(Debug, Default)]
struct Counters {
    file: PathBuf,
    /// The first one; the database refuses all later writes for its sake.
    failure: OnceLock<WriteFailure>,
    commits: AtomicU64,
    jobs: AtomicU64,
    commit_us_total: AtomicU64,
    commit_us_max: AtomicU64,
}

/// Hands jobs to the disk; clones share it.
#[derive(Clone)]
pub(crate) struct Writer {
    way: Arc<Way>,
    counters: Arc<Counters>,
}

enum Way {
    Thread(mpsc::Sender<Job>),
    Inline(Mutex<Option<Disk>>, Arc<dyn Fn(Finish) + Send + Sync>),
}

impl Writer {
    pub(crate) fn start(disk: Disk, file: &Path, commits: Commits) -> io::Result<Self> {
        let counters = Arc::new(Counters {
            file: file.to_path_buf(),
            ..Counters::default()
        });
        let way = match commits {
            Commits::Inline => Way::Inline(Mutex::new(Some(disk)), Arc::new(at_once)),
            Commits::Deferred(defer) => Way::Inline(Mutex::new(Some(disk)), defer),
            Commits::OnThread => {
                let (jobs, queue) = mpsc::channel(JOBS_QUEUED_MAX);
                let counters = Arc::clone(&counters);
                thread::Builder::new()
                    .name("squall-storage".into())
                    .spawn(move || serve(disk, queue, &counters))?;
                Way::Thread(jobs)
            }
        };
        Ok(Self {
            way: Arc::new(way),
            counters,
        })
    }

    pub(crate) fn stats(&self) -> StorageStats {
        let read = |c: &AtomicU64| c.load(Ordering::Relaxed);
        StorageStats {
            commits: read(&self.counters.commits),
            jobs: read(&self.counters.jobs),
            commit_us_total: read(&self.counters.commit_us_total),
            commit_us_max: read(&self.counters.commit_us_max),
        }
    }

    /// Why the file cannot be written any more.
    pub(crate) fn failure(&self) -> Option<WriteFailure> {
        self.counters.failure.get().cloned()
    }

    /// Queues the change and returns; `done` is called once it is durable, or failed.
    pub(crate) async fn submit(
        &self,
        op: Op,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) -> io::Result<()> {
        self.hand_over(Job::Write(op, Box::new(done))).await
    }

    /// Queues the change; nobody waits for it. A failure shows at the next change somebody waits for.
    pub(crate) async fn submit_unwatched(&self, op: Op) -> io::Result<()> {
        self.submit(op, |_| ()).await
    }

    /// Returns when the change is durable.
    pub(crate) async fn write(&self, op: Op) -> io::Result<()> {
        let (done, wait) = oneshot::channel();
        self.submit(op, move |result| drop(done.send(result))).await?;
        wait.await.map_err(|_| closed())?
    }

    /// Encodes and stores a snapshot; returns its bytes once they are durable.
    pub(crate) async fn build_snapshot(&self, about: SnapshotMeta, of: Arc<Registry>) -> io::Result<Bytes> {
        let (done, wait) = oneshot::channel();
        self.hand_over(Job::Build(about, of, done)).await?;
        wait.await.map_err(|_| closed())?
    }

    /// Carries out what is queued, closes the file, and refuses everything later.
    pub(crate) async fn close(&self) {
        let (done, wait) = oneshot::channel();
        if self.hand_over(Job::Close(done)).await.is_ok() {
            // An error means that the thread has ended already.
            let _ = wait.await;
        }
    }

    async fn hand_over(&self, job: Job) -> io::Result<()> {
        match self.way.as_ref() {
            Way::Thread(jobs) => jobs.send(job).await.map_err(|_| closed()),
            Way::Inline(disk, finish) => {
                let mut slot = disk.lock().unwrap_or_else(PoisonError::into_inner);
                let disk = slot.as_mut().ok_or_else(closed)?;
                if let Some(close) = carry_out(disk, vec![job], &self.counters, finish.as_ref()) {
                    *slot = None;
                    let _ = close.send(());
                }
                Ok(())
            }
        }
    }
}

fn at_once(finish: Finish) {
    finish();
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the registry's file is closed")
}

fn serve(mut disk: Disk, mut queue: mpsc::Receiver<Job>, counters: &Counters) {
    while let Some(first) = queue.blocking_recv() {
        let mut jobs = vec![first];
        while jobs.len() < JOBS_PER_COMMIT_MAX
            && let Ok(next) = queue.try_recv()
        {
            jobs.push(next);
        }
        if let Some(close) = carry_out(&mut disk, jobs, counters, &at_once) {
            drop(disk);
            // Nobody waits any more: the file is closed all the same.
            let _ = close.send(());
            return;
        }
    }
}

/// One transaction for all jobs up to the first `Close`, which is handed back; jobs behind it are dropped, and with
/// them their callers learn that the file is closed.
fn carry_out(
    disk: &mut Disk,
    jobs: Vec<Job>,
    counters: &Counters,
    finish: &dyn Fn(Finish),
) -> Option<oneshot::Sender<()>> {
    let (mut ops, mut dones, mut close) = (Vec::new(), Vec::<Done>::new(), None);
    for job in jobs {
        match job {
            Job::Write(op, done) => {
                ops.push(op);
                dones.push(done);
            }
            Job::Build(about, registry, reply) => match encode_registry(&registry) {
                Ok(bytes) => {
                    ops.push(Op::Snapshot(about, bytes.clone()));
                    dones.push(Box::new(move |result| drop(reply.send(result.map(|()| bytes)))));
                }
                Err(e) => drop(reply.send(Err(e))),
            },
            Job::Close(done) => {
                close = Some(done);
                break;
            }
        }
    }
    if !ops.is_empty() {
        commit(disk, &ops, dones, counters, finish);
    }
    if close.is_some()
        && let Err(e) = disk.flush()
    {
        tracing::warn!(error = %e, "the registry's file is closed without its last note");
    }
    close
}

fn commit(disk: &mut Disk, ops: &[Op], mut dones: Vec<Done>, counters: &Counters, finish: &dyn Fn(Finish)) {
    if planted::is(Bug::AcknowledgeBeforeDurable) {
        for done in dones.drain(..) {
            finish(Box::new(move || done(Ok(()))));
        }
    }
    let begun = Instant::now();
    let result = disk.commit(ops);
    if !matches!(result, Ok(false)) {
        counters.note(ops.len(), begun);
    }
    if let Err(e) = &result {
        counters.failed(e);
    }
    for done in dones {
        // One error for all that were in the transaction; `io::Error` cannot be cloned.
        let again = |e: &io::Error| io::Error::new(e.kind(), e.to_string());
        let result = result.as_ref().map(drop).map_err(again);
        finish(Box::new(move || done(result)));
    }
}

impl Counters {
    fn failed(&self, error: &io::Error) {
        let failure = self.failure.get_or_init(|| WriteFailure {
            file: self.file.clone(),
            kind: error.kind(),
            why: error.to_string(),
        });
        tracing::error!(%failure, %error, "the registry cannot be written");
    }

    fn note(&self, jobs: usize, begun: Instant) {
        let us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.jobs.fetch_add(jobs as u64, Ordering::Relaxed);
        self.commit_us_total.fetch_add(us, Ordering::Relaxed);
        self.commit_us_max.fetch_max(us, Ordering::Relaxed);
    }
}

pub(crate) fn encode_registry(registry: &Registry) -> io::Result<Bytes> {
    let bytes = postcard::to_allocvec(registry).map_err(io::Error::other)?;
    if bytes.len() > SNAPSHOT_BYTES_MAX {
        let text = format!(
            "a registry of {} bytes is above the bound of {SNAPSHOT_BYTES_MAX}",
            bytes.len()
        );
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes.into())
}
