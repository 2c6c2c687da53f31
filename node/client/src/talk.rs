//! What a handler does beside its one answer: sends a response in chunks (A106) and asks its requester back (A107).
//!
//! ```
//! use bytes::Bytes;
//! use squall_client::{Answer, Delivery, Handler};
//!
//! struct Report;
//!
//! impl Handler for Report {
//!     async fn handle(&mut self, delivery: Delivery) -> Answer {
//!         let Ok(year) = delivery.ask("which year?").await else {
//!             return Answer::Decline("without a year there is no report".into());
//!         };
//!         let Ok(mut chunks) = delivery.chunks() else {
//!             return Answer::Decline("a report comes in chunks".into());
//!         };
//!         for line in ["first", "second"] {
//!             // Waits while the requester takes no more; ends when it is gone.
//!             if chunks.send(format!("{line} of {}", String::from_utf8_lossy(&year))).await.is_err() {
//!                 break;
//!             }
//!         }
//!         Answer::Reply(Bytes::new())
//!     }
//! }
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scene/scene.rs"));
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut scene = scene::Scene::with("reports", "request-response", "round-robin").await;
//! # let client = scene.client.clone();
//! # scene.attach("reports", Report).await;
//! # let answer = |_question| async { Answer::Reply("2026".into()) };
//! # let mut report = client.request_chunked_answering("reports", "all", 4, Default::default(), answer).await?;
//! # let mut lines = Vec::new();
//! # while let Some(chunk) = report.next().await {
//! #     lines.push(chunk?.payload);
//! # }
//! # assert_eq!(lines, ["first of 2026", "second of 2026"]);
//! # Ok(())
//! # }
//! ```
//!
//! What does not live here: the requester's side (`chunks`), and who carries the frames (the connection, or the node that
//! the handler is embedded in).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::reason::TalkFault;

use crate::handler::Delivery;

mod line;

pub use line::{Carrier, Line};

/// Why a chunk was not sent, or a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TalkError {
    /// The requester wants its response in one piece.
    #[error("the requester takes no chunks")]
    NotChunked,
    /// There is a sender already: chunks have one order.
    #[error("the chunks of this response have a sender already")]
    SenderTaken,
    /// It breaks a rule, or the request has ended.
    #[error("{0}")]
    Refused(TalkFault),
    /// The requester declines to answer.
    #[error("declined: {0}")]
    Declined(String),
    /// The request's deadline has passed.
    #[error("the request's deadline has passed")]
    Timeout,
    /// The connection to the node is gone.
    #[error("the way to the requester is gone")]
    Gone,
}

/// The way back to the requester of a delivery.
#[derive(Clone, Default)]
pub struct Talk(Option<Arc<Line>>);

impl Talk {
    /// That way.
    #[must_use]
    pub const fn new(line: Arc<Line>) -> Self {
        Self(Some(line))
    }

    fn line(&self) -> Result<&Arc<Line>, TalkError> {
        self.0.as_ref().ok_or(TalkError::Gone)
    }
}

impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Talk")
    }
}

/// Two ways are the same when they lead back from the same delivery.
impl PartialEq for Talk {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            (mine, theirs) => mine.is_none() && theirs.is_none(),
        }
    }
}

impl Eq for Talk {}

impl Delivery {
    /// Begins a response in chunks. What the handler answers at last is its last piece; an empty reply adds none.
    ///
    /// # Errors
    /// [`TalkError::NotChunked`] when the requester takes none, [`TalkError::SenderTaken`] the second time.
    pub fn chunks(&self) -> Result<ChunkSender, TalkError> {
        let line = self.talk.line()?;
        line.take_sender()?;
        Ok(ChunkSender {
            line: Arc::clone(line),
        })
    }

    /// Asks the requester back, and waits for its answer: until the request's deadline at most. One question at a time.
    ///
    /// # Errors
    /// [`TalkError`], [`TalkError::Refused`] with [`TalkFault::NoQuestions`] when the requester answers none.
    pub async fn ask(&self, question: impl Into<Bytes>) -> Result<Bytes, TalkError> {
        self.talk.line()?.ask(question.into()).await
    }
}

/// Sends a response in chunks.
#[derive(Debug)]
pub struct ChunkSender {
    line: Arc<Line>,
}

impl ChunkSender {
    /// Sends the next chunk, at most [`squall_kernel::limits::CHUNK_BYTES_MAX`] bytes and not empty. Waits until the
    /// requester takes it.
    ///
    /// # Errors
    /// [`TalkError`]: nobody takes this one or any further one. An empty one is passed over.
    pub async fn send(&mut self, chunk: impl Into<Bytes>) -> Result<(), TalkError> {
        let chunk = chunk.into();
        if chunk.is_empty() {
            return Ok(());
        }
        self.line.chunk(chunk, false).await
    }

    /// Sends the last chunk, marked as such.
    ///
    /// # Errors
    /// [`TalkError`].
    pub async fn finish(self, chunk: impl Into<Bytes>) -> Result<(), TalkError> {
        self.line.chunk(chunk.into(), true).await
    }
}
