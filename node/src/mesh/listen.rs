//! The doors of a node: every port takes native connections and HTTP, told apart by their first bytes; whoever is
//! neither, too slow or too many is counted, logged once and turned away. What does not live here: what links and
//! clients do afterwards.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use squall_kernel::handshake::{self, Accepted, CONTROL_LANE, ProcessIdentity, Purpose, Side};
use squall_kernel::id::LinkSeq;
use squall_kernel::limits::FRAME_BYTES_MAX;
use squall_kernel::message::{HandshakeMessage, control};
use squall_kernel::reason::Refusal;
use squall_kernel::registry::Introduction;
use squall_kernel::spread::mix;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use super::Shared;
use super::greet::{self, GreetError, Wire};
use super::inbound::Incoming;
use super::limits::{LANE_FRAMES_MAX, LOGGED_MAX};
use super::stream::{FrameReader, FrameWriter};
use crate::faults::Draw;

/// First bytes of every HTTP/2 connection (RFC 9113, section 3.4). As the length of a frame they are above any bound.
const HTTP2: &[u8; 4] = b"PRI ";
/// First bytes of requests over HTTP/1.1 that only read. Above any bound, too.
const HTTP1: [&[u8; 4]; 2] = [b"GET ", b"HEAD"];
/// Wait before looking again at a first word that came in pieces.
const PIECES: Duration = Duration::from_millis(5);
/// Wait after a failed accept: the process is out of descriptors, or nearly.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Where connections that are no links go.
#[derive(Debug, Clone)]
pub(super) struct Doors {
    /// HTTP/2, and what reads over HTTP/1.1; whoever serves it bounds it.
    pub(super) http: mpsc::Sender<TcpStream>,
    /// Native clients that have proved themselves.
    pub(super) clients: mpsc::Sender<ClientConn>,
}

/// A native client's connection, on the data runtime.
#[derive(Debug)]
pub struct ClientConn {
    /// Name for display.
    pub name: String,
    /// Its address.
    pub addr: SocketAddr,
    /// What it sends.
    pub reader: FrameReader<OwnedReadHalf>,
    /// What it is sent.
    pub writer: FrameWriter<OwnedWriteHalf>,
    /// Its place among the connections; free again when dropped.
    pub place: OwnedSemaphorePermit,
}

/// Takes in connections until the mesh stops.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener, doors: Doors) {
    let mut stop = shared.stop.subscribe();
    let mut count = 0;
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, addr)) => {
                count += 1;
                let draw = Draw::new(shared.seed() ^ mix(count));
                enter(&shared, stream, addr, &doors, draw);
            }
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

fn enter(shared: &Arc<Shared>, stream: TcpStream, addr: SocketAddr, doors: &Doors, draw: Draw) {
    let Ok(place) = Arc::clone(&shared.connections).try_acquire_owned() else {
        let detail = "connections are at their bound";
        // As much as fits the socket's empty buffer: there is no room to wait for anything.
        let mut bytes = BytesMut::new();
        control(&handshake::refusal_message(Refusal::TooMany, detail)).encode(LinkSeq(0), &mut bytes);
        let _told = stream.try_write(&bytes);
        shared.turned_away.note(Refusal::TooMany, detail, addr, Side::Us);
        return;
    };
    let visitor = Visitor {
        shared: Arc::clone(shared),
        addr,
        doors: doors.clone(),
        draw,
        place,
    };
    let mut stop = shared.stop.subscribe();
    shared.control.spawn(async move {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = visitor.run(stream) => {}
        }
    });
}

/// Who has connected.
struct Visitor {
    shared: Arc<Shared>,
    addr: SocketAddr,
    doors: Doors,
    draw: Draw,
    place: OwnedSemaphorePermit,
}

impl Visitor {
    async fn run(self, stream: TcpStream) {
        let (shared, addr) = (Arc::clone(&self.shared), self.addr);
        let first = timeout(shared.times.handshake, first_word(&stream)).await;
        let first = match first {
            Ok(Ok(first)) => first,
            // Gone before it said anything: a port probe, a health check.
            Ok(Err(_)) => return,
            Err(_) => {
                let error = GreetError::refused(Refusal::Slow, "nothing was said in time");
                return note(&shared, addr, &greet::end(greet::incoming(stream), error).await);
            }
        };
        if first == *HTTP2 || HTTP1.contains(&&first) {
            // Nobody serves HTTP on this node, or too many wait to be served: closed either way.
            let _closed = self.doors.http.try_send(stream);
            return;
        }
        if let Err(error) = self.native(stream, first).await {
            note(&shared, addr, &error);
        }
    }

    async fn native(mut self, stream: TcpStream, first: [u8; 4]) -> Result<(), GreetError> {
        let len = u32::from_le_bytes(first) as usize;
        if len > FRAME_BYTES_MAX {
            // No frame of any version: it would not understand our words.
            return Err(GreetError::refused(
                Refusal::Garbage,
                "the first bytes are not a frame's",
            ));
        }
        stream.set_nodelay(true)?;
        let mut wire = greet::incoming(stream);
        let answer = timeout(
            self.shared.times.handshake,
            greet::answer(&self.shared, &mut wire, &mut self.draw),
        );
        let too_slow = || GreetError::refused(Refusal::Slow, "the handshake was not over in time");
        match answer.await.unwrap_or_else(|_| Err(too_slow())) {
            Err(error) => Err(greet::end(wire, error).await),
            Ok(handshake::Peer::Client { name }) => self.client(wire, name).await,
            Ok(handshake::Peer::Node {
                introduction,
                process,
                purpose,
                cluster,
                ..
            }) => {
                let hello = Hello {
                    node: introduction,
                    process,
                    purpose,
                    cluster,
                };
                self.node(wire, hello).await
            }
        }
    }

