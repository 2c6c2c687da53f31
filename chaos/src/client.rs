//! The fault client: does to a cluster what faults come to, lists what is active and ends it, given the address of any node.
//! What does not live here: connections (`reach`), what a fault comes to (`crate::fault`), what it would do (`crate::radius`).

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use squall_kernel::fault::{FaultKind, LinkFault};
use squall_kernel::id::{ClusterId, NodeName};
use squall_observer::console::Picture;
use squall_proto::v1 as proto;
use tokio::time::{Instant, interval};

use crate::fault::{Act, NodeDeed};
use crate::limits::{HALT_LOOK, HALT_VERIFY};
use crate::scenario::export::{Worked, export};
pub(crate) use on_wire::{kind_on_wire, on_wire};

mod error;
mod firing;
mod key;
mod listing;
mod naming;
mod on_wire;
mod picture;
pub(crate) mod reach;
#[cfg(test)]
#[path = "client/client_test.rs"]
mod tests;

pub use error::ChaosError;
pub use firing::{Done, Firing};
pub(crate) use key::keyed;
pub use key::{ChaosKey, KEY_FILE};
pub use listing::{ActiveFault, DownNode, Halted, Listing, Locked, Silent};

/// A cluster, as a node of it knows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cluster {
    /// Its id; none while it is not founded.
    pub id: Option<ClusterId>,
    /// Members.
    pub members: Vec<proto::Member>,
    /// Socket of the supervisor of its processes, on this machine.
    pub supervisor: Option<PathBuf>,
}

/// What was learned from a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Known {
    /// Name and gRPC address.
    members: Vec<(String, String)>,
    supervisor: Option<PathBuf>,
    key: Option<ChaosKey>,
}

/// A client of the chaos services of a cluster.
#[derive(Debug)]
pub struct ChaosClient {
    seeds: Vec<String>,
    by: String,
    key: Option<ChaosKey>,
    known: Mutex<Known>,
}

impl ChaosClient {
    /// A client that learns the cluster from the gRPC addresses `seeds` (host:port) and signs its orders as `by`.
    #[must_use]
    pub fn new(seeds: Vec<String>, by: String) -> Self {
        Self {
            seeds,
            by,
            key: None,
            known: Mutex::default(),
        }
    }

    /// The same with that key; without one it is looked for beside the supervisor's socket.
    #[must_use]
    pub fn with_key(self, key: Option<ChaosKey>) -> Self {
        Self { key, ..self }
    }

    /// Does all of that at once, and returns when everything is done. Where some of it is refused, the rest is done all the
    /// same, and ends by its time.
    ///
    /// # Errors
    /// [`ChaosError`] of the first deed that was refused; so do all the others.
    pub async fn fire(&self, acts: &[Act], firing: &Firing) -> Result<Vec<Done>, ChaosError> {
        let each = acts.iter().map(|act| self.fire_one(act, firing));
        join_all(each).await.into_iter().collect()
    }

    async fn fire_one(&self, act: &Act, firing: &Firing) -> Result<Done, ChaosError> {
        match act {
            Act::Node { node, deed } => {
                let child = self.on_node(node, *deed, firing).await?;
                Ok(Done::Process { deed: *deed, child })
            }
            Act::Link { from, to, what } => self.on_link((from, to), *what, firing).await.map(Done::Fault),
            Act::Hold { node, kind } => self.hold(node, kind, firing).await.map(Done::Fault),
        }
    }

    /// Acts on a node's process, through its supervisor.
    ///
    /// # Errors
    /// As [`Self::fire`].
    pub async fn on_node(
        &self,
        node: &str,
        deed: NodeDeed,
        firing: &Firing,
    ) -> Result<proto::Child, ChaosError> {
        let known = self.learn().await?;
        let Some(socket) = &known.supervisor else {
            find(&known, node)?;
            return Err(ChaosError::NoSupervisor);
        };
        match reach::act(socket, self.act_of(node, deed, firing)).await {
            // The supervisor knows its own only.
            Err(ChaosError::Usage(why)) => match reach::children(socket).await {
                Ok(children) => Err(not_supervised(&known, node, &children, why)),
                Err(_) => Err(ChaosError::Usage(why)),
            },
            done => done,
        }
    }

    fn act_of(&self, node: &str, deed: NodeDeed, firing: &Firing) -> proto::ActRequest {
        let (action, stay_down) = match deed {
            NodeDeed::Kill { stay_down } => (proto::Action::Kill, stay_down),
            NodeDeed::Stop { stay_down } => (proto::Action::Stop, stay_down),
            NodeDeed::Pause => (proto::Action::Pause, false),
            NodeDeed::Resume => (proto::Action::Resume, false),
            NodeDeed::Restart => (proto::Action::Restart, false),
            NodeDeed::Wipe => (proto::Action::Wipe, false),
        };
        proto::ActRequest {
            node: node.to_owned(),
            action: action.into(),
            ttl_ms: if deed.lasts() { millis(firing.ttl) } else { 0 },
            stay_down,
            expect_os_pid: firing.expect_os_pid.unwrap_or(0),
            by: self.by.clone(),
        }
    }

