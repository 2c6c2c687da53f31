//! A made-up cluster of three nodes, told as the updates a feed would deliver, second by second. Everything
//! in it is computed from the time, so that a frame is the same every time.

use squall_observer::Screen;
use squall_observer::feed::{Link, RowsUpdate, Update};
use squall_observer::model::{Message, Model};
use squall_observer::units::Moment;
use squall_observer::update::update;
use squall_proto::v1;
use squall_proto::v1::row::Row;

/// What the cluster is going through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// No node has answered yet.
    Loading,
    /// All is well.
    Healthy,
    /// No majority hears itself.
    Leaderless,
    /// Two nodes act as owner.
    Split,
    /// Node b was killed and its exchange has moved.
    Lost,
    /// Exchange orders moves away from b, which is to leave; c is weak.
    Moving,
}

/// 14:00:00 UTC of some day.
pub(crate) const START: u64 = 1_700_056_800_000;
const SECONDS: u64 = 150;
const NAMES: [&str; 3] = ["a", "b", "c"];
/// Node b dies this many seconds before the end.
const LOST_FOR: u64 = 4;

/// A model that has watched the scene for some minutes.
pub(crate) fn model(scene: Scene, size: (u16, u16), screen: Screen) -> Model {
    let mut model = Model::new(size, screen, true);
    let feed = |model: &mut Model, updates| drop(update(model, Message::Fed(updates)));
    if scene == Scene::Loading {
        update(&mut model, Message::Tick(Moment(START)));
        let why = Some("connection refused".to_owned());
        feed(
            &mut model,
            vec![Update::Seed {
                addr: "127.0.0.1:7400".to_owned(),
                why,
            }],
        );
        update(&mut model, Message::Tick(Moment(START + 400)));
        return model;
    }
    for second in 0..=SECONDS {
        let now = START + second * 1000;
        update(&mut model, Message::Tick(Moment(now)));
        for (i, name) in NAMES.into_iter().enumerate() {
            let gone = scene == Scene::Lost && name == "b" && second + LOST_FOR > SECONDS;
            if !gone {
                feed(&mut model, vec![rows(scene, i, name, second)]);
            }
        }
        update(&mut model, Message::Tick(Moment(now + 100)));
    }
    feed(&mut model, events(scene));
    if scene == Scene::Lost {
        let state = Link::Down {
            why: "connection refused".to_owned(),
            refused: true,
        };
        feed(
            &mut model,
            vec![Update::Connection {
                node: "b".to_owned(),
                state,
            }],
        );
    }
    update(&mut model, Message::Tick(Moment(START + SECONDS * 1000 + 250)));
    model
}

/// What a scene is at one second, for one node.
struct At {
    scene: Scene,
    second: u64,
    failed_over: bool,
}

fn rows(scene: Scene, i: usize, name: &str, second: u64) -> Update {
    // A second after the loss the registry has moved the exchange.
    let failed_over = scene == Scene::Lost && second + LOST_FOR > SECONDS + 1;
    let at = At {
        scene,
        second,
        failed_over,
    };
    let mut rows = vec![node(&at, i, name)];
    rows.extend(
        NAMES
            .iter()
            .filter(|n| **n != name)
            .map(|peer| link(&at, name, peer)),
    );
    for exchange in ["orders", "users"] {
        rows.push(Row::Exchange(self::exchange(&at, name, exchange)));
        rows.push(Row::Leader(opinion(&at, name, exchange)));
    }
    rows.extend((0..4).map(|k| process(&at, i, name, k)));
    Update::Rows(RowsUpdate {
        node: name.to_owned(),
        whole: true,
        rows: rows.into_iter().map(|row| v1::Row { row: Some(row) }).collect(),
        taken_unix_ms: START + second * 1000,
        ..Default::default()
    })
}

