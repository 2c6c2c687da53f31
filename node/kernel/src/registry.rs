//! The registry: what the whole cluster agrees on. A pure state machine: every node applies the same log of
//! [`Command`]s and has the same [`Registry`]. One log index is one [`Revision`].
//!
//! What does not live here: Raft, storage, and who may propose what (see `core`).

mod backup;
mod command;
mod declare;
mod duty;
mod function;
mod load;
mod moves;
mod proxies;
mod record;
mod recover;
mod settings;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::{
    ClusterId, Epoch, ExchangeId, ExchangeName, LeaderEpoch, NodeId, NodeName, Pid, Revision, Tenure,
};
pub use command::{Command, NoPreferred, Outcome, Refused};
use declare::Terms;
pub use function::RoutingFunction;
pub use load::Loads;
pub use record::{
    Duty, ExchangeRecord, Introduction, LeaderRecord, Moving, NodeLife, NodeRecord, Pattern, Strategy,
    Takeover,
};
pub use settings::Settings;

use crate::limits;
use crate::planted::{self, Bug};
use crate::profile::Profile;
use crate::reason::Lost;
use crate::shared::SharedMap;
use crate::time::Span;

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
    pub exchanges: SharedMap<ExchangeId, ExchangeRecord>,
    /// Numbers of exchanges by name.
    pub names: SharedMap<ExchangeName, ExchangeId>,
    /// Number of the last exchange declared.
    pub last_exchange: ExchangeId,
    /// Highest tenure of a node that was removed: should its data directory come back, what is left of its old promises
    /// must not meet a tenure of the same number.
    pub tenures_used: Tenure,
    /// After how long a voter that is down is replaced by a learner; none for never (`squall node rule`).
    pub replace_voters_after: Option<Span>,
    /// Highest epochs of exchanges that were deleted. Whatever is declared later begins above them: numbers are never given
    /// twice, but resources outside know an exchange by its name, and a token that goes back would shut them for good. One
    /// pair for all names, so that it stays one pair.
    pub epochs_used: EpochsUsed,
}

/// Epochs that no exchange to come may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EpochsUsed {
    /// Of owners.
    pub owner: Epoch,
    /// Of leaders among handlers.
    pub leader: LeaderEpoch,
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
            Ok(true) => {
                self.name_backups_after(command);
                Outcome::Done
            }
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
                function,
                settings,
                failover,
                takeover,
            } => self.declare(&Terms {
                name,
                pattern: *pattern,
                strategy: *strategy,
                function: function.as_ref(),
                settings,
                failover,
                takeover: *takeover,
            }),
            Command::Delete { name } => self.delete(name),
            Command::Recover { cluster, survivor } => self.recover(*cluster, *survivor),
            Command::AppointLeader {
                exchange,
                epoch,
                leader,
            } => self.appoint(*exchange, *epoch, *leader),
            Command::Move { exchange, to, epoch } => self.begin_move(exchange, to.as_ref(), *epoch),
            Command::Owned {
                exchange,
                epoch,
                to,
                doubled,
            } => self.end_move(*exchange, *epoch, *to, *doubled),
            Command::CancelMove { exchange, epoch } => self.cancel_move(*exchange, *epoch),
            Command::NodeWeak { node, tenure } => self.node_weak(*node, *tenure),
            Command::NodeFit { node, tenure } => self.node_fit(*node, *tenure),
            Command::Drain { node, leave } => self.drain(node, *leave),
            Command::RemoveNode { node } => self.remove_node(node),
            Command::SetVoterRule { replace_after } => {
                let changes = self.replace_voters_after != *replace_after;
                self.replace_voters_after = *replace_after;
                Ok(changes)
            }
            Command::SetProxy { exchange, node, on } => self.set_proxy(exchange, node, *on),
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
            self.forget_node(ghost);
        }
        let known = self.nodes.get(&new.id);
        if planted::is(Bug::TwoIncarnations) && known.is_some_and(NodeRecord::is_up) {
            return Ok(false);
        }
        let tenure = known.map_or(self.tenures_used, |old| old.tenure);
        let tenure = Tenure(tenure.0 + 1);
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
                duty: Duty::Full,
                functions: function::bounded(&new.functions),
                zone: new.zone.clone(),
            },
        );
        self.cancel_moves_to(new.id);
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
        self.cancel_moves_to(node);
        self.leave_exchanges_of(node);
        Ok(true)
    }

    fn delete(&mut self, name: &ExchangeName) -> Result<bool, Refused> {
        let id = self
            .names
            .remove(name)
            .ok_or_else(|| Refused::UnknownExchange(name.as_str().into()))?;
        if let Some(gone) = self.exchanges.remove(&id) {
            // The epoch of a move under way may be somebody's by the time this is known everywhere.
            let granted = gone
                .moving
                .map_or(gone.epoch, |moving| moving.epoch.max(gone.epoch));
            let used = &mut self.epochs_used;
            used.owner = used.owner.max(granted);
            used.leader = used.leader.max(gone.leader_epoch);
        }
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
        self.leave_exchanges(self.owned_by(node).map(|e| e.id).collect());
        self.doubt_backup(node);
    }

    fn leave_exchanges(&mut self, left: Vec<ExchangeId>) {
        for id in &left {
            if let Some(exchange) = self.exchanges.get_mut(id) {
                exchange.owner = None;
                exchange.end_moving();
            }
        }
        self.assign_all(left);
    }

    fn adopt_orphans(&mut self) {
        let orphans: Vec<ExchangeId> = self
            .exchanges
            .values()
            .filter(|e| e.owner.is_none())
            .map(|e| e.id)
            .collect();
        self.assign_all(orphans);
    }

    fn assign_all(&mut self, exchanges: Vec<ExchangeId>) {
        let mut loads = Loads::default();
        for id in exchanges {
            self.assign(id, &mut loads);
        }
    }

    /// Gives an exchange without owner to the first live node of its failover list, else to the least loaded one.
    fn assign(&mut self, id: ExchangeId, loads: &mut Loads) {
        let Some(owner) = self.candidate(id, loads) else {
            return;
        };
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.owner = Some(owner);
            if exchange.moving.is_none() {
                loads.took(owner);
            }
            exchange.held = false;
            exchange.kept = false;
            exchange.epoch.0 += 1;
            exchange.since = exchange.epoch;
        }
        if self.nodes.get(&owner).is_some_and(|n| n.duty == Duty::Weak) {
            self.move_tasks_of(owner);
            *loads = Loads::default();
        }
    }

    fn candidate(&self, id: ExchangeId, loads: &mut Loads) -> Option<NodeId> {
        let exchange = self.exchanges.get(&id)?;
        let with_tasks = self.fit_backup(exchange);
        with_tasks.or_else(|| self.preferred(exchange)).or_else(|| {
            let live = self
                .nodes
                .values()
                .filter(|n| n.may_own() && exchange.can_live_on(n));
            live.min_by_key(|n| (loads.owned(self, n.id), n.name.clone()))
                .map(|n| n.id)
        })
    }

    /// The first node of an exchange's failover list that may own it.
    #[must_use]
    pub fn preferred(&self, exchange: &ExchangeRecord) -> Option<NodeId> {
        let fit = |name: &NodeName| {
            self.node_named(name.as_str())
                .filter(|n| n.may_own() && exchange.can_live_on(n))
                .map(|n| n.id)
        };
        exchange.failover.iter().find_map(fit)
    }
}

#[cfg(test)]
#[path = "registry_test.rs"]
mod tests;
