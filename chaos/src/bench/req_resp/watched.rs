//! What it costs to be watched: the same requests without an observer, with one of all views, and with one that has the details of the
//! exchange open, too, in turn. The observer is a process of its own, whose work is not counted as the requests'. What does not live here: the observer's screen.

use std::net::SocketAddr;

use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use serde::Serialize;
use squall_observer::feed::Wants;
use squall_proto::v1;
use squall_proto::v1::detail_request::Entity;
use squall_proto::v1::frame::Body;
use squall_proto::v1::introspection_client::IntrospectionClient;
use squall_proto::v1::row;
use tonic::Status;
use tonic::transport::Channel;

use super::place::Place;
use super::{EXCHANGE, ReqRespOptions, Row, known, measure};
use crate::bench::ratio::Spread;
use crate::bench::role::{self, Role};
use crate::bench::{BenchError, Load};
use crate::client::reach;

/// How often each is measured.
pub const TURNS: usize = 3;
/// Rate with an observer of all views to that without: no less than this.
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
    /// The same with the details open, which nodes keep for whoever looks alone.
    pub closely: Closely,
}

/// The same measurements with an observer that has the details of the exchange open at each node, and those of its process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Closely {
    /// Requests answered per second, in order.
    pub rates: Vec<f64>,
    /// Processor time for each request, as above.
    pub cpu_us: Option<f64>,
    /// Each rate to the one without an observer of the same turn.
    pub ratio: Spread,
}

impl Watched {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let Spread { median, least, most } = self.ratio;
        format!(
            "watched to unwatched: {median:.3} ({least:.3} to {most:.3}), cpu µs/req {}; goal ≥ {GOAL}: {}\n  \
             with details open: {:.3} ({:.3} to {:.3}), cpu µs/req {}",
            known(self.cpu_us),
            if self.met { "met" } else { "not met" },
            self.closely.ratio.median,
            self.closely.ratio.least,
            self.closely.ratio.most,
            known(self.closely.cpu_us),
        )
    }
}

/// How it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Alone,
    Watched,
    Closely,
}

/// Measures in each way, in turn; the figures are those of the middle one without an observer.
pub(super) async fn in_turn(place: &Place, load: Load, options: &ReqRespOptions) -> Result<Row, BenchError> {
    let [mut alone, mut watched, mut closely] = [Vec::new(), Vec::new(), Vec::new()];
    for turn in 0..TURNS {
        let mut ways = [Way::Alone, Way::Watched, Way::Closely];
        // None is always the first.
        ways.rotate_left(turn % 3);
        for way in ways {
            match way {
                Way::Alone => alone.push(measure(place, load, options).await?),
                Way::Watched => watched.push(beside(place, load, options, false).await?),
                Way::Closely => closely.push(beside(place, load, options, true).await?),
            }
        }
    }
    Ok(compared(alone, &watched, &closely))
}

fn rates(rows: &[Row]) -> Vec<f64> {
    rows.iter().map(|row| row.rate).collect()
}

/// The rates of these, their processor time in the middle, and their ratios to the others of the same turns.
fn beside_each(alone: &[Row], rows: &[Row]) -> (Vec<f64>, Option<f64>, Spread) {
    let (with, without) = (rates(rows), rates(alone));
    let both = with.iter().zip(&without);
    let ratio = Spread::of(both.map(|(with, without)| with / without).collect());
    let cpu: Option<Vec<f64>> = rows.iter().map(|row| row.cpu_us).collect();
    let cpu = cpu.and_then(Spread::of).map(|spread| spread.median);
    (with, cpu, ratio.expect("there is a turn"))
}

fn compared(mut alone: Vec<Row>, watched: &[Row], closely: &[Row]) -> Row {
    let (with, cpu_us, ratio) = beside_each(&alone, watched);
    let (close_rates, close_cpu_us, close_ratio) = beside_each(&alone, closely);
    let told = Watched {
        rates: with,
        rates_unwatched: rates(&alone),
        cpu_us,
        ratio,
        goal: GOAL,
        met: ratio.median >= GOAL,
        closely: Closely {
            rates: close_rates,
            cpu_us: close_cpu_us,
            ratio: close_ratio,
        },
    };
    alone.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    Row {
        watched: Some(told),
        ..alone.swap_remove(alone.len() / 2)
    }
}

async fn beside(
    place: &Place,
    load: Load,
    options: &ReqRespOptions,
    details: bool,
) -> Result<Row, BenchError> {
    let grpc = place.watchable().to_vec();
    let mut observer = role::start(&options.program, &Role::Watch { grpc, details })?;
    role::first_line(&mut observer, "an observer sees all nodes").await?;
    let row = measure(place, load, options).await;
    if !matches!(observer.try_wait(), Ok(None)) {
        return Err(BenchError::Unsound("the observer ended".into()));
    }
    role::end(&mut [observer]).await;
    row
}

