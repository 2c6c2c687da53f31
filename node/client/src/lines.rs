//! Which delivery has a line to its requester, on the connection that stands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use squall_kernel::frame::Frame;
use squall_kernel::reason::TalkFault;
use squall_kernel::talk::TalkKey;

use crate::link::Generation;
use crate::state::{Outgoing, Shared};
use crate::talk::{Carrier, Line};

/// Lines that are in use: at most one for each delivery that is being handled.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<HashMap<TalkKey, Arc<Line>>>);

impl Lines {
    /// Gives a frame to the line it is for; one for a delivery that was answered is too late.
    pub(crate) fn hear(&self, frame: &Frame) {
        let line = self.lock().get(&TalkKey::to_handler(frame)).cloned();
        if let Some(line) = line {
            line.hear(frame);
        }
    }

    /// The connection is gone, and with it all requests that came through it.
    pub(crate) fn close_all(&self) {
        let lines = std::mem::take(&mut *self.lock());
        for line in lines.into_values() {
            line.close(TalkFault::Over);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TalkKey, Arc<Line>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries the frames of a handler over one connection.
pub(crate) struct Connected {
    shared: Arc<Shared>,
    generation: Generation,
}

impl Connected {
    pub(crate) fn new(shared: &Arc<Shared>, generation: Generation) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            generation,
        })
    }
}

impl Carrier for Connected {
    fn listen(&self, line: &Arc<Line>) {
        self.shared.lines.lock().insert(line.key(), Arc::clone(line));
        // A connection that broke before this can no longer end it.
        if !self.shared.is_live(self.generation) {
            line.close(TalkFault::Over);
        }
    }

    fn forget(&self, key: TalkKey) {
        self.shared.lines.lock().remove(&key);
    }

    fn carry(&self, frame: Frame) -> BoxFuture<'_, bool> {
        let generation = self.generation;
        let sent = async move {
            let queued = self.shared.outbound.send(Outgoing::bound(generation, frame));
            queued.await.is_ok() && self.shared.is_live(generation)
        };
        sent.boxed()
    }
}
