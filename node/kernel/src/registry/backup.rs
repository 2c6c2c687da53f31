//! Who holds the second copy of an exchange's tasks. Part of every change: the registry that takes a backup's life names the
//! next one in the same breath, so that "no backup" always means that there is no other node that is fit to be one: draining and
//! weak ones are not.
//!
//! What does not live here: the copy (`tasks`), and who keeps it up to date (the shell).

use alloc::vec::Vec;

use super::{Command, ExchangeRecord, Loads, NodeRecord, Pattern, Registry};
use crate::id::{ExchangeId, NodeId};

impl Registry {
    /// Looks for missing backups where that command may have made one miss: a declaration only at its own exchange, which spares a
    /// look at all of them.
    pub(super) fn name_backups_after(&mut self, command: &Command) {
        match command {
            Command::Declare { name, .. } => {
                let id = self.names.get(name).copied();
                self.name_backups_of(id.into_iter().collect());
            }
            Command::AppointLeader { .. } | Command::SetProxy { .. } | Command::SetVoterRule { .. } => {}
            _ => self.name_backups(),
        }
    }

    /// Names a backup wherever one is missing: it is gone, or became the owner. One that is up is never replaced, for
    /// nobody else may have a whole copy; a move to it, and one while it has no whole copy, makes the owner before the move
    /// the backup (`end_move`).
    fn name_backups(&mut self) {
        let with_tasks = self.exchanges.values().filter(|e| e.pattern == Pattern::Task);
        let with_tasks = with_tasks.map(|e| e.id).collect();
        self.name_backups_of(with_tasks);
    }

    fn name_backups_of(&mut self, mut lacking: Vec<ExchangeId>) {
        lacking.retain(|id| {
            let exchange = self.exchanges.get(id).filter(|e| e.pattern == Pattern::Task);
            exchange.is_some_and(|e| self.lacks_backup(e))
        });
        let mut loads = Loads::default();
        for id in lacking {
            let next = self
                .exchanges
                .get(&id)
                .and_then(|e| self.next_backup(e, &mut loads));
            if let Some(exchange) = self.exchanges.get_mut(&id) {
                loads.copy_went(exchange.backup, next);
                exchange.backup = next;
            }
        }
    }

    fn lacks_backup(&self, exchange: &ExchangeRecord) -> bool {
        let up = |node: &NodeId| self.nodes.get(node).is_some_and(NodeRecord::is_up);
        // Without an owner what a backup has is all there is: it waits to become one.
        exchange.owner.is_some()
            && exchange
                .backup
                .filter(up)
                .filter(|b| exchange.owner != Some(*b))
                .is_none()
    }

    /// The backup, where it can take over: it has the tasks, which counts more than the failover list, and more than that
    /// it may be too weak to act. A weak one hands them over at once ([`Self::move_tasks_of`]).
    pub(super) fn fit_backup(&self, exchange: &ExchangeRecord) -> Option<NodeId> {
        let node = self.nodes.get(&exchange.backup?)?;
        (node.is_up() && exchange.can_live_on(node)).then_some(node.id)
    }

    /// The tasks of a weak node move to one that can act: taken from it they might be lost, for it lives, and may have the
    /// only whole copy.
    pub(super) fn move_tasks_of(&mut self, weak: NodeId) {
        let here = self.owned_by(weak);
        let here = here.filter(|e| e.pattern == Pattern::Task && e.moving.is_none());
        let mut loads = Loads::default();
        let mut next = |e: &ExchangeRecord| {
            let backup = e.backup.and_then(|id| self.nodes.get(&id));
            let backup = backup.filter(|n| n.may_own() && e.can_live_on(n)).map(|n| n.id);
            let other = || Some(self.node_named(self.next_owner(e, &mut loads)?.as_str())?.id);
            backup.or_else(other)
        };
        let moves: Vec<_> = here.filter_map(|e| Some((e.id, next(e)?))).collect();
        for (id, to) in moves {
            if let Some(exchange) = self.exchanges.get_mut(&id) {
                exchange.begin_moving(to);
            }
        }
    }

    /// A run of `node` has ended, and with it the copies it had, those of exchanges that move among them.
    pub(super) fn doubt_backup(&mut self, node: NodeId) {
        let moving = self.exchanges.values_mut().filter_map(|e| e.moving.as_mut());
        for moving in moving.filter(|moving| moving.backup == Some(node)) {
            moving.backup = None;
        }
    }

    /// The first fit node of the failover list that is not the owner, else the one with least to do.
    fn next_backup(&self, exchange: &ExchangeRecord, loads: &mut Loads) -> Option<NodeId> {
        let fit = |n: &&NodeRecord| n.may_own() && exchange.owner != Some(n.id) && exchange.can_live_on(n);
        let listed = exchange.failover.iter();
        let mut listed = listed.filter_map(|name| self.node_named(name.as_str()));
        let any = || {
            let others = self.nodes.values().filter(fit);
            others.min_by_key(|n| (loads.with_copies(self, n.id), n.name.clone()))
        };
        listed.find(|n| fit(n)).or_else(any).map(|n| n.id)
    }
}

#[cfg(test)]
#[path = "backup_test.rs"]
mod tests;
