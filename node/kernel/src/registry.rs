//! The registry: what the whole cluster agrees on. A pure state machine: every node applies the same log of
//! [`Command`]s and has the same [`Registry`]. One log index is one [`Revision`].
//!
//! What does not live here: Raft, storage, and who may propose what (see `core`).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{
    Boot, ClusterId, Epoch, ExchangeId, ExchangeName, Incarnation, LeaderEpoch, NodeId, NodeName, Pid,
    Revision, Tenure,
};
use crate::limits;
use crate::profile::Profile;
use crate::reason::Lost;

/// How messages flow through an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Pattern {
    /// One request, one reply (several under `default`).
    #[default]
    RequestResponse,
}

impl Pattern {
    /// The pattern's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestResponse => "request-response",
        }
    }

    /// The pattern of a word; the empty word is request-response.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        matches!(word, "" | "request-response").then_some(Self::RequestResponse)
    }
}

/// How an exchange picks handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// To all handlers (A19).
    Default,
    /// Cyclic (A20).
    RoundRobin,
    /// To the leader only (A21).
    Consensus,
}

impl Strategy {
    /// All strategies, in order.
    pub const ALL: [Self; 3] = [Self::Default, Self::RoundRobin, Self::Consensus];

    /// The strategy's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::RoundRobin => "round-robin",
            Self::Consensus => "consensus",
        }
    }

    /// The strategy of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// True where one handler leads.
    #[must_use]
    pub const fn has_leader(self) -> bool {
        matches!(self, Self::Consensus)
    }
}

/// Life of a node in the eyes of the registry. Suspicion is not here: it is each node's own opinion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeLife {
    /// May own exchanges.
    Up,
    /// Declared lost; owns nothing until it is up again.
    Down(Lost),
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Id, bound to the data directory.
    pub id: NodeId,
    /// Name; unique among members.
    pub name: NodeName,
    /// Latest run.
    pub incarnation: Incarnation,
    /// Which run of its data directory that is.
    pub boot: Boot,
    /// Address of the mesh.
    pub mesh_addr: String,
    /// Address of the gRPC services.
    pub grpc_addr: String,
    /// Period for which voters may promise it its exchanges.
    pub tenure: Tenure,
    /// Up or down.
    pub life: NodeLife,
}

impl NodeRecord {
    /// True when it may own exchanges.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.life == NodeLife::Up
    }
}

/// What a node tells of itself when it joins or starts again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// Id.
    pub id: NodeId,
    /// Name.
    pub name: NodeName,
    /// This run.
    pub incarnation: Incarnation,
    /// Which run of its data directory that is.
    pub boot: Boot,
    /// Address of the mesh.
    pub mesh_addr: String,
    /// Address of the gRPC services.
    pub grpc_addr: String,
}

/// The leader among an exchange's handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRecord {
    /// The handler.
    pub pid: Pid,
    /// Its epoch.
    pub epoch: LeaderEpoch,
}

/// An exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeRecord {
    /// Number on the wire.
    pub id: ExchangeId,
    /// Name.
    pub name: ExchangeName,
    /// Pattern.
    pub pattern: Pattern,
    /// Strategy; fixed for life (A7).
    pub strategy: Strategy,
    /// Preferred owners in order.
    pub failover: Vec<NodeName>,
    /// Owner now.
    pub owner: Option<NodeId>,
    /// Epoch of the ownership; 0 before the first owner.
    pub epoch: Epoch,
    /// Leader now.
    pub leader: Option<LeaderRecord>,
    /// Highest leader epoch given out.
    pub leader_epoch: LeaderEpoch,
}

/// A change of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Founds the cluster; the first command of every log, and only there.
    Found {
        /// The cluster's id.
        cluster: ClusterId,
        /// Times.
        profile: Profile,
    },
    /// A node joined or started again.
    NodeUp(Introduction),
    /// A node's promises have all run out, or its end is proved: its exchanges move on.
    NodeLost {
        /// Node.
        node: NodeId,
        /// Tenure that ends; another one than the registry's makes the command void.
        tenure: Tenure,
        /// Why.
        reason: Lost,
    },
    /// A node that had been suspected is heard again: voters may promise anew. Moves nothing.
    RenewTenure {
        /// Node.
        node: NodeId,
        /// Tenure that ends.
        tenure: Tenure,
    },
    /// Declares an exchange.
    Declare {
        /// Name.
        name: ExchangeName,
        /// Pattern.
        pattern: Pattern,
        /// Strategy.
        strategy: Strategy,
        /// Preferred owners in order; may be empty.
        failover: Vec<NodeName>,
    },
    /// Deletes an exchange.
    Delete {
        /// Name.
        name: ExchangeName,
    },
    /// The owner appoints a leader among its handlers, or none.
    AppointLeader {
        /// Exchange.
        exchange: ExchangeId,
        /// Epoch under which the owner acts.
        epoch: Epoch,
        /// The handler.
        leader: Option<Pid>,
    },
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Carried out.
    Done,
    /// Nothing to do: it was so already.
    Unchanged,
    /// Refused; nothing changed.
    Refused(Refused),
}

