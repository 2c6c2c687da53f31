//! Handlers that run inside the node: one task each, on the data plane's runtime.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use squall_client::handler::{Answer, Delivery, Handler, Supervision, panic_words};
use squall_client::leadership::{Changes, Context};
use squall_client::talk::{Line, Talk};
use squall_kernel::exchange::RequestKey;
use squall_kernel::fault::HandlersSuffer;
use squall_kernel::fence::Pass;
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{ExchangeName, Pid};
use squall_kernel::limits::{MAILBOX_BOUND, PAYLOAD_BYTES_MAX, REASON_BYTES_MAX};
use squall_kernel::reason::{DetachReason, NoReply};
use squall_kernel::supervision::{Exit, Supervisor, Verdict};
use squall_kernel::time::{Instant, Span};
use tracing::Instrument;

use super::caught::{catch, catch_now};
use super::fate::Fate;
use super::suffering::{KILL_WORDS, PANIC_WORDS};
use super::{AttachError, Attachment, HandlerSink, HandlerTags, Handlers, Told, notice_of};
use crate::data::DataContext;
use crate::process::{
    Envelope, Inbox, Letter, Load, Mailbox, Process, ProcessKind, Push, envelope_of, mailbox,
};
use crate::spans;
use crate::talks;
use crate::telemetry::logging::{about, within};
use crate::telemetry::told::ago;
use crate::wire::{ReturnPath, count};

mod faulted;

use faulted::Paused;

enum Mail {
    Deliver(Box<Frame>),
    System(Arc<Told>),
}

impl Letter for Mail {
    fn envelope(&self) -> Envelope {
        match self {
            Self::Deliver(frame) => envelope_of("request", frame),
            Self::System(told) => Envelope {
                exchange: Some(told.message().exchange),
                ..Envelope::of("system")
            },
        }
    }
}

/// Where others put messages for a handler inside the node.
struct Entrance {
    mailbox: Mailbox<Mail>,
    load: Arc<Load>,
    fate: Arc<Fate>,
}

impl HandlerSink for Entrance {
    fn deliver(
        &self,
        _pass: Pass,
        handler: &Arc<Attachment>,
        frame: Box<Frame>,
    ) -> Result<(), Push<Box<Frame>>> {
        let bytes = frame.payload.len();
        if !self.load.put(bytes) {
            self.mailbox.process().count_dropped();
            return Err(Push::Full(frame));
        }
        let pushed = self.mailbox.push(Mail::Deliver(frame));
        if pushed.is_err() {
            self.load.take(bytes);
        } else {
            // The mailbox is the bound, unless requests wait in a line: then it takes one at a time.
            if handler.line().is_none() {
                handler.give_credit();
            }
        }
        pushed.map_err(|push| match push {
            Push::Full(Mail::Deliver(frame)) => Push::Full(frame),
            Push::Closed(Mail::Deliver(frame)) => Push::Closed(frame),
            Push::Full(Mail::System(_)) | Push::Closed(Mail::System(_)) => {
                unreachable!("a mailbox gives back what was put in")
            }
        })
    }

    fn system(&self, _handler: &Arc<Attachment>, told: &Arc<Told>) -> bool {
        self.mailbox.push(Mail::System(Arc::clone(told))).is_ok()
    }

    /// Embedded handlers take no tasks.
    fn settled(&self, _handler: &Arc<Attachment>, _frame: Frame) {}

    /// The handler follows its leadership by itself.
    fn leads(&self, _handler: &Arc<Attachment>) {}

    fn fate(&self) -> Option<&Fate> {
        Some(&self.fate)
    }

    /// The mailbox goes with the attachment, and the task ends after what is still in it.
    fn detached(&self, _handler: &Arc<Attachment>, _reason: DetachReason) {
        self.fate.leave();
    }
}

/// A handler that a fault holds up is not held up when nobody is there any more who would tell it of the end.
impl Drop for Entrance {
    fn drop(&mut self) {
        self.fate.leave();
    }
}

