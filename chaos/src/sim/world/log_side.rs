//! The world's side of the log: what it says goes to the nodes, and into the history.

use std::sync::Arc;

use squall_kernel::id::{ClusterId, Revision};
use squall_kernel::reason::Lost;
use squall_kernel::registry::{Command, Registry};
use squall_node::data::Change;

use super::{Held, World};
use crate::history::{Mark, What};
use crate::sim::fault::Seat;
use crate::sim::host::proposals;
use crate::sim::links::Way;
use crate::sim::log::{LogState, Output};
use crate::sim::outcome::Digest;

impl World {
    pub(super) fn log_said(&mut self, output: Output) {
        let node = match &output {
            Output::Send { from, .. } => *from,
            Output::State { node, .. }
            | Output::Registry { node, .. }
            | Output::Answer { node, .. }
            | Output::Failed { node, .. }
            | Output::TailLost { node } => *node,
        };
        let Some(seat) = self.seat_of(node) else { return };
        if self.place(seat).paused {
            return self.place(seat).held.push(Held::Log(output));
        }
        match output {
            Output::Send { to, message, .. } => {
                if let Some(to) = self.seat_of(to) {
                    self.send_of_log(Way { from: seat, to }, &message);
                }
            }
            Output::State { state, .. } => self.log_state(seat, state),
            Output::Registry {
                registry, command, ..
            } => self.registry_moved(seat, &registry, command),
            Output::Answer { ticket, result, .. } => {
                self.tell(seat, |host, now| host.log_answered(now, ticket, result));
            }
            Output::Failed { why, full, .. } => {
                let what = if full {
                    What::Mark(Mark::DiskFull)
                } else {
                    What::LogFailed { why }
                };
                self.event(seat, what);
                self.disk_failed(seat);
            }
            Output::TailLost { .. } => self.event(seat, What::Mark(Mark::TailLost)),
        }
    }

    fn log_state(&mut self, seat: Seat, state: LogState) {
        let before = std::mem::replace(&mut self.place(seat).state, state.clone());
        let (was, is) = ((before.leads, before.term), (state.leads, state.term));
        if before.leads && was != is {
            let (term, leads) = (before.term, false);
            self.event(seat, What::MetaLeader { term, leads });
        }
        if state.leads && was != is {
            let (term, leads) = (state.term, true);
            self.event(seat, What::MetaLeader { term, leads });
        }
        if !before.voters.is_empty() && before.voters != state.voters {
            self.event(seat, What::Mark(Mark::VotersChanged));
            if before.voters.ids().iter().any(|id| !state.voters.contains(*id)) {
                self.event(seat, What::Mark(Mark::VoterReplaced));
            }
        }
        self.tell(seat, |host, now| host.log_moved(now, state));
    }

    fn registry_moved(&mut self, seat: Seat, registry: &Arc<Registry>, command: Option<(Revision, Command)>) {
        let before = self
            .place(seat)
            .host
            .as_ref()
            .map(|host| Arc::clone(host.registry()));
        let Some(before) = before else { return };
        if let Some(cluster) = registry.cluster {
            self.tell_command(seat, cluster, command);
            let digest = digest(registry);
            self.event(
                seat,
                What::Applied {
                    cluster,
                    revision: registry.revision,
                    digest,
                },
            );
            self.tell_changes(seat, &before, registry);
        }
        self.tell(seat, |host, now| host.registry_moved(now, registry));
    }

    fn tell_command(&mut self, seat: Seat, cluster: ClusterId, command: Option<(Revision, Command)>) {
        let Some((revision, command)) = command else {
            return;
        };
        if let Command::NodeLost { reason, .. } = &command
            && self.place(seat).state.leads
        {
            let mark = match reason {
                Lost::Silent => Mark::Waited,
                Lost::Goodbye | Lost::Restarted | Lost::Died | Lost::Recovered => Mark::DeathProved,
            };
            self.event(seat, What::Mark(mark));
        }
        if matches!(command, Command::NodeWeak { .. }) && self.place(seat).state.leads {
            self.event(seat, What::Mark(Mark::Weak));
        }
        let digest = proposals::digest(&command);
        self.event(
            seat,
            What::Command {
                cluster,
                revision,
                digest,
            },
        );
    }

    fn tell_changes(&mut self, seat: Seat, before: &Arc<Registry>, after: &Arc<Registry>) {
        let mut news = Vec::new();
        let change = Change::between(Arc::clone(before), Arc::clone(after), self.id(seat));
        for (lost, before) in change.lost_runs() {
            news.push(What::Lost { lost, before });
        }
        news.extend(change.came_up().map(|node| What::Up { node }));
        for gone in before
            .exchanges
            .keys()
            .filter(|id| !after.exchanges.contains_key(id))
        {
            news.push(What::Deleted { exchange: *gone });
        }
        for record in after.exchanges.values() {
            let (exchange, epoch) = (record.id, record.epoch);
            let known = before.exchanges.get(&exchange);
            if known.is_none() {
                let strategy = record.strategy;
                news.push(What::Declared { exchange, strategy });
            }
            let moving = known.and_then(|known| known.moving);
            if moving.is_some_and(|moving| record.moving.is_none() && epoch > moving.epoch) {
                news.push(What::Mark(Mark::MoveCancelled));
            }
            if let Some(owner) = record.owner
                && known.is_none_or(|known| (known.epoch, known.owner) != (epoch, record.owner))
            {
                news.push(What::Granted {
                    exchange,
                    epoch,
                    owner,
                });
            }
        }
        for what in news {
            self.event(seat, what);
        }
    }
}

fn digest(registry: &Registry) -> u64 {
    let mut digest = Digest::default();
    digest.bytes(&squall_kernel::message::control(registry).payload);
    digest.value()
}
