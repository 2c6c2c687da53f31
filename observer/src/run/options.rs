//! What the observer is started with.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;
use crate::console::Console;
use crate::traces::Sources;

/// How the observer is started.
#[derive(Default)]
pub struct Options {
    /// Addresses of any ports of any nodes, `host:port`; the others are found through them.
    pub addresses: Vec<String>,
    /// Colours, keys and the like.
    pub config: Config,
    /// Takes orders; without one the observer only watches.
    pub console: Option<Arc<dyn Console>>,
    /// A line of the caller's own above the keys; changes are drawn.
    pub status: Option<watch::Receiver<String>>,
    /// Write what comes into this new file.
    pub record: Option<PathBuf>,
    /// Play this recording instead of watching a cluster.
    pub replay: Option<PathBuf>,
    /// Where traces come from.
    pub traces: Sources,
}
