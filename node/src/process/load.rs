//! Bytes that wait in a mailbox whose messages differ in size by a million times: its bound on their number alone would be
//! none on memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::MAILBOX_BYTES_MAX;

/// Bytes of payloads that wait.
#[derive(Debug, Default)]
pub(crate) struct Load(AtomicUsize);

impl Load {
    /// Counts a message in; false where it does not fit. One message always does.
    pub(crate) fn put(&self, bytes: usize) -> bool {
        let with = |waiting: usize| {
            let sum = waiting.saturating_add(bytes);
            (waiting == 0 || sum <= MAILBOX_BYTES_MAX).then_some(sum)
        };
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, with)
            .is_ok()
    }

    /// Counts a message out that was counted in.
    pub(crate) fn take(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_bounded_and_one_message_always_fits() {
        let load = Load::default();
        assert!(load.put(MAILBOX_BYTES_MAX + 1), "alone");
        assert!(!load.put(1));
        load.take(MAILBOX_BYTES_MAX + 1);
        assert!(load.put(MAILBOX_BYTES_MAX - 1) && load.put(1) && !load.put(1));
    }
}
