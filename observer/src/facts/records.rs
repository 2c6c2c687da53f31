//! The records themselves. Their fields are the schema of the headless JSON: a name is never reused for
//! something else, and a field that goes away raises the schema's version.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cluster::State;

/// A node.
#[derive(Debug, Clone, Serialize)]
pub struct NodeFact {
    /// Name.
    pub name: String,
    /// State as this watcher sees it.
    pub state: State,
    /// Role in the registry's group: `leader`, `voter`, `learner` or `unknown`.
    pub role: &'static str,
    /// Incarnation.
    pub incarnation: u64,
    /// Raft term.
    pub term: u64,
    /// Node it takes for the meta leader.
    pub meta_leader: Option<String>,
    /// Hears a majority of the voters.
    pub quorum: bool,
    /// Revision of the registry applied there.
    pub revision: u64,
    /// Revisions behind the newest seen.
    pub revision_lag: u64,
    /// Processor use in percent of one core.
    pub cpu_percent: Option<f64>,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Open file descriptors.
    pub fds: u64,
    /// What it may be given: `full`, `weak`, `draining`, `leaving` or `unknown`.
    pub duty: &'static str,
    /// Processes with a mailbox.
    pub processes: u64,
    /// Messages in since the start.
    pub messages_in: u64,
    /// Messages out since the start.
    pub messages_out: u64,
    /// Messages in per second.
    pub in_per_s: Option<f64>,
    /// Messages out per second.
    pub out_per_s: Option<f64>,
    /// Messages dropped since the start.
    pub dropped: u64,
    /// What it refused to clients since the start, how often by reason.
    pub refusals: BTreeMap<String, u64>,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// Milliseconds left of the lease.
    pub lease_left_ms: u64,
    /// Largest delay of the node's own timers in the last second.
    pub timer_late_ms: u64,
    /// Version of the program.
    pub version: String,
    /// Routing decisions explained since the start, for whoever watches an exchange in detail.
    pub decisions_explained: u64,
    /// Exchanges and processes that are watched in detail there.
    pub detail_watchers: u64,
    /// Operating system's process id.
    pub os_pid: Option<u64>,
    /// Listens beyond loopback without mutual TLS.
    pub insecure: bool,
    /// What it waits for while it is in no cluster.
    pub waiting_for: Option<String>,
    /// Milliseconds since its last frame, when it is overdue.
    pub stale_ms: Option<u64>,
    /// Why there is no connection.
    pub why: Option<String>,
}

/// A failover of one exchange, by its phases. Microseconds; null where a phase did not happen, or is not known.
#[derive(Debug, Clone, Serialize)]
pub struct FailoverFact {
    /// When the next owner began.
    pub unix_ms: u64,
    /// Exchange.
    pub exchange: String,
    /// Epoch of the next owner.
    pub epoch: u64,
    /// Node that was lost.
    pub from: String,
    /// Next owner.
    pub to: String,
    /// From the broken link to the first suspicion, or the end that was seen.
    pub detect_us: Option<u64>,
    /// Until the promises to the lost node had run out, or its end was proved.
    pub lease_end_us: Option<u64>,
    /// Until another node led the registry, where that one did.
    pub elect_us: Option<u64>,
    /// Until the exchange had its next owner.
    pub assign_us: Option<u64>,
    /// Until a handler led, where one has to.
    pub announce_us: Option<u64>,
    /// Until somebody had an answer.
    pub first_good_reply_us: Option<u64>,
    /// All of it.
    pub total_us: u64,
    /// Somebody had an answer.
    pub answered: bool,
}

/// Something that exists, by its name.
#[derive(Debug, Clone, Serialize)]
pub struct RegistryFact {
    /// `node`, `exchange`, `session`, `handler` or `subscriber`.
    pub kind: &'static str,
    /// Its name; of what is attached, the name of what it is attached to.
    pub name: String,
    /// Node it is on, or that owns it.
    pub node: Option<String>,
    /// Pid, of what has one.
    pub pid: Option<String>,
    /// Of a node `up`, `suspect` or `down`; of an exchange `owned`, `moving`, `split` or `ownerless`; of what is attached
    /// `attached`.
    pub state: &'static str,
    /// What it is, in words.
    pub what: String,
    /// Milliseconds since it began, where that is known.
    pub age_ms: Option<u64>,
    /// Milliseconds since the reporting node's last frame, when it is overdue.
    pub stale_ms: Option<u64>,
}

/// A fault that acts.
#[derive(Debug, Clone, Serialize)]
pub struct FaultFact {
    /// Id, unique in the cluster.
    pub id: String,
    /// Node on which it acts.
    pub node: String,
    /// What it does.
    pub what: String,
    /// Milliseconds until it ends by itself.
    pub left_ms: u64,
    /// Who asked for it.
    pub by: String,
    /// Frames it has touched.
    pub touched: u64,
    /// Milliseconds since the node's last frame, when it is overdue.
    pub stale_ms: Option<u64>,
}

