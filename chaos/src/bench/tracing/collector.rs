//! Collectors of traces to measure against: one that takes everything, one that is not there, and one that takes connections
//! and never answers. What does not live here: what is sent to them.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::{Ready, ready};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// Connections that the one without answers keeps; each node has one, and opens another one now and then.
const CONNECTIONS_MAX: usize = 256;

/// A place where traces are sent; gone when it is dropped.
pub(super) struct Collector {
    address: SocketAddr,
    spans: Arc<AtomicU64>,
    /// Holds the port of the one that is not there.
    _unheard: Option<TcpSocket>,
    _served: JoinSet<()>,
}

/// OTLP's service of traces. It is on the machine that is measured, so it takes as little of it as it can: spans are counted and
/// not read.
#[derive(Debug, Clone, Default)]
struct Counter(Arc<AtomicU64>);

/// The fields of an export that are needed to count its spans, numbered as in opentelemetry-proto 1.
#[derive(Clone, PartialEq, prost::Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceSpans {
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ScopeSpans {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    spans: Vec<Bytes>,
}

impl NamedService for Counter {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl UnaryService<Export> for Counter {
    /// All taken is an empty message.
    type Response = ();
    type Future = Ready<Result<Response<()>, Status>>;

    fn call(&mut self, request: Request<Export>) -> Self::Future {
        let scopes = request
            .get_ref()
            .resource_spans
            .iter()
            .flat_map(|of| &of.scope_spans);
        let spans: usize = scopes.map(|of| of.spans.len()).sum();
        self.0.fetch_add(spans as u64, Relaxed);
        ready(Ok(Response::new(())))
    }
}

impl<B> Service<http::Request<B>> for Counter
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let counter = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<(), Export>::default());
            Ok(grpc.unary(counter, request).await)
        })
    }
}

impl Collector {
    /// One that takes all spans, and counts them.
    pub(super) async fn taking() -> io::Result<Self> {
        let listener = listener().await?;
        let address = listener.local_addr()?;
        let counter = Counter::default();
        let spans = Arc::clone(&counter.0);
        let server = Server::builder().add_service(counter);
        let mut served = JoinSet::new();
        served.spawn(async move {
            // Whoever sends notices by itself.
            let _ended = server.serve_with_incoming(TcpListenerStream::new(listener)).await;
        });
        Ok(Self::at(address, spans, served))
    }

    /// None: connections to its address are refused.
    pub(super) fn refusing() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.local_addr()?;
        Ok(Self {
            _unheard: Some(socket),
            ..Self::at(address, Arc::default(), JoinSet::new())
        })
    }

    /// One that takes connections and reads nothing from them.
    pub(super) async fn silent() -> io::Result<Self> {
        let listener = listener().await?;
        let address = listener.local_addr()?;
        let mut served = JoinSet::new();
        served.spawn(async move {
            let mut kept: Vec<TcpStream> = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                if kept.len() < CONNECTIONS_MAX {
                    kept.push(connection);
                }
            }
        });
        Ok(Self::at(address, Arc::default(), served))
    }

    fn at(address: SocketAddr, spans: Arc<AtomicU64>, served: JoinSet<()>) -> Self {
        Self {
            address,
            spans,
            _unheard: None,
            _served: served,
        }
    }

    /// Where it is.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Spans that came so far.
    pub(super) fn spans(&self) -> u64 {
        self.spans.load(Relaxed)
    }
}

async fn listener() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_answers_where_nobody_listens_and_the_silent_one_connects() {
        let refusing = Collector::refusing().unwrap();
        let refused = TcpStream::connect(refusing.address).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let silent = Collector::silent().await.unwrap();
        TcpStream::connect(silent.address).await.unwrap();
    }
}
