//! I5: every request ends in exactly one outcome; there is no second reply except under `default`.
//!
//! A requester must be able to act on what it is told. So a request that was sent ends, once, for as long as its
//! requester lives; under `default` with one outcome a handler, of which exactly one is the last. And what it is told must
//! be true: a request said to be certainly not delivered was handled by nobody. Squall tries again by itself only what was
//! certainly not delivered, so no request is handled twice, by one handler or by two. Nor does anybody wait in vain: where
//! the requester's node knows that the handler's is lost, and nothing else is wrong, the owner ends the request at once,
//! whatever became of the exchange in between. What a requester is given beside the reply is whole and in order (`talk`).

mod talk;

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::{Boot, ExchangeId, NodeId, Pid};
use squall_kernel::reason::NoReply;
use squall_kernel::time::{Instant, Span};

use super::calm::Calm;
use super::recent::Recent;
use super::{Breach, Id, Invariant, Verdict};
use crate::history::{Answer, Event, Mark, TalkEvent, What};
use crate::limits::REQUESTS_REMEMBERED;
use talk::Talk;

/// Within this time after the loss of a handler's node is known its requests have ended: the owner may apply the loss a
/// heartbeat later than the requester's node, and its word travels.
const ORPHAN_ENDS: Span = Span::from_ms(600);

/// In a run that goes on requests are under way; one that is for longer than anybody waits may never end.
const LONG: Span = Span::from_ms(60_000);

/// A request as far as it has come.
#[derive(Debug, Clone)]
struct Followed {
    begun: Event,
    many: bool,
    handled: Vec<(Pid, Event)>,
    answered: Vec<(Pid, Event)>,
    /// The handler's node, and the news of its loss.
    routed: Option<Pid>,
    orphaned: Option<Event>,
    talk: Talk,
    /// What ended it, or the end of its requester.
    ended: Option<Event>,
}

/// The checker of I5.
#[derive(Debug)]
pub struct OneOutcome {
    requests: Recent<RequestKey, Followed>,
    calm: Calm,
    ended: u64,
    forgotten: u64,
    settled: bool,
    /// Time of the last event.
    now: Instant,
}

impl Default for OneOutcome {
    fn default() -> Self {
        Self {
            requests: Recent::new(REQUESTS_REMEMBERED),
            calm: Calm::default(),
            ended: 0,
            forgotten: 0,
            settled: false,
            now: Instant(0),
        }
    }
}

/// True when the requester was told that no handler has its request or ever will.
fn certainly_not_delivered(answer: &Answer) -> bool {
    match answer {
        Answer::Reply { .. } | Answer::Declined { .. } => false,
        Answer::None(ended) => !matches!(ended.0, NoReply::Timeout | NoReply::Interrupted | NoReply::Failed),
    }
}

const fn outcome_of(event: &Event) -> Option<&Answer> {
    match &event.what {
        What::Outcome { outcome, .. } => Some(outcome),
        _ => None,
    }
}

impl Followed {
    /// The news of the loss after which it should not have gone on waiting.
    fn waited_in_vain(&self, event: &Event, outcome: &Answer) -> Option<&Event> {
        let timed_out = matches!(outcome, Answer::None(ended) if ended.0 == NoReply::Timeout);
        let late = |lost: &&Event| event.at >= lost.at + ORPHAN_ENDS;
        self.orphaned
            .as_ref()
            .filter(late)
            .filter(|_| timed_out && !self.many)
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
            routed: None,
            orphaned: None,
            talk: Talk::default(),
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
        // Most have one handler, and very many are remembered.
        followed.handled.reserve_exact(1);
        followed.handled.push((handler, event.clone()));
        Ok(())
    }

