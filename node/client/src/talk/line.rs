//! The line of one delivery: the handler's end of the talk, and whoever waits at it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use squall_kernel::frame::{Frame, Kind, Status, TraceContext};
use squall_kernel::id::{Epoch, ExchangeId, LeaderEpoch, MessageId, NodeId, Pid};
use squall_kernel::limits::REASON_BYTES_MAX;
use squall_kernel::reason::TalkFault;
use squall_kernel::talk::{HandlerEnd, TalkKey, fault_of};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::TalkError;

/// Takes frames of a handler to its requester: a client's connection, or the node that the handler is embedded in.
pub trait Carrier: Send + Sync + 'static {
    /// What the requester sends to that line is to be given to [`Line::hear`] from now on.
    fn listen(&self, line: &Arc<Line>);
    /// Nothing more is wanted for that line.
    fn forget(&self, key: TalkKey);
    /// Sends a frame, in order. False when that is not possible any more.
    fn carry(&self, frame: Frame) -> BoxFuture<'_, bool>;
}

/// The handler's end of what goes between it and its requester, for one delivery.
pub struct Line {
    head: Head,
    node: NodeId,
    end: Mutex<HandlerEnd>,
    /// Answer to the latest question.
    answer: Mutex<Option<(u32, Result<Bytes, TalkError>)>>,
    changed: Notify,
    listening: AtomicBool,
    sender: AtomicBool,
    until: Instant,
    carrier: Arc<dyn Carrier>,
}

/// What of the delivery is needed for frames that belong to it.
struct Head {
    exchange: ExchangeId,
    epoch: Epoch,
    leader_epoch: LeaderEpoch,
    message: MessageId,
    origin: NodeId,
    handler: u64,
    trace: TraceContext,
    left_ms: u32,
    /// One copy of several has no chunks.
    credit: u32,
}

impl Head {
    const fn of(delivery: &Frame) -> Self {
        Self {
            exchange: delivery.exchange,
            epoch: delivery.epoch,
            leader_epoch: delivery.leader_epoch,
            message: delivery.message,
            origin: delivery.origin,
            handler: delivery.to,
            trace: delivery.trace,
            left_ms: delivery.left_ms,
            credit: if delivery.count > 1 { 0 } else { delivery.credit },
        }
    }

    fn ends(&self, since: Instant) -> Instant {
        since + Duration::from_millis(self.left_ms.into())
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}

impl Line {
    /// The line of a delivery to a handler on that node, which came at `since`. One copy of several has no chunks.
    #[must_use]
    pub fn new(delivery: &Frame, node: NodeId, since: Instant, carrier: Arc<dyn Carrier>) -> Self {
        let head = Head::of(delivery);
        Self {
            node,
            end: Mutex::new(HandlerEnd::new(head.credit)),
            answer: Mutex::default(),
            changed: Notify::new(),
            listening: AtomicBool::new(false),
            sender: AtomicBool::new(false),
            until: head.ends(since),
            head,
            carrier,
        }
    }

    /// The line of the handler's next delivery: the same one where nobody has used it or holds it, otherwise a new one. Most handlers
    /// only answer, and theirs costs nothing.
    pub fn next(line: &mut Arc<Self>, delivery: &Frame, since: Instant) {
        if let Some(same) = Self::unused(line) {
            let head = Head::of(delivery);
            same.end = Mutex::new(HandlerEnd::new(head.credit));
            same.until = head.ends(since);
            same.head = head;
        } else {
            *line = Arc::new(Self::new(delivery, line.node, since, Arc::clone(&line.carrier)));
        }
    }

    /// The line itself, when nothing was said on it and nobody else holds it.
    fn unused(line: &mut Arc<Self>) -> Option<&mut Self> {
        let alone = Arc::get_mut(line)?;
        let used = *alone.listening.get_mut() || *alone.sender.get_mut();
        (!used).then_some(alone)
    }

    /// As [`finish`](Self::finish), at no cost for a line that was not used.
    pub async fn finish_of(line: &mut Arc<Self>, replied: bool) -> bool {
        if Self::unused(line).is_some() {
            return true;
        }
        // Apart: it is large, and hardly ever there.
        Box::pin(line.finish(replied)).await
    }

    /// Which delivery.
    #[must_use]
    pub fn key(&self) -> TalkKey {
        TalkKey {
            origin: self.head.origin,
            message: self.head.message,
            handler: self.head.handler,
        }
    }

    /// Takes a frame from the requester, or back from it.
    pub fn hear(&self, frame: &Frame) {
        match (frame.kind, frame.status) {
            (Kind::Credit, Status::Reply) => {
                // What is not granted is not there.
                let _abuse = self.end().credit(frame.credit);
            }
            (Kind::Tell, status) => self.answered(frame.index, told(status, frame)),
            (Kind::Ask, Status::None(_)) => {
                self.answered(frame.index, Err(TalkError::Refused(fault_of(frame))));
            }
            (Kind::Credit | Kind::Chunk, _) => self.end().end(fault_of(frame)),
            _ => return,
        }
        self.changed.notify_waiters();
    }

    /// Nothing more goes either way.
    pub fn close(&self, why: TalkFault) {
        self.end().end(why);
        self.changed.notify_waiters();
    }

    /// The handler has answered: what was begun and has no end yet is ended, so that the reply finds it complete. False
    /// when the requester waits for no answer any more.
    pub async fn finish(&self, replied: bool) -> bool {
        let wanted = self.end().is_over().is_none();
        let mark = replied && self.end().is_unfinished();
        if mark {
            // It needs no credit; should it not pass, the requester is told that chunks are missing.
            let _incomplete = self.chunk(Bytes::new(), true).await;
        }
        self.close(TalkFault::Over);
        if self.listening.load(Ordering::Acquire) {
            self.carrier.forget(self.key());
        }
        wanted
    }

