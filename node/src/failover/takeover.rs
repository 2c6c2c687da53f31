//! The root of a failover's tree, as the next owner tells it: from when the owner before was last heard of to when the first
//! handler knows of the next one.
//!
//! What does not live here: which exchanges have a new owner (`failover`), and who attaches (`exchanges`).

use std::time::SystemTime;

use squall_kernel::id::NodeName;
use squall_kernel::time::{Instant, Span};

use super::{Cause, Handover};
use crate::telemetry::told::{SpanSink, Told};

/// Handlers that attach later are not waited for any more: they are none of the failover's.
const ANNOUNCED_WITHIN: Span = Span::from_ms(5_000);

/// An exchange that this node has taken over; told when its first handler knows, or when that is waited for no longer.
#[derive(Debug)]
pub(crate) struct Takeover {
    sink: SpanSink,
    root: Option<Told>,
    owned: SystemTime,
    due: Instant,
}

impl Takeover {
    /// The node `me` has taken it over just now, at `now` by its clock; what led to it began at `began`.
    pub(crate) fn new(
        sink: &SpanSink,
        of: &Handover<'_>,
        me: &NodeName,
        began: SystemTime,
        now: Instant,
    ) -> Self {
        let name = &of.exchange.name;
        let called = match of.cause {
            Cause::Lost | Cause::Weak => format!("failover {name}"),
            Cause::Moved => format!("move {name}"),
        };
        let epoch = i64::try_from(of.exchange.epoch.0).unwrap_or(i64::MAX);
        let told = Told::root(of.root(), called, began)
            .with("squall.exchange", name.as_str().to_owned())
            .with("squall.epoch", epoch)
            .with("squall.owner", me.as_str().to_owned())
            .with(of.key(), super::run_of(of.before));
        let told = match of.cause {
            Cause::Lost => told.linked(of.loss()),
            Cause::Weak | Cause::Moved => told,
        };
        Self {
            sink: sink.clone(),
            root: Some(told),
            owned: SystemTime::now(),
            due: now + ANNOUNCED_WITHIN,
        }
    }

    /// When it is not to be waited for any longer.
    pub(crate) const fn due(&self) -> Instant {
        self.due
    }

    /// A handler knows of the next owner.
    pub(crate) fn announced(mut self) {
        let now = SystemTime::now();
        if let Some(root) = self.root.take() {
            let announce = Told::below(root.context, "announce", self.owned).until(now);
            self.sink.tell(announce);
            self.sink.tell(root.until(now));
        }
    }
}

/// Nobody attached: it ended when this node became the owner.
impl Drop for Takeover {
    fn drop(&mut self) {
        if let Some(root) = self.root.take() {
            self.sink.tell(root.until(self.owned));
        }
    }
}
