use std::sync::Mutex;
use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use squall_kernel::frame::{Frame, Kind, Status as FrameStatus, TraceContext};
use squall_kernel::reason::NoReply;
use squall_kernel::time::Span as Time;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::spans::{self, Ended, Handle, Route, Sent, Traced};
use crate::telemetry::told::ago;

/// Spans as a collector received them, with the instance they came from.
type Received = Arc<Mutex<Vec<(String, Span)>>>;

/// A collector that keeps what it gets.
struct Collector(Received);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_resource in request.into_inner().resource_spans {
            let attributes = of_resource.resource.expect("a resource").attributes;
            let text = |key: &str| {
                let value = attributes
                    .iter()
                    .find(|a| a.key == key)
                    .and_then(|a| a.value.clone());
                match value.and_then(|v| v.value) {
                    Some(Value::StringValue(text)) => text,
                    other => panic!("{key} is {other:?}"),
                }
            };
            assert_eq!(text("service.name"), "squall");
            assert!(attributes.iter().any(|a| a.key == "squall.incarnation"));
            let instance = text("service.instance.id");
            let spans = of_resource.scope_spans.into_iter().flat_map(|s| s.spans);
            self.0
                .lock()
                .expect("not poisoned")
                .extend(spans.map(|span| (instance.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn collector() -> (String, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let received = Received::default();
    let service = TraceServiceServer::new(Collector(Arc::clone(&received)));
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (endpoint, received)
}

fn node(endpoint: &str, name: &str, share: Share) -> (Telemetry, tracing::Dispatch) {
    let otlp = Otlp::to(endpoint, share).expect("an address");
    let name = NodeName::new(name).expect("a name");
    let telemetry = Telemetry::start(&otlp, &name, Incarnation(7)).expect("a thread");
    let subscriber = tracing_subscriber::registry().with(telemetry.layer());
    (telemetry, tracing::Dispatch::new(subscriber))
}

/// Stops off the runtime: the collector of the test lives on it.
async fn stop(telemetry: Telemetry) -> ExportFigures {
    tokio::task::spawn_blocking(|| telemetry.shutdown())
        .await
        .expect("no panic")
}

#[tokio::test]
async fn a_request_over_three_nodes_is_one_trace() {
    let (endpoint, received) = collector().await;
    let nodes = ["a", "b", "c"].map(|name| node(&endpoint, name, Share::ALL));
    let [a, b, c] = [0, 1, 2].map(|n: usize| nodes[n].0.sink());
    let on_c = nodes[2].1.clone();

    let request = Traced::of(&a, TraceContext::default());
    let to_owner = request.context();
    let to_handler = spans::route(&b, to_owner, || Route {
        exchange: "orders",
        strategy: "consensus",
        epoch: 3,
        leader_epoch: 0,
        candidates: 3,
        picked: "<c.5>".into(),
        waited: Time(42),
    });
    let handle = tracing::dispatcher::with_default(&on_c, || spans::handle_span(&c, &to_handler, work));
    let to_requester = spans::context_of(&handle, to_handler);
    spans::handled(&handle, FrameStatus::Reply);
    tracing::dispatcher::with_default(&on_c, || drop(handle));
    spans::reply(&a, &reply(to_requester), || "orders".into());
    request.ended(&a, ended(FrameStatus::Reply), sent);

    for (telemetry, exported) in nodes.into_iter().map(|n| n.0).zip([2, 1, 1]) {
        assert_eq!(
            stop(telemetry).await,
            ExportFigures {
                exported,
                dropped: 0,
                failed: 0
            }
        );
    }
    let received = received.lock().expect("not poisoned");
    let span = |name: &str| {
        let found = received.iter().find(|(_, span)| span.name == name);
        found.unwrap_or_else(|| panic!("no span {name} in {received:?}"))
    };
    let chain = [
        ("request orders", "a"),
        ("route orders", "b"),
        ("handle orders", "c"),
        ("reply", "a"),
    ];
    let mut parent = Vec::new();
    for (name, instance) in chain {
        let (from, span) = span(name);
        assert_eq!(
            (from.as_str(), &span.parent_span_id),
            (instance, &parent),
            "{name}"
        );
        assert_eq!(span.trace_id, to_owner.trace_id, "{name}");
        parent.clone_from(&span.span_id);
    }
    let strategy = span("route orders")
        .1
        .attributes
        .iter()
        .find(|a| a.key == "squall.strategy");
    assert!(strategy.is_some());
}

fn work() -> Handle<'static> {
    Handle {
        exchange: "orders",
        handler: "<c.5>".into(),
        bytes: 3,
        epoch: 3,
        waited: Time::ZERO,
    }
}

fn sent() -> Sent {
    Sent {
        exchange: "orders".into(),
        answered_by: None,
        owner: None,
        operation: "request",
        id: String::new(),
        key: "k".into(),
        bytes: 3,
        from: "<a.1>".into(),
        began: ago(Time(500)),
    }
}

fn ended(status: FrameStatus) -> Ended {
    Ended {
        status,
        chunks: 0,
        questions: 0,
    }
}

fn reply(trace: TraceContext) -> Frame {
    Frame {
        trace,
        ..Frame::new(Kind::Reply)
    }
}

#[tokio::test]
async fn a_request_that_is_not_drawn_and_ends_well_makes_no_spans_anywhere() {
    let (endpoint, received) = collector().await;
    let (telemetry, dispatch) = node(&endpoint, "a", Share::NONE);
    let sink = telemetry.sink();
    let request = Traced::of(&sink, TraceContext::default());
    let trace = request.context();
    assert!(trace.is_some() && !trace.sampled, "it has a name all the same");
    assert_eq!(spans::route(&sink, trace, || unreachable!()), trace);
    tracing::dispatcher::with_default(&dispatch, || {
        drop(spans::handle_span(&sink, &trace, || unreachable!()));
        // What is not about a message stays out of the traces.
        drop(tracing::info_span!("other"));
    });
    spans::reply(&sink, &reply(trace), || "orders".into());
    request.ended(&sink, ended(FrameStatus::Reply), || unreachable!());
    assert_eq!(stop(telemetry).await, ExportFigures::default());
    assert_eq!(received.lock().expect("not poisoned").len(), 0);
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|a| a.key == key)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        other => Some(format!("{other:?}")),
    }
}

/// The tail: what ended badly, or was touched by a fault, is told of whether it was drawn or not, as a root that says why.
#[tokio::test]
async fn what_a_fault_touched_or_ended_badly_is_kept_though_it_was_not_drawn() {
    let (endpoint, received) = collector().await;
    let (telemetry, _dispatch) = node(&endpoint, "a", Share::NONE);
    let sink = telemetry.sink();
    let caller = TraceContext {
        trace_id: [1; 16],
        span_id: [2; 8],
        sampled: false,
    };
    let touched = || {
        let mut request = Traced::of(&sink, caller);
        let mut back = request.context();
        back.sampled = true;
        request.heard(&back);
        request
    };
    let own = touched();
    let ids = own.context();
    own.ended(&sink, ended(FrameStatus::Reply), sent);
    let mut failed = Traced::of(&sink, TraceContext::default());
    failed.note("squall.lost", "b#3".into(), caller);
    failed.ended(&sink, ended(FrameStatus::None(NoReply::Interrupted)), sent);
    Traced::of(&sink, caller).ended(&sink, ended(FrameStatus::Declined), || unreachable!());
    assert_eq!(stop(telemetry).await.exported, 2);
    let received = received.lock().expect("not poisoned");
    let kept = |why: &str| {
        let why = Some(why.to_owned());
        let found = received.iter().map(|(_, span)| span);
        let mut found = found.filter(|span| attribute(span, "squall.kept") == why);
        found.next().expect("it is kept").clone()
    };
    let fault = kept("fault");
    assert_eq!(
        (fault.trace_id.as_slice(), fault.span_id.as_slice()),
        (&ids.trace_id[..], &ids.span_id[..])
    );
    assert!(fault.parent_span_id.is_empty(), "nobody tells of its caller");
    assert_eq!(fault.links[0].span_id, [2; 8]);
    let failed = kept("failed");
    assert_eq!(attribute(&failed, "error.type").as_deref(), Some("interrupted"));
    assert_eq!(failed.status.as_ref().map(|status| status.code), Some(2));
    assert_eq!(attribute(&failed, "squall.lost").as_deref(), Some("b#3"));
}

/// To make a span costs more than all the rest of a request: one that will be dropped is not made.
#[tokio::test]
async fn a_span_that_finds_no_room_is_counted_and_not_made() {
    let (batcher, _never_read) = Batcher::caught();
    let sink = SpanSink::to(&batcher, Sampling::of(Share::ALL, true));
    let trace = Traced::of(&sink, TraceContext::default()).context();
    while sink.figures().dropped == 0 {
        sink.tell(Told::below(trace, "one of many", SystemTime::now()));
    }
    assert_eq!(
        spans::route(&sink, trace, || unreachable!()),
        trace,
        "the next one is below it"
    );
    assert!(spans::handle_span(&sink, &trace, || unreachable!()).is_disabled());
    spans::reply(&sink, &reply(trace), || unreachable!());
    let request = Traced::of(&sink, TraceContext::default());
    request.ended(&sink, ended(FrameStatus::Reply), || unreachable!());
    assert_eq!(sink.figures().dropped, 5);
}

/// Its client is gone: whoever looks for what failed finds it.
#[tokio::test]
async fn work_that_nobody_answered_says_so() {
    let (endpoint, received) = collector().await;
    let (telemetry, dispatch) = node(&endpoint, "a", Share::ALL);
    let trace = Traced::of(&telemetry.sink(), TraceContext::default()).context();
    tracing::dispatcher::with_default(&dispatch, || {
        let answered = spans::InHand::new(spans::handle_span(&telemetry.sink(), &trace, work));
        let lost = spans::InHand::new(spans::handle_span(&telemetry.sink(), &trace, work));
        answered.answered(FrameStatus::Reply);
        drop(lost);
    });
    stop(telemetry).await;
    let received = received.lock().expect("not poisoned");
    let told: Vec<[Option<String>; 2]> = received
        .iter()
        .map(|(_, span)| ["squall.outcome", "error.type"].map(|key| attribute(span, key)))
        .collect();
    let interrupted = || Some("interrupted".to_owned());
    assert_eq!(
        told,
        [[Some("reply".to_owned()), None], [interrupted(), interrupted()]]
    );
}

/// Names, kinds and attributes as OpenTelemetry's conventions for messaging have them.
#[tokio::test]
async fn spans_speak_the_language_of_the_field() {
    let (endpoint, received) = collector().await;
    let (telemetry, dispatch) = node(&endpoint, "a", Share::ALL);
    let sink = telemetry.sink();
    let request = Traced::of(&sink, TraceContext::default());
    let trace = request.context();
    tracing::dispatcher::with_default(&dispatch, || {
        let span = spans::handle_span(&sink, &trace, work);
        spans::handled(&span, FrameStatus::None(NoReply::Failed));
    });
    request.ended(&sink, ended(FrameStatus::Reply), sent);
    let publish = Traced::of(&sink, TraceContext::default()).context();
    let passed = spans::fan_out(&sink, publish, || spans::FanOut {
        exchange: "news",
        key: "a.b".into(),
        epoch: 1,
        role: "owner",
        nodes: 2,
        subscribers: 1,
        waited: Time(7),
    });
    let passed = passed.expect("it is traced");
    let copy = spans::Copy {
        exchange: "news",
        subscriber: "<a.9>".into(),
        key: "a.b".into(),
        bytes: 5,
        waited: Time(9),
        lost: None,
    };
    copy.tell(&sink, passed.context);
    sink.tell(passed);
    stop(telemetry).await;
    let received = received.lock().expect("not poisoned");
    let (client, producer, consumer) = (3, 4, 5);
    for (name, kind, operation, of) in [
        ("request orders", producer, Some("send"), "request"),
        ("handle orders", consumer, Some("process"), "handle"),
        ("deliver news", client, Some("receive"), "deliver"),
        ("fan out news", 1, None, "fan out"),
    ] {
        let span = received
            .iter()
            .map(|(_, span)| span)
            .find(|span| span.name == name);
        let span = span.unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(span.kind, kind, "{name}");
        let has = |key: &str| attribute(span, key);
        assert_eq!(has("messaging.system").as_deref(), Some("squall"), "{name}");
        assert_eq!(has("messaging.operation.name").as_deref(), Some(of), "{name}");
        assert_eq!(has("messaging.operation.type").as_deref(), operation, "{name}");
        let exchange = name.rsplit(' ').next();
        assert_eq!(has("messaging.destination.name").as_deref(), exchange, "{name}");
        assert_eq!(has("error.type").is_some(), name == "handle orders", "{name}");
    }
    let copy = received
        .iter()
        .map(|(_, span)| span)
        .find(|span| span.name == "deliver news");
    let copy = copy.expect("found above");
    assert_ne!(
        copy.trace_id, publish.trace_id,
        "a hundred thousand copies make no trace to look at"
    );
    assert_eq!(copy.links[0].trace_id, publish.trace_id);
}

fn make_spans(telemetry: &Telemetry, count: u64) {
    let sink = telemetry.sink();
    for _ in 0..count {
        Traced::of(&sink, TraceContext::default()).ended(&sink, ended(FrameStatus::Reply), sent);
    }
}

#[tokio::test]
async fn without_a_collector_spans_are_lost_and_counted_and_nothing_blocks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let (telemetry, _dispatch) = node(&endpoint, "a", Share::ALL);
    let count = 3 * batch::QUEUE_MAX as u64;
    make_spans(&telemetry, count);
    let figures = stop(telemetry).await;
    assert_eq!((figures.exported, figures.dropped + figures.failed), (0, count));
    assert!(figures.dropped > 0);
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_up_the_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let hanging = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let (telemetry, _dispatch) = node(&endpoint, "a", Share::ALL);
    make_spans(&telemetry, 10);
    assert_eq!(
        stop(telemetry).await,
        ExportFigures {
            exported: 0,
            dropped: 0,
            failed: 10
        }
    );
    hanging.abort();
}
