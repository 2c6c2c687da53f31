//! Changes of the voters in a whole cluster: by the rule, by an operator, and while others lead, write or leave.

use std::collections::BTreeSet;

use squall_kernel::id::NodeName;
use squall_kernel::membership::{MemberChange, MemberRefused};
use squall_kernel::promises::VotersAt;
use squall_kernel::registry::{Duty, NodeLife, Outcome};
use squall_kernel::time::Span;
use squall_kernel::voters::{Roll, Standing};
use tokio::time::timeout;

use super::harness::*;
use super::*;

fn name(node: &Node) -> NodeName {
    NodeName::new(&format!("n{:x}", node.meta.id().0)).unwrap()
}

/// All of these are up and registered.
fn roll(nodes: &[Node]) -> Roll {
    let standing = |n: &Node| Standing {
        name: name(n),
        address: "127.0.0.1:1".into(),
        live: true,
        down_for: None,
        duty: Duty::Full,
    };
    Roll {
        members: nodes.iter().map(|n| (n.meta.id(), standing(n))).collect(),
        ..Roll::default()
    }
}

fn voters(nodes: &[&Node]) -> BTreeSet<NodeId> {
    nodes.iter().map(|n| n.meta.id()).collect()
}

fn votes(state: &MetaState) -> BTreeSet<NodeId> {
    state.voters.iter().copied().collect()
}

/// Three voters and one learner, the leader first, the learner last.
async fn four(cluster: &Cluster) -> Vec<Node> {
    let mut nodes = cluster.three().await;
    let leads = leader(&nodes).await;
    nodes.swap(0, leads);
    nodes.push(cluster.start().await);
    let learner = nodes[3].meta.id();
    nodes[0].meta.add_learner(learner, "127.0.0.1:1").await.unwrap();
    for node in &nodes {
        let known = name(node);
        acknowledged(&nodes[..3], introduction(node, known.as_str())).await;
    }
    registry_where(&nodes[3], |r| r.nodes.len() == 4).await;
    nodes
}

/// As the leader does it every quarter of a second: until the rule has found something to do.
async fn kept(node: &Node, roll: &Roll) -> Change {
    let mut state = node.meta.state();
    loop {
        if let Some(change) = node.meta.keep_voters(roll).await.unwrap() {
            return change;
        }
        timeout(PATIENCE, state.changed()).await.unwrap().unwrap();
    }
}

/// As an operator does it: again while the node has not caught up.
async fn asked(node: &Node, roll: &Roll, change: MemberChange) -> Granted {
    let mut state = node.meta.state();
    loop {
        match node.meta.change_member(roll, &change).await.unwrap() {
            Granted::Refused(MemberRefused::Behind(_) | MemberRefused::NoReplacement(_)) => {
                timeout(PATIENCE, state.changed()).await.unwrap().unwrap();
            }
            done => return done,
        }
    }
}

#[tokio::test]
async fn a_ghost_is_replaced_by_a_learner_and_then_forgotten() {
    let cluster = Cluster::default();
    let mut nodes = four(&cluster).await;
    let ghost = nodes.remove(2);
    let ghost_id = ghost.meta.id();
    drop(cluster.kill(ghost).await);
    let mut roll = roll(&nodes);
    roll.gone.insert(ghost_id);
    let expected = voters(&[&nodes[0], &nodes[1], &nodes[2]]);
    assert_eq!(kept(&nodes[0], &roll).await, Change::Voters(expected.clone()));
    assert_eq!(
        kept(&nodes[0], &roll).await,
        Change::Forgotten(BTreeSet::from([ghost_id]))
    );
    for node in &nodes {
        let state = state_where(node, |s| votes(s) == expected && s.learners.is_empty()).await;
        assert_eq!(state.electorate.halves, vec![expected.clone()]);
    }
    let first = nodes.remove(0);
    cluster.kill(first).await;
    acknowledged(&nodes, declare("counts")).await;
}

