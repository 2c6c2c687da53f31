//! Systems without pidfds: no process is ever seen to end, so nothing is proved.

use std::convert::Infallible;
use std::io;

use squall_kernel::handshake::ProcessIdentity;

use super::Blind;

/// Which process this one is cannot be told.
pub(super) fn own() -> Result<ProcessIdentity, Blind> {
    Err(unsupported(std::process::id()))
}

fn unsupported(pid: u32) -> Blind {
    Blind::Process {
        pid,
        source: io::ErrorKind::Unsupported.into(),
    }
}

/// A process under watch: there is none.
#[derive(Debug)]
pub(crate) struct Sight(Infallible);

impl Sight {
    /// No process can be taken into view.
    pub(crate) fn open(process: ProcessIdentity) -> Result<Self, Blind> {
        Err(unsupported(process.pid))
    }

    /// Never called: there is no such value.
    pub(crate) async fn ended(&self) -> Result<(), Blind> {
        match self.0 {}
    }
}
