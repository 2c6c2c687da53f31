//! Traces across processes, as a real OTLP collector gets them, and traffic while there is no collector.

use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;
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
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::rig::{Cluster, Lines, PATIENCE, Process, end, free_base};

const REQUESTS: usize = 5;

#[test]
fn a_request_over_three_processes_is_one_trace() {
    let collector = Collector::start();
    let mut cluster = Cluster::empty();
    start_traced(&mut cluster, 3, &collector.endpoint);
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

    let traces = collector.wait(|spans| {
        let replies = spans.iter().filter(|s| s.span.name == "reply").count();
        let traces = by_trace(spans);
        let whole = traces.values().all(|spans| spans.len() == 4);
        (replies == REQUESTS && whole).then_some(traces)
    });
    assert_eq!(traces.len(), REQUESTS);
    for spans in traces.values() {
        assert_is_the_way_of_a_request(spans);
    }
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

/// A span, with the service instance it came from.
#[derive(Clone)]
struct Received {
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
        let service = TraceServiceServer::new(Service(Arc::clone(&kept)));
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
            let instance = text(&attributes, "service.instance.id").unwrap_or_default();
            let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let received = spans.map(|span| Received {
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
