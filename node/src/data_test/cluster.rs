//! A cluster in memory: real data planes, a registry changed by real commands, and links that can be cut.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use opentelemetry_sdk::trace::SpanData;
use squall_client::handler::{Answer, Delivery, Handler, Notice};
use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{
    Boot, ClusterId, ExchangeId, ExchangeName, FunctionName, Incarnation, LinkSeq, NodeId, NodeName, Pid,
    Revision, ZoneName,
};
use squall_kernel::limits::FRAME_BYTES_MAX;
use squall_kernel::profile::Profile;
use squall_kernel::reason::{Lost, NoReply, StepDown};
use squall_kernel::registry::{
    Command, Introduction, Outcome as Applied, Pattern, Registry, RoutingFunction, Settings, Strategy,
};
use squall_kernel::time::{Instant, Span};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::data::{DataConfig, DataPlane};
use crate::faults::{FaultPlane, FaultSpans};
use crate::functions::{self, Question, Routed};
use crate::handlers::HandlerTags;
use crate::introspect::{EventLog, Wake};
use crate::journal::Journal;
use crate::lease::LeaseClock;
use crate::limits::TELL_EVERY;
use crate::router::{Outcome, Request};
use crate::telemetry::batch::Batcher;
use crate::telemetry::{Sampling, Share, SpanSink};
use crate::wire::{LinkError, PeerLink};

#[derive(Default)]
pub(super) struct Net {
    planes: Mutex<HashMap<NodeId, Weak<DataPlane>>>,
    cut: Mutex<HashSet<NodeId>>,
    /// Frames to these nodes are taken and never arrive.
    swallowing: Mutex<HashSet<NodeId>>,
    pub(super) swallowed: Mutex<Vec<(NodeId, NodeId, Frame)>>,
    /// Frames that arrived, by sender and receiver.
    arrived: Mutex<HashMap<(NodeId, NodeId), usize>>,
}

impl Net {
    /// Frames that arrived between all nodes.
    pub(super) fn all_frames(&self) -> usize {
        self.arrived.lock().unwrap().values().sum()
    }

    /// Frames that arrived from one node at another.
    pub(super) fn frames(&self, from: usize, to: usize) -> usize {
        let arrived = self.arrived.lock().unwrap();
        arrived.get(&(node(from), node(to))).copied().unwrap_or(0)
    }
}

struct Link {
    me: NodeId,
    net: Arc<Net>,
}

impl PeerLink for Link {
    fn send(&self, to: NodeId, _key: u64, frame: Frame) -> Result<(), LinkError> {
        if self.net.cut.lock().unwrap().contains(&to) {
            return Err(LinkError::Down);
        }
        if self.net.swallowing.lock().unwrap().contains(&to) {
            self.net.swallowed.lock().unwrap().push((self.me, to, frame));
            return Ok(());
        }
        let mut bytes = BytesMut::new();
        frame.encode(LinkSeq(1), &mut bytes);
        let (_, frame) = Frame::decode(&mut bytes, FRAME_BYTES_MAX).unwrap().unwrap();
        let plane = self
            .net
            .planes
            .lock()
            .unwrap()
            .get(&to)
            .and_then(Weak::upgrade)
            .ok_or(LinkError::Down)?;
        *self.net.arrived.lock().unwrap().entry((self.me, to)).or_default() += 1;
        plane.frame(self.me, frame);
        Ok(())
    }
}

pub(super) struct Cluster {
    pub(super) net: Arc<Net>,
    pub(super) planes: Vec<Arc<DataPlane>>,
    pub(super) leases: Vec<Arc<LeaseClock>>,
    /// Timelines, in the order in which nodes started.
    pub(super) events: Vec<Arc<EventLog>>,
    appointments: Vec<mpsc::Receiver<Command>>,
    pub(super) registry: Registry,
    dead: HashSet<NodeId>,
    spans: SpanSink,
}

pub(super) fn name(text: &str) -> ExchangeName {
    ExchangeName::new(text).unwrap()
}

pub(super) fn node(n: usize) -> NodeId {
    NodeId(n as u64 + 1)
}

fn node_name(n: usize) -> NodeName {
    NodeName::new(["a", "b", "c", "d", "e"][n]).unwrap()
}

/// Lets everything happen that can happen now: with paused time a millisecond passes when all tasks wait.
pub(super) async fn quiet() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Lets system messages arrive that wait for each other on their way.
pub(super) async fn told() {
    tokio::time::sleep(Duration::from_micros(2 * TELL_EVERY.0)).await;
}