/// A directed link.
#[derive(Debug, Clone, Serialize)]
pub struct LinkFact {
    /// Reporting node.
    pub from: String,
    /// Its peer.
    pub to: String,
    /// `up`, `connecting`, `suspect`, `down`, `refused` or `unknown`.
    pub state: &'static str,
    /// Median round trip.
    pub rtt_p50_us: u64,
    /// 99th percentile of the round trip.
    pub rtt_p99_us: u64,
    /// Suspicion of the peer.
    pub phi: f64,
    /// Bytes waiting.
    pub queue_bytes: u64,
    /// Milliseconds since the peer was heard.
    pub last_heard_ms: u64,
    /// Fault that acts on it.
    pub fault: Option<String>,
    /// Milliseconds until it ends.
    pub fault_left_ms: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Times it was connected.
    pub connects: u64,
    /// Why it is not up.
    pub why: Option<String>,
    /// How what is sent in this direction fares, by both ends; as `state`.
    pub way: &'static str,
    /// The receiver's suspicion of the sender.
    pub way_phi: Option<f64>,
    /// Milliseconds since the receiver heard the sender.
    pub way_heard_ms: Option<u64>,
    /// Milliseconds since the reporting node's last frame, when it is overdue.
    pub stale_ms: Option<u64>,
}

/// An exchange.
#[derive(Debug, Clone, Serialize)]
pub struct ExchangeFact {
    /// Name.
    pub name: String,
    /// Message pattern.
    pub pattern: String,
    /// Strategy; none where the pattern has none.
    pub strategy: Option<String>,
    /// Owner by the newest registry that could be read.
    pub owner: Option<String>,
    /// Its epoch.
    pub epoch: u64,
    /// Handlers attached; unknown without a live owner.
    pub handlers: Option<u64>,
    /// Requests that entered at any live node since it started.
    pub requests: Option<u64>,
    /// Replies forwarded, over all live nodes.
    pub replies: Option<u64>,
    /// Requests declined, over all live nodes.
    pub declined: Option<u64>,
    /// Requests turned away, over all nodes.
    pub refused: u64,
    /// Requests routed and not completed.
    pub in_flight: Option<u64>,
    /// Requests per second.
    pub requests_per_s: Option<f64>,
    /// Median time from route to completion at the busiest node.
    pub p50_us: Option<u64>,
    /// 99th percentile of the same, the largest of all nodes.
    pub p99_us: Option<u64>,
    /// Failover list.
    pub failover: Vec<String>,
    /// Node that it moves to now.
    pub moving_to: Option<String>,
    /// What happens when a preferred owner is back: `auto`, `manual` or `never`.
    pub takeover: String,
    /// Node that it would rather be on.
    pub prefers: Option<String>,
    /// True when two nodes act as owner at once.
    pub split: bool,
    /// Milliseconds since the source's last frame, when no live node knows the exchange.
    pub stale_ms: Option<u64>,
}

/// One node's opinion on one exchange: what it would act on now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaderFact {
    /// Exchange.
    pub exchange: String,
    /// The node whose opinion this is.
    pub node: String,
    /// `owner`, `owner-no-lease`, `router` or `unknown`.
    pub role: &'static str,
    /// Highest epoch it has seen in action.
    pub epoch: u64,
    /// Handler that leads, as pid.
    pub leader: Option<String>,
    /// Epoch of that handler.
    pub leader_epoch: u64,
    /// Node it would send a request to now.
    pub believed_owner: Option<String>,
    /// Live nodes that would send a request to this node now.
    pub believed_by: Vec<String>,
    /// Node that the exchange moves to now, as far as this node knows.
    pub moving_to: Option<String>,
    /// Milliseconds left of its lease.
    pub lease_left_ms: u64,
    /// True when another node acts as owner at the same time.
    pub split: bool,
    /// Milliseconds since the node's last frame, when it is overdue.
    pub stale_ms: Option<u64>,
}

/// An event.
#[derive(Debug, Clone, Serialize)]
pub struct EventFact {
    /// Milliseconds since the Unix epoch, by the node's clock.
    pub unix_ms: u64,
    /// Node it happened on.
    pub node: String,
    /// Incarnation of that node.
    pub incarnation: u64,
    /// Number within the incarnation.
    pub seq: u64,
    /// `info`, `notice`, `alert` or `unknown`.
    pub severity: &'static str,
    /// Kind.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// In words.
    pub text: String,
    /// Epoch, where it has one.
    pub epoch: Option<u64>,
}