impl Handlers {
    /// Attaches a handler that runs inside this node, until it is detached. After a panic it is restarted; too many of them
    /// within a minute detach it.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn attach_embedded(
        self: &Arc<Self>,
        exchange: &ExchangeName,
        tags: HandlerTags,
        handler: impl Handler,
    ) -> Result<Pid, AttachError> {
        self.attach_supervised(exchange, tags, Supervision::default(), handler)
    }

    /// As [`Handlers::attach_embedded`], with a restart policy of its own.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn attach_supervised(
        self: &Arc<Self>,
        exchange: &ExchangeName,
        tags: HandlerTags,
        supervision: Supervision,
        handler: impl Handler,
    ) -> Result<Pid, AttachError> {
        let context = Arc::clone(&self.context);
        let now = context.clock.now();
        let process = context
            .processes
            .enter(ProcessKind::Handler, exchange.as_str(), MAILBOX_BOUND, now);
        let (mailbox, inbox) = mailbox(Arc::clone(&process), context.clock.clone(), MAILBOX_BOUND);
        let tags = HandlerTags { works: false, ..tags };
        let connection_tag = Bytes::from(tags.connection.clone());
        let id = context.registry().names.get(exchange).copied();
        let waits = id.is_some_and(|id| self.line_of(id).is_some());
        let credit = if waits { 1 } else { u32::MAX };
        let load = Arc::new(Load::default());
        let fate = Arc::new(Fate::default());
        let entrance = Arc::new(Entrance {
            mailbox,
            load: Arc::clone(&load),
            fate: Arc::clone(&fate),
        });
        let attachment = self.attach(exchange, tags, credit, Arc::clone(&process), entrance)?;
        let standing = attachment.grants().context();
        let pid = process.pid();
        let embedded = Embedded {
            handler,
            exchange: exchange.clone(),
            connection_tag,
            process,
            inbox,
            handlers: Arc::downgrade(self),
            attachment: Arc::downgrade(&attachment),
            supervisor: Supervisor::new(supervision),
            over: false,
            changes: standing.changes(),
            may_lead: id.is_none_or(|id| self.has_leaders(id)),
            in_line: waits,
            line: Arc::new(nobody(&context)),
            load,
            fate,
            suffers: context.faults.handlers(exchange),
            paused: None,
            context: Arc::clone(&context),
        };
        context.runtime.spawn(embedded.run(standing));
        Ok(pid)
    }
}

struct Embedded<H> {
    handler: H,
    exchange: ExchangeName,
    connection_tag: Bytes,
    process: Arc<Process>,
    inbox: Inbox<Mail>,
    handlers: Weak<Handlers>,
    /// Weak: the attachment holds the mailbox, which ends with it.
    attachment: Weak<Attachment>,
    supervisor: Supervisor,
    /// It is detached for good and not called any more.
    over: bool,
    changes: Changes,
    /// Its exchange has leaders.
    may_lead: bool,
    /// Requests for it wait in a line, one at a time.
    in_line: bool,
    /// The way back to the requester of its latest delivery.
    line: Arc<Line>,
    load: Arc<Load>,
    /// What faults tell it.
    fate: Arc<Fate>,
    /// What it suffers, as it was told last.
    suffers: HandlersSuffer,
    /// The latest time it stood still, while deliveries of before are about.
    paused: Option<Paused>,
    context: Arc<DataContext>,
}

impl<H: Handler> Embedded<H> {
    async fn run(mut self, standing: Context) {
        let fate = Arc::clone(&self.fate);
        fate.begin().await;
        self.note_standstill();
        self.tell(|handler| handler.attached(standing));
        loop {
            if let Some(killed) = fate.anything() {
                self.told_of_faults(killed);
                continue;
            }
            // While there is mail nothing else is waited for, only looked at.
            let takes = !self.suffers.suspended;
            if takes
                && !(self.may_lead && self.changes.is_due())
                && let Some((mail, put)) = self.inbox.ready().await
            {
                self.take(mail, put).await;
                continue;
            }
            tokio::select! {
                biased;
                killed = fate.told() => self.told_of_faults(killed),
                change = self.changes.next(), if self.may_lead => {
                    self.tell(|handler| handler.leadership(change));
                }
                mail = self.inbox.next(), if takes => {
                    let Some((mail, put)) = mail else { return };
                    self.take(mail, put).await;
                }
            }
        }
    }

