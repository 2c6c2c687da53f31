//! The way of a request through the middleware in front of its exchange (A30): each is asked in turn, by this node, and says
//! whether the request goes on, changed or not, goes elsewhere, or is declined.
//!
//! A middleware is an ordinary exchange, and may have middleware of its own. What does not live here: which of its handlers
//! is asked (its owner decides).

use bytes::Bytes;
use squall_kernel::frame::{Frame, Status};
use squall_kernel::id::{ExchangeId, ExchangeName};
use squall_kernel::limits::{MIDDLEWARE_STEPS_MAX, PAYLOAD_BYTES_MAX, REDIRECTS_MAX};
use squall_kernel::reason::NoReply;
use squall_kernel::registry::{ExchangeRecord, Pattern, Registry, Strategy};
use squall_kernel::time::Instant;

use super::open::Open;
use super::{Outcome, Router, grant};
use crate::limits::RETRY_FIRST;

/// What is still before a request, what comes next last: the exchange that it is for stands at the bottom.
#[derive(Debug, Default)]
pub(super) struct Way {
    stations: Vec<Station>,
    /// Where the request is, once it has set out.
    at: Option<ExchangeName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Station {
    /// To be looked up, and what stands in front of it before it.
    Enter(ExchangeName),
    /// To be asked: everything in front of it has let the request through.
    Ask(ExchangeId, ExchangeName),
}

/// Why a request goes no further.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Blocked {
    #[error("the middleware '{0}': there is no such exchange")]
    Unknown(ExchangeName),
    #[error("the middleware '{0}' is no request-response exchange that gives each request to one handler")]
    Unfit(ExchangeName),
    #[error("the middleware '{0}' has no handlers")]
    Nobody(ExchangeName),
    #[error("the middleware of '{0}' leads back to it: a circle")]
    Circle(ExchangeName),
    #[error("it went through more than {MIDDLEWARE_STEPS_MAX} middleware, at last '{0}'")]
    TooLong(ExchangeName),
}

impl Way {
    /// To that exchange, through what stands in front of it.
    fn to(record: &ExchangeRecord) -> Self {
        let mut way = Self::default();
        way.arrive(record);
        way
    }

    fn arrive(&mut self, record: &ExchangeRecord) {
        self.stations.push(Station::Ask(record.id, record.name.clone()));
        let ahead = record.settings.middleware.iter().rev();
        self.stations.extend(ahead.cloned().map(Station::Enter));
    }

    /// The next exchange to be asked. `steps` counts the middleware that was come to.
    fn next(&mut self, registry: &Registry, steps: &mut u8) -> Result<ExchangeId, Blocked> {
        loop {
            match self.stations.pop() {
                Some(Station::Ask(exchange, name)) => {
                    self.at = Some(name);
                    return Ok(exchange);
                }
                Some(Station::Enter(name)) => {
                    let record = middleware(registry, &name)?;
                    if self.ahead_of().any(|(exchange, _)| *exchange == record.id) {
                        return Err(Blocked::Circle(name));
                    }
                    if *steps >= MIDDLEWARE_STEPS_MAX {
                        return Err(Blocked::TooLong(name));
                    }
                    *steps += 1;
                    self.arrive(record);
                }
                None => unreachable!("a way is only gone on while something is before the request"),
            }
        }
    }

    /// The exchanges that are behind where the request is, the nearest first; nothing when it has arrived.
    fn ahead_of(&self) -> impl Iterator<Item = (&ExchangeId, &ExchangeName)> {
        self.stations.iter().rev().filter_map(|station| match station {
            Station::Ask(exchange, name) => Some((exchange, name)),
            Station::Enter(_) => None,
        })
    }
}

fn middleware<'a>(registry: &'a Registry, name: &ExchangeName) -> Result<&'a ExchangeRecord, Blocked> {
    let unknown = || Blocked::Unknown(name.clone());
    let record = registry.exchange(name).ok_or_else(unknown)?;
    // Where all handlers get a copy, nobody decides.
    if record.pattern == Pattern::RequestResponse && record.strategy != Strategy::Default {
        Ok(record)
    } else {
        Err(Blocked::Unfit(name.clone()))
    }
}

impl Open {
    /// The exchange in front of which the request is; none where it is at the exchange it is for.
    pub(super) fn ahead_of(&self) -> Option<&ExchangeName> {
        self.way.as_ref()?.ahead_of().next().map(|(_, name)| name)
    }

    /// The middleware at which the request is; none where it is at the exchange it is for.
    fn middleware(&self) -> Option<&ExchangeName> {
        self.ahead_of()?;
        self.way.as_ref()?.at.as_ref()
    }
}

impl Router {
    /// Sends a request to its exchange, or to the first middleware in front of that.
    pub(super) fn set_out(&self, open: Box<Open>, now: Instant) {
        let registry = self.context.registry();
        let record = registry.exchanges.get(&open.request.exchange);
        self.set_out_to(open, now, record);
    }

