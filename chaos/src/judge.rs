//! Judges a cluster while it runs: follows the nodes' journals on a thread of its own, shows every event to all invariants, and
//! says at once when one is broken. What does not live here: the invariants, who follows which journals (`supervisor`), and
//! what follows from a breach.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use squall_kernel::id::{NodeId, NodeName};
use squall_kernel::time::Instant;
use squall_node::clock::machine_now;
use squall_proto::v1 as proto;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, warn};

use crate::coverage::{Looker, Sight};
use crate::history::{Event, What};
use crate::invariant::{Breach, Id, Verdict, Watch};
use crate::record::{Follow, RecordError};

mod names;
mod on_wire;
mod session;

use names::Names;
use session::Session;

/// Between two looks at the journals: with what the order of events costs, well below a second from a breach to its halt.
const LOOK: Duration = Duration::from_millis(50);
/// Words that wait for the judge; there are a few for each start, end, pause and fault of a process.
const WORDS_MAX: usize = 4_096;

/// Something that happened to a node's process, which no journal has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happened {
    /// A fault began.
    Began {
        /// Unique among those of this judge, and below 2³².
        id: u64,
        /// As it is written.
        text: String,
        /// When it must be over, on the machine's clock.
        ends_by: Instant,
    },
    /// It is over.
    Over {
        /// Which one.
        id: u64,
    },
    /// The process stands still.
    Paused,
    /// It goes on.
    Resumed,
}

impl Happened {
    /// As the history has it.
    fn what(self) -> What {
        // Counted from the top: those of journals are hashes, which no count reaches.
        let from_the_top = |id: u64| u64::MAX - id;
        match self {
            Self::Began { id, text, ends_by } => What::Fault {
                id: from_the_top(id),
                text,
                ends_by,
            },
            Self::Over { id } => What::FaultOver { id: from_the_top(id) },
            Self::Paused => What::Paused,
            Self::Resumed => What::Resumed,
        }
    }
}

/// Something the judge is told.
enum Word {
    /// A run of this node keeps this journal.
    Journal(NodeName, PathBuf, File),
    /// The process that kept it is over.
    Over(PathBuf),
    /// Something happened to a process.
    Happened(NodeName, Instant, Happened),
    /// All faults are over, and nothing that was asked is under way.
    Healed(Instant),
    /// What is to be said?
    Standing(oneshot::Sender<Standing>),
    /// What was done?
    Session(oneshot::Sender<proto::SessionResponse>),
    /// All processes are over: what is to be said of the whole?
    End(oneshot::Sender<Standing>),
}

/// What the invariants say of a cluster up to now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Number, claim and verdict of each.
    pub(crate) verdicts: Vec<(Id, &'static str, Verdict)>,
    /// How often each thing happened that shows in the events; what never did was not tested.
    pub(crate) seen: Vec<(Sight, u64)>,
    /// Events that were judged.
    pub(crate) events: u64,
    /// Why nothing is judged any more.
    pub(crate) failed: Option<String>,
}

/// A judge at work; clones speak to the same one. It ends when nobody does any more.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    words: SyncSender<Word>,
    breach: watch::Receiver<Option<Breach>>,
    failed: Arc<AtomicBool>,
}

impl Judge {
    /// Starts its thread. Each invariant that is broken goes to `broken` in that moment; the judge waits for nobody, and what finds
    /// no room there is lost.
    ///
    /// # Errors
    /// When the system has none.
    pub(crate) fn start(broken: mpsc::Sender<Breach>) -> std::io::Result<Self> {
        let (words, inbox) = sync_channel(WORDS_MAX);
        let (sender, breach) = watch::channel(None);
        let failed = Arc::new(AtomicBool::new(false));
        let bench = Bench::new(sender, broken, Arc::clone(&failed));
        std::thread::Builder::new()
            .name("judge".into())
            .spawn(move || bench.sit(&inbox))?;
        Ok(Self {
            words,
            breach,
            failed,
        })
    }

