//! Recordings: what came, in a file, and out of it again. The format stands in `proto/squall/v1/recording.proto`.
//!
//! What does not live here: when it is written (`run`), and the pace at which it is played (`feed::replay`).

pub(crate) mod coding;
mod read;
mod write;

pub use read::{Ended, Reader};
pub use write::Recorder;

/// The first bytes of a recording.
const MAGIC: &[u8; 8] = b"SQUALLR1";
/// Version of the format.
const FORMAT: u32 = 1;
/// Longest message: a whole picture of a node with a hundred thousand processes fits.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest recording.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Why a recording cannot be written, or read at all.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be had.
    #[error("recording {path}: {source}")]
    Io {
        /// File.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("recording {path}: this is no recording of squall observe")]
    NoRecording {
        /// File.
        path: String,
    },
    /// It has grown to its bound.
    #[error("recording {path}: it has {bytes} bytes, more are not written")]
    Full {
        /// File.
        path: String,
        /// Bytes.
        bytes: u64,
    },
}

#[cfg(test)]
#[path = "recording_test.rs"]
mod tests;
