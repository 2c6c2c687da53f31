use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use squall_kernel::id::{Incarnation, NodeName};
use squall_kernel::time::Span;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response};

use super::super::*;
use super::*;
use crate::telemetry;
use crate::telemetry::collector::{EXPORT_TIME_MAX, QUIET};
use crate::telemetry::logging::overheard;

/// A collector that passes on what it gets.
struct Taker(mpsc::Sender<ExportMetricsServiceRequest>);

#[tonic::async_trait]
impl MetricsService for Taker {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        // Once the test has what it wants, what comes is nobody's.
        let _passed_on = self.0.try_send(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// One of traces alone, as Jaeger is, and the observer's own.
struct Traces;

#[tonic::async_trait]
impl TraceService for Traces {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn port() -> (TcpListener, Push) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let push = Push {
        collector: Collector::at(&address).expect("an address"),
        service_name: "squall".into(),
        every: Duration::from_millis(20),
    };
    (listener, push)
}

fn origin() -> Origin {
    let name = NodeName::new("a").expect("a name");
    Origin {
        resource: telemetry::of_node("squall", &name, Incarnation(7)),
        since: UNIX_EPOCH + Duration::from_secs(1_000),
    }
}

/// Something of every kind; the counter says how often it was asked.
fn measured(to: &mut Scrape, asked: u64) {
    to.count(&REQUESTS, &["orders"], asked);
    to.count(&REQUESTS, &["a \"quoted\" one"], 3);
    to.put(&UPTIME, &[], 1.5);
    to.count(&LINK_QUEUE, &["b"], 4096);
    to.count(&LINK_IO, &["b"], 1 << 40);
    let times = Histogram::default();
    for us in [100, 300, 40_000_000] {
        times.record(Span(us));
    }
    to.times(&REQUEST_TIME, &["orders"], times.read());
}

/// What the collector was told, as the page writes it: names, labels and values, sorted.
fn lines(request: &ExportMetricsServiceRequest) -> Vec<String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|v| v.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    let labels = |attributes: &[KeyValue], le: Option<String>| {
        let le = le.map(|le| format!("le=\"{le}\""));
        let own = attributes
            .iter()
            .map(|it| format!("{}=\"{}\"", it.key, text(it).replace('"', "\\\"")));
        let all: Vec<String> = le.into_iter().chain(own).collect();
        if all.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", all.join(","))
        }
    };
    let mut lines = Vec::new();
    let scopes = request.resource_metrics.iter().flat_map(|it| &it.scope_metrics);
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        let known = CATALOGUE.iter().find(|known| known.name == metric.name);
        let name = known.expect("it is in the catalogue").prometheus_name();
        match metric.data.as_ref().expect("data") {
            metric::Data::Sum(sum) => {
                for point in &sum.data_points {
                    lines.push(format!(
                        "{name}{} {}",
                        labels(&point.attributes, None),
                        number(point.value)
                    ));
                }
            }
            metric::Data::Gauge(gauge) => {
                for point in &gauge.data_points {
                    lines.push(format!(
                        "{name}{} {}",
                        labels(&point.attributes, None),
                        number(point.value)
                    ));
                }
            }
            metric::Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    let ends = point.explicit_bounds.iter().map(|end| format!("{end:?}"));
                    let mut below = 0;
                    for (end, count) in ends.chain(["+Inf".to_owned()]).zip(&point.bucket_counts) {
                        below += count;
                        let labels = labels(&point.attributes, Some(end));
                        lines.push(format!("{name}_bucket{labels} {below}"));
                    }
                    let labels = labels(&point.attributes, None);
                    lines.push(format!("{name}_count{labels} {}", point.count));
                    lines.push(format!("{name}_sum{labels} {}", point.sum.expect("a sum")));
                }
            }
            other => panic!("{other:?}"),
        }
    }
    lines.sort();
    lines
}

fn number(value: Option<number_data_point::Value>) -> String {
    match value {
        Some(number_data_point::Value::AsDouble(number)) => format!("{number:?}"),
        other => panic!("{other:?}"),
    }
}

