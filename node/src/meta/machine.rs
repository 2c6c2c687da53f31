//! Raft's state machine: the kernel's registry, published after every batch of entries, and its snapshots. The
//! state itself is not stored; after a start it comes from the last snapshot and the log.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot};
use openraft::type_config::alias::SnapshotOf;
use openraft::{AsyncRuntime, EntryPayload, OptionalSend, RaftSnapshotBuilder};
use squall_kernel::id::Revision;
use squall_kernel::registry::{Command, Outcome, Registry};
use tokio::sync::watch;

use super::disk::Op;
use super::types::{Entry, LogId, Members, SnapshotMeta, Types};
use super::writer::Writer;

/// Is told of every step of the registry: what it is now, and the command that moved it there, if it was one.
pub type Witness = Box<dyn Fn(&Arc<Registry>, Option<&Command>) + Send + Sync>;

type Slot = Arc<Mutex<Option<(SnapshotMeta, Bytes)>>>;

/// The registry, as far as the log is applied.
pub struct StateMachine {
    applied: Option<LogId>,
    members: Members,
    registry: Arc<Registry>,
    publish: watch::Sender<Arc<Registry>>,
    snapshot: Slot,
    writer: Writer,
    witness: Option<Witness>,
}

/// A view of the registry at one moment, to be stored as a snapshot.
pub struct Builder {
    about: SnapshotMeta,
    registry: Arc<Registry>,
    snapshot: Slot,
    writer: Writer,
}

impl StateMachine {
    pub(crate) fn new(
        snapshot: Option<(SnapshotMeta, Bytes)>,
        writer: Writer,
    ) -> (Self, watch::Receiver<Arc<Registry>>) {
        let registry = Arc::new(Registry::default());
        let (publish, published) = watch::channel(Arc::clone(&registry));
        let members = Members::default();
        let snapshot = Arc::new(Mutex::new(snapshot));
        (
            Self {
                applied: None,
                members,
                registry,
                publish,
                snapshot,
                writer,
                witness: None,
            },
            published,
        )
    }

    /// Tells `witness` of every step from now on: the published registry leaves out those of one batch.
    pub fn tell(&mut self, witness: Witness) {
        self.witness = Some(witness);
    }

    /// Another machine that goes on from here, in the place of this one. What this one may still apply comes again there.
    pub(crate) fn successor(&mut self) -> Self {
        Self {
            applied: self.applied,
            members: self.members.clone(),
            registry: Arc::clone(&self.registry),
            publish: self.publish.clone(),
            snapshot: Arc::clone(&self.snapshot),
            writer: self.writer.clone(),
            witness: self.witness.take(),
        }
    }

    /// Never goes back: a successor may apply once more what was published already.
    fn publish(&self) {
        self.publish.send_if_modified(|held| {
            let newer = self.registry.revision >= held.revision;
            if newer {
                *held = Arc::clone(&self.registry);
            }
            newer
        });
    }

    fn witnessed(&self, command: Option<&Command>) {
        if let Some(witness) = &self.witness {
            witness(&self.registry, command);
        }
    }

    fn apply_entry(&mut self, entry: Entry) -> Outcome {
        let at = Revision(entry.log_id.index);
        self.applied = Some(entry.log_id);
        let registry = Arc::make_mut(&mut self.registry);
        match entry.payload {
            EntryPayload::Normal(proposal) => {
                let outcome = registry.apply(at, &proposal.0);
                self.witnessed(Some(&proposal.0));
                return outcome;
            }
            EntryPayload::Membership(members) => self.members = Members::new(Some(entry.log_id), members),
            EntryPayload::Blank => {}
        }
        // Index 0 is the founding membership: the registry is at revision 0 already.
        if at > registry.revision {
            registry.skip(at);
        }
        self.witnessed(None);
        Outcome::Unchanged
    }

    fn builder(&self) -> Builder {
        Builder {
            about: SnapshotMeta {
                last_log_id: self.applied,
                last_membership: self.members.clone(),
            },
            registry: Arc::clone(&self.registry),
            snapshot: Arc::clone(&self.snapshot),
            writer: self.writer.clone(),
        }
    }
}

/// The registry in a snapshot's bytes.
pub(crate) fn decode(bytes: &[u8]) -> io::Result<Registry> {
    postcard::from_bytes(bytes)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("registry snapshot: {e}")))
}

fn open(slot: &Slot) -> MutexGuard<'_, Option<(SnapshotMeta, Bytes)>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A build that was overtaken by an installed snapshot must not take its place.
fn keep_later(slot: &Slot, about: SnapshotMeta, bytes: Bytes) {
    let mut slot = open(slot);
    if slot
        .as_ref()
        .is_none_or(|(held, _)| held.last_log_id <= about.last_log_id)
    {
        *slot = Some((about, bytes));
    }
}

impl<R: AsyncRuntime> RaftSnapshotBuilder<Types<R>> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types<R>, Bytes>, io::Error> {
        let bytes = self
            .writer
            .build_snapshot(self.about.clone(), Arc::clone(&self.registry))
            .await?;
        keep_later(&self.snapshot, self.about.clone(), bytes.clone());
        Ok(Snapshot {
            meta: self.about.clone(),
            snapshot: bytes,
        })
    }
}

impl<R: AsyncRuntime> RaftStateMachine<Types<R>> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Members), io::Error> {
        Ok((self.applied, self.members.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types<R>>, io::Error>> + Unpin + OptionalSend,
    {
        let mut answers: Vec<(ApplyResponder<Types<R>>, Outcome)> = Vec::new();
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let outcome = self.apply_entry(entry);
            answers.extend(responder.map(|r| (r, outcome)));
        }
        // Published first: whoever gets an answer finds its effect in the registry.
        self.publish();
        for (responder, outcome) in answers {
            responder.send(outcome);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.builder()
    }

    async fn install_snapshot(&mut self, about: &SnapshotMeta, bytes: Bytes) -> Result<(), io::Error> {
        let registry = Arc::new(decode(&bytes)?);
        self.writer
            .write(Op::Snapshot(about.clone(), bytes.clone()))
            .await?;
        keep_later(&self.snapshot, about.clone(), bytes);
        self.applied = about.last_log_id;
        self.members = about.last_membership.clone();
        self.registry = registry;
        self.witnessed(None);
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types<R>, Bytes>>, io::Error> {
        Ok(open(&self.snapshot).as_ref().map(|(about, bytes)| Snapshot {
            meta: about.clone(),
            snapshot: bytes.clone(),
        }))
    }
}
