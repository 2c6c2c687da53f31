//! A client's end of a node's gRPC session, as one in any language would have it: actions in batches one way, events the other. As
//! requester, and as handlers that echo. What does not live here: the loops that ask, and the process the handlers are in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event;
use squall_proto::v1::session_client::SessionClient;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};

use super::asker::{Asker, NOT_ITS_OWN, payload};
use super::{EXCHANGE, HANDLERS};
use crate::bench::BenchError;

/// Actions that wait to be sent; whoever has more waits.
const ACTIONS: usize = 1024;
/// Actions that travel together at most.
const BATCH: usize = 128;

/// Both ways of a session that is open.
struct Ways {
    actions: mpsc::Sender<Action>,
    events: Streaming<v1::ServerBatch>,
}

impl Ways {
    async fn open(address: &str) -> Result<Self, BenchError> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.map_err(|error| unsound(&error))?.tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(|error| unsound(&error))?;
        let (actions, waiting) = mpsc::channel(ACTIONS);
        let open = v1::OpenSession {
            name: EXCHANGE.into(),
        };
        actions.try_send(Action::Open(open)).expect("it is empty");
        let batches = ReceiverStream::new(waiting).ready_chunks(BATCH).map(batch);
        let events = SessionClient::new(channel).open(batches).await;
        Ok(Self {
            actions,
            events: events.map_err(|status| refused(&status))?.into_inner(),
        })
    }
}

fn batch(actions: Vec<Action>) -> v1::ClientBatch {
    let actions = actions.into_iter();
    v1::ClientBatch {
        actions: actions
            .map(|action| v1::ClientAction { action: Some(action) })
            .collect(),
    }
}

/// Asks through one session; a copy asks through the same one.
#[derive(Clone)]
pub(in crate::bench) struct Session {
    actions: mpsc::Sender<Action>,
    last: Arc<AtomicU64>,
    open: Arc<Open>,
    _reader: Arc<Reader>,
}

/// Requests that have no outcome yet.
#[derive(Default)]
struct Open {
    requests: Mutex<HashMap<u64, oneshot::Sender<v1::RequestOutcome>>>,
    /// Something came that must not, or the session is over.
    wrong: Mutex<Option<String>>,
}

impl Session {
    /// Opens one with the gRPC services at that address.
    pub(in crate::bench) async fn open(address: &str) -> Result<Self, BenchError> {
        let ways = Ways::open(address).await?;
        let open = Arc::new(Open::default());
        let reader = tokio::spawn(read(ways.events, Arc::clone(&open)));
        Ok(Self {
            actions: ways.actions,
            last: Arc::default(),
            open,
            _reader: Arc::new(Reader(reader)),
        })
    }

    /// Sends a request and waits for its outcome.
    pub(in crate::bench) async fn request(&self, payload: Bytes) -> Result<v1::RequestOutcome, String> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (outcome, comes) = oneshot::channel();
        lock(&self.open.requests).insert(id, outcome);
        let call = v1::RequestCall {
            id,
            exchange: EXCHANGE.into(),
            payload,
            ..v1::RequestCall::default()
        };
        // Refused when the session is over, which the outcome tells.
        let _over = self.actions.send(Action::Request(call)).await;
        comes.await.map_err(|_| self.wrong())
    }

    fn wrong(&self) -> String {
        let wrong = lock(&self.open.wrong).clone();
        wrong.unwrap_or_else(|| "the session is over".into())
    }
}

impl Asker for Session {
    async fn ask(&mut self, number: u64) -> Option<String> {
        let payload = payload(number);
        match self.request(payload.clone()).await {
            Ok(outcome) if outcome.kind() != v1::OutcomeKind::Reply => {
                Some(format!("{}: {}", outcome.kind().as_str_name(), outcome.reason))
            }
            Ok(outcome) if outcome.payload != payload || outcome.more => Some(NOT_ITS_OWN.into()),
            Ok(_) => None,
            Err(wrong) => Some(wrong),
        }
    }

    fn rest(&mut self) -> Option<String> {
        lock(&self.open.wrong).clone()
    }
}

