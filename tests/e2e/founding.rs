//! Founding and joining, with nodes killed at every moment of it.

use std::process::Stdio;

use crate::rig::{Cluster, Lines, NodeSpec, Process, exists, owner_in};

/// Starts node `i` of three, kills it when its log says `moment` (or it has come further), and starts it again.
fn killed_at(moment: &str, i: usize) {
    let mut cluster = Cluster::empty();
    for other in (0..3).filter(|o| *o != i) {
        cluster.start_expecting(other, 3);
    }
    let joins: Vec<String> = (0..3).filter(|o| *o != i).map(|o| cluster.mesh(o)).collect();
    let extra = ["--expect", "3", "--join", &joins[0], "--join", &joins[1]];
    let name = ["a", "b", "c"][i];
    let mut victim = Process::spawn(
        cluster
            .node_command(&NodeSpec { name, extra: &extra }, i)
            .stdin(Stdio::null())
            .stderr(Stdio::piped()),
    );
    let log = Lines::of(victim.0.stderr.take().expect("piped"));
    log.find(moment, |line| line.contains(moment).then_some(()));
    let pid = victim.id();
    drop(victim);
    assert!(!exists(pid));
    cluster.start_expecting(i, 3);
    cluster.wait_for_members(3);
    cluster.ok(&["exchange", "declare", "after", "--strategy", "default"]);
}

#[test]
fn the_founder_may_die_before_it_listens() {
    killed_at("starts", 0);
}

#[test]
fn the_founder_may_die_when_it_has_met_a_peer() {
    killed_at("link-up", 0);
}

#[test]
fn the_founder_may_die_while_it_founds() {
    killed_at("meta-leader", 0);
}

#[test]
fn the_founder_may_die_when_it_has_joined() {
    killed_at("joined", 0);
}

#[test]
fn another_may_die_when_it_has_met_a_peer() {
    killed_at("link-up", 1);
}

#[test]
fn another_may_die_when_it_has_joined() {
    killed_at("joined", 2);
}

#[test]
fn one_address_is_enough_to_join_a_mesh() {
    let mut cluster = Cluster::empty();
    cluster.start_node(0, &["--bootstrap"]);
    let seed = cluster.mesh(0);
    cluster.start_node(1, &["--join", &seed]);
    cluster.start_node(2, &["--join", &seed]);
    cluster.wait_for_members(3);
    cluster.watch("mesh", |view| {
        let links = view["links"].as_array()?;
        (links.iter().filter(|l| l["state"] == "up").count() == 6).then_some(())
    });
}

#[test]
fn a_cluster_that_stops_and_starts_again_has_its_registry() {
    let mut cluster = Cluster::start(3);
    cluster.ok(&["exchange", "declare", "kept", "--strategy", "round-robin"]);
    for i in 0..3 {
        cluster.kill(i);
    }
    for i in 0..3 {
        cluster.start_expecting(i, 3);
    }
    cluster.wait_for_members(3);
    // The new run owns it under a new epoch, as soon as the registry has taken note of the run.
    cluster.watch("exchanges", |view| {
        owner_in(view, "kept").filter(|(_, epoch)| *epoch > 1)
    });
}
