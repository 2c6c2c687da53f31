//! Dialling: TCP and the handshake, under one deadline.

use bytes::BytesMut;
use rand::Rng as _;
use squall_kernel::frame::{Frame, FrameError, Kind};
use squall_kernel::handshake::{
    self, Accepted, Dialler, HANDSHAKE_FRAME_BYTES_MAX, NONCE_BYTES, Peer, Side, Step, refusal_message,
};
use squall_kernel::id::{ClusterId, LinkSeq};
use squall_kernel::message::{HandshakeMessage, control};
use squall_kernel::reason::Refusal;
use squall_kernel::registry::Introduction;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::options::ConnectOptions;

/// A connection whose handshake is done.
#[derive(Debug)]
pub(super) struct Dialled {
    /// The address that answered.
    pub(super) addr: String,
    pub(super) node: Introduction,
    pub(super) cluster: Option<ClusterId>,
    pub(super) members: Vec<Introduction>,
    pub(super) read: OwnedReadHalf,
    pub(super) write: Option<OwnedWriteHalf>,
    /// What came behind the handshake already.
    pub(super) input: BytesMut,
}

/// Why an address gave no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{}", plain(.0))]
    Io(#[from] std::io::Error),
    #[error("no answer within {0:?}")]
    Late(std::time::Duration),
    #[error("closed during the handshake")]
    Closed,
    #[error("not a squall node: {0}")]
    NotSquall(#[from] FrameError),
    #[error("{refusal}: {detail}")]
    Refused { refusal: Refusal, detail: String },
}

/// The system's words without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

pub(super) async fn dial(options: &ConnectOptions, addr: &str) -> Result<Dialled, DialError> {
    let within = options.dial_within;
    timeout(within, connect(options, addr))
        .await
        .unwrap_or(Err(DialError::Late(within)))
}

async fn connect(options: &ConnectOptions, addr: &str) -> Result<Dialled, DialError> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let mut nonce = [0; NONCE_BYTES];
    rand::rng().fill(&mut nonce[..]);
    let mut dialler = Dialler::client(&options.name, nonce);
    let mut input = BytesMut::new();
    send(&mut stream, &dialler.hello()).await?;
    loop {
        let message = receive(&mut stream, &mut input).await?;
        let step = dialler.step(options.cookie.as_deref().unwrap_or_default(), &[], message);
        match step {
            Step::Send(message) => send(&mut stream, &message).await?,
            Step::Done { peer, accepted } => return dialled(addr, stream, input, peer, accepted),
            Step::Refuse { refusal, detail, by } => {
                if by == Side::Us {
                    send(&mut stream, &refusal_message(refusal, &detail)).await?;
                }
                return Err(DialError::Refused { refusal, detail });
            }
        }
    }
}

fn dialled(
    addr: &str,
    stream: TcpStream,
    input: BytesMut,
    peer: Peer,
    accepted: Option<Accepted>,
) -> Result<Dialled, DialError> {
    let Peer::Node {
        introduction,
        cluster,
        ..
    } = peer
    else {
        return Err(DialError::Refused {
            refusal: Refusal::Garbage,
            detail: "a client answered".into(),
        });
    };
    let (read, write) = stream.into_split();
    let members = accepted.map(|a| a.members).unwrap_or_default();
    Ok(Dialled {
        addr: addr.to_owned(),
        node: introduction,
        cluster,
        members,
        read,
        write: Some(write),
        input,
    })
}

async fn send(stream: &mut TcpStream, message: &HandshakeMessage) -> Result<(), DialError> {
    let mut out = BytesMut::new();
    control(message).encode(LinkSeq(0), &mut out);
    Ok(stream.write_all(&out).await?)
}

async fn receive(stream: &mut TcpStream, input: &mut BytesMut) -> Result<HandshakeMessage, DialError> {
    loop {
        if let Some((_, frame)) = Frame::decode(input, HANDSHAKE_FRAME_BYTES_MAX)? {
            if frame.kind != Kind::Control {
                return Err(FrameError::Malformed.into());
            }
            let refused = |(refusal, detail)| DialError::Refused { refusal, detail };
            return handshake::read(&frame.payload).map_err(refused);
        }
        if stream.read_buf(input).await? == 0 {
            return Err(DialError::Closed);
        }
    }
}
