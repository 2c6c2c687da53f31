//! An image of the registry's file in memory, which remembers where it was read last. What does not live here: the file.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

use super::Place;

/// A file's bytes in memory: what is written to them never reaches the file.
#[derive(Debug, Clone)]
pub(in crate::meta) struct Image(Arc<Mutex<Copied>>);

#[derive(Debug)]
struct Copied {
    bytes: Vec<u8>,
    read: Place,
}

impl Image {
    pub(in crate::meta) fn new(bytes: Vec<u8>) -> Self {
        let read = Place::default();
        Self(Arc::new(Mutex::new(Copied { bytes, read })))
    }

    /// Where it was read last.
    pub(in crate::meta) fn last_read(&self) -> Place {
        self.with(|copied| copied.read)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Copied) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The bytes from `offset`, as many as `len`.
fn span(bytes: &mut [u8], offset: u64, len: usize) -> Option<&mut [u8]> {
    let from = usize::try_from(offset).ok()?;
    bytes.get_mut(from..from.checked_add(len)?)
}

impl StorageBackend for Image {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|copied| copied.bytes.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|copied| {
            let len = out.len() as u64;
            copied.read = Place { offset, len };
            let held = span(&mut copied.bytes, offset, out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(held);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.with(|copied| copied.bytes.resize(len, 0));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|copied| {
            let held = span(&mut copied.bytes, offset, data.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            held.copy_from_slice(data);
            Ok(())
        })
    }
}
