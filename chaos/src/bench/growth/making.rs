//! What it costs to make very many exchanges and handlers at once. What does not live here: what they cost once they are there
//! (`asking`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use squall_client::{Answer, Delivery, Handler, Notice};
use squall_node::handlers::HandlerTags;
use tokio::time::{interval, timeout};

use super::Dimension;
use super::scene::{LOOK, Scene, Shape, wanted};
use crate::bench::BenchError;
use crate::bench::cluster::{DECLARED_AT_ONCE, PATIENCE, late};
use crate::bench::req_resp::tally::Tally;
use crate::bench::usage::processor_time;

/// What was made.
pub(super) struct Made {
    pub(super) at_once: usize,
    /// How long each took.
    pub(super) tally: Tally,
    /// Processor time of all.
    pub(super) processor: Duration,
    /// How long all took.
    pub(super) took: Duration,
}

/// Declares so many exchanges: each takes until it is committed, all until the node has all of them.
pub(super) async fn declare(at: u64) -> Result<Made, BenchError> {
    let scene = Scene::begin(Shape::of(Dimension::Declaring, at)).await?;
    let wanted = wanted(usize::try_from(at).unwrap_or(usize::MAX), 0);
    let (begun, before) = (Instant::now(), processor_time());
    let (_, committed) = scene.cluster().declare_timed(&wanted).await?;
    let made = Made {
        at_once: DECLARED_AT_ONCE.min(wanted.len()),
        tally: tally(&committed),
        processor: processor_time().saturating_sub(before),
        took: begun.elapsed(),
    };
    scene.end().await;
    Ok(made)
}

/// Attaches so many handlers to one exchange: each takes until it is told who serves, all until each of them has answered, too.
pub(super) async fn attach(at: u64) -> Result<Made, BenchError> {
    let scene = Scene::begin(Shape::of(Dimension::Attaching, at)).await?;
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    let exchange = wanted(1, 0).remove(0).name;
    let told = Told::default();
    let (begun, before) = (Instant::now(), processor_time());
    for _ in 0..at {
        let handlers = &scene.plane().handlers;
        let attached = handlers.attach_embedded(&exchange, HandlerTags::default(), Newcomer::of(&told));
        attached.map_err(|error| BenchError::Unsound(error.to_string()))?;
    }
    scene.answers(at).await?;
    // Who answers may be told who serves later.
    let all = timeout(PATIENCE, all_told(&told, at)).await;
    all.map_err(|_| late("all handlers are told who serves"))?;
    let made = Made {
        at_once: at,
        tally: tally(&told.lock().unwrap_or_else(PoisonError::into_inner)),
        processor: processor_time().saturating_sub(before),
        took: begun.elapsed(),
    };
    scene.end().await;
    Ok(made)
}

async fn all_told(told: &Told, handlers: usize) {
    let mut look = interval(LOOK);
    while told.lock().unwrap_or_else(PoisonError::into_inner).len() < handlers {
        look.tick().await;
    }
}

fn tally(took: &[Duration]) -> Tally {
    let mut tally = Tally::default();
    for took in took {
        tally.ended(Some(*took), None);
    }
    tally
}

/// How long each took until it was told who serves.
type Told = Arc<Mutex<Vec<Duration>>>;

struct Newcomer {
    attached: Instant,
    told: Option<Told>,
}

impl Newcomer {
    fn of(told: &Told) -> Self {
        Self {
            attached: Instant::now(),
            told: Some(Arc::clone(told)),
        }
    }
}

impl Handler for Newcomer {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        Answer::Reply(delivery.payload)
    }

    fn notice(&mut self, _notice: Notice) {
        if let Some(told) = self.told.take() {
            let took = self.attached.elapsed();
            told.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        }
    }
}
