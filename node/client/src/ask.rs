//! Requests and calls: from arguments to a frame in the queue, and back to an outcome.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind, Priority, Tags};
use squall_kernel::id::{ExchangeId, ExchangeName, MessageId};
use squall_kernel::limits::{PAYLOAD_BYTES_MAX, REQUEST_TIMEOUT_MS_MAX, TAG_BYTES_MAX};
use squall_kernel::message::{Call, ClientMessage, NodeMessage, control};
use squall_kernel::reason::NoReply;
use squall_kernel::talk::Terms;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::attachment::Route;
use crate::chunks::{Answerer, Chunks};
use crate::client::Client;
use crate::error::{Invalid, RequestError};
use crate::limits::{OUTCOME_GRACE, REFUSED_RETRY, REPLIES_QUEUE};
use crate::link::{Link, Peer};
use crate::options::RequestOptions;
use crate::publish::Head;
use crate::replies::{Open, Replies, Reply};
use crate::state::{Outgoing, Shared, Waiter};

/// A request that was checked.
#[derive(Debug)]
pub(crate) struct Ask {
    name: ExchangeName,
    payload: Bytes,
    options: RequestOptions,
    deadline: Instant,
    purpose: Purpose,
}

/// What it is to the node.
#[derive(Debug, Clone)]
enum Purpose {
    /// A request, and what is taken beside one reply.
    Request(Terms),
    Publish(Head),
    /// A task for the queue of the exchange: its terms, and how urgent it is.
    Task {
        terms: Bytes,
        priority: Priority,
    },
}

/// Why a call to the node has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFailed {
    /// It was never sent.
    NotSent,
    /// The connection broke, or time ran out, before the answer.
    NoAnswer,
    /// The client is closed.
    Closed,
}

