//! Handlers that run inside the node: one task each, on the data plane's runtime.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{self, Poll};

use bytes::Bytes;
use squall_client::handler::{Answer, Handler, Supervision, panic_words};
use squall_client::leadership::{Changes, Context, LeadershipChange};
use squall_client::talk::Line;
use squall_kernel::fault::HandlersSuffer;
use squall_kernel::fence::Pass;
use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{ExchangeName, Pid};
use squall_kernel::limits::{MAILBOX_BOUND, PAYLOAD_BYTES_MAX, REASON_BYTES_MAX};
use squall_kernel::reason::DetachReason;
use squall_kernel::supervision::{Exit, Supervisor, Verdict};
use squall_kernel::time::Instant;

use super::caught::catch_now;
use super::fate::Fate;
use super::suffering::KILL_WORDS;
use super::{AttachError, Attachment, HandlerSink, HandlerTags, Handlers, Told, notice_of};
use crate::data::DataContext;
use crate::process::{Envelope, Inbox, Letter, Load, Mailbox, ProcessKind, Push, envelope_of, mailbox};

mod calling;
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

/// What a handler's task and those who put messages in for it have in common.
struct Seat {
    exchange: ExchangeName,
    /// None for an empty one.
    connection_tag: Option<Box<Bytes>>,
    load: Load,
    /// What faults tell it.
    fate: Fate,
    handlers: Weak<Handlers>,
    context: Arc<DataContext>,
}

/// Where others put messages for a handler inside the node.
struct Entrance {
    mailbox: Mailbox<Mail>,
    seat: Arc<Seat>,
}

