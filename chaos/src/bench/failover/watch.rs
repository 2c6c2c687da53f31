//! The events of all nodes as they come, on one clock: the nodes run on this machine. What does not live here: what they
//! mean (`phases`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use squall_proto::v1 as proto;
use squall_proto::v1::introspection_client::IntrospectionClient;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::client::reach;
use crate::layout::Place;

/// Between two tries to reach a node that does not answer.
const AGAIN: Duration = Duration::from_millis(20);
/// Events kept: some hundred times those of one trial; the oldest go.
const KEPT: usize = 4096;

/// An event of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) node: String,
    pub(crate) unix_us: u64,
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) epoch: u64,
}

/// A moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) at: Instant,
    pub(crate) unix_us: u64,
}

impl Mark {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            at: Instant::now(),
            unix_us: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// Follows the nodes until it is dropped.
pub(crate) struct Watch {
    told: Arc<Mutex<Vec<Told>>>,
    news: watch::Receiver<u64>,
    _tasks: JoinSet<()>,
}

impl Watch {
    pub(crate) fn start(places: &[Place]) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let (sender, news) = watch::channel(0);
        let mut tasks = JoinSet::new();
        for place in places {
            tasks.spawn(follow(place.clone(), Arc::clone(&told), sender.clone()));
        }
        Self {
            told,
            news,
            _tasks: tasks,
        }
    }

    /// Those since the mark, in order of time.
    pub(crate) fn since(&self, mark: Mark) -> Vec<Told> {
        let recent = |told: &&Told| told.unix_us >= mark.unix_us;
        let mut told: Vec<Told> = lock(&self.told).iter().filter(recent).cloned().collect();
        told.sort_by_key(|told| told.unix_us);
        told
    }

    /// Waits for an event since the mark that `is` the one; false when it does not come in time.
    pub(crate) async fn until(&mut self, mark: Mark, within: Duration, is: impl Fn(&Told) -> bool) -> bool {
        let wait = async {
            loop {
                self.news.borrow_and_update();
                if self.since(mark).iter().any(&is) {
                    return true;
                }
                if self.news.changed().await.is_err() {
                    return false;
                }
            }
        };
        timeout(within, wait).await.unwrap_or(false)
    }
}

/// Where to go on with a node's events.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    incarnation: u64,
    next: u64,
}

async fn follow(place: Place, told: Arc<Mutex<Vec<Told>>>, news: watch::Sender<u64>) {
    let mut cursor = Cursor::default();
    loop {
        // A node that does not run, or is paused, is asked again until it does.
        let _broken = stream(&place, &mut cursor, &told, &news).await;
        sleep(AGAIN).await;
    }
}

async fn stream(
    place: &Place,
    cursor: &mut Cursor,
    told: &Mutex<Vec<Told>>,
    news: &watch::Sender<u64>,
) -> Result<(), String> {
    let channel = reach::node(&place.grpc.to_string()).await?;
    let request = proto::EventsRequest {
        from_seq: cursor.next,
        incarnation: cursor.incarnation,
    };
    let words = |status: tonic::Status| status.message().to_owned();
    let answer = IntrospectionClient::new(channel).events(request).await;
    let mut batches = answer.map_err(words)?.into_inner();
    while let Some(batch) = batches.message().await.map_err(words)? {
        cursor.incarnation = batch.incarnation;
        if let Some(last) = batch.events.last() {
            cursor.next = last.seq + 1;
            let new = batch.events.into_iter().map(|event| read(place, event));
            let mut told = lock(told);
            told.extend(new);
            let surplus = told.len().saturating_sub(KEPT);
            told.drain(..surplus);
            drop(told);
            news.send_modify(|count| *count += 1);
        }
    }
    Ok(())
}

fn read(place: &Place, event: proto::Event) -> Told {
    Told {
        node: place.name.to_string(),
        unix_us: event.unix_us,
        kind: event.kind,
        subject: event.subject,
        text: event.text,
        epoch: event.epoch,
    }
}

fn lock(told: &Mutex<Vec<Told>>) -> MutexGuard<'_, Vec<Told>> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}