    async fn take(&mut self, mail: Mail, put: Instant) {
        let begun = self.context.clock.now();
        match mail {
            Mail::Deliver(frame) => {
                self.load.take(frame.payload.len());
                let ended = self.deliver(frame, put, begun).await;
                self.process.count_busy(ended.since(begun));
                if self.in_line {
                    self.take_next();
                }
            }
            Mail::System(told) => {
                self.notice(&told);
                self.process.count_busy(self.context.clock.now().since(begun));
            }
        }
    }

    /// It came into the mailbox at `put`, and was taken out of it at `taken_up`. Gives when it was done.
    async fn deliver(&mut self, mut frame: Box<Frame>, put: Instant, mut taken_up: Instant) -> Instant {
        self.tell_of_standstill(&mut frame, put);
        if self.over {
            self.give_back(&frame);
            return taken_up;
        }
        if self.suffers.slow > Span::ZERO {
            self.take_longer(&mut frame).await;
            taken_up = self.context.clock.now();
        }
        if put + Span::from_ms(u64::from(frame.left_ms)) <= taken_up {
            // Its requester has given up: work on it would only delay the others.
            count(&self.context.wire.tally.expired);
            return taken_up;
        }
        let pid = self.process.pid();
        let span = spans::handle_span(&self.context.spans, &frame.trace, || spans::Handle {
            exchange: self.exchange.as_str(),
            handler: self.context.pid_text(pid),
            bytes: frame.payload.len(),
            epoch: frame.epoch.0,
            waited: taken_up.since(put),
        });
        let trace = spans::context_of(&span, frame.trace);
        let since = self.context.clock.at(put);
        Line::next(&mut self.line, &frame, since);
        let delivery = Delivery {
            exchange: self.exchange.clone(),
            payload: std::mem::take(&mut frame.payload),
            request_tag: frame.tags.request.clone(),
            connection_tag: self.connection_tag.clone(),
            ahead_of: frame.ahead_of(),
            key: frame.tags.key.clone(),
            request: RequestKey::of(&frame),
            epoch: frame.epoch,
            leader_epoch: frame.leader_epoch,
            trace,
            talk: Talk::new(Arc::clone(&self.line)),
        };
        let (fate, panics) = (Arc::clone(&self.fate), self.panics_now(&mut frame));
        // The call itself may panic, not only the future it gives.
        let call = async {
            assert!(!panics, "{PANIC_WORDS}");
            self.handler.handle(delivery).await
        };
        let handled = tokio::select! {
            biased;
            () = fate.killed() => {
                self.killed_with(&mut frame, ago(self.context.clock.now().since(taken_up)));
                Err(Box::new(KILL_WORDS) as _)
            }
            answer = within(trace, catch(call).instrument(span.clone())) => answer,
        };
        let (panic, (status, payload)) = match handled {
            Ok(answer) => (None, checked(answer)),
            Err(panic) => {
                let panic = panic_words(&*panic);
                (Some(panic.clone()), (Status::None(NoReply::Failed), words(panic)))
            }
        };
        spans::handled(&span, status);
        drop(span);
        let reply = ReturnPath::answer(frame, pid, (trace, status), payload);
        self.process.count_sent(1);
        // One that has given the request up is not there to take the answer.
        let wanted = Line::finish_of(&mut self.line, reply.status == Status::Reply).await;
        let ended = self.context.clock.now();
        if wanted {
            let _step = self.context.clock.step_at(ended);
            self.context.wire.reply(reply);
        }
        about(trace, || match panic {
            Some(words) => self.panicked(&words),
            None => self.look_if_done(),
        });
        ended
    }

