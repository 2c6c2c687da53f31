//! One `Watch` stream: takes up interests, and makes the next frame when the connection asks for one. What does not
//! live here: gRPC's service trait, and the rows.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use futures::{FutureExt, Stream, StreamExt};
use prost::Message;
use squall_proto::v1;
use squall_proto::v1::frame::Body;
use tokio::sync::watch;
use tokio::time::sleep_until;
use tonic::Status;

use super::closed;
use crate::introspect::engine::{self, Picture};
use crate::introspect::interest::Wanted;
use crate::introspect::pace::Pace;
use crate::introspect::trend::Trend;
use crate::introspect::{Sources, Wake};

/// Bytes in front of every message on a gRPC stream.
const MESSAGE_HEAD_BYTES: u64 = 5;

/// One `Watch` stream.
pub(super) struct Watcher<S, I> {
    sources: Arc<S>,
    /// `None` once the reader has closed its half; the stream goes on with its last interest.
    inbound: Option<I>,
    wake: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    view: Option<View>,
    pending: VecDeque<(u32, Body)>,
    snapshots: u64,
    taken_unix_ms: u64,
    seq: u64,
    cost: v1::Cost,
}

/// What the stream shows now.
struct View {
    wanted: Wanted,
    picture: Picture,
    /// What its processes did between two looks, where it sorts by that.
    trend: Trend,
    pace: Pace,
    /// The snapshot is still to come, not before that time.
    snapshot: Option<Option<Instant>>,
}

/// What ended a wait.
enum Wait {
    Interest(v1::Interest),
    /// The reader has closed its half.
    HalfClosed,
    Due,
    Woken,
    End,
    Broken(Status),
}

impl<S: Sources, I: Stream<Item = Result<v1::Interest, Status>> + Unpin> Watcher<S, I> {
    pub(super) fn new(sources: Arc<S>, inbound: I, wake: &Wake, closing: watch::Receiver<bool>) -> Self {
        Self {
            sources,
            inbound: Some(inbound),
            wake: wake.watch(),
            closing,
            view: None,
            pending: VecDeque::new(),
            snapshots: 0,
            taken_unix_ms: 0,
            seq: 0,
            cost: v1::Cost::default(),
        }
    }

    /// The next frame; `None` when the stream ends.
    pub(super) async fn next(&mut self) -> Option<Result<v1::Frame, Status>> {
        loop {
            if let Some(Some(Ok(interest))) = self.inbound.as_mut().and_then(|s| s.next().now_or_never()) {
                self.adopt(&interest);
            }
            if let Some((interest, body)) = self.pending.pop_front() {
                return Some(Ok(self.frame(interest, body)));
            }
            match self.wait().await {
                Wait::Interest(interest) => self.adopt(&interest),
                Wait::HalfClosed => self.inbound = None,
                Wait::Woken => {}
                Wait::Due => self.update(),
                Wait::End => return None,
                Wait::Broken(status) => return Some(Err(status)),
            }
        }
    }

    async fn wait(&mut self) -> Wait {
        let due = self.due();
        let Self {
            inbound,
            wake,
            closing,
            ..
        } = self;
        // What was important is in the rows when the update is taken; until then it only brings it forward.
        let roused = wake.has_changed().unwrap_or(false);
        tokio::select! {
            biased;
            () = closed(closing) => Wait::End,
            interest = next_interest(inbound) => interest,
            () = until(due) => Wait::Due,
            changed = changed(wake), if !roused => if changed { Wait::Woken } else { Wait::End },
        }
    }

    fn due(&self) -> Option<Instant> {
        let view = self.view.as_ref()?;
        let now = now();
        match view.snapshot {
            Some(not_before) => Some(not_before.unwrap_or(now)),
            None => Some(view.pace.due(now, self.wake.has_changed().unwrap_or(false))),
        }
    }

    /// Takes up a new interest, or refuses it and goes on with the one before.
    fn adopt(&mut self, interest: &v1::Interest) {
        match Wanted::parse(interest) {
            Ok(wanted) => {
                let before = self.view.take().map_or_else(|| Pace::new(None), |view| view.pace);
                let (pace, not_before) = before.followed_by(wanted.interval);
                // What was on its way for the interest before is of no use any more; refusals are.
                self.pending.retain(|(_, body)| matches!(body, Body::Refused(_)));
                self.view = Some(View {
                    wanted,
                    picture: Picture::default(),
                    trend: Trend::default(),
                    pace,
                    snapshot: Some(not_before),
                });
            }
            Err(bad) => {
                let refused = v1::InterestRefused {
                    reason: bad.to_string(),
                };
                self.pending.push_back((interest.id, Body::Refused(refused)));
            }
        }
    }

    /// Looks at the node and makes the frames that bring the reader up to date.
    fn update(&mut self) {
        let Some(view) = self.view.as_mut() else { return };
        let (start, now) = (Instant::now(), now());
        self.wake.mark_unchanged();
        self.cost.coalesced += view.pace.taken(now);
        self.taken_unix_ms = self.sources.calendar().unix_ms();
        let look = engine::look(&*self.sources, &view.wanted, &mut view.trend);
        self.cost.rows_omitted = look.omitted;
        let mut bodies = if view.snapshot.take().is_some() {
            self.snapshots += 1;
            view.picture.snapshot(self.snapshots, look.rows)
        } else {
            view.picture.delta(look.rows)
        };
        if bodies.is_empty() && view.pace.is_silent(now) {
            bodies.push(Body::Delta(v1::Delta::default()));
        }
        if !bodies.is_empty() {
            view.pace.sent(now);
        }
        let id = view.wanted.id;
        self.pending.extend(bodies.into_iter().map(|body| (id, body)));
        self.cost.busy_us += micros(start);
    }

    fn frame(&mut self, interest: u32, body: Body) -> v1::Frame {
        let start = Instant::now();
        self.seq += 1;
        let taken = if self.taken_unix_ms == 0 {
            self.sources.calendar().unix_ms()
        } else {
            self.taken_unix_ms
        };
        let mut frame = v1::Frame {
            interest,
            seq: self.seq,
            taken_unix_ms: taken,
            body: Some(body),
            cost: Some(self.cost),
        };
        self.cost.bytes += frame.encoded_len() as u64 + MESSAGE_HEAD_BYTES;
        self.cost.busy_us += micros(start);
        frame.cost = Some(self.cost);
        frame
    }
}

async fn next_interest(
    inbound: &mut Option<impl Stream<Item = Result<v1::Interest, Status>> + Unpin>,
) -> Wait {
    let Some(stream) = inbound else {
        return pending().await;
    };
    match stream.next().await {
        Some(Ok(interest)) => Wait::Interest(interest),
        Some(Err(status)) => Wait::Broken(status),
        None => Wait::HalfClosed,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}

/// Waits until the watchers are roused, and leaves the mark that they are for the update to clear.
async fn changed(wake: &mut watch::Receiver<u64>) -> bool {
    let alive = wake.changed().await.is_ok();
    wake.mark_changed();
    alive
}

/// The runtime's clock, which tests can move.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "watcher_test.rs"]
mod tests;
