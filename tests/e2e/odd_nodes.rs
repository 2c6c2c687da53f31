//! The observer in a terminal on nodes that no release ever was: of other versions, with figures that cannot be, with a hundred
//! thousand processes. It says what is wrong, and goes on with the others.

use std::path::Path;

use squall_proto::v1;
use squall_proto::v1::frame::Body;
use squall_proto::v1::row::Row;

use crate::fake::{Fakes, Story};
use crate::pty::{Left, Pty, Screen};

const SIZE: (u16, u16) = (120, 40);
pub(crate) const VIEWS: [(&str, &str); 9] = [
    ("2", "─ Links ─"),
    ("3", "─ Exchanges ─"),
    ("4", "─ Opinions ─"),
    ("5", "─ Processes ─"),
    ("6", "─ Registry ─"),
    ("7", "─ Timeline ─"),
    ("8", "─ Traces ─"),
    ("9", "─ Faults"),
    ("1", "─ Nodes ─"),
];

pub(crate) fn observe(addresses: &[String], dir: &Path) -> Pty {
    Pty::start(&["observe", "--connect", &addresses.join(",")], dir, SIZE)
}

pub(crate) fn quits(mut observer: Pty) -> Left {
    observer.press("q");
    let left = observer.left();
    assert_eq!(left.code, 0);
    assert!(
        !left.alternate_screen && left.modes_restored,
        "the terminal is as before"
    );
    left
}

/// The newest revision, from the header: it goes up as long as some node is heard.
fn revision(screen: &Screen<'_>) -> Option<u64> {
    let head = screen.rows().next()?;
    head.iter()
        .skip_while(|word| **word != "rev")
        .nth(1)?
        .parse()
        .ok()
}

pub(crate) fn goes_on(observer: &Pty) {
    let first = observer.wait("a revision", revision);
    observer.wait("a newer one", |screen| (revision(screen)? > first).then_some(()));
}

#[test]
fn nodes_of_other_versions_are_named_with_what_is_wrong_and_the_others_go_on() {
    let fakes = Fakes::new();
    let dir = tempfile::tempdir().expect("a directory");
    let mut newer = Story::of("newer", "9.9.9");
    if let Some(Row::Node(own)) = newer.rows.first_mut() {
        own.role = 99;
    }
    newer.rows.extend([
        Row::Link(v1::LinkRow {
            peer: "good".into(),
            state: 99,
            ..Default::default()
        }),
        Row::Leader(v1::LeaderRow {
            exchange: "orders".into(),
            role: 99,
            ..Default::default()
        }),
    ]);
    // What a kind of row, or of frame, that is not known leaves behind when it is decoded; and a kind in an enumeration.
    let unknown_row = v1::Row::default();
    let unknown_key = v1::RowKey {
        kind: 99,
        key: "x".into(),
    };
    newer.odd = vec![
        Some(Body::Delta(v1::Delta {
            rows: vec![unknown_row],
            removed: vec![unknown_key],
        })),
        None,
    ];
    newer.events = vec![v1::Event {
        seq: u64::MAX,
        kind: "unheard-of".into(),
        severity: 99,
        ..Default::default()
    }];
    let older = Story {
        is_older: true,
        ..Story::of("older", "0.0.1")
    };
    let good = Story::of("good", env!("CARGO_PKG_VERSION"));
    let stranger = fakes.start_stranger();
    let addresses = [
        fakes.start(good),
        fakes.start(newer),
        fakes.start(older),
        stranger.clone(),
    ];
    let mut observer = observe(&addresses, dir.path());
    observer.sees(&[
        "versions differ: ",
        "0.1.0 on good, 9.9.9",
        "older lost: no node of this version",
        "2/3 up",
    ]);
    observer.sees(&[&format!("{stranger}: no node of this version")]);
    goes_on(&observer);
    for (key, title) in VIEWS {
        observer.press(key);
        observer.sees(&[title]);
    }
    goes_on(&observer);
    quits(observer);
}

/// Rows that have a frame at the left have one at the right, in the last column.
pub(crate) fn frames_are_whole(observer: &Pty, title: &str) {
    observer.wait_cells(&format!("the frames of {title} in line"), |screen| {
        let text = |row, column| screen.cell(row, column).map_or("", vt100::Cell::contents);
        let is_whole = |row: &u16| {
            !["│", "╭", "╰"].contains(&text(*row, 0)) || ["│", "╮", "╯"].contains(&text(*row, SIZE.0 - 1))
        };
        let broken = (0..SIZE.1).find(|row| !is_whole(row))?;
        Some(format!("row {broken} ends in '{}'", text(broken, SIZE.0 - 1)))
    });
}

