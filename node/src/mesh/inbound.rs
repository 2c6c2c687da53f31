//! The receiving end of links: reads the frames of a peer in order, hands them on, acknowledges them. What does not
//! live here: accepting connections (`listen`).

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use bytes::BytesMut;
use squall_kernel::frame::{Frame, Kind};
use squall_kernel::handshake::{Accepted, CONTROL_LANE, ProcessIdentity};
use squall_kernel::id::{ClusterId, LinkSeq, MessageId, NodeName};
use squall_kernel::limits::FRAME_BYTES_MAX;
use squall_kernel::message::{HandshakeMessage, PeerMessage, parse};
use squall_kernel::reason::Refusal;
use squall_kernel::registry::Introduction;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::greet::{self, GreetError, Wire};
use super::limits::{ACK_BYTES, ACK_FRAMES};
use super::peers::{Inbound, Peer};
use super::stream::FrameReader;
use super::{MeshEvent, Shared};
use crate::faults::Draw;

/// A lane of a peer has come in and proved itself.
pub(super) struct Incoming {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: Arc<Peer>,
    pub(super) node: Introduction,
    pub(super) process: Option<ProcessIdentity>,
    pub(super) cluster: Option<ClusterId>,
    pub(super) lane: u8,
    pub(super) draw: Draw,
}

impl Incoming {
    /// Takes the lane over from an earlier connection, if there is one, and reads until the connection ends.
    pub(super) async fn run(mut self, mut wire: Wire) -> Result<(), GreetError> {
        let peer = Arc::clone(&self.peer);
        let inbound = &peer.inbound[usize::from(self.lane)];
        let mine = claim(inbound);
        let mut claims = inbound.claim.subscribe();
        // The reader before leaves when it sees the claim; from then on `received` stands still.
        let mut run = inbound.gate.lock().await;
        if *claims.borrow_and_update() != mine {
            return Ok(());
        }
        if *run > self.node.incarnation {
            let detail = format!("run {} of node '{}' is connected", *run, self.node.name);
            return Err(greet::end(wire, GreetError::refused(Refusal::OldIncarnation, detail)).await);
        }
        if *run < self.node.incarnation {
            *run = self.node.incarnation;
            inbound.received.store(0, Relaxed);
        }
        self.accept(&mut wire, inbound).await?;
        if self.lane == CONTROL_LANE {
            self.shared.watches.watch(&self.node, self.process);
            self.shared.belongs(&peer, self.cluster).await;
        }
        inbound.up.store(true, Relaxed);
        let why = self.carry(wire, inbound, &mut claims).await;
        inbound.up.store(false, Relaxed);
        tracing::debug!(node = %self.node.name, lane = self.lane, "incoming lane ended: {why}");
        Ok(())
    }

    async fn accept(&mut self, wire: &mut Wire, inbound: &Inbound) -> Result<(), GreetError> {
        let received = LinkSeq(inbound.received.load(Acquire));
        let members = self
            .shared
            .promising()
            .into_iter()
            .filter(|node| node.id != self.node.id);
        let accepted = HandshakeMessage::Accepted(Accepted::new(received, members.collect()));
        let send = async {
            self.shared.faults.pass(&self.node.name, &mut self.draw).await;
            greet::write(wire, &accepted).await
        };
        timeout(self.shared.times.handshake, send)
            .await
            .unwrap_or(Err(GreetError::Closed))
    }

    async fn carry(&mut self, wire: Wire, inbound: &Inbound, claims: &mut watch::Receiver<u64>) -> String {
        self.peer.hear(self.shared.faults.now());
        let (mut stream, buffer) = wire.into_parts();
        let (from, to) = stream.split();
        let progress = Notify::new();
        let reader = FrameReader::new(from, buffer, FRAME_BYTES_MAX);
        let acks = Acks {
            shared: &self.shared,
            to: &self.node.name,
            inbound,
            progress: &progress,
            sent: inbound.received.load(Relaxed),
            sent_bytes: inbound.received_bytes.load(Relaxed),
        };
        tokio::select! {
            why = self.read(reader, inbound, &progress) => why,
            why = acks.run(to, self.draw.clone()) => why,
            _ = claims.changed() => "another connection took the lane over".into(),
        }
    }

