//! Why a node does not start, or ends by itself; in words that say what to do.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::control::ControlError;
use crate::mesh::MeshError;
use crate::meta::MetaError;

/// Why a node did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// An address beyond loopback without leave to be insecure.
    #[error("{addr} is not a loopback address: there is no encryption yet, so a wider bind needs --insecure")]
    Exposed {
        /// Address asked for.
        addr: SocketAddr,
    },
    /// An address cannot be had.
    #[error("cannot listen on {addr} for {purpose}: {source}{}", hint(source))]
    Bind {
        /// Address asked for.
        addr: SocketAddr,
        /// What it is for.
        purpose: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread or runtime cannot be had.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The journal's file cannot be written.
    #[error("cannot write the journal {path}: {source}")]
    Journal {
        /// File.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The registry's file cannot be used.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// The mesh cannot start.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// The node cannot go on.
    #[error(transparent)]
    Control(#[from] ControlError),
}

fn hint(error: &std::io::Error) -> &'static str {
    if error.kind() == std::io::ErrorKind::AddrInUse {
        "; another program uses the port: choose another one, or end that program"
    } else {
        ""
    }
}
