//! The client of a Jaeger's query service: every few seconds the newest traces of its services, and at once the trace that
//! somebody looks at. `api_v3` where there is one, else the older API.
//!
//! What does not live here: the forms of the answers (`json`, `legacy`), and HTTP (`http`).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::http::{Base, HttpError};
use super::json::JsonError;
use super::source::{Outlet, Tally};
use super::span::{Span, TraceId};
use super::{json, legacy};
use crate::limits::{JAEGER_SERVICES_MAX, JAEGER_TRACES_MAX};
use crate::units::date_time;

/// Time between two rounds.
const EVERY: Duration = Duration::from_secs(5);
/// How far back the first round looks.
const BACK_MS: u64 = 3_600_000;
/// How far back the later ones look: spans come late.
const AGAIN_MS: u64 = 60_000;
/// Clocks differ: what is to come is asked for, too.
const AHEAD_MS: u64 = 60_000;

/// Which of its APIs it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    V3,
    Older,
}

/// Why a round brought nothing.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("it answers with status {0}")]
    Status(u16),
    #[error("it is no Jaeger: neither /api/v3/services nor /api/services answers")]
    NoJaeger,
}

/// The client.
pub(super) struct Client {
    base: Base,
    tally: Arc<Tally>,
    outlet: Outlet,
    api: Option<Api>,
    /// When the last round that went well began.
    asked_ms: Option<u64>,
}

impl Client {
    pub(super) fn new(base: Base, tally: Arc<Tally>, outlet: Outlet) -> Self {
        Self {
            base,
            tally,
            outlet,
            api: None,
            asked_ms: None,
        }
    }

    /// Asks until it is dropped, or nobody reads.
    pub(super) async fn run(mut self, mut wanted: watch::Receiver<Option<TraceId>>) {
        let mut rounds = interval(EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                _ = rounds.tick() => self.round().await,
                Ok(()) = wanted.changed() => {
                    let trace = *wanted.borrow_and_update();
                    self.one(trace).await
                }
            };
            match asked {
                Ok(true) => self.tally.say(None),
                Ok(false) => return,
                Err(error) => {
                    self.tally.say(Some(error.to_string()));
                    // It may be another one the next time.
                    self.api = None;
                }
            }
        }
    }

    /// The newest traces of all services; false when nobody reads.
    async fn round(&mut self) -> Result<bool, AskError> {
        let now_ms = now_ms();
        let (api, services) = self.services().await?;
        self.api = Some(api);
        let back = if self.asked_ms.is_some() {
            AGAIN_MS
        } else {
            BACK_MS
        };
        let from_ms = self.asked_ms.unwrap_or(now_ms).saturating_sub(back);
        for service in &services {
            let path = newest(api, service, from_ms, now_ms + AHEAD_MS);
            if !self.take(api, &path).await? {
                return Ok(false);
            }
        }
        self.asked_ms = Some(now_ms);
        self.tally.rounds.fetch_add(1, Relaxed);
        Ok(true)
    }

    async fn one(&mut self, trace: Option<TraceId>) -> Result<bool, AskError> {
        let (Some(trace), Some(api)) = (trace, self.api) else {
            return Ok(true);
        };
        let path = match api {
            Api::V3 => format!("/api/v3/traces/{trace}"),
            Api::Older => format!("/api/traces/{trace}"),
        };
        self.take(api, &path).await
    }

    async fn take(&self, api: Api, path: &str) -> Result<bool, AskError> {
        let (status, body) = self.base.get(path).await?;
        let spans: Vec<Span> = match (status, api) {
            // None is answered like this.
            (404, _) => return Ok(true),
            (200, Api::V3) => json::spans(&body)?,
            (200, Api::Older) => legacy::spans(&body)?,
            (other, _) => return Err(AskError::Status(other)),
        };
        self.tally.received.fetch_add(spans.len() as u64, Relaxed);
        Ok(self.outlet.hand_over(spans).await)
    }

    /// The services, and the API that knows them. A Jaeger without `api_v3` answers with a page, or not at all.
    async fn services(&self) -> Result<(Api, Vec<String>), AskError> {
        let ways = [
            (Api::V3, "/api/v3/services", "services"),
            (Api::Older, "/api/services", "data"),
        ];
        let known = ways
            .into_iter()
            .filter(|(api, ..)| self.api.is_none_or(|own| own == *api));
        for (api, path, field) in known {
            let (status, body) = self.base.get(path).await?;
            if status >= 500 {
                return Err(AskError::Status(status));
            }
            if let Some(names) = names(&body, field).filter(|_| status == 200) {
                return Ok((api, names));
            }
        }
        Err(AskError::NoJaeger)
    }
}

/// The names in a list, but for Jaeger's own; a list that is missing or null is empty.
fn names(body: &[u8], field: &str) -> Option<Vec<String>> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let list = match answer.as_object()?.get(field) {
        Some(Value::Array(list)) => list.as_slice(),
        Some(Value::Null) | None => &[],
        Some(_) => return None,
    };
    let names = list.iter().filter_map(Value::as_str);
    let others = names.filter(|name| !name.starts_with("jaeger"));
    Some(others.take(JAEGER_SERVICES_MAX).map(str::to_owned).collect())
}

fn newest(api: Api, service: &str, from_ms: u64, to_ms: u64) -> String {
    let service = escaped(service);
    match api {
        Api::V3 => format!(
            "/api/v3/traces?query.service_name={service}&query.start_time_min={}&query.start_time_max={}\
             &query.num_traces={JAEGER_TRACES_MAX}",
            escaped(&date_time(from_ms)),
            escaped(&date_time(to_ms)),
        ),
        Api::Older => format!(
            "/api/traces?service={service}&start={}&end={}&limit={JAEGER_TRACES_MAX}",
            from_ms * 1000,
            to_ms * 1000
        ),
    }
}

/// A text as it may stand in a query (RFC 3986, unreserved characters).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn now_ms() -> u64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    unix.as_millis() as u64
}

#[cfg(test)]
#[path = "jaeger_test.rs"]
mod tests;
