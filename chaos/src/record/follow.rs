//! The history of real nodes while they run: follows their journals, and gives events in order of time as soon as no node can
//! tell of an earlier one any more. A node that stands still holds that up until it goes on or is known to be over: what it
//! has seen is not written yet.
//!
//! What does not live here: which journals there are, and whose process is over; whoever drives the nodes tells.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use squall_kernel::time::{Instant, Span};
use squall_node::journal::{Entry, Read, Reader};

use super::assembly::{Assembly, move_ends};
use super::teller::Teller;
use super::{RecordError, Told};
use crate::history::Event;

/// Threads of a node record side by side: a line may come behind others that are later by so much.
const DISORDER: Span = Span::from_ms(150);
/// Bytes read of one journal at a time: what a busy node writes in a second.
const BYTES_AT_A_TIME: usize = 16 * 1024 * 1024;

/// Follows journals.
#[derive(Debug)]
pub struct Follow {
    tails: Vec<Tail>,
    /// Time 0 of the history, on the machine's clock: known when the first journals have begun.
    zero: Option<Instant>,
    /// Events that were read and not given, by time and number; on the machine's clock.
    waiting: BTreeMap<(Instant, u64), Event>,
    numbered: u64,
    assembly: Assembly,
    /// Those that are over and told.
    done: HashSet<PathBuf>,
}

/// One journal, as far as it was read.
#[derive(Debug)]
struct Tail {
    path: PathBuf,
    file: BufReader<File>,
    /// A line that is not whole yet.
    partial: String,
    reader: Reader,
    teller: Option<Teller>,
    /// Time of its last line, on the machine's clock.
    seen: Option<Instant>,
    /// Its process is over: nothing more will come.
    over: bool,
    /// And all of it was told.
    told: bool,
}

impl Default for Follow {
    fn default() -> Self {
        Self {
            tails: Vec::new(),
            zero: None,
            waiting: BTreeMap::new(),
            numbered: 0,
            assembly: Assembly::bounded(),
            done: HashSet::new(),
        }
    }
}

impl Follow {
    /// Follows one journal more; nothing where it is followed already.
    ///
    /// # Errors
    /// [`RecordError::Io`] when it cannot be opened.
    pub fn add(&mut self, path: &Path) -> Result<(), RecordError> {
        if self.done.contains(path) || self.tails.iter().any(|tail| tail.path == path) {
            return Ok(());
        }
        let file = File::open(path).map_err(|source| RecordError::Io {
            path: path.to_owned(),
            source,
        })?;
        self.tails.push(Tail {
            path: path.to_owned(),
            file: BufReader::new(file),
            partial: String::new(),
            reader: Reader::default(),
            teller: None,
            seen: None,
            over: false,
            told: false,
        });
        Ok(())
    }

    /// The process that kept this journal is over.
    pub fn over(&mut self, path: &Path) {
        for tail in self.tails.iter_mut().filter(|tail| tail.path == path) {
            tail.over = true;
        }
    }

    /// Something that no journal has, on the machine's clock.
    pub fn tell(&mut self, event: Event) {
        self.numbered += 1;
        self.waiting.insert((event.at, self.numbered), event);
    }

    /// Reads what is new, and gives what is complete by now, in order of time.
    ///
    /// # Errors
    /// [`RecordError`] names the journal that cannot be used.
    pub fn poll(&mut self) -> Result<Vec<Event>, RecordError> {
        self.read()?;
        let Some(zero) = self.zero() else {
            return Ok(Vec::new());
        };
        let lively = self.tails.iter().filter(|tail| !tail.over);
        let complete = lively.map(|tail| tail.seen.unwrap_or(zero)).min();
        // Without a node that runs there is nobody who could tell of anything earlier.
        let until = complete.map_or(Instant(u64::MAX), |seen| {
            Instant(seen.0.saturating_sub(DISORDER.0))
        });
        Ok(self.give(zero, until))
    }

