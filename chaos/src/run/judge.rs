//! Judges a run while it goes on: follows the nodes' journals on a thread of its own, shows every event to all invariants, and
//! says at once when one is broken. What does not live here: the invariants, and what follows from a breach.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use super::RunError;
use super::stage::io_error;
use crate::coverage::{Looker, Sight};
use crate::history::Event;
use crate::invariant::{Breach, Verdict, Watch};
use crate::record::{Follow, RecordError};

/// Between two looks at the journals: with what the order of events costs, well below a second from a breach to its halt.
const LOOK: Duration = Duration::from_millis(50);
/// Words that wait for the judge; who tells more waits in turn.
const WORDS_MAX: usize = 4_096;

/// Something the judge is told.
pub(super) enum Word {
    /// There is this journal, and whether its process is over.
    Journal(PathBuf, bool),
    /// Something that no journal has.
    Event(Event),
    /// All processes are over.
    End,
}

/// What the invariants say of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// Verdicts, in the order of the invariants: its number, and `ok`, `FAIL: …` or `unknown: …`.
    pub verdicts: Vec<(String, String)>,
    /// What was broken, with the two events that cannot both be.
    pub breaches: Vec<Breach>,
    /// What happened at all, and how often.
    pub seen: Vec<(String, u64)>,
    /// Events that were judged.
    pub events: u64,
    #[serde(skip)]
    pub(super) sights: Vec<Sight>,
}

/// A judge at work.
pub(super) struct Judge {
    words: SyncSender<Word>,
    breach: watch::Receiver<Option<Breach>>,
    thread: JoinHandle<Result<Judged, RecordError>>,
}

impl Judge {
    pub(super) fn start() -> Result<Self, RunError> {
        let (words, inbox) = sync_channel(WORDS_MAX);
        let (sender, breach) = watch::channel(None);
        let thread = std::thread::Builder::new()
            .name("judge".into())
            .spawn(move || judge(&inbox, &sender))
            .map_err(io_error("a thread"))?;
        Ok(Self {
            words,
            breach,
            thread,
        })
    }

    /// Tells it something. One that has ended by itself will say why.
    pub(super) fn tell(&self, word: Word) {
        if let Err(TrySendError::Full(word)) = self.words.try_send(word) {
            drop(self.words.send(word));
        }
    }

    /// The first thing that was broken.
    pub(super) fn breach(&self) -> Option<Breach> {
        self.breach.borrow().clone()
    }

    /// True while it judges; one that has stopped cannot.
    pub(super) fn works(&self) -> bool {
        !self.thread.is_finished()
    }

    /// The verdicts, when every process is over.
    pub(super) async fn end(self) -> Result<Judged, RunError> {
        self.tell(Word::End);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        let judged = joined.unwrap_or_else(|_| Err(Box::new("the judge was not waited for")));
        match judged {
            Ok(judged) => Ok(judged?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

#[derive(Default)]
struct Bench {
    watch: Watch,
    looker: Looker,
    breaches: Vec<Breach>,
    events: u64,
}

impl Bench {
    fn see(&mut self, events: &[Event], first: &watch::Sender<Option<Breach>>) {
        for event in events {
            self.events += 1;
            self.looker.see(event);
            for breach in self.watch.see(event) {
                self.breaches.push(breach.clone());
                first.send_if_modified(|first| {
                    let new = first.is_none();
                    first.get_or_insert(breach);
                    new
                });
            }
        }
    }

    fn judged(mut self) -> Judged {
        let verdicts = self.watch.verdicts();
        for (_, verdict) in &verdicts {
            if let Verdict::Fail(breach) = verdict
                && !self.breaches.contains(breach)
            {
                self.breaches.push(breach.clone());
            }
        }
        let coverage = self.looker.coverage();
        Judged {
            verdicts: verdicts
                .iter()
                .map(|(id, verdict)| (id.to_string(), verdict.to_string()))
                .collect(),
            breaches: self.breaches,
            seen: coverage
                .iter()
                .map(|(sight, count)| (sight.to_string(), count))
                .collect(),
            sights: coverage.iter().map(|(sight, _)| sight).collect(),
            events: self.events,
        }
    }
}

fn judge(inbox: &Receiver<Word>, first: &watch::Sender<Option<Breach>>) -> Result<Judged, RecordError> {
    let (mut follow, mut bench) = (Follow::default(), Bench::default());
    loop {
        match inbox.recv_timeout(LOOK) {
            Ok(Word::Journal(path, over)) => {
                follow.add(&path)?;
                if over {
                    follow.over(&path);
                }
                continue;
            }
            Ok(Word::Event(event)) => {
                follow.tell(event);
                continue;
            }
            Ok(Word::End) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        bench.see(&follow.poll()?, first);
    }
    bench.see(&follow.finish()?, first);
    Ok(bench.judged())
}
