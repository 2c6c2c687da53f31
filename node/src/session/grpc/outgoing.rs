//! Batches on their way to a gRPC client: bounded by number and by bytes, until the connection takes them.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use squall_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::limits::{SESSION_OUT_BYTES_MAX, SESSION_OUT_MAX, SESSION_SEND_TIMEOUT};

type Item = Result<v1::ServerBatch, Status>;
type Placed = (Item, Option<OwnedSemaphorePermit>);

/// What the client is sent, until it takes it.
pub(super) type Outgoings = BoxStream<'static, Item>;

/// The session's end.
pub(super) struct Outgoing {
    batches: mpsc::Sender<Placed>,
    room: Arc<Semaphore>,
}

/// A place that is kept for the last word.
pub(super) struct LastWord(mpsc::OwnedPermit<Placed>);

/// Both ends, and the place of the last word: there is one for the reason also when the client has taken nothing for long.
pub(super) fn channel() -> (Outgoing, Option<LastWord>, Outgoings) {
    let (batches, taken) = mpsc::channel(SESSION_OUT_MAX);
    let last_word = batches.clone().try_reserve_owned().ok().map(LastWord);
    let outgoing = Outgoing {
        batches,
        room: Arc::new(Semaphore::new(SESSION_OUT_BYTES_MAX)),
    };
    // What is taken gives its room back.
    let taken = ReceiverStream::new(taken).map(|(item, _room)| item);
    (outgoing, last_word, taken.boxed())
}

impl Outgoing {
    /// Sends a batch with so many bytes of payload in it; one that is larger than any room takes all of it.
    ///
    /// # Errors
    /// `Cancelled` where the client is gone, `ResourceExhausted` where it has taken nothing for ten seconds.
    pub(super) async fn send(&self, batch: v1::ServerBatch, bytes: usize) -> Result<(), Status> {
        let patience = Duration::from_micros(SESSION_SEND_TIMEOUT.0);
        let sent = tokio::time::timeout(patience, self.place(batch, bytes)).await;
        sent.unwrap_or_else(|_| Err(too_slow()))
    }

    async fn place(&self, batch: v1::ServerBatch, bytes: usize) -> Result<(), Status> {
        let gone = || Status::cancelled("the client is gone");
        let bytes = u32::try_from(bytes.min(SESSION_OUT_BYTES_MAX)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes);
        let room = room.await.map_err(|_| gone())?;
        self.batches
            .send((Ok(batch), Some(room)))
            .await
            .map_err(|_| gone())
    }
}

impl LastWord {
    /// Why the session ended.
    pub(super) fn say(self, why: Status) {
        self.0.send((Err(why), None));
    }
}

/// The client is given up.
pub(super) fn too_slow() -> Status {
    Status::resource_exhausted("the client does not take what it is sent")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tonic::Code;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_bounded_by_its_bytes_and_ends_with_a_reason() {
        let (out, last_word, mut taken) = channel();
        let half = SESSION_OUT_BYTES_MAX / 2;
        let batch = v1::ServerBatch::default;
        assert!(out.send(batch(), half).await.is_ok());
        assert!(out.send(batch(), half).await.is_ok());
        assert!(out.send(batch(), 1).now_or_never().is_none(), "no room");
        assert!(taken.next().await.is_some_and(|item| item.is_ok()));
        assert!(
            out.send(batch(), 1).await.is_ok(),
            "what is taken gives its room back"
        );

        let fourth = out.send(batch(), 2 * SESSION_OUT_BYTES_MAX).await;
        let why = fourth.expect_err("nobody takes anything");
        assert_eq!(why.code(), Code::ResourceExhausted);
        last_word.expect("kept").say(why);
        drop(out);
        let rest: Vec<Item> = taken.collect().await;
        assert_eq!(rest.len(), 3);
        assert!(rest.last().is_some_and(Result::is_err));
    }
}
