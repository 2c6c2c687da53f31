//! The way from the connection to a handler. What does not live here: who attaches (`keeper`), who handles (`worker`).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind, Status, Tags};
use squall_kernel::id::{ClusterId, ExchangeId, NodeId, Pid};
use squall_kernel::message::{System, SystemMessage};
use squall_kernel::reason::DetachReason;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::leadership::Grants;
use crate::limits::NOTICE_QUEUE;
use crate::link::Generation;
use crate::state::Shared;

/// What reaches a handler's worker, in the order it came.
#[derive(Debug)]
pub(crate) enum Event {
    Attached {
        pid: Pid,
        exchange: ExchangeId,
        cluster: Option<ClusterId>,
    },
    Delivery(Taken),
    Notice(SystemMessage),
}

/// A delivery that waits for its turn or is being handled.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) generation: Generation,
    /// In a box: as long as it waits, it lies in a channel whose every place has room for one.
    pub(crate) frame: Box<Frame>,
    pub(crate) since: Instant,
    pub(crate) place: Arc<Place>,
}

/// Counts a delivery as long as it is not answered.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<Shared>,
    taken: Arc<Out>,
    freed: AtomicBool,
}

/// What is taken and not answered.
#[derive(Debug, Default)]
struct Out {
    count: AtomicU32,
    /// Takes no more.
    finishing: AtomicBool,
    idle: Notify,
}

impl Place {
    /// From here on another one may come: the node knows that this one has ended, and what it sends next is right behind.
    pub(crate) fn free(&self) {
        if self.freed.swap(true, Ordering::AcqRel) {
            return;
        }
        if self.taken.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.taken.idle.notify_one();
        }
        self.shared.delivery_ended();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.free();
    }
}

/// The way from the connection to a handler. Nothing here waits.
#[derive(Debug)]
pub(crate) struct Route {
    events: mpsc::Sender<Event>,
    lost: mpsc::Sender<(Generation, Loss)>,
    taken: Arc<Out>,
    credit: u32,
    grants: Arc<Grants>,
    me: Mutex<Option<Pid>>,
}

/// Why a handler must be attached again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// The node said so.
    Detached(DetachReason),
    /// A notice found no room: a fresh attachment is answered with the whole picture.
    NoticeDropped,
}

impl Route {
    /// A way to a handler with that credit, and its two ends: the worker's and the keeper's.
    pub(super) fn new(credit: u32) -> (Self, mpsc::Receiver<Event>, mpsc::Receiver<(Generation, Loss)>) {
        let (events, worker_end) = mpsc::channel(credit as usize + NOTICE_QUEUE);
        // One loss is as good as many: the keeper attaches again.
        let (lost, keeper_end) = mpsc::channel(1);
        (
            Self {
                events,
                lost,
                taken: Arc::default(),
                credit,
                grants: Arc::default(),
                me: Mutex::default(),
            },
            worker_end,
            keeper_end,
        )
    }

    pub(crate) fn attached(
        &self,
        generation: Generation,
        pid: Pid,
        exchange: ExchangeId,
        cluster: Option<ClusterId>,
    ) {
        *self.me.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid);
        if self
            .events
            .try_send(Event::Attached {
                pid,
                exchange,
                cluster,
            })
            .is_err()
        {
            self.lose(generation, Loss::NoticeDropped);
        }
    }

    /// What the handler's leadership is granted through.
    pub(crate) fn grants(&self) -> &Arc<Grants> {
        &self.grants
    }

    /// Takes a system message. Who leads counts from here on, however long the handler is busy.
    pub(crate) fn notice(&self, generation: Generation, message: SystemMessage) {
        if let System::Leader {
            leader, leader_epoch, ..
        } = message.what
        {
            let me = *self.me.lock().unwrap_or_else(PoisonError::into_inner);
            let leads = leader.is_some() && leader == me;
            self.grants.appointed(leads.then_some(leader_epoch));
        }
        if self.events.try_send(Event::Notice(message)).is_err() {
            self.lose(generation, Loss::NoticeDropped);
        }
    }

    pub(crate) fn detached(&self, generation: Generation, reason: DetachReason) {
        self.lose(generation, Loss::Detached(reason));
    }

    fn lose(&self, generation: Generation, loss: Loss) {
        // When there is no room, a loss is told already.
        let _told = self.lost.try_send((generation, loss));
    }

    /// Takes nothing more, and waits until all that was taken has ended.
    pub(super) async fn finish(&self) {
        self.taken.finishing.store(true, Ordering::Release);
        while self.taken.count.load(Ordering::Acquire) > 0 {
            self.taken.idle.notified().await;
        }
    }

    /// Takes a delivery in, or gives the frame back when the handler has no credit left.
    pub(crate) fn offer(
        &self,
        shared: &Arc<Shared>,
        generation: Generation,
        frame: Box<Frame>,
    ) -> Option<Box<Frame>> {
        let full = self.taken.count.load(Ordering::Acquire) >= self.credit;
        if full || self.taken.finishing.load(Ordering::Acquire) {
            return Some(frame);
        }
        self.taken.count.fetch_add(1, Ordering::AcqRel);
        shared.delivery_taken();
        let place = Place {
            shared: Arc::clone(shared),
            taken: Arc::clone(&self.taken),
            freed: AtomicBool::new(false),
        };
        let taken = Taken {
            generation,
            frame,
            since: Instant::now(),
            place: Arc::new(place),
        };
        match self.events.try_send(Event::Delivery(taken)) {
            Err(
                mpsc::error::TrySendError::Full(Event::Delivery(taken))
                | mpsc::error::TrySendError::Closed(Event::Delivery(taken)),
            ) => Some(taken.frame),
            Ok(()) | Err(_) => None,
        }
    }
}

/// The frame that answers a delivery.
pub(crate) fn answer(delivery: &Frame, node: NodeId, status: Status, payload: Bytes) -> Frame {
    Frame {
        status,
        exchange: delivery.exchange,
        epoch: delivery.epoch,
        leader_epoch: delivery.leader_epoch,
        message: delivery.message,
        origin: delivery.origin,
        to: delivery.from.serial,
        from: Pid {
            node,
            serial: delivery.to,
        },
        index: delivery.index,
        count: delivery.count,
        trace: delivery.trace,
        tags: Tags {
            request: delivery.tags.request.clone(),
            ..Tags::default()
        },
        payload,
        ..Frame::new(Kind::Reply)
    }
}