    /// What it had is nobody's again.
    fn given_back(&mut self, request: RequestKey, handler: Pid) {
        if let Some(followed) = self.requests.get_mut(&request) {
            followed.handled.retain(|(by, _)| *by != handler);
        }
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
        if let Some(lost) = followed.waited_in_vain(event, outcome) {
            let text =
                format!("request {request} was left to its deadline although its handler's node was lost");
            return Err(Breach::new(id, Some(lost), event, text));
        }
        followed.talk.ends(event, request, outcome)?;
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
            if more {
                followed.answered.push((*handler, event.clone()));
            }
        }
        if !more {
            // Whatever comes after its end is one too many.
            followed.answered = Vec::new();
            followed.ended = Some(event.clone());
            self.ended += 1;
        }
        Ok(())
    }

    fn routed(&mut self, request: RequestKey, handler: Pid) {
        if let Some(followed) = self.requests.get_mut(&request) {
            (followed.routed, followed.orphaned) = (Some(handler), None);
        }
    }

    /// The requester's node knows that a handler's is lost.
    /// A node that follows late hears of the end of a run when the next one has handlers already.
    fn lost(&mut self, event: &Event, lost: NodeId, before: Boot) {
        if !self.calm.but_for(lost, event.at) {
            return;
        }
        let gone = |handler: Pid| handler.node == lost && handler.boot() < before;
        let here = |followed: &&mut Followed| {
            followed.ended.is_none() && followed.begun.node == event.node && followed.routed.is_some_and(gone)
        };
        for followed in self.requests.values_mut().filter(here) {
            followed.orphaned = Some(event.clone());
        }
    }

    /// An owner whose move was cancelled begins anew under a later epoch, and knows nothing of the requests before.
    fn forgotten_by_owner(&mut self) {
        for followed in self.requests.values_mut().filter(|f| f.ended.is_none()) {
            (followed.routed, followed.orphaned) = (None, None);
        }
    }

    /// What it was routed to did not get it.
    fn retried(&mut self, event: &Event, request: RequestKey) -> Result<(), Breach> {
        let Some(followed) = self.requests.get_mut(&request) else {
            return Ok(());
        };
        (followed.routed, followed.orphaned) = (None, None);
        followed.talk.sent_again(event, request)
    }

    fn talked(&mut self, event: &Event, request: RequestKey, what: &TalkEvent) -> Result<(), Breach> {
        let id = self.id();
        let Some(followed) = self.requests.get_mut(&request) else {
            return Ok(());
        };
        let given = matches!(what, TalkEvent::Given { .. } | TalkEvent::Asked { .. });
        if let Some(end) = followed.ended.as_ref().filter(|_| given) {
            let text = format!("request {request} had ended, and more of its answer was given");
            return Err(Breach::new(id, Some(end), event, text));
        }
        followed.talk.goes_on(event, request, what)
    }

    /// Nobody owns it any more who could end what its handlers have.
    fn deleted(&mut self, exchange: ExchangeId) {
        let of_it = |what: &What| matches!(what, What::Begun { exchange: of, .. } if *of == exchange);
        for followed in self.requests.values_mut().filter(|f| of_it(&f.begun.what)) {
            (followed.routed, followed.orphaned) = (None, None);
        }
    }

    /// What a new fault does to those that are lost nobody can say.
    fn disturbed(&mut self, event: &Event) {
        for followed in self
            .requests
            .values_mut()
            .filter(|followed| followed.ended.is_none())
        {
            if followed.routed.map(|handler| handler.node) != Some(event.node) {
                followed.orphaned = None;
            }
        }
    }

    fn open(&self) -> impl Iterator<Item = &Followed> {
        self.requests.values().filter(|followed| followed.ended.is_none())
    }

    fn judged(&self) -> Verdict {
        match self.forgotten {
            0 => Verdict::judged(self.ended, "no request ended"),
            many => Verdict::Unknown(format!("{many} open requests were too many to follow")),
        }
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
        "every request ends in exactly one outcome, is handled at most once, and has its chunks in order and whole"
    }

    fn see(&mut self, event: &Event) -> Result<(), Breach> {
        self.calm.see(event);
        self.now = self.now.max(event.at);
        match &event.what {
            What::Routed { request, handler, .. } => {
                self.routed(*request, *handler);
                Ok(())
            }
            What::Retried { request } => self.retried(event, *request),
            What::Talk { request, what, .. } => self.talked(event, *request, what),
            What::Deleted { exchange } => {
                self.deleted(*exchange);
                Ok(())
            }
            What::Mark(Mark::MoveCancelled) => {
                self.forgotten_by_owner();
                Ok(())
            }
            What::Lost { lost, before } => {
                self.lost(event, *lost, *before);
                Ok(())
            }
            What::Fault { .. } => {
                self.disturbed(event);
                Ok(())
            }
            What::Begun { request, many, .. } => self.begun(event, *request, *many),
            What::Handled { request, handler, .. } => self.handled(event, *request, *handler),
            What::GivenBack { request, handler } => {
                self.given_back(*request, *handler);
                Ok(())
            }
            What::Outcome {
                request,
                outcome,
                more,
                ..
            } => self.outcome(event, *request, outcome, *more),
            // Nobody is left to be told; what was sent may still be handled, once.
            What::Ended { .. } => {
                self.disturbed(event);
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

    fn so_far(&mut self) -> Verdict {
        let (now, long) = (self.now, LONG);
        let open = self
            .open()
            .filter(|followed| now.since(followed.begun.at) > long)
            .count();
        if open > 0 {
            Verdict::Unknown(format!(
                "{open} requests are open since more than {} s",
                long.as_ms() / 1000
            ))
        } else {
            self.judged()
        }
    }

    fn end(&mut self) -> Verdict {
        let open = self.open().count();
        if open > 0 && !self.settled {
            Verdict::Unknown(format!("{open} requests are open"))
        } else {
            self.judged()
        }
    }
}

#[cfg(test)]
#[path = "i05_one_outcome_test.rs"]
mod tests;
