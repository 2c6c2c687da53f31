//! One `Detail` stream: a frame when the connection asks for one, at most twice a second. A reader that takes nothing costs no
//! looks, and gets the newest values when it takes again.
//!
//! What does not live here: gRPC's service trait, and what a frame shows (`sources::detail`).

use std::time::Instant;

use prost::Message as _;
use squall_kernel::id::ExchangeName;
use squall_proto::v1;
use squall_proto::v1::detail_frame::Body;
use squall_proto::v1::detail_request::Entity as Asked;
use tokio::sync::watch;
use tokio::time::sleep_until;
use tonic::Status;

use super::closed;
use super::status::CallError;
use crate::calendar::Calendar;
use crate::introspect::limits::{DETAIL_INTERVAL, DETAIL_SECOND, ENTITY_BYTES_MAX};
use crate::introspect::{Detail, Entity, Look};

/// Bytes in front of every message on a gRPC stream.
const MESSAGE_HEAD_BYTES: u64 = 5;

/// What is asked for.
///
/// # Errors
/// When it names nothing, or what can be no name; the name itself is not repeated where it is too long.
pub(super) fn entity(request: v1::DetailRequest) -> Result<Entity, CallError> {
    let invalid = |field, reason: String| CallError::Invalid { field, reason };
    let asked = request
        .entity
        .ok_or_else(|| invalid("entity", "an exchange or a process is needed".into()))?;
    let (field, text) = match &asked {
        Asked::Exchange(name) => ("exchange", name),
        Asked::Process(pid) => ("process", pid),
    };
    if text.len() > ENTITY_BYTES_MAX {
        let len = text.len();
        return Err(invalid(
            field,
            format!("it has at most {ENTITY_BYTES_MAX} bytes, this one has {len}"),
        ));
    }
    match &asked {
        Asked::Exchange(name) => ExchangeName::new(name.as_str())
            .map(Entity::Exchange)
            .map_err(|error| invalid(field, error.to_string())),
        Asked::Process(pid) => Ok(Entity::Process(pid.clone())),
    }
}

/// One `Detail` stream.
pub(super) struct DetailStream {
    /// None once the entity has ended.
    watch: Option<Box<dyn Detail>>,
    calendar: Calendar,
    closing: watch::Receiver<bool>,
    seq: u64,
    /// Not before that time.
    next: Option<Instant>,
    /// What is said at the end, after the last frame.
    ended: Option<String>,
    cost: v1::Cost,
}

impl DetailStream {
    pub(super) fn new(watch: Box<dyn Detail>, calendar: Calendar, closing: watch::Receiver<bool>) -> Self {
        Self {
            watch: Some(watch),
            calendar,
            closing,
            seq: 0,
            next: None,
            ended: None,
            cost: v1::Cost::default(),
        }
    }

    /// The next frame; an error after the last one of an entity that has ended, and then nothing.
    pub(super) async fn next(&mut self) -> Option<Result<v1::DetailFrame, Status>> {
        if let Some(why) = self.ended.take() {
            return Some(Err(CallError::Ended(why).into()));
        }
        self.watch.as_ref()?;
        if let Some(next) = self.next {
            tokio::select! {
                biased;
                () = closed(&mut self.closing) => return None,
                () = sleep_until(next.into()) => {}
            }
        }
        let (begun, now) = (Instant::now(), tokio::time::Instant::now().into_std());
        if let Some(late) = self.next.map(|next| now.saturating_duration_since(next)) {
            let missed = late.as_millis() / DETAIL_INTERVAL.as_millis();
            self.cost.coalesced += u64::try_from(missed).unwrap_or(u64::MAX);
        }
        let pause = if self.seq == 0 {
            DETAIL_SECOND
        } else {
            DETAIL_INTERVAL
        };
        self.next = Some(now + pause);
        let look = self.watch.as_mut()?.look();
        Some(Ok(self.frame(look, begun)))
    }

    fn frame(&mut self, look: Look, begun: Instant) -> v1::DetailFrame {
        let body = match look {
            Look::Exchange(detail) => Body::Exchange(*detail),
            Look::Process(detail) => Body::Process(*detail),
            Look::Ended(why) => {
                (self.watch, self.ended) = (None, Some(why.clone()));
                Body::Ended(v1::EntityEnded { why })
            }
        };
        self.seq += 1;
        let mut frame = v1::DetailFrame {
            seq: self.seq,
            taken_unix_ms: self.calendar.unix_ms(),
            body: Some(body),
            cost: Some(self.cost),
        };
        self.cost.bytes += frame.encoded_len() as u64 + MESSAGE_HEAD_BYTES;
        self.cost.busy_us += u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        frame.cost = Some(self.cost);
        frame
    }
}

#[cfg(test)]
#[path = "detail_test.rs"]
mod tests;
