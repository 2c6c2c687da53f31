//! The introspection service: `Hello`, `Watch`, `Events`, `Detail`. Streams are pulled by the connection: while a reader takes
//! nothing, nothing is computed and nothing queues, and the next thing it gets is the newest. What does not live
//! here: rows and deltas (see `introspect`).

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, stream};
use squall_proto::v1;
use squall_proto::v1::introspection_server::Introspection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;
use tonic::{Request, Response, Status, Streaming};

use super::detail::{self, DetailStream};
use super::status::CallError;
use super::watcher::Watcher;
use super::{closed, limits};
use crate::introspect::{EventLog, Sources, Wake};

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service.
#[derive(Debug)]
pub struct IntrospectionService<S> {
    sources: Arc<S>,
    events: Arc<EventLog>,
    wake: Wake,
    closing: watch::Receiver<bool>,
    places: Arc<Semaphore>,
    details: Arc<Semaphore>,
}

impl<S: Sources> IntrospectionService<S> {
    /// A service that ends its streams when `closing` turns true.
    #[must_use]
    pub fn new(sources: Arc<S>, events: Arc<EventLog>, wake: Wake, closing: watch::Receiver<bool>) -> Self {
        Self {
            sources,
            events,
            wake,
            closing,
            places: Arc::new(Semaphore::new(limits::WATCHERS_MAX)),
            details: Arc::new(Semaphore::new(limits::DETAILS_MAX)),
        }
    }
}

fn place(among: &Arc<Semaphore>, max: usize) -> Result<OwnedSemaphorePermit, CallError> {
    let place = Arc::clone(among).try_acquire_owned();
    place.map_err(|_| CallError::TooManyWatchers { max })
}

#[tonic::async_trait]
impl<S: Sources> Introspection for IntrospectionService<S> {
    type WatchStream = BoxStream<v1::Frame>;
    type EventsStream = BoxStream<v1::EventBatch>;
    type DetailStream = BoxStream<v1::DetailFrame>;

    async fn hello(&self, request: Request<v1::HelloRequest>) -> Result<Response<v1::HelloResponse>, Status> {
        tracing::debug!(version = %request.get_ref().client_version.escape_debug(), "hello from a watcher");
        Ok(Response::new(self.sources.hello()))
    }

    async fn watch(
        &self,
        request: Request<Streaming<v1::Interest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let place = place(&self.places, limits::WATCHERS_MAX)?;
        let (sources, inbound) = (Arc::clone(&self.sources), request.into_inner());
        let watcher = Watcher::new(sources, inbound, &self.wake, self.closing.clone());
        let frames = stream::unfold((watcher, place), |(mut watcher, place)| async move {
            let frame = watcher.next().await?;
            Some((frame, (watcher, place)))
        });
        Ok(Response::new(Box::pin(frames)))
    }

    async fn events(
        &self,
        request: Request<v1::EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        let asked = request.into_inner();
        let incarnation = self.events.incarnation().0;
        let place = place(&self.places, limits::WATCHERS_MAX)?;
        let from = if asked.incarnation == incarnation {
            asked.from_seq
        } else {
            0
        };
        let reader = EventReader::new(&self.events, from, self.closing.clone());
        let batches = stream::unfold((reader, place), |(mut reader, place)| async move {
            let batch = reader.next().await?;
            Some((Ok(batch), (reader, place)))
        });
        Ok(Response::new(Box::pin(batches)))
    }

    async fn detail(
        &self,
        request: Request<v1::DetailRequest>,
    ) -> Result<Response<Self::DetailStream>, Status> {
        let entity = detail::entity(request.into_inner())?;
        let place = place(&self.details, limits::DETAILS_MAX)?;
        let watch = self.sources.detail(&entity).map_err(CallError::from)?;
        let detail = DetailStream::new(watch, self.sources.calendar().clone(), self.closing.clone());
        let frames = stream::unfold((detail, place), |(mut detail, place)| async move {
            let frame = detail.next().await?;
            Some((frame, (detail, place)))
        });
        Ok(Response::new(Box::pin(frames)))
    }
}

/// One `Events` stream.
struct EventReader {
    events: Arc<EventLog>,
    last: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    next: u64,
    /// Nothing was sent yet: the first batch goes at once, so that the reader learns the incarnation.
    fresh: bool,
}

impl EventReader {
    fn new(events: &Arc<EventLog>, from: u64, closing: watch::Receiver<bool>) -> Self {
        Self {
            events: Arc::clone(events),
            last: events.watch(),
            closing,
            next: from,
            fresh: true,
        }
    }

    async fn next(&mut self) -> Option<v1::EventBatch> {
        loop {
            self.last.mark_unchanged();
            let batch = self.events.read(self.next);
            self.next = batch.next;
            if !batch.events.is_empty() || std::mem::take(&mut self.fresh) {
                self.fresh = false;
                return Some(self.wire(batch.events, batch.lost));
            }
            tokio::select! {
                biased;
                () = closed(&mut self.closing) => return None,
                changed = self.last.changed() => changed.ok()?,
                () = sleep(limits::EVENTS_SILENCE_MAX) => return Some(self.wire(Vec::new(), 0)),
            }
        }
    }

    fn wire(&self, events: Vec<v1::Event>, lost: u64) -> v1::EventBatch {
        v1::EventBatch {
            events,
            lost,
            incarnation: self.events.incarnation().0,
        }
    }
}

#[cfg(test)]
#[path = "introspection_test.rs"]
mod tests;
