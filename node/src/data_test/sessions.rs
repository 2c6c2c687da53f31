//! Sessions: native clients over frames, and clients that vanish.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use squall_kernel::frame::{Frame, Kind, Status, Tags};
use squall_kernel::id::{ExchangeId, LinkSeq, MessageId, NodeId, Pid, Revision};
use squall_kernel::limits::{FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX};
use squall_kernel::message::{self, ClientMessage, NodeMessage, ProposeResult, System};
use squall_kernel::reason::{ClientFault, NoReply};
use squall_kernel::registry::{Command, Outcome as Applied, Pattern, Settings, Strategy};
use tokio::io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::Mutex;

use super::cluster::{Cluster, Log, name, node, quiet};
use crate::grpc::Proposer;
use crate::limits::SESSION_SEND_TIMEOUT;
use crate::mesh::{FrameReader, FrameWriter};
use crate::session::{NativeConnection, NativeSessions, SessionEnd};

/// Says yes to everything.
struct Yes;

impl Proposer for Yes {
    fn propose(&self, _command: Command) -> BoxFuture<'_, ProposeResult> {
        let committed = ProposeResult::Committed {
            outcome: Applied::Done,
            revision: Revision(9),
        };
        std::future::ready(committed).boxed()
    }
}

/// Bytes on their way, in each direction.
const WIRE: usize = 1 << 20;
/// The same for one that hardly reads: some frames.
const NARROW: usize = 1024;
/// Frames that wait for a client.
const FRAMES: usize = 1024;

/// The end that a client writes to.
pub(super) struct FramesOut(Mutex<WriteHalf<DuplexStream>>);

impl FramesOut {
    pub(super) async fn send(&self, frame: Frame) -> std::io::Result<()> {
        let mut bytes = BytesMut::new();
        frame.encode(LinkSeq(0), &mut bytes);
        self.0.lock().await.write_all(&bytes).await
    }
}

pub(super) struct Client {
    pub(super) frames: FramesOut,
    out: FrameReader<ReadHalf<DuplexStream>>,
    _sessions: NativeSessions<Yes>,
    task: tokio::task::JoinHandle<SessionEnd>,
}

fn connection(
    stream: DuplexStream,
    frames: usize,
) -> NativeConnection<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>> {
    let (from, to) = tokio::io::split(stream);
    NativeConnection {
        name: "test".into(),
        frames: FrameReader::new(from, BytesMut::new(), FRAME_BYTES_MAX),
        out: FrameWriter::new(to, frames),
    }
}

impl Client {
    pub(super) fn connect(cluster: &Cluster, n: usize) -> Self {
        let sessions = NativeSessions::new(Arc::clone(&cluster.planes[n]), Arc::new(Yes));
        Self::over(sessions, WIRE, FRAMES)
    }

    /// One that can be sent only so many bytes before it reads, and for which only so many frames wait.
    pub(super) fn narrow(cluster: &Cluster, n: usize, frames: usize) -> Self {
        let sessions = NativeSessions::new(Arc::clone(&cluster.planes[n]), Arc::new(Yes));
        Self::over(sessions, NARROW, frames)
    }

    fn over(sessions: NativeSessions<Yes>, bytes: usize, frames: usize) -> Self {
        let (here, there) = tokio::io::duplex(bytes);
        let task = sessions.serve(connection(there, frames));
        let (from_node, to_node) = tokio::io::split(here);
        Self {
            frames: FramesOut(Mutex::new(to_node)),
            out: FrameReader::new(from_node, BytesMut::new(), FRAME_BYTES_MAX),
            _sessions: sessions,
            task,
        }
    }

    pub(super) fn vanish(self) {}

    pub(super) async fn say(&self, message: &ClientMessage) {
        self.frames.send(message::control(message)).await.unwrap();
    }

    async fn frame(&mut self) -> Frame {
        self.out.next().await.unwrap().unwrap().1
    }

    pub(super) async fn heard(&mut self) -> NodeMessage {
        let frame = self.frame().await;
        assert_eq!(frame.kind, Kind::Control);
        message::parse(&frame.payload).unwrap()
    }