#[tokio::test]
async fn a_voter_down_for_longer_than_the_rule_is_replaced_and_comes_back_as_a_learner() {
    let cluster = Cluster::default();
    let mut nodes = four(&cluster).await;
    let dead = nodes.remove(2);
    let dead_id = dead.meta.id();
    let mut rolled = roll(&nodes);
    let down = Standing {
        live: false,
        down_for: Some(Span::from_ms(60_001)),
        ..roll(std::slice::from_ref(&dead)).members[&dead_id].clone()
    };
    rolled.members.insert(dead_id, down);
    let home = cluster.kill(dead).await;
    assert_eq!(
        nodes[0].meta.keep_voters(&rolled).await.unwrap(),
        None,
        "without a rule nothing happens"
    );
    rolled.replace_after = Some(Span::from_ms(60_000));
    let expected = voters(&[&nodes[0], &nodes[1], &nodes[2]]);
    assert_eq!(kept(&nodes[0], &rolled).await, Change::Voters(expected.clone()));
    nodes.push(cluster.start_on(home).await);
    let state = state_where(&nodes[3], |s| s.role == Role::Learner && votes(s) == expected).await;
    assert_eq!(state.id, dead_id);
}

#[tokio::test]
async fn an_operator_demotes_and_promotes() {
    let cluster = Cluster::default();
    let nodes = four(&cluster).await;
    let roll = roll(&nodes);
    let lonely = asked(&nodes[0], &roll, MemberChange::Promote(name(&nodes[3]))).await;
    assert_eq!(
        lonely,
        Granted::Refused(MemberRefused::NoPartner(name(&nodes[3])))
    );
    let swapped = voters(&[&nodes[0], &nodes[2], &nodes[3]]);
    let demoted = asked(&nodes[0], &roll, MemberChange::Demote(name(&nodes[1]))).await;
    assert_eq!(demoted, Granted::Done(swapped.clone()));
    let again = asked(&nodes[0], &roll, MemberChange::Demote(name(&nodes[1]))).await;
    assert_eq!(again, Granted::Unchanged(swapped));
    state_where(&nodes[1], |s| s.role == Role::Learner).await;
    state_where(&nodes[3], |s| s.role == Role::Voter).await;
    let refused = nodes[1]
        .meta
        .change_member(&roll, &MemberChange::Demote(name(&nodes[2])))
        .await;
    assert!(
        !matches!(refused, Ok(Granted::Done(_))),
        "only a leader can: {refused:?}"
    );
}

#[tokio::test]
async fn an_operator_removes_a_node_that_is_down_from_everywhere() {
    let cluster = Cluster::default();
    let mut nodes = four(&cluster).await;
    let mut roll = roll(&nodes);
    let up = asked(&nodes[0], &roll, MemberChange::Remove(name(&nodes[2]))).await;
    assert_eq!(up, Granted::Refused(MemberRefused::Up(name(&nodes[2]))));
    let dead = nodes.remove(2);
    let (dead_id, dead_name) = (dead.meta.id(), name(&dead));
    cluster.kill(dead).await;
    let lost = squall_kernel::registry::Command::NodeLost {
        node: dead_id,
        tenure: nodes[0].meta.registry().borrow().nodes[&dead_id].tenure,
        reason: squall_kernel::reason::Lost::Silent,
    };
    assert_eq!(acknowledged(&nodes[..2], lost).await.outcome, Outcome::Done);
    let standing = roll.members.get_mut(&dead_id).unwrap();
    (standing.live, standing.down_for) = (false, Some(Span::ZERO));

    let remove = MemberChange::Remove(dead_name.clone());
    let expected = voters(&[&nodes[0], &nodes[1], &nodes[2]]);
    let removed = nodes[0].meta.change_member(&roll, &remove).await.unwrap();
    let Granted::Done(left) = removed else {
        panic!("{removed:?}")
    };
    assert!(
        !left.contains(&dead_id) && [1, 3].contains(&left.len()),
        "{left:?}"
    );
    if left.len() == 3 {
        assert_eq!(left, expected);
    }
    for node in &nodes {
        registry_where(node, |r| !r.nodes.contains_key(&dead_id)).await;
        state_where(node, |s| {
            !s.voters.contains(&dead_id) && !s.learners.contains(&dead_id)
        })
        .await;
    }
    roll.members.remove(&dead_id);
    let unknown = nodes[0].meta.change_member(&roll, &remove).await.unwrap();
    assert_eq!(
        unknown,
        Granted::Refused(MemberRefused::UnknownNode(dead_name.as_str().into()))
    );
}

