//! An OTLP/gRPC collector within a test: keeps the spans that it gets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Only there so that a failure ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// The collector.
pub(crate) struct Collector {
    /// Where it listens.
    pub(crate) endpoint: String,
    kept: Arc<Kept>,
}

struct Kept {
    spans: Mutex<Vec<Span>>,
    news: watch::Sender<()>,
}

impl Collector {
    /// One on loopback, which lives as long as the test's runtime.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let kept = Arc::new(Kept {
            spans: Mutex::default(),
            news: watch::Sender::new(()),
        });
        let service = TraceServiceServer::new(Service(Arc::clone(&kept)));
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { endpoint, kept }
    }

    /// All that came so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.spans.lock().expect("not poisoned").clone()
    }

    /// What `wanted` makes of the spans, as soon as it makes something.
    pub(crate) async fn wait<T>(&self, what: &str, wanted: impl Fn(&[Span]) -> Option<T>) -> T {
        let mut news = self.kept.news.subscribe();
        let found = async {
            loop {
                news.mark_unchanged();
                if let Some(found) = wanted(&self.spans()) {
                    return found;
                }
                news.changed().await.expect("the collector lives");
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("no {what} among {:#?}", self.spans()))
    }

    /// The spans above that one, from its parent up to one without a parent or below `caller`, as soon as all of them are there.
    pub(crate) async fn above(&self, span: &Span, caller: [u8; 8]) -> Vec<Span> {
        self.wait("whole way up", |spans| {
            let mut above: Vec<Span> = Vec::new();
            let mut parent = span.parent_span_id.clone();
            while !parent.is_empty() && parent != caller {
                let of = |other: &&Span| other.span_id == parent && other.trace_id == span.trace_id;
                let found = spans.iter().find(of)?.clone();
                parent.clone_from(&found.parent_span_id);
                above.push(found);
            }
            Some(above)
        })
        .await
    }

    /// The one span of that name, as soon as there is one.
    pub(crate) async fn named(&self, name: &str) -> Span {
        let named = |spans: &[Span]| spans.iter().find(|span| span.name == name).cloned();
        self.wait(name, named).await
    }
}

struct Service(Arc<Kept>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let of_resources = request.into_inner().resource_spans.into_iter();
        let scopes = of_resources.flat_map(|resource| resource.scope_spans);
        let spans = scopes.flat_map(|scope| scope.spans);
        self.0.spans.lock().expect("not poisoned").extend(spans);
        self.0.news.send_replace(());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// An attribute as text; empty where there is none.
pub(crate) fn text(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|found| found.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}
