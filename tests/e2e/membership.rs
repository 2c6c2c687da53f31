//! Members that come back as others, that are forgotten, and the way back when the quorum is lost for good.

use std::path::PathBuf;
use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;

use crate::rig::{Cluster, signal};

fn declare(cluster: &Cluster, failover: &str) {
    cluster.ok(&[
        "exchange",
        "declare",
        "orders",
        "--strategy",
        "round-robin",
        "--failover",
        failover,
    ]);
}

/// The members as `squall node list` has them.
fn members(cluster: &Cluster) -> Vec<Value> {
    let list: Value = serde_json::from_str(&cluster.ok(&["node", "list", "--json"])).expect("JSON");
    list["nodes"].as_array().expect("an array").clone()
}

/// Name, role and state of a member, and its id.
fn member(cluster: &Cluster, name: &str) -> Option<(String, String, String)> {
    let all = members(cluster);
    let mut found = all.iter().filter(|m| m["name"] == name);
    let one = found.next()?;
    assert!(found.next().is_none(), "listed twice: {all:#?}");
    let word = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
    Some((word("role"), word("state"), word("id")))
}

/// Waits until every node shows that many up, all of the same revision, and so many voters.
fn wait_for(cluster: &Cluster, up: usize, voters: usize) {
    cluster.watch("overview", |view| {
        let nodes = view["nodes"].as_array()?;
        let of = |wanted: &dyn Fn(&&Value) -> bool| nodes.iter().filter(wanted).count();
        let votes = |n: &&Value| n["state"] == "up" && (n["role"] == "voter" || n["role"] == "leader");
        let same = nodes.iter().all(|n| n["revision"] == nodes[0]["revision"]);
        let all = of(&|n| n["state"] == "up") == up && nodes.len() == up;
        (all && same && of(&votes) == voters).then_some(())
    });
}

fn wait_until_down(cluster: &Cluster, name: &str) {
    cluster.watch("overview", |view| {
        let nodes = view["nodes"].as_array()?;
        let down = |n: &&Value| n["name"] == name && n["state"] == "down";
        // What one node's row says of another is the registry's word once its events tell of it; the list is asked.
        nodes.iter().find(down)?;
        (member(cluster, name)?.1 == "down").then_some(())
    });
}

/// Handlers of the exchange, as its owner has them.
fn wait_for_handlers(cluster: &Cluster, wanted: u64) {
    cluster.watch("exchanges", |view| {
        let rows = view["exchanges"].as_array()?;
        let row = rows.iter().find(|r| r["name"] == "orders")?;
        (row["handlers"].as_u64() == Some(wanted)).then_some(())
    });
}

fn data_dir(cluster: &Cluster, i: usize) -> PathBuf {
    cluster.dir.path().join(Cluster::name(i))
}

fn code_and_error(output: &Output) -> (Option<i32>, String) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), error)
}

#[test]
fn a_node_with_a_wiped_directory_joins_as_another_and_its_old_self_is_forgotten() {
    let mut cluster = Cluster::start(3);
    declare(&cluster, "a,b,c");
    let (_handler, _) = cluster.echo_through(&[0, 1], "orders");
    let (_, _, before) = member(&cluster, "c").expect("a member");
    cluster.kill(2);
    std::fs::remove_dir_all(data_dir(&cluster, 2)).expect("the directory was there");
    let seed = cluster.mesh(0);
    cluster.start_node(2, &["--join", &seed]);
    assert_eq!(
        cluster
            .ok(&["request", "orders", "x", "--timeout", "20s"])
            .trim_end(),
        "x"
    );
    // It votes again: the vote of its old self has gone.
    wait_for(&cluster, 3, 3);
    let (role, state, now) = member(&cluster, "c").expect("listed once");
    assert_eq!((role.as_str(), state.as_str()), ("voter", "up"));
    assert_ne!(now, before, "another directory is another node");
    assert_eq!(members(&cluster).len(), 3);
    // With three voters, and not four, the registry goes on without one.
    cluster.kill(1);
    cluster.ok(&["exchange", "declare", "after", "--strategy", "default"]);
}

