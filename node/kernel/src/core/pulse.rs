//! Heartbeats and their answers, who is heard and who is suspect, and whether this node's own timers can be trusted.
//!
//! What does not live here: what the meta leader makes of it (`meta_leader`).

use super::*;

impl NodeCore {
    pub(super) fn judge_own_timers(&mut self, now: Instant, due: Instant, out: &mut Vec<CoreEffect>) {
        if now.since(due) > self.times.late {
            if self.late_until <= now {
                out.push(CoreEffect::Elections { allowed: false });
            }
            self.late_until = now + self.times.silence;
            for peer in self.peers.values_mut().filter(|p| !p.broken) {
                peer.detector.reset(now);
                peer.heard = now;
            }
        } else if self.late_until > Instant(0) && self.late_until <= now {
            self.late_until = Instant(0);
            out.push(CoreEffect::Elections { allowed: true });
        }
    }

    pub(super) fn heartbeat(&mut self, now: Instant, out: &mut Vec<CoreEffect>) {
        let tenure = self.my_tenure();
        let message = PeerMessage::Heartbeat {
            sent_at: now,
            tenure,
            revision: self.registry.revision,
            leased: self.said > now,
            ended: tenure > Tenure(0) && self.ended == tenure,
        };
        out.extend(
            self.peers
                .iter()
                .filter(|(_, p)| !p.broken)
                .map(|(to, _)| CoreEffect::Send {
                    to: *to,
                    message: message.clone(),
                }),
        );
        if self.meta.voters.contains(self.me) {
            match self.voter.ask(now, self.me, tenure, self.tenure_of(self.me)) {
                Promise::Given(length) => {
                    let at = self.meta.voters.at;
                    self.lease.promised(self.me, tenure, at, now, length);
                }
                Promise::Ended => self.ended = self.ended.max(tenure),
                Promise::Withheld => {}
            }
        }
    }

    pub(super) fn connected(&mut self, now: Instant, node: NodeId) {
        let peer = self.peer(now, node);
        peer.broken = false;
        peer.heard = now;
        peer.acked = now;
        peer.detector.heard(now);
        for gather in self.gathers.values_mut() {
            gather.forget(node);
        }
    }

    pub(super) fn broken(&mut self, now: Instant, node: NodeId, out: &mut Vec<CoreEffect>) {
        self.peer(now, node).broken = true;
        self.set_suspect(node, true, out);
        self.work_as_meta_leader(now, false, out);
    }

    pub(super) fn message(
        &mut self,
        now: Instant,
        from: NodeId,
        message: &PeerMessage,
        out: &mut Vec<CoreEffect>,
    ) {
        let peer = self.peer(now, from);
        peer.heard = now;
        peer.broken = false;
        if matches!(message, PeerMessage::Heartbeat { .. }) {
            peer.detector.heard(now);
        }
        self.set_suspect(from, false, out);
        match message {
            PeerMessage::Heartbeat {
                sent_at,
                tenure,
                revision,
                leased,
                ended,
            } => {
                self.peer(now, from).says(now, *tenure, *leased, *ended);
                self.answer_heartbeat(now, from, *sent_at, (*tenure, *revision), out);
            }
            PeerMessage::HeartbeatAck {
                sent_at,
                tenure,
                promise,
                voters,
                ended,
            } => {
                if *ended {
                    self.ended = self.ended.max(*tenure);
                }
                self.acknowledged(now, from, *sent_at, out);
                self.promised(now, from, *sent_at, *tenure, *voters, *promise);
            }
            PeerMessage::Obituary { node, incarnation } => self.died_elsewhere(now, *node, *incarnation, out),
            PeerMessage::GatherAsk { node, tenure, term } => {
                let remaining = self.voter.end(now, *node, *tenure);
                let message = PeerMessage::GatherAnswer {
                    node: *node,
                    tenure: *tenure,
                    term: *term,
                    remaining,
                };
                out.push(CoreEffect::Send { to: from, message });
            }
            PeerMessage::GatherAnswer {
                node,
                tenure,
                term,
                remaining,
            } => {
                if *term == self.meta.term
                    && let Some(gather) = self.gathers.get_mut(node).filter(|g| g.tenure == *tenure)
                {
                    gather.answer(now, from, *remaining);
                    self.work_as_meta_leader(now, false, out);
                }
            }
            PeerMessage::Goodbye { tenure } => self.goodbye(from, *tenure, out),
            _ => {}
        }
    }

