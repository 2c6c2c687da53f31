//! What it costs to be watched: the same requests without and with an observer of all that the nodes have to show, in turn. The
//! observer is a process of its own, whose work is not counted as the requests'. What does not live here: the observer's screen.

use std::net::SocketAddr;

use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use serde::Serialize;
use squall_observer::feed::Wants;
use squall_proto::v1;
use squall_proto::v1::frame::Body;
use squall_proto::v1::introspection_client::IntrospectionClient;
use tonic::Status;

use super::place::Place;
use super::{Load, ReqRespOptions, Row, known, measure};
use crate::bench::BenchError;
use crate::bench::ratio::Spread;
use crate::bench::role::{self, Role};
use crate::client::reach;

/// How often it is measured without and with.
pub const TURNS: usize = 3;
/// Rate with an observer to that without: no less than this.
pub const GOAL: f64 = 0.98;

/// The same measurements with an observer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Watched {
    /// Requests answered per second with an observer, in order.
    pub rates: Vec<f64>,
    /// Those without, in order.
    pub rates_unwatched: Vec<f64>,
    /// Processor time for each request with an observer, whose own is not in it, in microseconds: the middle one. None where the
    /// system does not tell.
    pub cpu_us: Option<f64>,
    /// Each rate to the one without of the same turn.
    pub ratio: Spread,
    /// What the middle one is to be at least.
    pub goal: f64,
    /// Whether it is.
    pub met: bool,
}

impl Watched {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let Spread { median, least, most } = self.ratio;
        format!(
            "watched to unwatched: {median:.3} ({least:.3} to {most:.3}), cpu µs/req {}; goal ≥ {GOAL}: {}",
            known(self.cpu_us),
            if self.met { "met" } else { "not met" }
        )
    }
}

/// Measures without and with an observer, in turn; the figures are those of the middle one without.
pub(super) async fn in_turn(place: &Place, load: Load, options: &ReqRespOptions) -> Result<Row, BenchError> {
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        // Neither is always the first.
        for with in [turn % 2 == 1, turn % 2 == 0] {
            if with {
                watched.push(beside(place, load, options).await?);
            } else {
                alone.push(measure(place, load, options).await?);
            }
        }
    }
    Ok(compared(alone, &watched))
}

fn compared(mut alone: Vec<Row>, watched: &[Row]) -> Row {
    let rates = |rows: &[Row]| -> Vec<f64> { rows.iter().map(|row| row.rate).collect() };
    let (with, without) = (rates(watched), rates(&alone));
    let ratios = with
        .iter()
        .zip(&without)
        .map(|(with, without)| with / without)
        .collect();
    let ratio = Spread::of(ratios).expect("there is a turn");
    let cpu: Option<Vec<f64>> = watched.iter().map(|row| row.cpu_us).collect();
    let told = Watched {
        rates: with,
        rates_unwatched: without,
        cpu_us: cpu.and_then(Spread::of).map(|spread| spread.median),
        ratio,
        goal: GOAL,
        met: ratio.median >= GOAL,
    };
    alone.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    Row {
        watched: Some(told),
        ..alone.swap_remove(alone.len() / 2)
    }
}

async fn beside(place: &Place, load: Load, options: &ReqRespOptions) -> Result<Row, BenchError> {
    let grpc = place.watchable().to_vec();
    let mut observer = role::start(&options.program, &Role::Watch { grpc })?;
    role::first_line(&mut observer, "an observer sees all nodes").await?;
    let row = measure(place, load, options).await;
    if !matches!(observer.try_wait(), Ok(None)) {
        return Err(BenchError::Unsound("the observer ended".into()));
    }
    role::end(&mut [observer]).await;
    row
}

/// Watches all kinds of rows and the events of these nodes, and tells when it has seen all of them.
///
/// # Errors
/// A node's stream cannot be had, or ends.
pub(in crate::bench) async fn watch(nodes: &[SocketAddr]) -> Result<(), BenchError> {
    let wants = Wants {
        processes: true,
        sort: "mailbox".to_owned(),
        ..Wants::default()
    };
    let mut all = SelectAll::new();
    for node in nodes {
        all.extend(streams(node, wants.interest(1)).await?);
    }
    let mut whole = 0;
    while let Some(seen) = all.next().await {
        if seen.map_err(|status| BenchError::Unsound(format!("a node's stream: {}", status.message())))? {
            whole += 1;
            if whole == nodes.len() {
                role::tell("watching")?;
            }
        }
    }
    Err(BenchError::Unsound("the nodes' streams ended".into()))
}

/// Whether the first picture of a node is complete with what came.
type Seen = BoxStream<'static, Result<bool, Status>>;

async fn streams(node: &SocketAddr, interest: v1::Interest) -> Result<[Seen; 2], BenchError> {
    let channel = reach::node(&node.to_string())
        .await
        .map_err(BenchError::Unsound)?;
    let said = |status: Status| BenchError::Unsound(format!("a node's stream: {}", status.message()));
    // The interest stands for as long as the stream of interests.
    let interests = futures::stream::iter([interest]).chain(futures::stream::pending());
    let mut client = IntrospectionClient::new(channel);
    let frames = client.watch(interests).await.map_err(said)?.into_inner();
    let events = client.events(v1::EventsRequest::default()).await;
    let events = events.map_err(said)?.into_inner();
    Ok([
        frames.map(|frame| frame.map(|frame| completes(&frame))).boxed(),
        events.map(|batch| batch.map(|_| false)).boxed(),
    ])
}

fn completes(frame: &v1::Frame) -> bool {
    matches!(&frame.body, Some(Body::Snapshot(part)) if part.last)
}

#[cfg(test)]
mod tests {
    use super::super::Where;
    use super::*;

    fn row(rate: f64, cpu_us: Option<f64>) -> Row {
        Row {
            place: Where::Local,
            load: Load::Closed(10),
            requests: 1,
            rate,
            held_back: 0,
            p50_us: rate,
            p99_us: 1.0,
            p999_us: 1.0,
            cpu_us,
            watched: None,
        }
    }

    #[test]
    fn each_watched_rate_is_compared_with_the_unwatched_one_of_its_turn() {
        let alone = vec![row(100.0, None), row(300.0, None), row(200.0, None)];
        let watched = [row(99.0, Some(3.0)), row(291.0, Some(1.0)), row(190.0, Some(2.0))];
        let row = compared(alone, &watched);
        assert_eq!(
            (row.rate, row.p50_us),
            (200.0, 200.0),
            "of the middle one without an observer"
        );
        let told = row.watched.unwrap();
        assert_eq!(
            (told.ratio.least, told.ratio.median, told.ratio.most),
            (0.95, 0.97, 0.99)
        );
        assert_eq!((told.cpu_us, told.met), (Some(2.0), false));
    }

    #[test]
    fn only_the_last_part_completes_a_picture() {
        let part = |last| v1::Frame {
            body: Some(Body::Snapshot(v1::SnapshotPart {
                last,
                ..Default::default()
            })),
            ..Default::default()
        };
        assert!(completes(&part(true)) && !completes(&part(false)) && !completes(&v1::Frame::default()));
    }
}
