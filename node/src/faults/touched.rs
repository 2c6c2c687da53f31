//! What faults did to messages whose traces are sampled: a span for each message and fault, below the message's own, from when
//! it was held to when it was let go, pointing to the fault's.
//!
//! What does not live here: the faults' own spans (`spans`), and when a message is let go (whoever holds it).

use std::time::SystemTime;

use squall_kernel::frame::TraceContext;

use crate::telemetry::told::{SpanSink, Told};

/// Messages that faults hold, or have done something to at once: told when this is dropped. Without a sampled message, or an
/// exporter, it is nothing and costs nothing.
#[derive(Debug, Default)]
#[must_use = "the messages are told of as let go when this is dropped"]
pub(crate) struct Touched(Option<Box<Held>>);

#[derive(Debug)]
struct Held {
    sink: SpanSink,
    by: Vec<By>,
    messages: Vec<TraceContext>,
}

/// A fault, as the messages that it touches tell of it.
#[derive(Debug, Clone)]
pub(crate) struct By {
    pub(super) id: String,
    pub(super) kind: &'static str,
    /// What it does to them.
    pub(super) deed: &'static str,
    pub(super) link: Option<String>,
    /// Its span.
    pub(super) fault: TraceContext,
    /// Since when it touches them.
    pub(super) since: SystemTime,
}

impl Touched {
    pub(super) fn new(sink: &SpanSink, by: Vec<By>, messages: Vec<TraceContext>) -> Self {
        if by.is_empty() || messages.is_empty() {
            return Self::default();
        }
        Self(Some(Box::new(Held {
            sink: sink.clone(),
            by,
            messages,
        })))
    }

    /// They were in the faults' hands since then.
    pub(crate) fn since(mut self, since: SystemTime) -> Self {
        for by in self.0.iter_mut().flat_map(|held| &mut held.by) {
            by.since = since;
        }
        self
    }

    /// Lets go until then.
    pub(crate) fn until(mut self, until: SystemTime) {
        if let Some(held) = self.0.take() {
            held.tell(until);
        }
    }

    /// The faults that touch them are these now: what others did to them is over.
    pub(super) fn by_now(&mut self, now: Vec<By>) {
        let Some(held) = &mut self.0 else { return };
        let goes_on = |by: &By| now.iter().any(|other| other.fault == by.fault);
        let (stay, over): (Vec<By>, Vec<By>) = held.by.drain(..).partition(goes_on);
        held.by = over;
        held.tell(SystemTime::now());
        let is_new = |by: &By| stay.iter().all(|other| other.fault != by.fault);
        let new: Vec<By> = now.into_iter().filter(is_new).collect();
        held.by = stay;
        held.by.extend(new);
    }

    /// True where it holds a message: there is something to tell.
    pub(super) const fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            held.tell(SystemTime::now());
        }
    }
}

impl Held {
    fn tell(&self, until: SystemTime) {
        for by in &self.by {
            for message in &self.messages {
                self.sink.tell(by.span(*message).until(until));
            }
        }
    }
}

impl By {
    fn span(&self, message: TraceContext) -> Told {
        let told = Told::below(message, self.deed, self.since)
            .with("chaos.fault_id", self.id.clone())
            .with("chaos.fault", self.kind)
            .linked(self.fault);
        match &self.link {
            Some(link) => told.with("squall.link", link.clone()),
            None => told,
        }
    }
}