fn node(at: &At, i: usize, name: &str) -> Row {
    let s = at.second;
    let leaderless = at.scene == Scene::Leaderless;
    let load = |base: u64| base * s + (s % 17) * 40 + (s * s) % 23 * 9;
    let down = |n: &str| at.failed_over && n == "b";
    let member = |(k, n): (usize, &&str)| v1::Member {
        name: (*n).to_owned(),
        raft_id: k as u64 + 11,
        role: if *n == "a" {
            v1::MetaRole::Leader
        } else {
            v1::MetaRole::Voter
        }
        .into(),
        state: if down(n) {
            v1::NodeState::Down
        } else {
            v1::NodeState::Up
        }
        .into(),
        duty: match (at.scene, *n) {
            (Scene::Moving, "b") => v1::NodeDuty::Leaving,
            (Scene::Moving, "c") => v1::NodeDuty::Weak,
            _ => v1::NodeDuty::Full,
        }
        .into(),
        ..Default::default()
    };
    let leads = name == "a" && !leaderless;
    Row::Node(v1::NodeRow {
        name: name.to_owned(),
        incarnation: 3 + i as u64,
        role: if leads {
            v1::MetaRole::Leader
        } else {
            v1::MetaRole::Voter
        }
        .into(),
        term: if leaderless { 9 } else { 4 },
        meta_leader: if leaderless { String::new() } else { "a".to_owned() },
        quorum: !leaderless,
        revision: 118 + u64::from(at.failed_over),
        cpu_percent: 4.1 + i as f64 * 7.3,
        rss_bytes: (21 + i as u64 * 3) << 20,
        fds: 38 + i as u64,
        processes: 12 + i as u64,
        messages_in: load(900 + 350 * i as u64),
        messages_out: load(880 + 340 * i as u64),
        uptime_ms: s * 1000 + 3_600_000,
        version: "0.1.0".to_owned(),
        members: NAMES.iter().enumerate().map(member).collect(),
        lease_left_ms: if leaderless { 0 } else { 97 },
        timer_late_ms: 1,
        os_pid: 4_100 + i as u64,
        ..Default::default()
    })
}

fn link(at: &At, from: &str, peer: &str) -> Row {
    let lost = at.failed_over && peer == "b";
    let delayed = at.scene == Scene::Split && from == "a" && peer == "b";
    let delay = if delayed { 50_000 } else { 0 };
    Row::Link(v1::LinkRow {
        peer: peer.to_owned(),
        state: if lost {
            v1::LinkState::Down
        } else {
            v1::LinkState::Up
        }
        .into(),
        rtt_p50_us: 180 + delay + u64::from(from < peer) * 31,
        rtt_p99_us: 840 + delay,
        phi: if lost { 42.0 } else { 0.3 },
        last_heard_ms: if lost { 3_900 } else { 21 },
        fault: if delayed {
            "delay a -> b 50ms ±10ms".to_owned()
        } else {
            String::new()
        },
        fault_left_ms: if delayed { 24_000 } else { 0 },
        frames_out: at.second * 420,
        bytes_out: at.second * 64_000,
        connects: 1,
        why: if lost {
            "connection refused".to_owned()
        } else {
            String::new()
        },
        ..Default::default()
    })
}

fn owner(at: &At, exchange: &str) -> (&'static str, u64) {
    match (exchange, at.failed_over) {
        ("users", _) => ("a", 2),
        (_, true) => ("c", 8),
        (_, false) => ("b", 7),
    }
}

fn moving_to(at: &At, exchange: &str) -> String {
    let moves = at.scene == Scene::Moving && exchange == "orders";
    if moves { "a" } else { "" }.to_owned()
}

fn exchange(at: &At, name: &str, exchange: &str) -> v1::ExchangeRow {
    let (owner, epoch) = owner(at, exchange);
    let owned_here = owner == name && at.scene != Scene::Leaderless;
    let figure = |n: u64| if owned_here { n } else { 0 };
    let handlers = if exchange == "users" { 5 } else { 3 };
    v1::ExchangeRow {
        name: exchange.to_owned(),
        pattern: "request-response".to_owned(),
        strategy: if exchange == "users" {
            "round-robin"
        } else {
            "consensus"
        }
        .to_owned(),
        owner: owner.to_owned(),
        epoch,
        failover: if exchange == "users" {
            vec![]
        } else {
            vec!["b".to_owned(), "c".to_owned(), "a".to_owned()]
        },
        handlers: figure(handlers),
        requests: figure(at.second * 170 * handlers),
        replies: figure(at.second * 170 * handlers),
        refused: if at.scene == Scene::Leaderless { 312 } else { 0 },
        in_flight: figure(handlers),
        p50_us: figure(310),
        p99_us: figure(1_900),
        owned_here,
        moving_to: moving_to(at, exchange),
        takeover: "auto".to_owned(),
        ..Default::default()
    }
}

