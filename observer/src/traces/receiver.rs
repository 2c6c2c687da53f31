//! The OTLP/gRPC receiver: takes what exporters send, within bounds of bytes, calls and connections. Nothing waits for the
//! screen: what finds no room is refused in OTLP's words, and counted.
//!
//! What does not live here: what a span is made of (`otlp`), and who reads them (`source`).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, stream};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tonic::{Request, Response, Status};

use super::forward::Forward;
use super::otlp;
use super::source::{Outlet, Tally};
use crate::limits::{OTLP_BYTES_MAX, OTLP_CALLS_MAX, OTLP_CONNECTIONS_MAX};

/// An export that is not taken by then is given up.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);
/// A connection that has been silent for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// After a connection could not be accepted: there are no file descriptors, and asking at once gives none.
const BREATH: Duration = Duration::from_millis(100);

/// Why there is no receiver.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be received at {at}: {source}")]
pub struct ReceiverError {
    /// The address.
    at: SocketAddr,
    /// Why.
    source: io::Error,
}

/// Takes spans.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) outlet: Outlet,
    pub(super) tally: Arc<Tally>,
    pub(super) forward: Option<Forward>,
}

/// Takes the port; what comes back is the address with it.
pub(super) fn bind(at: SocketAddr) -> Result<(TcpListener, SocketAddr), ReceiverError> {
    let failed = |source| ReceiverError { at, source };
    let listener = std::net::TcpListener::bind(at).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves until it is dropped.
pub(super) async fn serve(receiver: Receiver, listener: TcpListener) {
    let tally = Arc::clone(&receiver.tally);
    let service = TraceServiceServer::new(receiver).max_decoding_message_size(OTLP_BYTES_MAX);
    let served = Server::builder()
        .load_shed(true)
        .concurrency_limit_per_connection(OTLP_CALLS_MAX)
        .max_concurrent_streams(OTLP_CALLS_MAX as u32)
        .timeout(CALL_TIME_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_service(service)
        .serve_with_incoming(connections(listener))
        .await;
    tally.say(Some(match served {
        Ok(()) => "the receiver ended".to_owned(),
        Err(error) => format!("the receiver ended: {error}"),
    }));
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        let told = otlp::count(&request);
        let spans = otlp::spans(&request);
        let (valid, invalid) = (spans.len(), told.saturating_sub(spans.len()));
        let refused = self.outlet.offer(spans);
        self.tally.received.fetch_add((valid - refused) as u64, Relaxed);
        self.tally.dropped.fetch_add((refused + invalid) as u64, Relaxed);
        if let Some(forward) = &self.forward {
            // Whoever keeps traces for good gets all of them; that the screen had no room is counted here.
            forward.offer(request, told);
            return Ok(Response::new(ExportTraceServiceResponse::default()));
        }
        if refused > 0 && refused == valid {
            return Err(Status::unavailable("the observer has no room for more spans now"));
        }
        Ok(Response::new(answer(refused, invalid)))
    }
}

fn answer(refused: usize, invalid: usize) -> ExportTraceServiceResponse {
    let rejected_spans = i64::try_from(refused + invalid).unwrap_or(i64::MAX);
    let why = match (refused, invalid) {
        (0, 0) => return ExportTraceServiceResponse::default(),
        (0, _) => "spans without a valid id",
        (_, 0) => "the observer has no room for more spans now",
        _ => "no room for more spans now, and some without a valid id",
    };
    ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans,
            error_message: why.to_owned(),
        }),
    }
}

/// Connections, bounded in number: one more waits until another has gone.
fn connections(listener: TcpListener) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(OTLP_CONNECTIONS_MAX));
    stream::unfold((listener, places), async |(listener, places)| {
        let place = Arc::clone(&places).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = Connection {
                        stream,
                        _place: place,
                    };
                    return Some((Ok(connection), (listener, places)));
                }
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    })
}

/// A connection and its place among those that there may be.
struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