/// Why the registry refused a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// The cluster is founded already.
    #[error("the cluster {0} is founded already")]
    FoundedAlready(ClusterId),
    /// Nothing but founding comes first.
    #[error("the cluster is not founded yet")]
    NotFounded,
    /// No exchange of that name.
    #[error("there is no exchange '{0}'")]
    UnknownExchange(String),
    /// No node of that id.
    #[error("there is no node with id {0}")]
    UnknownNode(NodeId),
    /// A live node has that name.
    #[error("a live node is named '{0}' already")]
    NameTaken(NodeName),
    /// The same run, or a later one, is registered already.
    #[error("incarnation {offered} of the node is not newer than {seen}")]
    OldIncarnation {
        /// Incarnation offered.
        offered: Incarnation,
        /// Incarnation registered.
        seen: Incarnation,
    },
    /// Declared before with other properties (A7).
    #[error("exchange '{name}' is declared already with {what} '{existing}', not '{wanted}'")]
    Differs {
        /// Exchange.
        name: ExchangeName,
        /// Property.
        what: String,
        /// As registered.
        existing: String,
        /// As asked.
        wanted: String,
    },
    /// The command came under an epoch or tenure that is over.
    #[error("the epoch or tenure is over: {seen} was seen")]
    Fenced {
        /// Highest seen.
        seen: u64,
    },
    /// A bound is reached.
    #[error("{what} are at their bound of {max}")]
    Full {
        /// What is full.
        what: String,
        /// The bound.
        max: u64,
    },
}

/// What the whole cluster agrees on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Registry {
    /// Cluster id; none before the founding.
    pub cluster: Option<ClusterId>,
    /// Times.
    pub profile: Profile,
    /// Index of the last command applied.
    pub revision: Revision,
    /// Members by id.
    pub nodes: BTreeMap<NodeId, NodeRecord>,
    /// Exchanges by number.
    pub exchanges: BTreeMap<ExchangeId, ExchangeRecord>,
    /// Numbers of exchanges by name.
    pub names: BTreeMap<ExchangeName, ExchangeId>,
    /// Number of the last exchange declared.
    pub last_exchange: ExchangeId,
}

impl Registry {
    /// Applies the command at log index `at`. Total and deterministic: a refused command changes nothing but the
    /// revision.
    pub fn apply(&mut self, at: Revision, command: &Command) -> Outcome {
        assert!(
            at > self.revision,
            "revision {at} applied after {}",
            self.revision
        );
        self.revision = at;
        match self.change(command) {
            Ok(true) => Outcome::Done,
            Ok(false) => Outcome::Unchanged,
            Err(refused) => Outcome::Refused(refused),
        }
    }

    /// Moves the revision over a log entry that is not a command (a membership change, a blank).
    pub fn skip(&mut self, at: Revision) {
        assert!(
            at > self.revision,
            "revision {at} applied after {}",
            self.revision
        );
        self.revision = at;
    }

    /// The exchange of that name.
    #[must_use]
    pub fn exchange(&self, name: &ExchangeName) -> Option<&ExchangeRecord> {
        self.names.get(name).and_then(|id| self.exchanges.get(id))
    }

    /// The member of that name.
    #[must_use]
    pub fn node_named(&self, name: &str) -> Option<&NodeRecord> {
        self.nodes.values().find(|n| n.name.as_str() == name)
    }

    /// The name of a member.
    #[must_use]
    pub fn name_of(&self, node: NodeId) -> Option<&NodeName> {
        self.nodes.get(&node).map(|n| &n.name)
    }

    /// Exchanges that `node` owns.
    pub fn owned_by(&self, node: NodeId) -> impl Iterator<Item = &ExchangeRecord> {
        self.exchanges.values().filter(move |e| e.owner == Some(node))
    }

