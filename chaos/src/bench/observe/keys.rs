//! From a key to the frame that shows what it did, in the program's own loop, while every node is dead and all its connections
//! are being tried again.

use std::time::Duration;

use squall_observer::Screen;
use tokio::time::{Instant, sleep};

use super::seat::Seat;
use super::supervised::Nodes;
use super::{Figure, ObserveOptions, Part, millis};
use crate::bench::{BenchError, Histogram};

/// Keys for each trial.
const KEYS: u32 = 20;
/// Shortest time between two keys, and how much longer it may be: a person's, and at no fixed place between two frames.
const BETWEEN_MS: (u64, u64) = (60, 180);

pub(super) async fn measure(options: &ObserveOptions) -> Result<Vec<Figure>, BenchError> {
    let nodes = Nodes::start(options).await?;
    let took = pressed(&nodes, options.trials * KEYS).await;
    nodes.end().await;
    let took = took?;
    let figure = |what: String, time: Duration| Figure::new(Part::Keys, what, millis(time), "ms");
    let keys = took.total();
    Ok(vec![
        figure(
            format!("key to screen, every node dead, {keys} keys, p50"),
            took.quantile(0.5),
        ),
        figure("key to screen, every node dead, p99".into(), took.quantile(0.99)).at_most(16.0),
        figure("key to screen, every node dead, worst".into(), took.largest()),
    ])
}

async fn pressed(nodes: &Nodes, keys: u32) -> Result<Histogram, BenchError> {
    let mut seat = Seat::take(nodes.addresses(), Screen::Overview)?;
    let all = nodes.places().len();
    let up = format!("{all}/{all} up");
    seat.until("all nodes are up on the screen", |text| text.contains(&up))
        .await?;
    for place in nodes.places() {
        nodes.kill(place).await?;
    }
    let gone = format!("0/{all} up");
    seat.until("no node is up on the screen", |text| text.contains(&gone))
        .await?;
    let mut took = Histogram::default();
    for n in 0..keys {
        let (shortest, longer) = BETWEEN_MS;
        sleep(Duration::from_millis(shortest + u64::from(n) * 7919 % longer)).await;
        let (key, title) = if n % 2 == 0 {
            ('4', "╭─ Opinions ")
        } else {
            ('1', "╭─ Nodes ")
        };
        let begun = Instant::now();
        seat.press(key).await?;
        let frame = seat.until("the key is on the screen", |text| text.contains(title));
        took.count(frame.await?.at.saturating_duration_since(begun));
    }
    Ok(took)
}
