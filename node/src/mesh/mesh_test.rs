//! Tests of whole meshes in one process over loopback: discovery, refusals, order and completeness under broken
//! connections, faults. Waits are for events; their timeout is only there so that a failure ends.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use squall_kernel::fault::FaultKind;
use squall_kernel::frame::Kind;
use squall_kernel::handshake::{Dialler, Facts, Nonce, Purpose};
use squall_kernel::id::{Boot, LinkSeq, MessageId, NodeName, Tenure};
use squall_kernel::message::HandshakeMessage;
use squall_kernel::time::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::*;
use crate::clock::Clock;

const LONG: Duration = Duration::from_secs(60);
const COOKIE: &[u8] = b"secret";

/// What a sink was given.
#[derive(Debug)]
enum Got {
    Frame(NodeId, Frame),
    Lost(LinkLost),
}

struct Sink(mpsc::Sender<Got>);

impl FrameSink for Sink {
    fn frame(&self, from: NodeId, frame: Frame) {
        self.0.try_send(Got::Frame(from, frame)).unwrap();
    }

    fn undeliverable(&self, lost: LinkLost) {
        self.0.try_send(Got::Lost(lost)).unwrap();
    }
}

struct Node {
    me: Introduction,
    mesh: Arc<Mesh>,
    faults: Arc<FaultPlane>,
    events: Receiver<MeshEvent>,
    got: Receiver<Got>,
    clients: Receiver<ClientConn>,
    http: Receiver<TcpStream>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.mesh.stop();
    }
}

struct Setup {
    id: u64,
    name: &'static str,
    incarnation: u64,
    cookie: &'static [u8],
    cluster: Option<u128>,
    seeds: Vec<String>,
    /// Address told to others instead of the real one.
    told: Option<String>,
    /// Address to listen on; any when none.
    on: Option<String>,
}

fn setup(id: u64, name: &'static str) -> Setup {
    Setup { id, name, incarnation: 1, cookie: COOKIE, cluster: None, seeds: vec![], told: None, on: None }
}

impl Setup {
    fn seed(mut self, node: &Node) -> Self {
        self.seeds.push(node.me.mesh_addr.clone());
        self
    }

