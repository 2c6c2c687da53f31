//! The limit to compare with: a chain of three processes that do nothing but pass on frames of 64 bytes over TCP, as a request goes
//! from the requester's node to the exchange's, on to the handlers', and straight back. Frames that are ready are written together.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::time::timeout;

use crate::bench::req_resp::host::{PATIENCE, late};
use crate::bench::req_resp::tally::{Tally, Times, Window};
use crate::bench::role::{self, Role};
use crate::bench::{BenchError, io_error};

/// A request with its header, as it would be on the wire.
const FRAME_BYTES: usize = 64;
/// Read at once at most.
const READ_BYTES: usize = 256 * 1024;
const WHAT: &str = "the chain";

/// The first process of the chain, and the other two.
pub(super) struct Chain {
    out: TcpStream,
    input: TcpStream,
    pub(super) children: Vec<Child>,
}

impl Chain {
    pub(super) async fn begin(program: &Path) -> Result<Self, BenchError> {
        let (listener, mut to) = listen().await?;
        let mut children = Vec::new();
        for _ in 0..2 {
            let mut child = role::start(program, &Role::Relay { to })?;
            let line = role::first_line(&mut child, "a relay listens").await?;
            to = line
                .parse()
                .map_err(|_| BenchError::Unsound(format!("a relay listens: '{line}'")))?;
            children.push(child);
        }
        let out = connect(to).await?;
        // The others connect as soon as they are connected to.
        let accepted = timeout(PATIENCE, listener.accept()).await;
        let (input, _) = accepted.map_err(|_| late(WHAT))?.map_err(io_error(WHAT))?;
        Ok(Self {
            out: at_once(out)?,
            input: at_once(input)?,
            children,
        })
    }

    /// Keeps so many frames under way, and waits for the last of them.
    pub(super) async fn ask(&mut self, in_flight: usize, times: Times) -> Result<Tally, BenchError> {
        let window = Window::opens(times);
        let frames = vec![7; in_flight * FRAME_BYTES];
        let mut buffer = vec![0; READ_BYTES];
        let mut flight = Flight::default();
        loop {
            let now = Instant::now();
            let free = in_flight - flight.open;
            if now < window.until && free > 0 {
                flight.sent(now, free);
                let sent = self.out.write_all(&frames[..free * FRAME_BYTES]).await;
                sent.map_err(io_error(WHAT))?;
            }
            if flight.open == 0 {
                return Ok(flight.tally);
            }
            match timeout(PATIENCE, self.input.read(&mut buffer)).await {
                Ok(Ok(bytes @ 1..)) => flight.came(bytes, Instant::now(), &window),
                Ok(Ok(0)) => return Err(BenchError::Unsound(format!("{WHAT} is broken"))),
                Ok(Err(error)) => return Err(io_error(WHAT)(error)),
                Err(_) => return Err(late("the frames of the chain come back")),
            }
        }
    }
}

/// Frames on their way, which come back in the order in which they were sent.
#[derive(Default)]
struct Flight {
    open: usize,
    /// When they were sent, and how many together.
    bursts: VecDeque<(Instant, usize)>,
    /// Bytes of a frame that is not whole yet.
    partial: usize,
    tally: Tally,
}

impl Flight {
    fn sent(&mut self, now: Instant, frames: usize) {
        self.open += frames;
        self.bursts.push_back((now, frames));
    }

    fn came(&mut self, bytes: usize, now: Instant, window: &Window) {
        self.partial += bytes;
        let mut frames = self.partial / FRAME_BYTES;
        self.partial %= FRAME_BYTES;
        while let Some((begun, open)) = self.bursts.front_mut().filter(|_| frames > 0) {
            let ended = frames.min(*open);
            let (took, times) = (now - *begun, u64::try_from(ended).unwrap_or(u64::MAX));
            *open -= ended;
            if *open == 0 {
                self.bursts.pop_front();
            }
            frames -= ended;
            self.open -= ended;
            self.tally.asked += times;
            if window.holds(now) {
                self.tally.took.count_many(took, times);
            }
        }
        if frames > 0 {
            self.tally.fail("more frames came back than were sent".into());
        }
    }
}

/// Takes one connection, whose address it tells, and passes its bytes on until it ends.
///
/// # Errors
/// A connection cannot be had.
pub(in crate::bench) async fn relay(to: SocketAddr) -> Result<(), BenchError> {
    let (listener, here) = listen().await?;
    role::tell(here)?;
    let (input, _) = listener.accept().await.map_err(io_error(WHAT))?;
    let (mut input, mut out) = (at_once(input)?, at_once(connect(to).await?)?);
    let mut buffer = vec![0; READ_BYTES];
    while let bytes @ 1.. = input.read(&mut buffer).await.map_err(io_error(WHAT))? {
        out.write_all(&buffer[..bytes]).await.map_err(io_error(WHAT))?;
    }
    Ok(())
}

async fn listen() -> Result<(TcpListener, SocketAddr), BenchError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(io_error(WHAT))?;
    let here = listener.local_addr().map_err(io_error(WHAT))?;
    Ok((listener, here))
}

async fn connect(to: SocketAddr) -> Result<TcpStream, BenchError> {
    TcpStream::connect(to).await.map_err(io_error(WHAT))
}

fn at_once(stream: TcpStream) -> Result<TcpStream, BenchError> {
    stream.set_nodelay(true).map_err(io_error(WHAT))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn frames_are_counted_when_they_are_whole_with_the_burst_they_were_sent_in() {
        let window = Window::opens((Duration::ZERO, Duration::from_secs(60)));
        let (begun, ms) = (Instant::now(), Duration::from_millis);
        let mut flight = Flight::default();
        flight.sent(begun, 2);
        flight.sent(begun + ms(10), 1);
        flight.came(FRAME_BYTES + 1, begun + ms(20), &window);
        assert_eq!((flight.open, flight.tally.asked), (2, 1));
        flight.came(2 * FRAME_BYTES - 1, begun + ms(20), &window);
        assert_eq!((flight.open, flight.tally.asked), (0, 3));
        assert_eq!(flight.tally.took.largest(), ms(20));
        assert!(
            flight.tally.took.quantile(0.3) < ms(11),
            "that of the second burst"
        );
        assert_eq!(flight.tally.failure, None);
        flight.came(FRAME_BYTES, begun + ms(30), &window);
        assert!(flight.tally.failure.is_some());
    }

    #[tokio::test]
    async fn a_chain_within_one_process_brings_every_frame_back() {
        let (listener, last) = listen().await.unwrap();
        let (middle, first) = listen().await.unwrap();
        let passing = tokio::spawn(async move {
            let (mut input, _) = middle.accept().await.unwrap();
            let mut out = connect(last).await.unwrap();
            tokio::io::copy(&mut input, &mut out).await.unwrap();
        });
        let out = connect(first).await.unwrap();
        let (input, _) = listener.accept().await.unwrap();
        let mut chain = Chain {
            out,
            input,
            children: Vec::new(),
        };
        let times = (Duration::ZERO, Duration::from_millis(5));
        let tally = chain.ask(10, times).await.unwrap();
        assert!(tally.asked >= 10 && tally.failure.is_none());
        assert!(tally.took.total() <= tally.asked);
        drop(chain);
        passing.await.unwrap();
    }
}
