//! Reading a recording, as far as it goes.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use prost::Message as _;
use squall_proto::v1;

use super::{FORMAT, MAGIC, MESSAGE_BYTES_MAX, RecordingError, coding};
use crate::feed::Update;
use crate::units::Moment;

/// A recording that is being read.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// When it began.
    pub started: Moment,
    /// It was written by a newer program: what that one says of it.
    pub newer: Option<String>,
    /// Messages of which nothing is known here.
    pub unknown: u64,
}

/// How a recording ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With its last message.
    Whole,
    /// In the middle of a message: whoever wrote it was ended, or it was cut.
    Cut,
    /// With a message that is not as it was written.
    Broken,
}

impl Reader<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`RecordingError`] names the file, and says whether it is a recording.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|source| RecordingError::Io {
            path: name.clone(),
            source,
        })?;
        Self::of(BufReader::new(file), name)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header; `name` is for words of errors.
    ///
    /// # Errors
    /// As of [`Reader::open`].
    pub fn of(mut input: R, name: String) -> Result<Self, RecordingError> {
        let mut magic = [0; MAGIC.len()];
        match input.read_exact(&mut magic) {
            // A directory can be opened, and not be read.
            Err(source) if source.kind() != ErrorKind::UnexpectedEof => {
                return Err(RecordingError::Io { path: name, source });
            }
            Ok(()) if magic == *MAGIC => {}
            _ => return Err(RecordingError::NoRecording { path: name }),
        }
        let header = message(&mut input).ok();
        let Some(header) = header.and_then(|bytes| v1::RecordingHeader::decode(&bytes[..]).ok()) else {
            return Err(RecordingError::NoRecording { path: name });
        };
        let program = crate::clean::name(&header.program);
        Ok(Self {
            input,
            started: Moment(header.started_unix_ms),
            newer: (header.format > FORMAT).then_some(program),
            unknown: 0,
        })
    }

    /// What came next, or how it ends.
    ///
    /// # Errors
    /// [`Ended`]: what was read before stands.
    pub fn read(&mut self) -> Result<(Moment, Update), Ended> {
        loop {
            let bytes = message(&mut self.input)?;
            let recorded = v1::Recorded::decode(&bytes[..]).map_err(|_| Ended::Broken)?;
            match coding::decode(recorded) {
                Some(told) => return Ok(told),
                None => self.unknown += 1,
            }
        }
    }
}

fn message(input: &mut impl Read) -> Result<Vec<u8>, Ended> {
    let mut head = [0; 8];
    let first = input.read(&mut head[..1]).map_err(|_| Ended::Broken)?;
    if first == 0 {
        return Err(Ended::Whole);
    }
    input.read_exact(&mut head[1..]).map_err(|error| cut(&error))?;
    let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if len > MESSAGE_BYTES_MAX {
        return Err(Ended::Broken);
    }
    // As much as is there: a length alone takes no memory.
    let mut bytes = Vec::new();
    let read = input
        .by_ref()
        .take(len as u64)
        .read_to_end(&mut bytes)
        .map_err(|_| Ended::Broken)?;
    if read < len {
        return Err(Ended::Cut);
    }
    if crc32c::crc32c(&bytes) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(Ended::Broken);
    }
    Ok(bytes)
}

fn cut(error: &std::io::Error) -> Ended {
    match error.kind() {
        ErrorKind::UnexpectedEof => Ended::Cut,
        _ => Ended::Broken,
    }
}
