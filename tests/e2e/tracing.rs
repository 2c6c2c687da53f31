//! Traces across processes, as a real OTLP collector gets them, and traffic while there is no collector.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use rustix::process::Signal;
use tokio::runtime::Runtime;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::rig::{Cluster, Lines, PATIENCE, Process, end, free_base, owner_in, squall, watch};

const REQUESTS: usize = 5;

#[test]
fn a_request_over_three_processes_is_one_trace() {
    let collector = Collector::start();
    let mut cluster = Cluster::empty();
    start_traced(&mut cluster, 3, &collector.endpoint);
    ask_over_three(&cluster);
    assert_one_trace_a_request(&collector);
}

/// Requests that enter at a, for an exchange of b, with a handler at c.
fn ask_over_three(cluster: &Cluster) {
    cluster.ok(&[
        "exchange",
        "declare",
        "orders",
        "--strategy",
        "consensus",
        "--failover",
        "b,c,a",
    ]);
    cluster.watch("exchanges", |view| {
        crate::rig::owner_in(view, "orders").filter(|(owner, _)| owner == "b")
    });
    let mut handler = cluster.client(&["reply", "orders", "--echo"]);
    handler
        .env("SQUALL_CONNECT", cluster.mesh(2))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut handler = Process::spawn(&mut handler);
    let said = Lines::of(handler.0.stderr.take().expect("piped"));
    said.find("$leader", |line| line.contains("$leader").then_some(()));
    let mut request = cluster.client(&["request", "orders", "hello", "--count", &REQUESTS.to_string()]);
    let output = request
        .env("SQUALL_CONNECT", cluster.mesh(0))
        .output()
        .expect("the program runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn assert_one_trace_a_request(collector: &Collector) {
    let traces = collector.wait(|spans| {
        let replies = spans.iter().filter(|s| s.span.name == "reply").count();
        // On a busy machine the owner may be without a lease for a moment: the request waits, and is told so beside its way.
        let way = |received: &&Received| !received.span.name.starts_with("wait ");
        let traces = by_trace(&spans.iter().filter(way).cloned().collect::<Vec<_>>());
        let whole = traces.values().all(|spans| spans.len() == 4);
        (replies == REQUESTS && whole).then_some(traces)
    });
    assert_eq!(traces.len(), REQUESTS);
    for spans in traces.values() {
        assert_is_the_way_of_a_request(spans);
    }
}

/// Spans that a program of somebody else's takes in over OTLP and passes on are what was sent: one trace a request, none without its
/// parent, none lost.
#[test]
fn a_third_party_collector_takes_the_spans_and_passes_on_what_was_sent() {
    let Some(rotel) = rotel() else {
        return skipped("tracing::a_third_party_collector_takes_the_spans_and_passes_on_what_was_sent");
    };
    let collector = Collector::start();
    let base = free_base(2);
    let [grpc, http] = [base, base + 1].map(|port| format!("127.0.0.1:{port}"));
    let mut agent = Command::new(rotel);
    agent.args([
        "start",
        "--otlp-grpc-endpoint",
        &grpc,
        "--otlp-http-endpoint",
        &http,
    ]);
    agent.args(["--exporter", "otlp", "--otlp-exporter-protocol", "grpc"]);
    agent.args([
        "--otlp-exporter-endpoint",
        &collector.endpoint,
        "--batch-timeout",
        "100ms",
    ]);
    agent.args([
        "--otlp-receiver-metrics-disabled",
        "--otlp-receiver-logs-disabled",
    ]);
    let _agent = Process::spawn(
        agent
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(&grpc).is_err() {
        assert!(Instant::now() < deadline, "it does not listen");
        std::thread::yield_now();
    }
    let mut cluster = Cluster::empty();
    start_traced(&mut cluster, 3, &format!("http://{grpc}"));
    ask_over_three(&cluster);
    assert_one_trace_a_request(&collector);
    // Nothing of it was lost or doubled on the way, as the nodes count it: a node does when it is told that its spans were taken, and by
    // then they may have been passed on, or not yet.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = cluster.ok(&["trace", "--json"]);
        let told: serde_json::Value = serde_json::from_str(&told).expect("a document");
        let counts = |key: &str| -> Vec<u64> {
            let nodes = told["nodes"].as_array().expect("nodes").iter();
            nodes.filter_map(|node| node[key].as_u64()).collect()
        };
        assert_eq!(
            (counts("dropped"), counts("failed")),
            (vec![0; 3], vec![0; 3]),
            "{told}"
        );
        let exported: u64 = counts("exported").iter().sum();
        let received = collector.wait(|spans| Some(spans.len() as u64));
        if exported == received && exported >= 4 * REQUESTS as u64 {
            return;
        }
        assert!(Instant::now() < deadline, "{received} came: {told}");
    }
}

/// The program of the Python package of that name, where that is installed.
fn rotel() -> Option<String> {
    let python = std::env::var("SQUALL_PYTHON").unwrap_or_else(|_| "python3".into());
    let where_it_is = "import os, rotel; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))";
    let asked = Command::new(python)
        .args(["-c", where_it_is])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let path = String::from_utf8(asked.stdout).ok()?.trim().to_owned();
    (asked.status.success() && std::path::Path::new(&path).exists()).then_some(path)
}

/// Says that a test was skipped, past the test harness, which hides what passing tests print.
fn skipped(test: &str) {
    let text = format!(
        "SKIPPED {test}: needs Python with rotel (pip install rotel; SQUALL_PYTHON names another python)\n"
    );
    std::io::stderr()
        .write_all(text.as_bytes())
        .expect("write to stderr");
}

#[test]
fn a_collector_that_is_not_there_costs_no_request_and_no_end() {
    let mut cluster = Cluster::empty();
    start_traced(&mut cluster, 1, &format!("http://127.0.0.1:{}", free_base(1)));
    cluster.ok(&["exchange", "declare", "orders", "--strategy", "consensus"]);
    let _handler = cluster.echo("orders");
    let told = cluster.ok(&[
        "request",
        "orders",
        "hello",
        "--count",
        "500",
        "--in-flight",
        "20",
    ]);
    assert!(told.contains("reply 500"), "{told}");
    let node = cluster.nodes[0].take().expect("the node runs");
    assert_eq!(end(node, Signal::TERM).code(), Some(0), "{}", cluster.logs());
}

/// C10: one root, told by the next owner; below it, in one trace, what the meta leader and the requesters' node tell; and
/// whatever the loss has ended points there.
#[test]
fn a_failover_is_one_tree_and_the_request_that_it_ended_points_to_it() {
    let collector = Collector::start();
    let mut cluster = Cluster::empty();
    start_traced(&mut cluster, 3, &collector.endpoint);
    for exchange in ["orders", "slow"] {
        let declare = ["exchange", "declare", exchange, "--failover", "b,c,a"];
        cluster.ok(&[&declare[..], &["--strategy", "round-robin"]].concat());
        let owned = |view: &serde_json::Value| owner_in(view, exchange).filter(|(owner, _)| owner == "b");
        cluster.watch("exchanges", owned);
    }
    let _echo = cluster.echo_through(&[2], "orders");
    let hangs = ["reply", "slow", "--cmd", "tail", "-f", "/dev/null"];
    let (_hangs, _) = cluster.attached(cluster.client_of(&[2], &hangs));
    let through_a = |arguments: &[&str]| cluster.client_of(&[0], arguments);
    cluster.succeeds(&mut through_a(&["request", "orders", "before"]));
    let mut under_way = through_a(&["request", "slow", "x", "--timeout", "50s"]);
    let under_way = under_way.stdout(Stdio::null()).stderr(Stdio::null());
    let mut under_way = Process::spawn(under_way);
    cluster.watch("exchanges", |view| {
        let mut rows = view["exchanges"].as_array()?.iter();
        rows.any(|row| row["name"] == "slow" && row["in_flight"].as_u64() > Some(0))
            .then_some(())
    });
    cluster.kill(1);
    let after = ["request", "orders", "after", "--timeout", "20s"];
    cluster.succeeds(&mut cluster.client_of(&[0], &after));
    let ended = under_way.0.wait().expect("the request ends");
    assert_eq!(ended.code(), Some(8), "interrupted");

    let wanted = [
        "failover orders",
        "failover slow",
        "loss of b#1",
        "request slow",
        "first good reply",
    ];
    let (all, [root, of_slow, loss, request, reply]) = collector.wait(|all| {
        let found = wanted.map(|name| all.iter().find(|one| one.span.name == name).cloned());
        let found: Vec<Received> = found.into_iter().collect::<Option<_>>()?;
        Some((all.to_vec(), <[Received; 5]>::try_from(found).ok()?))
    });
    let value = |of: &Received, key: &str| text(&of.span.attributes, key);
    for (key, expected) in [
        ("squall.exchange", "orders"),
        ("squall.epoch", "2"),
        ("squall.lost", "b#1"),
        ("squall.owner", "c"),
    ] {
        assert_eq!(value(&root, key).as_deref(), Some(expected), "{key}");
    }
    assert_eq!(root.instance, "c", "the next owner tells the root");
    assert_eq!(reply.instance, "a", "the requester's node tells of the reply");
    let of_trace: Vec<&Received> = all
        .iter()
        .filter(|one| one.span.trace_id == root.span.trace_id)
        .collect();
    let (roots, below): (Vec<&Received>, Vec<&Received>) = of_trace
        .iter()
        .partition(|one| one.span.parent_span_id.is_empty());
    assert_eq!(roots.len(), 1);
    assert!(
        below
            .iter()
            .all(|one| one.span.parent_span_id == root.span.span_id),
        "no orphans: {below:#?}",
        below = below.iter().map(|one| &one.span).collect::<Vec<_>>()
    );
    let mut names: Vec<&str> = below.iter().map(|one| one.span.name.as_str()).collect();
    names.sort_unstable();
    // Where the lost node led the registry, the others have elected another one.
    names.retain(|name| *name != "elect");
    let phases = [
        "announce",
        "assign",
        "detect",
        "first good reply",
        "wait for the promise",
    ];
    assert_eq!(names, phases);
    assert!(points_to(&root, &loss), "{:#?}", root.span);
    assert_eq!(value(&loss, "squall.lost").as_deref(), Some("b#1"));
    assert!(loss.span.start_time_unix_nano <= loss.span.end_time_unix_nano);
    assert_eq!(value(&request, "squall.outcome").as_deref(), Some("interrupted"));
    assert_eq!(value(&request, "squall.lost").as_deref(), Some("b#1"));
    assert!(points_to(&request, &of_slow), "{:#?}", request.span);
}

/// C10: what is done to a process is a span, too, of the supervisor that did it.
#[test]
fn a_kill_by_the_supervisor_points_to_the_loss_that_followed() {
    let collector = Collector::start();
    let (base, dir) = (
        free_base(30).to_string(),
        tempfile::tempdir().expect("a directory"),
    );
    let program = |arguments: &[&str]| {
        let mut command = squall();
        command.args(arguments).args(["--base-port", &base]);
        command.env("SQUALL_COOKIE_FILE", dir.path().join("cookie"));
        command
    };
    let mut up = program(&["up", "-n", "3", "--chaos", "--profile", "slow"]);
    up.args(["--otlp", &collector.endpoint, "--data-dir"])
        .arg(dir.path());
    let silent = up.stdin(Stdio::null()).stdout(Stdio::null());
    let up = Process::spawn(silent.stderr(Stdio::null()));
    let all_up = |view: &serde_json::Value| {
        let nodes = view["nodes"].as_array()?.iter();
        // Whoever does not vote yet is no loss to the quorum, and whoever knows of no leader cannot say who votes.
        let whole = |node: &&serde_json::Value| {
            let votes = node["role"] == "voter" || node["role"] == "leader";
            node["state"] == "up" && votes && node["meta_leader"].is_string()
        };
        (nodes.filter(whole).count() == 3).then_some(())
    };
    let await_all = || {
        let mut observer = program(&["observe", "--watch", "--view", "overview", "--json"]);
        watch(&mut observer, "three nodes", all_up);
    };
    await_all();
    let act = |arguments: &[&str]| {
        let output = program(arguments).output().expect("the program runs");
        assert!(output.status.success(), "{output:?}");
    };
    act(&["chaos", "pause", "c", "--ttl", "100ms"]);
    // While it lasts, killing another one is refused: no majority would be left.
    collector.wait(|all| {
        let over = all.iter().any(|one| one.span.name == "fault pause c");
        over.then_some(())
    });
    await_all();
    act(&["chaos", "kill", "b", "--ttl", "2s"]);
    let by_supervisor = collector.wait(|all| {
        let named = |name| all.iter().find(|one| one.span.name == name).cloned();
        Some((
            named("fault kill b")?,
            named("loss of b#1")?,
            named("fault pause c")?,
        ))
    });
    let (kill, loss, pause) = by_supervisor;
    let value = |of: &Received, key: &str| text(&of.span.attributes, key).unwrap_or_default();
    assert_eq!(kill.service, "squall-supervisor");
    assert_eq!(loss.service, "squall");
    for (key, expected) in [
        ("chaos.fault", "kill"),
        ("chaos.target", "b"),
        ("chaos.ttl_ms", "2000"),
        ("chaos.ended", "by its time"),
        ("squall.node", "b#1"),
    ] {
        assert_eq!(value(&kill, key), expected, "{key}");
    }
    assert!(points_to(&kill, &loss), "{:#?}", kill.span);
    let took = |of: &Received| of.span.end_time_unix_nano - of.span.start_time_unix_nano;
    assert!(
        took(&kill) >= 2_000_000_000,
        "until it was started again: {:#?}",
        kill.span
    );
    assert!(took(&pause) >= 100_000_000, "{:#?}", pause.span);
    assert_eq!(value(&pause, "chaos.ended"), "by its time");
    await_all();
    act(&["chaos", "kill", "b", "--stay-down"]);
    assert_eq!(end(up, Signal::TERM).code(), Some(0));
    collector.wait(|all| {
        let mut kills = all.iter().filter(|one| one.span.name == "fault kill b");
        kills
            .any(|one| value(one, "chaos.ended") == "with the supervisor")
            .then_some(())
    });
}

fn points_to(from: &Received, to: &Received) -> bool {
    let mut links = from.span.links.iter();
    links.any(|link| link.trace_id == to.span.trace_id && link.span_id == to.span.span_id)
}

/// A span, with the service instance it came from.
#[derive(Clone)]
struct Received {
    service: String,
    instance: String,
    span: Span,
}

type Trace = Vec<Received>;

/// request on a → route on b → handle on c → reply on a, each the parent of the next, and nothing besides.
fn assert_is_the_way_of_a_request(spans: &Trace) {
    let named: HashMap<_, _> = spans.iter().map(|s| (s.span.name.as_str(), s)).collect();
    let mut parent: &[u8] = &[];
    for (name, node) in [
        ("request orders", "a"),
        ("route orders", "b"),
        ("handle orders", "c"),
        ("reply", "a"),
    ] {
        let found = named
            .get(name)
            .unwrap_or_else(|| panic!("no span {name} among {:?}", named.keys()));
        assert_eq!(
            (found.instance.as_str(), &found.span.parent_span_id[..]),
            (node, parent),
            "{name}"
        );
        assert!(
            found.span.start_time_unix_nano <= found.span.end_time_unix_nano,
            "{name}"
        );
        parent = &found.span.span_id;
    }
    let value = |span: &str, key: &str| {
        let found = text(&named[span].span.attributes, key);
        found.unwrap_or_else(|| panic!("{span} has no {key}: {:?}", named[span].span.attributes))
    };
    assert_eq!(value("route orders", "squall.strategy"), "consensus");
    assert_eq!(value("route orders", "squall.candidates"), "1");
    assert!(
        value("route orders", "squall.queue_wait_us")
            .parse::<u64>()
            .is_ok()
    );
    let picked = value("route orders", "squall.picked");
    assert!(picked.starts_with("<c."), "{picked}");
    assert_eq!(value("handle orders", "squall.handler"), picked);
    assert_eq!(value("request orders", "squall.outcome"), "reply");
    for span in ["request orders", "route orders", "handle orders"] {
        assert_eq!(value(span, "messaging.destination.name"), "orders");
    }
}

fn by_trace(spans: &[Received]) -> BTreeMap<Vec<u8>, Trace> {
    let mut traces: BTreeMap<_, Trace> = BTreeMap::new();
    for received in spans {
        traces
            .entry(received.span.trace_id.clone())
            .or_default()
            .push(received.clone());
    }
    traces
}

/// `n` nodes that trace every request to `endpoint`.
fn start_traced(cluster: &mut Cluster, n: usize, endpoint: &str) {
    let count = n.to_string();
    let meshes: Vec<_> = (0..n).map(|i| cluster.mesh(i)).collect();
    for i in 0..n {
        let mut extra = vec!["--expect", &count, "--otlp", endpoint, "--trace-ratio", "1.0"];
        for join in (0..n).filter(|o| *o != i) {
            extra.extend(["--join", &meshes[join]]);
        }
        cluster.start_node(i, &extra);
    }
    cluster.wait_for_members(n);
}

/// An OTLP/gRPC collector that keeps what it gets.
struct Collector {
    endpoint: String,
    kept: Arc<Kept>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Kept {
    spans: Mutex<Vec<Received>>,
    news: Condvar,
}

struct Service(Arc<Kept>);

impl Collector {
    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let entered = runtime.enter();
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let endpoint = format!("http://{}", incoming.local_addr().expect("bound"));
        let kept = Arc::new(Kept::default());
        let service =
            TraceServiceServer::new(Service(Arc::clone(&kept))).accept_compressed(CompressionEncoding::Gzip);
        let server = tonic::transport::Server::builder().add_service(service);
        runtime.spawn(server.serve_with_incoming(incoming));
        drop(entered);
        Self {
            endpoint,
            kept,
            _runtime: runtime,
        }
    }

    /// What `wanted` makes of the spans, as soon as it makes something.
    fn wait<T>(&self, wanted: impl Fn(&[Received]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut spans = self.kept.spans.lock().expect("not poisoned");
        loop {
            if let Some(found) = wanted(&spans) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let names = || {
                spans
                    .iter()
                    .map(|s| (&s.instance, &s.span.name))
                    .collect::<Vec<_>>()
            };
            assert!(!left.is_zero(), "these spans do not do: {:?}", names());
            spans = self.kept.news.wait_timeout(spans, left).expect("not poisoned").0;
        }
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_resource in request.into_inner().resource_spans {
            let attributes = of_resource.resource.unwrap_or_default().attributes;
            let [service, instance] =
                ["service.name", "service.instance.id"].map(|key| text(&attributes, key).unwrap_or_default());
            let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let received = spans.map(|span| Received {
                service: service.clone(),
                instance: instance.clone(),
                span,
            });
            self.0.spans.lock().expect("not poisoned").extend(received);
        }
        self.0.news.notify_all();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// An attribute as text.
fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

#[test]
fn the_share_of_traced_messages_is_changed_while_nodes_run() {
    // Nobody listens there, which is none of the share's concern.
    let cluster = Cluster::start_with(2, &["--otlp", "http://127.0.0.1:9", "--trace-ratio", "0.02"]);
    let shares = |command: &[&str]| {
        let answer: serde_json::Value = serde_json::from_str(&cluster.ok(command)).expect("a document");
        let nodes = answer["nodes"].as_array().expect("nodes").clone();
        let share = |node: serde_json::Value| (node["before"].as_f64(), node["share"].as_f64());
        nodes.into_iter().map(share).collect::<Vec<_>>()
    };
    let (before, now) = (Some(0.02), Some(0.5));
    assert_eq!(shares(&["trace", "--json"]), [(before, before); 2]);
    let changed = cluster.ok(&["trace", "50%"]);
    assert!(changed.contains("50%     2%"), "{changed}");
    assert_eq!(shares(&["trace", "--json"]), [(now, now); 2]);
    let wrong = cluster.run(&["trace", "2"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}

#[test]
fn a_cluster_that_sends_its_traces_nowhere_says_so() {
    let cluster = Cluster::start(2);
    let refused = cluster.run(&["trace", "50%"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(6), "{why}");
    assert!(
        why.contains("not so at a, b: node 'a' sends its traces nowhere"),
        "{why}"
    );
}