impl Ask {
    pub(crate) fn new(exchange: &str, payload: Bytes, options: RequestOptions) -> Result<Self, Invalid> {
        let name = ExchangeName::new(exchange)?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Invalid::Payload { len: payload.len() });
        }
        check_tag("request tag", options.request_tag.len())?;
        check_tag("service tag", options.service_tag.len())?;
        check_tag("key", options.key.len())?;
        let ms = options.timeout.as_millis();
        if ms == 0 || ms > u128::from(REQUEST_TIMEOUT_MS_MAX) {
            return Err(Invalid::Timeout { ms });
        }
        let deadline = Instant::now() + options.timeout;
        Ok(Self {
            name,
            payload,
            options,
            deadline,
            purpose: Purpose::Request(Terms::default()),
        })
    }

    /// The same as a publish.
    pub(crate) fn publishing(self, head: Head) -> Self {
        Self {
            purpose: Purpose::Publish(head),
            ..self
        }
    }

    /// The same as a task for the queue of the exchange.
    pub(crate) fn into_task(self, terms: Bytes, priority: Priority) -> Self {
        Self {
            purpose: Purpose::Task { terms, priority },
            ..self
        }
    }

    /// When it ends as timed out.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// True when the number of its exchange is remembered, and may be an old one.
    pub(crate) fn is_cached(&self, shared: &Shared) -> bool {
        shared.cached(&self.name).is_some()
    }

    /// Sends it on the next connection, and waits for nothing.
    pub(crate) async fn unconfirmed(&self, shared: &Arc<Shared>) -> Result<(), RequestError> {
        let unreachable = RequestError::Unavailable(NoReply::Unreachable);
        let exchange = lookup(shared, &self.name, self.deadline).await?;
        let Ok(peer) = peer(shared, self.deadline).await else {
            return Err(unreachable);
        };
        let left = self
            .deadline
            .saturating_duration_since(Instant::now())
            .as_millis();
        let frame = Frame {
            left_ms: u32::try_from(left.max(1)).unwrap_or(u32::MAX),
            ..self.frame(exchange, MessageId(0))
        };
        let generation = peer.generation;
        let sent = queue(shared, Outgoing::bound(generation, frame), self.deadline).await;
        sent.then_some(()).ok_or(unreachable)
    }

    /// Wants its response in chunks.
    pub(crate) fn chunked(mut self, credit: u32) -> Result<Self, Invalid> {
        let terms = Terms {
            credit,
            questions: false,
        };
        if credit == 0 || terms.check().is_err() {
            return Err(Invalid::Chunks { credit });
        }
        self.purpose = Purpose::Request(terms);
        Ok(self)
    }

    /// Sends it, and takes chunks and questions as they come.
    pub(crate) async fn talk(
        mut self,
        client: &Client,
        answerer: Option<Answerer>,
    ) -> Result<Chunks, RequestError> {
        let shared = client.shared();
        let credit = match self.purpose {
            Purpose::Request(terms) => terms.credit,
            Purpose::Publish(_) | Purpose::Task { .. } => 0,
        };
        let terms = Terms {
            credit,
            questions: answerer.is_some(),
        };
        self.purpose = Purpose::Request(terms);
        let exchange = lookup(shared, &self.name, self.deadline).await?;
        // All chunks that may be under way, a question, a refusal, the end mark and the end.
        let (sink, receiver) = mpsc::channel(terms.credit as usize + 4);
        let open = self.send(shared, exchange, Waiter::Talk { sink }).await?;
        Ok(Chunks::new(
            client.clone(),
            open,
            receiver,
            self.until(),
            terms,
            answerer,
        ))
    }

    /// Asks, and once more when the exchange has another number by now.
    pub(crate) async fn one(&self, shared: &Arc<Shared>) -> Result<Reply, RequestError> {
        let cached = shared.cached(&self.name);
        let exchange = match cached {
            Some(exchange) => exchange,
            None => lookup(shared, &self.name, self.deadline).await?,
        };
        match self.once(shared, exchange).await {
            Err(RequestError::Unavailable(NoReply::UnknownExchange)) if cached.is_some() => {
                let exchange = lookup(shared, &self.name, self.deadline).await?;
                self.once(shared, exchange).await
            }
            outcome => outcome,
        }
    }

    async fn once(&self, shared: &Arc<Shared>, exchange: ExchangeId) -> Result<Reply, RequestError> {
        let (sink, receiver) = oneshot::channel();
        let open = self.send(shared, exchange, Waiter::One { sink, seen: 0 }).await?;
        match timeout_at(self.until(), receiver).await {
            Ok(Ok(ending)) => ending.map(Reply::from),
            Ok(Err(_)) | Err(_) => Err(open.expired()),
        }
    }

    pub(crate) async fn many(&self, shared: &Arc<Shared>) -> Result<Replies, RequestError> {
        let exchange = lookup(shared, &self.name, self.deadline).await?;
        let (sink, receiver) = mpsc::channel(REPLIES_QUEUE);
        let open = self
            .send(shared, exchange, Waiter::Many { sink, seen: 0 })
            .await?;
        Ok(Replies {
            open,
            receiver,
            until: self.until(),
            ended: false,
        })
    }

    fn until(&self) -> Instant {
        self.deadline + OUTCOME_GRACE
    }

    async fn send(
        &self,
        shared: &Arc<Shared>,
        exchange: ExchangeId,
        waiter: Waiter,
    ) -> Result<Open, RequestError> {
        let open = Open {
            message: shared.open(waiter),
            shared: Arc::clone(shared),
        };
        let request = Outgoing::Request {
            frame: Box::new(self.frame(exchange, open.message)),
            deadline: self.deadline,
        };
        if queue(shared, request, self.deadline).await {
            Ok(open)
        } else {
            Err(open.expired())
        }
    }

    fn frame(&self, exchange: ExchangeId, message: MessageId) -> Frame {
        let (connection, head) = self.purpose.head();
        Frame {
            exchange,
            message,
            trace: self.options.trace,
            tags: Tags {
                request: self.options.request_tag.clone(),
                connection,
                service: self.options.service_tag.clone(),
                key: self.options.key.clone(),
            },
            payload: self.payload.clone(),
            ..head
        }
    }
}

impl Purpose {
    /// The connection tag, and a frame of the right kind.
    fn head(&self) -> (Bytes, Frame) {
        match self {
            Self::Request(terms) => {
                let frame = Frame {
                    credit: terms.credit,
                    index: terms.questions.into(),
                    ..Frame::new(Kind::Request)
                };
                (Bytes::new(), frame)
            }
            Self::Publish(head) => {
                let frame = Frame {
                    signature: head.confirm.number(),
                    credit: head.ttl_ms,
                    priority: head.priority,
                    ..Frame::new(Kind::Publish)
                };
                (head.publisher.clone(), frame)
            }
            Self::Task { terms, priority } => {
                let frame = Frame {
                    priority: *priority,
                    ..Frame::new(Kind::Submit)
                };
                (terms.clone(), frame)
            }
        }
    }
}

