//! Memory with the ring full: a made-up cluster whose nodes tell of a thousand busy processes each, as the view of processes
//! asks of them, four times a second. And how long it takes to show a moment of it again.

use std::time::{Duration, Instant};

use squall_observer::Screen;
use squall_observer::feed::{RowsUpdate, Update};
use squall_observer::history::History;
use squall_observer::limits::HISTORY_MS;
use squall_observer::model::{Cmd, Message, Model};
use squall_observer::units::Moment;
use squall_observer::update::update;
use squall_proto::v1;
use squall_proto::v1::row::Row;

use super::{Figure, Part, Scale, millis, resident_mb};
use crate::bench::{BenchError, Histogram};

/// What a node sends of them at most unless it is asked for more.
const ROWS: u64 = 1_000;
/// A node's interval.
const INTERVAL_MS: u64 = 250;
const START_MS: u64 = 1_700_056_800_000;

pub(super) fn measure(scale: Scale) -> Result<Vec<Figure>, BenchError> {
    let (mut model, mut history) = (
        Model::new((200, 60), Screen::Processes, false),
        History::default(),
    );
    let (mut taken_in, mut put_away) = (Histogram::default(), Histogram::default());
    let rounds = u64::try_from(scale.seen.as_millis()).unwrap_or(u64::MAX) / INTERVAL_MS;
    let mut now = START_MS;
    for round in 0..rounds {
        now = START_MS + round * INTERVAL_MS;
        update(&mut model, Message::Tick(Moment(now)));
        for node in 0..scale.nodes {
            let rows = vec![rows(node, round, now)];
            let begun = Instant::now();
            let cmds = update(&mut model, Message::Fed(rows));
            taken_in.count(begun.elapsed());
            let begun = Instant::now();
            for cmd in cmds {
                if let Cmd::Keep(updates) = cmd {
                    history.push(Moment(now), updates);
                }
            }
            put_away.count(begun.elapsed());
        }
    }
    let resident = resident_mb()
        .ok_or_else(|| BenchError::Unsound("the system does not tell the memory in use".into()))?;
    let held = history.since().map_or(0, |since| now - since.0);
    let mut back = Vec::new();
    for part in 1..=20 {
        let at = Moment(now - held * part / 21);
        let begun = Instant::now();
        let found = history.at(at);
        back.push(millis(begun.elapsed()));
        if found.is_none_or(|(cluster, _)| cluster.nodes.len() != scale.nodes) {
            return Err(BenchError::Unsound(format!("nothing is held of {at:?}")));
        }
    }
    let mid = crate::bench::nearest_rank(&back, 0.5).unwrap_or_default();
    let worst = crate::bench::nearest_rank(&back, 1.0).unwrap_or_default();
    let nodes = scale.nodes;
    let full = (HISTORY_MS as f64 / 1000.0).min(scale.seen.as_secs_f64());
    Ok(vec![
        Figure::new(
            Part::Ring,
            format!("memory in use, {nodes} nodes, {ROWS} busy rows each, 4 Hz"),
            resident,
            "MB",
        )
        .at_most(300.0),
        Figure::new(Part::Ring, "held", held as f64 / 1000.0, "s").at_least((full - 1.0).max(0.0)),
        Figure::new(Part::Ring, "of it the ring", history.bytes() as f64 / 1e6, "MB"),
        figure("one update of a node taken in, p99", taken_in.quantile(0.99)),
        figure(
            "the same put away, in another thread, p99",
            put_away.quantile(0.99),
        ),
        Figure::new(Part::Ring, "going back to a moment, p50", mid, "ms"),
        Figure::new(Part::Ring, "going back to a moment, worst", worst, "ms"),
    ])
}

fn figure(what: &str, time: Duration) -> Figure {
    Figure::new(Part::Ring, what, millis(time), "ms")
}

fn rows(node: usize, round: u64, now: u64) -> Update {
    let name = format!("n{node}");
    let process = |k: u64| v1::Row {
        row: Some(Row::Process(process(&name, k, round))),
    };
    let own = v1::Row {
        row: Some(Row::Node(v1::NodeRow {
            name: name.clone(),
            incarnation: 1,
            messages_in: round * 50_000,
            messages_out: round * 49_000,
            cpu_percent: 30.0,
            ..Default::default()
        })),
    };
    Update::Rows(RowsUpdate {
        node: name.clone(),
        whole: round == 0,
        rows: std::iter::once(own).chain((0..ROWS).map(process)).collect(),
        taken_unix_ms: now,
        ..Default::default()
    })
}

/// Counters that no two processes have in step: what is alike would be packed too well.
fn process(node: &str, k: u64, round: u64) -> v1::ProcessRow {
    let uneven = |salt: u64| (k * 7919 + round * 104_729 + salt * 15_485_863) % 997;
    let done = round * (k * 31 % 397 + 1) + uneven(1) % 13;
    v1::ProcessRow {
        pid: format!("<{node}.{}>", k + 1),
        name: format!("exchange-{:02}", k % 12),
        kind: "handler".to_owned(),
        enqueued: done + uneven(2) % 17,
        dequeued: done,
        bound: 4096,
        oldest_us: uneven(3) * 4,
        busy_us: done * 7 + uneven(4),
        sent: done,
        restarts: 0,
        age_ms: 3_600_000 + round * INTERVAL_MS,
        dropped: 0,
    }
}
