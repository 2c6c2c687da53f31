//! A made-up cluster of three nodes with many processes, told as the updates of the observer's feed. Everything is
//! computed from the frame's number. What does not live here: measuring what they cost.

use squall_observer::feed::{Link, RowsUpdate, Update};
use squall_proto::v1;
use squall_proto::v1::row::Row;

const NODES: [&str; 3] = ["a", "b", "c"];
const EXCHANGES: usize = 12;
/// 14:00:00 UTC of some day.
const START_MS: u64 = 1_700_056_800_000;
/// One process row in so many is told again with each frame: all of them in about three seconds.
const CHANGED_ONE_IN: usize = 100;
/// Events a node has told of.
const EVENTS: u64 = 500;

/// The cluster.
pub(super) struct Cluster {
    /// The nodes' clock.
    pub(super) now_ms: u64,
    each: usize,
    frame: u64,
    next: usize,
}

impl Cluster {
    /// A cluster with about so many processes.
    pub(super) fn new(processes: usize) -> Self {
        Self {
            now_ms: START_MS,
            each: processes.div_ceil(NODES.len()),
            frame: 0,
            next: 0,
        }
    }

    /// Process rows told again with each frame.
    pub(super) fn changed(&self) -> usize {
        self.each.div_ceil(CHANGED_ONE_IN) * NODES.len()
    }

    /// Everything: connections, who the nodes are, all rows, events.
    pub(super) fn whole(&self) -> Vec<Update> {
        NODES
            .iter()
            .enumerate()
            .flat_map(|(i, name)| self.node(i, name))
            .collect()
    }

    /// What changed since the frame before, of every node.
    pub(super) fn step(&mut self) -> Vec<Update> {
        self.frame += 1;
        let count = self.each.div_ceil(CHANGED_ONE_IN);
        let first = self.next;
        self.next = (first + count) % self.each.max(1);
        let rows = |(i, name): (usize, &&str)| {
            let mut rows = self.few(i, name);
            rows.extend((first..first + count).map(|k| self.process(name, k % self.each)));
            self.rows(name, rows, false)
        };
        NODES.iter().enumerate().map(rows).collect()
    }

    fn node(&self, i: usize, name: &str) -> Vec<Update> {
        let mut rows = self.few(i, name);
        rows.extend((0..self.each).map(|k| self.process(name, k)));
        let events = (1..=EVENTS).map(|seq| self.event(name, seq)).collect();
        vec![
            Update::Hello {
                node: name.to_owned(),
                hello: v1::HelloResponse {
                    node: name.to_owned(),
                    version: "0.1.0".to_owned(),
                    incarnation: 1,
                    cluster: "c1".to_owned(),
                    members: members(),
                    ..Default::default()
                },
            },
            Update::Connection {
                node: name.to_owned(),
                state: Link::Live,
            },
            self.rows(name, rows, true),
            Update::Events {
                node: name.to_owned(),
                incarnation: 1,
                events,
                lost: 0,
            },
        ]
    }

    fn rows(&self, name: &str, rows: Vec<Row>, whole: bool) -> Update {
        Update::Rows(RowsUpdate {
            node: name.to_owned(),
            whole,
            rows: rows.into_iter().map(|row| v1::Row { row: Some(row) }).collect(),
            taken_unix_ms: self.now_ms,
            ..Default::default()
        })
    }

    /// The rows that change all the time: node, links, exchanges, opinions.
    fn few(&self, i: usize, name: &str) -> Vec<Row> {
        let mut rows = vec![self.node_row(i, name)];
        let peers = NODES.iter().filter(|peer| **peer != name);
        rows.extend(peers.map(|peer| self.link(peer)));
        for k in 0..EXCHANGES {
            rows.push(self.exchange(i, name, k));
            rows.push(self.opinion(i, k));
        }
        rows
    }

    fn node_row(&self, i: usize, name: &str) -> Row {
        let lead = if i == 0 {
            v1::MetaRole::Leader
        } else {
            v1::MetaRole::Voter
        };
        Row::Node(v1::NodeRow {
            name: name.to_owned(),
            incarnation: 1,
            role: lead.into(),
            raft_id: i as u64 + 1,
            term: 3,
            meta_leader: NODES[0].to_owned(),
            quorum: true,
            revision: 40,
            cpu_percent: 20.0 + (self.frame % 17) as f64,
            rss_bytes: (60 << 20) + self.frame * 4096,
            fds: 60,
            processes: self.each as u64,
            messages_in: self.frame * 1_300,
            messages_out: self.frame * 1_290,
            uptime_ms: self.frame * 33 + 3_600_000,
            version: "0.1.0".to_owned(),
            members: members(),
            lease_left_ms: 90 + self.frame % 30,
            os_pid: 4_000 + i as u64,
            ..Default::default()
        })
    }