#[test]
fn a_dead_node_that_is_removed_is_gone_everywhere_and_another_votes_in_its_place() {
    let mut cluster = Cluster::start(4);
    declare(&cluster, "a,c");
    let learner = members(&cluster);
    let learner = learner
        .iter()
        .find(|m| m["role"] == "learner")
        .expect("four nodes, three votes");
    let learner = learner["name"].as_str().expect("a name").to_owned();
    // A voter that is not the owner, and has a handler.
    let victim = ["b", "c", "d"]
        .into_iter()
        .find(|n| *n != learner)
        .expect("two of them vote");
    let others: Vec<usize> = (0..4).filter(|i| Cluster::name(*i) != victim).collect();
    let (ghost, _) = cluster.echo_through(&[Cluster::index(victim)], "orders");
    let (_handler, _) = cluster.echo_through(&others, "orders");
    wait_for_handlers(&cluster, 2);
    let (code, error) = code_and_error(&cluster.run(&["node", "remove", victim]));
    assert_eq!(code, Some(6), "{error}");
    assert!(error.contains("is up"), "the reason: {error}");
    // Its client does not come back by another node: the handler is gone with this one.
    signal(&ghost, Signal::STOP);
    cluster.kill(Cluster::index(victim));
    wait_until_down(&cluster, victim);
    wait_for_handlers(&cluster, 1);
    cluster.ok(&["node", "remove", victim]);
    wait_for(&cluster, 3, 3);
    assert_eq!(member(&cluster, victim), None);
    assert_eq!(member(&cluster, &learner).map(|m| m.0), Some("voter".into()));
    cluster.watch("exchanges", |view| {
        let text = view["exchanges"].to_string();
        (!text.contains(&format!("\"{victim}."))).then_some(())
    });
    assert_eq!(cluster.ok(&["request", "orders", "x"]).trim_end(), "x");
    let (code, error) = code_and_error(&cluster.run(&["node", "remove", victim]));
    assert_eq!(code, Some(6), "{error}");
    assert!(error.contains(&format!("no node '{victim}'")), "{error}");
}

#[test]
fn a_node_that_was_removed_while_it_stood_still_hears_it_and_joins_again() {
    let cluster = Cluster::start(4);
    let victim = Cluster::index("d");
    let node = cluster.nodes[victim].as_ref().expect("it runs");
    signal(node, Signal::STOP);
    wait_until_down(&cluster, "d");
    cluster.ok(&["node", "remove", "d"]);
    wait_for(&cluster, 3, 3);
    signal(node, Signal::CONT);
    // It takes itself for a member until it hears otherwise: the list is asked.
    cluster.watch("overview", |_| (member(&cluster, "d")?.1 == "up").then_some(()));
    wait_for(&cluster, 4, 3);
}

#[test]
fn one_survivor_of_a_lost_quorum_is_a_cluster_again_and_the_old_one_is_refused() {
    let mut cluster = Cluster::start(3);
    declare(&cluster, "b,c,a");
    assert_eq!(cluster.owner("orders"), ("b".into(), 1));
    for i in 0..3 {
        cluster.kill(i);
    }
    let dir = data_dir(&cluster, 0);
    let dir = dir.to_str().expect("a path in UTF-8");
    let recover = ["node", "recover", "--from-survivor", "--data", dir, "--confirm"];
    let (code, error) = code_and_error(&cluster.run(&[&recover[..], &["z"]].concat()));
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("'z' is not the name of this node"), "{error}");
    let said = cluster.ok(&[&recover[..], &["a"]].concat());
    assert!(said.contains("recovered: cluster"), "{said}");
    let seeds = [cluster.mesh(0), cluster.mesh(1)];
    cluster.start_node(0, &["--join", &seeds[1]]);
    let (owner, epoch) = cluster.owner("orders");
    assert_eq!(owner, "a", "the survivor owns everything");
    assert!(
        epoch > 1 << 20,
        "epochs leap over those of the lost majority: {epoch}"
    );
    let (_handler, _) = cluster.echo_through(&[0], "orders");
    assert_eq!(
        cluster
            .ok(&["request", "orders", "x", "--timeout", "20s"])
            .trim_end(),
        "x"
    );
    // One of the old cluster comes back as it was: it is not let in, and the new one goes on.
    cluster.start_node(1, &["--join", &seeds[0]]);
    cluster.watch("mesh", |view| {
        let links = view["links"].as_array()?;
        let refused = |l: &&Value| l["to"] == "b" && l["state"] == "refused";
        links.iter().find(refused).map(drop)
    });
    assert_eq!(member(&cluster, "b").map(|m| m.1), Some("down".into()));
    cluster.kill(1);
    std::fs::rename(data_dir(&cluster, 1), cluster.dir.path().join("b.lost")).expect("moved aside");
    cluster.start_node(1, &["--join", &seeds[0]]);
    std::fs::rename(data_dir(&cluster, 2), cluster.dir.path().join("c.lost")).expect("moved aside");
    cluster.start_node(2, &["--join", &seeds[0]]);
    wait_for(&cluster, 3, 3);
}