#[tokio::test]
async fn a_leader_that_leaves_gives_its_lead_away_and_then_its_vote() {
    let cluster = Cluster::default();
    let mut nodes = four(&cluster).await;
    let mut roll = roll(&nodes);
    let leaving = nodes[0].meta.id();
    roll.members.get_mut(&leaving).unwrap().duty = Duty::Draining { leave: true };
    assert_eq!(nodes[0].meta.keep_voters(&roll).await.unwrap(), None, "it leads");
    let heir = nodes[1].meta.id();
    nodes[0].meta.transfer_leader(heir).await.unwrap();
    state_where(&nodes[1], |s| s.leads(&Profile::Lan.times())).await;
    assert!(matches!(kept(&nodes[1], &roll).await, Change::Voters(_)));
    assert!(nodes[0].meta.out_of_voters(PATIENCE).await);
    let left = nodes.remove(0);
    acknowledged(&nodes, declare("after")).await;
    registry_where(&left, |r| has(r, "after")).await;
    for node in &nodes {
        let up = |r: &Registry| r.nodes.values().all(|n| n.life == NodeLife::Up);
        registry_where(node, up).await;
        state_where(node, |s| !s.voters.contains(&leaving)).await;
    }
}

#[tokio::test]
async fn the_last_voter_stays() {
    let cluster = Cluster::default();
    let nodes = [cluster.start().await];
    let only = &nodes[0];
    only.meta
        .found(CLUSTER, Profile::Lan, addresses(&nodes))
        .await
        .unwrap();
    registry_where(only, |r| r.cluster.is_some()).await;
    let mut roll = roll(&nodes);
    let demoted = only
        .meta
        .change_member(&roll, &MemberChange::Demote(name(only)))
        .await
        .unwrap();
    assert_eq!(demoted, Granted::Refused(MemberRefused::LastVoter(name(only))));
    roll.members.get_mut(&only.meta.id()).unwrap().duty = Duty::Draining { leave: true };
    assert_eq!(only.meta.keep_voters(&roll).await.unwrap(), None);
    assert!(!only.meta.out_of_voters(Duration::ZERO).await);
}

#[tokio::test]
async fn leadership_is_handed_over_under_load() {
    let cluster = Cluster::default();
    let nodes = cluster.three().await;
    let from = leader(&nodes).await;
    let (old, new) = (&nodes[from], &nodes[(from + 1) % 3]);
    let times = Profile::Lan.times();
    let writing = async {
        for n in 0.. {
            let written = old.meta.propose(declare(&format!("x{n}"))).await;
            if written.is_err() {
                return;
            }
        }
    };
    let handing = async {
        registry_where(old, |r| has(r, "x20")).await;
        old.meta.transfer_leader(new.meta.id()).await.unwrap();
    };
    timeout(PATIENCE, futures::future::join(writing, handing))
        .await
        .expect("the old leader refuses in the end");
    state_where(new, |s| s.leads(&times)).await;
    acknowledged(&nodes, declare("afterwards")).await;
}

#[tokio::test]
async fn a_verdict_enters_the_log_only_under_the_voters_it_was_gathered_from() {
    let cluster = Cluster::default();
    let nodes = four(&cluster).await;
    let gathered = nodes[0].meta.voters_at();
    assert!(gathered > VotersAt::default());
    let done = nodes[0].meta.propose_under(declare("first"), gathered).await;
    assert_eq!(done.unwrap().outcome, Outcome::Done);
    let demote = MemberChange::Demote(name(&nodes[1]));
    assert!(matches!(
        asked(&nodes[0], &roll(&nodes), demote).await,
        Granted::Done(_)
    ));
    let refused = nodes[0].meta.propose_under(declare("second"), gathered).await;
    assert_eq!(refused, Err(ProposeError::VotersChanged));
    let now = nodes[0].meta.voters_at();
    let done = nodes[0].meta.propose_under(declare("second"), now).await;
    assert_eq!(done.unwrap().outcome, Outcome::Done);
}
