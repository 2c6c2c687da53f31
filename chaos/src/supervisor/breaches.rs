//! Tells the nodes of a cluster what its judge saw broken, so that it stands in their timelines and metrics. What does not live
//! here: judging (`judge`), and what a node makes of it (`squall_node::grpc`).

use futures::future::join_all;
use squall_node::breaches::BREACH_TEXT_BYTES_MAX;
use squall_proto::v1 as proto;
use tokio::sync::mpsc;
use tonic::Code;
use tracing::{debug, info};

use crate::client::ChaosKey;
use crate::client::reach::report_breach;
use crate::invariant::Breach;

/// Tells every node at these gRPC addresses of each breach, once and all at the same time: one that is dead, stands still or takes no
/// faults is left out, at most a call's time later. Ends with the judge.
pub(super) async fn tell(mut broken: mpsc::Receiver<Breach>, nodes: Vec<String>, key: Option<ChaosKey>) {
    while let Some(breach) = broken.recv().await {
        let told = on_wire(&breach);
        let one = |addr| report_breach(addr, told.clone(), key.as_ref());
        let answers = join_all(nodes.iter().map(|addr| one(addr))).await;
        let mut reached = 0;
        for (addr, answer) in nodes.iter().zip(answers) {
            match answer {
                Ok(()) => reached += 1,
                Err(status) if status.code() == Code::Unimplemented => {}
                Err(status) => debug!(addr, %status, "a node was not told of a broken invariant"),
            }
        }
        info!(id = %breach.id, reached, nodes = nodes.len(), "nodes were told of a broken invariant");
    }
}

/// As a node takes it: within its bound, and without what moves a terminal's cursor.
fn on_wire(breach: &Breach) -> proto::ReportBreachRequest {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let mut text: String = breach.text.chars().map(shown).collect();
    let mut end = text.len().min(BREACH_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    proto::ReportBreachRequest {
        invariant: breach.id.to_string(),
        text,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use squall_kernel::id::NodeId;
    use squall_kernel::time::Instant;
    use squall_node::grpc::CHAOS_KEY_METADATA;
    use squall_proto::v1::chaos_server::{Chaos, ChaosServer};
    use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::{Request, Response, Status};

    use super::*;
    use crate::history::{Event, What};
    use crate::invariant::Id;

    fn breach(text: &str) -> Breach {
        let event = Event {
            at: Instant(1),
            node: NodeId(1),
            what: What::Paused,
        };
        Breach::new(Id(4), None, &event, text)
    }

    /// Passes on what it is told, with the key that it was shown.
    struct Node(mpsc::Sender<(proto::ReportBreachRequest, Vec<u8>)>);

    type Answer<T> = Result<Response<T>, Status>;

    fn other<T>() -> Answer<T> {
        Err(Status::internal("nobody asks for this"))
    }

    #[tonic::async_trait]
    impl Chaos for Node {
        async fn set_fault(&self, _: Request<proto::SetFaultRequest>) -> Answer<proto::SetFaultResponse> {
            other()
        }
        async fn clear_fault(
            &self,
            _: Request<proto::ClearFaultRequest>,
        ) -> Answer<proto::ClearFaultResponse> {
            other()
        }
        async fn list_faults(
            &self,
            _: Request<proto::ListFaultsRequest>,
        ) -> Answer<proto::ListFaultsResponse> {
            other()
        }
        async fn halt(&self, _: Request<proto::HaltRequest>) -> Answer<proto::HaltResponse> {
            other()
        }
        async fn unlock(&self, _: Request<proto::UnlockRequest>) -> Answer<proto::UnlockResponse> {
            other()
        }
        async fn report_breach(
            &self,
            request: Request<proto::ReportBreachRequest>,
        ) -> Answer<proto::ReportBreachResponse> {
            let key = request.metadata().get_bin(CHAOS_KEY_METADATA);
            let key = key.and_then(|key| key.to_bytes().ok()).unwrap_or_default();
            self.0
                .try_send((request.into_inner(), key.to_vec()))
                .expect("the test listens");
            Ok(Response::new(proto::ReportBreachResponse {}))
        }
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        (listener, addr)
    }

    /// One node is down, one stands still; the third hears of everything all the same, and soon.
    #[tokio::test]
    async fn every_node_that_answers_is_told_whatever_becomes_of_the_others() {
        let (live, live_at) = listener().await;
        let (dead, dead_at) = listener().await;
        drop(dead);
        // It takes connections, and nobody reads them.
        let (_paused, paused_at) = listener().await;
        let (sender, mut heard) = mpsc::channel(8);
        let server = tonic::transport::Server::builder().add_service(ChaosServer::new(Node(sender)));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(live)));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "secret\n").unwrap();
        let nodes = [dead_at, paused_at, live_at].map(|addr| addr.to_string());
        let (broken, breaches) = mpsc::channel(2);
        let teller = tokio::spawn(tell(breaches, nodes.to_vec(), ChaosKey::read(&file).ok()));
        for text in ["two leases", "and a third"] {
            broken.send(breach(text)).await.unwrap();
        }
        for text in ["two leases", "and a third"] {
            let (told, key) = heard.recv().await.expect("it is told");
            assert_eq!((told.invariant.as_str(), told.text.as_str()), ("I4", text));
            assert_eq!(key, b"secret");
        }
        drop(broken);
        let ended = tokio::time::timeout(Duration::from_secs(10), teller).await;
        ended.expect("it ends with the judge").expect("no panic");
    }

    #[test]
    fn what_a_node_would_refuse_is_made_such_that_it_takes_it() {
        let told = on_wire(&breach(&format!("a\nb\u{1b}[31m{}", "ä".repeat(2_000))));
        assert!(told.text.starts_with("a b [31mä"), "{}", told.text);
        assert!(told.text.len() <= BREACH_TEXT_BYTES_MAX);
        assert!(!told.text.contains(char::is_control));
    }
}
