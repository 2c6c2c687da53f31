//! What the timeline has of handlers that panic, and of those that are detached for it or are done.

use super::{Attachment, Handlers};

impl Handlers {
    /// A handler has failed over a request; its words may come from outside.
    pub(crate) fn failed(&self, handler: &Attachment, words: &[u8]) {
        let words = String::from_utf8_lossy(words);
        self.panicked(handler.name().as_str(), handler.pid(), &words);
    }

    pub(super) fn panicked(&self, exchange: &str, pid: squall_kernel::id::Pid, words: &str) {
        let words: String = words.chars().flat_map(char::escape_debug).collect();
        let text = format!("handler {} panicked: {words}", self.context.pid_text(pid));
        let now = self.context.clock.now();
        self.context
            .exits
            .tell(now, "handler-panicked", exchange, &text, 0);
    }

    pub(super) fn exited(&self, handler: &Attachment, why: &str) {
        let text = format!(
            "handler {} is detached for good: {why}",
            self.context.pid_text(handler.pid())
        );
        let now = self.context.clock.now();
        let exchange = handler.name().as_str();
        self.context.exits.tell(now, "handler-exited", exchange, &text, 0);
    }
}
