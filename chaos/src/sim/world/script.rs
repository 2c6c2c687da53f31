//! The world's side of a scenario: finds out whom a step means now, by the newest registry that a node has, and does it. What does
//! not live here: reading faults and targets, and whom they mean (`crate::fault`).

use squall_kernel::fault::{ClockFault, DiskFault, FaultKind};
use squall_kernel::id::NodeId;
use squall_kernel::registry::{Command, Registry};
use squall_kernel::time::Span;
use squall_observer::console::{Picture, PictureExchange, PictureNode};

use super::World;
use crate::fault::{Act, Aim, Fault, NodeDeed, Target};
use crate::sim::fault::{OnLink, PlannedFault, Seat, SimFault};
use crate::sim::plan::Scripted;

/// A node that is restarted is gone for so long: a process takes that to start.
const RESTART: Span = Span::from_ms(100);

impl World {
    pub(super) fn scripted(&mut self, place: usize) {
        let step = self.plan.script[place].clone();
        let Some(picture) = self.picture() else {
            return self.count("steps that meant nobody");
        };
        if step.fault.is_empty() {
            return self.move_exchange(&step, &picture);
        }
        let fault: Fault = step.fault.parse().expect("a scenario was read");
        let target = Target::parse(&step.target, fault.aim()).expect("a scenario was read");
        match fault.at(&target, &picture) {
            Ok(acts) => acts.iter().for_each(|act| self.do_act(act, step.lasts)),
            Err(_nobody) => self.count("steps that meant nobody"),
        }
    }

    fn do_act(&mut self, act: &Act, lasts: Span) {
        let named = |name: &str| self.plan.seats().find(|seat| self.name(*seat).as_str() == name);
        let planned = match act {
            Act::Hold { node, kind } => named(node).and_then(|node| Some((held(node, kind)?, lasts))),
            Act::Node { node, deed } => named(node).and_then(|node| on_node(node, *deed, lasts)),
            Act::Link { from, to, what } => named(from).zip(named(to)).map(|(from, to)| {
                let what = OnLink(*what);
                (SimFault::Written { from, to, what }, lasts)
            }),
        };
        let Some((what, lasts)) = planned else {
            return self.count("steps that meant nobody");
        };
        let id = self.plan.faults.len() as u64 + 1;
        // A fault ends before things have to become good again.
        let left = self.plan.healed_at().since(self.now);
        self.plan.faults.push(PlannedFault {
            id,
            at: self.now,
            lasts: Span(lasts.0.min(left.0)),
            what,
        });
        self.begin_fault(self.plan.faults.len() - 1);
    }

    fn move_exchange(&mut self, step: &Scripted, picture: &Picture) {
        let target = Target::parse(&step.target, Aim::Nodes).expect("a scenario was read");
        let Target::Nodes(nodes) = target else { return };
        let to = nodes
            .names(picture)
            .ok()
            .and_then(|names| names.into_iter().next());
        let asked = self.plan.seats().find(|seat| self.host(*seat).is_some());
        let (Some(to), Some(asked)) = (to, asked) else {
            return self.count("steps that meant nobody");
        };
        let found = self.host(asked).and_then(|host| {
            let mut names = host.registry().names.iter();
            names
                .find(|(name, _)| name.as_str() == step.moves)
                .map(|(name, _)| name.clone())
        });
        if let Some(exchange) = found {
            let command = Command::Move {
                exchange,
                to: to.parse().ok(),
                epoch: None,
            };
            self.tell_running(asked, |host, now| host.command(now, command));
        }
    }

    /// The cluster as the node with the newest registry has it.
    fn picture(&self) -> Option<Picture> {
        let hosts = self.plan.seats().filter_map(|seat| self.host(seat));
        let registry = hosts
            .map(|host| host.registry())
            .max_by_key(|registry| registry.revision)?;
        let name = |id: NodeId| registry.nodes.get(&id).map(|record| record.name.to_string());
        let voters = self.plan.voter_ids();
        let nodes = self.plan.seats().map(|seat| PictureNode {
            name: self.name(seat).to_string(),
            voter: voters.contains(&self.id(seat)),
            up: self.places[seat.index()].host.is_some(),
        });
        let leads = self
            .places
            .iter()
            .find(|place| place.runs() && place.state.leads && place.state.quorum);
        Some(Picture {
            nodes: nodes.collect(),
            exchanges: exchanges(registry, name),
            meta_leader: leads.map(|place| place.plan.name.to_string()),
        })
    }
}

fn exchanges(registry: &Registry, name: impl Fn(NodeId) -> Option<String>) -> Vec<PictureExchange> {
    let exchange = |record: &squall_kernel::registry::ExchangeRecord| PictureExchange {
        name: record.name.to_string(),
        owner: record.owner.and_then(&name),
        leader: record.leader.and_then(|leader| name(leader.pid.node)),
        handlers: Vec::new(),
    };
    registry.exchanges.values().map(exchange).collect()
}

/// Handlers, messages and processors of simulated nodes are what they are.
fn held(node: Seat, kind: &FaultKind) -> Option<SimFault> {
    match *kind {
        FaultKind::Clock(ClockFault::Skew { ppm }) => Some(SimFault::ClockSkew { node, ppm }),
        FaultKind::Clock(ClockFault::Step { ms }) => Some(SimFault::ClockStep { node, ms }),
        FaultKind::Disk(DiskFault::Slow { by }) => Some(SimFault::SlowDisk { node, by }),
        FaultKind::Disk(DiskFault::Full) => Some(SimFault::FullDisk { node }),
        _ => None,
    }
}

fn on_node(node: Seat, deed: NodeDeed, lasts: Span) -> Option<(SimFault, Span)> {
    match deed {
        NodeDeed::Kill { .. } => Some((SimFault::Crash { node }, lasts)),
        NodeDeed::Stop { .. } => Some((SimFault::Stop { node }, lasts)),
        NodeDeed::Pause => Some((SimFault::Pause { node }, lasts)),
        NodeDeed::Restart => Some((SimFault::Crash { node }, RESTART)),
        // Simulated nodes keep their ids with their places.
        NodeDeed::Resume | NodeDeed::Wipe => None,
    }
}
