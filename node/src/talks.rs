//! Deliveries at this node whose handlers send chunks or ask back: what their requesters send goes to them.
//!
//! What does not live here: the rules (`squall_kernel::talk`), the requesters' side (`router`), and sessions.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use squall_client::talk::{Carrier, Line};
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::reason::{NoReply, TalkFault};
use squall_kernel::talk::{TalkKey, stop};

use crate::data::{Change, DataContext};
use crate::wire::ReturnPath;

/// Takes what a requester sends to its handler. Nothing here waits.
pub(crate) trait TalkSink: Send + Sync {
    fn hear(&self, frame: Frame);
}

impl TalkSink for Line {
    fn hear(&self, frame: Frame) {
        Self::hear(self, &frame);
    }
}

/// Who listens: at most one for each delivery that has no answer yet.
#[derive(Default)]
pub(crate) struct Talks {
    open: Mutex<HashMap<TalkKey, Arc<dyn TalkSink>>>,
    any: AtomicUsize,
}

impl Talks {
    pub(crate) fn listen(&self, key: TalkKey, sink: Arc<dyn TalkSink>) {
        let mut open = self.lock();
        open.insert(key, sink);
        self.any.store(open.len(), Ordering::Relaxed);
    }

    pub(crate) fn forget(&self, key: TalkKey) {
        let mut open = self.lock();
        open.remove(&key);
        self.any.store(open.len(), Ordering::Relaxed);
    }

    /// Gives a frame to the handler it is for. False when that one has answered, or never spoke.
    pub(crate) fn hear(&self, frame: Frame) -> bool {
        let sink = self.lock().get(&TalkKey::to_handler(&frame)).cloned();
        let known = sink.is_some();
        if let Some(sink) = sink {
            sink.hear(frame);
        }
        known
    }

    /// Talks under way.
    pub(crate) fn count(&self) -> usize {
        self.any.load(Ordering::Relaxed)
    }

    /// The requesters of a lost node take nothing more.
    pub(crate) fn registry_changed(&self, change: &Change) {
        if change.lost.is_empty() || self.count() == 0 {
            return;
        }
        let open = self.lock();
        let gone: Vec<_> = open
            .iter()
            .filter(|(key, _)| change.is_lost(key.origin))
            .map(|(key, sink)| (*key, Arc::clone(sink)))
            .collect();
        drop(open);
        for (key, sink) in gone {
            sink.hear(stopped(key, NoReply::Interrupted, None));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TalkKey, Arc<dyn TalkSink>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a handler is told whose requester takes nothing more.
pub(crate) fn stopped(key: TalkKey, why: NoReply, fault: Option<TalkFault>) -> Frame {
    Frame {
        origin: key.origin,
        message: key.message,
        to: key.handler,
        ..stop(why, fault)
    }
}

/// A chunk or a question came back, or nobody knows what became of it: its handler stops, and its requester is told that
/// the response is interrupted.
pub(crate) fn broken_off(context: &DataContext, frame: &Frame) {
    if frame.status != Status::Reply {
        return;
    }
    context
        .talks
        .hear(stopped(TalkKey::from_handler(frame), NoReply::Interrupted, None));
    let back = ReturnPath {
        index: 0,
        count: 0,
        ..ReturnPath::of(frame)
    };
    context.wire.reply(back.none(frame.from, NoReply::Interrupted));
}

/// What a handler inside this node sends to its requester.
impl Carrier for DataContext {
    fn listen(&self, line: &Arc<Line>) {
        let sink: Arc<dyn TalkSink> = Arc::<Line>::clone(line);
        self.talks.listen(line.key(), sink);
    }

    fn forget(&self, key: TalkKey) {
        self.talks.forget(key);
    }

    fn carry(&self, frame: Frame) -> BoxFuture<'_, bool> {
        debug_assert!(
            matches!(frame.kind, Kind::Chunk | Kind::Ask),
            "all that a handler sends"
        );
        // The lane of the reply: chunks arrive before it.
        let sent = self.wire.frame(frame.origin, frame.message.0, frame);
        ready(sent.is_ok()).boxed()
    }
}
