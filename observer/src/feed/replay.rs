//! A recording, played: what came comes again, at its pace, faster, or a moment at a time.
//!
//! What does not live here: the file's format (`recording`).

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Feed, Update, Wants};
use crate::recording::{Ended, Reader, RecordingError};
use crate::units::Moment;

/// Updates read ahead.
const AHEAD: usize = 256;
/// How long to sleep at most before the clock is looked at again: its speed may have changed.
const LOOK: Duration = Duration::from_millis(20);

/// The clock of a recording: it begins when the recording does, runs at a speed, and stands at its end.
#[derive(Debug, Clone)]
pub struct ReplayClock(Arc<Mutex<Running>>);

#[derive(Debug)]
struct Running {
    at_ms: f64,
    since: Instant,
    speed: f64,
    /// The recording ends there.
    end: Option<Moment>,
}

impl ReplayClock {
    fn new(at: Moment, speed: f64) -> Self {
        Self(Arc::new(Mutex::new(Running {
            at_ms: at.0 as f64,
            since: Instant::now(),
            speed,
            end: None,
        })))
    }

    /// Now, in the recording.
    #[must_use]
    pub fn now(&self) -> Moment {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.now()
    }

    /// Runs at another speed from now on; 0 stands still.
    pub fn run(&self, speed: f64) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.at_ms = running.now().0 as f64;
        (running.since, running.speed) = (Instant::now(), speed);
    }

    /// Goes on by so much.
    pub fn step(&self, ms: u64) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.at_ms += ms as f64;
    }

    fn ends(&self, end: Moment) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.end = Some(end);
    }
}

impl Running {
    fn now(&self) -> Moment {
        let passed = self.since.elapsed().as_secs_f64() * 1000.0 * self.speed;
        let now = Moment((self.at_ms + passed) as u64);
        self.end.map_or(now, |end| now.min(end))
    }
}

/// What a recording says of itself when it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// When it began.
    pub started: Moment,
    /// What to warn of.
    pub warning: Option<String>,
}

/// A recording as a feed.
#[derive(Debug)]
pub struct ReplayFeed {
    clock: ReplayClock,
    updates: mpsc::Receiver<Read>,
    next: Option<(Moment, Update)>,
    due: Vec<Update>,
    last: Moment,
    ended: Option<Ended>,
}

/// What the reader found.
#[derive(Debug)]
enum Read {
    Update(Box<(Moment, Update)>),
    End(Ended),
}

impl ReplayFeed {
    /// Opens a recording, to be played at a speed.
    ///
    /// # Errors
    /// [`RecordingError`] names the file.
    pub fn open(path: &Path, speed: f64) -> Result<(Self, ReplayClock, Opened), RecordingError> {
        let mut reader = Reader::open(path)?;
        let opened = Opened {
            started: reader.started,
            warning: reader.newer.as_ref().map(|program| {
                format!("recorded by a newer program ({program}): what this one does not know is left out")
            }),
        };
        let clock = ReplayClock::new(reader.started, speed);
        let (sender, updates) = mpsc::channel(AHEAD);
        // Files are read by a thread of their own; it ends with the feed.
        std::thread::spawn(move || {
            loop {
                let read = match reader.read() {
                    Ok(told) => Read::Update(Box::new(told)),
                    Err(ended) => Read::End(ended),
                };
                let last = matches!(read, Read::End(_));
                if sender.blocking_send(read).is_err() || last {
                    return;
                }
            }
        });
        let feed = Self {
            last: opened.started,
            clock: clock.clone(),
            updates,
            next: None,
            due: Vec::new(),
            ended: None,
        };
        Ok((feed, clock, opened))
    }

    /// Everything that is due; waits for the first of it.
    async fn due(&mut self) -> Vec<Update> {
        loop {
            if self.next.is_none() && self.ended.is_none() {
                match self.updates.recv().await {
                    Some(Read::Update(told)) => self.next = Some(*told),
                    Some(Read::End(ended)) => self.end(ended),
                    None => self.end(Ended::Broken),
                }
            }
            let Some((at, _)) = &self.next else {
                if self.due.is_empty() {
                    return std::future::pending().await;
                }
                return std::mem::take(&mut self.due);
            };
            if *at <= self.clock.now() && self.due.len() < AHEAD {
                if let Some((at, update)) = self.next.take() {
                    self.last = self.last.max(at);
                    self.due.push(update);
                }
            } else if self.due.is_empty() {
                tokio::time::sleep(LOOK).await;
            } else {
                return std::mem::take(&mut self.due);
            }
        }
    }

    fn end(&mut self, ended: Ended) {
        self.ended = Some(ended);
        self.clock.ends(self.last);
    }
}

impl Feed for ReplayFeed {
    fn next(&mut self) -> BoxFuture<'_, Option<Vec<Update>>> {
        // What was taken out of the channel is kept until it is due, so that dropping the future loses nothing.
        async { Some(self.due().await) }.boxed()
    }

    /// A recording has what it has.
    fn want(&mut self, _wants: Wants) {}

    fn ended(&self) -> Option<String> {
        Some(match self.ended? {
            Ended::Whole => "the end".to_owned(),
            Ended::Cut => "the end: the recording is cut short".to_owned(),
            Ended::Broken => "the end: the recording is damaged from here on".to_owned(),
        })
    }
}

#[cfg(test)]
#[path = "replay_test.rs"]
mod tests;
