//! The journal: what the kernel's machines were given and what they answered, as lines of JSON, for `squall journal
//! replay`; and what happened around them, for those who judge a run. Recording never blocks: a journal that cannot keep up says that it is broken, and ends.
//!
//! What does not live here: the machines.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};

use serde::{Deserialize, Serialize};
use squall_kernel::time::Instant;

use crate::clock::Clock;
use crate::limits::JOURNAL_QUEUE;

mod fact;
mod gap;
mod read;
mod recorder;
mod replay;

pub use fact::{Ending, FORMAT, Fact, Header, PublishEvent, QueueFrom, TaskEvent};
pub use read::{Entry, JournalEnd, Read, Reader, When, read};
pub use recorder::Recorder;
pub use replay::{Difference, Machine, Replay, ReplayError, ReplayReport};

/// Which machine a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineKind {
    /// An exchange on its owner.
    Exchange,
    /// The control side of a node.
    Core,
}

impl fmt::Display for MachineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exchange => "exchange",
            Self::Core => "core",
        })
    }
}

/// A line: `{"machine":"exchange","id":"1@2","now":5,"start":{…}}`,
/// `{"machine":"exchange","id":"1@2","now":6,"step":{"input":…,"effects":[…]}}`, or `{"broken":"why"}` as the last one. The
/// writer puts the line's number before the rest, `{"n":1,…`, so that a gap is noticed. Where the node's clock has run at another
/// rate than time itself, `"passed"` is what had really passed at `now`, and `"faster_ppm"` its rate from there on.
#[derive(Serialize)]
struct Line<'a, C, S> {
    machine: MachineKind,
    id: &'a str,
    now: Instant,
    #[serde(flatten)]
    bent: Bent,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<&'a C>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<S>,
}

#[derive(Serialize)]
struct StepLine<'a, I, E> {
    input: &'a I,
    effects: &'a [E],
}

/// The first line: `{"header":{…}}`.
#[derive(Serialize)]
struct HeaderLine<'a> {
    header: &'a Header,
}

/// A line: `{"now":5,"fact":{…}}`.
#[derive(Serialize)]
struct FactLine<'a> {
    now: Instant,
    #[serde(flatten)]
    bent: Bent,
    fact: &'a Fact,
}

/// What a line says of a clock that has run at another rate than time itself; of any other one nothing.
#[derive(Serialize, Default)]
struct Bent {
    #[serde(skip_serializing_if = "Option::is_none")]
    passed: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    faster_ppm: Option<i32>,
}

/// Records to one file.
#[derive(Debug, Clone)]
pub struct Journal {
    lines: SyncSender<Option<String>>,
    broken: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    /// What knows how much time has really passed, where a fault makes the node's clock run at another rate.
    clock: Option<Clock>,
}

/// Waits for the end of a journal's writer.
#[derive(Debug)]
pub struct JournalWriter {
    /// Carries the end: recorders may live on in tasks that nobody waits for.
    end: SyncSender<Option<String>>,
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<io::Result<()>>,
}

impl JournalWriter {
    /// Waits until everything recorded up to now is written; what is recorded later is lost.
    ///
    /// # Errors
    /// What the file answered.
    pub fn finish(self) -> io::Result<()> {
        self.ended.store(true, Ordering::Release);
        // A writer that has ended by itself takes nothing more.
        let _ended = self.end.send(None);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the journal's writer panicked")))
    }
}

impl Journal {
    /// Starts a thread that writes to `out`, flushed whenever nothing is waiting.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start_writer(out: impl Write + Send + 'static) -> io::Result<(Self, JournalWriter)> {
        let (lines, queue) = sync_channel(JOURNAL_QUEUE);
        let broken = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&broken);
        let write = move || write_all(&queue, out, &flag).inspect_err(|error| report_broken(&flag, error));
        let thread = std::thread::Builder::new().name("journal".into()).spawn(write)?;
        let ended = Arc::new(AtomicBool::new(false));
        let writer = JournalWriter {
            end: lines.clone(),
            ended: Arc::clone(&ended),
            thread,
        };
        let journal = Self {
            lines,
            broken,
            ended,
            clock: None,
        };
        Ok((journal, writer))
    }

    /// The same, of a node with that clock.
    #[must_use]
    pub fn by(self, clock: Clock) -> Self {
        Self {
            clock: Some(clock),
            ..self
        }
    }

    fn bent(&self, now: Instant) -> Bent {
        let bent = self.clock.as_ref().and_then(|clock| clock.passed(now));
        bent.map_or_else(Bent::default, |(passed, faster_ppm)| Bent {
            passed: Some(passed),
            faster_ppm: (faster_ppm != 0).then_some(faster_ppm),
        })
    }

    /// True when something could not be recorded: nothing is recorded since then.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Records whose journal this is; before anything else.
    pub fn header(&self, header: &Header) {
        self.record(&HeaderLine { header });
    }

    /// Records something that happened.
    pub fn fact(&self, now: Instant, fact: &Fact) {
        let bent = self.bent(now);
        self.record(&FactLine { now, bent, fact });
    }

    /// Records that a machine starts from `config`. The same id again starts it anew.
    pub fn start(&self, machine: MachineKind, id: &str, now: Instant, config: &impl Serialize) {
        self.record(&Line::<_, ()> {
            machine,
            id,
            now,
            bent: self.bent(now),
            start: Some(config),
            step: None,
        });
    }

    /// Records a step: its input, and all effects of it.
    pub fn step<I: Serialize, E: Serialize>(
        &self,
        machine: MachineKind,
        id: &str,
        now: Instant,
        input: &I,
        effects: &[E],
    ) {
        let step = Some(StepLine { input, effects });
        self.record(&Line::<(), _> {
            machine,
            id,
            now,
            bent: self.bent(now),
            start: None,
            step,
        });
    }

    fn record(&self, line: &impl Serialize) {
        if self.is_broken() || self.ended.load(Ordering::Acquire) {
            return;
        }
        let sent = match serde_json::to_string(line) {
            Ok(line) => self.lines.try_send(Some(line)).map_err(|error| match error {
                TrySendError::Full(_) => io::Error::other("more was recorded than could be written"),
                TrySendError::Disconnected(_) => io::Error::other("the writer has ended"),
            }),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = sent {
            report_broken(&self.broken, &error);
        }
    }
}

fn report_broken(broken: &AtomicBool, error: &io::Error) {
    if !broken.swap(true, Ordering::AcqRel) {
        tracing::error!(%error, "the journal is broken: it ends here");
    }
}

fn write_all(queue: &Receiver<Option<String>>, out: impl Write, broken: &AtomicBool) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let mut written = 0_u64;
    let mut number = move || {
        written += 1;
        written
    };
    loop {
        let line = match queue.try_recv() {
            Ok(Some(line)) => line,
            Ok(None) | Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                out.flush()?;
                // Whoever broke the journal sent nothing after it: what was waiting is written, this is the end.
                if broken.load(Ordering::Acquire) {
                    break;
                }
                match queue.recv() {
                    Ok(Some(line)) => line,
                    Ok(None) | Err(_) => break,
                }
            }
        };
        let members = line.strip_prefix('{').unwrap_or(&line);
        writeln!(out, "{{\"n\":{},{members}", number())?;
    }
    if broken.load(Ordering::Acquire) {
        writeln!(
            out,
            "{{\"n\":{},\"broken\":\"the journal could not keep up; nothing is recorded from here on\"}}",
            number()
        )?;
    }
    out.flush()
}

#[cfg(test)]
#[path = "journal_test.rs"]
mod tests;