    async fn start(self) -> Node {
        let listener = TcpListener::bind(self.on.as_deref().unwrap_or("127.0.0.1:0")).await.unwrap();
        let real = listener.local_addr().unwrap().to_string();
        let me = Introduction {
            id: NodeId(self.id),
            name: NodeName::new(self.name).unwrap(),
            incarnation: Incarnation(self.incarnation),
            boot: Boot(1),
            mesh_addr: self.told.unwrap_or(real),
            grpc_addr: String::new(),
        };
        let faults = Arc::new(FaultPlane::new(Clock::start()));
        let times = MeshTimes { grace: LONG, connect: LONG, handshake: LONG / 2, ..MeshTimes::default() };
        let config = MeshConfig {
            me: me.clone(),
            cookie: self.cookie.to_vec(),
            seeds: self.seeds,
            cluster: self.cluster.map(ClusterId),
            control: Handle::current(),
            data: Handle::current(),
            faults: Arc::clone(&faults),
            times,
        };
        let (events_in, events) = mpsc::channel(1024);
        let (got_in, got) = mpsc::channel(65_536);
        let (clients_in, clients) = mpsc::channel(8);
        let (http_in, http) = mpsc::channel(8);
        let out = MeshOut { sink: Arc::new(Sink(got_in)), events: events_in, http: http_in, clients: clients_in };
        let mesh = Mesh::start(config, vec![listener], out).unwrap();
        Node { me, mesh, faults, events, got, clients, http }
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(LONG, what).await.expect("it comes in time")
}

impl Node {
    /// The next event that `pick` finds something in.
    async fn event<T>(&mut self, mut pick: impl FnMut(MeshEvent) -> Option<T>) -> T {
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
    async fn linked(&mut self, to: &[u64]) {
        let mut missing: Vec<(u64, u8)> = to.iter().flat_map(|id| (0..3).map(|lane| (*id, lane))).collect();
        self.event(|event| {
            if let MeshEvent::Connected { node, lane, .. } = event {
                missing.retain(|m| *m != (node.id.0, lane));
            }
            missing.is_empty().then_some(())
        })
        .await;
    }

    async fn refused(&mut self) -> (Refusal, String) {
        self.event(|event| match event {
            MeshEvent::Refused { refusal, detail, .. } => Some((refusal, detail)),
            _ => None,
        })
        .await
    }

    /// Waits until no lane stands.
    async fn parted(&mut self) {
        let mut left = vec![0, 1, 2];
        self.event(|event| {
            if let MeshEvent::Broken { lane, .. } = event {
                left.retain(|l| *l != lane);
            }
            left.is_empty().then_some(())
        })
        .await;
    }

    async fn message(&mut self) -> u64 {
        match within(self.got.recv()).await.expect("the mesh runs") {
            Got::Frame(_, frame) => frame.message.0,
            Got::Lost(lost) => panic!("{lost:?}"),
        }
    }

    async fn lost(&mut self) -> LinkLost {
        match within(self.got.recv()).await.expect("the mesh runs") {
            Got::Frame(_, frame) => panic!("{frame:?}"),
            Got::Lost(lost) => lost,
        }
    }

    fn send(&self, to: u64, n: u64) -> Result<(), SendError> {
        self.mesh.send(NodeId(to), 7, &request(n, 100))
    }
}

fn request(n: u64, len: usize) -> Frame {
    Frame { message: MessageId(n), payload: Bytes::from(vec![1; len]), ..Frame::new(Kind::Request) }
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

#[tokio::test]
async fn one_seed_is_enough_for_a_full_mesh() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    let mut c = setup(3, "c").seed(&a).start().await;
    a.linked(&[2, 3]).await;
    b.linked(&[1, 3]).await;
    c.linked(&[1, 2]).await;
    let heartbeat = PeerMessage::Goodbye { tenure: Tenure(4) };
    b.mesh.send_control(NodeId(3), &heartbeat).unwrap();
    let got = c.event(|event| match event {
        MeshEvent::Control { from, incarnation, message } => Some((from, incarnation, message)),
        _ => None,
    });
    assert_eq!(got.await, (NodeId(2), Incarnation(1), heartbeat));
    c.send(1, 99).unwrap();
    assert_eq!(a.message().await, 99);
    let links = c.mesh.links();
    let states: Vec<_> = links.iter().map(|link| (link.name.as_str(), link.state, link.why.as_str())).collect();
    assert_eq!(states, [("a", LinkState::Up, ""), ("b", LinkState::Up, "")]);
    assert!(c.mesh.heard(NodeId(2)).is_some() && c.mesh.is_connected(NodeId(2)));
    assert_eq!(c.mesh.seeds()[0].node, Some(NodeId(1)));
}

#[tokio::test]
async fn a_peer_that_the_registry_drops_is_forgotten() {
    let mut a = setup(1, "a").start().await;
    let b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    a.mesh.set_peers(vec![]);
    assert_eq!(a.mesh.links().len(), 1, "the registry never had it");
    a.mesh.set_peers(vec![a.me.clone(), b.me.clone()]);
    a.mesh.set_peers(vec![a.me.clone()]);
    assert_eq!(a.send(2, 1), Err(SendError::Unknown(NodeId(2))));
}

#[tokio::test]
async fn a_wrong_cookie_shows_on_both_sides() {
    let mut a = setup(1, "a").start().await;
    let mut b = Setup { cookie: b"other", ..setup(2, "b") }.seed(&a).start().await;
    let (at_a, at_b) = (a.refused().await, b.refused().await);
    assert_eq!((at_a.0, &at_a), (Refusal::Cookie, &at_b));
    assert!(at_a.1.contains("node 'b' at") && at_a.1.contains("use the same --cookie-file"), "{}", at_a.1);
    assert!(b.mesh.seeds()[0].why.starts_with("wrong cookie: "));
    assert_eq!((a.mesh.links().len(), b.mesh.links().len()), (0, 0));
}

#[tokio::test]
async fn another_cluster_shows_on_both_sides() {
    let mut a = Setup { cluster: Some(1), ..setup(1, "a") }.start().await;
    let mut b = Setup { cluster: Some(2), ..setup(2, "b") }.seed(&a).start().await;
    let (at_a, at_b) = (a.refused().await, b.refused().await);
    assert_eq!((at_a.0, &at_a), (Refusal::Cluster, &at_b));
}

#[tokio::test]
async fn the_same_name_twice_shows_on_both_sides() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    let mut other = setup(3, "b").seed(&a).start().await;
    let (at_a, at_other) = (a.refused().await, other.refused().await);
    assert_eq!((at_a.0, &at_a), (Refusal::NameTaken, &at_other));
}

#[tokio::test]
async fn nodes_that_found_two_clusters_part() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    a.mesh.set_cluster(ClusterId(1));
    b.mesh.set_cluster(ClusterId(2));
    assert_eq!((a.refused().await.0, b.refused().await.0), (Refusal::Cluster, Refusal::Cluster));
}