/// Watches what these nodes have to show: all kinds of rows, events, and with `details` the exchange at each of them and its process
/// where it is. Tells when it has seen all of that.
///
/// # Errors
/// A node's stream cannot be had, or ends.
pub(in crate::bench) async fn watch(nodes: &[SocketAddr], details: bool) -> Result<(), BenchError> {
    let wants = Wants {
        processes: true,
        sort: "mailbox".to_owned(),
        ..Wants::default()
    };
    let mut clients = Vec::new();
    let mut all = SelectAll::new();
    for (at, node) in nodes.iter().enumerate() {
        let channel = reach::node(&node.to_string())
            .await
            .map_err(BenchError::Unsound)?;
        let mut client = IntrospectionClient::new(channel);
        all.extend(streams(at, &mut client, wants.interest(1)).await?);
        if details {
            all.push(detail(&mut client, Entity::Exchange(EXCHANGE.into())).await?);
        }
        clients.push(client);
    }
    let mut missing = Missing {
        pictures: nodes.len(),
        // One of each node's exchange, and one of its process.
        details: if details { nodes.len() + 1 } else { 0 },
    };
    let (mut process, mut told) = (None, false);
    while let Some(seen) = all.next().await {
        let seen = seen.map_err(|status| said(&status))?;
        match seen {
            Seen::Whole => missing.pictures = missing.pictures.saturating_sub(1),
            Seen::Detail => missing.details = missing.details.saturating_sub(1),
            Seen::Process(at, pid) if details && process.is_none() => {
                all.push(detail(&mut clients[at], Entity::Process(pid.clone())).await?);
                process = Some(pid);
            }
            Seen::Process(..) | Seen::More => continue,
        }
        if !told && missing.pictures == 0 && missing.details == 0 {
            role::tell("watching")?;
            told = true;
        }
    }
    Err(BenchError::Unsound("the nodes' streams ended".into()))
}

/// What has not been seen yet.
struct Missing {
    pictures: usize,
    details: usize,
}

/// What comes from a node.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// The first picture of it is complete.
    Whole,
    /// The process of the exchange is at the node of that number.
    Process(usize, String),
    /// An entity was shown in detail for the first time.
    Detail,
    /// News.
    More,
}

type Stream = BoxStream<'static, Result<Seen, Status>>;

fn said(status: &Status) -> BenchError {
    BenchError::Unsound(format!("a node's stream: {}", status.message()))
}

async fn streams(
    at: usize,
    client: &mut IntrospectionClient<Channel>,
    interest: v1::Interest,
) -> Result<[Stream; 2], BenchError> {
    // The interest stands for as long as the stream of interests.
    let interests = futures::stream::iter([interest]).chain(futures::stream::pending());
    let frames = client.watch(interests).await.map_err(|status| said(&status))?;
    let events = client.events(v1::EventsRequest::default()).await;
    let events = events.map_err(|status| said(&status))?;
    let seen = move |frame: Result<v1::Frame, Status>| match frame {
        Ok(frame) => futures::stream::iter(seen(at, &frame)).map(Ok).left_stream(),
        Err(status) => futures::stream::iter([Err(status)]).right_stream(),
    };
    Ok([
        frames.into_inner().flat_map(seen).boxed(),
        events.into_inner().map(|batch| batch.map(|_| Seen::More)).boxed(),
    ])
}

async fn detail(client: &mut IntrospectionClient<Channel>, of: Entity) -> Result<Stream, BenchError> {
    let request = v1::DetailRequest { entity: Some(of) };
    let frames = client.detail(request).await.map_err(|status| said(&status))?;
    let numbered = frames.into_inner().enumerate();
    let seen =
        numbered.map(|(number, frame)| frame.map(|_| if number == 0 { Seen::Detail } else { Seen::More }));
    Ok(seen.boxed())
}

fn seen(at: usize, frame: &v1::Frame) -> Vec<Seen> {
    let Some(Body::Snapshot(part)) = &frame.body else {
        return vec![Seen::More];
    };
    let processes = part.rows.iter().filter_map(|row| match &row.row {
        Some(row::Row::Process(process)) if process.kind == "exchange" => Some(process),
        _ => None,
    });
    let of_it = processes.filter(|process| process.name == EXCHANGE);
    let mut seen: Vec<Seen> = of_it
        .map(|process| Seen::Process(at, process.pid.clone()))
        .collect();
    if part.last {
        seen.push(Seen::Whole);
    }
    seen
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
        let closely = [row(90.0, None), row(270.0, None), row(160.0, None)];
        let row = compared(alone, &watched, &closely);
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
        assert_eq!((told.closely.ratio.median, told.closely.cpu_us), (0.9, None));
    }

    #[test]
    fn the_last_part_completes_a_picture_and_the_exchanges_process_is_found_in_it() {
        let process = |kind: &str, name: &str| v1::Row {
            row: Some(row::Row::Process(v1::ProcessRow {
                pid: format!("<a.{kind}>"),
                name: name.into(),
                kind: kind.into(),
                ..Default::default()
            })),
        };
        let part = |last, rows| v1::Frame {
            body: Some(Body::Snapshot(v1::SnapshotPart {
                last,
                rows,
                ..Default::default()
            })),
            ..Default::default()
        };
        assert_eq!(seen(0, &part(true, Vec::new())), [Seen::Whole]);
        let rows = vec![
            process("handler", EXCHANGE),
            process("exchange", "other"),
            process("exchange", EXCHANGE),
        ];
        assert_eq!(
            seen(2, &part(false, rows)),
            [Seen::Process(2, "<a.exchange>".into())]
        );
        assert_eq!(seen(0, &v1::Frame::default()), [Seen::More]);
    }
}
