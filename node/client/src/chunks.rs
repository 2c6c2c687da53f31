//! The requester's side of a response in chunks (A106) and of questions that a handler asks back (A107).
//!
//! What does not live here: the handler's side (`talk`), and plain requests (`ask`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::Pid;
use squall_kernel::limits::{CHUNK_BYTES_MAX, REASON_BYTES_MAX};
use squall_kernel::reason::NoReply;
use squall_kernel::talk::{Terms, fault_of, is_end_mark, stop};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::ask::Ask;
use crate::client::Client;
use crate::error::RequestError;
use crate::handler::Answer;
use crate::options::RequestOptions;
use crate::replies::{Open, Reply};
use crate::state::{Ending, Outgoing, Shared};

/// Chunks that a requester usually takes at once: enough to keep a link busy, little enough to hold.
pub const CHUNKS_DEFAULT: u32 = 16;

/// Answers the questions of one handler.
pub(crate) type Answerer = Box<dyn FnMut(Bytes) -> BoxFuture<'static, Answer> + Send>;

/// A piece of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its number, from 1.
    pub index: u32,
    /// Payload.
    pub payload: Bytes,
    /// Handler, where the node tells.
    pub from: Pid,
}

/// A response in chunks, in order. The handler is let send more as they are taken: whoever takes none holds up that one
/// handler's stream, and nothing else. Dropping it gives the request up.
pub struct Chunks {
    /// The connection stands as long as the request is open.
    _client: Client,
    open: Open,
    receiver: mpsc::Receiver<Ending>,
    until: Instant,
    window: u32,
    /// Chunks taken that the node has not been told of.
    owed: u32,
    taken: u32,
    answerer: Option<Answerer>,
    /// A question that has no answer yet.
    question: Option<Frame>,
    ended: bool,
}

impl std::fmt::Debug for Chunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunks")
            .field("taken", &self.taken)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Sends a request whose response comes in chunks, of which `credit` may be under way at once: from 1 to
    /// [`squall_kernel::limits::CHUNK_CREDIT_MAX`]. A handler that answers in one piece gives one chunk.
    ///
    /// # Errors
    /// [`RequestError`] when it cannot be sent; how it ends comes through [`Chunks::next`].
    ///
    /// ```
    /// # use squall_client::{Answer, Delivery, Handler};
    /// # struct Report;
    /// # impl Handler for Report {
    /// #     async fn handle(&mut self, delivery: Delivery) -> Answer {
    /// #         let mut chunks = delivery.chunks().expect("it takes chunks");
    /// #         for part in ["sun, ", "rain, "] {
    /// #             chunks.send(part).await.expect("it waits for them");
    /// #         }
    /// #         Answer::Reply("the end".into())
    /// #     }
    /// # }
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scene/scene.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut scene = scene::Scene::with("reports", "request-response", "round-robin").await;
    /// # let client = scene.client.clone();
    /// # scene.attach("reports", Report).await;
    /// let mut chunks = client.request_chunked("reports", "2026", 16, Default::default()).await?;
    /// let mut report = Vec::new();
    /// while let Some(chunk) = chunks.next().await {
    ///     report.extend_from_slice(&chunk?.payload);
    /// }
    /// assert_eq!(report, b"sun, rain, the end");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn request_chunked(
        &self,
        exchange: &str,
        payload: impl Into<Bytes>,
        credit: u32,
        options: RequestOptions,
    ) -> Result<Chunks, RequestError> {
        let ask = Ask::new(exchange, payload.into(), options)?.chunked(credit)?;
        ask.talk(self, None).await
    }

    /// Sends a request and answers what its handler asks back before it replies.
    ///
    /// # Errors
    /// [`RequestError`].
    ///
    /// ```
    /// # use squall_client::{Delivery, Handler};
    /// # struct Report;
    /// # impl Handler for Report {
    /// #     async fn handle(&mut self, delivery: Delivery) -> squall_client::Answer {
    /// #         let year = delivery.ask("which year?").await.expect("answered");
    /// #         let year = String::from_utf8_lossy(&year);
    /// #         squall_client::Answer::Reply(format!("all of {year}").into())
    /// #     }
    /// # }
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scene/scene.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut scene = scene::Scene::with("reports", "request-response", "round-robin").await;
    /// # let client = scene.client.clone();
    /// # scene.attach("reports", Report).await;
    /// use squall_client::Answer;
    ///
    /// let answer = |question| async move {
    ///     if question == "which year?" { Answer::Reply("2026".into()) } else { Answer::Decline("no idea".into()) }
    /// };
    /// let reply = client.request_answering("reports", "all", Default::default(), answer).await?;
    /// assert_eq!(reply.payload, "all of 2026");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn request_answering<F, A>(
        &self,
        exchange: &str,
        payload: impl Into<Bytes>,
        options: RequestOptions,
        answerer: F,
    ) -> Result<Reply, RequestError>
    where
        F: FnMut(Bytes) -> A + Send + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let ask = Ask::new(exchange, payload.into(), options)?;
        let mut talk = ask.talk(self, Some(boxed(answerer))).await?;
        loop {
            if let Turn::End(end) = talk.turn().await {
                return end;
            }
        }
    }

    /// Both at once: a response in chunks, and answers to what its handler asks back. Questions are answered while
    /// [`Chunks::next`] is waited for.
    ///
    /// # Errors
    /// [`RequestError`] when it cannot be sent.
    pub async fn request_chunked_answering<F, A>(
        &self,
        exchange: &str,
        payload: impl Into<Bytes>,
        credit: u32,
        options: RequestOptions,
        answerer: F,
    ) -> Result<Chunks, RequestError>
    where
        F: FnMut(Bytes) -> A + Send + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let ask = Ask::new(exchange, payload.into(), options)?.chunked(credit)?;
        ask.talk(self, Some(boxed(answerer))).await
    }
}

