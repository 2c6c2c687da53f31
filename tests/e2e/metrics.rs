//! Metrics of real nodes, as Prometheus reads them, over plain HTTP on any port of a node, and as a collector gets them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use rustix::process::Signal;
use squall_proto::v1;
use squall_proto::v1::chaos_client::ChaosClient;
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::rig::{Cluster, Lines, PATIENCE, Process, end};

/// The page of a node, as text.
fn scraped(addr: &str) -> String {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}

/// The value of a series, as it is written.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series))?;
    line.trim().parse().ok()
}

#[test]
fn every_port_has_a_page_with_what_the_node_measures() {
    let cluster = Cluster::start(3);
    cluster.ok(&[
        "exchange",
        "declare",
        "orders",
        "--strategy",
        "round-robin",
        "--failover",
        "b",
    ]);
    let (_echo, _lines) = cluster.echo("orders");
    for _ in 0..3 {
        cluster.succeeds(&mut cluster.client_of(&[0], &["request", "orders", "hello"]));
    }
    for at in [cluster.mesh(0), cluster.grpc(0)] {
        let page = scraped(&at);
        let of = |series: &str| value(&page, series).unwrap_or_else(|| panic!("{series}\n{page}"));
        assert_eq!(of("squall_requests_total{exchange=\"orders\"}"), 3.0);
        assert_eq!(
            of("squall_request_outcomes_total{exchange=\"orders\",outcome=\"replied\"}"),
            3.0
        );
        assert_eq!(
            of("squall_request_duration_seconds_count{exchange=\"orders\"}"),
            3.0
        );
        assert_eq!(of("squall_exchange_owned{exchange=\"orders\"}"), 0.0);
        assert_eq!(of("squall_members{state=\"up\"}"), 3.0);
        assert_eq!(of("squall_quorum"), 1.0);
        assert_eq!(of("squall_link_up{peer=\"b\"}"), 1.0);
        assert!(of("process_memory_usage_bytes") > 1e6);
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
    let owner = scraped(&cluster.grpc(1));
    assert_eq!(
        value(&owner, "squall_exchange_owned{exchange=\"orders\"}"),
        Some(1.0)
    );
    assert_eq!(
        value(&owner, "squall_exchange_handlers{exchange=\"orders\"}"),
        Some(1.0)
    );
}

#[test]
fn a_node_that_takes_no_new_faults_and_what_its_judge_saw_broken_are_on_the_page() {
    let cluster = Cluster::start_with(1, &["--chaos"]);
    let of = |series: &str| {
        let page = scraped(&cluster.grpc(0));
        value(&page, series).unwrap_or_else(|| panic!("{series}\n{page}"))
    };
    assert_eq!(of("squall_faults_locked"), 0.0);
    cluster.ok(&["chaos", "halt", "--reason", "enough"]);
    assert_eq!(of("squall_faults_locked"), 1.0);
    cluster.ok(&["chaos", "unlock", "--reason", "all well"]);
    assert_eq!(of("squall_faults_locked"), 0.0);

    let breaches = "squall_invariant_breaches_total{invariant=\"I1\"}";
    assert_eq!(of(breaches), 0.0, "there before the first one: growth shows");
    let told = async {
        let mut judge = ChaosClient::connect(format!("http://{}", cluster.grpc(0))).await?;
        let breach = v1::ReportBreachRequest {
            invariant: "I1".into(),
            text: "#7 epoch 3 has two owners, a and b".into(),
        };
        judge.report_breach(breach).await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    Runtime::new()
        .expect("a runtime")
        .block_on(told)
        .expect("it is told");
    assert_eq!(of(breaches), 1.0);
    let events = "squall_events_total{kind=\"invariant-broken\",severity=\"alert\"}";
    assert_eq!(of(events), 1.0);
    // Whoever watches sees it, too.
    let timeline = cluster.ok(&["observe", "--once", "--view", "timeline"]);
    assert!(
        timeline.contains("#7 epoch 3 has two owners, a and b"),
        "{timeline}"
    );
}

#[test]
fn the_owner_of_tasks_tells_how_they_stand_and_what_became_of_them() {
    let cluster = Cluster::start(1);
    cluster.ok(&["exchange", "declare", "mails", "--pattern", "task"]);
    for payload in ["first\n", "second\n"] {
        cluster.ok(&["task", "submit", "mails", payload, "--timeout", "20s"]);
    }
    let page = scraped(&cluster.grpc(0));
    let of = |page: &str, series: &str| value(page, series).unwrap_or_else(|| panic!("{series}\n{page}"));
    let state = |page: &str, state: &str| {
        of(
            page,
            &format!("squall_tasks{{exchange=\"mails\",state=\"{state}\"}}"),
        )
    };
    let became = |page: &str, result: &str| {
        of(
            page,
            &format!("squall_task_changes_total{{exchange=\"mails\",result=\"{result}\"}}"),
        )
    };
    assert_eq!(
        (
            state(&page, "waiting"),
            state(&page, "in hand"),
            state(&page, "dead")
        ),
        (2.0, 0.0, 0.0)
    );
    assert!(of(&page, "squall_tasks_oldest_seconds{exchange=\"mails\"}") > 0.0);
    assert_eq!(
        (became(&page, "accepted"), became(&page, "completed")),
        (2.0, 0.0)
    );
    let mut worker = cluster.client(&["task", "work", "mails", "--command", "cat"]);
    let mut worker = Process::spawn(worker.stdout(Stdio::piped()).stderr(Stdio::null()));
    let lines = Lines::of(worker.0.stdout.take().expect("piped"));
    for payload in ["first", "second"] {
        lines.find(payload, |line| (line == payload).then_some(()));
    }
    // The worker's word is on its way when its output is here.
    let deadline = std::time::Instant::now() + PATIENCE;
    let page = loop {
        let page = scraped(&cluster.grpc(0));
        if became(&page, "completed") == 2.0 {
            break page;
        }
        assert!(std::time::Instant::now() < deadline, "{page}");
    };
    assert_eq!((state(&page, "waiting"), state(&page, "in hand")), (0.0, 0.0));
    assert_eq!(of(&page, "squall_tasks_oldest_seconds{exchange=\"mails\"}"), 0.0);
    assert_eq!((became(&page, "accepted"), became(&page, "lost")), (2.0, 0.0));
}

/// A collector that passes on what it gets.
struct Collector(SyncSender<ExportMetricsServiceRequest>);

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let full = |_| Status::resource_exhausted("the test reads no more");
        self.0.try_send(request.into_inner()).map_err(full)?;
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn collector() -> (Runtime, String, Receiver<ExportMetricsServiceRequest>) {
    let runtime = Runtime::new().expect("a runtime");
    let (sender, received) = sync_channel(256);
    let address = {
        let _entered = runtime.enter();
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let address = incoming.local_addr().expect("it is bound");
        let service = MetricsServiceServer::new(Collector(sender));
        let server = tonic::transport::Server::builder().add_service(service);
        runtime.spawn(server.serve_with_incoming(incoming));
        address
    };
    (runtime, format!("http://{address}"), received)
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|it| it.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The value of a counter in an export of that node, of the series with such a label.
fn counter(export: &ExportMetricsServiceRequest, node: &str, name: &str, label: (&str, &str)) -> Option<f64> {
    let of = export.resource_metrics.first()?;
    if text(&of.resource.as_ref()?.attributes, "service.instance.id") != Some(node) {
        return None;
    }
    let mut metrics = of.scope_metrics.iter().flat_map(|scope| &scope.metrics);
    let found = metrics.find(|metric| metric.name == name)?;
    let Some(metric::Data::Sum(sum)) = &found.data else {
        return None;
    };
    let mut points = sum.data_points.iter();
    let point = points.find(|point| text(&point.attributes, label.0) == Some(label.1))?;
    match point.value? {
        number_data_point::Value::AsDouble(value) => Some(value),
        number_data_point::Value::AsInt(_) => None,
    }
}

#[test]
fn a_collector_gets_the_same_at_once_and_once_more_when_the_node_ends() {
    let (_runtime, endpoint, received) = collector();
    let mut cluster = Cluster::start_with(1, &["--otlp", &endpoint]);
    let wait = |name: &str, label: (&str, &str), wanted: f64| {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let export = received.recv_timeout(left).expect("it comes");
            if counter(&export, "a", name, label) == Some(wanted) {
                return;
            }
        }
    };
    wait("squall.spans", ("result", "exported"), 0.0);
    cluster.ok(&["exchange", "declare", "orders", "--strategy", "round-robin"]);
    let (echo, _lines) = cluster.echo("orders");
    for _ in 0..3 {
        cluster.succeeds(&mut cluster.client_of(&[0], &["request", "orders", "hello"]));
    }
    drop(echo);
    let node = cluster.nodes[0].take().expect("it runs");
    assert_eq!(end(node, Signal::TERM).code(), Some(0));
    // The last one has what the first one could not.
    wait("squall.requests", ("exchange", "orders"), 3.0);
}