    /// The same where its exchange was looked up already.
    pub(super) fn set_out_to(&self, mut open: Box<Open>, now: Instant, record: Option<&ExchangeRecord>) {
        // Publishes and tasks go to exchanges that have none.
        let way = record
            .filter(|record| !record.settings.middleware.is_empty())
            .map(Way::to);
        if way.is_none() && now < open.deadline {
            (open.way, open.retry_until, open.backoff) = (None, None, RETRY_FIRST);
            return self.dispatch_to(open, now, record.map(grant));
        }
        open.way = way.map(Box::new);
        self.go_on(open, now);
    }

    /// Sends a request to what is next on its way.
    fn go_on(&self, mut open: Box<Open>, now: Instant) {
        // Wherever it goes now, nothing was refused there yet.
        (open.retry_until, open.backoff) = (None, RETRY_FIRST);
        if now >= open.deadline {
            return self.end(open, NoReply::Timeout);
        }
        let Some(way) = &mut open.way else {
            return self.dispatch(open, now);
        };
        let next = way.next(&self.context.registry(), &mut open.steps);
        match next {
            Ok(exchange) => {
                open.request.exchange = exchange;
                self.dispatch(open, now);
            }
            Err(blocked) => self.blocked(open, &blocked),
        }
    }

    /// What a middleware says. Gives the request back when it has arrived where it was to go.
    pub(super) fn on_its_way(&self, mut open: Box<Open>, frame: &Frame) -> Option<Box<Open>> {
        let Some(here) = open.middleware().cloned() else {
            return self.arrived(open, frame);
        };
        match frame.status {
            Status::Pass => self.go_on(self.begun_anew(open, frame), self.context.clock.now()),
            Status::Rewrite if frame.payload.len() > PAYLOAD_BYTES_MAX => {
                self.decline(open, frame, &format!("'{here}' made the payload too large"));
            }
            Status::Rewrite => {
                open.request.payload = frame.payload.clone();
                self.go_on(self.begun_anew(open, frame), self.context.clock.now());
            }
            Status::Reply => {
                let why = format!("the middleware '{here}' replied, which is not for it to do");
                self.decline(open, frame, &why);
            }
            Status::None(NoReply::NoResponders) => self.blocked(open, &Blocked::Nobody(here)),
            _ => return Some(open),
        }
        None
    }

    /// What is said where nothing is behind.
    fn arrived(&self, open: Box<Open>, frame: &Frame) -> Option<Box<Open>> {
        if !matches!(frame.status, Status::Pass | Status::Rewrite) {
            return Some(open);
        }
        let name = self.name_of(frame.exchange);
        let why = format!("'{name}' lets requests through, and nothing is behind it");
        self.decline(open, frame, &why);
        None
    }

    /// The exchange is gone where the request is.
    pub(super) fn no_exchange(&self, open: Box<Open>) {
        match open.middleware().cloned() {
            Some(name) => self.blocked(open, &Blocked::Unknown(name)),
            None => self.end(open, NoReply::UnknownExchange),
        }
    }

    /// The request goes on at the exchange that the frame names.
    pub(super) fn redirect(&self, mut open: Box<Open>, frame: &Frame) {
        let name = String::from_utf8_lossy(&frame.payload).into_owned();
        let to = ExchangeName::new(&name).ok();
        let to = to.and_then(|name| self.context.registry().names.get(&name).copied());
        let why = match to {
            None => format!("sent on to the exchange '{name}', which there is not"),
            Some(_) if open.hops >= REDIRECTS_MAX => {
                format!("sent on more than {REDIRECTS_MAX} times, at last to '{name}'")
            }
            Some(exchange) => {
                open.hops += 1;
                open.request.exchange = exchange;
                open.given_back = false;
                let unfit = self.misplaced(&open.request);
                return match unfit.or_else(|| self.out_of_terms(&open.request)) {
                    Some(why) => self.decline(open, frame, &why),
                    None => self.set_out(self.begun_anew(open, frame), self.context.clock.now()),
                };
            }
        };
        self.decline(open, frame, &why);
    }

    /// A middleware cannot be asked: its name and the reason are told.
    fn blocked(&self, open: Box<Open>, blocked: &Blocked) {
        let outcome = Outcome {
            payload: blocked.to_string().into(),
            ..Outcome::none(
                open.request.exchange,
                NoReply::NoMiddleware,
                open.request.tags.request.clone(),
            )
        };
        self.conclude(open, outcome);
    }

    fn decline(&self, open: Box<Open>, frame: &Frame, why: &str) {
        let outcome = Outcome {
            request_tag: open.request.tags.request.clone(),
            handler: (frame.from.serial != 0).then_some(frame.from),
            ..Outcome::declined(frame.exchange, why.to_owned())
        };
        self.conclude(open, outcome);
    }

    /// In the journal a request is another one after each handler that had it: none is handled twice.
    fn begun_anew(&self, open: Box<Open>, frame: &Frame) -> Box<Open> {
        if open.told.is_none() || frame.from.serial == 0 {
            return open;
        }
        let answered = Outcome {
            status: Status::Reply,
            handler: Some(frame.from),
            ..Outcome::none(frame.exchange, NoReply::Timeout, Bytes::new())
        };
        self.ended(open.told, &answered);
        self.begun(open)
    }
}