fn page(asked: u64) -> Vec<String> {
    let mut scrape = Scrape::default();
    measured(&mut scrape, asked);
    let text = encode(scrape.finish());
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_collector_gets_what_the_page_shows_again_and_again_from_the_node_that_it_is() {
    let (listener, push) = port().await;
    let (sender, mut received) = mpsc::channel(16);
    let service = MetricsServiceServer::new(Taker(sender));
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let exports = Arc::new(Exports::default());
    let asked = AtomicU64::new(0);
    let measure = move |to: &mut Scrape| measured(to, asked.fetch_add(1, Relaxed) + 1);
    let pusher = Pusher::start(&push, &origin(), measure, Arc::clone(&exports)).expect("a thread");
    let mut before = 0;
    for n in 1..=3 {
        let request = received.recv().await.expect("it comes");
        assert_eq!(lines(&request), page(n));
        let resource = request.resource_metrics[0].resource.clone().expect("a resource");
        let said = |key: &str| {
            let found = resource.attributes.iter().find(|it| it.key == key);
            found.and_then(|it| it.value.clone()?.value)
        };
        let text = |text: &str| Some(any_value::Value::StringValue(text.into()));
        assert_eq!(said("service.name"), text("squall"));
        assert_eq!(said("service.instance.id"), text("a"));
        assert_eq!(said("service.version"), text(env!("CARGO_PKG_VERSION")));
        assert_eq!(said("squall.incarnation"), Some(any_value::Value::IntValue(7)));
        let scope = &request.resource_metrics[0].scope_metrics[0];
        let counter = scope
            .metrics
            .iter()
            .find(|metric| metric.name == "squall.requests");
        let Some(metric::Data::Sum(sum)) = counter.and_then(|it| it.data.clone()) else {
            panic!("{scope:?}")
        };
        let point = &sum.data_points[0];
        assert_eq!(point.start_time_unix_nano, 1_000_000_000_000);
        assert!(point.time_unix_nano > before);
        before = point.time_unix_nano;
    }
    pusher.close();
    pusher.ended().await;
    assert!(exports.sent() >= 3);
    assert_eq!(exports.failed(), 0);
}

#[tokio::test]
async fn a_collector_that_hangs_holds_up_neither_the_node_nor_its_end() {
    let (listener, push) = port().await;
    let (taken, mut connections) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Held open, and never read.
            let _full = taken.send(stream).await;
        }
    });
    let exports = Arc::new(Exports::default());
    let pusher = Pusher::start(&push, &origin(), |to| measured(to, 1), Arc::clone(&exports));
    let pusher = pusher.expect("a thread");
    let _held = connections.recv().await.expect("it connects");
    pusher.close();
    let ended = pusher.ended;
    let ended = timeout(LAST_TIME_MAX * 10, ended).await;
    assert_eq!(ended.expect("within its time, and not that of an export"), Ok(()));
    assert_eq!(exports.sent(), 0);
}

#[tokio::test]
async fn a_collector_of_traces_alone_is_asked_once() {
    let (listener, push) = port().await;
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Traces));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let exports = Arc::new(Exports::default());
    // It is measured for each try, and only for those.
    let (asks, mut asked) = mpsc::channel(16);
    let measure = move |to: &mut Scrape| {
        asks.try_send(()).expect("a few tries");
        measured(to, 1);
    };
    let pusher = Pusher::start(&push, &origin(), measure, Arc::clone(&exports)).expect("a thread");
    asked.recv().await.expect("it tries");
    // The end is one more turn: it comes after those that were due before it, and leaves the collector alone, too.
    let mut turns = interval(push.every);
    while exports.failed() == 0 {
        turns.tick().await;
    }
    pusher.close();
    pusher.ended().await;
    assert_eq!((exports.sent(), exports.failed()), (0, 1));
    assert!(asked.try_recv().is_err());
}

/// A collector that answers as the test wants it to, in time that stands still.
#[derive(Default)]
struct Scripted {
    asked: AtomicUsize,
    answers: Mutex<Vec<Option<Answer>>>,
}

impl Scripted {
    /// The answers in turn, none for a call without an end; then all is well.
    fn with(answers: impl IntoIterator<Item = Option<Answer>>) -> Arc<Self> {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Arc::new(Self {
            answers: Mutex::new(answers),
            ..Self::default()
        })
    }

    fn answer(&self) -> BoxFuture<'static, Answer> {
        self.asked.fetch_add(1, Relaxed);
        match self.answers.lock().expect("not poisoned").pop() {
            None => Box::pin(async { Ok(ExportMetricsServiceResponse::default()) }),
            Some(Some(answer)) => Box::pin(async { answer }),
            Some(None) => Box::pin(std::future::pending()),
        }
    }

    /// How often it was asked, and what became of that.
    fn came_to(&self, exports: &Exports) -> (usize, u64, u64) {
        (self.asked.load(Relaxed), exports.sent(), exports.failed())
    }
}

/// Exports to it every ten seconds; the sender ends it.
fn exporting(to: &Arc<Scripted>) -> (Arc<Exports>, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let exports = Arc::new(Exports::default());
    let (closing, closed) = watch::channel(false);
    let collector = Arc::clone(to);
    let exporter = Exporter {
        send: move |_| collector.answer(),
        families: || {
            let mut scrape = Scrape::default();
            measured(&mut scrape, 1);
            scrape.finish()
        },
        measured: Measured {
            resource: Default::default(),
            since_ns: 0,
            at_ns: 0,
        },
        exports: Arc::clone(&exports),
        within: EXPORT_TIME_MAX,
        losses: Losses::new(
            Signal::Metrics,
            &Collector::at("collector:4317").expect("an address"),
        ),
        not_before: None,
        told: false,
    };
    let work = tokio::spawn(exporter.work(INTERVAL_DEFAULT, closed));
    (exports, closing, work)
}