/// Takes events until it is dropped.
struct Reader(JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn read(mut events: Streaming<v1::ServerBatch>, open: Arc<Open>) {
    let why = loop {
        match events.message().await {
            Ok(Some(batch)) => batch.events.into_iter().for_each(|event| open.take(event)),
            Ok(None) => break "the node has ended the session".to_owned(),
            Err(status) => break status.message().to_owned(),
        }
    };
    open.note(why);
    lock(&open.requests).clear();
}

impl Open {
    fn take(&self, event: v1::ServerEvent) {
        match event.event {
            Some(Event::Outcome(outcome)) => match lock(&self.requests).remove(&outcome.id) {
                // Whoever asked may have gone.
                Some(waits) => drop(waits.send(outcome)),
                None => self.note(format!("request {} had a second outcome", outcome.id)),
            },
            Some(Event::Refused(refused)) => self.note(refused.reason),
            _ => {}
        }
    }

    fn note(&self, what: String) {
        lock(&self.wrong).get_or_insert(what);
    }
}

/// Attaches the handlers through one session and echoes until the session ends.
///
/// # Errors
/// There is no session to be had, a handler was refused, or the session has ended.
pub(in crate::bench) async fn serve(address: &str) -> Result<(), BenchError> {
    let mut ways = Ways::open(address).await?;
    for handler in 1..=HANDLERS {
        let attach = v1::Attach {
            handler: u32::try_from(handler).expect("a few"),
            exchange: EXCHANGE.into(),
            ..v1::Attach::default()
        };
        ways.say(Action::Attach(attach)).await?;
    }
    while let Some(batch) = ways.events.message().await.map_err(|status| refused(&status))? {
        for event in batch.events {
            match event.event {
                Some(Event::Delivery(delivery)) => ways.say(Action::Reply(echo(delivery))).await?,
                Some(Event::Refused(refused)) => return Err(BenchError::Unsound(refused.reason)),
                Some(Event::Detached(detached)) => return Err(BenchError::Unsound(detached.reason)),
                _ => {}
            }
        }
    }
    Err(over())
}

impl Ways {
    async fn say(&self, action: Action) -> Result<(), BenchError> {
        self.actions.send(action).await.map_err(|_| over())
    }
}

fn echo(delivery: v1::Delivery) -> v1::Reply {
    v1::Reply {
        delivery: delivery.delivery,
        payload: delivery.payload,
        ..v1::Reply::default()
    }
}

fn over() -> BenchError {
    BenchError::Unsound("the session is over".into())
}

fn refused(status: &Status) -> BenchError {
    BenchError::Unsound(format!("a gRPC session: {}", status.message()))
}

fn unsound(error: &tonic::transport::Error) -> BenchError {
    BenchError::Unsound(format!("a gRPC session: {error}"))
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(id: u64) -> v1::ServerEvent {
        let outcome = v1::RequestOutcome {
            id,
            ..v1::RequestOutcome::default()
        };
        v1::ServerEvent {
            event: Some(Event::Outcome(outcome)),
        }
    }

    #[test]
    fn an_outcome_goes_to_whoever_asked_and_a_second_one_is_noted() {
        let open = Open::default();
        let (sender, mut comes) = oneshot::channel();
        lock(&open.requests).insert(7, sender);
        open.take(outcome(7));
        assert_eq!(comes.try_recv().unwrap().id, 7);
        assert_eq!(*lock(&open.wrong), None);
        open.take(outcome(7));
        assert_eq!(
            lock(&open.wrong).as_deref(),
            Some("request 7 had a second outcome")
        );
    }

    #[test]
    fn actions_that_are_ready_travel_in_one_batch_in_their_order() {
        let reply = |delivery| {
            Action::Reply(echo(v1::Delivery {
                delivery,
                payload: Bytes::from_static(b"four"),
                ..v1::Delivery::default()
            }))
        };
        let batch = batch(vec![reply(1), reply(2)]);
        let numbers = batch.actions.into_iter().map(|action| match action.action {
            Some(Action::Reply(reply)) => (reply.delivery, reply.payload),
            other => panic!("{other:?}"),
        });
        assert_eq!(
            numbers.collect::<Vec<_>>(),
            [1, 2].map(|number| (number, Bytes::from_static(b"four")))
        );
    }
}
