//! The fault client: kills, pauses, sets faults on links, lists and halts, given the address of any node. What does not live
//! here: connections (`reach`), what an order would do (`crate::radius`), words for the command line.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use squall_kernel::fault::LinkFault;
use squall_proto::v1 as proto;
use tokio::time::{Instant, interval};

use crate::limits::{HALT_LOOK, HALT_VERIFY};
pub(crate) use on_wire::on_wire;

mod error;
mod listing;
mod on_wire;
pub(crate) mod reach;
#[cfg(test)]
#[path = "client/client_test.rs"]
mod tests;

pub use error::ChaosError;
pub use listing::{ActiveFault, DownNode, Halted, Listing, Silent};

/// What was learned from a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Known {
    /// Name and gRPC address.
    members: Vec<(String, String)>,
    supervisor: Option<PathBuf>,
}

/// A client of the chaos services of a cluster.
#[derive(Debug)]
pub struct ChaosClient {
    seeds: Vec<String>,
    by: String,
    known: Mutex<Known>,
}

impl ChaosClient {
    /// A client that learns the cluster from the gRPC addresses `seeds` (host:port) and signs its orders as `by`.
    #[must_use]
    pub fn new(seeds: Vec<String>, by: String) -> Self {
        Self {
            seeds,
            by,
            known: Mutex::default(),
        }
    }

    /// SIGKILL; the supervisor starts the node again after `ttl` unless `stay_down`.
    ///
    /// # Errors
    /// [`ChaosError`] says why nothing was done; so do all the others.
    pub async fn kill(
        &self,
        node: &str,
        ttl: Duration,
        stay_down: bool,
        expect_os_pid: Option<u64>,
    ) -> Result<proto::Child, ChaosError> {
        let request = proto::ActRequest {
            stay_down,
            ..act(node, proto::Action::Kill, ttl, expect_os_pid)
        };
        self.act(request).await
    }

    /// SIGTERM: the node hands over what it has, and ends. The supervisor starts it again after `ttl` unless `stay_down`.
    ///
    /// # Errors
    /// As [`Self::kill`].
    pub async fn stop(
        &self,
        node: &str,
        ttl: Duration,
        stay_down: bool,
        expect_os_pid: Option<u64>,
    ) -> Result<proto::Child, ChaosError> {
        let request = proto::ActRequest {
            stay_down,
            ..act(node, proto::Action::Stop, ttl, expect_os_pid)
        };
        self.act(request).await
    }

    /// SIGSTOP, thawed after `ttl`.
    ///
    /// # Errors
    /// As [`Self::kill`].
    pub async fn pause(
        &self,
        node: &str,
        ttl: Duration,
        expect_os_pid: Option<u64>,
    ) -> Result<proto::Child, ChaosError> {
        self.act(act(node, proto::Action::Pause, ttl, expect_os_pid))
            .await
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// As [`Self::kill`].
    pub async fn resume(&self, node: &str) -> Result<proto::Child, ChaosError> {
        self.act(act(node, proto::Action::Resume, Duration::ZERO, None))
            .await
    }

    /// SIGKILL if it runs, then start.
    ///
    /// # Errors
    /// As [`Self::kill`].
    pub async fn restart(&self, node: &str, expect_os_pid: Option<u64>) -> Result<proto::Child, ChaosError> {
        self.act(act(node, proto::Action::Restart, Duration::ZERO, expect_os_pid))
            .await
    }

    /// Sets a fault on bytes from one node to another, for `ttl`.
    ///
    /// # Errors
    /// As [`Self::kill`].
    pub async fn link(
        &self,
        (from, to): (&str, &str),
        what: LinkFault,
        ttl: Duration,
    ) -> Result<ActiveFault, ChaosError> {
        self.set((from, to), ttl, what).await
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
        let known = self.learn().await?;
        // Paused nodes first: they cannot answer before they are thawed.
        let started = match &known.supervisor {
            Some(socket) => reach::halt_children(socket, &self.by).await?,
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
            halted.cleared += reach::halt_all(&known.members, &self.by).await;
            halted.remains = self.look(&known).await;
            if halted.remains.is_clear() || Instant::now() >= give_up {
                return Ok(halted);
            }
        }
    }

    async fn act(&self, request: proto::ActRequest) -> Result<proto::Child, ChaosError> {
        let known = self.learn().await?;
        let Some(socket) = &known.supervisor else {
            find(&known, &request.node)?;
            return Err(ChaosError::NoSupervisor);
        };
        let request = proto::ActRequest {
            by: self.by.clone(),
            ..request
        };
        let node = request.node.clone();
        match reach::act(socket, request).await {
            // The supervisor knows its own only.
            Err(ChaosError::Usage(why)) => match reach::children(socket).await {
                Ok(children) => Err(not_supervised(&known, &node, &children, why)),
                Err(_) => Err(ChaosError::Usage(why)),
            },
            done => done,
        }
    }

    /// Sets a fault under an id of its link and kind: the same order again replaces it, and faults do not pile up.
    async fn set(
        &self,
        (from, to): (&str, &str),
        ttl: Duration,
        what: LinkFault,
    ) -> Result<ActiveFault, ChaosError> {
        if from == to {
            return Err(ChaosError::SameNode(from.to_owned()));
        }
        let known = self.learn().await?;
        let addr = find(&known, from)?;
        find(&known, to)?;
        let id = format!("{}-{from}-{to}", what.word());
        let request = proto::SetFaultRequest {
            id,
            ttl_ms: millis(ttl),
            by: self.by.clone(),
            fault: Some(on_wire(to, what)),
        };
        reach::set_fault(from, addr, request).await.map(ActiveFault::from)
    }

    /// Asks anybody, then remembers: once known, a cluster whose nodes are all paused can still be thawed.
    async fn learn(&self) -> Result<Known, ChaosError> {
        let before = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut addrs = self.seeds.clone();
        addrs.extend(
            before
                .members
                .iter()
                .map(|(_, addr)| addr.clone())
                .filter(|a| !self.seeds.contains(a)),
        );
        match reach::hello_any(&addrs).await {
            Ok(hello) => {
                let known = known_from(&hello, &before);
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known.clone();
                Ok(known)
            }
            Err(_) if before.supervisor.is_some() => Ok(before),
            Err(why) => Err(ChaosError::Unavailable {
                who: addrs.join(", "),
                why,
            }),
        }
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

fn known_from(hello: &proto::HelloResponse, before: &Known) -> Known {
    let members = hello
        .members
        .iter()
        .map(|member| (member.name.clone(), member.grpc_addr.clone()))
        .collect();
    let supervisor = match hello.supervisor.as_str() {
        "" => before.supervisor.clone(),
        path => Some(Path::new(path).to_owned()),
    };
    Known { members, supervisor }
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

fn act(node: &str, action: proto::Action, ttl: Duration, expect_os_pid: Option<u64>) -> proto::ActRequest {
    proto::ActRequest {
        node: node.to_owned(),
        action: action.into(),
        ttl_ms: millis(ttl),
        expect_os_pid: expect_os_pid.unwrap_or(0),
        ..Default::default()
    }
}

/// Zero means the default on the wire: what is shorter than a millisecond is one.
fn millis(time: Duration) -> u64 {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 && !time.is_zero() { 1 } else { ms }
}