    pub(super) fn take_sender(self: &Arc<Self>) -> Result<(), TalkError> {
        if self.head.credit == 0 {
            return Err(TalkError::NotChunked);
        }
        if self.sender.swap(true, Ordering::AcqRel) {
            return Err(TalkError::SenderTaken);
        }
        self.listen();
        Ok(())
    }

    fn listen(self: &Arc<Self>) {
        if !self.listening.swap(true, Ordering::AcqRel) {
            self.carrier.listen(self);
        }
    }

    pub(super) async fn chunk(&self, chunk: Bytes, last: bool) -> Result<(), TalkError> {
        let place = self.in_time(|| {
            let next = self.end().next_chunk(last, chunk.len());
            next.map_err(TalkError::Refused).transpose()
        });
        let index = place.await?;
        let count = if last { index } else { 0 };
        // A number that was given out and never sent is a gap.
        let mut sending = Sending {
            line: self,
            sent: false,
        };
        let frame = self.frame(Kind::Chunk, index, count, chunk);
        sending.sent = self.carrier.carry(frame).await;
        if sending.sent {
            Ok(())
        } else {
            Err(TalkError::Gone)
        }
    }

    pub(super) async fn ask(self: &Arc<Self>, question: Bytes) -> Result<Bytes, TalkError> {
        self.listen();
        let number = self
            .end()
            .next_question(question.len())
            .map_err(TalkError::Refused)?;
        let frame = self.frame(Kind::Ask, number, 0, question);
        if !self.carrier.carry(frame).await {
            self.close(TalkFault::Over);
            return Err(TalkError::Gone);
        }
        self.in_time(|| self.answer_to(number)).await
    }

    fn answer_to(&self, number: u32) -> Option<Result<Bytes, TalkError>> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, answer)) = answer.take_if(|(of, _)| *of == number) {
            return Some(answer);
        }
        drop(answer);
        self.end().is_over().map(|over| Err(TalkError::Refused(over)))
    }

    fn answered(&self, number: u32, told: Result<Bytes, TalkError>) {
        let expected = self.end().answer(number).is_ok();
        if expected {
            *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, told));
        }
    }

    /// Looks until there is something, at every change, and no longer than the request may take.
    async fn in_time<T>(
        &self,
        mut look: impl FnMut() -> Option<Result<T, TalkError>>,
    ) -> Result<T, TalkError> {
        let looking = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                // Before it is looked at: a change in between is not missed.
                changed.as_mut().enable();
                if let Some(found) = look() {
                    return found;
                }
                changed.await;
            }
        };
        if self.head.left_ms == 0 {
            return looking.await;
        }
        timeout_at(self.until, looking)
            .await
            .unwrap_or(Err(TalkError::Timeout))
    }

    fn frame(&self, kind: Kind, index: u32, count: u32, payload: Bytes) -> Frame {
        Frame {
            exchange: self.head.exchange,
            epoch: self.head.epoch,
            leader_epoch: self.head.leader_epoch,
            message: self.head.message,
            origin: self.head.origin,
            from: Pid {
                node: self.node,
                serial: self.head.handler,
            },
            index,
            count,
            trace: self.head.trace,
            payload,
            ..Frame::new(kind)
        }
    }

    fn end(&self) -> MutexGuard<'_, HandlerEnd> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(status: Status, frame: &Frame) -> Result<Bytes, TalkError> {
    match status {
        Status::Reply => Ok(frame.payload.clone()),
        Status::None(_) => Err(TalkError::Refused(fault_of(frame))),
        Status::Declined | Status::Redirect | Status::Pass | Status::Rewrite => {
            let reason = &frame.payload[..frame.payload.len().min(REASON_BYTES_MAX)];
            Err(TalkError::Declined(String::from_utf8_lossy(reason).into_owned()))
        }
    }
}

struct Sending<'a> {
    line: &'a Line,
    sent: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !self.sent {
            self.line.close(TalkFault::Gap);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::ready;

    use super::*;

    struct Nowhere;

    impl Carrier for Nowhere {
        fn listen(&self, _line: &Arc<Line>) {}

        fn forget(&self, _key: TalkKey) {}

        fn carry(&self, _frame: Frame) -> BoxFuture<'_, bool> {
            ready(true).boxed()
        }
    }

    fn delivery(message: u64) -> Frame {
        Frame {
            message: MessageId(message),
            credit: 2,
            to: 7,
            ..Frame::new(Kind::Deliver)
        }
    }

    #[tokio::test]
    async fn a_line_that_nobody_used_or_holds_is_the_next_delivery_s_too() {
        let now = Instant::now();
        let mut line = Arc::new(Line::new(&delivery(1), NodeId(1), now, Arc::new(Nowhere)));
        let first = Arc::as_ptr(&line);
        assert!(Line::finish_of(&mut line, true).await);
        Line::next(&mut line, &delivery(2), now);
        assert_eq!((Arc::as_ptr(&line), line.key().message), (first, MessageId(2)));

        // The handler has kept it for later, and is told that it is over.
        let kept = Arc::clone(&line);
        assert!(Line::finish_of(&mut line, true).await);
        Line::next(&mut line, &delivery(3), now);
        assert_eq!(line.key().message, MessageId(3));
        assert_eq!(
            kept.chunk("late".into(), false).await,
            Err(TalkError::Refused(TalkFault::Over))
        );

        // Chunks were sent on it: what it counted is not the next one's.
        line.take_sender().unwrap();
        line.chunk("one".into(), false).await.unwrap();
        assert!(Line::finish_of(&mut line, true).await);
        Line::next(&mut line, &delivery(4), now);
        line.take_sender().unwrap();
        assert_eq!(line.key().message, MessageId(4));
    }
}
