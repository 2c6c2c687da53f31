//! One gRPC session: batches of actions in, batches of events out.
//!
//! What does not live here: what an action does (`acting`, `publishing`, `talking`, `tasks`), and how an event looks
//! (`telling`).

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use squall_kernel::frame::TraceContext;
use squall_proto::v1;
use squall_proto::v1::server_event::Event as Out;
use tonic::{Status, Streaming};

use super::Away;
use super::deliveries::Deliveries;
use super::outgoing::{Outgoing, too_slow};
use crate::data::DataPlane;
use crate::limits::SESSION_BATCH_MAX;
use crate::pubsub::SubscribeError;
use crate::router::Said;
use crate::session::{Event, Session};

/// Bytes of payload in one batch: it stays below the bound of a message with one more event of the largest size.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// A session, and what its client and this node call things by.
pub(super) struct Grpc {
    pub(super) plane: Arc<DataPlane>,
    pub(super) session: Session,
    out: Outgoing,
    pub(super) trace: Option<TraceContext>,
    /// Serials of handlers by the client's numbers, and the other way round.
    pub(super) serials: HashMap<u32, u64>,
    pub(super) numbers: HashMap<u64, u32>,
    pub(super) deliveries: Deliveries,
    /// Open submits by the client's ids, which it may use twice. Bounded by its open requests.
    pub(super) submits: HashMap<u64, u32>,
    /// Subscriptions that the nodes above have not taken in yet.
    pub(super) subscribing: FuturesUnordered<BoxFuture<'static, (u32, Result<String, SubscribeError>)>>,
}

impl Grpc {
    pub(super) fn new(
        plane: Arc<DataPlane>,
        session: Session,
        out: Outgoing,
        trace: Option<TraceContext>,
    ) -> Self {
        Self {
            plane,
            session,
            out,
            trace,
            serials: HashMap::new(),
            numbers: HashMap::new(),
            deliveries: Deliveries::default(),
            submits: HashMap::new(),
            subscribing: FuturesUnordered::new(),
        }
    }

    pub(super) async fn run(
        mut self,
        mut actions: Streaming<v1::ClientBatch>,
        first: Vec<v1::ClientAction>,
        mut away: Away,
    ) -> Result<(), Status> {
        let opened = v1::Opened {
            pid: self.plane.context.pid_text(self.session.pid()),
            node: self.plane.context.name.as_str().to_owned(),
        };
        let mut events = vec![event(Out::Opened(opened))];
        self.actions(first, &mut events)?;
        self.send(events, 0).await?;
        loop {
            let (mut events, mut bytes) = (Vec::new(), 0);
            tokio::select! {
                batch = actions.message() => match batch? {
                    Some(batch) => self.actions(batch.actions, &mut events)?,
                    None => return Ok(()),
                },
                next = self.session.next() => match next {
                    Some(next) => bytes = self.events(next, &mut events),
                    None => return Err(too_slow()),
                },
                Some((number, answer)) = self.subscribing.next() => events.push(self.subscribed(number, answer)),
                why = away.next() => {
                    events.push(event(Out::GoElsewhere(v1::GoElsewhere { why: why.into() })));
                }
            }
            self.send(events, bytes).await?;
        }
    }

    async fn send(&mut self, events: Vec<v1::ServerEvent>, bytes: usize) -> Result<(), Status> {
        if events.is_empty() {
            return Ok(());
        }
        self.out.send(v1::ServerBatch { events }, bytes).await
    }

    /// Takes what is there, up to a batch: the bytes of payload in it.
    fn events(&mut self, first: Event, out: &mut Vec<v1::ServerEvent>) -> usize {
        let mut next = Some(first);
        let mut bytes = 0;
        while let Some(taken) = next {
            if let Event::Deliver(frame) = &taken {
                bytes += frame.payload.len();
            } else if let Event::Outcome { outcome, .. } = &taken {
                bytes += outcome.payload.len();
            } else if let Event::Published { event, .. } = &taken {
                bytes += event.published.payload.len();
            } else if let Event::Said {
                said: Said::Chunk { payload, .. } | Said::Question { payload, .. },
                ..
            } = &taken
            {
                bytes += payload.len();
            }
            out.extend(self.event(taken));
            next = (out.len() < SESSION_BATCH_MAX && bytes < BATCH_BYTES_MAX)
                .then(|| self.session.try_next())
                .flatten();
        }
        bytes
    }
}

pub(super) fn event(event: Out) -> v1::ServerEvent {
    v1::ServerEvent { event: Some(event) }
}

pub(super) fn refused(handler: u32, reason: String) -> v1::ServerEvent {
    event(Out::Refused(v1::Refused {
        handler,
        reason,
        ..v1::Refused::default()
    }))
}
