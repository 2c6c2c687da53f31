//! The handshake over a socket: the kernel's machines with frames and deadlines around them. What does not live here:
//! what is decided (`squall_kernel::handshake`), and what a connection is used for afterwards.

use std::io;

use bytes::BytesMut;
use squall_kernel::frame::Kind;
use squall_kernel::handshake::{
    self, Accepted, Dialler, FIRST_FRAME_BYTES_MAX, Facts, HANDSHAKE_FRAME_BYTES_MAX, Listener, Nonce, Peer,
    ProcessIdentity, Purpose, Side, Step,
};
use squall_kernel::id::{ClusterId, LinkSeq, NodeId};
use squall_kernel::message::{HandshakeMessage, control};
use squall_kernel::reason::Refusal;
use squall_kernel::registry::Introduction;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Shared;
use super::limits::{DRAIN_BYTES_MAX, DRAIN_FOR};
use super::stream::{FrameReader, ReadError};
use crate::faults::Draw;

/// A connection on which frames of a handshake travel.
pub(super) type Wire = FrameReader<TcpStream>;

/// Why two sides did not come together.
#[derive(Debug, thiserror::Error)]
pub(super) enum GreetError {
    /// The address does not answer.
    #[error("{addr} does not answer: {source}")]
    Connect { addr: String, source: io::Error },
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// It was closed, without a word.
    #[error("closed during the handshake")]
    Closed,
    /// Another node answers at the address.
    #[error("another node, '{}', answers at its address", .0.name)]
    Other(Box<Introduction>),
    /// One side refused.
    #[error("{refusal}: {detail}")]
    Refused {
        refusal: Refusal,
        detail: String,
        by: Side,
    },
}

impl GreetError {
    pub(super) fn refused(refusal: Refusal, detail: impl Into<String>) -> Self {
        Self::Refused {
            refusal,
            detail: detail.into(),
            by: Side::Us,
        }
    }
}

/// A dialler's way through: who answered, and its last words.
pub(super) struct Answered {
    pub(super) wire: Wire,
    /// The address that was dialled.
    pub(super) addr: String,
    pub(super) node: Introduction,
    pub(super) process: Option<ProcessIdentity>,
    pub(super) cluster: Option<ClusterId>,
    pub(super) initialized: bool,
    pub(super) accepted: Accepted,
    /// The cluster this node named.
    pub(super) named: Option<ClusterId>,
}

/// Connects and shakes hands, each within its time. With `expected` another node's answer is an error.
pub(super) async fn dial(
    shared: &Shared,
    addr: &str,
    purpose: Purpose,
    expected: Option<NodeId>,
) -> Result<Answered, GreetError> {
    let unreachable = |source| GreetError::Connect {
        addr: addr.to_owned(),
        source,
    };
    let connect = timeout(shared.times.connect, TcpStream::connect(addr));
    let stream = connect
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(unreachable)?;
    stream.set_nodelay(true)?;
    let mut wire = FrameReader::new(stream, BytesMut::new(), HANDSHAKE_FRAME_BYTES_MAX);
    let greeting = greet(shared, &mut wire, purpose, expected);
    let result = timeout(shared.times.handshake, greeting).await;
    match result.unwrap_or_else(|_| {
        Err(GreetError::refused(
            Refusal::Slow,
            format!("{addr} took too long"),
        ))
    }) {
        Ok((
            Peer::Node {
                introduction: node,
                process,
                cluster,
                initialized,
                ..
            },
            accepted,
            named,
        )) => Ok(Answered {
            wire,
            addr: addr.to_owned(),
            node,
            process,
            cluster,
            initialized,
            accepted,
            named,
        }),
        Ok((Peer::Client { .. }, ..)) => unreachable!("a listener is a node"),
        Err(error) => Err(end(wire, error).await),
    }
}

