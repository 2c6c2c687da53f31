//! Small histories for the checkers' tests: times in milliseconds, exchange 1, handler `n` is the first process of node
//! `n`, requests come from node 1.

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{
    Boot, ClusterId, Counter, Epoch, ExchangeId, Incarnation, LeaderEpoch, MessageId, NodeId, Pid, Revision,
};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::Strategy;
use squall_kernel::time::Instant;

use super::{Breach, Invariant, Verdict};
use crate::history::{Answer, Ended, Event, View, What};

const EXCHANGE: ExchangeId = ExchangeId(1);
const CLUSTER: ClusterId = ClusterId(9);

pub(crate) fn at(ms: u64, node: u64, what: What) -> Event {
    Event {
        at: Instant(ms * 1000),
        node: NodeId(node),
        what,
    }
}

fn ms(ms: u64) -> Instant {
    Instant(ms * 1000)
}

pub(crate) fn handler(node: u64) -> Pid {
    Pid::new(NodeId(node), Boot(1), 1)
}

pub(crate) fn request(n: u64) -> RequestKey {
    RequestKey {
        origin: NodeId(1),
        message: MessageId(n),
    }
}

pub(crate) fn started(t: u64, node: u64) -> Event {
    let incarnation = Incarnation(1);
    at(t, node, What::Started { incarnation })
}

pub(crate) fn ended(t: u64, node: u64) -> Event {
    at(t, node, What::Ended { graceful: false })
}

pub(crate) fn paused(t: u64, node: u64) -> Event {
    at(t, node, What::Paused)
}

pub(crate) fn lease(t: u64, node: u64, until: u64) -> Event {
    at(t, node, What::Lease { until: ms(until) })
}

pub(crate) fn own(t: u64, node: u64, epoch: u64) -> Event {
    let (exchange, epoch) = (EXCHANGE, Epoch(epoch));
    at(t, node, What::Own { exchange, epoch })
}

pub(crate) fn disown(t: u64, node: u64, epoch: u64) -> Event {
    let (exchange, epoch) = (EXCHANGE, Epoch(epoch));
    at(t, node, What::Disown { exchange, epoch })
}

pub(crate) fn granted(t: u64, node: u64, epoch: u64, owner: u64) -> Event {
    let what = What::Granted {
        exchange: EXCHANGE,
        epoch: Epoch(epoch),
        owner: NodeId(owner),
    };
    at(t, node, what)
}

pub(crate) fn declared(t: u64, strategy: Strategy) -> Event {
    let exchange = EXCHANGE;
    at(t, 1, What::Declared { exchange, strategy })
}

pub(crate) fn applied(t: u64, node: u64, revision: u64, digest: u64) -> Event {
    let (cluster, revision) = (CLUSTER, Revision(revision));
    let what = What::Applied {
        cluster,
        revision,
        digest,
    };
    at(t, node, what)
}

pub(crate) fn command(t: u64, node: u64, revision: u64, digest: u64) -> Event {
    let (cluster, revision) = (CLUSTER, Revision(revision));
    let what = What::Command {
        cluster,
        revision,
        digest,
    };
    at(t, node, what)
}

pub(crate) fn acknowledged(t: u64, node: u64, revision: u64, digest: u64) -> Event {
    let revision = Revision(revision);
    at(t, node, What::Acknowledged { revision, digest })
}

pub(crate) fn leads(t: u64, by: u64, leader_epoch: u64, until: u64) -> Event {
    let what = What::Leads {
        exchange: EXCHANGE,
        handler: handler(by),
        leader_epoch: LeaderEpoch(leader_epoch),
        until: ms(until),
    };
    at(t, by, what)
}

pub(crate) fn begun(t: u64, n: u64, many: bool) -> Event {
    let what = What::Begun {
        request: request(n),
        exchange: EXCHANGE,
        many,
    };
    at(t, 1, what)
}

pub(crate) fn routed(t: u64, n: u64, service_tag: &str, to: u64) -> Event {
    let what = What::Routed {
        request: request(n),
        exchange: EXCHANGE,
        epoch: Epoch(1),
        service_tag: service_tag.into(),
        handler: handler(to),
    };
    at(t, 1, what)
}

pub(crate) fn handled(t: u64, by: u64, n: u64, epoch: u64, leader_epoch: u64) -> Event {
    let what = What::Handled {
        request: request(n),
        exchange: EXCHANGE,
        handler: handler(by),
        epoch: Epoch(epoch),
        leader_epoch: LeaderEpoch(leader_epoch),
    };
    at(t, by, what)
}

pub(crate) fn fenced(t: u64, by: u64, epoch: u64, seen: u64) -> Event {
    let what = What::Fenced {
        exchange: EXCHANGE,
        handler: handler(by),
        epoch: Epoch(epoch),
        seen: Epoch(seen),
    };
    at(t, by, what)
}

pub(crate) fn reply(by: u64) -> Answer {
    Answer::Reply { handler: handler(by) }
}

pub(crate) fn none(reason: NoReply) -> Answer {
    Answer::None(Ended(reason))
}

pub(crate) fn outcome(t: u64, n: u64, outcome: Answer, more: bool) -> Event {
    let what = What::Outcome {
        request: request(n),
        exchange: EXCHANGE,
        outcome,
        more,
    };
    at(t, 1, what)
}

fn view(leader: Option<(u64, u64)>, servers: &[u64]) -> View {
    View {
        leader: leader.map(|(by, epoch)| (handler(by), LeaderEpoch(epoch))),
        servers: servers.iter().map(|n| handler(*n)).collect(),
    }
}

pub(crate) fn owner_view(
    t: u64,
    node: u64,
    (epoch, counter): (u64, u64),
    leader: Option<(u64, u64)>,
    servers: &[u64],
) -> Event {
    let what = What::OwnerView {
        exchange: EXCHANGE,
        version: (Epoch(epoch), Counter(counter)),
        view: view(leader, servers),
    };
    at(t, node, what)
}

pub(crate) fn handler_view(
    t: u64,
    by: u64,
    (epoch, counter): (u64, u64),
    leader: Option<(u64, u64)>,
    servers: &[u64],
) -> Event {
    let what = What::HandlerView {
        exchange: EXCHANGE,
        handler: handler(by),
        version: (Epoch(epoch), Counter(counter)),
        view: view(leader, servers),
    };
    at(t, by, what)
}

fn judge(mut check: impl Invariant, story: &[Event]) -> Verdict {
    for event in story {
        if let Err(breach) = check.see(event) {
            assert_eq!(breach.id, check.id());
            return Verdict::Fail(breach);
        }
    }
    check.end()
}

pub(super) fn holds(check: impl Invariant, story: &[Event]) {
    assert_eq!(judge(check, story), Verdict::Ok);
}

pub(super) fn broken(check: impl Invariant, story: &[Event]) -> Breach {
    match judge(check, story) {
        Verdict::Fail(breach) => breach,
        other => panic!("a breach was expected, not: {other}"),
    }
}

pub(super) fn unknown(check: impl Invariant, story: &[Event]) -> String {
    match judge(check, story) {
        Verdict::Unknown(reason) => reason,
        other => panic!("unknown was expected, not: {other}"),
    }
}
