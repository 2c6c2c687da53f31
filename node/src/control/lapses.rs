//! What this node knows of losses, for their spans: when another node was last heard, when that was noticed, when its loss was
//! proposed, and since when this node leads. The meta leader tells of the loss and of the phases of each failover; who owns an
//! exchange from now on begins the root of its tree.
//!
//! What does not live here: deciding any of it (the kernel's `core`), and the ids (`failover`).

use std::collections::BTreeMap;
use std::time::SystemTime;

use squall_kernel::id::{ExchangeId, NodeId};
use squall_kernel::registry::{Command, Introduction, NodeLife, NodeRecord, Registry};
use squall_kernel::time::{Instant, Span};

use crate::failover::{Cause, FailoverTimes, Handover, Takeover, handovers, has_ended, loss_of, run_of};
use crate::limits::FAILOVERS_TOLD_MAX;
use crate::telemetry::told::{SpanSink, Told};

/// A node that is not heard.
#[derive(Debug, Clone, Copy)]
struct Lapse {
    heard: SystemTime,
    detected: SystemTime,
    proposed: Option<SystemTime>,
}

/// What is known of other nodes' losses: one entry for each that is suspect or dead. Metrics tell how long failovers took whether
/// spans are exported or not.
#[derive(Debug)]
pub(super) struct Lapses {
    sink: SpanSink,
    me: Introduction,
    of: BTreeMap<NodeId, Lapse>,
    leads_since: Option<SystemTime>,
    /// Moves to this node that have begun.
    moves: BTreeMap<ExchangeId, SystemTime>,
}

impl Lapses {
    pub(super) fn new(sink: SpanSink, me: Introduction) -> Self {
        Self {
            sink,
            me,
            of: BTreeMap::new(),
            leads_since: None,
            moves: BTreeMap::new(),
        }
    }

    /// It is suspect, or its end was seen; `heard` is when it was last heard.
    pub(super) fn sign(&mut self, node: NodeId, heard: impl FnOnce() -> SystemTime) {
        self.of.entry(node).or_insert_with(|| Lapse {
            heard: heard(),
            detected: SystemTime::now(),
            proposed: None,
        });
    }

    /// It is heard again.
    pub(super) fn heard(&mut self, node: NodeId) {
        self.of.remove(&node);
    }

    /// This node proposes something as the meta leader.
    pub(super) fn proposes(&mut self, command: &Command) {
        if let Command::NodeLost { node, .. } = command {
            // It said goodbye, or others saw its end.
            self.sign(*node, SystemTime::now);
        }
        if let Command::NodeLost { node, .. } = command
            && let Some(lapse) = self.of.get_mut(node)
        {
            lapse.proposed.get_or_insert_with(SystemTime::now);
        }
    }

    /// Whether this node acts as the meta leader.
    pub(super) fn leads(&mut self, leads: bool) {
        self.leads_since = leads.then(|| self.leads_since.unwrap_or_else(SystemTime::now));
    }

    /// The registry has moved, at `now` by the node's clock: tells of losses, and gives the exchanges that this node has taken
    /// over. `heard` knows when a node was last heard; how long it took until they were is added to `times`.
    pub(super) fn registry(
        &mut self,
        old: &Registry,
        new: &Registry,
        now: Instant,
        heard: impl Fn(NodeId) -> SystemTime,
        times: &FailoverTimes,
    ) -> Vec<(ExchangeId, Takeover)> {
        self.note_moves(old, new);
        let mut taken = Vec::new();
        for (number, of) in handovers(old, new).enumerate() {
            let told = number < FAILOVERS_TOLD_MAX;
            if told && of.cause == Cause::Lost && self.tells_of(of.before.id) {
                self.tell_phases(&of);
            }
            if of.exchange.owner == Some(self.me.id) && self.is_this_run(new) {
                let began = self.began(&of, &heard);
                let took = began.elapsed().unwrap_or_default();
                let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                times.took(of.cause, Span(us));
                if told {
                    let takeover = Takeover::new(&self.sink, &of, &self.me.name, began, now);
                    taken.push((of.exchange.id, takeover));
                }
            }
        }
        for node in old.nodes.values().filter(|node| node.is_up()) {
            if has_ended(node, new) {
                self.tell_loss(old, new, node);
                self.of.remove(&node.id);
            }
        }
        self.of.retain(|node, _| new.nodes.contains_key(node));
        self.moves
            .retain(|id, _| new.exchanges.get(id).is_some_and(|e| e.moving.is_some()));
        taken
    }

