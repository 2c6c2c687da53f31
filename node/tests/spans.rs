//! C10: a fault is a span, and every message that it touched points to it; a move is one tree. Two whole nodes in this process,
//! real links between them, and a collector that takes what they export.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::Span;
use squall_client::handler::{Answer, Delivery, Handler};
use squall_kernel::fault::{
    FaultKind, Latency, LinkFault, MessageFault, ProcessFault, Shape, Share, TTL_DEFAULT, Wanted,
};
use squall_kernel::frame::{Status, TraceContext};
use squall_kernel::id::{ExchangeName, NodeName};
use squall_kernel::message::ProposeResult;
use squall_kernel::profile::Profile;
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{Command, Outcome, Pattern, Settings, Strategy};
use squall_kernel::time::Span as Time;
use squall_node::datadir::DataDir;
use squall_node::handlers::HandlerTags;
use squall_node::node::{Node, NodeOptions};
use squall_node::router::Request;
use squall_node::telemetry::{Otlp, Telemetry};
use tokio::sync::{Mutex, MutexGuard, Notify};

mod collector;

use collector::{Collector, text};

const EXCHANGE: &str = "orders";

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a good name")
}

fn exchange() -> ExchangeName {
    ExchangeName::new(EXCHANGE).expect("a good name")
}

struct Echo;

impl Handler for Echo {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        Answer::Reply(delivery.payload)
    }
}

/// Node a owns the exchange; its handler is at b, and so are requesters.
struct Rig {
    collector: Collector,
    nodes: Vec<(Node, Telemetry)>,
    _dirs: Vec<tempfile::TempDir>,
    _alone: MutexGuard<'static, ()>,
}

/// One cluster at a time: what a request meets here is a fault's doing, and not that of a machine with too much to do.
static ALONE: Mutex<()> = Mutex::const_new(());

impl Rig {
    async fn start() -> Self {
        let mut rig = Self {
            collector: Collector::start().await,
            nodes: Vec::new(),
            _dirs: Vec::new(),
            _alone: ALONE.lock().await,
        };
        for name in ["a", "b"] {
            rig.add(name);
        }
        for (node, _) in &rig.nodes {
            let mut registry = node.registry();
            let both = registry.wait_for(|r| r.nodes.values().filter(|n| n.is_up()).count() == 2);
            both.await.expect("the node runs");
        }
        rig.declare().await;
        let handlers = &rig.node("b").data().handlers;
        handlers
            .attach_embedded(&exchange(), HandlerTags::default(), Echo)
            .expect("attached");
        // From then on all is as it should be: the owner has its lease, and knows the handler.
        let answered = async {
            while rig.request(untraced(), Duration::from_secs(30)).await != Status::Reply {
                tokio::task::yield_now().await;
            }
        };
        let within = tokio::time::timeout(Duration::from_secs(60), answered);
        within.await.expect("an answer");
        rig
    }

    fn add(&mut self, of: &str) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = DataDir::open(dir.path()).expect("a fresh directory");
        let otlp = Otlp::read(Some(&self.collector.endpoint), Some(0.0), |_| None)
            .expect("good")
            .expect("a collector");
        let telemetry = Telemetry::start(&otlp, &name(of), data.incarnation()).expect("a thread");
        let join = self
            .nodes
            .first()
            .map(|(a, _)| a.introduction().mesh_addr.clone());
        let options = NodeOptions {
            profile: Profile::Slow,
            data_workers: 2,
            spans: telemetry.sink(),
            ..NodeOptions::alone(name(of), b"secret").joining(join)
        };
        let node = Node::start(data, options).expect("the node starts");
        self.nodes.push((node, telemetry));
        self._dirs.push(dir);
    }

    fn node(&self, of: &str) -> &Node {
        let found = self
            .nodes
            .iter()
            .find(|(node, _)| node.introduction().name.as_str() == of);
        &found.expect("it runs").0
    }

    async fn declare(&self) {
        let command = Command::Declare {
            name: exchange(),
            pattern: Pattern::RequestResponse,
            strategy: Strategy::RoundRobin,
            function: None,
            settings: Settings::default(),
            failover: vec![name("a")],
            takeover: None,
        };
        let result = self.node("a").proposals().propose(command).await;
        let done = matches!(
            result,
            ProposeResult::Committed {
                outcome: Outcome::Done,
                ..
            }
        );
        assert!(done, "{result:?}");
        for (node, _) in &self.nodes {
            let mut opinion = node.opinion();
            let known = opinion.wait_for(|_| node.lookup(&exchange()).is_some()).await;
            known.expect("the node runs");
        }
    }

    /// A request that enters at b.
    async fn request(&self, trace: TraceContext, timeout: Duration) -> Status {
        let node = self.node("b");
        let id = node.lookup(&exchange()).expect("declared");
        let request = Request {
            timeout: Time::from_ms(u64::try_from(timeout.as_millis()).expect("short")),
            trace,
            ..Request::new(id, Bytes::from_static(b"x"))
        };
        node.data().router.request(request).await.status
    }

    fn set(&self, at: &str, id: &str, kind: FaultKind, ttl: Time) {
        let faults = &self.node(at).data().context.faults;
        faults.set(id, kind, ttl, "the test").expect("set");
    }

    fn clear(&self, at: &str, id: &str) {
        let cleared = self.node(at).data().context.faults.clear(id);
        assert!(cleared.is_some(), "it acted");
    }

    /// Returns when the fault has touched so many.
    async fn touched(&self, at: &str, id: &str, count: u64) {
        let faults = &self.node(at).data().context.faults;
        let touched = || faults.list().iter().any(|f| f.id == id && f.touched >= count);
        let looked = async {
            while !touched() {
                tokio::task::yield_now().await;
            }
        };
        let within = tokio::time::timeout(Duration::from_secs(30), looked).await;
        within.unwrap_or_else(|_| panic!("{id} touched fewer than {count}"));
    }
}