impl Cluster {
    pub(super) fn new(nodes: usize) -> Self {
        Self::recording(nodes, None)
    }

    /// One node in each of the zones.
    pub(super) fn in_zones(zones: &[&str]) -> Self {
        Self::with(zones.len(), None, zones, SpanSink::default())
    }

    /// The same, with what its nodes tell of that share of what enters.
    pub(super) fn traced(zones: &[&str], share: Share) -> (Self, mpsc::Receiver<SpanData>) {
        let (batcher, told) = Batcher::caught();
        let spans = SpanSink::to(&batcher, Sampling::of(share, true));
        (Self::with(zones.len(), None, zones, spans), told)
    }

    /// The second value of `journal` says which node records.
    pub(super) fn recording(nodes: usize, journal: Option<(&Journal, usize)>) -> Self {
        Self::with(nodes, journal, &[], SpanSink::default())
    }

    fn with(nodes: usize, journal: Option<(&Journal, usize)>, zones: &[&str], spans: SpanSink) -> Self {
        let mut cluster = Self {
            net: Arc::default(),
            planes: Vec::new(),
            leases: Vec::new(),
            events: Vec::new(),
            appointments: Vec::new(),
            registry: Registry::default(),
            dead: HashSet::new(),
            spans,
        };
        for n in 0..nodes {
            cluster.start(
                n,
                Incarnation(1),
                journal
                    .filter(|(_, at)| *at == n)
                    .map(|(journal, _)| journal.clone()),
            );
        }
        cluster.apply(&Command::Found {
            cluster: ClusterId(1),
            profile: Profile::Lan,
        });
        for n in 0..nodes {
            cluster.apply(&Command::NodeUp(Introduction {
                id: node(n),
                name: node_name(n),
                incarnation: Incarnation(1),
                boot: Boot(1),
                mesh_addr: format!("127.0.0.1:74{n}0"),
                grpc_addr: format!("127.0.0.1:74{n}1"),
                functions: functions().names(),
                zone: zones.get(n).map(|zone| ZoneName::new(zone).unwrap()),
            }));
        }
        cluster
    }

    fn start(&mut self, n: usize, incarnation: Incarnation, journal: Option<Journal>) {
        let lease = Arc::new(LeaseClock::default());
        lease.set(Instant(u64::MAX));
        let events = Arc::new(EventLog::new(Incarnation(1), Wake::default()));
        self.events.push(Arc::clone(&events));
        let clock = Clock::start();
        let (plane, appointments) = DataPlane::start(DataConfig {
            events: Some(events),
            functions: functions(),
            node: node(n),
            boot: Boot(1),
            incarnation,
            name: node_name(n),
            clock: clock.clone(),
            faults: Arc::new(FaultPlane::new(clock).traced(FaultSpans::of(node_name(n), self.spans.clone()))),
            lease: Arc::clone(&lease),
            runtime: Handle::current(),
            journal,
            spans: self.spans.clone(),
        });
        plane.connect(Arc::new(Link {
            me: node(n),
            net: Arc::clone(&self.net),
        }));
        self.net
            .planes
            .lock()
            .unwrap()
            .insert(node(n), Arc::downgrade(&plane));
        self.planes.push(plane);
        self.leases.push(lease);
        self.appointments.push(appointments);
    }

    /// Applies a command, tells all nodes that live, and does what their control planes would do.
    pub(super) fn apply(&mut self, command: &Command) -> Applied {
        let before = self.registry.clone();
        let applied = self.registry.apply(Revision(before.revision.0 + 1), command);
        let new = Arc::new(self.registry.clone());
        for (n, plane) in self
            .planes
            .iter()
            .enumerate()
            .filter(|(n, _)| !self.dead.contains(&node(*n)))
        {
            plane.registry_changed(&new);
            for record in before.owned_by(node(n)) {
                match new.exchanges.get(&record.id) {
                    None => plane.exchanges.disown(record.id, StepDown::Deleted),
                    // Also where it goes on here, under another epoch.
                    Some(now) if (now.owner, now.epoch) != (record.owner, record.epoch) => {
                        plane.exchanges.disown(record.id, StepDown::Superseded);
                    }
                    Some(_) => {}
                }
            }
            for record in new.owned_by(node(n)) {
                if before
                    .exchanges
                    .get(&record.id)
                    .is_none_or(|old| old.epoch != record.epoch)
                {
                    plane.exchanges.own(record, Span::from_ms(100));
                }
            }
        }
        applied
    }