    fn link(&self, peer: &str) -> Row {
        Row::Link(v1::LinkRow {
            peer: peer.to_owned(),
            state: v1::LinkState::Up.into(),
            rtt_p50_us: 150 + self.frame % 50,
            rtt_p99_us: 800 + self.frame % 300,
            phi: (self.frame % 20) as f64 / 10.0,
            queue_bytes: self.frame % 7 * 512,
            last_heard_ms: self.frame % 50,
            frames_out: self.frame * 400,
            bytes_out: self.frame * 60_000,
            connects: 1,
            ..Default::default()
        })
    }

    fn exchange(&self, i: usize, name: &str, k: usize) -> Row {
        let owned_here = k % NODES.len() == i;
        let figure = |n: u64| if owned_here { n } else { 0 };
        Row::Exchange(v1::ExchangeRow {
            name: exchange_name(k),
            pattern: "request-response".to_owned(),
            strategy: "round-robin".to_owned(),
            owner: if owned_here { name } else { NODES[k % NODES.len()] }.to_owned(),
            epoch: 4,
            failover: NODES.map(str::to_owned).to_vec(),
            handlers: figure(5),
            requests: figure(self.frame * 90),
            replies: figure(self.frame * 89),
            in_flight: figure(self.frame % 12),
            p50_us: figure(200 + self.frame % 90),
            p99_us: figure(1_400 + self.frame % 900),
            owned_here,
            ..Default::default()
        })
    }

    fn opinion(&self, i: usize, k: usize) -> Row {
        let owned_here = k % NODES.len() == i;
        let role = if owned_here {
            v1::LeaderRole::Owner
        } else {
            v1::LeaderRole::Router
        };
        Row::Leader(v1::LeaderRow {
            exchange: exchange_name(k),
            role: role.into(),
            epoch: 4,
            believed_owner: NODES[k % NODES.len()].to_owned(),
            lease_left_ms: if owned_here { 90 + self.frame % 30 } else { 0 },
            ..Default::default()
        })
    }

    fn process(&self, name: &str, k: usize) -> Row {
        let n = k as u64;
        let done = self.frame * (n % 97 + 1);
        Row::Process(v1::ProcessRow {
            pid: format!("<{name}.{}>", k + 1),
            name: exchange_name(k % EXCHANGES),
            kind: if k < EXCHANGES { "exchange" } else { "handler" }.to_owned(),
            enqueued: done + (n + self.frame) % 13,
            dequeued: done,
            bound: 4096,
            oldest_us: (n * 31 + self.frame) % 4_000,
            busy_us: done * 7,
            sent: done,
            restarts: u64::from(n.is_multiple_of(1_000)),
            age_ms: 3_600_000 + self.frame * 33,
            dropped: 0,
        })
    }

    fn event(&self, name: &str, seq: u64) -> v1::Event {
        let unix_ms = self.now_ms.saturating_sub((EVENTS - seq) * 700);
        v1::Event {
            seq,
            unix_ms,
            unix_us: unix_ms * 1000,
            kind: "owner-changed".to_owned(),
            subject: exchange_name(usize::try_from(seq).unwrap_or(0) % EXCHANGES),
            text: format!("node {name} took over under epoch {seq}"),
            severity: v1::Severity::Notice.into(),
            epoch: seq,
        }
    }
}

fn exchange_name(k: usize) -> String {
    format!("exchange-{k:02}")
}

fn members() -> Vec<v1::Member> {
    let member = |(i, name): (usize, &&str)| v1::Member {
        name: (*name).to_owned(),
        raft_id: i as u64 + 1,
        incarnation: 1,
        mesh_addr: format!("127.0.0.1:{}", 7400 + i * 10),
        grpc_addr: format!("127.0.0.1:{}", 7401 + i * 10),
        role: if i == 0 {
            v1::MetaRole::Leader
        } else {
            v1::MetaRole::Voter
        }
        .into(),
        state: v1::NodeState::Up.into(),
        ..Default::default()
    };
    NODES.iter().enumerate().map(member).collect()
}
