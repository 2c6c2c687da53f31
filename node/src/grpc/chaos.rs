//! The chaos service: faults on this node, each for a limited time, each on record. What does not live here: the
//! fault table (the kernel's), and what faults do to bytes, to the node and to messages (those who ask the table).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use squall_kernel::fault::{Fault, FaultError, FaultKind, TTL_DEFAULT, TTL_MAX};
use squall_kernel::id::NodeName;
use squall_kernel::time::{Instant, Span};
use squall_proto::v1;
use squall_proto::v1::Severity;
use squall_proto::v1::chaos_server::Chaos;
use tokio::task::AbortHandle;
use tonic::{Request, Response, Status};

use super::status::CallError;
use crate::breaches::{BREACH_TEXT_BYTES_MAX, Breaches, Invariant, NoInvariant};
use crate::faults::FaultLock;
use crate::introspect::{EventLog, Sources};

mod asked;

use asked::kind_of;

/// The node's faults, as the transport holds them.
pub trait FaultPlane: Send + Sync + 'static {
    /// The clock that `Fault::ends` is on.
    fn now(&self) -> Instant;
    /// Sets a fault, in place of the one with the same id; with an empty id the node chooses one. Returns the id.
    ///
    /// # Errors
    /// [`FaultError`]; nothing has changed then.
    fn set(&self, id: &str, kind: FaultKind, ttl: Span, by: &str) -> Result<String, FaultError>;
    /// Ends a fault; false when it is not there.
    fn clear(&self, id: &str) -> bool;
    /// Ends all; returns how many there were.
    fn halt(&self) -> usize;
    /// Those in force.
    fn list(&self) -> Vec<Fault>;
    /// No new ones are to be taken until [`Self::unlock`].
    fn lock(&self, lock: FaultLock);
    /// New ones are to be taken again; returns what had locked.
    fn unlock(&self) -> Option<FaultLock>;
    /// What has locked, while it does.
    fn locked(&self) -> Option<FaultLock>;
}

/// The service. Without a fault plane every call is answered with UNIMPLEMENTED.
pub struct ChaosService<S> {
    inner: Option<Arc<Inner<S>>>,
}

/// Name of the request's metadata that carries the chaos key, as bytes.
pub const CHAOS_KEY_METADATA: &str = "squall-chaos-key-bin";

struct Inner<S> {
    /// What whoever sets faults must show, if anything.
    key: Option<Vec<u8>>,
    plane: Arc<dyn FaultPlane>,
    sources: Arc<S>,
    events: Arc<EventLog>,
    breaches: Arc<Breaches>,
    /// Faults whose end is not on record yet, by id.
    open: Mutex<BTreeMap<String, Open>>,
}

struct Open {
    what: String,
    _timer: Timer,
}

/// A task that ends with its fault, so that there are never more of them than faults.
struct Timer(AbortHandle);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<S: Sources> ChaosService<S> {
    /// A service over `plane`, none when the node was started without `--chaos`; for whoever shows `key`, if there is one. What it
    /// is told of broken invariants is counted in `breaches`.
    #[must_use]
    pub fn new(
        plane: Option<Arc<dyn FaultPlane>>,
        key: Option<Vec<u8>>,
        sources: Arc<S>,
        events: Arc<EventLog>,
        breaches: Arc<Breaches>,
    ) -> Self {
        let inner = |plane| {
            Arc::new(Inner {
                key,
                plane,
                sources,
                events,
                breaches,
                open: Mutex::default(),
            })
        };
        Self {
            inner: plane.map(inner),
        }
    }

    fn on(&self) -> Result<&Arc<Inner<S>>, CallError> {
        self.inner.as_ref().ok_or(CallError::NoChaos)
    }

    /// For calls that change something: those who may look are more.
    fn allowed<T>(&self, request: &Request<T>) -> Result<&Arc<Inner<S>>, CallError> {
        let inner = self.on()?;
        let Some(key) = &inner.key else {
            return Ok(inner);
        };
        let shown = request.metadata().get_bin(CHAOS_KEY_METADATA);
        let shown = shown.and_then(|value| value.to_bytes().ok());
        match shown {
            Some(shown) if same(key, &shown) => Ok(inner),
            _ => Err(CallError::NoKey),
        }
    }
}

#[tonic::async_trait]
impl<S: Sources> Chaos for ChaosService<S> {
    async fn set_fault(
        &self,
        request: Request<v1::SetFaultRequest>,
    ) -> Result<Response<v1::SetFaultResponse>, Status> {
        let inner = self.allowed(&request)?;
        let asked = request.into_inner();
        inner.check_unlocked()?;
        let kind = kind_of(asked.fault.as_ref())?;
        inner.check(&kind)?;
        let ttl = match asked.ttl_ms {
            0 => TTL_DEFAULT,
            ms if ms > TTL_MAX.as_ms() => {
                let reason = format!("{ms} ms, at most {} ms (one hour) are allowed", TTL_MAX.as_ms());
                return Err(CallError::Invalid {
                    field: "ttl_ms",
                    reason,
                }
                .into());
            }
            ms => Span::from_ms(ms),
        };
        check_text("id", &asked.id)?;
        check_text("by", &asked.by)?;
        let id = inner
            .plane
            .set(&asked.id, kind, ttl, &asked.by)
            .map_err(CallError::from)?;
        let fault = inner.set_on_record(&id, end_on_record_later(inner, id.clone(), ttl));
        Ok(Response::new(v1::SetFaultResponse { fault }))
    }

