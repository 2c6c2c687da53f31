//! I5: every request ends in exactly one outcome; there is no second reply except under `default`.
//!
//! A requester must be able to act on what it is told. So a request that was sent ends, once, for as long as its
//! requester lives; under `default` with one outcome a handler, of which exactly one is the last. And what it is told must
//! be true: a request said to be certainly not delivered was handled by nobody. Squall tries again by itself only what was
//! certainly not delivered, so no request is handled twice, by one handler or by two.

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::Pid;
use squall_kernel::reason::NoReply;

use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Answer, Event, What};
use crate::limits::REQUESTS_REMEMBERED;

/// A request as far as it has come.
#[derive(Debug, Clone)]
struct Followed {
    begun: Event,
    many: bool,
    handled: Vec<(Pid, Event)>,
    answered: Vec<(Pid, Event)>,
    /// What ended it, or the end of its requester.
    ended: Option<Event>,
}

/// The checker of I5.
#[derive(Debug)]
pub struct OneOutcome {
    requests: Recent<RequestKey, Followed>,
    ended: u64,
    forgotten: u64,
    settled: bool,
}

impl Default for OneOutcome {
    fn default() -> Self {
        Self {
            requests: Recent::new(REQUESTS_REMEMBERED),
            ended: 0,
            forgotten: 0,
            settled: false,
        }
    }
}

/// True when the requester was told that no handler has its request or ever will.
fn certainly_not_delivered(answer: &Answer) -> bool {
    match answer {
        Answer::Reply { .. } | Answer::Declined { .. } => false,
        Answer::None(ended) => !matches!(ended.0, NoReply::Timeout | NoReply::Interrupted),
    }
}

const fn outcome_of(event: &Event) -> Option<&Answer> {
    match &event.what {
        What::Outcome { outcome, .. } => Some(outcome),
        _ => None,
    }
}

impl OneOutcome {
    fn begun(&mut self, event: &Event, request: RequestKey, many: bool) -> Result<(), Breach> {
        if let Some(before) = self.requests.get(&request) {
            let text = format!("request {request} was sent twice by its requester");
            return Err(Breach::new(self.id(), Some(&before.begun), event, text));
        }
        let followed = Followed {
            begun: event.clone(),
            many,
            handled: Vec::new(),
            answered: Vec::new(),
            ended: None,
        };
        let forgotten = self.requests.insert(request, followed);
        self.forgotten += u64::from(forgotten.is_some_and(|followed| followed.ended.is_none()));
        Ok(())
    }

    fn handled(&mut self, event: &Event, request: RequestKey, handler: Pid) -> Result<(), Breach> {
        let id = self.id();
        let Some(followed) = self.requests.get_mut(&request) else {
            return Ok(());
        };
        let again = |(by, _): &&(Pid, Event)| !followed.many || *by == handler;
        if let Some((by, before)) = followed.handled.iter().find(again) {
            let text = if *by == handler {
                format!("request {request} was handled twice by {handler}")
            } else {
                format!("request {request} was handled by {by} and by {handler}")
            };
            return Err(Breach::new(id, Some(before), event, text));
        }
        if !followed.many
            && let Some(told) = &followed.ended
            && let Some(outcome) = outcome_of(told).filter(|o| certainly_not_delivered(o))
        {
            let text = format!("request {request} was handled although its requester was told: {outcome}");
            return Err(Breach::new(id, Some(told), event, text));
        }
        followed.handled.push((handler, event.clone()));
        Ok(())
    }

    fn outcome(
        &mut self,
        event: &Event,
        request: RequestKey,
        outcome: &Answer,
        more: bool,
    ) -> Result<(), Breach> {
        let id = self.id();
        let Some(followed) = self.requests.get_mut(&request) else {
            return Ok(());
        };
        if let Some(before) = &followed.ended {
            let text = format!("request {request} had ended and got one more outcome");
            return Err(Breach::new(id, Some(before), event, text));
        }
        if more && !followed.many {
            let text = format!("request {request} has one handler, and more outcomes are said to follow");
            return Err(Breach::new(id, Some(&followed.begun), event, text));
        }
        if !followed.many && certainly_not_delivered(outcome) && !followed.handled.is_empty() {
            let first = followed.handled.first().map(|(_, event)| event);
            let text = format!("request {request} was handled, and its requester was told: {outcome}");
            return Err(Breach::new(id, first, event, text));
        }
        if let Answer::Reply { handler } | Answer::Declined { handler } = outcome {
            if let Some((_, before)) = followed.answered.iter().find(|(by, _)| by == handler) {
                let text = format!("request {request} has two answers of {handler}");
                return Err(Breach::new(id, Some(before), event, text));
            }
            followed.answered.push((*handler, event.clone()));
        }
        if !more {
            followed.ended = Some(event.clone());
            self.ended += 1;
        }
        Ok(())
    }

    fn open(&self) -> impl Iterator<Item = &Followed> {
        self.requests.values().filter(|followed| followed.ended.is_none())
    }

    fn settled(&mut self, event: &Event) -> Result<(), Breach> {
        self.settled = true;
        let open = self.open().count();
        let Some(first) = self.open().next() else {
            return Ok(());
        };
        let text = format!("requests without an outcome at the end of the run: {open}, this one among them");
        Err(Breach::new(self.id(), Some(&first.begun), event, text))
    }
}

impl Invariant for OneOutcome {
    fn id(&self) -> Id {
        Id(5)
    }

    fn claim(&self) -> &'static str {
        "every request ends in exactly one outcome and is handled at most once"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        match &event.what {
            What::Begun { request, many, .. } => self.begun(event, *request, *many),
            What::Handled { request, handler, .. } => self.handled(event, *request, *handler),
            What::Outcome {
                request,
                outcome,
                more,
                ..
            } => self.outcome(event, *request, outcome, *more),
            // Nobody is left to be told; what was sent may still be handled, once.
            What::Ended { .. } => {
                let open = self
                    .requests
                    .values_mut()
                    .filter(|followed| followed.ended.is_none());
                for followed in open.filter(|followed| followed.begun.node == event.node) {
                    followed.ended = Some(event.clone());
                }
                Ok(())
            }
            What::Settled => self.settled(event),
            _ => Ok(()),
        }
    }

    fn end(&mut self) -> Verdict {
        let open = self.open().count();
        if self.forgotten > 0 {
            Verdict::Unknown(format!(
                "{} open requests were too many to follow",
                self.forgotten
            ))
        } else if open > 0 && !self.settled {
            Verdict::Unknown(format!("{open} requests are open"))
        } else {
            Verdict::judged(self.ended, "no request ended")
        }
    }
}

#[cfg(test)]
#[path = "i05_one_outcome_test.rs"]
mod tests;
