//! Writing a recording.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use prost::Message as _;
use squall_proto::v1;

use super::{FILE_BYTES_MAX, FORMAT, MAGIC, RecordingError, coding};
use crate::feed::Update;
use crate::units::Moment;

/// A recording that is being written.
#[derive(Debug)]
pub struct Recorder {
    path: String,
    out: BufWriter<File>,
    bytes: u64,
}

impl Recorder {
    /// Begins a new file; one that is there stays as it is.
    ///
    /// # Errors
    /// [`RecordingError::Io`] names the file.
    pub fn create(path: &Path, now: Moment) -> Result<Self, RecordingError> {
        let name = path.display().to_string();
        let failed = |source| RecordingError::Io {
            path: name.clone(),
            source,
        };
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(failed)?;
        let mut recorder = Self {
            path: name.clone(),
            out: BufWriter::new(file),
            bytes: MAGIC.len() as u64,
        };
        recorder.out.write_all(MAGIC).map_err(failed)?;
        let header = v1::RecordingHeader {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix_ms: now.0,
        };
        recorder.put(&header.encode_to_vec())?;
        recorder.flush()?;
        Ok(recorder)
    }

    /// Takes in what has come.
    ///
    /// # Errors
    /// [`RecordingError`] names the file; what was written before can be read.
    pub fn record(&mut self, now: Moment, updates: &[Update]) -> Result<(), RecordingError> {
        for update in updates {
            let Some(message) = coding::encode(now, update.clone()) else {
                continue;
            };
            let message = message.encode_to_vec();
            if self.bytes + message.len() as u64 > FILE_BYTES_MAX {
                return Err(RecordingError::Full {
                    path: self.path.clone(),
                    bytes: self.bytes,
                });
            }
            self.put(&message)?;
        }
        Ok(())
    }

    /// Everything that was taken in is in the file.
    ///
    /// # Errors
    /// [`RecordingError::Io`] names the file.
    pub fn flush(&mut self) -> Result<(), RecordingError> {
        let done = self.out.flush();
        done.map_err(|source| self.failed(source))
    }

    fn put(&mut self, message: &[u8]) -> Result<(), RecordingError> {
        let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let mut head = [0; 8];
        head[..4].copy_from_slice(&len.to_le_bytes());
        head[4..].copy_from_slice(&crc32c::crc32c(message).to_le_bytes());
        let done = self
            .out
            .write_all(&head)
            .and_then(|()| self.out.write_all(message));
        done.map_err(|source| self.failed(source))?;
        self.bytes += (head.len() + message.len()) as u64;
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> RecordingError {
        RecordingError::Io {
            path: self.path.clone(),
            source,
        }
    }
}