    async fn client(self, mut wire: Wire, name: String) -> Result<(), GreetError> {
        let members = self.shared.promising();
        greet::write(
            &mut wire,
            &HandshakeMessage::Accepted(Accepted::new(LinkSeq(0), members)),
        )
        .await?;
        let (stream, buffer) = wire.into_parts();
        let stream = moved(stream, &self.shared.data)?;
        let (from, to) = stream.into_split();
        let reader = FrameReader::new(from, buffer, FRAME_BYTES_MAX);
        let writer = FrameWriter::new(to, LANE_FRAMES_MAX);
        let client = ClientConn {
            name,
            addr: self.addr,
            reader,
            writer,
            place: self.place,
        };
        // Nobody serves clients, or too many wait to be served: closed either way.
        let _closed = self.doors.clients.try_send(client);
        Ok(())
    }

    async fn node(self, mut wire: Wire, hello: Hello) -> Result<(), GreetError> {
        let Hello {
            node,
            process,
            purpose,
            cluster,
        } = hello;
        let Some(peer) = self.shared.meet(&node) else {
            let error = GreetError::refused(Refusal::TooMany, "too many nodes are known here");
            return Err(greet::end(wire, error).await);
        };
        let Purpose::Link { lane } = purpose else {
            let members = self
                .shared
                .promising()
                .into_iter()
                .filter(|member| member.id != node.id)
                .collect();
            let accepted = HandshakeMessage::Accepted(Accepted::new(LinkSeq(0), members));
            return greet::write(&mut wire, &accepted).await;
        };
        invite_back(&peer, &node, lane);
        let incoming = Incoming {
            shared: Arc::clone(&self.shared),
            peer,
            node,
            process,
            cluster,
            lane,
            draw: self.draw,
        };
        if lane == CONTROL_LANE {
            return incoming.run(wire).await;
        }
        let (stream, buffer) = wire.into_parts();
        let stream = moved(stream, &self.shared.data)?;
        let wire = FrameReader::new(stream, buffer, handshake::FIRST_FRAME_BYTES_MAX);
        let (place, mut stop) = (self.place, self.shared.stop.subscribe());
        let task = self.shared.data.spawn(async move {
            let _place = place;
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => Ok(()),
                result = incoming.run(wire) => result,
            }
        });
        task.await.map_err(|_| GreetError::Closed)?
    }
}

/// What a node said at the door.
struct Hello {
    node: Introduction,
    process: Option<ProcessIdentity>,
    purpose: Purpose,
    cluster: Option<squall_kernel::id::ClusterId>,
}

/// The peer is there: dial it now. And if it is a later run, what stands to the earlier one is dead.
fn invite_back(peer: &super::Peer, node: &Introduction, lane: u8) {
    let lane = &peer.lanes[usize::from(lane)];
    if lane.stands_to_earlier(node.incarnation) {
        lane.greet_anew();
    }
    lane.redial.notify_one();
}

/// The first four bytes, left where they are.
async fn first_word(stream: &TcpStream) -> io::Result<[u8; 4]> {
    let mut word = [0; 4];
    loop {
        match stream.peek(&mut word).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            4 => return Ok(word),
            // A peek returns at once while there is anything, so it cannot wait for more.
            _ => tokio::time::sleep(PIECES).await,
        }
    }
}

/// The connection under another runtime's care.
fn moved(stream: TcpStream, runtime: &tokio::runtime::Handle) -> io::Result<TcpStream> {
    let stream = stream.into_std()?;
    let _guard = runtime.enter();
    TcpStream::from_std(stream)
}

fn note(shared: &Shared, addr: SocketAddr, error: &GreetError) {
    if let GreetError::Refused { refusal, detail, by } = error
        && shared.turned_away.note(*refusal, detail, addr, *by)
    {
        shared.refused(*refusal, detail, addr.to_string(), false);
    }
}

/// Connections turned away, by reason.
#[derive(Debug)]
pub(super) struct TurnedAway {
    counts: Vec<AtomicU64>,
    logged: Mutex<HashSet<(Refusal, IpAddr)>>,
}

impl Default for TurnedAway {
    fn default() -> Self {
        let counts = Refusal::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            counts,
            logged: Mutex::new(HashSet::new()),
        }
    }
}

impl TurnedAway {
    /// Counts; logs the first one of its cause and address. True when it did.
    fn note(&self, refusal: Refusal, detail: &str, addr: SocketAddr, by: Side) -> bool {
        if let Some(place) = Refusal::ALL.iter().position(|r| *r == refusal) {
            self.counts[place].fetch_add(1, Relaxed);
        }
        let mut logged = self.logged.lock().expect("no holder of the lock panics");
        let first = logged.len() < LOGGED_MAX && logged.insert((refusal, addr.ip()));
        drop(logged);
        if first {
            tracing::warn!(%addr, by = ?by, "connection refused: {refusal}: {detail}");
        }
        first
    }

    pub(super) fn counts(&self) -> Vec<(Refusal, u64)> {
        Refusal::ALL
            .iter()
            .zip(&self.counts)
            .map(|(refusal, n)| (*refusal, n.load(Relaxed)))
            .collect()
    }
}
