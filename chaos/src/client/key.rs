//! The credential of the chaos services: who has it may break things. What does not live here: who wants it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use tonic::Request;
use tonic::metadata::MetadataValue;

/// Name of the key's file in the data directory of `squall up`.
pub const KEY_FILE: &str = "chaos-key";
/// A key is some tens of bytes; a larger file is none.
const KEY_BYTES_MAX: u64 = 4096;

/// The key; it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ChaosKey(Vec<u8>);

impl ChaosKey {
    /// Reads a key from a file: its bytes without white space at its end.
    ///
    /// # Errors
    /// It cannot be read, is empty, or is too long to be a key.
    pub fn read(file: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        File::open(file)?
            .take(KEY_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        let key = bytes.trim_ascii_end();
        if key.is_empty() || bytes.len() as u64 > KEY_BYTES_MAX {
            let why = format!("a chaos key has 1 to {KEY_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(Self(key.to_vec()))
    }

    /// Its bytes, for a node that is to ask for it.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The one beside a supervisor's socket, where whoever asks may read it.
    pub(super) fn beside(socket: &Path) -> Option<Self> {
        Self::read(&socket.parent()?.join(KEY_FILE)).ok()
    }
}

impl fmt::Debug for ChaosKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChaosKey(…)")
    }
}

/// The request with the key, if there is one.
pub(crate) fn keyed<T>(message: T, key: Option<&ChaosKey>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(ChaosKey(bytes)) = key {
        let value = MetadataValue::from_bytes(bytes);
        request
            .metadata_mut()
            .insert_bin(squall_node::grpc::CHAOS_KEY_METADATA, value);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_trimmed_must_hold_something_and_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(KEY_FILE);
        std::fs::write(&file, "secret\n").unwrap();
        let key = ChaosKey::read(&file).unwrap();
        assert_eq!(format!("{key:?}"), "ChaosKey(…)");
        assert_eq!(ChaosKey::beside(&dir.path().join("supervisor.sock")), Some(key));
        for wrong in [String::from("\n"), "x".repeat(5000)] {
            std::fs::write(&file, wrong).unwrap();
            assert!(ChaosKey::read(&file).is_err());
        }
        assert_eq!(ChaosKey::beside(Path::new("/nowhere/supervisor.sock")), None);
    }
}
