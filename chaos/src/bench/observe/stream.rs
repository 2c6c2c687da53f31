//! The stream as it is on the wire, read without an observer: what attaching to a very large node takes, and the bytes of
//! several nodes a second. The observer beside is the real one.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::SelectAll;
use prost::Message as _;
use squall_observer::Screen;
use squall_observer::feed::Wants;
use squall_proto::v1;
use squall_proto::v1::frame::Body;
use squall_proto::v1::introspection_client::IntrospectionClient;
use tokio_stream::wrappers::IntervalStream;
use tonic::Streaming;

use super::crowd::Crowd;
use super::seat::Seat;
use super::{Figure, Part, Scale, millis};
use crate::bench::BenchError;
use crate::client::reach;

/// What gRPC puts before each message.
const HEAD_BYTES: usize = 5;
/// 2 Hz.
const INTERVAL: Duration = Duration::from_millis(500);
/// The default of tonic and others: the largest message that a client takes.
const MESSAGE_MIB: f64 = 4.0;

/// All rows of one node, asked for at once.
pub(super) async fn attach(scale: Scale) -> Result<Vec<Figure>, BenchError> {
    let crowd = Crowd::gather(1, scale.processes).await?;
    let figures = attached(&crowd, scale.processes).await;
    crowd.end().await;
    figures
}

async fn attached(crowd: &Crowd, processes: usize) -> Result<Vec<Figure>, BenchError> {
    let address = &crowd.addresses()[0];
    let wants = Wants {
        processes: true,
        sort: "mailbox".to_owned(),
        limit: u32::try_from(processes).unwrap_or(u32::MAX),
        ..Wants::default()
    };
    let begun = Instant::now();
    let mut frames = watch(address, wants.interest(1)).await?;
    let (mut parts, mut rows, mut largest, mut bytes) = (0u32, 0, 0, 0);
    loop {
        let frame = next(&mut frames).await?;
        largest = largest.max(frame.encoded_len());
        bytes += frame.encoded_len() + HEAD_BYTES;
        let Some(Body::Snapshot(part)) = frame.body else {
            continue;
        };
        parts += 1;
        rows += part.rows.len();
        if part.last {
            break;
        }
    }
    let whole = begun.elapsed();
    drop(frames);
    if rows < processes {
        return Err(BenchError::Unsound(format!("{rows} rows came of {processes}")));
    }
    let begun = Instant::now();
    let mut seat = Seat::take(crowd.addresses(), Screen::Processes)?;
    let shown = seat.until("the processes are on the screen", |screen| {
        screen.contains("subscriber")
    });
    shown.await?;
    let on_screen = begun.elapsed();
    let figure = |what: String, value, unit| Figure::new(Part::Attach, what, value, unit);
    Ok(vec![
        figure(
            format!("largest message of {parts}, {processes} processes"),
            largest as f64 / 1024.0,
            "KiB",
        )
        .at_most(MESSAGE_MIB * 1024.0),
        figure("all rows".into(), millis(whole), "ms"),
        figure("bytes of them".into(), bytes as f64 / 1e6, "MB"),
        figure(
            "observer: the view of processes stands".into(),
            millis(on_screen),
            "ms",
        ),
    ])
}

/// What several nodes send to one observer that shows processes, all of which are at work.
pub(super) async fn bytes(scale: Scale) -> Result<Vec<Figure>, BenchError> {
    let mut crowd = Crowd::gather(scale.nodes, scale.each).await?;
    let figures = counted(&mut crowd, scale).await;
    crowd.end().await;
    figures
}

async fn counted(crowd: &mut Crowd, scale: Scale) -> Result<Vec<Figure>, BenchError> {
    let wants = Wants {
        processes: true,
        sort: "mailbox".to_owned(),
        ..Wants::default()
    };
    let interest = v1::Interest {
        min_interval_ms: u32::try_from(INTERVAL.as_millis()).expect("half a second"),
        ..wants.interest(1)
    };
    let mut all = SelectAll::new();
    for address in crowd.addresses() {
        all.push(watch(&address, interest.clone()).await?);
    }
    // The first pictures are what attaching costs.
    let mut whole = 0;
    while whole < scale.nodes {
        let frame = all.next().await.ok_or_else(ended)?;
        let last = |part: &v1::SnapshotPart| part.last;
        whole += usize::from(matches!(read(frame)?.body, Some(Body::Snapshot(part)) if last(&part)));
    }
    let mut stirs = IntervalStream::new(tokio::time::interval(INTERVAL));
    let (mut bytes, mut rows, mut frames) = (0, 0, 0u64);
    let begun = Instant::now();
    while begun.elapsed() < scale.measured {
        tokio::select! {
            _ = stirs.next() => crowd.stir().await?,
            frame = all.next() => {
                let frame = read(frame.ok_or_else(ended)?)?;
                bytes += frame.encoded_len() + HEAD_BYTES;
                frames += 1;
                if let Some(Body::Delta(delta)) = frame.body {
                    rows += delta.rows.len();
                }
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    if rows == 0 {
        return Err(BenchError::Unsound("nothing changed".into()));
    }
    let (nodes, each) = (scale.nodes, scale.each);
    Ok(vec![
        Figure::new(
            Part::Stream,
            format!("{nodes} nodes, {each} busy processes each, 2 Hz"),
            bytes as f64 / 1e6 / seconds,
            "MB/s",
        )
        .at_most(2.0),
        Figure::new(Part::Stream, "frames", frames as f64 / seconds, "/s"),
        Figure::new(Part::Stream, "rows in them", rows as f64 / seconds, "/s"),
    ])
}

async fn watch(address: &str, interest: v1::Interest) -> Result<Streaming<v1::Frame>, BenchError> {
    let channel = reach::node(address).await.map_err(BenchError::Unsound)?;
    // The interest stands for as long as the stream of interests.
    let interests = futures::stream::iter([interest]).chain(futures::stream::pending());
    let answer = IntrospectionClient::new(channel).watch(interests).await;
    Ok(answer.map_err(|status| said(&status))?.into_inner())
}

async fn next(frames: &mut Streaming<v1::Frame>) -> Result<v1::Frame, BenchError> {
    let frame = frames.message().await.map_err(|status| said(&status))?;
    frame.ok_or_else(ended)
}

fn read(frame: Result<v1::Frame, tonic::Status>) -> Result<v1::Frame, BenchError> {
    frame.map_err(|status| said(&status))
}

fn said(status: &tonic::Status) -> BenchError {
    BenchError::Unsound(format!("a node's stream: {}", status.message()))
}

fn ended() -> BenchError {
    BenchError::Unsound("a node's stream ended".into())
}
