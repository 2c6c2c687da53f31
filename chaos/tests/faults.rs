//! The fault client and the console against a real supervisor, and nodes that serve the real gRPC services with a fault
//! table of their own.
#![expect(clippy::unwrap_used, reason = "in a test, what goes wrong ends it")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream::{Pending, pending};
use squall_chaos::client::{ChaosClient, ChaosError, Firing};
use squall_chaos::console::ChaosConsole;
use squall_chaos::fault::NodeDeed;
use squall_chaos::layout::free_base;
use squall_chaos::supervisor::{Supervisor, SupervisorOptions};
use squall_kernel::fault::{
    ClockFault, DiskFault, FaultKind, Latency, LinkFault, MessageFault, ProcessFault, Shape, Share, Wanted,
};
use squall_kernel::id::{ExchangeName, NodeName};
use squall_kernel::keys::KeyPattern;
use squall_kernel::time::Span;
use squall_observer::console::{Console, ConsoleError, Order, Picture, PictureNode};
use squall_proto::v1::chaos_server::{Chaos, ChaosServer};
use squall_proto::v1::introspection_server::{Introspection, IntrospectionServer};
use squall_proto::v1::{self as proto, ChildState};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

const TTL: Duration = Duration::from_secs(60);
const KILL: NodeDeed = NodeDeed::Kill { stay_down: false };

#[derive(Clone)]
struct Node {
    name: String,
    members: Vec<proto::Member>,
    supervisor: String,
    faults: Arc<Mutex<Vec<proto::FaultInfo>>>,
    lock: Arc<Mutex<Option<proto::ChaosLock>>>,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Introspection for Node {
    type WatchStream = Pending<Result<proto::Frame, Status>>;
    type DetailStream = Pending<Result<proto::DetailFrame, Status>>;
    type EventsStream = Pending<Result<proto::EventBatch, Status>>;

    async fn hello(&self, _: Request<proto::HelloRequest>) -> Answer<proto::HelloResponse> {
        Ok(Response::new(proto::HelloResponse {
            node: self.name.clone(),
            members: self.members.clone(),
            supervisor: self.supervisor.clone(),
            ..Default::default()
        }))
    }

    async fn watch(&self, _: Request<Streaming<proto::Interest>>) -> Answer<Self::WatchStream> {
        Ok(Response::new(pending()))
    }

    async fn events(&self, _: Request<proto::EventsRequest>) -> Answer<Self::EventsStream> {
        Ok(Response::new(pending()))
    }

    async fn detail(&self, _: Request<proto::DetailRequest>) -> Answer<Self::DetailStream> {
        Ok(Response::new(pending()))
    }
}

#[tonic::async_trait]
impl Chaos for Node {
    async fn set_fault(&self, request: Request<proto::SetFaultRequest>) -> Answer<proto::SetFaultResponse> {
        let asked = request.into_inner();
        let what = match asked.fault {
            Some(proto::set_fault_request::Fault::Delay(delay)) => {
                format!(
                    "delay {} -> {} {}us ±{}us",
                    self.name, delay.to, delay.delay_us, delay.jitter_us
                )
            }
            Some(proto::set_fault_request::Fault::Loss(loss)) => {
                format!("loss {} -> {} {}ppm", self.name, loss.to, loss.share_ppm)
            }
            Some(proto::set_fault_request::Fault::Cut(cut)) => format!("cut {} -> {}", self.name, cut.to),
            Some(other) => format!("{other:?}"),
            None => return Err(Status::invalid_argument("no fault")),
        };
        let fault = proto::FaultInfo {
            id: asked.id,
            node: self.name.clone(),
            what,
            left_ms: asked.ttl_ms,
            by: asked.by,
            touched: 0,
        };
        let mut faults = self.faults.lock().unwrap();
        faults.retain(|known| known.id != fault.id);
        faults.push(fault.clone());
        Ok(Response::new(proto::SetFaultResponse { fault: Some(fault) }))
    }

    async fn clear_fault(&self, _: Request<proto::ClearFaultRequest>) -> Answer<proto::ClearFaultResponse> {
        Err(Status::not_found("no such fault"))
    }