fn untraced() -> TraceContext {
    TraceContext::default()
}

fn trace(number: u8, sampled: bool) -> TraceContext {
    TraceContext {
        trace_id: [number; 16],
        span_id: [number; 8],
        sampled,
    }
}

fn unix_ns(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_nanos()).expect("before 2554")
}

impl Rig {
    /// In the message's trace, whole up to the request, pointing to the fault, while both were about.
    async fn assert_touched(
        &self,
        span: &Span,
        of: TraceContext,
        by: &Span,
        (sent, answered): (SystemTime, SystemTime),
    ) {
        assert_eq!(span.trace_id, of.trace_id, "{span:#?}");
        let above = self.collector.above(span, of.span_id).await;
        let top = above.last().expect("the request's own span");
        assert_eq!(top.name, "request orders");
        assert_eq!(top.parent_span_id, of.span_id, "{top:#?}");
        for key in ["chaos.fault_id", "chaos.fault"] {
            assert_eq!(text(span, key), text(by, key));
        }
        let [link] = &span.links[..] else {
            panic!("one link: {span:#?}");
        };
        assert_eq!((&link.trace_id, &link.span_id), (&by.trace_id, &by.span_id));
        assert!(by.parent_span_id.is_empty() && by.trace_id != span.trace_id);
        let (began, ended) = (span.start_time_unix_nano, span.end_time_unix_nano);
        assert!(unix_ns(sent) <= began && began <= ended && ended <= unix_ns(answered));
        assert!(by.start_time_unix_nano <= began && ended <= by.end_time_unix_nano);
    }
}

