//! Replies: one, or those of all handlers under `default`.

use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use squall_kernel::frame::Frame;
use squall_kernel::id::{MessageId, Pid};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::error::RequestError;
use crate::state::{Ending, Shared};

/// A handler's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Payload.
    pub payload: Bytes,
    /// Tag of the request (A28).
    pub request_tag: Bytes,
    /// Handler, where the node tells.
    pub from: Pid,
    /// Number of this reply, from 1; 0 where there is only one.
    pub index: u32,
    /// Replies to expect, answered or declined; 0 or 1 where there is only one.
    pub count: u32,
}

impl From<Box<Frame>> for Reply {
    fn from(frame: Box<Frame>) -> Self {
        Self {
            payload: frame.payload,
            request_tag: frame.tags.request,
            from: frame.from,
            index: frame.index,
            count: frame.count,
        }
    }
}

/// Forgets an open request when it is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) shared: Arc<Shared>,
    pub(crate) message: MessageId,
}

impl Open {
    /// How a request ends that nobody answered in time: one that was never written is certainly not delivered.
    pub(crate) fn expired(&self) -> RequestError {
        match self.shared.forget(self.message) {
            Some(false) => RequestError::Unavailable(squall_kernel::reason::NoReply::Unreachable),
            Some(true) | None => RequestError::Timeout,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.forget(self.message);
    }
}

/// The replies to one request, in the order they come.
#[derive(Debug)]
pub struct Replies {
    pub(crate) open: Open,
    pub(crate) receiver: mpsc::Receiver<Ending>,
    /// When no outcome of the node can come any more.
    pub(crate) until: Instant,
    pub(crate) ended: bool,
}

impl Replies {
    /// The next reply, or how one handler's part ended without one. `None` after all handlers have answered, declined
    /// or died; an error that ends the whole request, such as a timeout, is the last item.
    pub async fn next(&mut self) -> Option<Result<Reply, RequestError>> {
        if self.ended {
            return None;
        }
        let item = match timeout_at(self.until, self.receiver.recv()).await {
            Ok(Some(ending)) => Some(ending.map(Reply::from)),
            Ok(None) => None,
            Err(_late) => Some(Err(self.open.expired())),
        };
        self.ended = matches!(
            &item,
            None | Some(Err(RequestError::Timeout | RequestError::Unavailable(_)))
        );
        item
    }

    /// The replies as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Reply, RequestError>> + Send {
        futures::stream::unfold(self, |mut replies| async move {
            replies.next().await.map(|item| (item, replies))
        })
    }
}
