//! The history of real nodes while they run: follows their journals, and gives events in order of time as soon as no node can
//! tell of an earlier one any more. A node that stands still holds that up until it goes on or is known to be over: what it
//! has seen is not written yet.
//!
//! What does not live here: which journals there are, and whose process is over; whoever drives the nodes tells.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::NodeId;
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
    /// What was read and not given, by time and number; on the machine's clock.
    waiting: BTreeMap<(Instant, u64), Waiting>,
    numbered: u64,
    assembly: Assembly,
}

/// What waits for its turn.
#[derive(Debug)]
enum Waiting {
    Event(Event),
    /// A try: not forgotten before what is told of it could be.
    Try(RequestKey),
}

/// One journal, as far as it was read.
#[derive(Debug)]
struct Tail {
    path: PathBuf,
    file: BufReader<File>,
    /// A line that is not whole yet; maybe not whole characters.
    partial: Vec<u8>,
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
        }
    }
}

impl Follow {
    /// One that remembers so many tries.
    #[cfg(test)]
    pub(super) fn remembering(tries: usize) -> Self {
        Self {
            assembly: Assembly::remembering(tries),
            ..Self::default()
        }
    }

    /// Follows one journal more, from where `file` stands: a file, or the end of a pipe that does not block.
    pub fn add(&mut self, path: PathBuf, file: File) {
        self.tails.push(Tail {
            path,
            file: BufReader::new(file),
            partial: Vec::new(),
            reader: Reader::default(),
            teller: None,
            seen: None,
            over: false,
            told: false,
        });
    }

    /// The process that kept this journal is over.
    pub fn over(&mut self, path: &Path) {
        for tail in self.tails.iter_mut().filter(|tail| tail.path == path) {
            tail.over = true;
        }
    }

    /// Every process is over.
    pub fn all_over(&mut self) {
        self.tails.iter_mut().for_each(|tail| tail.over = true);
    }

    /// True when no journal is followed any more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tails.is_empty()
    }

    /// Whose journal that is, once it has begun and while it is followed.
    #[must_use]
    pub fn node_of(&self, path: &Path) -> Option<NodeId> {
        let tail = self.tails.iter().find(|tail| tail.path == path)?;
        tail.teller.as_ref().map(Teller::node)
    }

    /// Reads on without looking at it, so that whoever writes to a pipe is not held up.
    pub fn discard(&mut self) {
        self.waiting.clear();
        self.tails.retain_mut(|tail| tail.discard() && !tail.over);
    }

    /// Something that no journal has, on the machine's clock.
    pub fn tell(&mut self, event: Event) {
        self.wait(event.at, Waiting::Event(event));
    }

    fn wait(&mut self, at: Instant, what: Waiting) {
        self.numbered += 1;
        self.waiting.insert((at, self.numbered), what);
    }

    /// Reads what is new, and gives what is complete by now, in order of time.
    ///
    /// # Errors
    /// [`RecordError`] names the journal that cannot be used.
    pub fn poll(&mut self) -> Result<Vec<Event>, RecordError> {
        self.read()?;
        Ok(self.complete())
    }

    /// What is complete by what was read up to now, in order of time.
    pub fn complete(&mut self) -> Vec<Event> {
        let Some(zero) = self.zero() else {
            return Vec::new();
        };
        let lively = self.tails.iter().filter(|tail| !tail.over);
        let complete = lively.map(|tail| tail.seen.unwrap_or(zero)).min();
        // Without a node that runs there is nobody who could tell of anything earlier.
        let until = complete.map_or(Instant(u64::MAX), |seen| {
            Instant(seen.0.saturating_sub(DISORDER.0))
        });
        self.give(zero, until)
    }

    /// Reads the rest and gives all of it: every process is over.
    ///
    /// # Errors
    /// As [`Self::poll`].
    pub fn finish(mut self) -> Result<Vec<Event>, RecordError> {
        self.all_over();
        // What is left of a journal may be more than is read at a time.
        let mut events = self.poll()?;
        while !self.tails.is_empty() {
            events.extend(self.poll()?);
        }
        events.extend(self.poll()?);
        Ok(events)
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// As [`Self::poll`].
    pub fn read(&mut self) -> Result<(), RecordError> {
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
                    // It ended before it wrote its first line.
                    tail.told = tail.over && whole;
                    None
                }
            };
            if let Some(told) = told {
                self.take_in(told);
            }
        }
        self.tails.retain(|tail| !tail.told);
        Ok(())
    }

    fn take_in(&mut self, told: Told) {
        self.assembly.know(&told.tries);
        let offset = Span(told.header.started.0);
        for tried in told.tries {
            self.wait(tried.at + offset, Waiting::Try(tried.number));
        }
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
        for waiting in ready.into_values() {
            let mut event = match waiting {
                Waiting::Event(event) => event,
                Waiting::Try(number) => {
                    self.assembly.pass_try(number);
                    continue;
                }
            };
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
            let read = match self.file.read_until(b'\n', &mut self.partial) {
                Ok(read) => read,
                // An empty pipe.
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(source) => {
                    return Err(RecordError::Io {
                        path: self.path.clone(),
                        source,
                    });
                }
            };
            if !self.partial.ends_with(b"\n") {
                // A line that is cut off is what a kill leaves behind.
                return Ok(true);
            }
            bytes += read;
            let line = std::mem::take(&mut self.partial);
            // What is no text is no journal's line, and is told as such.
            self.line(String::from_utf8_lossy(&line).trim_end())?;
        }
        Ok(false)
    }

    /// Reads on and forgets it; false when nothing can come any more.
    fn discard(&mut self) -> bool {
        self.partial.clear();
        let mut bytes = 0;
        while bytes < BYTES_AT_A_TIME {
            match self.file.fill_buf().map(<[u8]>::len) {
                Ok(0) => return true,
                Ok(read) => {
                    self.file.consume(read);
                    bytes += read;
                }
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
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
