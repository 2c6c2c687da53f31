//! Meshes in one process over loopback, for the tests of the mesh. Waits are for events; their timeout is only there so
//! that a failure ends.

use std::time::Duration;

use bytes::Bytes;
use squall_kernel::frame::Kind;
use squall_kernel::handshake::ProcessIdentity;
use squall_kernel::id::{Boot, MessageId, NodeName};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::*;
use crate::clock::Clock;

pub(super) const LONG: Duration = Duration::from_secs(60);
pub(super) const COOKIE: &[u8] = b"secret";

/// What a sink was given.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a test's few values")]
pub(super) enum Got {
    Frame(Frame),
    Lost(LinkLost),
}

pub(super) struct Sink(pub(super) mpsc::Sender<Got>);

impl FrameSink for Sink {
    fn frame(&self, _: NodeId, frame: Frame) {
        self.0.try_send(Got::Frame(frame)).unwrap();
    }

    fn undeliverable(&self, lost: LinkLost) {
        self.0.try_send(Got::Lost(lost)).unwrap();
    }
}

pub(super) struct Node {
    pub(super) me: Introduction,
    pub(super) mesh: Arc<Mesh>,
    pub(super) faults: Arc<FaultPlane>,
    pub(super) events: Receiver<MeshEvent>,
    pub(super) got: Receiver<Got>,
    pub(super) clients: Receiver<ClientConn>,
    pub(super) http: Receiver<TcpStream>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.mesh.stop();
    }
}

pub(super) struct Setup {
    pub(super) id: u64,
    pub(super) name: &'static str,
    pub(super) incarnation: u64,
    pub(super) cookie: &'static [u8],
    pub(super) cluster: Option<u128>,
    pub(super) seeds: Vec<String>,
    /// Address told to others instead of the real one.
    pub(super) told: Option<String>,
    /// Address to listen on; any when none.
    pub(super) on: Option<String>,
    pub(super) process: Option<ProcessIdentity>,
    pub(super) trust_refused: bool,
    /// Longest wait before an acknowledgement; the usual one when none.
    pub(super) ack: Option<Duration>,
}

pub(super) fn setup(id: u64, name: &'static str) -> Setup {
    Setup {
        id,
        name,
        incarnation: 1,
        cookie: COOKIE,
        cluster: None,
        seeds: vec![],
        told: None,
        on: None,
        process: None,
        trust_refused: false,
        ack: None,
    }
}

impl Setup {
    pub(super) fn seed(mut self, node: &Node) -> Self {
        self.seeds.push(node.me.mesh_addr.clone());
        self
    }

    pub(super) async fn start(self) -> Node {
        let listener = TcpListener::bind(self.on.as_deref().unwrap_or("127.0.0.1:0"))
            .await
            .unwrap();
        let real = listener.local_addr().unwrap().to_string();
        let me = Introduction {
            id: NodeId(self.id),
            name: NodeName::new(self.name).unwrap(),
            incarnation: Incarnation(self.incarnation),
            boot: Boot(1),
            mesh_addr: self.told.unwrap_or(real),
            grpc_addr: String::new(),
            functions: Vec::new(),
            zone: None,
        };
        let faults = Arc::new(FaultPlane::new(Clock::start()));
        let times = MeshTimes {
            grace: LONG,
            connect: LONG,
            handshake: LONG / 2,
            ack: self.ack.unwrap_or(MeshTimes::default().ack),
            ..MeshTimes::default()
        };
        let config = MeshConfig {
            me: me.clone(),
            cookie: self.cookie.to_vec(),
            seeds: self.seeds,
            cluster: self.cluster.map(ClusterId),
            control: Handle::current(),
            data: Handle::current(),
            faults: Arc::clone(&faults),
            times,
            process: self.process,
            trust_refused: self.trust_refused,
        };
        let (events_in, events) = mpsc::channel(1024);
        let (got_in, got) = mpsc::channel(65_536);
        let (clients_in, clients) = mpsc::channel(8);
        let (http_in, http) = mpsc::channel(8);
        let out = MeshOut {
            sink: Arc::new(Sink(got_in)),
            events: events_in,
            http: http_in,
            clients: clients_in,
        };
        let mesh = Mesh::start(config, vec![listener], out).unwrap();
        Node {
            me,
            mesh,
            faults,
            events,
            got,
            clients,
            http,
        }
    }
}

pub(super) async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(LONG, what).await.expect("it comes in time")
}

impl Node {
    /// The next event that `pick` finds something in.
    pub(super) async fn event<T>(&mut self, mut pick: impl FnMut(MeshEvent) -> Option<T>) -> T {
        within(async {
            loop {
                if let Some(found) = pick(self.events.recv().await.expect("the mesh runs")) {
                    return found;
                }
            }
        })
        .await
    }

    /// Waits until all lanes to these nodes stand.
    pub(super) async fn linked(&mut self, to: &[u64]) {
        let mut missing: Vec<(u64, u8)> = to.iter().flat_map(|id| (0..3).map(|lane| (*id, lane))).collect();
        self.event(|event| {
            if let MeshEvent::Connected { node, lane, .. } = event {
                missing.retain(|m| *m != (node.id.0, lane));
            }
            missing.is_empty().then_some(())
        })
        .await;
    }

    pub(super) async fn refused(&mut self) -> (Refusal, String) {
        self.event(|event| match event {
            MeshEvent::Refused { refusal, detail, .. } => Some((refusal, detail)),
            _ => None,
        })
        .await
    }

    /// Waits until no lane stands.
    pub(super) async fn parted(&mut self) {
        let mut left = vec![0, 1, 2];
        self.event(|event| {
            if let MeshEvent::Broken { lane, .. } = event {
                left.retain(|l| *l != lane);
            }
            left.is_empty().then_some(())
        })
        .await;
    }

    pub(super) async fn message(&mut self) -> u64 {
        match within(self.got.recv()).await.expect("the mesh runs") {
            Got::Frame(frame) => frame.message.0,
            Got::Lost(lost) => panic!("{lost:?}"),
        }
    }

    pub(super) async fn lost(&mut self) -> LinkLost {
        match within(self.got.recv()).await.expect("the mesh runs") {
            Got::Frame(frame) => panic!("{frame:?}"),
            Got::Lost(lost) => lost,
        }
    }

    pub(super) fn send(&self, to: u64, n: u64) -> Result<(), SendError> {
        self.mesh.send(NodeId(to), 7, &request(n, 100))
    }
}

pub(super) fn request(n: u64, len: usize) -> Frame {
    Frame {
        message: MessageId(n),
        payload: Bytes::from(vec![1; len]),
        ..Frame::new(Kind::Request)
    }
}

pub(super) fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}
