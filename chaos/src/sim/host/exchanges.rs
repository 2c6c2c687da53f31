//! The exchanges this node owns: steps their machines and carries their effects out. As `squall_node::exchanges` does it,
//! without mailboxes: a simulated exchange takes each message when it comes.

mod asking;
mod effects;
mod members;
mod publishing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use squall_kernel::dedup::DedupWindow;
use squall_kernel::exchange::{Exchange, ExchangeConfig, ExchangeEffect, ExchangeInput, Signature};
use squall_kernel::frame::Frame;
use squall_kernel::id::{Boot, Counter, Epoch, ExchangeId, NodeId, Pid};
use squall_kernel::limits::ATTACH_CAP;
use squall_kernel::registry::{LeaderRecord, Registry};
use squall_kernel::tasks::TaskInput;
use squall_kernel::time::Instant;
use squall_node::data::Change;
use squall_node::introspect::opinions::Holding;
use squall_node::script::Script;

use super::Host;
use super::tasks::Tasks;
use crate::history::{Mark, View, What};
use crate::sim::extract;

/// An exchange owned here.
pub(super) struct Owned {
    core: Exchange,
    function: Option<Script>,
    leader: Option<LeaderRecord>,
    /// Handlers the kernel has, with their service tags: to attach those of a node's next run again.
    attached: BTreeMap<Pid, String>,
    /// Nodes that missed a system message, and when they are told again.
    missed: BTreeMap<NodeId, Instant>,
    /// The view told last.
    told: Option<(Counter, View)>,
    /// It has begun to hand over: it owns nothing any more.
    pub(super) left: bool,
    pub(super) tasks: Option<Tasks>,
    /// Who holds the second copy of its tasks.
    backup: Option<NodeId>,
    ticked: Option<Instant>,
    /// Ids of publishes that were passed on to handlers, where they are remembered.
    known: Option<DedupWindow>,
}

impl Owned {
    pub(super) fn epoch(&self) -> Epoch {
        self.core.epoch()
    }

    /// As the rows of leaders have it.
    pub(super) fn holding(&self) -> Holding {
        Holding {
            epoch: self.epoch(),
            acting: !self.left,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        // A tick that changed nothing is not repeated for the same time.
        let core = self.core.next_timeout().filter(|at| Some(*at) != self.ticked);
        let tasks = self.tasks.as_ref().and_then(Tasks::next_timeout);
        let missed = self.missed.values().min().copied();
        [core, missed, tasks].into_iter().flatten().min()
    }

    fn view(&self) -> View {
        View {
            leader: self.core.leader().map(|l| (l.pid, l.epoch)),
            servers: self.attached.keys().copied().collect(),
        }
    }
}

/// What a step may speak of: the request it is about.
type About<'f> = Option<&'f Frame>;

impl Host {
    pub(super) fn own(&mut self, now: Instant, exchange: ExchangeId, epoch: Epoch) {
        let registry = Arc::clone(&self.registry);
        let Some(record) = registry.exchanges.get(&exchange) else {
            return;
        };
        if self
            .owned
            .get(&exchange)
            .is_some_and(|owned| owned.epoch() >= epoch)
        {
            return;
        }
        let config = ExchangeConfig {
            id: exchange,
            strategy: record.strategy,
            epoch,
            leader: record.leader,
            leader_gone: record.leader.is_some_and(|l| has_ended(&self.registry, l.pid)),
            settle: self.times.promise,
            awaited: awaited(&self.registry, epoch),
            promise: self.times.promise,
        };
        let function = record.function.as_ref().and_then(asking::script_of);
        let mut state = self.state_for(record);
        let moved = state.as_mut().and_then(|state| state.tasks.take());
        // A move was cancelled: nobody else has owned it in between.
        let cancelled = |owned: &Owned| record.is_still_of(owned.epoch());
        let before = self.withdraw(exchange).filter(cancelled);
        let kept = before.and_then(|owned| owned.tasks).map(Tasks::into_queue);
        let tasks = self.tasks_of(now, record, moved, kept);
        let owned = Owned {
            leader: record.leader,
            core: Exchange::new(now, config),
            function,
            attached: BTreeMap::new(),
            missed: BTreeMap::new(),
            told: None,
            left: false,
            tasks,
            backup: record.backup,
            ticked: None,
            known: publishing::known(record),
        };
        self.owned.insert(exchange, owned);
        self.event(What::Own { exchange, epoch });
        if let Some(state) = state {
            self.resume(now, exchange, state);
        }
        self.begin_tasks(now, exchange, record.backup);
    }

