use std::sync::Mutex;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_sdk::trace::Sampler as SdkSampler;
use squall_kernel::frame::{Status as FrameStatus, TraceContext};
use squall_kernel::time::Span as Time;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::spans::{self, Route, Sampler};

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

fn node(endpoint: &str, name: &str) -> (Telemetry, tracing::Dispatch) {
    let otlp = Otlp {
        endpoint: endpoint.into(),
        service_name: "squall".into(),
        one_in: 1,
        sampler: SdkSampler::ParentBased(Box::new(SdkSampler::AlwaysOn)),
    };
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
    let nodes = ["a", "b", "c"].map(|name| node(&endpoint, name));
    let [on_a, on_b, on_c] = [0, 1, 2].map(|n: usize| nodes[n].1.clone());
    let none = TraceContext::default();

    use tracing::dispatcher::with_default;
    let request = with_default(&on_a, || {
        spans::request_span(&Sampler::one_in(1), &none, || "orders".into())
    });
    let to_owner = spans::context_of(&request, none);
    let route = with_default(&on_b, || {
        let (picked, waited) = ("<c.5>".to_owned(), Time(42));
        let route = || Route {
            exchange: "orders",
            strategy: "consensus",
            candidates: 3,
            picked,
            waited,
        };
        spans::route_span(&to_owner, route)
    });
    let to_handler = spans::context_of(&route, to_owner);
    drop(route);
    let handle = with_default(&on_c, || {
        spans::handle_span(&to_handler, "orders", || "<c.5>".into())
    });
    let to_requester = spans::context_of(&handle, to_handler);
    drop(handle);
    with_default(&on_a, || {
        spans::reply_arrived(&request, &to_requester, FrameStatus::Reply);
    });
    drop(request);

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

#[tokio::test]
async fn a_request_that_is_not_sampled_makes_no_spans_anywhere() {
    let (endpoint, received) = collector().await;
    let (telemetry, dispatch) = node(&endpoint, "a");
    let unsampled = TraceContext {
        trace_id: [1; 16],
        span_id: [2; 8],
        sampled: false,
    };
    tracing::dispatcher::with_default(&dispatch, || {
        let request = spans::request_span(&Sampler::one_in(1), &unsampled, || "orders".into());
        assert_eq!(spans::context_of(&request, unsampled), unsampled);
        drop(spans::handle_span(&unsampled, "orders", || "<a.1>".into()));
        // What is not about a message stays out of the traces.
        drop(tracing::info_span!("other"));
    });
    assert_eq!(stop(telemetry).await, ExportFigures::default());
    assert_eq!(received.lock().expect("not poisoned").len(), 0);
}

fn make_spans(dispatch: &tracing::Dispatch, count: u64) {
    tracing::dispatcher::with_default(dispatch, || {
        let none = TraceContext::default();
        for _ in 0..count {
            drop(spans::request_span(&Sampler::one_in(1), &none, || {
                "orders".into()
            }));
        }
    });
}

#[tokio::test]
async fn without_a_collector_spans_are_lost_and_counted_and_nothing_blocks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let (telemetry, dispatch) = node(&endpoint, "a");
    let count = 3 * batch::QUEUE_MAX as u64;
    make_spans(&dispatch, count);
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
    let (telemetry, dispatch) = node(&endpoint, "a");
    make_spans(&dispatch, 10);
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

#[test]
fn a_wrong_address_is_named() {
    let otlp = Otlp {
        endpoint: "http://no such host".into(),
        service_name: "squall".into(),
        one_in: 1,
        sampler: SdkSampler::AlwaysOn,
    };
    let name = NodeName::new("a").expect("a name");
    let error = Telemetry::start(&otlp, &name, Incarnation(1))
        .expect_err("no address")
        .to_string();
    assert!(
        error.starts_with("traces cannot be sent to 'http://no such host'"),
        "{error}"
    );
}