    fn change(&mut self, command: &Command) -> Result<bool, Refused> {
        match command {
            Command::Found { cluster, profile } => self.found(*cluster, *profile),
            _ if self.cluster.is_none() => Err(Refused::NotFounded),
            Command::NodeUp(introduction) => self.node_up(introduction),
            Command::NodeLost { node, tenure, reason } => self.node_lost(*node, *tenure, *reason),
            Command::RenewTenure { node, tenure } => {
                self.current(*node, *tenure)?.tenure.0 += 1;
                Ok(true)
            }
            Command::Declare {
                name,
                pattern,
                strategy,
                failover,
            } => self.declare(name, *pattern, *strategy, failover),
            Command::Delete { name } => self.delete(name),
            Command::AppointLeader {
                exchange,
                epoch,
                leader,
            } => self.appoint(*exchange, *epoch, *leader),
        }
    }

    fn found(&mut self, cluster: ClusterId, profile: Profile) -> Result<bool, Refused> {
        if let Some(existing) = self.cluster {
            return Err(Refused::FoundedAlready(existing));
        }
        self.cluster = Some(cluster);
        self.profile = profile;
        Ok(true)
    }

    /// The node, if `tenure` is still its own.
    fn current(&mut self, node: NodeId, tenure: Tenure) -> Result<&mut NodeRecord, Refused> {
        let record = self.nodes.get_mut(&node).ok_or(Refused::UnknownNode(node))?;
        if record.tenure == tenure {
            Ok(record)
        } else {
            Err(Refused::Fenced {
                seen: record.tenure.0,
            })
        }
    }

    /// A new run of a known data directory proves the end of the run before; a new data directory takes over a name
    /// only from a node that is down.
    fn node_up(&mut self, new: &Introduction) -> Result<bool, Refused> {
        if let Some(old) = self.nodes.get(&new.id)
            && old.is_up()
            && old.incarnation == new.incarnation
        {
            return Ok(false);
        }
        self.check_newcomer(new)?;
        let ghost = self
            .node_named(new.name.as_str())
            .filter(|n| n.id != new.id)
            .map(|n| n.id);
        if let Some(ghost) = ghost {
            self.nodes.remove(&ghost);
        }
        let tenure = self
            .nodes
            .get(&new.id)
            .map_or(Tenure(1), |old| Tenure(old.tenure.0 + 1));
        self.nodes.insert(
            new.id,
            NodeRecord {
                id: new.id,
                name: new.name.clone(),
                incarnation: new.incarnation,
                boot: new.boot,
                mesh_addr: new.mesh_addr.clone(),
                grpc_addr: new.grpc_addr.clone(),
                tenure,
                life: NodeLife::Up,
            },
        );
        self.leave_exchanges_of(new.id);
        self.adopt_orphans();
        Ok(true)
    }

    fn check_newcomer(&self, new: &Introduction) -> Result<(), Refused> {
        if let Some(old) = self.nodes.get(&new.id) {
            if new.incarnation < old.incarnation {
                return Err(Refused::OldIncarnation {
                    offered: new.incarnation,
                    seen: old.incarnation,
                });
            }
        } else if self.nodes.len() >= limits::NODES_MAX {
            return Err(Refused::Full {
                what: "nodes".into(),
                max: limits::NODES_MAX as u64,
            });
        }
        match self.node_named(new.name.as_str()) {
            Some(other) if other.id != new.id && other.is_up() => Err(Refused::NameTaken(new.name.clone())),
            _ => Ok(()),
        }
    }

    fn node_lost(&mut self, node: NodeId, tenure: Tenure, reason: Lost) -> Result<bool, Refused> {
        let record = self.current(node, tenure)?;
        if !record.is_up() {
            return Ok(false);
        }
        record.tenure.0 += 1;
        record.life = NodeLife::Down(reason);
        self.leave_exchanges_of(node);
        Ok(true)
    }

    fn declare(
        &mut self,
        name: &ExchangeName,
        pattern: Pattern,
        strategy: Strategy,
        failover: &[NodeName],
    ) -> Result<bool, Refused> {
        if let Some(existing) = self.exchange(name) {
            return same_declaration(existing, pattern, strategy, failover).map(|()| false);
        }
        if self.exchanges.len() >= limits::EXCHANGES_MAX {
            return Err(Refused::Full {
                what: "exchanges".into(),
                max: limits::EXCHANGES_MAX as u64,
            });
        }
        self.last_exchange.0 += 1;
        let id = self.last_exchange;
        let record = ExchangeRecord {
            id,
            name: name.clone(),
            pattern,
            strategy,
            failover: failover.iter().take(limits::FAILOVER_LIST_MAX).cloned().collect(),
            owner: None,
            epoch: Epoch(0),
            leader: None,
            leader_epoch: LeaderEpoch(0),
        };
        self.exchanges.insert(id, record);
        self.names.insert(name.clone(), id);
        self.assign(id);
        Ok(true)
    }