    /// From here on it accepts nothing.
    pub(super) fn leave_exchange(&mut self, exchange: ExchangeId) {
        if let Some(owned) = self.owned.get_mut(&exchange).filter(|owned| !owned.left) {
            owned.left = true;
            let epoch = owned.epoch();
            self.event(What::Disown { exchange, epoch });
            self.event(What::Mark(Mark::MoveBegun));
        }
    }

    /// Handlers of which the old owner tells: they need not attach again.
    pub(super) fn adopt(&mut self, exchange: ExchangeId, handlers: BTreeMap<Pid, String>) {
        if let Some(owned) = self.owned.get_mut(&exchange) {
            owned.attached.extend(handlers);
        }
    }

    pub(super) fn disown(&mut self, _now: Instant, exchange: ExchangeId) {
        let _gone = self.withdraw(exchange);
    }

    fn withdraw(&mut self, exchange: ExchangeId) -> Option<Owned> {
        let owned = self.owned.remove(&exchange)?;
        if !owned.left {
            let epoch = owned.epoch();
            self.event(What::Disown { exchange, epoch });
        }
        Some(owned)
    }

    /// A system message to that node was lost.
    pub(super) fn missed_by(&mut self, now: Instant, exchange: ExchangeId, node: NodeId) {
        if let Some(owned) = self.owned.get_mut(&exchange) {
            owned.missed.insert(node, now + ATTACH_CAP);
        }
    }

    pub(super) fn exchanges_changed(&mut self, now: Instant, change: &Change) {
        self.drop_copies(change);
        let ids: Vec<ExchangeId> = self.owned.keys().copied().collect();
        for id in ids {
            let Some(owned) = self.owned.get_mut(&id) else {
                continue;
            };
            let Some(record) = change.exchange(id).filter(|r| r.epoch == owned.core.epoch()) else {
                continue;
            };
            let leader = record.leader;
            let changed = leader != owned.leader;
            owned.leader = leader;
            // A backup that was lost and is named again begins anew.
            let backup = (owned.backup != record.backup || !change.lost.is_empty()).then_some(record.backup);
            owned.backup = record.backup;
            for (node, first_run) in change.lost_runs() {
                self.exchange_lost_node(now, id, node, Some(first_run));
            }
            if changed {
                self.step_exchange(now, id, &ExchangeInput::LeaderCommitted { leader }, None);
            }
            if let Some(backup) = backup {
                self.backup_named(now, id, backup);
            }
        }
    }

    /// Runs of a node before `first_run` have ended, all of them when none is told. Handlers of a later one may have attached
    /// before the registry told of that.
    pub(super) fn exchange_lost_node(
        &mut self,
        now: Instant,
        id: ExchangeId,
        node: NodeId,
        first_run: Option<Boot>,
    ) {
        let Some(owned) = self.owned.get_mut(&id) else {
            return;
        };
        owned.missed.remove(&node);
        let stays = |pid: &Pid| first_run.is_some_and(|first| pid.boot() >= first);
        let gone = extract(&mut owned.attached, |pid, _| pid.node == node).into_iter();
        let back: Vec<(Pid, String, Vec<Signature>)> = gone
            .filter(|(pid, _)| stays(pid))
            .map(|(pid, tag)| (pid, tag, owned.core.bound_to(pid)))
            .collect();
        self.step_exchange(now, id, &ExchangeInput::NodeLost { node }, None);
        self.task_step(now, id, &TaskInput::NodeLost { node });
        for (handler, service_tag, bound) in back {
            let work = self.work_of(id, handler);
            self.attach_to(now, id, (handler, service_tag), (bound, None), work);
        }
    }