    /// One whose words are overheard: gives what happened to processes since it was asked last, in words.
    #[cfg(test)]
    pub(crate) fn overheard() -> (Self, impl FnMut() -> Vec<String>) {
        let (words, inbox) = sync_channel(WORDS_MAX);
        let judge = Self {
            words,
            breach: watch::channel(None).1,
            failed: Arc::default(),
        };
        let told = move || {
            let word = |word| match word {
                Word::Happened(node, at, Happened::Began { id, text, ends_by }) => {
                    let ms = ends_by.since(at).as_ms();
                    format!("{node}: {id} began, {text}, about {} s", (ms + 500) / 1000)
                }
                Word::Happened(node, _, what) => format!("{node}: {what:?}"),
                Word::Over(path) => format!("{} is over", path.display()),
                _ => "something else".to_owned(),
            };
            inbox.try_iter().map(word).collect()
        };
        (judge, told)
    }

    /// A run of that node keeps this journal, which is read from its beginning. It is read until [`Self::over`] whatever
    /// becomes of the judging: a node that writes to a pipe is not held up.
    pub(crate) fn journal(&self, node: &NodeName, path: PathBuf, file: File) {
        self.tell(Word::Journal(node.clone(), path, file));
    }

    /// The process that kept this journal is over.
    pub(crate) fn over(&self, path: PathBuf) {
        self.tell(Word::Over(path));
    }

    /// Something has just happened to a node's process.
    pub(crate) fn happened(&self, node: &NodeName, what: Happened) {
        self.tell(Word::Happened(node.clone(), machine_now(), what));
    }

    /// All faults are over, and nothing that was asked is under way.
    pub(crate) fn healed(&self) {
        self.tell(Word::Healed(machine_now()));
    }

    /// The first thing that was broken.
    pub(crate) fn breach(&self) -> Option<Breach> {
        self.breach.borrow().clone()
    }

    /// True when nothing is judged any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// What is to be said up to now; none when the judge is gone.
    pub(crate) async fn standing(&self) -> Option<Standing> {
        self.ask(Word::Standing).await
    }

    /// What is to be said of the whole, when every process is over; none when the judge is gone.
    pub(crate) async fn end(&self) -> Option<Standing> {
        self.ask(Word::End).await
    }

    /// What was done to the cluster up to now; none when the judge is gone.
    pub(crate) async fn session(&self) -> Option<proto::SessionResponse> {
        self.ask(Word::Session).await
    }

    async fn ask<T>(&self, word: impl FnOnce(oneshot::Sender<T>) -> Word) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.tell(word(reply));
        answer.await.ok()
    }

    /// Never waits: what happens to processes is carried out whoever listens.
    fn tell(&self, word: Word) {
        if let Err(TrySendError::Full(_)) = self.words.try_send(word) {
            error!("the judge does not listen: what it says from now on may be wrong");
        }
    }
}

/// Where the judge sits.
struct Bench {
    follow: Follow,
    names: Names,
    watch: Watch,
    looker: Looker,
    session: Session,
    events: u64,
    first: watch::Sender<Option<Breach>>,
    broken: mpsc::Sender<Breach>,
    failed: Option<RecordError>,
    has_failed: Arc<AtomicBool>,
}

impl Bench {
    fn new(
        first: watch::Sender<Option<Breach>>,
        broken: mpsc::Sender<Breach>,
        has_failed: Arc<AtomicBool>,
    ) -> Self {
        Self {
            follow: Follow::default(),
            names: Names::default(),
            watch: Watch::default(),
            looker: Looker::default(),
            session: Session::default(),
            events: 0,
            first,
            broken,
            failed: None,
            has_failed,
        }
    }

