//! How a cluster comes to be and to its voters, who answers for it, and how a newcomer gets the registry.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use squall_kernel::id::{ExchangeName, Revision};
use squall_kernel::registry::{Command, Outcome};
use tokio::time::timeout;

use super::harness::*;
use super::*;

#[tokio::test]
async fn learners_join_a_founder_and_are_promoted_in_one_change() {
    let cluster = Cluster::default();
    let nodes = vec![cluster.start().await];
    assert_eq!(state_where(&nodes[0], |_| true).await.role, Role::Uninitialized);
    nodes[0]
        .meta
        .found(CLUSTER, Profile::Lan, addresses(&nodes))
        .await
        .unwrap();
    registry_where(&nodes[0], |r| r.cluster == Some(CLUSTER)).await;
    nodes[0]
        .meta
        .found(CLUSTER, Profile::Lan, addresses(&nodes))
        .await
        .expect("again is no error");

    let [b, c] = [cluster.start().await, cluster.start().await];
    let a = &nodes[0];
    let live = BTreeSet::from([a.meta.id(), b.meta.id(), c.meta.id()]);
    for node in [&b, &c] {
        let added = a.meta.add_learner(node.meta.id(), "127.0.0.1:1").await.unwrap();
        assert_eq!(added, Some(Change::Learner(node.meta.id())));
        assert_eq!(
            a.meta.add_learner(node.meta.id(), "127.0.0.1:1").await.unwrap(),
            None
        );
        registry_where(node, |r| r.cluster == Some(CLUSTER)).await;
        assert_eq!(state_where(node, |s| s.initialized).await.role, Role::Learner);
    }
    let only_b = BTreeSet::from([a.meta.id(), b.meta.id()]);
    assert_eq!(
        a.meta.adjust_voters(&only_b).await.unwrap(),
        None,
        "two would be no better than one"
    );

    let mut state = a.meta.state();
    let change = loop {
        if let Some(change) = a.meta.adjust_voters(&live).await.unwrap() {
            break change;
        }
        timeout(PATIENCE, state.changed()).await.unwrap().unwrap();
    };
    assert_eq!(
        change,
        Change::Promoted(BTreeSet::from([b.meta.id(), c.meta.id()]))
    );
    for node in [a, &b, &c] {
        let state = state_where(node, |s| s.voters.len() == 3).await;
        assert_eq!(
            (state.learners, state.voters),
            (vec![], live.iter().copied().collect())
        );
    }
}

#[tokio::test]
async fn a_joiner_with_another_profile_takes_the_clusters_and_goes_on_from_what_it_has() {
    let cluster = Cluster::default();
    let mut nodes = vec![cluster.start().await];
    nodes[0]
        .meta
        .found(CLUSTER, Profile::Lan, addresses(&nodes))
        .await
        .unwrap();
    registry_where(&nodes[0], |r| r.cluster == Some(CLUSTER)).await;
    let joiner = cluster
        .start_with(tempfile::tempdir().unwrap(), Profile::Slow)
        .await;
    assert_eq!(joiner.meta.profile(), Profile::Slow);
    let id = joiner.meta.id();
    nodes[0].meta.add_learner(id, "127.0.0.1:1").await.unwrap();
    let mut registry = joiner.meta.registry();
    let (mut seen, mut state) = (registry.borrow().revision, joiner.meta.state());
    acknowledged(&nodes, declare("before")).await;
    let took_over = async {
        while joiner.meta.profile() != Profile::Lan || !has(&registry.borrow_and_update(), "before") {
            registry.changed().await.unwrap();
            let now = registry.borrow().revision;
            assert!(now >= seen, "the registry went back from {seen} to {now}");
            seen = now;
            assert_eq!(state.borrow_and_update().failure, None, "nobody hears of a stop");
            if joiner.meta.profile() == Profile::Slow {
                acknowledged(&nodes, declare("more")).await;
                nodes[0]
                    .meta
                    .propose(Command::Delete {
                        name: ExchangeName::new("more").unwrap(),
                    })
                    .await
                    .unwrap();
            }
        }
    };
    timeout(PATIENCE, took_over).await.expect("the profile changes");
    nodes.push(joiner);
    acknowledged(&nodes, declare("after")).await;
    registry_where(&nodes[1], |r| has(r, "after")).await;
    let joiner = state_where(&nodes[1], |s| s.role == Role::Learner && s.leader.is_some()).await;
    assert_eq!((joiner.id, joiner.failure), (id, None));
}

