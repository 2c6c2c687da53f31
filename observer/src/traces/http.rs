//! One GET over HTTP/1.1: a connection for each, an answer within bounds of bytes and time. Jaeger is asked every few seconds;
//! more is not needed.
//!
//! What does not live here: what is asked for (`jaeger`).

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::source::SourceError;
use crate::limits::JAEGER_BYTES_MAX;

/// An answer that is not here by then is given up.
const TIME_MAX: Duration = Duration::from_secs(5);

/// The address of a service: host, port, and the path that all its paths begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    host: String,
    port: u16,
    path: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// Nobody listens there, or the connection broke.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// What listens there speaks no HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The path is none.
    #[error("{0}")]
    Path(#[from] hyper::http::Error),
    /// The answer is too long, or ended early.
    #[error("the answer was cut off: {0} (at most {JAEGER_BYTES_MAX} bytes are read)")]
    Body(String),
    /// It took too long.
    #[error("no answer within {} s", TIME_MAX.as_secs())]
    Late,
}

impl Base {
    /// From `http://host:port`, with a path or without.
    pub(super) fn parse(url: &str) -> Result<Self, SourceError> {
        let wrong = |why: &str| SourceError::Url {
            url: url.to_owned(),
            why: why.to_owned(),
        };
        let whole = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let uri: Uri = whole.parse().map_err(|_| wrong("write http://host:16686"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("only http:// is spoken to Jaeger"));
        }
        let host = uri.host().filter(|host| !host.is_empty());
        Ok(Self {
            host: host.ok_or_else(|| wrong("write http://host:16686"))?.to_owned(),
            port: uri.port_u16().unwrap_or(80),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Status and body of what stands at a path of the service.
    pub(super) async fn get(&self, path: &str) -> Result<(u16, Bytes), HttpError> {
        let asked = timeout(TIME_MAX, self.ask(path)).await;
        asked.unwrap_or(Err(HttpError::Late))
    }

    async fn ask(&self, path: &str) -> Result<(u16, Bytes), HttpError> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port)).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends with this call, however that ends.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let request = Request::get(format!("{}{path}", self.path))
            .header(header::HOST, format!("{}:{}", self.host, self.port))
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), JAEGER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| HttpError::Body(error.to_string()))?;
        Ok((status, body.to_bytes()))
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.path)
    }
}