/// Puts it in the queue, by the deadline; false when that is over, or the client closed. There is nearly always room: no timer then.
async fn queue(shared: &Shared, out: Outgoing, deadline: Instant) -> bool {
    match shared.outbound.try_send(out) {
        Ok(()) => true,
        Err(TrySendError::Closed(_)) => false,
        Err(TrySendError::Full(out)) => {
            let queued = timeout_at(deadline, shared.outbound.send(out)).await;
            matches!(queued, Ok(Ok(())))
        }
    }
}

pub(crate) fn check_tag(what: &'static str, len: usize) -> Result<(), Invalid> {
    if len > TAG_BYTES_MAX {
        Err(Invalid::Tag { what, len })
    } else {
        Ok(())
    }
}

/// The connection, as soon as there is one.
pub(crate) async fn peer(shared: &Shared, deadline: Instant) -> Result<Arc<Peer>, CallFailed> {
    let mut link = shared.link.subscribe();
    let stands = link.wait_for(|link| !matches!(link, Link::Down(_)));
    match timeout_at(deadline, stands).await {
        Ok(Ok(link)) => match &*link {
            Link::Up(peer) => Ok(Arc::clone(peer)),
            Link::Down(_) | Link::Closed => Err(CallFailed::Closed),
        },
        Ok(Err(_)) => Err(CallFailed::Closed),
        Err(_) => Err(CallFailed::NotSent),
    }
}

/// Calls the node that is connected by `deadline`.
pub(crate) async fn call(
    shared: &Shared,
    deadline: Instant,
    route: Option<Arc<Route>>,
    message: impl FnOnce(Call) -> ClientMessage,
) -> Result<NodeMessage, CallFailed> {
    let peer = peer(shared, deadline).await?;
    let (call, answer) = shared.open_call(route);
    let forget = ForgetCall { shared, call };
    let out = Outgoing::bound(peer.generation, control(&message(call)));
    match timeout_at(deadline, shared.outbound.send(out)).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(CallFailed::Closed),
        Err(_) => return Err(CallFailed::NotSent),
    }
    // A connection that broke before the call was opened can no longer end it.
    if !shared.is_live(peer.generation) {
        return Err(CallFailed::NoAnswer);
    }
    let answer = timeout_at(deadline, answer).await;
    drop(forget);
    answer.ok().and_then(Result::ok).ok_or(CallFailed::NoAnswer)
}

struct ForgetCall<'a> {
    shared: &'a Shared,
    call: Call,
}

impl Drop for ForgetCall<'_> {
    fn drop(&mut self) {
        self.shared.forget_call(self.call);
    }
}

/// The exchange's number, from the cache or from the node.
pub(crate) async fn lookup(
    shared: &Shared,
    name: &ExchangeName,
    deadline: Instant,
) -> Result<ExchangeId, RequestError> {
    if let Some(exchange) = shared.cached(name) {
        return Ok(exchange);
    }
    loop {
        let ask = |call| ClientMessage::Lookup {
            call,
            name: name.clone(),
        };
        match call(shared, deadline, None, ask).await {
            Ok(NodeMessage::Found {
                exchange: Some(exchange),
                ..
            }) => {
                shared.cache(name, exchange);
                return Ok(exchange);
            }
            Ok(NodeMessage::Found { exchange: None, .. }) => {
                return Err(RequestError::Unavailable(NoReply::UnknownExchange));
            }
            Err(CallFailed::Closed) => return Err(RequestError::Unavailable(NoReply::Unreachable)),
            Ok(_) | Err(CallFailed::NotSent | CallFailed::NoAnswer) => {
                if !pause(REFUSED_RETRY, deadline).await {
                    return Err(RequestError::Unavailable(NoReply::Unreachable));
                }
            }
        }
    }
}

/// Waits before another attempt; false when none fits before the deadline.
pub(crate) async fn pause(wait: Duration, deadline: Instant) -> bool {
    if Instant::now() + wait >= deadline {
        return false;
    }
    sleep(wait).await;
    true
}