/// Moves the time, and lets everybody run who waited for it.
async fn later(time: Duration) {
    tokio::time::sleep(time).await;
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_export_that_hangs_is_given_up_in_time_and_the_next_one_goes_on() {
    let collector = Scripted::with([None, Some(Err(Status::unavailable("gone")))]);
    let (exports, _closing, _work) = exporting(&collector);
    later(EXPORT_TIME_MAX - SECOND / 2).await;
    assert_eq!(collector.came_to(&exports), (1, 0, 0));
    later(SECOND).await;
    assert_eq!(collector.came_to(&exports), (1, 0, 1));
    later(10 * SECOND).await;
    assert_eq!(collector.came_to(&exports), (2, 0, 2));
    later(10 * SECOND).await;
    assert_eq!(collector.came_to(&exports), (3, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_no_metrics_is_left_alone_for_minutes_and_asked_again() {
    let unimplemented = || Some(Err(Status::unimplemented("no such service")));
    let collector = Scripted::with([unimplemented(), unimplemented()]);
    let (exports, _closing, _work) = exporting(&collector);
    later(ASK_AGAIN - SECOND).await;
    assert_eq!(collector.came_to(&exports), (1, 0, 1));
    later(11 * SECOND).await;
    assert_eq!(collector.came_to(&exports), (2, 0, 2));
    later(ASK_AGAIN + 11 * SECOND).await;
    let (asked, sent, failed) = collector.came_to(&exports);
    assert!(asked >= 3 && sent >= 1, "{asked} {sent}");
    assert_eq!(failed, 2);
    later(10 * SECOND).await;
    assert_eq!(
        collector.came_to(&exports),
        (asked + 1, sent + 1, 2),
        "as often as before"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_in_part_has_failed() {
    let part = ExportMetricsServiceResponse {
        partial_success: Some(ExportMetricsPartialSuccess {
            rejected_data_points: 1,
            error_message: "too old \u{1b}[31m".into(),
        }),
    };
    let warned = ExportMetricsServiceResponse {
        partial_success: Some(ExportMetricsPartialSuccess {
            rejected_data_points: 0,
            error_message: "all is well, but".into(),
        }),
    };
    let collector = Scripted::with([Some(Ok(part)), Some(Ok(warned))]);
    let (exports, _closing, _work) = exporting(&collector);
    later(SECOND).await;
    assert_eq!(collector.came_to(&exports), (1, 0, 1));
    later(10 * SECOND).await;
    assert_eq!(collector.came_to(&exports), (2, 1, 1));
}

/// One that restarts again and again costs two lines a minute.
#[tokio::test(start_paused = true)]
async fn the_log_says_that_metrics_are_lost_and_when_they_arrive_again() {
    let gone = || Some(Err(Status::unavailable("gone, \u{1b}[31m says somebody else")));
    let well = || Some(Ok(ExportMetricsServiceResponse::default()));
    let collector = Scripted::with([gone(), gone(), well(), gone(), well(), gone(), gone(), gone()]);
    let heard = overheard();
    let (exports, _closing, _work) = exporting(&collector);
    later(SECOND).await;
    let said = heard.take();
    assert!(
        said.len() == 1 && said[0].contains("WARN metrics are lost"),
        "{said:?}"
    );
    assert!(
        said[0].contains("http://collector:4317") && !said[0].contains("somebody else"),
        "{said:?}"
    );
    later(10 * SECOND).await;
    assert_eq!(heard.take(), [""; 0], "it was said");
    later(10 * SECOND).await;
    let said = heard.take();
    assert!(
        said.len() == 1 && said[0].contains("INFO metrics arrive again"),
        "{said:?}"
    );
    later(QUIET - 30 * SECOND).await;
    assert_eq!(heard.take(), [""; 0], "not twice in a minute");
    later(10 * SECOND).await;
    let said = heard.take();
    assert!(said.len() == 1 && said[0].contains("lost=3"), "{said:?}");
    assert_eq!((exports.sent(), exports.failed()), (2, 5));
}

#[tokio::test(start_paused = true)]
async fn the_end_is_told_once_more_and_not_waited_for_for_long() {
    let collector = Scripted::with([]);
    let (exports, closing, work) = exporting(&collector);
    later(SECOND).await;
    closing.send_replace(true);
    work.await.expect("it ends");
    assert_eq!(collector.came_to(&exports), (2, 2, 0));

    let collector = Scripted::with([None, None]);
    let (exports, closing, work) = exporting(&collector);
    later(SECOND).await;
    let begun = Instant::now();
    closing.send_replace(true);
    work.await.expect("it ends");
    assert!(begun.elapsed() <= LAST_TIME_MAX + SECOND / 10);
    assert_eq!(collector.came_to(&exports), (2, 0, 1));

    // Dropped, it tells nothing more.
    let collector = Scripted::with([]);
    let (exports, closing, work) = exporting(&collector);
    later(SECOND).await;
    drop(closing);
    work.await.expect("it ends");
    assert_eq!(collector.came_to(&exports), (1, 1, 0));
}