    fn note_moves(&mut self, old: &Registry, new: &Registry) {
        let changes = new.exchanges.changes(&old.exchanges);
        for exchange in changes.filter_map(|changed| changed.now) {
            if exchange.moving.is_some_and(|moving| moving.to == self.me.id) {
                self.moves.entry(exchange.id).or_insert_with(SystemTime::now);
            }
        }
    }

    fn is_this_run(&self, new: &Registry) -> bool {
        let mine = |node: &NodeRecord| node.is_up() && node.incarnation == self.me.incarnation;
        new.nodes.get(&self.me.id).is_some_and(mine)
    }

    /// When what led to it began, as far as is known here.
    fn began(&self, of: &Handover<'_>, heard: impl Fn(NodeId) -> SystemTime) -> SystemTime {
        match of.cause {
            Cause::Lost => {
                let lapse = self.of.get(&of.before.id);
                lapse.map_or_else(|| heard(of.before.id), |lapse| lapse.heard)
            }
            Cause::Moved => {
                let begun = self.moves.get(&of.exchange.id).copied();
                begun.unwrap_or_else(SystemTime::now)
            }
            Cause::Weak => SystemTime::now(),
        }
    }

    /// One node tells of a loss: the one that proposed it, or leads by the time it is decided. One that comes back from its own
    /// may still believe that it leads.
    fn tells_of(&self, node: NodeId) -> bool {
        let proposed = || self.of.get(&node).is_some_and(|lapse| lapse.proposed.is_some());
        node != self.me.id && (self.leads_since.is_some() || proposed())
    }

    /// The phases up to the next owner, each from the end of the one before it. Those that did not happen, or that this node
    /// does not know of, are not told.
    fn tell_phases(&self, of: &Handover<'_>) {
        let Some(lapse) = self.of.get(&of.before.id).filter(|_| self.sink.is_on()) else {
            return;
        };
        let elected = self.leads_since.filter(|since| *since > lapse.detected);
        let ends = [
            ("detect", Some(lapse.detected)),
            ("elect", elected),
            ("wait for the promise", lapse.proposed),
            ("assign", Some(SystemTime::now())),
        ];
        let mut began = lapse.heard;
        for (phase, end) in ends {
            let Some(end) = end else { continue };
            self.sink.tell(Told::below(of.root(), phase, began).until(end));
            began = began.max(end);
        }
    }

    fn tell_loss(&self, old: &Registry, new: &Registry, node: &NodeRecord) {
        let Some(cluster) = new.cluster.filter(|_| self.tells_of(node.id)) else {
            return;
        };
        let reason = match new.nodes.get(&node.id).map(|now| now.life) {
            Some(NodeLife::Down(reason)) => reason.as_str(),
            Some(NodeLife::Up) => "its next run has joined",
            None => "removed",
        };
        let now = SystemTime::now();
        let began = self.of.get(&node.id).map_or(now, |lapse| lapse.heard);
        let run = run_of(node);
        let loss = loss_of(cluster, &node.name, node.incarnation);
        let owned = old.owned_by(node.id).count();
        let told = Told::root(loss, format!("loss of {run}"), began)
            .until(now)
            .with("squall.lost", run)
            .with(
                "squall.incarnation",
                i64::try_from(node.incarnation.0).unwrap_or(i64::MAX),
            )
            .with("squall.reason", reason)
            .with("squall.exchanges", i64::try_from(owned).unwrap_or(i64::MAX));
        self.sink.tell(told);
    }
}