    fn sit(mut self, inbox: &Receiver<Word>) {
        loop {
            match inbox.recv_timeout(LOOK) {
                Ok(word) => self.take(word),
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, word: Word) {
        match word {
            Word::Journal(node, path, file) => {
                self.names.keeps(node, path.clone());
                self.follow.add(path, file);
            }
            Word::Over(path) => self.follow.over(&path),
            Word::Happened(node, at, what) => self.names.wait(node, at, what.what()),
            Word::Healed(at) => self.follow.tell(Event {
                at,
                node: NodeId(0),
                what: What::Healed,
            }),
            // Whoever asked may have gone.
            Word::Standing(reply) => {
                self.look();
                drop(reply.send(self.standing(true)));
            }
            Word::Session(reply) => {
                self.look();
                drop(reply.send(self.session.on_wire(|node| self.names.name_of(node))));
            }
            Word::End(reply) => {
                self.follow.all_over();
                while !self.follow.is_empty() && self.failed.is_none() {
                    self.look();
                }
                self.look();
                drop(reply.send(self.standing(false)));
            }
        }
    }

    /// Takes in what is new.
    fn look(&mut self) {
        if self.failed.is_some() {
            self.follow.discard();
            return;
        }
        match self.read() {
            Ok(events) => events.iter().for_each(|event| self.see(event)),
            Err(error) => {
                error!(%error, "the invariants are not judged any more");
                self.failed = Some(error);
                self.has_failed.store(true, Ordering::Release);
            }
        }
    }

    fn read(&mut self) -> Result<Vec<Event>, RecordError> {
        self.follow.read()?;
        self.names.tell(&mut self.follow);
        Ok(self.follow.complete())
    }

    fn see(&mut self, event: &Event) {
        self.events += 1;
        self.looker.see(event);
        self.session.see(event);
        for breach in self.watch.see(event) {
            error!(%breach, "an invariant is broken");
            if self.broken.try_send(breach.clone()).is_err() {
                warn!(id = %breach.id, "the nodes are not told of it");
            }
            self.first.send_if_modified(|first| {
                let new = first.is_none();
                first.get_or_insert(breach);
                new
            });
        }
    }

    fn standing(&mut self, goes_on: bool) -> Standing {
        let coverage = self.looker.coverage();
        Standing {
            seen: Sight::all()
                .map(|sight| (sight, coverage.count(sight)))
                .filter(|(sight, count)| *count > 0 || sight.shows())
                .collect(),
            verdicts: self.watch.standing(goes_on),
            events: self.events,
            failed: self.failed.as_ref().map(ToString::to_string),
        }
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::{Epoch, ExchangeId};

    use super::*;

    fn own(at: u64, node: u64) -> Event {
        Event {
            at: Instant(at),
            node: NodeId(node),
            what: What::Own {
                exchange: ExchangeId(1),
                epoch: Epoch(1),
            },
        }
    }

    #[test]
    fn every_broken_invariant_is_told_of_once_and_the_judge_waits_for_nobody() {
        let (broken, mut told) = mpsc::channel(1);
        let (first, known) = watch::channel(None);
        let mut bench = Bench::new(first, broken, Arc::default());
        bench.see(&own(1, 1));
        assert!(told.try_recv().is_err());
        for node in [2, 3] {
            bench.see(&own(2, node));
        }
        let breach = told.try_recv().expect("I1 is broken");
        assert_eq!(breach.id, Id(1));
        assert!(told.try_recv().is_err(), "once");
        assert_eq!(known.borrow().as_ref(), Some(&breach));
        drop(told);
        let mut deaf = Bench::new(watch::channel(None).0, mpsc::channel(1).0, Arc::default());
        for node in [1, 2] {
            deaf.see(&own(1, node));
        }
        assert!(deaf.first.borrow().is_some());
    }

    #[test]
    fn every_invariant_has_a_series_at_the_nodes_before_it_is_broken() {
        let ids: Vec<u8> = crate::invariant::all().iter().map(|check| check.id().0).collect();
        assert_eq!(ids, squall_node::breaches::JUDGED.collect::<Vec<_>>());
    }
}