    pub(super) fn acknowledged(
        &mut self,
        now: Instant,
        from: NodeId,
        sent_at: Instant,
        out: &mut Vec<CoreEffect>,
    ) {
        let silence = self.times.silence;
        let peer = self.peer(now, from);
        // An old acknowledgement says only that the link worked then.
        if now.since(sent_at) <= silence {
            peer.acked = now;
            self.set_reach(from, true, out);
        }
    }

    pub(super) fn promised(
        &mut self,
        now: Instant,
        from: NodeId,
        sent_at: Instant,
        tenure: Tenure,
        voters: VotersAt,
        promise: Span,
    ) {
        if promise > Span::ZERO {
            let counted_from = if planted::is(Bug::LengthenLease) {
                now
            } else {
                sent_at
            };
            self.lease.promised(from, tenure, voters, counted_from, promise);
        }
    }

    pub(super) fn answer_heartbeat(
        &mut self,
        now: Instant,
        from: NodeId,
        sent_at: Instant,
        (tenure, revision): (Tenure, Revision),
        out: &mut Vec<CoreEffect>,
    ) {
        let registered = self.tenure_of(from);
        let promise = if self.may_promise() && tenure > Tenure(0) {
            self.voter.ask(now, from, tenure, registered)
        } else {
            Promise::Withheld
        };
        // What it goes by is old: it was a member then, and is none now.
        let removed = tenure > Tenure(0)
            && revision <= self.registry.revision
            && !self.registry.nodes.contains_key(&from);
        let (promise, ended) = match promise {
            _ if removed => (Span::ZERO, true),
            Promise::Given(length) => (length, false),
            Promise::Withheld => (Span::ZERO, false),
            Promise::Ended => (Span::ZERO, true),
        };
        out.push(CoreEffect::Send {
            to: from,
            message: PeerMessage::HeartbeatAck {
                sent_at,
                tenure,
                promise,
                voters: self.meta.voters.at,
                ended,
            },
        });
    }

    /// A goodbye is proof enough: the node stopped acting before it said so.
    pub(super) fn goodbye(&mut self, from: NodeId, tenure: Tenure, out: &mut Vec<CoreEffect>) {
        self.set_suspect(from, true, out);
        if self.acts_as_meta_leader() && self.tenure_of(from) == Some(tenure) {
            out.push(CoreEffect::Propose(Command::NodeLost {
                node: from,
                tenure,
                reason: Lost::Goodbye,
            }));
        }
    }

    pub(super) fn suspect_the_silent(&mut self, now: Instant, out: &mut Vec<CoreEffect>) {
        if now < self.late_until {
            return;
        }
        let times = self.times;
        let silent = |p: &Peer| {
            let silence = now.since(p.heard);
            silence > times.silence
                || (silence.0 > 2 * times.heartbeat.0 && p.detector.phi(now) > PHI_SUSPECT)
        };
        let suspects: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, p)| silent(p))
            .map(|(id, _)| *id)
            .collect();
        for node in suspects {
            self.set_suspect(node, true, out);
        }
    }

    pub(super) fn set_suspect(&mut self, node: NodeId, suspect: bool, out: &mut Vec<CoreEffect>) {
        if let Some(peer) = self.peers.get_mut(&node).filter(|p| p.suspect != suspect) {
            peer.suspect = suspect;
            out.push(CoreEffect::Suspect { node, suspect });
        }
    }
}

#[cfg(test)]
#[path = "pulse_test.rs"]
mod tests;