    /// Sets a fault on what one node sends to another.
    ///
    /// # Errors
    /// As [`Self::fire`].
    pub async fn on_link(
        &self,
        (from, to): (&str, &str),
        what: LinkFault,
        firing: &Firing,
    ) -> Result<ActiveFault, ChaosError> {
        let peer = NodeName::new(to).map_err(|why| ChaosError::Usage(format!("node {to:?}: {why}")))?;
        self.hold(from, &FaultKind::link(peer, what), firing).await
    }

    /// Sets a fault that a node holds, under an id of what it is: the same order again replaces it, and faults do not pile up.
    ///
    /// # Errors
    /// As [`Self::fire`].
    pub async fn hold(
        &self,
        node: &str,
        kind: &FaultKind,
        firing: &Firing,
    ) -> Result<ActiveFault, ChaosError> {
        if let Some(to) = kind.to().filter(|to| to.as_str() == node) {
            return Err(ChaosError::SameNode(to.to_string()));
        }
        let known = self.learn().await?;
        let addr = find(&known, node)?;
        kind.to().map_or(Ok(""), |to| find(&known, to.as_str()))?;
        let request = proto::SetFaultRequest {
            id: firing.id(&naming::id_of(node, kind)),
            ttl_ms: millis(firing.ttl),
            by: self.by.clone(),
            fault: Some(kind_on_wire(kind)),
        };
        reach::set_fault(node, addr, request, known.key.as_ref())
            .await
            .map(ActiveFault::from)
    }

    /// The cluster as it is now, to aim at.
    ///
    /// # Errors
    /// [`ChaosError::Unavailable`] when nothing of the cluster answers.
    pub async fn picture(&self) -> Result<Picture, ChaosError> {
        let known = self.learn().await?;
        Ok(picture::newest(reach::views(&known.members).await))
    }

    /// The members of the cluster, and the socket of its supervisor where there is one.
    ///
    /// # Errors
    /// [`ChaosError::Unavailable`] when nothing of the cluster answers.
    pub async fn cluster(&self) -> Result<Cluster, ChaosError> {
        let hello = self.hello().await?;
        Ok(Cluster {
            id: ClusterId::read(&hello.cluster),
            supervisor: Some(PathBuf::from(&hello.supervisor)).filter(|path| !path.as_os_str().is_empty()),
            members: hello.members,
        })
    }

    /// What the invariants say of the cluster.
    ///
    /// # Errors
    /// [`ChaosError`]; [`ChaosError::Refused`] when nobody judges.
    pub async fn verdicts(&self) -> Result<proto::VerdictsResponse, ChaosError> {
        let known = self.learn().await?;
        let socket = known.supervisor.as_ref().ok_or(ChaosError::NoSupervisor)?;
        reach::verdicts(socket).await
    }

    /// What was done to the cluster since it was started, as a scenario: all of it, or that of the last `since`.
    ///
    /// # Errors
    /// [`ChaosError`]; [`ChaosError::Refused`] when nobody judges, or nothing was done.
    pub async fn export(&self, since: Option<Duration>) -> Result<String, ChaosError> {
        let known = self.learn().await?;
        let socket = known.supervisor.as_ref().ok_or(ChaosError::NoSupervisor)?;
        let session = reach::session(socket).await?;
        let nodes: Vec<String> = known.members.iter().map(|(name, _)| name.clone()).collect();
        let views = reach::views(&known.members).await;
        let exchanges = views
            .into_iter()
            .map(|(_, exchanges)| exchanges)
            .max_by_key(Vec::len);
        let exchanges: Vec<Worked> = exchanges
            .unwrap_or_default()
            .into_iter()
            .map(|info| Worked {
                name: info.name,
                strategy: info.strategy,
                id: info.id,
            })
            .collect();
        export(&session, &nodes, &exchanges, since).map_err(|why| ChaosError::Refused(why.to_string()))
    }

    /// Everything active anywhere: faults on every node, and nodes that do not run. A dead node is reported as silent
    /// within about a second.
    ///
    /// # Errors
    /// [`ChaosError::Unavailable`] when nothing of the cluster answers.
    pub async fn list(&self) -> Result<Listing, ChaosError> {
        let known = self.learn().await?;
        Ok(self.look(&known).await)
    }

    /// Undoes everything everywhere, then looks until nothing remains, for a bounded time; says what does.
    ///
    /// # Errors
    /// [`ChaosError::Unavailable`] when nothing of the cluster answers.
    pub async fn halt(&self) -> Result<Halted, ChaosError> {
        self.halted(proto::HaltRequest {
            by: self.by.clone(),
            ..Default::default()
        })
        .await
    }