    async fn read(
        &self,
        mut reader: FrameReader<ReadHalf<'_>>,
        inbound: &Inbound,
        progress: &Notify,
    ) -> String {
        let mut acknowledged = inbound.received_bytes.load(Relaxed);
        loop {
            match reader.fill().await {
                Ok(true) => self.peer.hear(self.shared.faults.now()),
                Ok(false) => return "closed by the peer".into(),
                Err(error) => return error.to_string(),
            }
            loop {
                match reader.decode() {
                    Ok(None) => break,
                    Err(error) => return error.to_string(),
                    Ok(Some((seq, frame))) => {
                        if let Err(why) = self.take_in(seq, frame, inbound).await {
                            return why;
                        }
                    }
                }
            }
            progress.notify_one();
            let bytes = inbound.received_bytes.load(Relaxed);
            if bytes - acknowledged >= ACK_BYTES {
                acknowledged = bytes;
                // While there is always more to read nothing else of this connection would have its turn: the acknowledgement goes out
                // now, not some megabytes later.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Hands a frame on, then counts it: nothing can come between the two, so a connection that takes over knows
    /// exactly what was handed on.
    async fn take_in(&self, seq: LinkSeq, frame: Frame, inbound: &Inbound) -> Result<(), String> {
        let received = inbound.received.load(Relaxed);
        if seq.0 != received + 1 {
            return Err(format!("frame {seq} came after frame {received}"));
        }
        let bytes = frame.wire_len() as u64;
        if self.lane == CONTROL_LANE && frame.kind == Kind::Control {
            let message: PeerMessage = parse(&frame.payload).map_err(|error| error.to_string())?;
            self.control(message).await?;
        } else {
            self.shared.sink.frame(self.node.id, frame);
        }
        inbound.received_bytes.fetch_add(bytes, Relaxed);
        inbound.received.store(seq.0, Release);
        Ok(())
    }

    async fn control(&self, message: PeerMessage) -> Result<(), String> {
        if let PeerMessage::Belongs { cluster } = message {
            self.shared.belongs(&self.peer, Some(cluster)).await;
            return Ok(());
        }
        let Introduction {
            id: from,
            incarnation,
            ..
        } = self.node;
        let Ok(room) = self.shared.events.reserve().await else {
            // This node ends, and its links with it, in a moment. Closed now, this one would be dialled again and again till then.
            // What was not taken is not acknowledged.
            return std::future::pending().await;
        };
        room.send(MeshEvent::Control {
            from,
            incarnation,
            message,
        });
        Ok(())
    }
}

fn claim(inbound: &Inbound) -> u64 {
    let mut mine = 0;
    inbound.claim.send_modify(|n| {
        *n += 1;
        mine = *n;
    });
    mine
}

struct Acks<'a> {
    shared: &'a Shared,
    to: &'a NodeName,
    inbound: &'a Inbound,
    progress: &'a Notify,
    /// Acknowledged so far.
    sent: u64,
    /// Bytes of that and of what came before.
    sent_bytes: u64,
}

impl Acks<'_> {
    async fn run(mut self, mut io: WriteHalf<'_>, mut draw: Draw) -> String {
        let mut bytes = BytesMut::new();
        loop {
            self.due().await;
            let received = self.received();
            // Read behind it: bytes that are not of those frames make the next one come a little later.
            let bytes_received = self.inbound.received_bytes.load(Relaxed);
            self.shared.faults.pass(self.to, &mut draw).await;
            let ack = Frame {
                message: MessageId(received),
                ..Frame::new(Kind::Ack)
            };
            bytes.clear();
            ack.encode(LinkSeq(0), &mut bytes);
            if let Err(error) = io.write_all(&bytes).await {
                return error.to_string();
            }
            (self.sent, self.sent_bytes) = (received, bytes_received);
        }
    }

    /// Returns when enough frames, enough bytes, or enough time after the first of them, ask for an acknowledgement.
    async fn due(&self) {
        while self.received() == self.sent {
            self.progress.notified().await;
        }
        let many = async {
            while !self.are_many() {
                self.progress.notified().await;
            }
        };
        // Either way it is due.
        let _in_time = timeout(self.shared.times.ack, many).await;
    }

    fn are_many(&self) -> bool {
        let bytes = self.inbound.received_bytes.load(Relaxed) - self.sent_bytes;
        self.received() >= self.sent + ACK_FRAMES || bytes >= ACK_BYTES
    }

    fn received(&self) -> u64 {
        self.inbound.received.load(Acquire)
    }
}