    /// Declares an exchange owned by the first node, then the second, then the third.
    pub(super) fn declare(&mut self, exchange: &str, strategy: Strategy) -> ExchangeId {
        self.declare_with(exchange, strategy, None)
    }

    /// Declares an exchange of another pattern, owned by the first node, then the second, and so on.
    pub(super) fn declare_pattern(
        &mut self,
        exchange: &str,
        pattern: Pattern,
        settings: Settings,
    ) -> ExchangeId {
        let failover = (0..self.planes.len()).map(node_name).collect();
        let command = Command::Declare {
            name: name(exchange),
            pattern,
            strategy: if pattern.has_strategy() {
                Strategy::RoundRobin
            } else {
                Strategy::Default
            },
            function: None,
            settings,
            failover,
            takeover: None,
        };
        assert_eq!(self.apply(&command), Applied::Done);
        self.registry.names[&name(exchange)]
    }

    pub(super) fn declare_with(
        &mut self,
        exchange: &str,
        strategy: Strategy,
        function: Option<RoutingFunction>,
    ) -> ExchangeId {
        let failover = (0..self.planes.len()).map(node_name).collect();
        let command = Command::Declare {
            name: name(exchange),
            pattern: Pattern::RequestResponse,
            strategy,
            function,
            settings: Settings::default(),
            failover,
            takeover: None,
        };
        assert_eq!(self.apply(&command), Applied::Done);
        self.registry.names[&name(exchange)]
    }

    /// Commits the leaders that owners want, until none wants another.
    pub(super) async fn appoint(&mut self) {
        loop {
            quiet().await;
            let wanted: Vec<Command> = self
                .appointments
                .iter_mut()
                .flat_map(|a| std::iter::from_fn(|| a.try_recv().ok()))
                .collect();
            if wanted.is_empty() {
                return;
            }
            for command in wanted {
                self.apply(&command);
            }
        }
    }

    /// Nothing reaches the node any more, and nothing comes from it.
    pub(super) fn kill(&mut self, n: usize) {
        self.dead.insert(node(n));
        self.net.cut.lock().unwrap().insert(node(n));
        self.planes[n].stop();
    }

    /// The node's process ends, and its next run joins before anybody has missed it.
    pub(super) fn restart(&mut self, n: usize) {
        self.planes[n].stop();
        let others = (self.planes.clone(), self.leases.clone());
        self.start(n, Incarnation(2), None);
        let (plane, lease) = (self.planes.pop(), self.leases.pop());
        (self.planes, self.leases) = others;
        self.planes[n] = plane.expect("just started");
        self.leases[n] = lease.expect("just started");
        self.apply(&self.up(n, Incarnation(2)));
    }

    pub(super) fn declare_lost(&mut self, n: usize) {
        let tenure = self.registry.nodes[&node(n)].tenure;
        self.apply(&Command::NodeLost {
            node: node(n),
            tenure,
            reason: Lost::Silent,
        });
    }

    pub(super) fn swallow(&self, n: usize) {
        self.net.swallowing.lock().unwrap().insert(node(n));
    }

    pub(super) fn heal(&self) {
        self.net.swallowing.lock().unwrap().clear();
        self.net.cut.lock().unwrap().clear();
    }

    pub(super) fn cut(&self, n: usize) {
        self.net.cut.lock().unwrap().insert(node(n));
    }

    /// Gives swallowed frames back to their senders.
    pub(super) fn give_back(&self) {
        let frames = std::mem::take(&mut *self.net.swallowed.lock().unwrap());
        for (from, to, frame) in frames {
            let sender = usize::try_from(from.0).unwrap() - 1;
            self.planes[sender].undeliverable(to, vec![frame]);
        }
    }

    /// Swallowed frames arrive after all, in the order in which they were sent, and others arrive again.
    pub(super) fn arrive_late(&self) {
        self.heal();
        let frames = std::mem::take(&mut *self.net.swallowed.lock().unwrap());
        for (from, to, frame) in frames {
            let receiver = usize::try_from(to.0).unwrap() - 1;
            self.planes[receiver].frame(from, frame);
        }
    }

    /// A node that was held for lost joins again in the same run.
    pub(super) fn declare_up(&mut self, n: usize) {
        self.apply(&self.up(n, Incarnation(1)));
    }