    /// The next request in the line comes.
    fn take_next(&self) {
        let attachment = self.attachment.upgrade();
        if let (Some(handlers), Some(attachment)) = (self.handlers.upgrade(), attachment) {
            attachment.give_credit();
            handlers.next_in_line(&attachment);
        }
    }

    /// It was delivered, and will not be handled here.
    fn give_back(&self, frame: &Frame) {
        let pid = self.process.pid();
        let back = ReturnPath::of(frame);
        self.context.given_back(pid, &back);
        self.context.wire.reply(back.none(pid, NoReply::Unreachable));
    }

    fn notice(&mut self, told: &Told) {
        let notice = notice_of(&self.context, self.process.pid(), &self.exchange, told);
        self.tell(|handler| handler.notice(notice));
    }

    fn tell(&mut self, call: impl FnOnce(&mut H)) {
        if self.over {
            return;
        }
        if let Err(panic) = catch_now(|| call(&mut self.handler)) {
            self.panicked(&panic_words(&*panic));
        }
    }

    fn look_if_done(&mut self) {
        match catch_now(|| self.handler.is_done()) {
            Ok(false) => {}
            Ok(true) => self.ended(Exit::Done),
            Err(panic) => self.panicked(&panic_words(&*panic)),
        }
    }

    pub(super) fn panicked(&mut self, words: &str) {
        self.tell_of_panic(words);
        self.ended(Exit::Panicked);
    }

    fn tell_of_panic(&self, words: &str) {
        if let Some(handlers) = self.handlers.upgrade() {
            handlers.panicked(self.exchange.as_str(), self.process.pid(), words);
        }
    }

    /// What follows from the end of a run, by its policy. A panic while it is restarted is one more.
    fn ended(&mut self, mut exit: Exit) {
        while !self.over {
            match self.supervisor.ended(self.context.clock.now(), exit) {
                Verdict::Restart => {
                    self.process.count_restart();
                    match catch_now(|| self.handler.restarted()) {
                        Ok(()) => return,
                        Err(panic) => self.tell_of_panic(&panic_words(&*panic)),
                    }
                    exit = Exit::Panicked;
                }
                Verdict::Detach(reason) => {
                    self.over = true;
                    if let Some(handlers) = self.handlers.upgrade() {
                        handlers.detach(self.process.pid().serial, reason);
                    }
                }
            }
        }
    }
}

/// The line of a handler without a delivery.
fn nobody(context: &Arc<DataContext>) -> Line {
    let carrier = Arc::new(talks::Embedded(Arc::clone(context)));
    let now = context.clock.at(context.clock.now());
    Line::new(&Frame::new(Kind::Deliver), context.node, now, carrier)
}

/// An answer within the bounds of the wire.
pub(crate) fn checked(answer: Answer) -> (Status, Bytes) {
    match answer {
        Answer::Reply(payload) | Answer::Rewrite(payload) if payload.len() > PAYLOAD_BYTES_MAX => {
            let why = format!(
                "a reply of {} bytes is above the bound of {PAYLOAD_BYTES_MAX}",
                payload.len()
            );
            (Status::Declined, Bytes::from(why))
        }
        Answer::Reply(payload) => (Status::Reply, payload),
        Answer::Rewrite(payload) => (Status::Rewrite, payload),
        Answer::Pass => (Status::Pass, Bytes::new()),
        Answer::Redirect(to) => (Status::Redirect, words(to.as_str().to_owned())),
        Answer::Decline(reason) => (Status::Declined, words(reason)),
    }
}

/// A reason within the bounds of the wire.
pub(crate) fn words(mut reason: String) -> Bytes {
    while reason.len() > REASON_BYTES_MAX {
        reason.pop();
    }
    Bytes::from(reason)
}