async fn greet(
    shared: &Shared,
    wire: &mut Wire,
    purpose: Purpose,
    expected: Option<NodeId>,
) -> Result<(Peer, Accepted, Option<ClusterId>), GreetError> {
    let live = shared.live();
    let facts = shared.facts(&live);
    let (mut dialler, named) = (Dialler::node(&facts, purpose, nonce()), facts.cluster);
    write(wire, &dialler.hello()).await?;
    loop {
        let message = read(wire).await?;
        let step = dialler.step(&shared.cookie, &shared.live(), message);
        if let Some(other) = dialler
            .listener()
            .filter(|node| expected.is_some_and(|id| id != node.id))
        {
            return Err(GreetError::Other(Box::new(other.clone())));
        }
        match step {
            Step::Send(message) => write(wire, &message).await?,
            Step::Done { peer, accepted } => {
                let accepted = accepted.expect("a dialler is done when it is accepted");
                return Ok((peer, accepted, named));
            }
            Step::Refuse { refusal, detail, by } => return Err(GreetError::Refused { refusal, detail, by }),
        }
    }
}

/// The listener's part up to the proof, without a deadline of its own. `Accepted` is the caller's to send.
pub(super) async fn answer(shared: &Shared, wire: &mut Wire, draw: &mut Draw) -> Result<Peer, GreetError> {
    let mut listener = Listener::new(nonce());
    loop {
        let message = read(wire).await?;
        let name = match &message {
            HandshakeMessage::Hello(hello) => hello.node.as_ref().map(|node| node.name.clone()),
            _ => None,
        };
        let step = {
            let live = shared.live();
            let facts: Facts<'_> = shared.facts(&live);
            listener.step(&facts, message)
        };
        match step {
            Step::Send(message) => {
                if let Some(name) = &name {
                    shared.faults.pass(name, draw).await;
                }
                write(wire, &message).await?;
            }
            Step::Done { peer, .. } => return Ok(peer),
            Step::Refuse { refusal, detail, by } => return Err(GreetError::Refused { refusal, detail, by }),
        }
    }
}

/// Tells the other side of a refusal of ours and closes so that the words arrive; hands the error on.
pub(super) async fn end(mut wire: Wire, error: GreetError) -> GreetError {
    if let GreetError::Refused {
        refusal,
        detail,
        by: Side::Us,
    } = &error
    {
        let message = handshake::refusal_message(*refusal, detail);
        let farewell = async {
            write(&mut wire, &message).await?;
            wire.io().shutdown().await?;
            // Closing with unread bytes would reset the connection and lose the words on their way.
            let (mut left, mut sink) = (DRAIN_BYTES_MAX, [0; 1024]);
            while left > 0 {
                let n = wire.io().read(&mut sink).await?;
                left = if n == 0 { 0 } else { left.saturating_sub(n) };
            }
            Ok::<_, GreetError>(())
        };
        // It is a courtesy: the connection ends either way.
        let _told = timeout(DRAIN_FOR, farewell).await;
    }
    error
}

pub(super) async fn write(wire: &mut Wire, message: &HandshakeMessage) -> Result<(), GreetError> {
    let mut bytes = BytesMut::new();
    control(message).encode(LinkSeq(0), &mut bytes);
    Ok(wire.io().write_all(&bytes).await?)
}

async fn read(wire: &mut Wire) -> Result<HandshakeMessage, GreetError> {
    let frame = match wire.next().await {
        Ok(Some((_, frame))) => frame,
        Ok(None) => return Err(GreetError::Closed),
        Err(ReadError::Io(error)) => return Err(error.into()),
        Err(ReadError::Frame(error)) => return Err(GreetError::refused(Refusal::Garbage, error.to_string())),
    };
    if frame.kind != Kind::Control {
        return Err(GreetError::refused(
            Refusal::Garbage,
            "the frame is not a handshake",
        ));
    }
    handshake::read(&frame.payload).map_err(|(refusal, detail)| GreetError::refused(refusal, detail))
}

/// Reads the handshake of a connection that came in: its first frame is small.
pub(super) fn incoming(stream: TcpStream) -> Wire {
    FrameReader::new(stream, BytesMut::new(), FIRST_FRAME_BYTES_MAX)
}

fn nonce() -> Nonce {
    rand::random()
}
