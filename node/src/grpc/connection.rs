//! A connection on its way into the gRPC server: taken over from the listener's runtime and counted. What does not
//! live here: listening.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::limits::STALL_TIME_MAX;

/// A connection that holds one of the server's places.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// While the other end takes nothing: when that is too long.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

/// Why a connection was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// No place is free.
    #[error("connections are at their bound")]
    Full,
    /// The socket is broken.
    #[error("the socket is broken: {0}")]
    Io(#[from] io::Error),
}

impl Connection {
    /// Takes a socket over into the current runtime: until now another one waited on it.
    ///
    /// # Errors
    /// [`NotTaken`]; the socket is closed then.
    pub fn take(stream: TcpStream, places: &Arc<Semaphore>) -> Result<Self, NotTaken> {
        let place = Arc::clone(places)
            .try_acquire_owned()
            .map_err(|_| NotTaken::Full)?;
        let stream = TcpStream::from_std(stream.into_std()?)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            stalled: None,
            _place: place,
        })
    }
}

impl Connection {
    /// What writing has come to: an end, where it has stood still for too long.
    fn bounded<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(STALL_TIME_MAX)));
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.bounded(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_nothing_loses_its_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _deaf = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let places = Arc::new(Semaphore::new(1));
        let mut connection = Connection::take(stream, &places).unwrap();
        assert_eq!(places.available_permits(), 0);
        let began = Instant::now();
        let page = vec![b'x'; 64 * 1024];
        let stalled = loop {
            if let Err(error) = connection.write_all(&page).await {
                break error;
            }
        };
        assert_eq!(stalled.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= STALL_TIME_MAX);
        drop(connection);
        assert_eq!(places.available_permits(), 1);
    }
}
