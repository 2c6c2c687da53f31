//! The control side's entries in the timeline: each told once, by the node it happened at.

use std::sync::Arc;

use squall_kernel::id::{Epoch, ExchangeId, Incarnation, NodeId};
use squall_kernel::reason::{Lost, Refusal, StepDown};
use squall_kernel::registry::{Command, ExchangeRecord, Introduction, NodeLife, NodeRecord, Registry};
use squall_proto::v1::Severity;

use crate::introspect::EventLog;
use crate::meta::MetaState;

/// Why a node that this one wants to link with belongs elsewhere, and what to do: it will never change by itself.
pub(super) fn other_cluster(who: &str, detail: &str) -> String {
    format!(
        "{who} is of another cluster: {detail}. Give the right --join addresses, or, to leave the old cluster for good, start \
         this node with an empty data directory (docs/recovery.md); until then it tries again every few seconds"
    )
}

/// Writes events.
pub(super) struct Teller {
    events: Arc<EventLog>,
    me: NodeId,
    incarnation: Incarnation,
    led: bool,
}

impl Teller {
    pub(super) fn new(events: Arc<EventLog>, me: &Introduction) -> Self {
        Self {
            events,
            me: me.id,
            incarnation: me.incarnation,
            led: false,
        }
    }

    pub(super) fn link(&self, registry: &Registry, peer: &Introduction, up: bool, why: &str) {
        let name = peer.name.as_str();
        if up {
            self.events.record(
                "link-up",
                name,
                &format!("control link with {name} is up"),
                Severity::Info,
                0,
            );
        } else {
            let text = format!("control link with {name} broke: {why}");
            let member = registry.nodes.contains_key(&peer.id);
            let severity = if member { Severity::Notice } else { Severity::Info };
            self.events.record("link-down", name, &text, severity, 0);
        }
    }

    /// Told once for each cause and other side, however often it is tried again.
    pub(super) fn refused(&self, who: &str, refusal: Refusal, detail: &str, dialled: bool) {
        let (text, severity) = if dialled && refusal == Refusal::Cluster {
            (other_cluster(who, detail), Severity::Alert)
        } else {
            (format!("{refusal}: {detail}"), Severity::Notice)
        };
        self.events.record("refused", who, &text, severity, 0);
    }

    /// Suspicion of a node that is no member yet says nothing: it greets anew as soon as there is a cluster.
    pub(super) fn suspect(&self, registry: &Registry, node: NodeId, suspect: bool) {
        if !registry.nodes.contains_key(&node) {
            return;
        }
        let name = name_of(registry, node);
        if suspect {
            self.events.record(
                "suspect",
                &name,
                &format!("{name} is suspect here"),
                Severity::Notice,
                0,
            );
        } else {
            self.events.record(
                "unsuspect",
                &name,
                &format!("{name} is heard again"),
                Severity::Info,
                0,
            );
        }
    }

    /// What was seen, whether or not this node is the one to act on it.
    pub(super) fn died(&self, registry: &Registry, node: NodeId) {
        if registry.nodes.contains_key(&node) {
            let name = name_of(registry, node);
            let text = format!("the end of {name}'s process was seen here");
            self.events.record("died", &name, &text, Severity::Notice, 0);
        }
    }

    pub(super) fn proposes(&self, registry: &Registry, command: &Command) {
        if let Command::NodeLost { node, reason, .. } = command {
            let name = name_of(registry, *node);
            let text = match reason {
                Lost::Died => format!("{name} has ended, which was seen: declared lost"),
                _ => format!("all promises to {name} have run out ({reason}): declared lost"),
            };
            self.events.record("node-lost", &name, &text, Severity::Alert, 0);
        }
        if let Command::NodeWeak { node, .. } = command {
            let name = name_of(registry, *node);
            let text =
                format!("{name} is alive, but its round trips do not fit a promise: its exchanges leave");
            self.events.record("node-weak", &name, &text, Severity::Alert, 0);
        }
    }

    pub(super) fn lease_lost(&self, exchanges: usize) {
        if exchanges > 0 {
            let text = format!("lease ran out: {exchanges} exchanges stand still here");
            self.events.record("lease-lost", "", &text, Severity::Alert, 0);
        }
    }

    pub(super) fn own(&self, record: &ExchangeRecord, epoch: Epoch) {
        let name = record.name.as_str();
        let text = format!("{name} is owned here under epoch {epoch}");
        self.events
            .record("owner-changed", name, &text, Severity::Notice, epoch.0);
    }