impl HandlerSink for Entrance {
    fn deliver(
        &self,
        _pass: Pass,
        handler: &Arc<Attachment>,
        frame: Box<Frame>,
    ) -> Result<(), Push<Box<Frame>>> {
        let bytes = frame.payload.len();
        if !self.seat.load.put(bytes) {
            self.mailbox.process().count_dropped();
            return Err(Push::Full(frame));
        }
        let pushed = self.mailbox.push(Mail::Deliver(frame));
        if pushed.is_err() {
            self.seat.load.take(bytes);
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

    fn shares(&self) -> bool {
        true
    }

    /// Embedded handlers take no tasks.
    fn settled(&self, _handler: &Arc<Attachment>, _frame: Frame) {}

    /// The handler follows its leadership by itself.
    fn leads(&self, _handler: &Arc<Attachment>) {}

    fn fate(&self) -> Option<&Fate> {
        Some(&self.seat.fate)
    }

    /// The mailbox goes with the attachment, and the task ends after what is still in it.
    fn detached(&self, _handler: &Arc<Attachment>, _reason: DetachReason) {
        self.seat.fate.leave();
    }
}

/// A handler that a fault holds up is not held up when nobody is there any more who would tell it of the end.
impl Drop for Entrance {
    fn drop(&mut self) {
        self.seat.fate.leave();
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
            .enter(ProcessKind::Handler, exchange, MAILBOX_BOUND, now);
        let (mailbox, inbox) = mailbox(Arc::clone(&process), context.clock.clone(), MAILBOX_BOUND);
        let tags = HandlerTags { works: false, ..tags };
        let id = context.registry().names.get(exchange).copied();
        let waits = id.is_some_and(|id| self.line_of(id).is_some());
        let credit = if waits { 1 } else { u32::MAX };
        let seat = Arc::new(Seat {
            exchange: exchange.clone(),
            connection_tag: (!tags.connection.is_empty())
                .then(|| Box::new(Bytes::from(tags.connection.clone()))),
            load: Load::default(),
            fate: Fate::default(),
            handlers: Arc::downgrade(self),
            context: Arc::clone(&context),
        });
        let entrance = Arc::new(Entrance {
            mailbox,
            seat: Arc::clone(&seat),
        });
        let pid = process.pid();
        let attachment = self.attach(exchange, tags, credit, process, entrance)?;
        let standing = attachment.grants().context();
        let suffers = context.faults.handlers(exchange);
        let mut embedded = Embedded {
            handler,
            seat,
            inbox,
            attachment: Arc::downgrade(&attachment),
            line: None,
            changes: standing.may_lead().then(|| Box::new(standing.changes())),
            trouble: None,
            supervision: (supervision != Supervision::default()).then(|| Box::new(supervision)),
            over: false,
            in_line: waits,
        };
        embedded.suffer(suffers);
        // Inside the block it is in one place; an argument of an asynchronous function is in two.
        context.runtime.spawn(async move { embedded.run(standing).await });
        Ok(pid)
    }
}

/// A handler and what is needed while it waits. There may be very many: what it only needs while it works, or after a fault, is apart.
struct Embedded<H> {
    handler: H,
    seat: Arc<Seat>,
    inbox: Inbox<Mail>,
    /// Weak: the attachment holds the mailbox, which ends with it.
    attachment: Weak<Attachment>,
    /// The way back to the requester of its latest delivery, while it works.
    line: Option<Arc<Line>>,
    /// Where its exchange has leaders.
    changes: Option<Box<Changes>>,
    /// None while it suffers nothing and has not failed.
    trouble: Option<Box<Trouble>>,
    /// None for the usual one.
    supervision: Option<Box<Supervision>>,
    /// It is detached for good and not called any more.
    over: bool,
    /// Requests for it wait in a line, one at a time.
    in_line: bool,
}

/// What went wrong with a handler, and what it suffers.
struct Trouble {
    supervisor: Supervisor,
    /// As it was told last.
    suffers: HandlersSuffer,
    /// The latest time it stood still, while deliveries of before are about.
    paused: Option<Paused>,
}

/// What a handler waits for.
enum Woken {
    /// Something of its faults; true when it is killed.
    Fault(bool),
    Leadership(LeadershipChange),
    Mail(Mail, Instant),
    /// Nobody puts anything in any more.
    Left,
}

impl<H: Handler> Embedded<H> {
    async fn run(&mut self, standing: Context) {
        self.seat.fate.begin().await;
        self.note_standstill();
        self.tell(|handler| handler.attached(standing));
        loop {
            let woken = if self.changes.is_none() {
                poll_fn(|task| self.poll_woken(task)).await
            } else {
                // Apart: there is a timer in it.
                Box::pin(self.woken_or_leads()).await
            };
            let (frame, put) = match woken {
                Woken::Mail(Mail::Deliver(frame), put) => (frame, put),
                Woken::Left => return,
                other => {
                    self.hear(other);
                    continue;
                }
            };
            // Apart: what it takes to work is many times what it takes to wait.
            Box::pin(self.work(frame, put)).await;
        }
    }

    /// Where nobody leads.
    fn poll_woken(&mut self, task: &mut task::Context<'_>) -> Poll<Woken> {
        if let Some(killed) = self.seat.fate.anything() {
            return Poll::Ready(Woken::Fault(killed));
        }
        if self.suffers().suspended {
            return Poll::Pending;
        }
        self.inbox.poll_next(task).map(|mail| match mail {
            Some((mail, put)) => Woken::Mail(mail, put),
            None => Woken::Left,
        })
    }

    /// Where it may lead: while there is mail nothing else is waited for, only looked at.
    async fn woken_or_leads(&mut self) -> Woken {
        let due = self.changes.as_ref().is_some_and(|changes| changes.is_due());
        if !due && let Poll::Ready(woken) = poll_fn(|task| Poll::Ready(self.poll_woken(task))).await {
            return woken;
        }
        let mut changes = self.changes.take();
        let woken = {
            let next = async {
                match &mut changes {
                    Some(changes) => changes.next().await,
                    None => pending().await,
                }
            };
            let mut next = pin!(next);
            poll_fn(|task| {
                if let Some(killed) = self.seat.fate.anything() {
                    return Poll::Ready(Woken::Fault(killed));
                }
                if let Poll::Ready(change) = next.as_mut().poll(task) {
                    return Poll::Ready(Woken::Leadership(change));
                }
                self.poll_woken(task)
            })
            .await
        };
        self.changes = changes;
        woken
    }

    /// All but deliveries.
    fn hear(&mut self, woken: Woken) {
        match woken {
            Woken::Fault(killed) => self.told_of_faults(killed),
            Woken::Leadership(change) => self.tell(|handler| handler.leadership(change)),
            Woken::Mail(Mail::System(message), _) => self.notice(&message),
            Woken::Mail(Mail::Deliver(_), _) | Woken::Left => {}
        }
    }

    /// Takes up a delivery, and all that waits behind it unless there is something else to hear of.
    async fn work(&mut self, frame: Box<Frame>, put: Instant) {
        let mut next = Some((frame, put));
        while let Some((frame, put)) = next.take() {
            let begun = self.seat.context.clock.now();
            self.seat.load.take(frame.payload.len());
            let ended = self.deliver(frame, put, begun).await;
            self.inbox.process().count_busy(ended.since(begun));
            if self.in_line {
                self.take_next();
            }
            while next.is_none() && !self.is_called() {
                match self.inbox.ready().await {
                    Some((Mail::Deliver(frame), put)) => next = Some((frame, put)),
                    Some((Mail::System(message), _)) => self.notice(&message),
                    None => break,
                }
            }
        }
        self.line = None;
    }

    /// Something else comes first.
    fn is_called(&self) -> bool {
        self.seat.fate.is_told()
            || self.suffers().suspended
            || self.changes.as_ref().is_some_and(|changes| changes.is_due())
    }

    /// The next request in the line comes.
    fn take_next(&self) {
        let attachment = self.attachment.upgrade();
        if let (Some(handlers), Some(attachment)) = (self.seat.handlers.upgrade(), attachment) {
            attachment.give_credit();
            handlers.next_in_line(&attachment);
        }
    }

    fn notice(&mut self, told: &Told) {
        let (context, process) = (&self.seat.context, self.inbox.process());
        let begun = context.clock.now();
        let notice = notice_of(context, process.pid(), &self.seat.exchange, told);
        self.tell(|handler| handler.notice(notice));
        self.inbox
            .process()
            .count_busy(self.seat.context.clock.now().since(begun));
        // They come in a burst when handlers attach, and then hardly ever.
        self.inbox.trim();
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
        if let Some(handlers) = self.seat.handlers.upgrade() {
            handlers.panicked(self.seat.exchange.as_str(), self.inbox.process().pid(), words);
        }
    }

    /// What follows from the end of a run, by its policy. A panic while it is restarted is one more.
    fn ended(&mut self, mut exit: Exit) {
        while !self.over {
            let now = self.seat.context.clock.now();
            match self.trouble().supervisor.ended(now, exit) {
                Verdict::Restart => {
                    self.inbox.process().count_restart();
                    match catch_now(|| self.handler.restarted()) {
                        Ok(()) => return,
                        Err(panic) => self.tell_of_panic(&panic_words(&*panic)),
                    }
                    exit = Exit::Panicked;
                }
                Verdict::Detach(reason) => {
                    self.over = true;
                    if let Some(handlers) = self.seat.handlers.upgrade() {
                        handlers.detach(self.inbox.process().pid().serial, reason);
                    }
                }
            }
        }
    }

    /// Made with the first of it.
    fn trouble(&mut self) -> &mut Trouble {
        let policy = self.supervision.as_deref().copied().unwrap_or_default();
        self.trouble.get_or_insert_with(|| {
            Box::new(Trouble {
                supervisor: Supervisor::new(policy),
                suffers: HandlersSuffer::default(),
                paused: None,
            })
        })
    }
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