fn boxed<F, A>(mut answerer: F) -> Answerer
where
    F: FnMut(Bytes) -> A + Send + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    Box::new(move |question| Box::pin(answerer(question)))
}

/// What happened in a talk.
enum Turn {
    Chunk(Chunk),
    End(Result<Reply, RequestError>),
}

impl Chunks {
    pub(crate) fn new(
        client: Client,
        open: Open,
        receiver: mpsc::Receiver<Ending>,
        until: Instant,
        terms: Terms,
        answerer: Option<Answerer>,
    ) -> Self {
        Self {
            _client: client,
            open,
            receiver,
            until,
            window: terms.credit,
            owed: 0,
            taken: 0,
            answerer,
            question: None,
            ended: false,
        }
    }

    /// The next chunk. `None` after the last one; an error is the last item: then nobody knows what else there was.
    pub async fn next(&mut self) -> Option<Result<Chunk, RequestError>> {
        if self.ended {
            return None;
        }
        match self.turn().await {
            Turn::Chunk(chunk) => Some(Ok(chunk)),
            Turn::End(Err(error)) => Some(Err(error)),
            // What the handler replied is the last piece; an empty one ends what came before it.
            Turn::End(Ok(reply)) if reply.payload.is_empty() && self.taken > 0 => None,
            Turn::End(Ok(reply)) => Some(Ok(self.chunk(reply.payload, reply.from))),
        }
    }

    /// The chunks as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Chunk, RequestError>> + Send {
        futures::stream::unfold(self, |mut chunks| async move {
            chunks.next().await.map(|item| (item, chunks))
        })
    }

    /// Waits for a chunk or the end; loses nothing when it is cancelled.
    async fn turn(&mut self) -> Turn {
        loop {
            self.take_more().await;
            self.answer_question().await;
            let frame = match timeout_at(self.until, self.receiver.recv()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return self.end(Err(error)),
                Ok(None) => return self.end(Err(RequestError::Interrupted)),
                Err(_late) => {
                    let late = self.open.expired();
                    return self.end(Err(late));
                }
            };
            match frame.kind {
                Kind::Reply => return self.end(Ok(frame.into())),
                Kind::Chunk if is_end_mark(frame.count, frame.payload.len()) => {}
                Kind::Chunk => {
                    self.owed += 1;
                    return Turn::Chunk(self.chunk(frame.payload, frame.from));
                }
                Kind::Ask => self.question = Some(*frame),
                _ => tracing::debug!(fault = %fault_of(&frame), "the node refused a frame of this request"),
            }
        }
    }

    fn end(&mut self, end: Result<Reply, RequestError>) -> Turn {
        self.ended = true;
        Turn::End(end)
    }

    fn chunk(&mut self, payload: Bytes, from: Pid) -> Chunk {
        self.taken += 1;
        Chunk {
            index: self.taken,
            payload,
            from,
        }
    }

    /// Lets the handler send as many as were taken, when that is half of what it may have under way.
    async fn take_more(&mut self) {
        if self.owed == 0 || self.owed < self.window / 2 {
            return;
        }
        let credit = Frame {
            credit: self.owed,
            ..self.frame(Kind::Credit)
        };
        send(&self.open.shared, credit).await;
        self.owed = 0;
    }

    async fn answer_question(&mut self) {
        let Some(question) = &self.question else { return };
        let answer = match &mut self.answerer {
            Some(answerer) => answerer(question.payload.clone()).await,
            None => Answer::Decline("this requester answers no questions".into()),
        };
        let (status, payload) = checked(answer);
        let told = Frame {
            index: question.index,
            status,
            payload,
            ..self.frame(Kind::Tell)
        };
        send(&self.open.shared, told).await;
        self.question = None;
    }

    fn frame(&self, kind: Kind) -> Frame {
        Frame {
            message: self.open.message,
            ..Frame::new(kind)
        }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        if !self.ended {
            let frame = Frame {
                message: self.open.message,
                ..stop(NoReply::Interrupted, None)
            };
            let generation = self.open.shared.generation();
            // Without room the node finds out at the request's deadline.
            let _later = self
                .open
                .shared
                .outbound
                .try_send(Outgoing::bound(generation, frame));
        }
    }
}

/// An answer within the bounds of a part.
fn checked(answer: Answer) -> (Status, Bytes) {
    match answer {
        Answer::Reply(payload) if payload.len() <= CHUNK_BYTES_MAX => (Status::Reply, payload),
        Answer::Reply(payload) => {
            let why = format!(
                "an answer of {} bytes is above the bound of {CHUNK_BYTES_MAX}",
                payload.len()
            );
            (Status::Declined, Bytes::from(why))
        }
        Answer::Pass | Answer::Rewrite(_) | Answer::Redirect(_) => (
            Status::Declined,
            Bytes::from_static(b"a question is answered or declined"),
        ),
        Answer::Decline(reason) => {
            let mut reason = Bytes::from(reason);
            reason.truncate(REASON_BYTES_MAX);
            (Status::Declined, reason)
        }
    }
}

/// Sends on the connection that the request is on; with that one gone, so is the request.
async fn send(shared: &Arc<Shared>, frame: Frame) {
    let generation = shared.generation();
    let queued = shared.outbound.send(Outgoing::bound(generation, frame));
    // A closed client has nobody to send to, and a queue that stands still ends with its connection.
    let _gone = tokio::time::timeout(Duration::from_secs(1), queued).await;
}