    /// The next delivery or outcome; system messages are passed over.
    pub(super) async fn data(&mut self) -> Frame {
        loop {
            let frame = self.frame().await;
            if frame.kind != Kind::Control {
                return frame;
            }
        }
    }

    pub(super) async fn attach(&mut self, exchange: &str, credit: u32) -> Pid {
        self.say(&ClientMessage::Attach {
            call: 1,
            name: name(exchange),
            service_tag: String::new(),
            connection_tag: "c".into(),
            credit,
        })
        .await;
        match self.heard().await {
            NodeMessage::Attached { call: 1, handler, .. } => handler,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn request(&self, id: u64, exchange: ExchangeId) {
        let frame = Frame {
            exchange,
            message: MessageId(id),
            left_ms: 2000,
            tags: Tags {
                request: "tag".into(),
                ..Tags::default()
            },
            payload: Bytes::from_static(b"question"),
            ..Frame::new(Kind::Request)
        };
        self.frames.send(frame).await.unwrap();
    }

    pub(super) async fn answer(&self, delivery: &Frame, status: Status) {
        let frame = Frame {
            status,
            message: delivery.message,
            origin: delivery.origin,
            from: Pid {
                node: NodeId(0),
                serial: delivery.to,
            },
            payload: Bytes::from_static(b"answer"),
            ..Frame::new(Kind::Reply)
        };
        self.frames.send(frame).await.unwrap();
    }
}

/// What the first node has refused to clients, by reason.
fn counted(cluster: &Cluster) -> Vec<(ClientFault, u64)> {
    let tally = &cluster.planes[0].context.wire.tally;
    tally.client_faults.counted().collect()
}

#[tokio::test(start_paused = true)]
async fn a_client_answers_another_clients_request_across_nodes() {
    let mut cluster = Cluster::new(3);
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let (mut server, mut client) = (Client::connect(&cluster, 1), Client::connect(&cluster, 2));
    let pid = server.attach("orders", 0).await;
    assert!(matches!(
        server.heard().await,
        NodeMessage::System { handler, message } if handler == pid.serial && matches!(message.what, System::Leader { .. })
    ));
    client.request(5, exchange).await;
    let delivery = server.data().await;
    assert_eq!(
        (delivery.kind, delivery.to, &delivery.payload[..]),
        (Kind::Deliver, pid.serial, &b"question"[..])
    );
    server.answer(&delivery, Status::Reply).await;
    server.answer(&delivery, Status::Reply).await;
    let outcome = client.data().await;
    assert_eq!(
        (outcome.kind, outcome.message, outcome.from),
        (Kind::Reply, MessageId(5), pid)
    );
    assert_eq!(
        (&outcome.payload[..], &outcome.tags.request[..]),
        (&b"answer"[..], &b"tag"[..])
    );
    quiet().await;
    let late = &cluster.planes[1].context.wire.tally.late_replies;
    assert_eq!(
        late.load(std::sync::atomic::Ordering::Relaxed),
        1,
        "the second answer"
    );
}

#[tokio::test(start_paused = true)]
async fn calls_are_answered_by_their_number() {
    let mut cluster = Cluster::new(2);
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let mut client = Client::connect(&cluster, 1);
    client
        .say(&ClientMessage::Lookup {
            call: 1,
            name: name("orders"),
        })
        .await;
    assert_eq!(
        client.heard().await,
        NodeMessage::Found {
            call: 1,
            exchange: Some(exchange)
        }
    );
    client
        .say(&ClientMessage::Lookup {
            call: 2,
            name: name("nothing"),
        })
        .await;
    assert_eq!(
        client.heard().await,
        NodeMessage::Found {
            call: 2,
            exchange: None
        }
    );
    client.say(&ClientMessage::Ping { call: 3 }).await;
    assert_eq!(client.heard().await, NodeMessage::Pong { call: 3 });
    client.say(&ClientMessage::Members { call: 4 }).await;
    let NodeMessage::Members { call: 4, members } = client.heard().await else {
        panic!("no members")
    };
    assert_eq!(
        members.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
    client
        .say(&ClientMessage::Propose {
            call: 5,
            command: Command::Delete { name: name("orders") },
        })
        .await;
    assert!(matches!(
        client.heard().await,
        NodeMessage::Proposed { call: 5, .. }
    ));
    let tenure = cluster.registry.nodes[&node(0)].tenure;
    let lost = Command::RenewTenure {
        node: node(0),
        tenure,
    };
    client
        .say(&ClientMessage::Propose {
            call: 6,
            command: lost,
        })
        .await;
    assert!(matches!(
        client.heard().await,
        NodeMessage::Refused { call: 6, .. }
    ));
    let attach = |call, exchange: &str| ClientMessage::Attach {
        call,
        name: name(exchange),
        service_tag: String::new(),
        connection_tag: String::new(),
        credit: 1,
    };
    client.say(&attach(7, "nothing")).await;
    let NodeMessage::Refused { call: 7, reason, .. } = client.heard().await else {
        panic!("not refused")
    };
    assert!(reason.contains("'nothing'"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_interrupts_what_it_had() {
    let mut cluster = Cluster::new(2);
    let log = Log::default();
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let mut server = Client::connect(&cluster, 1);
    server.attach("orders", 0).await;
    quiet().await;
    let mut client = Client::connect(&cluster, 0);
    client.request(1, exchange).await;
    assert_eq!(server.data().await.kind, Kind::Deliver);
    cluster.attach(0, "orders", log.handler("stays"));
    quiet().await;
    drop((server.frames, server.out));
    let outcome = client.data().await;
    assert_eq!(
        (outcome.message, outcome.status),
        (MessageId(1), Status::None(NoReply::Interrupted))
    );
    client.request(2, exchange).await;
    assert_eq!(&client.data().await.payload[..], b"stays");
    assert_eq!(server.task.await.unwrap(), SessionEnd::Gone);
    assert!(cluster.planes[1].handlers.attached().is_empty());
}

/// B4.
#[tokio::test(start_paused = true)]
async fn more_than_the_credit_is_rejected_and_credit_comes_back() {
    let mut cluster = Cluster::new(1);
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let (mut server, mut client) = (Client::connect(&cluster, 0), Client::connect(&cluster, 0));
    server.attach("orders", 1).await;
    quiet().await;
    client.request(1, exchange).await;
    let delivery = server.data().await;
    client.request(2, exchange).await;
    let rejected = client.data().await;
    assert_eq!(
        (rejected.message, rejected.status),
        (MessageId(2), Status::None(NoReply::Rejected))
    );
    server.answer(&delivery, Status::Declined).await;
    assert_eq!(client.data().await.status, Status::Declined);
    client.request(3, exchange).await;
    assert_eq!(server.data().await.kind, Kind::Deliver);
}

#[tokio::test(start_paused = true)]
async fn a_handlers_client_that_was_cut_off_hears_of_the_next_owner() {
    let mut cluster = Cluster::new(3);
    let exchange = cluster.declare("ledger", Strategy::Consensus);
    let mut server = Client::connect(&cluster, 2);
    let pid = server.attach("ledger", 0).await;
    cluster.appoint().await;
    cluster.kill(0);
    cluster.declare_lost(0);
    cluster.appoint().await;
    let client = Client::connect(&cluster, 1);
    client.request(1, exchange).await;
    let delivery = server.data().await;
    assert_eq!(
        (delivery.epoch.0, delivery.leader_epoch.0, delivery.to),
        (2, 1, pid.serial),
        "the leader stayed"
    );
}

#[tokio::test(start_paused = true)]
async fn garbage_ends_the_session_and_only_it() {
    let mut cluster = Cluster::new(1);
    cluster.declare("orders", Strategy::RoundRobin);
    let client = Client::connect(&cluster, 0);
    client
        .frames
        .send(Frame {
            payload: Bytes::from_static(b"\xff\xff"),
            ..Frame::new(Kind::Control)
        })
        .await
        .unwrap();
    assert_eq!(client.task.await.unwrap(), SessionEnd::Garbage);
    assert_eq!(counted(&cluster), [(ClientFault::Garbage, 1)]);
    let mut other = Client::connect(&cluster, 0);
    other.say(&ClientMessage::Ping { call: 1 }).await;
    assert_eq!(other.heard().await, NodeMessage::Pong { call: 1 });
}

/// As many as it may have are held for it; then it has its time to take some.
#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up_in_time() {
    let mut cluster = Cluster::new(1);
    let exchange = cluster.declare("orders", Strategy::RoundRobin);
    let mut server = Client::narrow(&cluster, 0, 4);
    server.attach("orders", 0).await;
    quiet().await;
    let mut client = Client::connect(&cluster, 0);
    for n in 0..20 {
        client.request(n, exchange).await;
    }
    let began = tokio::time::Instant::now();
    assert_eq!((&mut server.task).await.unwrap(), SessionEnd::Slow);
    let patience = Duration::from_micros(SESSION_SEND_TIMEOUT.0);
    assert!(began.elapsed() >= patience, "{:?}", began.elapsed());
    for _ in 0..20 {
        assert!(matches!(client.data().await.status, Status::None(_)));
    }
}

/// Nobody waits at an exchange that has nothing for it: handlers attach where requests go, and nowhere else.
#[tokio::test(start_paused = true)]
async fn a_handler_of_requests_is_refused_where_only_publishes_come() {
    let mut cluster = Cluster::new(1);
    cluster.declare_pattern("news", Pattern::PublishSubscribe, Settings::default());
    let mut client = Client::connect(&cluster, 0);
    client
        .say(&ClientMessage::Attach {
            call: 1,
            name: name("news"),
            service_tag: String::new(),
            connection_tag: String::new(),
            credit: 1,
        })
        .await;
    let NodeMessage::Refused { call: 1, reason, .. } = client.heard().await else {
        panic!("not refused")
    };
    let words = "the exchange 'news' is publish-subscribe: it has publishes, not requests";
    assert!(reason.starts_with(words), "{reason}");
    let counted: Vec<_> = cluster.planes[0]
        .context
        .wire
        .tally
        .client_faults
        .counted()
        .collect();
    assert_eq!(counted, [(ClientFault::WrongPattern, 1)]);
}

/// By raw frames: what the client library would not send.
#[tokio::test(start_paused = true)]
async fn what_is_too_long_or_too_large_is_refused_and_counted() {
    let mut cluster = Cluster::new(1);
    let orders = cluster.declare("orders", Strategy::RoundRobin);
    cluster.declare_pattern("news", Pattern::PublishSubscribe, Settings::default());
    let mut client = Client::connect(&cluster, 0);
    client
        .say(&ClientMessage::Subscribe {
            call: 1,
            subscriber: 1,
            name: name("news"),
            connection_tag: String::new(),
            patterns: vec!["k".repeat(1024 * 1024)],
            credit: 1,
        })
        .await;
    let NodeMessage::Refused { call: 1, reason, .. } = client.heard().await else {
        panic!("not refused")
    };
    assert!(
        reason.ends_with("a pattern has at most 255 bytes, this one has 1048576"),
        "{reason}"
    );
    let large = Frame {
        exchange: orders,
        message: MessageId(2),
        payload: Bytes::from(vec![0; PAYLOAD_BYTES_MAX + 1]),
        ..Frame::new(Kind::Request)
    };
    client.frames.send(large).await.unwrap();
    let declined = client.data().await;
    assert_eq!(
        (declined.message, declined.status),
        (MessageId(2), Status::Declined)
    );
    assert_eq!(
        counted(&cluster),
        [(ClientFault::TooLong, 1), (ClientFault::TooLarge, 1)]
    );
}

/// Of a frame above the cap only the length is looked at. Its client is told why, and that is the last it hears.
#[tokio::test(start_paused = true)]
async fn a_frame_above_the_cap_is_refused_and_counted() {
    let cluster = Cluster::new(1);
    let mut client = Client::connect(&cluster, 0);
    let length = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_le_bytes();
    client.frames.0.lock().await.write_all(&length).await.unwrap();
    let NodeMessage::Refused { call: 0, reason, .. } = client.heard().await else {
        panic!("not refused")
    };
    assert!(reason.contains("above the bound of 8388608"), "{reason}");
    assert!(client.out.next().await.unwrap().is_none(), "it is over");
    assert_eq!(client.task.await.unwrap(), SessionEnd::Gone);
    assert_eq!(counted(&cluster), [(ClientFault::TooLarge, 1)]);
}