fn opinion(at: &At, name: &str, exchange: &str) -> v1::LeaderRow {
    let (owner, epoch) = owner(at, exchange);
    let leaderless = at.scene == Scene::Leaderless;
    let second_owner = at.scene == Scene::Split && exchange == "orders" && name == "a";
    let role = match (owner == name, leaderless) {
        _ if second_owner => v1::LeaderRole::Owner,
        (true, false) => v1::LeaderRole::Owner,
        (true, true) => v1::LeaderRole::OwnerNoLease,
        (false, _) => v1::LeaderRole::Router,
    };
    let believed = if second_owner { name } else { owner };
    v1::LeaderRow {
        exchange: exchange.to_owned(),
        role: role.into(),
        epoch: if second_owner { epoch - 1 } else { epoch },
        leader: if exchange == "orders" {
            format!("<{owner}.12>")
        } else {
            String::new()
        },
        leader_epoch: 3,
        believed_owner: if leaderless {
            String::new()
        } else {
            believed.to_owned()
        },
        lease_left_ms: if role == v1::LeaderRole::Owner { 97 } else { 0 },
        moving_to: moving_to(at, exchange),
    }
}

fn process(at: &At, i: usize, node: &str, k: u64) -> Row {
    let (name, kind) = match k {
        0 => ("orders", "exchange"),
        1 => ("users", "exchange"),
        2 => ("users/reply", "handler"),
        _ => ("session 127.0.0.1:51234", "session"),
    };
    let dequeued = at.second * 100 * (k + 1);
    Row::Process(v1::ProcessRow {
        pid: format!("<{node}.{}>", 10 + k),
        name: name.to_owned(),
        kind: kind.to_owned(),
        enqueued: dequeued + if k == 2 { 730 } else { k * (i as u64) },
        dequeued,
        bound: 1024,
        oldest_us: if k == 2 { 48_000 } else { 0 },
        busy_us: at.second * 31_000 * (k + 1),
        sent: dequeued,
        restarts: u64::from(k == 2),
        age_ms: at.second * 1000,
        ..Default::default()
    })
}

fn events(scene: Scene) -> Vec<Update> {
    let end = START + SECONDS * 1000;
    let event =
        |seq: u64, before: u64, kind: &str, subject: &str, text: &str, severity: v1::Severity| v1::Event {
            seq,
            unix_ms: end - before,
            unix_us: (end - before) * 1000,
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            text: text.to_owned(),
            severity: severity.into(),
            epoch: if ["owner-changed", "first-reply"].contains(&kind) {
                8
            } else {
                0
            },
        };
    use v1::Severity::{Alert, Info, Notice};
    let mut all = vec![event(
        1,
        148_000,
        "meta-leader",
        "a",
        "a leads the registry in term 4",
        Info,
    )];
    match scene {
        Scene::Lost => {
            all.push(event(
                2,
                3_900,
                "link-down",
                "b",
                "connection to b lost: reset by peer",
                Notice,
            ));
            all.push(event(
                3,
                3_896,
                "died",
                "b",
                "the end of b's process was seen here",
                Notice,
            ));
            all.push(event(
                4,
                3_420,
                "node-lost",
                "b",
                "b has ended, which was seen: declared lost",
                Alert,
            ));
            all.push(event(
                5,
                3_400,
                "owner-changed",
                "orders",
                "orders moves from b to c",
                Notice,
            ));
            all.push(event(
                6,
                3_210,
                "leader-appointed",
                "orders",
                "<c.12> leads orders under leader epoch 4",
                Notice,
            ));
            all.push(event(
                7,
                3_200,
                "first-reply",
                "orders",
                "orders answered here for the first time under epoch 8",
                Info,
            ));
        }
        Scene::Split => all.push(event(
            2,
            6_000,
            "fault-set",
            "f1",
            "delay a -> b 50ms ±10ms for 30s",
            Notice,
        )),
        Scene::Leaderless => all.push(event(2, 9_000, "quorum-lost", "a", "a stepped down", Alert)),
        Scene::Healthy | Scene::Loading | Scene::Moving => {}
    }
    let mut updates = vec![Update::Events {
        node: "a".to_owned(),
        incarnation: 3,
        events: all,
        lost: 0,
    }];
    if scene == Scene::Split {
        let fault = v1::FaultRow {
            id: "f1".to_owned(),
            what: "delay a -> b 50ms ±10ms".to_owned(),
            left_ms: 24_000,
            by: "operator".to_owned(),
            touched: 210,
        };
        let rows = vec![v1::Row {
            row: Some(Row::Fault(fault)),
        }];
        let taken_unix_ms = end;
        updates.push(Update::Rows(RowsUpdate {
            node: "a".to_owned(),
            rows,
            taken_unix_ms,
            ..Default::default()
        }));
    }
    updates
}
