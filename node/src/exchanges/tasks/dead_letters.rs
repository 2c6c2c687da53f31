//! Tasks that were given up, on their way to the exchange that is named for them.
//!
//! What does not live here: when a task is given up, and until when it is sent (the kernel's `tasks`).

use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::frame::{Priority, Status, Tags};
use squall_kernel::id::ExchangeName;
use squall_kernel::keys::Key;
use squall_kernel::message::Terms;
use squall_kernel::registry::{ExchangeRecord, Pattern};
use squall_kernel::tasks::{DeadLetter, TaskId};

use crate::exchanges::post::Post;
use crate::exchanges::run::Running;
use crate::exchanges::tasks::Tasks;
use crate::router::{Outcome, OutcomeSink, Publish, ReplyTo, Request};
use crate::spans;
use crate::telemetry::logging::about;

/// A dead letter has arrived, or comes again: it is passed on until it was taken.
impl OutcomeSink for Post {
    fn outcome(&self, id: u64, outcome: Outcome) -> bool {
        if outcome.status == Status::Reply {
            self.order(|orders| orders.forwarded.push(TaskId(id)));
        }
        true
    }
}

impl Running {
    /// The queue says it again until the letter has arrived.
    pub(super) fn dead(&mut self, letter: &DeadLetter, forward_to: Option<ExchangeName>) {
        let forwards = forward_to.is_some();
        let is_new = |tasks: &mut Tasks| !forwards || tasks.dying.insert(letter.task);
        if self.tasks.as_mut().is_some_and(is_new) {
            let who = [self.name.to_string(), letter.task.to_string()];
            spans::dead_letter(&self.context.spans, letter.spec.trace, letter.reason, who);
        }
        about(letter.spec.trace, || {
            tracing::info!(exchange = %self.name, task = %letter.task, reason = %letter.reason, "dead letter");
        });
        let Some(name) = forward_to else { return };
        let registry = self.context.registry_kept();
        let (Some(to), Some(plane)) = (registry.exchange(&name), self.context.wire.local()) else {
            return;
        };
        let request = self.passed_on(to, letter);
        let sink: Arc<dyn OutcomeSink> = Arc::<Post>::clone(&self.post);
        plane.router.submit(request, ReplyTo::Sink(sink, letter.task.0));
    }

    /// A dead letter as its exchange takes it. Its id is the same however often it is sent.
    fn passed_on(&self, to: &ExchangeRecord, letter: &DeadLetter) -> Request {
        let spec = &letter.spec;
        let unique = Bytes::from(format!("dead letter {} {}", self.id, letter.task));
        let priority = Priority::new(spec.priority.get()).unwrap_or_default();
        let mut request = Request {
            priority,
            tags: Tags {
                service: spec.service_tag.clone(),
                key: spec.key.clone(),
                ..Tags::default()
            },
            trace: spec.trace,
            ..Request::new(to.id, spec.payload.clone())
        };
        match to.pattern {
            Pattern::RequestResponse => {}
            Pattern::Task => {
                let terms = Terms {
                    unique,
                    ..Terms::default()
                };
                request.submit = true;
                request.tags.connection = terms.to_tag().unwrap_or_default();
            }
            Pattern::PublishSubscribe | Pattern::InvertedPublishSubscribe => {
                request.publish = Some(Publish {
                    priority,
                    ..Publish::default()
                });
                request.tags.request = unique;
                request.tags.key = self.key_of(&spec.key);
            }
        }
        request
    }

    /// A task's key may be anything; that of a publish may not.
    fn key_of(&self, key: &Bytes) -> Bytes {
        let named = || Key::new(self.name.as_str());
        let key = Key::take(key.clone()).or_else(|_| named());
        key.map_or_else(|_| Bytes::from_static(b"dead-letter"), Bytes::from)
    }
}
