//! What a cluster bears: lost leaders, restarts, cut links, late timers and garbage.

use futures::FutureExt as _;
use futures::future::select_all;
use squall_kernel::registry::Outcome;
use tokio::time::timeout;

use super::harness::*;
use super::wire::Reply;
use super::*;

#[tokio::test]
async fn acknowledged_writes_survive_the_leader_and_its_return() {
    let cluster = Cluster::default();
    let mut nodes = cluster.three().await;
    let before = acknowledged(&nodes, declare("before")).await;
    assert_eq!(before.outcome, Outcome::Done);
    let dead = nodes.remove(leader(&nodes).await);
    let (dead_id, dead_term) = (dead.meta.id(), state_where(&dead, |_| true).await.term);
    let home = cluster.kill(dead).await;

    let after = acknowledged(&nodes, declare("after")).await;
    assert!(after.revision > before.revision);
    for node in &nodes {
        registry_where(node, |r| has(r, "before") && has(r, "after")).await;
        assert!(
            state_where(node, |s| s.leader.is_some_and(|l| l != dead_id))
                .await
                .term
                > dead_term
        );
    }
    nodes.push(cluster.start_on(home).await);
    assert_eq!(nodes[2].meta.id(), dead_id);
    assert!(
        has(&nodes[2].meta.registry().borrow(), "before"),
        "recovered from its own disk"
    );
    registry_where(&nodes[2], |r| has(r, "after")).await;
}

#[tokio::test]
async fn a_whole_cluster_restarts_from_its_disks() {
    let cluster = Cluster::default();
    let mut nodes = cluster.three().await;
    let written = acknowledged(&nodes, declare("orders")).await;
    let mut homes = Vec::new();
    while let Some(node) = nodes.pop() {
        homes.push(cluster.kill(node).await);
    }
    for home in homes {
        nodes.push(cluster.start_on(home).await);
    }
    let again = acknowledged(&nodes, declare("orders")).await;
    assert_eq!(again.outcome, Outcome::Unchanged);
    assert!(again.revision > written.revision);
}

#[tokio::test]
async fn a_leader_without_a_majority_says_so_and_acknowledges_nothing() {
    let cluster = Cluster::default();
    let nodes = cluster.three().await;
    let old = leader(&nodes).await;
    let times = Profile::Lan.times();
    cluster.board.cut.lock().unwrap().insert(nodes[old].meta.id());
    state_where(&nodes[old], |s| !s.leads(&times)).await;
    let refused = nodes[old].meta.propose(declare("lost")).await.unwrap_err();
    assert!(!matches!(refused, ProposeError::Stopped(_)), "{refused}");

    let others: Vec<&Node> = nodes
        .iter()
        .filter(|n| n.meta.id() != nodes[old].meta.id())
        .collect();
    let elected = select_all(
        others
            .iter()
            .map(|n| state_where(n, |s| s.leads(&times)).boxed_local()),
    )
    .await
    .1;
    let kept = others[elected].meta.propose(declare("kept")).await.unwrap();
    cluster.board.cut.lock().unwrap().clear();
    registry_where(&nodes[old], |r| r.revision >= kept.revision && has(r, "kept")).await;
    acknowledged(&nodes, declare("healed")).await;
    for node in &nodes {
        registry_where(node, |r| has(r, "healed")).await;
    }
}

#[tokio::test]
async fn a_node_whose_elections_are_suspended_leaves_them_to_others() {
    let cluster = Cluster::default();
    let mut nodes = cluster.three().await;
    let dead = nodes.remove(leader(&nodes).await);
    nodes[0].meta.set_elections(false);
    cluster.kill(dead).await;
    assert_eq!(leader(&nodes).await, 1);
    nodes[0].meta.set_elections(true);
}

#[tokio::test]
async fn bytes_that_are_no_request_are_answered_counted_and_survived() {
    let cluster = Cluster::default();
    let nodes = cluster.three().await;
    let from = nodes[1].meta.id();
    for garbage in [
        b"".as_slice(),
        b"\xff",
        b"\x00\x01\x02",
        &[0xff; 4096],
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let answer = nodes[0]
            .meta
            .handle_rpc(from, Bytes::copy_from_slice(garbage))
            .await;
        let reply = wire::decode::<Reply<types::Live>>(&answer).unwrap();
        assert!(
            matches!(reply, Reply::Refused(Refusal::Undecodable)),
            "{garbage:?}: {reply:?}"
        );
    }
    assert_eq!(nodes[0].meta.undecodable_requests(), 5);
    acknowledged(&nodes, declare("alive")).await;
    registry_where(&nodes[0], |r| has(r, "alive")).await;
}

#[tokio::test]
async fn a_stopped_node_answers_that_it_stopped() {
    let cluster = Cluster::default();
    let node = cluster.start().await;
    let meta = node.meta.clone();
    cluster.kill(node).await;
    let refused = meta.propose(declare("late")).await;
    assert!(matches!(refused, Err(ProposeError::Stopped(_))));
    let mut state = meta.state();
    let stopped = timeout(PATIENCE, state.wait_for(|s| s.role == Role::Stopped)).await;
    stopped.unwrap().expect("the last state is published");
}