    /// The same, and no node takes new faults from then on until [`Self::unlock`].
    ///
    /// # Errors
    /// As [`Self::halt`].
    pub async fn halt_and_lock(&self, reason: &str) -> Result<Halted, ChaosError> {
        self.halted(proto::HaltRequest {
            by: self.by.clone(),
            lock: true,
            reason: reason.to_owned(),
        })
        .await
    }

    /// Lets nodes take faults again after a halt; names those that had been locked.
    ///
    /// # Errors
    /// [`ChaosError`]; without a reason it is refused.
    pub async fn unlock(&self, reason: &str) -> Result<Vec<String>, ChaosError> {
        let known = self.learn().await?;
        let order = proto::UnlockRequest {
            by: self.by.clone(),
            reason: reason.to_owned(),
        };
        if let Some(socket) = &known.supervisor {
            reach::unlock_children(socket, &order).await?;
        }
        reach::unlock_all(&known.members, &order, known.key.as_ref()).await
    }

    async fn halted(&self, order: proto::HaltRequest) -> Result<Halted, ChaosError> {
        let known = self.learn().await?;
        // Paused nodes first: they cannot answer before they are thawed.
        let started = match &known.supervisor {
            Some(socket) => reach::halt_children(socket, &order).await?,
            None => Vec::new(),
        };
        let mut halted = Halted {
            cleared: 0,
            started,
            remains: Listing::default(),
        };
        let give_up = Instant::now() + HALT_VERIFY;
        let mut look = interval(HALT_LOOK);
        loop {
            look.tick().await;
            halted.cleared += reach::halt_all(&known.members, &order, known.key.as_ref()).await?;
            halted.remains = self.look(&known).await;
            if halted.remains.is_clear() || Instant::now() >= give_up {
                return Ok(halted);
            }
        }
    }

    /// Asks anybody, then remembers: once known, a cluster whose nodes are all paused can still be thawed.
    async fn learn(&self) -> Result<Known, ChaosError> {
        let before = self.known();
        match self.hello().await {
            Ok(hello) => {
                let known = known_from(&hello, &before, self.key.as_ref());
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known.clone();
                Ok(known)
            }
            Err(_) if before.supervisor.is_some() => Ok(before),
            Err(error) => Err(error),
        }
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn hello(&self) -> Result<proto::HelloResponse, ChaosError> {
        let before = self.known();
        let mut addrs = self.seeds.clone();
        addrs.extend(
            before
                .members
                .iter()
                .map(|(_, addr)| addr.clone())
                .filter(|a| !self.seeds.contains(a)),
        );
        reach::hello_any(&addrs)
            .await
            .map_err(|why| ChaosError::Unavailable {
                who: addrs.join(", "),
                why,
            })
    }

    async fn look(&self, known: &Known) -> Listing {
        let children = async {
            match &known.supervisor {
                Some(socket) => reach::children(socket).await.ok(),
                None => None,
            }
        };
        let (nodes, children) = tokio::join!(reach::faults_of_all(&known.members), children);
        Listing::new(nodes, children.as_deref())
    }
}

fn known_from(hello: &proto::HelloResponse, before: &Known, key: Option<&ChaosKey>) -> Known {
    let members = hello
        .members
        .iter()
        .map(|member| (member.name.clone(), member.grpc_addr.clone()))
        .collect();
    let supervisor = match hello.supervisor.as_str() {
        "" => before.supervisor.clone(),
        path => Some(Path::new(path).to_owned()),
    };
    let found = || supervisor.as_deref().and_then(ChaosKey::beside);
    let key = key.cloned().or_else(found);
    Known {
        members,
        supervisor,
        key,
    }
}

/// Tells a member that the supervisor did not start from a name that nobody has.
fn not_supervised(known: &Known, node: &str, children: &[proto::Child], why: String) -> ChaosError {
    let is_child = children.iter().any(|child| child.name == node);
    if is_child || find(known, node).is_err() {
        return ChaosError::Usage(why);
    }
    ChaosError::NotSupervised {
        node: node.to_owned(),
        supervised: children.iter().map(|child| child.name.clone()).collect(),
    }
}

fn find<'k>(known: &'k Known, node: &str) -> Result<&'k str, ChaosError> {
    let names = || known.members.iter().map(|(name, _)| name.clone()).collect();
    let found = known.members.iter().find(|(name, _)| name == node);
    found
        .map(|(_, addr)| addr.as_str())
        .ok_or_else(|| ChaosError::UnknownNode {
            node: node.to_owned(),
            known: names(),
        })
}

/// Zero means the default on the wire: what is shorter than a millisecond is one.
fn millis(time: Duration) -> u64 {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 && !time.is_zero() { 1 } else { ms }
}