    fn up(&self, n: usize, incarnation: Incarnation) -> Command {
        Command::NodeUp(Introduction {
            id: node(n),
            name: node_name(n),
            incarnation,
            boot: Boot(1),
            mesh_addr: format!("127.0.0.1:74{n}0"),
            grpc_addr: format!("127.0.0.1:74{n}1"),
            functions: functions().names(),
            zone: self.registry.nodes[&node(n)].zone.clone(),
        })
    }

    /// Tells the senders of swallowed frames that nobody knows what became of them.
    pub(super) fn lose_track(&self) {
        let frames = std::mem::take(&mut *self.net.swallowed.lock().unwrap());
        for (from, to, frame) in frames {
            let sender = usize::try_from(from.0).unwrap() - 1;
            self.planes[sender].fate_unknown(to, vec![frame]);
        }
    }

    pub(super) fn attach(&self, n: usize, exchange: &str, handler: Scripted) -> Pid {
        self.attach_tagged(n, exchange, "", handler)
    }

    pub(super) fn attach_tagged(&self, n: usize, exchange: &str, service: &str, handler: Scripted) -> Pid {
        let tags = HandlerTags {
            service: service.into(),
            connection: "tag".into(),
            works: false,
        };
        self.planes[n]
            .handlers
            .attach_embedded(&name(exchange), tags, handler)
            .unwrap()
    }

    pub(super) async fn request(&self, n: usize, exchange: ExchangeId, payload: &'static str) -> Outcome {
        self.planes[n]
            .router
            .request(Request::new(exchange, Bytes::from_static(payload.as_bytes())))
            .await
    }
}

/// What every node of the cluster is started with: a function that asks for the group its key names.
fn functions() -> functions::Registry {
    let mut functions = functions::Registry::default();
    let by_key = |question: &Question<'_>| match std::str::from_utf8(question.key) {
        Ok("panic") => panic!("as asked"),
        Ok(tag) => Routed::group(tag),
        Err(_) => Routed::decline("no text"),
    };
    functions
        .register(FunctionName::new("by-key").unwrap(), by_key)
        .unwrap();
    functions
}

pub(super) fn reply(outcome: &Outcome) -> &str {
    assert_eq!(outcome.status, Status::Reply, "{}", outcome.reason());
    std::str::from_utf8(&outcome.payload).unwrap()
}

pub(super) fn none(reason: NoReply) -> Status {
    Status::None(reason)
}

pub(super) fn asked(exchange: ExchangeId, payload: &'static str) -> Request {
    Request::new(exchange, Bytes::from_static(payload.as_bytes()))
}

/// What handlers have seen.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    payloads: Vec<(String, Bytes)>,
    notices: Vec<(String, Notice)>,
}

impl Log {
    pub(super) fn count(&self, who: &str) -> usize {
        self.0
            .lock()
            .unwrap()
            .payloads
            .iter()
            .filter(|(name, _)| name == who)
            .count()
    }

    pub(super) fn payloads(&self, who: &str) -> Vec<Bytes> {
        let seen = self.0.lock().unwrap();
        let all = seen.payloads.iter().filter(|(name, _)| name == who);
        all.map(|(_, payload)| payload.clone()).collect()
    }

    pub(super) fn notices(&self, who: &str) -> Vec<Notice> {
        let seen = self.0.lock().unwrap();
        seen.notices
            .iter()
            .filter(|(name, _)| name == who)
            .map(|(_, notice)| notice.clone())
            .collect()
    }

    pub(super) fn handler(&self, who: &'static str) -> Scripted {
        Scripted {
            who,
            log: self.clone(),
        }
    }
}

/// Answers with its own name, unless the payload says otherwise.
pub(super) struct Scripted {
    who: &'static str,
    log: Log,
}

impl Handler for Scripted {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        self.log
            .0
            .lock()
            .unwrap()
            .payloads
            .push((self.who.into(), delivery.payload.clone()));
        match &delivery.payload[..] {
            b"panic" => panic!("as asked"),
            b"never" => std::future::pending().await,
            b"late" => {
                tokio::time::sleep(Duration::from_secs(20)).await;
                Answer::Reply(Bytes::new())
            }
            b"decline" => Answer::Decline(format!("{} will not", self.who)),
            _ => Answer::Reply(Bytes::from_static(self.who.as_bytes())),
        }
    }

    fn notice(&mut self, notice: Notice) {
        self.log.0.lock().unwrap().notices.push((self.who.into(), notice));
    }
}