    async fn clear_fault(
        &self,
        request: Request<v1::ClearFaultRequest>,
    ) -> Result<Response<v1::ClearFaultResponse>, Status> {
        let inner = self.allowed(&request)?;
        let id = request.into_inner().id;
        if !inner.plane.clear(&id) {
            let name = id.chars().take(64).flat_map(char::escape_debug).collect();
            return Err(CallError::NotFound {
                what: "active fault",
                name,
            }
            .into());
        }
        if let Some(open) = inner.open().remove(&id) {
            inner.record(
                "fault-cleared",
                &id,
                &format!("cleared: {}", open.what),
                Severity::Info,
            );
        }
        Ok(Response::new(v1::ClearFaultResponse {}))
    }

    async fn list_faults(
        &self,
        _: Request<v1::ListFaultsRequest>,
    ) -> Result<Response<v1::ListFaultsResponse>, Status> {
        let inner = self.on()?;
        let faults = inner.plane.list().iter().map(|fault| inner.info(fault)).collect();
        let lock = inner
            .plane
            .locked()
            .map(|FaultLock { by, reason }| v1::ChaosLock { by, reason });
        Ok(Response::new(v1::ListFaultsResponse { faults, lock }))
    }

    async fn unlock(
        &self,
        request: Request<v1::UnlockRequest>,
    ) -> Result<Response<v1::UnlockResponse>, Status> {
        let inner = self.allowed(&request)?;
        let asked = request.into_inner();
        check_text("by", &asked.by)?;
        check_text("reason", &asked.reason)?;
        if asked.reason.trim().is_empty() {
            return Err(CallError::Invalid {
                field: "reason",
                reason: "say why new faults are taken again".into(),
            }
            .into());
        }
        let was_locked = inner.plane.unlock().is_some();
        if was_locked {
            let text = format!(
                "new faults are taken again, by {}: {}",
                someone(&asked.by),
                asked.reason
            );
            inner.record(
                "fault-unlock",
                inner.sources.node().as_str(),
                &text,
                Severity::Notice,
            );
        }
        Ok(Response::new(v1::UnlockResponse { was_locked }))
    }

    async fn halt(&self, request: Request<v1::HaltRequest>) -> Result<Response<v1::HaltResponse>, Status> {
        let inner = self.allowed(&request)?;
        let asked = request.into_inner();
        check_text("by", &asked.by)?;
        check_text("reason", &asked.reason)?;
        if asked.lock {
            // Before the faults end: none comes in between.
            inner.plane.lock(FaultLock {
                by: asked.by.clone(),
                reason: asked.reason.clone(),
            });
        }
        let cleared = inner.plane.halt();
        inner.open().clear();
        let locked = if asked.lock {
            ", no new ones until unlocked"
        } else {
            ""
        };
        let text = format!("{cleared} faults cleared by {}{locked}", someone(&asked.by));
        inner.record(
            "fault-halt",
            inner.sources.node().as_str(),
            &text,
            Severity::Notice,
        );
        Ok(Response::new(v1::HaltResponse {
            cleared: u32::try_from(cleared).unwrap_or(u32::MAX),
        }))
    }

    async fn report_breach(
        &self,
        request: Request<v1::ReportBreachRequest>,
    ) -> Result<Response<v1::ReportBreachResponse>, Status> {
        let inner = self.allowed(&request)?;
        let told = request.into_inner();
        let invariant: Invariant = told.invariant.parse().map_err(|error: NoInvariant| {
            let reason = error.to_string();
            CallError::Invalid {
                field: "invariant",
                reason,
            }
        })?;
        check_text("text", &told.text)?;
        if told.text.len() > BREACH_TEXT_BYTES_MAX {
            let reason = format!(
                "{} bytes, at most {BREACH_TEXT_BYTES_MAX} are taken",
                told.text.len()
            );
            return Err(CallError::Invalid {
                field: "text",
                reason,
            }
            .into());
        }
        inner.breaches.count(invariant);
        inner.record(
            "invariant-broken",
            &invariant.to_string(),
            &told.text,
            Severity::Alert,
        );
        Ok(Response::new(v1::ReportBreachResponse {}))
    }
}

impl<S: Sources> Inner<S> {
    fn check_unlocked(&self) -> Result<(), CallError> {
        match self.plane.locked() {
            None => Ok(()),
            Some(lock) => Err(CallError::Locked {
                by: someone(&lock.by).to_owned(),
                reason: lock.reason,
            }),
        }
    }

