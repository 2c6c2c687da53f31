//! A running node, as whoever started it holds it: the start, what it lets others see, and how it is told to leave.
//!
//! What does not live here: the order in which its parts start and end (`life`), and the parts themselves (`planes`).

mod error;
mod holding;
mod journal_file;
mod leaving;
mod life;
mod nearness;
mod options;
mod planes;

use std::sync::Arc;
use std::sync::mpsc::TrySendError;

use squall_kernel::id::{ExchangeId, ExchangeName};
use squall_kernel::registry::{Introduction, Registry};
use tokio::sync::watch;

use crate::control::{Opinion, Proposals};
use crate::data::DataPlane;
use crate::datadir::DataDir;
use crate::introspect::EventLog;
pub use error::NodeError;
use leaving::Leave;
pub use options::NodeOptions;

/// A running node.
pub struct Node {
    started: Started,
    leave: watch::Sender<Leave>,
    ended: watch::Receiver<Option<Result<(), Arc<NodeError>>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Node {
    /// Starts a node in the data directory. Returns when it listens; joining a cluster goes on by itself.
    ///
    /// # Errors
    /// [`NodeError`] names what cannot be had; nothing is left running then.
    pub fn start(dir: DataDir, options: NodeOptions) -> Result<Self, NodeError> {
        for addr in [options.listen, options.grpc] {
            if !addr.ip().is_loopback() && !options.insecure {
                return Err(NodeError::Exposed { addr });
            }
        }
        let (ready, starting) = std::sync::mpsc::sync_channel(1);
        let (leave, left) = watch::channel(Leave::Not);
        let (ended_in, ended) = watch::channel(None);
        let thread = std::thread::Builder::new().name("control".into());
        let thread = thread.spawn(move || {
            let outcome = life::run(dir, options, &ready, left);
            let outcome = match outcome {
                // Whoever waits for the start hears of it; after the start nobody waits there any more.
                Err(error) => match ready.try_send(Err(error)) {
                    Ok(()) => return,
                    Err(TrySendError::Full(kept) | TrySendError::Disconnected(kept)) => kept.map(drop),
                },
                Ok(()) => Ok(()),
            };
            ended_in.send_replace(Some(outcome.map_err(Arc::new)));
        });
        let thread = thread.map_err(NodeError::Thread)?;
        match starting.recv() {
            Ok(Ok(started)) => Ok(Self {
                started,
                leave,
                ended,
                thread: Some(thread),
            }),
            Ok(Err(error)) => {
                // The thread has told all it had to tell.
                let _ended = thread.join();
                Err(error)
            }
            Err(_) => Err(NodeError::Thread(std::io::Error::other(
                "the control thread panicked",
            ))),
        }
    }

    /// Who this node is, with the addresses it listens on.
    #[must_use]
    pub fn introduction(&self) -> &Introduction {
        &self.started.introduction
    }

    /// Its data plane: for handlers and requests in this process.
    #[must_use]
    pub fn data(&self) -> &Arc<DataPlane> {
        &self.started.data
    }

    /// Proposes commands to the registry.
    #[must_use]
    pub fn proposals(&self) -> &Proposals {
        &self.started.proposals
    }

    /// The registry, after every change.
    #[must_use]
    pub fn registry(&self) -> watch::Receiver<Arc<Registry>> {
        self.started.registry.clone()
    }

    /// Set once the node has handed over everything it owned, as it was told to: true when it is to leave for good.
    #[must_use]
    pub fn drained(&self) -> watch::Receiver<Option<bool>> {
        self.started.drained.clone()
    }

    /// What the node believes, at every heartbeat.
    #[must_use]
    pub fn opinion(&self) -> watch::Receiver<Arc<Opinion>> {
        self.started.opinion.clone()
    }

    /// What happened here lately.
    #[must_use]
    pub fn events(&self) -> Arc<EventLog> {
        Arc::clone(&self.started.events)
    }

    /// The number of an exchange, if there is one of that name.
    #[must_use]
    pub fn lookup(&self, name: &ExchangeName) -> Option<ExchangeId> {
        self.started.data.lookup(name)
    }

    /// Returns when the node has ended by itself.
    ///
    /// # Errors
    /// Why it could not go on.
    pub async fn ended(&self) -> Result<(), Arc<NodeError>> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
            // The thread is gone without a word: it panicked, which the crash report tells.
            Err(_) => Ok(()),
        }
    }

    /// Begins to leave the cluster in order: hands over what it owns, sends its clients elsewhere, says goodbye, closes its
    /// files. Returns at once; [`Node::ended`] tells of the end.
    pub fn leave(&self) {
        self.raise(Leave::InOrder);
    }

    /// Begins to leave at once: says goodbye and closes its files. What it owns fails over.
    pub fn leave_at_once(&self) {
        self.raise(Leave::AtOnce);
    }

    fn raise(&self, wanted: Leave) {
        self.leave.send_if_modified(|leave| {
            let more = wanted > *leave;
            *leave = wanted.max(*leave);
            more
        });
    }

    /// As [`Node::leave`], and blocks until the end, for at most some seconds.
    ///
    /// # Errors
    /// Why it had ended before.
    pub fn stop(mut self) -> Result<(), Arc<NodeError>> {
        self.leave();
        self.join();
        self.ended.borrow().clone().unwrap_or(Ok(()))
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread panicked");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.leave_at_once();
        self.join();
    }
}

/// What the start gives of a node.
struct Started {
    introduction: Introduction,
    data: Arc<DataPlane>,
    proposals: Proposals,
    registry: watch::Receiver<Arc<Registry>>,
    opinion: watch::Receiver<Arc<Opinion>>,
    drained: watch::Receiver<Option<bool>>,
    events: Arc<EventLog>,
}