    async fn list_faults(&self, _: Request<proto::ListFaultsRequest>) -> Answer<proto::ListFaultsResponse> {
        Ok(Response::new(proto::ListFaultsResponse {
            faults: self.faults.lock().unwrap().clone(),
            lock: self.lock.lock().unwrap().clone(),
        }))
    }

    async fn unlock(&self, _: Request<proto::UnlockRequest>) -> Answer<proto::UnlockResponse> {
        let was_locked = self.lock.lock().unwrap().take().is_some();
        Ok(Response::new(proto::UnlockResponse { was_locked }))
    }

    async fn halt(&self, request: Request<proto::HaltRequest>) -> Answer<proto::HaltResponse> {
        let proto::HaltRequest { by, lock, reason } = request.into_inner();
        if lock {
            *self.lock.lock().unwrap() = Some(proto::ChaosLock { by, reason });
        }
        let cleared = self.faults.lock().unwrap().drain(..).count();
        Ok(Response::new(proto::HaltResponse {
            cleared: u32::try_from(cleared).unwrap(),
        }))
    }

    async fn report_breach(
        &self,
        _: Request<proto::ReportBreachRequest>,
    ) -> Answer<proto::ReportBreachResponse> {
        Err(Status::unimplemented("nobody judges this cluster"))
    }
}

/// Serves `names`; those in `chaos` with the chaos service. The last member is an address nobody listens on.
async fn serve(names: &[&str], chaos: &[&str], supervisor: &str) -> Vec<String> {
    let mut listeners = Vec::new();
    for _ in names {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let addrs: Vec<SocketAddr> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap())
        .collect();
    let member = |(name, addr): (&&str, &SocketAddr)| proto::Member {
        name: (*name).to_owned(),
        grpc_addr: addr.to_string(),
        ..Default::default()
    };
    let mut members: Vec<proto::Member> = names.iter().zip(&addrs).map(member).collect();
    members.push(proto::Member {
        name: "gone".into(),
        grpc_addr: "127.0.0.1:1".into(),
        ..Default::default()
    });
    for (name, listener) in names.iter().zip(listeners) {
        let (name, members, supervisor) = ((*name).to_owned(), members.clone(), supervisor.to_owned());
        let with_chaos = chaos.contains(&name.as_str());
        let node = Node {
            name,
            members,
            supervisor,
            faults: Arc::default(),
            lock: Arc::default(),
        };
        let router = tonic::transport::Server::builder()
            .add_service(IntrospectionServer::new(node.clone()))
            .add_optional_service(with_chaos.then(|| ChaosServer::new(node)));
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    }
    addrs.iter().map(ToString::to_string).collect()
}

async fn supervisor(dir: &std::path::Path, nodes: usize, preferred: u16) -> Supervisor {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_squall-stand-in"));
    let mut options = SupervisorOptions::new(program, nodes, dir.to_owned());
    options.base_port = free_base(nodes, preferred).unwrap();
    options.chaos = true;
    Supervisor::start(options).await.unwrap()
}

#[tokio::test]
async fn link_faults_are_set_at_the_sender_listed_and_halted() {
    let addrs = serve(&["a", "b"], &["a", "b"], "").await;
    let client = ChaosClient::new(vec![addrs[1].clone()], "test".into());
    let ms = Span::from_ms;
    let delayed = LinkFault::Delay(Latency {
        time: ms(200),
        jitter: ms(50),
        shape: Shape::Normal,
    });
    let delay = client
        .on_link(("a", "b"), delayed, &Firing::lasting(TTL))
        .await
        .unwrap();
    assert_eq!(
        (delay.node.as_str(), delay.what.as_str()),
        ("a", "delay a -> b 200000us ±50000us")
    );
    let again = client
        .on_link(("a", "b"), delayed, &Firing::lasting(TTL))
        .await
        .unwrap();
    assert_eq!(again.id, delay.id, "it replaces the one before");
    let loss = client
        .on_link(
            ("a", "b"),
            LinkFault::Loss(Share::from_percent(5)),
            &Firing::lasting(TTL),
        )
        .await
        .unwrap();
    assert_eq!(
        (loss.id.as_str(), loss.what.as_str()),
        ("loss-a-b", "loss a -> b 50000ppm")
    );
    let cut = client
        .on_link(("b", "a"), LinkFault::Cut, &Firing::lasting(TTL))
        .await
        .unwrap();
    assert_eq!(
        (cut.what.as_str(), cut.left_ms, cut.by.as_str()),
        ("cut b -> a", 60_000, "test")
    );

    let listing = client.list().await.unwrap();
    assert_eq!(
        listing
            .faults
            .iter()
            .map(|fault| fault.node.as_str())
            .collect::<Vec<_>>(),
        ["a", "a", "b"]
    );
    assert_eq!(
        listing
            .silent
            .iter()
            .map(|silent| silent.node.as_str())
            .collect::<Vec<_>>(),
        ["gone"]
    );

    let halted = client.halt().await.unwrap();
    assert_eq!((halted.cleared, halted.remains.is_clear()), (3, true));
    assert!(halted.remains.locked.is_empty(), "nobody asked for that");
    let locked = client.halt_and_lock("enough").await.unwrap().remains.locked;
    let told: Vec<_> = locked
        .iter()
        .map(|lock| (lock.node.as_str(), lock.reason.as_str()))
        .collect();
    assert_eq!(told, [("a", "enough"), ("b", "enough")]);
    assert_eq!(client.unlock("again").await.unwrap(), ["a", "b"]);
    assert!(client.list().await.unwrap().locked.is_empty());
}

/// What a node holds beside faults on links: asked for as it is, under an id that says what and where.
#[tokio::test]
async fn a_node_holds_faults_of_every_kind() {
    let addrs = serve(&["a", "b"], &["a", "b"], "").await;
    let client = ChaosClient::new(addrs, "test".into());
    let of = Wanted {
        exchange: ExchangeName::new("news").unwrap(),
        key: Some(KeyPattern::new("weather.*").unwrap()),
        share: Share::from_percent(10),
    };
    let exchange = ExchangeName::new("orders").unwrap();
    let by = Span::from_ms(50);
    let lossy = FaultKind::link(
        NodeName::new("b").unwrap(),
        LinkFault::Loss(Share::from_percent(5)),
    );
    for (kind, id, words) in [
        (lossy, "loss-a-b", "loss a -> b 50000ppm"),
        (
            FaultKind::Clock(ClockFault::Skew { ppm: -5 }),
            "clock-skew-a",
            "SkewPpm(-5)",
        ),
        (
            FaultKind::Disk(DiskFault::Slow { by }),
            "disk-slow-a",
            "by_us: 50000",
        ),
        (FaultKind::Disk(DiskFault::Torn), "disk-torn-a", "Torn"),
        (FaultKind::Burn { threads: 2 }, "burn-a", "threads: 2"),
        (
            FaultKind::Process {
                exchange,
                what: ProcessFault::Suspend,
            },
            "process-suspend-orders-a",
            "Suspend",
        ),
        (
            FaultKind::Message {
                of,
                what: MessageFault::Duplicate,
            },
            "message-duplicate-news-weather.*-a",
            "weather.*",
        ),
    ] {
        let held = client.hold("a", &kind, &Firing::lasting(TTL)).await.unwrap();
        assert_eq!((held.node.as_str(), held.id.as_str()), ("a", id));
        assert!(held.what.contains(words), "{words}: {}", held.what);
    }
    let unknown = client
        .hold("zoe", &FaultKind::Burn { threads: 2 }, &Firing::lasting(TTL))
        .await;
    assert!(
        matches!(unknown, Err(ChaosError::UnknownNode { .. })),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn orders_that_cannot_be_carried_out_say_why() {
    let addrs = serve(&["a", "b"], &["a"], "").await;
    let client = ChaosClient::new(addrs, "test".into());
    let unknown = client
        .on_link(("a", "z"), LinkFault::Cut, &Firing::lasting(TTL))
        .await
        .unwrap_err();
    assert_eq!(unknown.to_string(), "unknown node \"z\"; known are a, b, gone");
    let off = client
        .on_link(("b", "a"), LinkFault::Cut, &Firing::lasting(TTL))
        .await
        .unwrap_err();
    assert_eq!(
        (off.exit_code(), off.to_string().contains("without --chaos")),
        (1, true),
        "{off}"
    );
    let gone = client
        .on_link(("gone", "a"), LinkFault::Cut, &Firing::lasting(TTL))
        .await
        .unwrap_err();
    assert!(
        matches!(&gone, ChaosError::Unavailable { who, .. } if who == "gone"),
        "{gone}"
    );
    assert_eq!(
        client.on_node("a", KILL, &Firing::lasting(TTL)).await,
        Err(ChaosError::NoSupervisor)
    );
    assert_eq!(
        client
            .on_node("z", KILL, &Firing::lasting(TTL))
            .await
            .unwrap_err()
            .exit_code(),
        2
    );
}

/// A picture of nodes that are up.
fn seen(names: &[&str]) -> Picture {
    let node = |name: &&str| PictureNode {
        name: (*name).to_owned(),
        voter: true,
        up: true,
    };
    Picture {
        nodes: names.iter().map(node).collect(),
        ..Picture::default()
    }
}

#[tokio::test]
async fn the_console_kills_pauses_and_halts_through_the_supervisor_that_a_node_names() {
    let dir = tempfile::tempdir().unwrap();
    let up = supervisor(dir.path(), 2, 23_000).await;
    let addrs = serve(&["a", "b"], &["a", "b"], up.socket().to_str().unwrap()).await;
    let client = Arc::new(ChaosClient::new(addrs, "observer".into()));
    let console = ChaosConsole::new(Arc::clone(&client), None);
    let pid = up.children().await[0].os_pid;

    let picture = seen(&["a", "b", "z"]);
    let fire = |fault: &str, target: &str, expect_os_pid| {
        let order = Order {
            fault: fault.into(),
            target: target.into(),
            ttl: TTL,
            expect_os_pid,
        };
        console.fire(order, picture.clone())
    };
    let stale = fire("kill", "a", Some(pid + 1)).await;
    assert!(matches!(stale, Err(ConsoleError::Refused(_))), "{stale:?}");
    let killed = fire("kill stay-down", "a", Some(pid)).await;
    assert_eq!(killed.unwrap(), "a killed, stays down");
    let paused = fire("pause", "b", None).await.unwrap();
    assert!(paused.starts_with("b paused, goes on in "), "{paused}");
    let unknown = fire("kill", "y", None).await;
    assert!(
        matches!(&unknown, Err(ConsoleError::Refused(text)) if text.contains("unknown node 'y'")),
        "{unknown:?}"
    );
    let listing = client.list().await.unwrap();
    let down: Vec<_> = listing
        .down
        .iter()
        .map(|down| (down.node.as_str(), down.state))
        .collect();
    assert_eq!(down, [("a", "dead"), ("b", "paused")]);

    let text = console.halt().await.unwrap();
    assert!(
        text.starts_with("0 faults ended, thawed or started a, b"),
        "{text}"
    );
    assert!(
        up.children()
            .await
            .iter()
            .all(|child| child.state() == ChildState::Running)
    );
    let locked = fire("pause", "b", None).await;
    assert!(
        matches!(&locked, Err(ConsoleError::Refused(text)) if text.contains("unlock --reason")),
        "{locked:?}"
    );
    client.unlock("go on").await.unwrap();
    let restarted = fire("restart", "b", None).await.unwrap();
    assert!(restarted.starts_with("b started again, process "), "{restarted}");
    let nobody = fire("resume", "z", None).await;
    assert!(
        matches!(&nobody, Err(ConsoleError::Refused(text)) if text.contains("known are a, b")),
        "{nobody:?}"
    );
    let elsewhere = client
        .on_node("gone", KILL, &Firing::lasting(TTL))
        .await
        .unwrap_err();
    let words = "node \"gone\" is a member of this cluster, but it was not started by its supervisor, which can act on \
                 a, b only";
    assert!(
        elsewhere.exit_code() == 1 && elsewhere.to_string().starts_with(words),
        "{elsewhere}"
    );
    up.end().await;
}

#[tokio::test]
async fn an_ended_supervisor_is_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let up = supervisor(dir.path(), 1, 23_200).await;
    let addrs = serve(&["a"], &["a"], up.socket().to_str().unwrap()).await;
    let client = ChaosClient::new(addrs, "test".into());
    up.end().await;
    let error = client
        .on_node("a", NodeDeed::Pause, &Firing::lasting(TTL))
        .await
        .unwrap_err();
    assert_eq!(
        (error.exit_code(), error.to_string().contains("supervisor.sock")),
        (5, true),
        "{error}"
    );
}
