//! The local supervisor: starts the nodes of a cluster on this machine, sees their ends, acts on them when asked over
//! its Unix socket, and ends them all with itself, however it ends.
//!
//! What does not live here: which node is at what (`roster`, pure), carrying it out (`actor`), holding pauses and
//! killing orphans (`crate::guard`).

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use squall_kernel::id::ZoneName;
use squall_kernel::profile::Profile;
use squall_proto::v1 as proto;
use tokio::net::UnixListener;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use crate::client::{ChaosKey, KEY_FILE};
use crate::judge::Judge;
use crate::layout::{self, LayoutError, Place};
use crate::limits::{BREACHES_MAX, COMMANDS_MAX, EVENTS_MAX, LOCK_LOOK, LOCK_WAIT, SOCKET_PATH_BYTES_MAX};

mod actor;
mod breaches;
mod command;
mod deeds;
mod event;
mod launch;
pub mod order;
pub mod roster;
mod service;
mod telling;
mod watch;

pub use event::Event;
pub use order::{Deed, Order, OsPid, Refused, RestartPolicy};

/// What to supervise.
#[derive(Debug, Clone)]
pub struct SupervisorOptions {
    /// The squall program: run as `PROGRAM node …` and `PROGRAM guard`.
    pub program: PathBuf,
    /// Number of nodes.
    pub nodes: usize,
    /// First port.
    pub base_port: u16,
    /// Holds the data of the nodes, their logs, the cookie and the socket. Made when it is not there.
    pub data_dir: PathBuf,
    /// Take faults.
    pub chaos: bool,
    /// Where traces go.
    pub otlp: Option<String>,
    /// Timer profile.
    pub profile: Profile,
    /// Every run of a node keeps a journal in the data directory: see [`Supervisor::journals`].
    pub journals: bool,
    /// The invariants are judged while the cluster runs, by what every node tells of itself.
    pub judge: bool,
    /// The data directory goes with the supervisor, however that ends: its name must begin with [`TEMPORARY_PREFIX`].
    pub temporary: bool,
    /// Further arguments for every node.
    pub extra_args: Vec<String>,
    /// Zones of the nodes, in turn; none for nodes without one.
    pub zones: Vec<ZoneName>,
    /// What happens to a node that ends by itself.
    pub restart: RestartPolicy,
}

/// How the name of a directory begins that may be removed when its supervisor is gone.
pub use crate::guard::TEMPORARY_PREFIX;

impl SupervisorOptions {
    /// `nodes` nodes of `program` on the default ports, without faults or traces.
    #[must_use]
    pub fn new(program: PathBuf, nodes: usize, data_dir: PathBuf) -> Self {
        Self {
            program,
            nodes,
            base_port: layout::BASE_PORT,
            data_dir,
            chaos: false,
            otlp: None,
            profile: Profile::Lan,
            journals: false,
            judge: false,
            temporary: false,
            extra_args: Vec::new(),
            zones: Vec::new(),
            restart: RestartPolicy::Never,
        }
    }
}

