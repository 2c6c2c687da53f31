//! Links between nodes are cut by the fault shim: the majority goes on, the minority says that it has no quorum, nothing
//! stale takes effect afterwards, and all agree again once the links are whole.

use std::process::{Command, Stdio};

use serde_json::Value;
use squall_chaos::record::Marks;

use crate::judged::{All, held};
use crate::rig::{Cluster, Process, owner_in};

/// A cluster with an exchange of node a's, on which links are cut.
struct Scene {
    cluster: Cluster,
    nodes: usize,
    marks: Marks,
}

impl Scene {
    fn new(nodes: usize) -> Self {
        let cluster = Cluster::start_judged(nodes);
        cluster.ok(&[
            "exchange",
            "declare",
            "orders",
            "--strategy",
            "round-robin",
            "--failover",
            "a,b,c",
            "--takeover",
            "never",
        ]);
        assert_eq!(cluster.owner("orders").0, "a");
        let marks = Marks::default();
        Self {
            cluster,
            nodes,
            marks,
        }
    }

    /// Cuts these links, (from, to), all at once.
    fn cut(&self, links: impl IntoIterator<Item = (usize, usize)>) {
        let cutting: Vec<Process> = links
            .into_iter()
            .map(|(from, to)| {
                let (from, to) = (Cluster::name(from), Cluster::name(to));
                let args = ["chaos", "cut", from, to, "--ttl", "10m"];
                Process::spawn(self.cluster.client(&args).stdout(Stdio::null()))
            })
            .collect();
        for mut cut in cutting {
            assert!(cut.0.wait().expect("it ends").success(), "a link is not cut");
        }
    }

    fn mend(&mut self) {
        self.cluster.ok(&["chaos", "halt"]);
        self.marks.healed();
    }

    /// Waits until a node says that it has been without a quorum for long.
    fn isolated(&self, node: usize) {
        self.cluster.watch("timeline", |view| {
            let events = view["events"].as_array()?;
            let told = |e: &&Value| e["kind"] == "isolated" && e["node"] == Cluster::name(node);
            events.iter().find(told).map(drop)
        });
    }

    /// Waits until one of these nodes owns the exchange; gives the epoch.
    fn owned_by(&self, nodes: &[usize], above: u64) -> u64 {
        self.cluster.watch("exchanges", |view| {
            let (owner, epoch) = owner_in(view, "orders")?;
            (nodes.contains(&Cluster::index(&owner)) && epoch > above).then_some(epoch)
        })
    }

    /// Waits until all nodes have one revision, hear a majority, and believe in one owner.
    fn agree(&self) {
        self.cluster.watch("overview", |view| {
            let nodes = view["nodes"].as_array()?;
            let up = |n: &&Value| n["state"] == "up" && n["quorum"] == true;
            let same = nodes.iter().all(|n| n["revision"] == nodes[0]["revision"]);
            (same && nodes.iter().filter(up).count() == self.nodes).then_some(())
        });
        self.cluster.watch("leaders", |view| {
            let rows: Vec<&Value> = view["leaders"].as_array()?.iter().collect();
            let one = rows.iter().filter(|r| r["role"] == "owner").count() == 1;
            let same = |field: &str| rows.iter().all(|r| r[field] == rows[0][field]);
            (rows.len() == self.nodes && one && same("epoch") && same("believed_owner")).then_some(())
        });
    }

    /// How a request through that node ends: its outcome and the reason, if there is one.
    fn request(&self, through: usize) -> (String, String) {
        let args = ["request", "orders", "x", "--json", "--timeout", "50s"];
        outcome(&mut self.cluster.client_of(&[through], &args))
    }

    /// Requests and changes of the registry through that node are refused for want of a quorum.
    fn has_no_quorum(&self, node: usize) {
        let (word, reason) = self.request(node);
        assert_eq!((word.as_str(), reason.as_str()), ("unavailable", "no quorum"));
        let declare = ["exchange", "declare", "late", "--strategy", "default"];
        let refused = self.cluster.client_of(&[node], &declare).output();
        let refused = refused.expect("it runs");
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(5), "{error}");
        assert!(error.contains("unavailable: no quorum"), "{error}");
    }

    /// Ends all nodes and asks the checkers.
    fn judge(mut self) {
        let verdicts = self.cluster.judge(&self.marks);
        held(&verdicts, All::But(&[6, 7, 9, 10, 11]));
    }
}

fn outcome(request: &mut Command) -> (String, String) {
    let output = request.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Value = serde_json::from_str(&text).expect("a line of JSON");
    let word = |field: &str| said[field].as_str().unwrap_or_default().to_owned();
    (word("outcome"), word("reason"))
}

fn replied(outcome: &(String, String)) {
    assert_eq!(outcome.0, "reply", "{outcome:?}");
}

/// The first nodes, the owner among them, are cut off from the others.
fn split(minority: &[usize], majority: &[usize]) {
    let mut scene = Scene::new(minority.len() + majority.len());
    let (_inside, _) = scene.cluster.echo_through(minority, "orders");
    let (_first, _) = scene.cluster.echo_through(majority, "orders");
    let (_second, _) = scene.cluster.echo_through(majority, "orders");
    replied(&scene.request(minority[0]));
    let across = |from: &[usize], to: &[usize]| -> Vec<(usize, usize)> {
        from.iter()
            .flat_map(|f| to.iter().map(move |t| (*f, *t)))
            .collect()
    };
    scene.cut([across(minority, majority), across(majority, minority)].concat());
    let epoch = scene.owned_by(majority, 1);
    for node in majority {
        replied(&scene.request(*node));
    }
    minority.iter().for_each(|node| scene.isolated(*node));
    std::thread::scope(|all| {
        for node in minority {
            all.spawn(|| scene.has_no_quorum(*node));
        }
    });
    scene.mend();
    scene.agree();
    assert_eq!(
        scene.cluster.owner("orders").1,
        epoch,
        "the owner stays under its epoch"
    );
    for node in minority.iter().chain(majority) {
        replied(&scene.request(*node));
    }
    scene.judge();
}

#[test]
fn an_owner_that_is_cut_off_says_so_and_the_majority_goes_on() {
    split(&[0], &[1, 2]);
}

#[test]
fn of_a_cluster_that_is_split_in_two_the_majority_goes_on() {
    split(&[0, 1], &[2, 3, 4]);
}

#[test]
fn a_link_that_is_cut_one_way_costs_no_request_its_whole_timeout() {
    let mut scene = Scene::new(3);
    let (_first, _) = scene.cluster.echo_through(&[2], "orders");
    replied(&scene.request(1));
    // Node b hears the owner, and what it sends there arrives nowhere.
    scene.cut([(1, 0)]);
    let (word, reason) = scene.request(1);
    assert!(
        ["interrupted", "unavailable"].contains(&word.as_str()),
        "{word}: {reason}"
    );
    replied(&scene.request(2));
    scene.mend();
    scene.agree();
    replied(&scene.request(1));
    scene.judge();
}
