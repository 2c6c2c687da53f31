//! The scheduler of an exchange with tasks: the leader of another one, that is asked which worker gets each task (A4).
//!
//! It gets `task`, the exchange, the task, the attempt, the attempts allowed, the bytes of the payload and the group, with tabs
//! between them, and below that a line for each worker with room: its pid, what it has in hand, and how many it takes. The
//! request's key is the task's. It answers with a pid, `any`, or `wait`. The queue stays its owner's: whatever else
//! happens, the owner decides.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use squall_kernel::frame::{Status, Tags};
use squall_kernel::id::Pid;
use squall_kernel::limits::SCHEDULE_WAIT;
use squall_kernel::tasks::{Chosen, TaskId, TaskInput, WhoGets};

use crate::exchanges::post::Post;
use crate::exchanges::run::Running;
use crate::router::Request;
use crate::singleton::answering;

impl Running {
    /// The answer comes as an order, or the queue goes on without one.
    pub(super) fn ask_scheduler(&self, ask: &WhoGets) {
        let scheduler = self.tasks.as_ref().and_then(|tasks| tasks.scheduler.as_ref());
        let (Some(name), Some(plane)) = (scheduler, self.context.wire.local()) else {
            return answered(&self.post, ask.task, Chosen::Nothing);
        };
        let exchange = match answering(&self.context.registry_kept(), name) {
            Ok(exchange) => exchange,
            Err(why) => {
                tracing::debug!(exchange = %self.name, scheduler = %name, why, "no scheduler");
                return answered(&self.post, ask.task, Chosen::Nothing);
            }
        };
        let named = ask
            .free
            .iter()
            .map(|free| (free.worker, self.context.pid_text(free.worker)));
        let candidates: Vec<(Pid, String)> = named.collect();
        let request = Request {
            timeout: SCHEDULE_WAIT,
            from: self.process.pid(),
            tags: Tags {
                key: ask.key.clone(),
                ..Tags::default()
            },
            ..Request::new(exchange, self.question(ask, &candidates))
        };
        let (post, task) = (Arc::clone(&self.post), ask.task);
        // Bounded by the questions that the queue has open.
        self.context.runtime.spawn(async move {
            let outcome = plane.router.request(request).await;
            let chosen = match outcome.status {
                Status::Reply => read(&outcome.payload, &candidates),
                _ => Chosen::Nothing,
            };
            answered(&post, task, chosen);
        });
    }

    fn question(&self, ask: &WhoGets, candidates: &[(Pid, String)]) -> Bytes {
        let group = String::from_utf8_lossy(&ask.service_tag).replace(char::is_control, " ");
        let mut text = format!(
            "task\t{}\t{}\t{}\t{}\t{}\t{group}",
            self.name, ask.task, ask.attempt, ask.attempts, ask.bytes
        );
        for (free, (_, pid)) in ask.free.iter().zip(candidates) {
            write!(text, "\n{pid}\t{}\t{}", free.in_hand, free.credit).expect("a text takes it");
        }
        Bytes::from(text)
    }
}

fn answered(post: &Post, task: TaskId, chosen: Chosen) {
    post.order(|orders| orders.scheduled.push(TaskInput::Scheduled { task, chosen }));
}

/// What an answer says.
fn read(answer: &[u8], candidates: &[(Pid, String)]) -> Chosen {
    let Ok(text) = std::str::from_utf8(answer) else {
        return Chosen::Nothing;
    };
    match text.trim() {
        "any" => Chosen::Any,
        "wait" => Chosen::Wait,
        pid => {
            let named = candidates.iter().find(|(_, text)| text == pid);
            named.map_or(Chosen::Nothing, |(worker, _)| Chosen::Worker(*worker))
        }
    }
}

#[cfg(test)]
mod tests {
    use squall_kernel::id::NodeId;

    use super::*;

    #[test]
    fn a4_an_answer_is_a_candidate_any_or_wait() {
        let worker = Pid {
            node: NodeId(1),
            serial: 5,
        };
        let candidates = [(worker, "<a.5>".to_owned())];
        let table: [(&[u8], Chosen); 6] = [
            (b"<a.5>\n", Chosen::Worker(worker)),
            (b"any", Chosen::Any),
            (b"wait\n", Chosen::Wait),
            (b"<a.6>", Chosen::Nothing),
            (b"", Chosen::Nothing),
            (b"\xff", Chosen::Nothing),
        ];
        for (answer, chosen) in table {
            assert_eq!(read(answer, &candidates), chosen, "{answer:?}");
        }
    }
}
