//! What the core wants done, carried out: messages, proposals, the lease, who owns what, and what observers are told of it.
//!
//! What does not live here: the decisions (`squall_kernel::core`).

use squall_kernel::core::CoreEffect;
use squall_kernel::registry::Command;

use super::Control;

impl Control {
    pub(super) fn carry_out(&mut self, effect: CoreEffect) {
        match effect {
            CoreEffect::Send { to, message } => {
                // A peer that cannot be reached is noticed by its silence.
                let _ = self.parts.mesh.send_control(to, &message);
            }
            CoreEffect::Propose(command) => {
                self.teller.proposes(&self.registry, &command);
                self.lapses.proposes(&command);
                let proposals = self.parts.proposals.clone();
                let voters = self.meta_view.voters.at;
                tokio::spawn(async move { proposals.verdict(command, voters).await });
            }
            CoreEffect::Lease { until } => self.parts.lease.set(until),
            CoreEffect::LeaseLost => self.teller.lease_lost(self.core_owns()),
            CoreEffect::Own { exchange, epoch } => {
                if let Some(record) = self.registry.exchanges.get(&exchange) {
                    self.parts
                        .data
                        .exchanges
                        .own(record, self.registry.profile.times().promise);
                    self.teller.own(record, epoch);
                }
            }
            CoreEffect::Disown { exchange, reason } => {
                self.parts.data.exchanges.disown(exchange, reason);
                self.teller.disown(&self.registry, exchange, reason);
            }
            CoreEffect::Suspect { node, suspect } => {
                self.teller.suspect(&self.registry, node, suspect);
                if suspect {
                    self.missed(node);
                } else {
                    self.lapses.heard(node);
                }
            }
            CoreEffect::Rejoin => self.joining.introduce_again(),
            CoreEffect::Elections { allowed } => {
                self.parts.meta.set_elections(allowed);
                self.teller.elections(allowed);
            }
            CoreEffect::HandOver { to } => {
                self.teller.hands_over(&self.registry, to);
                let meta = self.parts.meta.clone();
                // Whether it took over, Raft's own state tells; the core asks again if it did not.
                tokio::spawn(async move { meta.transfer_leader(to).await });
            }
            CoreEffect::HandOff { exchange, to, epoch } => {
                self.parts.data.exchanges.hand_off(exchange, to, epoch);
                self.teller.hands_off(&self.registry, exchange, to);
            }
            CoreEffect::Reach { node, reachable } => {
                self.parts.data.reach(node, reachable);
                self.teller.reach(&self.registry, node, reachable);
            }
            CoreEffect::Isolated { isolated } => {
                self.parts.data.isolated(isolated);
                self.teller.isolated(isolated);
            }
            CoreEffect::Drained { leave } => {
                self.teller.drained(leave);
                self.parts.drained.send_replace(Some(leave));
            }
        }
    }

    /// What owned exchanges want in the registry. Lost proposals are made again by them while they wait.
    pub(super) fn propose(&self, wanted: Command) {
        let proposals = self.parts.proposals.clone();
        tokio::spawn(async move { proposals.propose(wanted).await });
    }

    fn core_owns(&self) -> usize {
        self.registry.owned_by(self.parts.me.id).count()
    }
}