#[test]
fn figures_that_cannot_be_are_shown_and_nothing_breaks() {
    let fakes = Fakes::new();
    let dir = tempfile::tempdir().expect("a directory");
    let addresses: Vec<String> = [
        (u64::MAX, f64::NAN),
        (u64::MAX, f64::INFINITY),
        (u64::MAX - 1, -1e308),
    ]
    .into_iter()
    .zip(["a", "b", "c"])
    .map(|((n, x), name)| fakes.start(absurd(name, n, x)))
    .collect();
    let mut observer = observe(&addresses, dir.path());
    observer.sees(&["3/3 up"]);
    for (key, title) in VIEWS {
        observer.press(key);
        observer.sees(&[title]);
        // In the Mesh it opens the graph instead.
        if key != "2" {
            observer.press("w");
        }
        observer.press("j\r");
        observer.wait("a page, or why there is none", |screen| {
            (!screen.0.contains(title) || screen.0.contains("No row is selected")).then_some(())
        });
        frames_are_whole(&observer, title);
        observer.press("\x1b");
        observer.wait("the view again", |screen| {
            (screen.0.contains(title) && !screen.0.contains("No row is selected")).then_some(())
        });
        observer.press("<<>i");
        frames_are_whole(&observer, title);
    }
    observer.press("{{}}L");
    observer.sees(&["● LIVE"]);
    quits(observer);
}

/// A node all of whose figures are the same.
fn absurd(name: &str, n: u64, x: f64) -> Story {
    let mut story = Story::of(name, "0.1.0");
    story.rows = vec![
        Row::Node(v1::NodeRow {
            name: name.into(),
            incarnation: n,
            role: v1::MetaRole::Leader.into(),
            raft_id: n,
            term: n,
            quorum: true,
            revision: n,
            cpu_percent: x,
            rss_bytes: n,
            fds: n,
            processes: n,
            messages_in: n,
            messages_out: n,
            uptime_ms: n,
            lease_left_ms: n,
            timer_late_ms: n,
            dropped: n,
            os_pid: n,
            refusals: vec![v1::Refusals {
                reason: "x".into(),
                count: n,
            }],
            decisions_explained: n,
            detail_watchers: n,
            heartbeat_us: n,
            version: "0.1.0".into(),
            ..Default::default()
        }),
        Row::Exchange(v1::ExchangeRow {
            name: "orders".into(),
            epoch: n,
            handlers: n,
            requests: n,
            replies: n,
            declined: n,
            refused: n,
            in_flight: n,
            p50_us: n,
            p99_us: n,
            owned_here: true,
            ..Default::default()
        }),
        Row::Leader(v1::LeaderRow {
            exchange: "orders".into(),
            role: v1::LeaderRole::Owner.into(),
            epoch: n,
            leader_epoch: n,
            lease_left_ms: n,
            ..Default::default()
        }),
        Row::Process(v1::ProcessRow {
            pid: format!("<{name}.{n}>"),
            name: "orders".into(),
            enqueued: 0,
            dequeued: n,
            bound: n,
            oldest_us: n,
            busy_us: n,
            sent: n,
            restarts: n,
            age_ms: n,
            dropped: n,
            ..Default::default()
        }),
        Row::Process(v1::ProcessRow {
            pid: format!("<{name}.1>"),
            enqueued: n,
            ..Default::default()
        }),
        Row::Fault(v1::FaultRow {
            id: "f".into(),
            left_ms: n,
            touched: n,
            ..Default::default()
        }),
    ];
    let links = ["a", "b", "c"].into_iter().map(|peer| {
        Row::Link(v1::LinkRow {
            peer: peer.into(),
            state: v1::LinkState::Up.into(),
            rtt_p50_us: n,
            rtt_p99_us: n,
            phi: x,
            queue_bytes: n,
            last_heard_ms: n,
            fault: "cut".into(),
            fault_left_ms: n,
            frames_out: n,
            bytes_out: n,
            connects: n,
            ..Default::default()
        })
    });
    story.rows.extend(links);
    story.events = [0, 1, n - 1, n]
        .into_iter()
        .map(|seq| v1::Event {
            seq,
            unix_ms: seq,
            unix_us: n,
            kind: "owner-changed".into(),
            subject: "orders".into(),
            epoch: n,
            ..Default::default()
        })
        .collect();
    story
}

#[test]
fn a_node_with_a_hundred_thousand_processes_is_shown_sorted_and_left() {
    const PROCESSES: u64 = 100_000;
    let fakes = Fakes::new();
    let dir = tempfile::tempdir().expect("a directory");
    let mut story = Story::of("big", "0.1.0");
    story.rows.extend((1..=PROCESSES).map(|i| {
        Row::Process(v1::ProcessRow {
            pid: format!("<big.{i}>"),
            name: format!("worker-{i}"),
            kind: "handler".into(),
            enqueued: i,
            bound: 1 << 20,
            ..Default::default()
        })
    }));
    let mut observer = observe(&[fakes.start(story)], dir.path());
    observer.sees(&["1/1 up"]);
    observer.press("5");
    // By mailbox, the fullest first.
    observer.sees(&["<big.100000>", "<big.99999>"]);
    observer.press("G");
    observer.sees(&["<big.1> "]);
    observer.press("gi");
    observer.sees(&["<big.1> ", "<big.2> "]);
    observer.press("/name = worker-4242\r");
    observer.sees(&["<big.4242>"]);
    goes_on(&observer);
    quits(observer);
}
