//! The page with the node's metrics, for Prometheus: `GET /metrics`.
//!
//! What does not live here: what is measured (`metrics`).

use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::introspect::Sources;
use crate::metrics::{self, Scrape};

/// The page.
pub(super) fn page<S: Sources>(sources: Arc<S>) -> axum::Router {
    let measured = move || {
        let sources = Arc::clone(&sources);
        async move { measure(sources.as_ref()) }
    };
    axum::Router::new().route("/metrics", get(measured))
}

fn measure<S: Sources>(sources: &S) -> impl IntoResponse + use<S> {
    let mut scrape = Scrape::default();
    sources.measure(&mut scrape);
    let text = metrics::encode(scrape.finish());
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::super::fake;

    async fn answer(to: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(to).await.expect("it listens");
        let request = format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        answer
    }

    #[tokio::test]
    async fn the_page_is_there_for_whoever_reads_over_plain_http_and_nothing_else_is() {
        let running = fake::start(None).await;
        let page = answer(running.address, "GET /metrics").await;
        let (head, text) = page.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(
            head.contains("application/openmetrics-text; version=1.0.0"),
            "{head}"
        );
        assert!(text.contains("squall_messages_received_total 7.0\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        let head = answer(running.address, "HEAD /metrics").await;
        assert!(
            head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        // gRPC's word for a call that nobody serves.
        let other = answer(running.address, "GET /secrets").await;
        assert!(other.to_ascii_lowercase().contains("grpc-status: 12"), "{other}");
        let posted = answer(running.address, "POST /metrics").await;
        assert!(posted.starts_with("HTTP/1.1 405"), "{posted}");
        running.server.stop().await;
    }
}