    pub(super) fn disown(&self, registry: &Registry, exchange: ExchangeId, reason: StepDown) {
        let record = registry.exchanges.get(&exchange);
        let name = record.map_or_else(|| format!("#{exchange}"), |r| r.name.as_str().to_owned());
        let epoch = record.map_or(0, |r| r.epoch.0);
        let text = format!("{name} is no longer owned here: {reason}");
        self.events
            .record("owner-left", &name, &text, Severity::Info, epoch);
    }

    pub(super) fn elections(&self, allowed: bool) {
        if allowed {
            self.events
                .record("timers", "", "own timers are in time again", Severity::Info, 0);
        } else {
            let text = "own timers are late: no election is started here, nobody is accused";
            self.events.record("timers", "", text, Severity::Notice, 0);
        }
    }

    pub(super) fn hands_over(&self, registry: &Registry, to: NodeId) {
        let text = format!(
            "leads the registry but its round trips do not fit a promise: {} is to lead",
            name_of(registry, to)
        );
        self.events.record("hand-over", "", &text, Severity::Notice, 0);
    }

    pub(super) fn hands_off(&self, registry: &Registry, exchange: ExchangeId, to: NodeId) {
        if let Some(record) = registry.exchanges.get(&exchange) {
            let name = record.name.as_str();
            let text = format!("{name} moves from here to {}", name_of(registry, to));
            self.events
                .record("move", name, &text, Severity::Notice, record.epoch.0);
        }
    }

    pub(super) fn reach(&self, registry: &Registry, node: NodeId, reachable: bool) {
        if !registry.nodes.contains_key(&node) {
            return;
        }
        let name = name_of(registry, node);
        let (kind, text) = if reachable {
            ("reached", format!("{name} acknowledges again"))
        } else {
            (
                "unreached",
                format!("{name} no longer acknowledges what is sent to it"),
            )
        };
        self.events.record(kind, &name, &text, Severity::Info, 0);
    }

    pub(super) fn isolated(&self, isolated: bool) {
        if isolated {
            let text = "no majority promises anything: clients are sent elsewhere";
            self.events.record("isolated", "", text, Severity::Alert, 0);
        } else {
            self.events
                .record("isolated", "", "holds a lease again", Severity::Notice, 0);
        }
    }

    pub(super) fn drained(&self, leave: bool) {
        let text = if leave {
            "owns nothing any more, leaves"
        } else {
            "owns nothing any more"
        };
        self.events.record("drained", "", text, Severity::Notice, 0);
    }

    /// Told by the one that comes to lead, not by those that follow.
    pub(super) fn meta(&mut self, state: &MetaState, leads: bool) {
        if leads && !self.led {
            let text = format!("leads the registry in term {}", state.term);
            self.events
                .record("meta-leader", "", &text, Severity::Notice, state.term.0);
        } else if !leads && self.led {
            self.events.record(
                "meta-leader",
                "",
                "no longer leads the registry",
                Severity::Notice,
                state.term.0,
            );
        }
        self.led = leads;
    }

    /// What became of exchanges owned here, and of this node.
    pub(super) fn registry(&self, old: &Registry, new: &Registry) {
        for changed in new.exchanges.changes(&old.exchanges) {
            let own = changed.now.filter(|record| record.owner == Some(self.me));
            if let Some(record) = own
                && let Some(leader) = record.leader
                && changed.before.and_then(|b| b.leader) != record.leader
            {
                let name = record.name.as_str();
                let pid = leader.pid.text(&name_of(new, leader.pid.node));
                let text = format!("{pid} leads {name} under leader epoch {}", leader.epoch);
                self.events
                    .record("leader-appointed", name, &text, Severity::Notice, leader.epoch.0);
            }
        }
        let mine = |n: &&NodeRecord| n.incarnation == self.incarnation;
        let life = |r: &Registry| r.nodes.get(&self.me).filter(mine).map(|n| n.life);
        match (life(old), life(new)) {
            (before, Some(NodeLife::Up)) if before != Some(NodeLife::Up) => {
                self.events
                    .record("joined", "", "part of the cluster", Severity::Notice, 0);
            }
            (Some(NodeLife::Up), Some(NodeLife::Down(reason))) => {
                let text = format!("the cluster declared this node lost: {reason}");
                self.events.record("declared-lost", "", &text, Severity::Alert, 0);
            }
            _ => {}
        }
    }
}

fn name_of(registry: &Registry, node: NodeId) -> String {
    registry
        .name_of(node)
        .map_or_else(|| format!("{:x}", node.0), |n| n.as_str().to_owned())
}