    /// Reads the rest and gives all of it: every process is over.
    ///
    /// # Errors
    /// As [`Self::poll`].
    pub fn finish(mut self) -> Result<Vec<Event>, RecordError> {
        self.tails.iter_mut().for_each(|tail| tail.over = true);
        // What is left of a journal may be more than is read at a time.
        let mut events = self.poll()?;
        while !self.tails.is_empty() {
            events.extend(self.poll()?);
        }
        events.extend(self.poll()?);
        Ok(events)
    }

    fn read(&mut self) -> Result<(), RecordError> {
        for place in 0..self.tails.len() {
            let tail = &mut self.tails[place];
            let whole = tail.read()?;
            let told = match tail.teller.take() {
                Some(teller) if tail.over && whole => {
                    tail.told = true;
                    Some(teller.finish())
                }
                Some(mut teller) => {
                    let told = teller.take();
                    tail.teller = Some(teller);
                    Some(told)
                }
                None => {
                    // It was killed before it wrote its first line.
                    tail.told = tail.over && whole;
                    None
                }
            };
            if let Some(told) = told {
                self.take_in(told);
            }
        }
        let done = self.tails.extract_if(.., |tail| tail.over && tail.told);
        self.done.extend(done.map(|tail| tail.path));
        Ok(())
    }

    fn take_in(&mut self, told: Told) {
        self.assembly.know(told.tries, told.given_back);
        let offset = Span(told.header.started.0);
        for mut event in told.events {
            event.at = event.at + offset;
            move_ends(&mut event.what, |until| until + offset);
            self.tell(event);
        }
    }

    /// The start of the first node, once every journal has begun.
    fn zero(&mut self) -> Option<Instant> {
        if self.zero.is_none() && self.tails.iter().all(|tail| tail.teller.is_some()) {
            let started = self.tails.iter().filter_map(|tail| tail.teller.as_ref());
            self.zero = started.map(Teller::started).min();
        }
        self.zero
    }

    fn give(&mut self, zero: Instant, until: Instant) -> Vec<Event> {
        let later = self.waiting.split_off(&(until, u64::MAX));
        let ready = std::mem::replace(&mut self.waiting, later);
        let mut events = Vec::with_capacity(ready.len());
        for mut event in ready.into_values() {
            event.at = Instant(0) + event.at.since(zero);
            move_ends(&mut event.what, |end| Instant(0) + end.since(zero));
            events.extend(self.assembly.pass(event));
        }
        events
    }
}

impl Tail {
    /// Reads whole lines up to a bound; true when nothing more is there now.
    fn read(&mut self) -> Result<bool, RecordError> {
        let mut bytes = 0;
        while bytes < BYTES_AT_A_TIME {
            let read = self.file.read_line(&mut self.partial);
            let read = read.map_err(|source| RecordError::Io {
                path: self.path.clone(),
                source,
            })?;
            if read == 0 || !self.partial.ends_with('\n') {
                // A line that is cut off is what a kill leaves behind.
                return Ok(true);
            }
            bytes += read;
            let line = std::mem::take(&mut self.partial);
            self.line(line.trim_end())?;
        }
        Ok(false)
    }

    fn line(&mut self, text: &str) -> Result<(), RecordError> {
        let read = self.reader.line(text).map_err(|source| RecordError::Garbled {
            path: self.path.clone(),
            source,
        })?;
        let entry = match read {
            Read::Entry(entry) => *entry,
            Read::CoreStart => return Ok(()),
            Read::Broken(why) => {
                return Err(RecordError::Broken {
                    path: self.path.clone(),
                    why,
                });
            }
        };
        match (entry, &mut self.teller) {
            (Entry::Header(header), None) => self.teller = Some(Teller::new(header)),
            (Entry::Header(_), Some(_)) | (_, None) => {
                return Err(RecordError::NoHeader {
                    path: self.path.clone(),
                });
            }
            (entry, Some(teller)) => {
                teller.entry(entry);
                self.seen = self.seen.max(Some(teller.told_at()));
            }
        }
        Ok(())
    }
}