#[tokio::test]
async fn a_follower_names_the_leader() {
    let cluster = Cluster::default();
    let nodes = cluster.three().await;
    let leads = leader(&nodes).await;
    let id = nodes[leads].meta.id();
    let follower = &nodes[(leads + 1) % 3];
    state_where(follower, |s| s.leader == Some(id)).await;
    let refused = follower.meta.propose(declare("users")).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: Some(id) }));
}

#[tokio::test]
async fn a_founding_cut_in_two_by_a_crash_is_completed() {
    let cluster = Cluster::default();
    let mut nodes = vec![
        cluster.start().await,
        cluster.start().await,
        cluster.start().await,
    ];
    let voters = addresses(&nodes);
    // Alone it notes the voters but can elect nobody, so nothing is committed.
    for node in &nodes {
        cluster.board.cut.lock().unwrap().insert(node.meta.id());
        node.meta
            .found(CLUSTER, Profile::Lan, voters.clone())
            .await
            .unwrap();
        assert_eq!(node.meta.registry().borrow().cluster, None);
        node.dir.bind_cluster(CLUSTER).unwrap();
    }
    let mut homes = Vec::new();
    while let Some(node) = nodes.pop() {
        homes.push(cluster.kill(node).await);
    }
    cluster.board.cut.lock().unwrap().clear();
    for home in homes {
        nodes.push(cluster.start_on(home).await);
    }
    for node in &nodes {
        registry_where(node, |r| r.cluster == Some(CLUSTER)).await;
    }
}

#[tokio::test]
async fn founders_must_be_one_three_or_five_and_count_this_node() {
    let cluster = Cluster::default();
    let nodes = vec![cluster.start().await, cluster.start().await];
    let two = nodes[0]
        .meta
        .found(CLUSTER, Profile::Lan, addresses(&nodes))
        .await;
    assert!(matches!(two, Err(FoundError::VoterCount(2))));
    let other = nodes[0]
        .meta
        .found(CLUSTER, Profile::Lan, addresses(&nodes[1..]))
        .await;
    assert!(matches!(other, Err(FoundError::NotAVoter)));
    assert!(!nodes[0].meta.state().borrow().initialized);
}

#[tokio::test]
async fn a_new_learner_gets_a_snapshot_in_pieces() {
    let compaction = Compaction {
        entries_per_snapshot: 100,
        entries_kept: 10,
    };
    let cluster = Cluster {
        compaction,
        ..Cluster::default()
    };
    let mut nodes = vec![cluster.start().await];
    nodes[0]
        .meta
        .found(CLUSTER, Profile::Lan, addresses(&nodes))
        .await
        .unwrap();
    registry_where(&nodes[0], |r| r.cluster.is_some()).await;
    let a = &nodes[0].meta;
    join_all((0..500).map(|n| async move {
        let name = format!("{n}-{}", "x".repeat(240));
        assert_eq!(a.propose(declare(&name)).await.unwrap().outcome, Outcome::Done);
    }))
    .await;

    // Every write asks whether a snapshot is due; the first one was taken somewhere on the way.
    for n in 0.. {
        if state_where(&nodes[0], |_| true).await.snapshot >= Some(Revision(400)) {
            break;
        }
        a.propose(declare(&format!("more-{n}"))).await.unwrap();
    }

    let learner = cluster.start().await;
    let id = learner.meta.id();
    a.add_learner(id, "127.0.0.1:1").await.unwrap();
    let wanted = Arc::clone(&a.registry().borrow());
    let got = registry_where(&learner, |r| r.revision >= wanted.revision).await;
    assert_eq!(got.exchanges, wanted.exchanges);
    assert!(
        cluster.board.pieces.load(Ordering::Relaxed) > 2,
        "it came in pieces"
    );

    let home = cluster.kill(learner).await;
    nodes.push(cluster.start_on(home).await);
    let recovered = nodes[1].meta.registry().borrow().revision;
    assert!(recovered >= Revision(400), "the snapshot is on its disk");
}

#[tokio::test]
async fn leadership_can_be_handed_over() {
    let cluster = Cluster::default();
    let nodes = cluster.three().await;
    let from = leader(&nodes).await;
    let to = &nodes[(from + 1) % 3];
    acknowledged(&nodes, introduction(to, "b")).await;
    registry_where(to, |r| r.node_named("b").is_some()).await;
    nodes[from].meta.transfer_leader(to.meta.id()).await.unwrap();
    let times = Profile::Lan.times();
    state_where(to, |s| s.leads(&times)).await;
}
