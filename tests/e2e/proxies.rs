//! Proxies between real processes: added and removed live under publishes, and killed. What was confirmed as received by
//! every subscriber's node reached every subscriber, and nobody got anything twice.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Instant;

use crate::rig::{Cluster, Lines, PATIENCE, Process};

const NODES: usize = 4;

/// a owns `news` and is in zone x; b, c and d are in zone y.
fn zoned() -> Cluster {
    let mut cluster = Cluster::empty();
    for (i, zone) in ["x", "y", "y", "y"].into_iter().enumerate() {
        let joins: Vec<String> = (0..NODES).filter(|o| *o != i).map(|o| cluster.mesh(o)).collect();
        let count = NODES.to_string();
        let mut extra = vec!["--zone", zone, "--expect", &count];
        for join in &joins {
            extra.extend(["--join", join]);
        }
        cluster.start_node(i, &extra);
    }
    cluster.wait_for_members(NODES);
    cluster
}

struct Subscriber {
    _process: Process,
    printed: Lines,
    /// How often each publish came.
    came: BTreeMap<u32, u32>,
}

impl Subscriber {
    /// Subscribed when this returns.
    fn at(cluster: &Cluster, node: usize) -> Self {
        let mut command = cluster.client_of(&[node], &["subscribe", "news", "n.#"]);
        let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let told = Lines::of(process.0.stderr.take().expect("piped"));
        told.find("subscribed", |line| {
            line.contains("subscribed to news").then_some(())
        });
        let printed = Lines::of(process.0.stdout.take().expect("piped"));
        Self {
            _process: process,
            printed,
            came: BTreeMap::new(),
        }
    }

    /// Reads until the publish with that number.
    fn read_until(&mut self, last: u32) {
        let came = &mut self.came;
        self.printed.find("the last publish", |line| {
            let (_, payload) = line.split_once('\t').expect("a key and a payload");
            let number: u32 = payload.parse().expect("a number");
            *came.entry(number).or_default() += 1;
            (number == last).then_some(())
        });
    }
}

/// Publishes, and what was confirmed.
struct Publisher {
    published: u32,
    confirmed: Vec<u32>,
}

impl Publisher {
    /// What was said of it.
    fn publish(&mut self, cluster: &Cluster, node: usize) -> String {
        self.published += 1;
        let number = self.published.to_string();
        let args = [
            "publish",
            "news",
            "n.x",
            &number,
            "--confirm",
            "received",
            "--timeout",
            "3s",
        ];
        let output = cluster
            .client_of(&[node], &args)
            .output()
            .expect("the program runs");
        if output.status.success() {
            self.confirmed.push(self.published);
        }
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Until one is confirmed.
    fn publish_for_certain(&mut self, cluster: &Cluster, node: usize) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = self.confirmed.len();
            let told = self.publish(cluster, node);
            if self.confirmed.len() > before {
                return told;
            }
            assert!(Instant::now() < deadline, "nothing is confirmed any more");
        }
    }
}

impl Publisher {
    /// Publishes until b passes publishes on to c and d.
    fn until_passed_on(&mut self, cluster: &Cluster) {
        let deadline = Instant::now() + PATIENCE;
        while passed_on(cluster, "b") != Some(2) {
            assert!(Instant::now() < deadline, "nobody gets publishes through b");
            self.publish(cluster, 3);
        }
    }
}

fn passed_on(cluster: &Cluster, node: &str) -> Option<u64> {
    let shown = cluster.succeeds(&mut cluster.client_of(&[0], &["exchange", "show", "news", "--json"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let proxies = shown["proxies"].as_array().expect("an array");
    let proxy = proxies.iter().find(|proxy| proxy["node"] == node)?;
    proxy["downstreams"].as_u64()
}

/// A31, A32, A33, A38.
#[test]
fn proxies_come_and_go_and_die_under_publishes_and_nothing_confirmed_is_lost_or_doubled() {
    let mut cluster = zoned();
    cluster.ok(&[
        "exchange",
        "declare",
        "news",
        "--pattern",
        "publish-subscribe",
        "--failover",
        "a",
    ]);
    let mut subscribers: Vec<Subscriber> = [0, 2, 3].map(|node| Subscriber::at(&cluster, node)).into();
    let mut publisher = Publisher {
        published: 0,
        confirmed: Vec::new(),
    };
    assert_eq!(publisher.publish(&cluster, 0), "received by 3 nodes\n");
    let added = cluster.ok(&["exchange", "proxy", "news", "add", "b"]);
    assert!(added.starts_with("b is a proxy of news, revision "), "{added}");
    publisher.until_passed_on(&cluster);
    for (action, node) in [("add", "c"), ("remove", "b"), ("add", "b"), ("remove", "c")] {
        cluster.ok(&["exchange", "proxy", "news", action, node]);
        for from in [0, 1, 2, 3] {
            publisher.publish(&cluster, from);
        }
    }
    publisher.until_passed_on(&cluster);

    cluster.kill(1);
    publisher.publish(&cluster, 0);
    publisher.publish_for_certain(&cluster, 3);
    // Whoever was behind it is behind the owner now.
    assert_eq!(
        publisher.publish_for_certain(&cluster, 0),
        "received by 3 nodes\n"
    );
    let last = *publisher.confirmed.last().expect("confirmed");
    for (n, subscriber) in subscribers.iter_mut().enumerate() {
        subscriber.read_until(last);
        let doubled: Vec<_> = subscriber.came.iter().filter(|(_, times)| **times > 1).collect();
        assert!(doubled.is_empty(), "subscriber {n} has twice {doubled:?}");
        let lost = publisher
            .confirmed
            .iter()
            .filter(|it| !subscriber.came.contains_key(it));
        let lost: Vec<_> = lost.collect();
        assert!(lost.is_empty(), "subscriber {n} has not {lost:?}");
    }
    refusals(&cluster);
}

fn refusals(cluster: &Cluster) {
    let table: [(&[&str], i32, &str); 2] = [
        (
            &["exchange", "proxy", "olds", "add", "a"],
            5,
            "there is no exchange 'olds'",
        ),
        (
            &["exchange", "proxy", "news", "add", "z"],
            6,
            "there is no node 'z'",
        ),
    ];
    for (args, code, words) in table {
        let output = cluster.client_of(&[0], args).output().expect("the program runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
        assert!(told.contains(words), "{args:?}: {told}");
    }
}