    pub(super) fn tick_exchanges(&mut self, now: Instant) {
        let due = |o: &Owned| o.next_timeout().is_some_and(|at| at <= now);
        let ids: Vec<ExchangeId> = self
            .owned
            .iter()
            .filter(|(_, o)| due(o))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            if let Some(owned) = self.owned.get_mut(&id) {
                owned.ticked = owned.core.next_timeout();
            }
            self.step_exchange(now, id, &ExchangeInput::Tick, None);
            self.tick_tasks(now, id);
            self.tell_again(now, id);
        }
    }

    /// Attaching again is answered with the whole view.
    fn tell_again(&mut self, now: Instant, id: ExchangeId) {
        let Some(owned) = self.owned.get_mut(&id) else {
            return;
        };
        let due: BTreeSet<NodeId> = extract(&mut owned.missed, |_, at| *at <= now)
            .into_iter()
            .map(|(n, _)| n)
            .collect();
        let there = owned.attached.iter().filter(|(pid, _)| due.contains(&pid.node));
        let there: Vec<(Pid, String)> = there.map(|(pid, tag)| (*pid, tag.clone())).collect();
        for (handler, service_tag) in there {
            self.attach_to(now, id, (handler, service_tag), (Vec::new(), None), None);
        }
    }

    pub(super) fn step_exchange(
        &mut self,
        now: Instant,
        id: ExchangeId,
        input: &ExchangeInput,
        about: About<'_>,
    ) {
        let Some(owned) = self.owned.get_mut(&id) else {
            return;
        };
        let mut effects = Vec::new();
        owned.core.step(now, input, &mut effects);
        self.tell_view(id, &effects);
        for effect in effects {
            self.carry_out_exchange(now, id, effect, about);
        }
    }

    /// The owner's view, where it moved.
    fn tell_view(&mut self, id: ExchangeId, effects: &[ExchangeEffect]) {
        let counters = effects.iter().filter_map(|effect| match effect {
            ExchangeEffect::Tell { counter, .. } | ExchangeEffect::Announce { counter, .. } => Some(*counter),
            _ => None,
        });
        let (Some(counter), Some(owned)) = (counters.max(), self.owned.get_mut(&id)) else {
            return;
        };
        let view = owned.view();
        if owned.told.as_ref() == Some(&(counter, view.clone())) {
            return;
        }
        owned.told = Some((counter, view.clone()));
        let version = (owned.core.epoch(), counter);
        self.event(What::OwnerView {
            exchange: id,
            version,
            view,
        });
    }

    pub(super) fn epoch_of(&self, id: ExchangeId) -> Epoch {
        self.owned.get(&id).map_or(Epoch(0), Owned::epoch)
    }

    /// This node, where no process of its own speaks.
    pub(super) fn nobody(&self) -> Pid {
        Pid {
            node: self.id(),
            serial: 0,
        }
    }
}

/// Nodes that may have handlers of an exchange which had another owner before.
fn awaited(registry: &Registry, epoch: Epoch) -> Vec<NodeId> {
    if epoch <= Epoch(1) {
        return Vec::new();
    }
    let up = registry.nodes.values().filter(|node| node.is_up());
    up.map(|node| node.id).collect()
}

/// True once the run of the node that gave the pid out has ended, as the registry has it. One that follows may not have joined
/// yet, and has handlers all the same.
pub(super) fn has_ended(registry: &Registry, pid: Pid) -> bool {
    let node = registry.nodes.get(&pid.node);
    node.is_none_or(|node| pid.boot() < node.first_run())
}