    /// What the fault is on is there.
    fn check(&self, kind: &FaultKind) -> Result<(), CallError> {
        kind.to().map_or(Ok(()), |peer| self.check_peer(peer))?;
        match kind.exchange() {
            Some(name) if self.sources.figures(name).is_none() => Err(CallError::NotFound {
                what: "exchange",
                name: name.to_string(),
            }),
            _ => Ok(()),
        }
    }

    fn check_peer(&self, peer: &NodeName) -> Result<(), CallError> {
        if peer == self.sources.node() {
            let reason = format!("'{peer}' is this node itself; a fault acts on the way to another");
            return Err(CallError::Invalid { field: "to", reason });
        }
        if self
            .sources
            .hello()
            .members
            .iter()
            .any(|m| m.name == peer.as_str())
        {
            return Ok(());
        }
        Err(CallError::NotFound {
            what: "node",
            name: peer.to_string(),
        })
    }

    /// Puts a fault that was just set on record and returns it as it is now.
    fn set_on_record(&self, id: &str, timer: Timer) -> Option<v1::FaultInfo> {
        let fault = self.plane.list().into_iter().find(|f| f.id == id)?;
        let info = self.info(&fault);
        let open = Open {
            what: info.what.clone(),
            _timer: timer,
        };
        self.open().insert(id.to_owned(), open);
        let by = someone(&fault.by);
        // Some of it is over by now.
        let seconds = info.left_ms.div_ceil(100) as f64 / 10.0;
        let text = format!("{} for {seconds} s, asked for by {by}", info.what);
        self.record("fault-set", id, &text, Severity::Notice);
        Some(info)
    }

    /// Puts the end of a fault on record, unless it was cleared, or replaced by one that goes on.
    fn end_on_record(&self, id: &str) {
        let goes_on = self.plane.list().iter().any(|fault| fault.id == id);
        let ended = if goes_on { None } else { self.open().remove(id) };
        if let Some(fault) = ended {
            self.record(
                "fault-ended",
                id,
                &format!("ended by itself: {}", fault.what),
                Severity::Info,
            );
        }
    }

    fn record(&self, kind: &'static str, id: &str, text: &str, severity: Severity) {
        self.events.record(kind, id, text, severity, 0);
    }

    fn info(&self, fault: &Fault) -> v1::FaultInfo {
        let node = self.sources.node();
        v1::FaultInfo {
            id: fault.id.clone(),
            node: node.to_string(),
            what: what(node, &fault.kind),
            left_ms: fault.ends.since(self.plane.now()).as_ms(),
            by: fault.by.clone(),
            touched: fault.touched,
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Open>> {
        // Every change of the map is one call: a panic leaves it whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fault in words, as rows and events show it: `delay a -> b 200ms ±50ms`.
#[must_use]
pub fn what(node: &NodeName, kind: &FaultKind) -> String {
    match kind {
        FaultKind::Link { to, what } => {
            let text = format!("{} {node} -> {to} {}", what.word(), what.amount());
            text.trim_end().to_owned()
        }
        FaultKind::Clock(what) => format!("clock of {node} {what}"),
        FaultKind::Disk(what) => format!("disk of {node} {what}"),
        FaultKind::Burn { threads: 1 } => format!("burn {node} 1 thread"),
        FaultKind::Burn { threads } => format!("burn {node} {threads} threads"),
        FaultKind::Process { exchange, what } => format!("handlers of {exchange} on {node} {what}"),
        FaultKind::Message { .. } => kind.to_string(),
    }
}

/// Puts the end on record when it is due.
fn end_on_record_later<S: Sources>(inner: &Arc<Inner<S>>, id: String, ttl: Span) -> Timer {
    let inner = Arc::downgrade(inner);
    let task = tokio::spawn(async move {
        // A little later than the fault ends, so that it is over by then whatever the timers' grain.
        tokio::time::sleep(Duration::from_micros(ttl.0) + Duration::from_millis(5)).await;
        if let Some(inner) = inner.upgrade() {
            inner.end_on_record(&id);
        }
    });
    Timer(task.abort_handle())
}

/// Takes as long whichever byte differs.
fn same(key: &[u8], shown: &[u8]) -> bool {
    let differs = key.iter().zip(shown).fold(0, |sum, (a, b)| sum | (a ^ b));
    key.len() == shown.len() && differs == 0
}

fn someone(by: &str) -> &str {
    if by.is_empty() { "somebody" } else { by }
}

/// Ids and authors are shown on terminals.
fn check_text(field: &'static str, text: &str) -> Result<(), CallError> {
    match text.chars().find(|c| c.is_control()) {
        Some(found) => Err(CallError::Invalid {
            field,
            reason: format!("control character {found:?}"),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "chaos_test.rs"]
mod tests;
