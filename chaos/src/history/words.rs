//! Events in words: one line each.

use std::fmt;

use super::{Answer, Event, View, What};

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:x} {}", self.at, self.node.0, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { incarnation } => write!(f, "started incarnation {incarnation}"),
            Self::Ended { graceful: true } => f.write_str("left"),
            Self::Ended { graceful: false } => f.write_str("killed"),
            Self::Paused => f.write_str("paused"),
            Self::Resumed => f.write_str("resumed"),
            Self::Lease { until } => write!(f, "lease until {until}"),
            Self::Own { exchange, epoch } => write!(f, "owns #{exchange} epoch {epoch}"),
            Self::Disown { exchange, epoch } => write!(f, "disowns #{exchange} epoch {epoch}"),
            Self::Applied { revision, digest, .. } => {
                write!(f, "applied revision {revision} digest {digest:016x}")
            }
            Self::Command { revision, digest, .. } => {
                write!(f, "applied command {digest:016x} as revision {revision}")
            }
            Self::Acknowledged { revision, digest } => {
                write!(f, "acknowledged revision {revision} command {digest:016x}")
            }
            Self::LogFailed { why } => write!(f, "its log cannot go on: {why}"),
            Self::MetaLeader { term, leads: true } => write!(f, "leads the registry in term {term}"),
            Self::MetaLeader { term, leads: false } => write!(f, "no longer leads the registry, term {term}"),
            Self::Granted {
                exchange,
                epoch,
                owner,
            } => write!(f, "granted #{exchange} epoch {epoch} to {:x}", owner.0),
            Self::Declared { exchange, strategy } => {
                write!(f, "declared #{exchange}, {}", strategy.as_str())
            }
            Self::Deleted { exchange } => write!(f, "deleted #{exchange}"),
            Self::Leads {
                exchange,
                handler,
                leader_epoch,
                until,
            } => {
                write!(
                    f,
                    "{handler} leads #{exchange} leader epoch {leader_epoch} until {until}"
                )
            }
            Self::Begun {
                request, exchange, ..
            } => write!(f, "request {request} to #{exchange}"),
            Self::Routed {
                request,
                exchange,
                epoch,
                handler,
                ..
            } => {
                write!(f, "routed {request} of #{exchange} epoch {epoch} to {handler}")
            }
            Self::Handled {
                request,
                exchange,
                handler,
                epoch,
                leader_epoch,
            } => {
                write!(
                    f,
                    "{handler} handled {request} of #{exchange} epoch {epoch} leader epoch {leader_epoch}"
                )
            }
            Self::GivenBack { request, handler } => write!(f, "{handler} has given {request} back"),
            Self::Kept {
                exchange,
                signature,
                handler,
                ..
            } => write!(f, "{handler} of #{exchange} has signature {signature}"),
            Self::Detached { handler } => write!(f, "{handler} is detached"),
            Self::Fenced {
                exchange,
                handler,
                epoch,
                seen,
            } => {
                write!(f, "{handler} of #{exchange} fenced epoch {epoch}, seen {seen}")
            }
            Self::Outcome {
                request,
                outcome,
                more,
                ..
            } => {
                write!(
                    f,
                    "request {request}: {outcome}{}",
                    if *more { ", more follow" } else { "" }
                )
            }
            Self::Retried { request } => write!(f, "request {request} is tried again"),
            Self::Late { request } => write!(f, "late answer to {request} dropped"),
            Self::OwnerView {
                exchange,
                version: (epoch, counter),
                view,
            } => {
                write!(f, "owner's view of #{exchange} at {epoch}/{counter}: {view}")
            }
            Self::HandlerView {
                exchange,
                handler,
                version: (epoch, counter),
                view,
            } => {
                write!(f, "{handler}'s view of #{exchange} at {epoch}/{counter}: {view}")
            }
            Self::Talk { request, what, .. } => write!(f, "request {request}: {what}"),
            Self::Task { exchange, what } => write!(f, "#{exchange}: {what}"),
            Self::Publish { exchange, what } => write!(f, "#{exchange}: {what}"),
            Self::Holds { place, count, bound } => write!(f, "{place} holds {count} of {bound}"),
            Self::Fault { id, text, ends_by } => write!(f, "fault {id} until {ends_by}: {text}"),
            Self::FaultOver { id } => write!(f, "fault {id} is over"),
            Self::Up { node } => write!(f, "{:x} is up", node.0),
            Self::Lost { lost, before } => write!(f, "{:x} is lost, before its run {}", lost.0, before.0),
            Self::Mark(mark) => f.write_str(mark.as_str()),
            Self::Healed => f.write_str("healed"),
            Self::Settled => f.write_str("settled"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply { handler } => write!(f, "reply of {handler}"),
            Self::Declined { handler } => write!(f, "declined by {handler}"),
            Self::None(reason) => f.write_str(reason.0.as_str()),
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.leader {
            Some((pid, epoch)) => write!(f, "leader {pid} epoch {epoch}, {} serve", self.servers.len()),
            None => write!(f, "no leader, {} serve", self.servers.len()),
        }
    }
}
