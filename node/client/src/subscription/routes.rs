//! The ways from the connection to subscribers, by the number that the client gave them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::state::ByNumber;
use squall_kernel::frame::Frame;
use tokio::sync::mpsc;

use crate::error::Ended;
use crate::link::Generation;

/// An event, and the connection that brought it.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) generation: Generation,
    /// In a box: the channel to a subscriber that waits has room for many.
    pub(super) frame: Box<Frame>,
}

/// The way to one subscriber. Nothing here waits.
#[derive(Debug)]
pub(super) struct Route {
    events: mpsc::Sender<Taken>,
    ended: mpsc::Sender<(Generation, Ended)>,
}

impl Route {
    pub(super) fn new(credit: u32) -> (Self, mpsc::Receiver<Taken>, mpsc::Receiver<(Generation, Ended)>) {
        // What the connection before brought may still be unread.
        let (events, read) = mpsc::channel(2 * credit as usize);
        let (ended, over) = mpsc::channel(1);
        (Self { events, ended }, read, over)
    }
}

/// All subscribers of a client.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    routes: ByNumber<u64, Route>,
}

impl Subscribers {
    /// Enters a subscriber and gives its number.
    pub(super) fn enter(&self, route: Route) -> u64 {
        let mut state = self.lock();
        state.last += 1;
        let id = state.last;
        state.routes.insert(id, route);
        id
    }

    pub(super) fn leave(&self, id: u64) {
        self.lock().routes.remove(&id);
    }

    /// Hands an event over. A node that sends more than the subscriber's credit loses it.
    pub(crate) fn event(&self, generation: Generation, frame: Frame) {
        let id = frame.to;
        if let Some(route) = self.lock().routes.get(&id) {
            let frame = Box::new(frame);
            let taken = Taken { generation, frame };
            if route.events.try_send(taken).is_err() {
                tracing::warn!(subscriber = id, "more events than the subscriber takes");
            }
        }
    }

    /// The node has ended a subscriber.
    pub(crate) fn ended(&self, generation: Generation, id: u64, why: Ended) {
        if let Some(route) = self.lock().routes.get(&id) {
            // It is told already.
            let _told = route.ended.try_send((generation, why));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
