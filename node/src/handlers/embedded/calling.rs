//! A delivery to a handler inside the node: the call, what it gives or how it fails, and the answer to the requester.
//!
//! What does not live here: which delivery is next, and what follows from a panic (`embedded`); faults (`faulted`).

use std::any::Any;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures::future::OptionFuture;
use squall_client::handler::{Answer, Delivery, Handler, panic_words};
use squall_client::talk::{Line, Talk};
use squall_kernel::exchange::RequestKey;
use squall_kernel::frame::{Frame, Status, TraceContext};
use squall_kernel::reason::NoReply;
use squall_kernel::time::{Instant, Span};
use tracing::Instrument;

use super::{Embedded, checked, words};
use crate::data::DataContext;
use crate::handlers::caught::{catch, catch_now, catch_poll};
use crate::handlers::suffering::{KILL_WORDS, PANIC_WORDS};
use crate::spans;
use crate::telemetry::logging::{about, within};
use crate::telemetry::told::ago;
use crate::wire::{ReturnPath, count};

impl<H: Handler> Embedded<H> {
    /// It came into the mailbox at `put`, and was taken out of it at `taken_up`. Gives when it was done.
    pub(super) async fn deliver(
        &mut self,
        mut frame: Box<Frame>,
        put: Instant,
        mut taken_up: Instant,
    ) -> Instant {
        self.tell_of_standstill(&mut frame, put);
        if self.over {
            self.give_back(&frame);
            return taken_up;
        }
        if self.suffers().slow > Span::ZERO {
            Box::pin(self.take_longer(&mut frame)).await;
            taken_up = self.seat.context.clock.now();
        }
        if put + Span::from_ms(u64::from(frame.left_ms)) <= taken_up {
            // Its requester has given up: work on it would only delay the others.
            count(&self.seat.context.wire.tally.expired);
            return taken_up;
        }
        let span = self.span_of(&frame, taken_up.since(put));
        let trace = spans::context_of(&span, frame.trace);
        let delivery = self.delivery(&mut frame, put, trace);
        let panics = self.panics_now(&mut frame);
        let mut killed = false;
        let untraced = !trace.is_some() && span.is_disabled();
        let mut panic = None;
        let handled = {
            let about_it = (!untraced).then_some((&span, trace));
            // Pinned where it is made: what is moved in between takes its room twice.
            let mut call = pin!(OptionFuture::from(called(
                &mut self.handler,
                delivery,
                panics,
                about_it,
                &mut panic
            )));
            // Most only answer: those that wait are carried on with all that this takes.
            let tried = panic.is_some() || (span.is_disabled() && !self.seat.fate.is_told());
            let at_once = if tried {
                poll_fn(|task| Poll::Ready(about(trace, || catch_poll(call.as_mut(), task)))).await
            } else {
                Poll::Pending
            };
            let answer = match at_once {
                Poll::Ready(answer) => answer,
                Poll::Pending => {
                    if tried {
                        // What it waits for wakes it, or nobody else gets a turn.
                        futures::pending!();
                    }
                    let (fate, span) = (&self.seat.fate, span.clone());
                    let ended = async {
                        tokio::select! {
                            biased;
                            () = fate.killed() => None,
                            answer = within(trace, catch(call).instrument(span)) => Some(answer),
                        }
                    };
                    // Apart: it is large.
                    Box::pin(ended).await.unwrap_or_else(|| {
                        killed = true;
                        Err(Box::new(KILL_WORDS) as _)
                    })
                }
            };
            match (answer, panic) {
                (_, Some(panic)) | (Err(panic), None) => Err(panic),
                (Ok(answer), None) => Ok(answer.expect("without a panic there is a call")),
            }
        };
        if killed {
            let since = ago(self.seat.context.clock.now().since(taken_up));
            self.killed_with(&mut frame, since);
        }
        let (panic, (status, payload)) = match handled {
            Ok(answer) => (None, checked(answer)),
            Err(panic) => {
                let panic = panic_words(&*panic);
                (Some(panic.clone()), (Status::None(NoReply::Failed), words(panic)))
            }
        };
        spans::handled(&span, status);
        drop(span);
        // One that has given the request up is not there to take the answer.
        let wanted = match &mut self.line {
            Some(line) => Line::finish_of(line, status == Status::Reply).await,
            None => true,
        };
        let process = self.inbox.process();
        let reply = ReturnPath::answer(frame, process.pid(), (trace, status), payload);
        process.count_sent(1);
        let context = &self.seat.context;
        let ended = context.clock.now();
        if wanted {
            let _step = context.clock.step_at(ended);
            context.wire.reply(reply);
        }
        about(trace, || match panic {
            Some(words) => self.panicked(&words),
            None => self.look_if_done(),
        });
        ended
    }

    fn span_of(&self, frame: &Frame, waited: Span) -> tracing::Span {
        let context = &self.seat.context;
        spans::handle_span(&context.spans, &frame.trace, || spans::Handle {
            exchange: self.seat.exchange.as_str(),
            handler: context.pid_text(self.inbox.process().pid()),
            bytes: frame.payload.len(),
            epoch: frame.epoch.0,
            waited,
        })
    }

    fn delivery(&mut self, frame: &mut Frame, put: Instant, trace: TraceContext) -> Delivery {
        let context = &self.seat.context;
        let since = context.clock.at(put);
        let line = match &mut self.line {
            Some(line) => {
                Line::next(line, frame, since);
                line
            }
            none => {
                let carrier = Arc::<DataContext>::clone(context);
                none.insert(Arc::new(Line::new(frame, context.node, since, carrier)))
            }
        };
        Delivery {
            exchange: self.seat.exchange.clone(),
            payload: std::mem::take(&mut frame.payload),
            request_tag: frame.tags.request.clone(),
            connection_tag: self.seat.connection_tag.as_deref().cloned().unwrap_or_default(),
            ahead_of: frame.ahead_of(),
            key: frame.tags.key.clone(),
            request: RequestKey::of(frame),
            epoch: frame.epoch,
            leader_epoch: frame.leader_epoch,
            trace,
            talk: Talk::new(Arc::clone(line)),
        }
    }

    /// It was delivered, and will not be handled here.
    fn give_back(&self, frame: &Frame) {
        let (pid, context) = (self.inbox.process().pid(), &self.seat.context);
        let back = ReturnPath::of(frame);
        context.given_back(pid, &back);
        context.wire.reply(back.none(pid, NoReply::Unreachable));
    }
}

/// Calls the handler; none when the call itself has panicked, not only the future it gives. What is logged meanwhile is about that.
fn called<'h, H: Handler>(
    handler: &'h mut H,
    delivery: Delivery,
    panics: bool,
    about_it: Option<(&tracing::Span, TraceContext)>,
    panicked: &mut Option<Box<dyn Any + Send>>,
) -> Option<impl Future<Output = Answer> + Send + use<'h, H>> {
    let call = || {
        catch_now(|| {
            assert!(!panics, "{PANIC_WORDS}");
            handler.handle(delivery)
        })
    };
    let called = match about_it {
        None => call(),
        Some((span, trace)) => span.in_scope(|| about(trace, call)),
    };
    called.map_err(|panic| *panicked = Some(panic)).ok()
}