fn took(span: &Span) -> Duration {
    Duration::from_nanos(span.end_time_unix_nano - span.start_time_unix_nano)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_message_points_to_the_fault_that_delayed_it() {
    let rig = Rig::start().await;
    let delay = LinkFault::Delay(Latency {
        time: Time::from_ms(200),
        jitter: Time::ZERO,
        shape: Shape::default(),
    });
    rig.set("a", "slow-link", FaultKind::link(name("b"), delay), TTL_DEFAULT);
    let (traced, sent) = (trace(1, true), SystemTime::now());
    assert_eq!(rig.request(traced, Duration::from_secs(20)).await, Status::Reply);
    let answered = SystemTime::now();
    rig.clear("a", "slow-link");
    let fault = rig.collector.named("fault delay a -> b 200ms").await;
    let told = [
        ("chaos.fault_id", "slow-link"),
        ("chaos.fault", "delay"),
        ("chaos.target", "a -> b"),
        ("chaos.by", "the test"),
        ("chaos.ttl_ms", "30000"),
        ("chaos.ended", "cleared"),
    ];
    for (key, value) in told {
        assert_eq!(text(&fault, key), value, "{key}");
    }
    assert!(text(&fault, "chaos.touched").parse::<u64>().expect("a number") > 0);
    // The delivery went from a to b, and nothing else of this request did.
    let span = rig.collector.named("delayed by fault").await;
    rig.assert_touched(&span, traced, &fault, (sent, answered)).await;
    assert_eq!(text(&span, "squall.link"), "a -> b");
    assert!(took(&span) >= Duration::from_millis(200), "{span:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_lost_says_by_which_fault_whether_it_was_drawn_or_not() {
    let rig = Rig::start().await;
    let of = Wanted {
        exchange: exchange(),
        key: None,
        share: Share::ALL,
    };
    let what = MessageFault::Drop;
    rig.set("a", "lossy", FaultKind::Message { of, what }, TTL_DEFAULT);
    let timed_out = Status::None(NoReply::Timeout);
    for untold in [trace(1, false), untraced()] {
        let ended = rig.request(untold, Duration::from_millis(300)).await;
        assert_eq!(ended, timed_out);
    }
    let (traced, sent) = (trace(2, true), SystemTime::now());
    let ended = rig.request(traced, Duration::from_millis(300)).await;
    assert_eq!(ended, timed_out);
    let answered = SystemTime::now();
    assert_eq!(rig.node("a").data().context.faults.halt().len(), 1);
    let fault = rig.collector.named("fault message orders 100% dropped").await;
    assert_eq!(text(&fault, "chaos.ended"), "halted");
    assert_eq!(text(&fault, "chaos.touched"), "3", "all of them, told of or not");
    let three = |spans: &[Span]| {
        let lost: Vec<Span> = spans
            .iter()
            .filter(|span| span.name == "dropped by fault")
            .cloned()
            .collect();
        (lost.len() == 3).then_some(lost)
    };
    let lost = rig.collector.wait("three losses", three).await;
    let drawn = lost.iter().find(|span| span.trace_id == traced.trace_id);
    let drawn = drawn.expect("the one that was drawn");
    rig.assert_touched(drawn, traced, &fault, (sent, answered)).await;
    assert_eq!(text(drawn, "chaos.fault"), "message drop");
    let kept: Vec<&Span> = lost
        .iter()
        .filter(|span| span.trace_id != traced.trace_id)
        .collect();
    for span in &kept {
        let above = rig.collector.above(span, [0; 8]).await;
        let top = above.last().expect("the request's own span");
        assert_eq!(
            (top.name.as_str(), text(top, "squall.kept").as_str()),
            ("request orders", "failed")
        );
        assert!(top.parent_span_id.is_empty(), "nobody tells of its caller");
    }
    let in_its_callers_trace = kept.iter().filter(|span| span.trace_id == [1; 16]).count();
    assert_eq!(in_its_callers_trace, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_suspended_or_slow_handler_says_for_how_long() {
    let rig = Rig::start().await;
    let on_handlers = |what| FaultKind::Process {
        exchange: exchange(),
        what,
    };
    let suspend = on_handlers(ProcessFault::Suspend);
    rig.set("b", "still", suspend, Time::from_ms(1500));
    rig.touched("b", "still", 1).await;
    let (traced, sent) = (trace(1, true), SystemTime::now());
    assert_eq!(rig.request(traced, Duration::from_secs(20)).await, Status::Reply);
    let answered = SystemTime::now();
    let fault = rig
        .collector
        .named("fault handlers of orders on b suspended")
        .await;
    assert_eq!(text(&fault, "chaos.ended"), "by its time");
    let span = rig.collector.named("held back by fault").await;
    assert_eq!(span.trace_id, traced.trace_id);
    assert_eq!(span.links[0].span_id, fault.span_id);
    assert!(unix_ns(sent) <= span.end_time_unix_nano && span.end_time_unix_nano <= unix_ns(answered));
    assert!(fault.start_time_unix_nano <= span.start_time_unix_nano);

    let slow = on_handlers(ProcessFault::Slow {
        by: Time::from_ms(100),
    });
    rig.set("b", "slow", slow.clone(), TTL_DEFAULT);
    // The handler hears of it a moment later: a delivery that it touches comes then.
    let looked = async {
        let mut number = 10;
        while rig
            .node("b")
            .data()
            .context
            .faults
            .list()
            .iter()
            .all(|f| f.touched == 0)
        {
            number += 1;
            let answer = rig.request(trace(number, true), Duration::from_secs(20)).await;
            assert_eq!(answer, Status::Reply);
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looked)
        .await
        .expect("it is slow at last");
    rig.set("b", "slow", slow, TTL_DEFAULT);
    let fault = rig
        .collector
        .named("fault handlers of orders on b slow by 100ms")
        .await;
    assert_eq!(text(&fault, "chaos.ended"), "replaced");
    let span = rig.collector.named("slowed by fault").await;
    assert_eq!(span.links[0].span_id, fault.span_id);
    assert!(took(&span) >= Duration::from_millis(100), "{span:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_a_fault_lets_panic_or_refuse_says_so() {
    let rig = Rig::start().await;
    let on_handlers = |what| FaultKind::Process {
        exchange: exchange(),
        what,
    };
    rig.set("b", "full", on_handlers(ProcessFault::Fill), TTL_DEFAULT);
    let (traced, sent) = (trace(1, true), SystemTime::now());
    let refused = rig.request(traced, Duration::from_secs(20)).await;
    assert_eq!(refused, Status::None(NoReply::Rejected));
    let answered = SystemTime::now();
    rig.clear("b", "full");
    let fault = rig.collector.named("fault handlers of orders on b full").await;
    let span = rig.collector.named("refused by fault").await;
    rig.assert_touched(&span, traced, &fault, (sent, answered)).await;

    rig.set("b", "panic", on_handlers(ProcessFault::Panic), TTL_DEFAULT);
    let looked = async {
        let mut number = 10;
        loop {
            number += 1;
            let traced = trace(number, true);
            if rig.request(traced, Duration::from_secs(20)).await == Status::None(NoReply::Failed) {
                return traced;
            }
        }
    };
    let failed = tokio::time::timeout(Duration::from_secs(30), looked).await;
    let failed = failed.expect("it panics at last");
    let span = rig.collector.named("failed by fault").await;
    assert_eq!(span.trace_id, failed.trace_id);
    assert_eq!(text(&span, "chaos.fault_id"), "panic");
}

/// Never answers.
struct Hangs(Arc<Notify>);

impl Handler for Hangs {
    async fn handle(&mut self, _: Delivery) -> Answer {
        self.0.notify_one();
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_handler_had_in_hand_says_since_when() {
    let rig = Rig::start().await;
    let taken = Arc::new(Notify::new());
    let handlers = &rig.node("b").data().handlers;
    let hangs = Hangs(Arc::clone(&taken));
    handlers
        .attach_embedded(&exchange(), HandlerTags::default(), hangs)
        .expect("attached");
    // One of the two takes it: the owner gives them requests in turn.
    let (traced, other) = (trace(1, true), trace(2, true));
    let sent = SystemTime::now();
    let requests = async {
        let timeout = Duration::from_secs(50);
        tokio::join!(rig.request(traced, timeout), rig.request(other, timeout))
    };
    let killing = async {
        taken.notified().await;
        let what = ProcessFault::Kill;
        let of = exchange();
        let kill = FaultKind::Process { exchange: of, what };
        rig.set("b", "kill", kill, TTL_DEFAULT);
    };
    let ((one, another), ()) = tokio::join!(requests, killing);
    let answered = SystemTime::now();
    let failed = Status::None(NoReply::Failed);
    assert!([one, another].contains(&failed), "{one:?} {another:?}");
    rig.clear("b", "kill");
    let fault = rig.collector.named("fault handlers of orders on b killed").await;
    let span = rig.collector.named("killed by fault").await;
    let of = if one == failed { traced } else { other };
    assert_eq!(span.trace_id, of.trace_id);
    let above = rig.collector.above(&span, of.span_id).await;
    assert_eq!(above.last().map(|top| top.name.as_str()), Some("request orders"));
    assert_eq!(span.links[0].span_id, fault.span_id);
    let (began, ended) = (span.start_time_unix_nano, span.end_time_unix_nano);
    assert!(unix_ns(sent) <= began && began < ended && ended <= unix_ns(answered));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_in_order_is_a_tree_as_well() {
    let rig = Rig::start().await;
    let command = Command::Move {
        exchange: exchange(),
        to: Some(name("b")),
        epoch: None,
    };
    let result = rig.node("a").proposals().propose(command).await;
    assert!(matches!(result, ProposeResult::Committed { .. }), "{result:?}");
    let mut registry = rig.node("b").registry();
    let b = rig.node("b").introduction().id;
    let moved = registry.wait_for(|r| r.exchange(&exchange()).is_some_and(|e| e.owner == Some(b)));
    moved.await.expect("the node runs");
    let answered = rig.request(untraced(), Duration::from_secs(20)).await;
    assert_eq!(answered, Status::Reply);
    let root = rig.collector.named("move orders").await;
    assert!(root.parent_span_id.is_empty());
    for (key, value) in [
        ("squall.exchange", "orders"),
        ("squall.epoch", "2"),
        ("squall.owner", "b"),
        ("squall.from", "a#1"),
    ] {
        assert_eq!(text(&root, key), value, "{key}");
    }
    for phase in ["announce", "first good reply"] {
        let span = rig.collector.named(phase).await;
        assert_eq!(
            (&span.trace_id, &span.parent_span_id),
            (&root.trace_id, &root.span_id),
            "{phase}"
        );
    }
    let told = rig.collector.spans();
    assert!(
        told.iter().all(|span| span.name != "detect"),
        "nobody was lost: {told:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_ends_the_spans_of_its_faults() {
    let mut rig = Rig::start().await;
    rig.set("b", "hot", FaultKind::Burn { threads: 1 }, TTL_DEFAULT);
    let (node, telemetry) = rig.nodes.pop().expect("b runs");
    let stopped = tokio::task::spawn_blocking(move || {
        let stopped = node.stop();
        telemetry.shutdown();
        stopped
    });
    stopped.await.expect("no panic").expect("it ran to its end");
    let fault = rig.collector.named("fault burn b 1 thread").await;
    assert_eq!(text(&fault, "chaos.ended"), "with its node");
    assert_eq!(text(&fault, "chaos.target"), "b");
}
