//! A node that speaks the real frames and the real handshake, and otherwise does what the test tells it to.

use bytes::{Bytes, BytesMut};
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::handshake::{Accepted, Facts, Listener, Step, refusal_message};
use squall_kernel::id::{Boot, ClusterId, ExchangeId, Incarnation, LinkSeq, NodeId, NodeName, Pid};
use squall_kernel::limits::FRAME_BYTES_MAX;
use squall_kernel::message::{ClientMessage, NodeMessage, control, parse};
use squall_kernel::registry::Introduction;
use squall_kernel::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Number of every exchange but "unknown".
pub(crate) const EXCHANGE: ExchangeId = ExchangeId(7);

pub(crate) struct FakeNode {
    listener: TcpListener,
    pub(crate) me: Introduction,
    pub(crate) members: Vec<Introduction>,
    cookie: Vec<u8>,
}

impl FakeNode {
    pub(crate) async fn start(name: &str, id: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let me = Introduction {
            id: NodeId(id),
            name: NodeName::new(name).unwrap(),
            incarnation: Incarnation(1),
            boot: Boot(1),
            mesh_addr: listener.local_addr().unwrap().to_string(),
            grpc_addr: String::new(),
            functions: Vec::new(),
            zone: None,
        };
        Self {
            listener,
            me,
            members: Vec::new(),
            cookie: Vec::new(),
        }
    }

    pub(crate) fn with_cookie(mut self, cookie: &[u8]) -> Self {
        self.cookie = cookie.to_vec();
        self
    }

    pub(crate) fn addr(&self) -> String {
        self.me.mesh_addr.clone()
    }

    /// Takes the next connection through the handshake; `None` when it was refused.
    pub(crate) async fn accept(&self) -> Option<Conn> {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut members = self.members.clone();
        members.push(self.me.clone());
        let mut conn = Conn {
            stream,
            input: BytesMut::new(),
            members,
            node: self.me.id,
            lookups: 0,
            exchange: EXCHANGE,
            asked: None,
        };
        let facts = Facts {
            me: &self.me,
            process: None,
            cluster: Some(ClusterId(1)),
            initialized: true,
            cookie: &self.cookie,
            live: &[],
        };
        let mut listener = Listener::new([9; 32]);
        loop {
            let frame = conn.frame().await?;
            match listener.step(&facts, parse(&frame.payload).unwrap()) {
                Step::Send(message) => conn.send(&control(&message)).await,
                Step::Done { .. } => {
                    let accepted = Accepted::new(LinkSeq(0), self.members.clone());
                    let message = squall_kernel::message::HandshakeMessage::Accepted(accepted);
                    conn.send(&control(&message)).await;
                    return Some(conn);
                }
                Step::Refuse { refusal, detail, .. } => {
                    conn.send(&control(&refusal_message(refusal, &detail))).await;
                    return None;
                }
            }
        }
    }

    pub(crate) async fn accept_client(&self) -> Conn {
        self.accept().await.expect("the handshake succeeds")
    }
}

/// The fake node's end of a connection. Pings, members and look-ups are answered by themselves; questions for leases are
/// noted.
pub(crate) struct Conn {
    stream: TcpStream,
    input: BytesMut,
    members: Vec<Introduction>,
    node: NodeId,
    pub(crate) lookups: u32,
    pub(crate) exchange: ExchangeId,
    asked: Option<(u64, Instant)>,
}

impl Conn {
    /// The next frame the test has to deal with; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if let Some(frame) = self.serve(frame).await {
                return Some(frame);
            }
        }
    }

    /// The next question for a handler's lease: whose, and when by the client's clock.
    pub(crate) async fn lease_ask(&mut self) -> (u64, Instant) {
        let before = self.asked;
        while self.asked == before {
            let frame = self.frame().await.expect("a question comes");
            let other = self.serve(frame).await;
            assert_eq!(other, None, "not a question");
        }
        self.asked.expect("it has just come")
    }

    async fn serve(&mut self, frame: Frame) -> Option<Frame> {
        if frame.kind != Kind::Control {
            return Some(frame);
        }
        match parse(&frame.payload).unwrap() {
            ClientMessage::Ping { call } => self.tell(&NodeMessage::Pong { call }).await,
            ClientMessage::Members { call } => {
                let members = self.members.clone();
                self.tell(&NodeMessage::Members { call, members }).await;
            }
            ClientMessage::Lookup { call, name } => {
                self.lookups += 1;
                let exchange = (name.as_str() != "unknown").then_some(self.exchange);
                self.tell(&NodeMessage::Found { call, exchange }).await;
            }
            ClientMessage::LeadershipAsk { handler, asked_at } => self.asked = Some((handler, asked_at)),
            _ => return Some(frame),
        }
        None
    }

    pub(crate) async fn request(&mut self) -> Frame {
        let frame = self.next().await.expect("a request comes");
        assert_eq!(frame.kind, Kind::Request);
        frame
    }

    pub(crate) async fn answer(&mut self) -> Frame {
        let frame = self.next().await.expect("an answer comes");
        assert_eq!(frame.kind, Kind::Reply);
        frame
    }

    pub(crate) async fn message(&mut self) -> ClientMessage {
        let frame = self.next().await.expect("a message comes");
        assert_eq!(frame.kind, Kind::Control);
        parse(&frame.payload).unwrap()
    }

    /// Attaches whoever asks next as that serial.
    pub(crate) async fn attach(&mut self, serial: u64) -> Pid {
        let (ClientMessage::Attach { call, .. } | ClientMessage::Work { call, .. }) = self.message().await
        else {
            panic!("not an attachment")
        };
        let handler = Pid {
            node: self.node,
            serial,
        };
        self.tell(&NodeMessage::Attached {
            call,
            handler,
            exchange: self.exchange,
        })
        .await;
        handler
    }

    pub(crate) async fn tell(&mut self, message: &NodeMessage) {
        self.send(&control(message)).await;
    }

    pub(crate) async fn reply(&mut self, request: &Frame, status: Status, payload: &'static [u8]) {
        let frame = Frame {
            status,
            exchange: request.exchange,
            message: request.message,
            tags: request.tags.clone(),
            payload: Bytes::from_static(payload),
            ..Frame::new(Kind::Reply)
        };
        self.send(&frame).await;
    }

    pub(crate) async fn send(&mut self, frame: &Frame) {
        self.send_all(std::slice::from_ref(frame)).await;
    }

    /// Sends them in one piece.
    pub(crate) async fn send_all(&mut self, frames: &[Frame]) {
        let mut out = BytesMut::new();
        for frame in frames {
            frame.encode(LinkSeq(0), &mut out);
        }
        // A client that is gone is what some tests are about.
        let _gone = self.stream.write_all(&out).await;
    }

    async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((_, frame)) = Frame::decode(&mut self.input, FRAME_BYTES_MAX).unwrap() {
                return Some(frame);
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}