/// Why a cluster could not be started. Nothing of it runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Ports or count.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A file or directory.
    #[error("{}: {source}", .path.display())]
    File {
        /// Path.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Another supervisor works in the directory.
    #[error("{} is in use by another `squall up`", .0.display())]
    Locked(PathBuf),
    /// The socket's path is too long for the system.
    #[error("{} is too long for a Unix socket ({SOCKET_PATH_BYTES_MAX} bytes): choose a shorter --data-dir", .0.display())]
    SocketPath(PathBuf),
    /// The guard could not be started.
    #[error("cannot start {} guard: {source}", .program.display())]
    Guard {
        /// Program.
        program: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A node could not be started.
    #[error("node {node} cannot be started: {why}")]
    Node {
        /// Node.
        node: String,
        /// What went wrong.
        why: String,
    },
}

/// A cluster that runs. Dropping it ends the cluster as [`Supervisor::end`] does, without waiting.
#[derive(Debug)]
pub struct Supervisor {
    places: Vec<Place>,
    data_dir: PathBuf,
    socket: PathBuf,
    commands: mpsc::Sender<command::Command>,
    events: broadcast::Sender<Event>,
    judge: Option<Judge>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    server: JoinHandle<()>,
    teller: JoinHandle<()>,
    _lock: File,
}

impl Supervisor {
    /// Starts the guard and all nodes; returns when their processes run, not when they are a cluster.
    ///
    /// # Errors
    /// [`StartError`]; a port in use is found before anything is started.
    pub async fn start(mut options: SupervisorOptions) -> Result<Self, StartError> {
        // The nodes tell the socket's path to programs with another working directory.
        options.data_dir = std::path::absolute(&options.data_dir).map_err(at(&options.data_dir.clone()))?;
        let places = layout::places(options.nodes, options.base_port)?;
        make_private_dir(&options.data_dir)?;
        let lock = lock_within(&options.data_dir, LOCK_WAIT).await?;
        layout::check_free(&places)?;
        make_secret(&options.data_dir.join("cookie"))?;
        if options.chaos {
            make_secret(&options.data_dir.join(KEY_FILE))?;
        }
        let socket = options.data_dir.join("supervisor.sock");
        let listener = bind_private(&options.data_dir, &socket)?;

        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let (stop, stopped) = oneshot::channel();
        let (broken, breaches) = mpsc::channel(BREACHES_MAX);
        let judge = options
            .judge
            .then(|| Judge::start(broken))
            .transpose()
            .map_err(at(&options.data_dir))?;
        let (chaos, data_dir) = (options.chaos, options.data_dir.clone());
        let setting = actor::Setting {
            options,
            socket: socket.clone(),
            places: places.clone(),
        };
        let ways = (commands.clone(), inbox);
        let actor = actor::Actor::start(setting, ways, events.clone(), judge.clone()).await?;
        let task = tokio::spawn(actor.run(stopped));
        let service = service::Service::new(commands.clone(), places.clone(), chaos, judge.clone());
        let server = tokio::spawn(service::serve(listener, service));
        let nodes = places.iter().map(|place| place.grpc.to_string()).collect();
        let key = ChaosKey::read(&data_dir.join(KEY_FILE)).ok().filter(|_| chaos);
        let teller = tokio::spawn(breaches::tell(breaches, nodes, key));
        Ok(Self {
            places,
            data_dir,
            socket,
            commands,
            events,
            judge,
            stop,
            task,
            server,
            teller,
            _lock: lock,
        })
    }

    /// The nodes and their addresses.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Path of the Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The journals of all runs of the nodes up to now, where they keep journals.
    pub async fn journals(&self) -> Vec<PathBuf> {
        let children = self.children().await;
        let runs = children
            .iter()
            .flat_map(|child| (1..=child.starts).map(|run| (child.name.as_str(), run)));
        runs.filter_map(|(node, run)| self.journal(node, run)).collect()
    }

    /// The journal of one run of a node, from 1, where the node keeps journals and has begun it.
    #[must_use]
    pub fn journal(&self, node: &str, run: u64) -> Option<PathBuf> {
        let place = self.places.iter().find(|place| place.name.as_str() == node)?;
        let path = launch::journal_path(&self.data_dir, place, run);
        path.exists().then_some(path)
    }

    /// What happens from now on. A reader that is slow misses the oldest events.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Who judges, where somebody does.
    pub(crate) fn judge(&self) -> Option<&Judge> {
        self.judge.as_ref()
    }

    /// The nodes as they are now.
    pub async fn children(&self) -> Vec<proto::Child> {
        service::list(&self.commands, &self.places)
            .await
            .unwrap_or_default()
    }

    /// Acts on a node as the service does, without the way through its socket. Returns when a process that was to end
    /// has ended.
    ///
    /// # Errors
    /// [`Refused`] says why nothing was done.
    pub async fn act(&self, order: Order, by: &str) -> Result<(), Refused> {
        let (reply, answer) = oneshot::channel();
        let by = by.to_owned();
        let command = command::Command::Act { order, by, reply };
        self.commands.send(command).await.map_err(|_| Refused::Ending)?;
        answer.await.map_err(|_| Refused::Ending)?.map(drop)
    }

    /// Ends all nodes: asks, waits for a bounded time, forces. Returns when no process is left.
    pub async fn end(self) {
        drop(self.stop);
        // A task that panicked has dropped its children, which kills them.
        drop(self.task.await);
        for task in [self.server, self.teller] {
            task.abort();
            drop(task.await);
        }
        drop(fs::remove_file(&self.socket));
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StartError + '_ {
    |source| StartError::File {
        path: path.to_owned(),
        source,
    }
}

fn make_private_dir(path: &Path) -> Result<(), StartError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(at(path))
}

/// One that is just ending gets a moment; so does a fork of it that has not become another program yet.
async fn lock_within(data_dir: &Path, wait: Duration) -> Result<File, StartError> {
    let give_up = Instant::now() + wait;
    let mut look = interval(LOCK_LOOK);
    loop {
        look.tick().await;
        match lock(data_dir) {
            Err(StartError::Locked(_)) if Instant::now() < give_up => {}
            other => return other,
        }
    }
}

/// One supervisor a directory: the lock goes with the process.
fn lock(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.join("supervisor.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(at(&path))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::Locked(data_dir.to_owned())),
        Err(errno) => Err(at(&path)(errno.into())),
    }
}

/// Keeps the secret of a cluster that was here before.
fn make_secret(path: &Path) -> Result<(), StartError> {
    let file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path);
    let mut file = match file {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other.map_err(at(path))?,
    };
    let secret: [u8; 32] = rand::random();
    let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(file, "{text}").map_err(at(path))
}

/// Binds in a directory of mode 0700 and moves the socket to its place when nobody else may use it any more: there is
/// no moment at which it is open to others.
fn bind_private(data_dir: &Path, socket: &Path) -> Result<UnixListener, StartError> {
    let private = tempfile::Builder::new()
        .prefix(".s")
        .rand_bytes(6)
        .tempdir_in(data_dir)
        .map_err(at(data_dir))?;
    let first = private.path().join("s");
    if first.as_os_str().len().max(socket.as_os_str().len()) > SOCKET_PATH_BYTES_MAX {
        return Err(StartError::SocketPath(socket.to_owned()));
    }
    let listener = UnixListener::bind(&first).map_err(at(&first))?;
    fs::set_permissions(&first, Permissions::from_mode(0o600)).map_err(at(&first))?;
    fs::rename(&first, socket).map_err(at(socket))?;
    Ok(listener)
}