    fn delete(&mut self, name: &ExchangeName) -> Result<bool, Refused> {
        let id = self
            .names
            .remove(name)
            .ok_or_else(|| Refused::UnknownExchange(name.as_str().into()))?;
        self.exchanges.remove(&id);
        Ok(true)
    }

    fn appoint(&mut self, exchange: ExchangeId, epoch: Epoch, leader: Option<Pid>) -> Result<bool, Refused> {
        let record = self
            .exchanges
            .get_mut(&exchange)
            .ok_or_else(|| Refused::UnknownExchange(alloc::format!("#{exchange}")))?;
        if record.epoch != epoch {
            return Err(Refused::Fenced { seen: record.epoch.0 });
        }
        if record.leader.map(|l| l.pid) == leader {
            return Ok(false);
        }
        if leader.is_some() {
            record.leader_epoch.0 += 1;
        }
        record.leader = leader.map(|pid| LeaderRecord {
            pid,
            epoch: record.leader_epoch,
        });
        Ok(true)
    }

    /// Takes its exchanges from `node` and gives them on, each under a new epoch. The leader stays: the next owner
    /// keeps it when it attaches again.
    fn leave_exchanges_of(&mut self, node: NodeId) {
        let left: Vec<ExchangeId> = self.owned_by(node).map(|e| e.id).collect();
        for id in &left {
            if let Some(exchange) = self.exchanges.get_mut(id) {
                exchange.owner = None;
            }
        }
        for id in left {
            self.assign(id);
        }
    }

    fn adopt_orphans(&mut self) {
        let orphans: Vec<ExchangeId> = self
            .exchanges
            .values()
            .filter(|e| e.owner.is_none())
            .map(|e| e.id)
            .collect();
        for id in orphans {
            self.assign(id);
        }
    }

    /// Gives an exchange without owner to the first live node of its failover list, else to the least loaded one.
    fn assign(&mut self, id: ExchangeId) {
        let Some(owner) = self.candidate(id) else { return };
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.owner = Some(owner);
            exchange.epoch.0 += 1;
        }
    }

    fn candidate(&self, id: ExchangeId) -> Option<NodeId> {
        let exchange = self.exchanges.get(&id)?;
        let up = |name: &NodeName| self.node_named(name.as_str()).filter(|n| n.is_up()).map(|n| n.id);
        exchange.failover.iter().find_map(up).or_else(|| {
            let live = self.nodes.values().filter(|n| n.is_up());
            live.min_by_key(|n| (self.owned_by(n.id).count(), n.name.clone()))
                .map(|n| n.id)
        })
    }
}

fn same_declaration(
    existing: &ExchangeRecord,
    pattern: Pattern,
    strategy: Strategy,
    failover: &[NodeName],
) -> Result<(), Refused> {
    let differs = |what: &str, existing_is: String, wanted: String| Refused::Differs {
        name: existing.name.clone(),
        what: what.into(),
        existing: existing_is,
        wanted,
    };
    if existing.pattern != pattern {
        return Err(differs(
            "pattern",
            existing.pattern.as_str().into(),
            pattern.as_str().into(),
        ));
    }
    if existing.strategy != strategy {
        return Err(differs(
            "strategy",
            existing.strategy.as_str().into(),
            strategy.as_str().into(),
        ));
    }
    if !failover.is_empty() && existing.failover != failover {
        return Err(differs("failover list", list(&existing.failover), list(failover)));
    }
    Ok(())
}

fn list(names: &[NodeName]) -> String {
    names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { cluster, profile } => write!(f, "found {cluster} profile {}", profile.as_str()),
            Self::NodeUp(n) => write!(f, "node-up {} id {} incarnation {}", n.name, n.id, n.incarnation),
            Self::NodeLost { node, tenure, reason } => {
                write!(f, "node-lost {node} tenure {tenure}: {reason}")
            }
            Self::RenewTenure { node, tenure } => write!(f, "renew-tenure {node} tenure {tenure}"),
            Self::Declare { name, strategy, .. } => write!(f, "declare {name} {}", strategy.as_str()),
            Self::Delete { name } => write!(f, "delete {name}"),
            Self::AppointLeader {
                exchange,
                epoch,
                leader: Some(pid),
            } => {
                write!(f, "appoint {pid} in #{exchange} epoch {epoch}")
            }
            Self::AppointLeader {
                exchange,
                epoch,
                leader: None,
            } => {
                write!(f, "appoint nobody in #{exchange} epoch {epoch}")
            }
        }
    }
}

#[cfg(test)]
#[path = "registry_test.rs"]
mod tests;