#[tokio::test]
async fn links_survive_the_founding_of_their_cluster() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    for n in 1..=100 {
        a.send(2, n).unwrap();
        if n == 50 {
            a.mesh.set_cluster(ClusterId(1));
            b.mesh.set_cluster(ClusterId(1));
        }
    }
    for n in 1..=100 {
        assert_eq!(b.message().await, n);
    }
}

/// The listener's answer to raw bytes, and the refusal it counted.
async fn answer_to(bytes: &[u8]) -> (Option<HandshakeMessage>, Refusal) {
    let mut a = setup(1, "a").start().await;
    let mut stream = TcpStream::connect(&a.me.mesh_addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = BytesMut::new();
    while within(stream.read_buf(&mut answer)).await.unwrap_or(0) > 0 {}
    let frame = Frame::decode(&mut answer, 4096).unwrap();
    let message = frame.map(|(_, frame)| squall_kernel::handshake::read(&frame.payload).unwrap());
    (message, a.refused().await.0)
}

fn told(answer: Option<HandshakeMessage>) -> Option<Refusal> {
    match answer {
        Some(HandshakeMessage::Refused { refusal, .. }) => Some(refusal),
        _ => None,
    }
}

#[tokio::test]
async fn garbage_is_counted_and_closed() {
    let (answer, refusal) = answer_to(b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!((answer, refusal), (None, Refusal::Garbage));
    // A length that could be ours, and nothing else that is.
    let mut bytes = vec![200, 0, 0, 0];
    bytes.resize(204, 9);
    let (answer, refusal) = answer_to(&bytes).await;
    assert_eq!((told(answer), refusal), (Some(Refusal::Garbage), Refusal::Garbage));
}

#[tokio::test]
async fn an_oversized_first_frame_is_refused_before_it_is_read() {
    let (answer, refusal) = answer_to(&(1024 * 1024_u32).to_le_bytes()).await;
    assert_eq!((told(answer), refusal), (Some(Refusal::Garbage), Refusal::Garbage));
}

#[tokio::test]
async fn another_version_is_refused_with_a_reason() {
    let me = setup(9, "z").start().await.me.clone();
    let facts = Facts { me: &me, cluster: None, initialized: false, cookie: COOKIE, live: &[] };
    let HandshakeMessage::Hello(mut hello) = Dialler::node(&facts, Purpose::Seed, Nonce::default()).hello() else {
        panic!("a hello comes first")
    };
    hello.version = 99;
    let mut bytes = BytesMut::new();
    control(&HandshakeMessage::Hello(hello)).encode(LinkSeq(0), &mut bytes);
    let (answer, refusal) = answer_to(&bytes).await;
    assert_eq!((told(answer), refusal), (Some(Refusal::Version), Refusal::Version));
}

#[tokio::test(start_paused = true)]
async fn silence_is_refused_in_time() {
    let (answer, refusal) = answer_to(b"").await;
    assert_eq!((told(answer), refusal), (Some(Refusal::Slow), Refusal::Slow));
}

#[tokio::test]
async fn http2_is_handed_on_untouched() {
    let mut a = setup(1, "a").start().await;
    let mut stream = TcpStream::connect(&a.me.mesh_addr).await.unwrap();
    stream.write_all(b"PR").await.unwrap();
    stream.write_all(b"I * HTTP/2.0\r\n").await.unwrap();
    let mut taken = within(a.http.recv()).await.unwrap();
    let mut bytes = [0; 16];
    within(taken.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"PRI * HTTP/2.0\r\n");
}

#[tokio::test]
async fn a_client_talks_both_ways_and_is_no_peer() {
    let mut a = setup(1, "a").start().await;
    let mut stream = TcpStream::connect(&a.me.mesh_addr).await.unwrap();
    let mut dialler = Dialler::client("tester", Nonce::default());
    let mut buffer = BytesMut::new();
    let mut say = Some(dialler.hello());
    while let Some(message) = say.take() {
        let mut bytes = BytesMut::new();
        control(&message).encode(LinkSeq(0), &mut bytes);
        stream.write_all(&bytes).await.unwrap();
        let frame = next_frame(&mut stream, &mut buffer).await;
        let answer = squall_kernel::handshake::read(&frame.payload).unwrap();
        if let squall_kernel::handshake::Step::Send(message) = dialler.step(COOKIE, &[], answer) {
            say = Some(message);
        }
    }
    let mut client = within(a.clients.recv()).await.unwrap();
    assert_eq!(client.name, "tester");
    let mut bytes = BytesMut::new();
    request(5, 10).encode(LinkSeq(1), &mut bytes);
    stream.write_all(&bytes).await.unwrap();
    let (_, frame) = within(client.reader.next()).await.unwrap().unwrap();
    assert_eq!(frame, request(5, 10));
    for n in 0..200 {
        client.writer.send(&request(n, 20_000)).unwrap();
    }
    drop(client.writer);
    for n in 0..200 {
        assert_eq!(next_frame(&mut stream, &mut buffer).await.message.0, n);
    }
    assert_eq!(a.mesh.links().len(), 0);
}

async fn next_frame(stream: &mut TcpStream, buffer: &mut BytesMut) -> Frame {
    loop {
        if let Some((_, frame)) = Frame::decode(buffer, 1 << 20).unwrap() {
            return frame;
        }
        assert!(within(stream.read_buf(buffer)).await.unwrap() > 0, "closed");
    }
}

/// A proxy in front of `to` that cuts every connection after some bytes, `cuts` times in all.
async fn cutter(listener: TcpListener, to: String, cuts: Arc<AtomicUsize>) {
    let mut count: u64 = 0;
    loop {
        let (mut from, _) = listener.accept().await.unwrap();
        let Ok(mut onward) = TcpStream::connect(&to).await else { continue };
        count += 1;
        let (cuts, budget) = (Arc::clone(&cuts), 20_000 + faults::mix(count) % 100_000);
        tokio::spawn(async move {
            let (mut from_read, mut from_write) = from.split();
            let (mut to_read, mut to_write) = onward.split();
            let mut limited = (&mut from_read).take(budget);
            tokio::select! {
                _ = tokio::io::copy(&mut limited, &mut to_write) => {}
                _ = tokio::io::copy(&mut to_read, &mut from_write) => {}
            }
            if cuts.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_err() {
                // No cuts left: everything goes through from here on.
                let _ended = tokio::io::copy_bidirectional(&mut from, &mut onward).await;
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_when_connections_break_in_mid_stream() {
    let (front, back) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (told, on) = (front.local_addr().unwrap().to_string(), back.local_addr().unwrap().to_string());
    drop(back);
    let cuts = Arc::new(AtomicUsize::new(20));
    tokio::spawn(cutter(front, on.clone(), Arc::clone(&cuts)));
    let mut b = Setup { told: Some(told), on: Some(on), ..setup(2, "b") }.start().await;
    let mut a = setup(1, "a").seed(&b).start().await;
    a.linked(&[2]).await;
    let total = 10_000;
    let mesh = Arc::clone(&a.mesh);
    let sender = tokio::spawn(async move {
        for n in 1..=total {
            let len = if n % 500 == 0 { 20_000 } else { 100 };
            while mesh.send(NodeId(2), 7, &request(n, len)) == Err(SendError::Full) {
                tokio::task::yield_now().await;
            }
        }
    });
    for n in 1..=total {
        assert_eq!(b.message().await, n);
    }
    within(sender).await.unwrap();
    assert!(cuts.load(SeqCst) < 15, "connections broke: {} cuts are left", cuts.load(SeqCst));
    assert!(a.got.try_recv().is_err(), "nothing came back");
}

#[tokio::test]
async fn a_new_run_of_the_peer_gives_frames_back() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    let on = b.me.mesh_addr.clone();
    a.faults.set("", FaultKind::Cut { to: name("b") }, Span::from_ms(3_600_000), "test").unwrap();
    a.send(2, 1).unwrap();
    b.mesh.stop();
    drop(b);
    a.parted().await;
    a.send(2, 2).unwrap();
    let mut again = Setup { incarnation: 2, on: Some(on), ..setup(2, "b") }.seed(&a).start().await;
    a.faults.halt();
    let mut lost = a.lost().await;
    lost.unwritten.splice(0..0, lost.written.drain(..));
    assert_eq!((lost.to, lost.unwritten), (NodeId(2), vec![request(1, 100), request(2, 100)]));
    again.linked(&[1]).await;
    within(async { while a.send(2, 3).is_err() { tokio::task::yield_now().await } }).await;
    assert_eq!(again.message().await, 3);
    assert_eq!(a.mesh.incarnation(NodeId(2)), Some(Incarnation(2)));
}

#[tokio::test]
async fn a_cut_holds_frames_back_and_its_end_lets_them_go() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    let cut = a.faults.set("x", FaultKind::Cut { to: name("b") }, Span::from_ms(3_600_000), "test").unwrap();
    for n in 1..=10 {
        a.send(2, n).unwrap();
    }
    // The other direction is not cut; when its frame has come, those held back have not.
    b.send(1, 77).unwrap();
    assert_eq!(a.message().await, 77);
    assert!(b.got.try_recv().is_err());
    assert_eq!(a.mesh.links()[0].fault.as_ref().map(|f| f.0.as_str()), Some("cut to b"));
    assert!(a.mesh.links()[0].queue_bytes > 0);
    assert_eq!(a.faults.clear("x").map(|fault| fault.id), Some(cut.id));
    for n in 1..=10 {
        assert_eq!(b.message().await, n);
    }
    assert_eq!(a.mesh.links()[0].connects, 1, "the connection stood all the time");
}

#[tokio::test]
async fn a_cut_ends_by_itself() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    a.faults.set("", FaultKind::Cut { to: name("b") }, Span::from_ms(20), "test").unwrap();
    a.send(2, 1).unwrap();
    assert_eq!(b.message().await, 1);
    assert_eq!(a.faults.list(), []);
}

#[tokio::test]
async fn a_delay_keeps_order_and_touches_every_frame() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    let (delay, jitter) = (Span::from_ms(20), Span::from_ms(20));
    let kind = FaultKind::Delay { to: name("b"), delay, jitter };
    a.faults.set("d", kind, Span::from_ms(3_600_000), "test").unwrap();
    for n in 1..=50 {
        a.send(2, n).unwrap();
        tokio::task::yield_now().await;
    }
    for n in 1..=50 {
        assert_eq!(b.message().await, n);
    }
    assert!(a.faults.list()[0].touched >= 50);
}

#[tokio::test]
async fn a_dial_under_a_cut_waits_for_its_end() {
    let mut a = setup(1, "a").start().await;
    a.faults.set("x", FaultKind::Cut { to: name("b") }, Span::from_ms(3_600_000), "test").unwrap();
    let mut b = setup(2, "b").start().await;
    a.mesh.set_peers(vec![b.me.clone()]);
    // As long as the cut holds, b cannot finish its own dial either: a's answers do not get through.
    b.mesh.set_peers(vec![a.me.clone()]);
    assert_eq!(a.send(2, 1), Err(SendError::Down));
    a.faults.halt();
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    a.send(2, 1).unwrap();
    assert_eq!(b.message().await, 1);
}

#[tokio::test]
async fn a_full_queue_says_so_at_once() {
    let mut a = setup(1, "a").start().await;
    let _b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    a.faults.set("", FaultKind::Cut { to: name("b") }, Span::from_ms(3_600_000), "test").unwrap();
    let big = request(1, 4 * 1024 * 1024);
    let sent = (0..20).map(|_| a.mesh.send(NodeId(2), 7, &big)).take_while(Result::is_ok).count();
    assert_eq!((sent, a.mesh.send(NodeId(2), 7, &big)), (7, Err(SendError::Full)));
    // The other lanes have room of their own.
    let heartbeat = PeerMessage::HeartbeatAck {
        sent_at: Instant(0),
        tenure: Tenure(1),
        promise: Span::ZERO,
        ended: false,
    };
    a.mesh.send_control(NodeId(2), &heartbeat).unwrap();
}

#[tokio::test]
async fn a_seed_without_a_port_is_an_error() {
    let faults = Arc::new(FaultPlane::new(Clock::start()));
    let node = setup(1, "a").start().await;
    let config = MeshConfig {
        me: node.me.clone(),
        cookie: vec![],
        seeds: vec!["somewhere".into()],
        cluster: None,
        control: Handle::current(),
        data: Handle::current(),
        faults,
        times: MeshTimes::default(),
    };
    let (events, http, clients) = (mpsc::channel(1).0, mpsc::channel(1).0, mpsc::channel(1).0);
    let out = MeshOut { sink: Arc::new(Sink(mpsc::channel(1).0)), events, http, clients };
    assert_eq!(Mesh::start(config, vec![], out).err(), Some(MeshError::Seed("somewhere".into())));
}
