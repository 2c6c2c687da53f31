//! Tests of ends that meshes see: real processes stand for the peers' own.

use squall_kernel::handshake::ProcessIdentity;

use super::super::fixture::*;
use super::super::*;
use super::*;
use crate::death::own;
use crate::death::tests::Cat;

/// The next end that is told.
async fn died(node: &mut Node) -> (NodeId, Incarnation) {
    node.event(|event| match event {
        MeshEvent::Died { node, incarnation } => Some((node, incarnation)),
        _ => None,
    })
    .await
}

/// No end was told.
fn assert_alive(node: &mut Node) {
    while let Ok(event) = node.events.try_recv() {
        assert!(!matches!(event, MeshEvent::Died { .. }), "{event:?}");
    }
}

fn as_process(id: u64, name: &'static str, process: Option<ProcessIdentity>) -> Setup {
    Setup {
        process,
        ..setup(id, name)
    }
}

#[tokio::test]
async fn the_end_of_a_peers_process_is_told_once_and_a_stop_is_not() {
    let mut cat = Cat::start();
    let mut a = as_process(1, "a", own()).start().await;
    let mut b = as_process(2, "b", Some(cat.process())).seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    cat.stop();
    assert_alive(&mut a);
    cat.kill();
    assert_eq!(died(&mut a).await, (NodeId(2), Incarnation(1)));
    // Its links, which another process keeps here, break and stand again: nothing new is learned.
    let peer = a.mesh.shared.peer(NodeId(2)).unwrap();
    peer.lanes.iter().for_each(|lane| lane.greet_anew());
    a.linked(&[2]).await;
    assert_alive(&mut a);
}

#[tokio::test]
async fn a_process_of_another_boot_or_namespace_is_not_watched() {
    let mut cat = Cat::start();
    let boot_id = [9; 16];
    let other = ProcessIdentity {
        boot_id,
        ..cat.process()
    };
    let mut a = as_process(1, "a", own()).start().await;
    let mut b = as_process(2, "b", Some(other)).seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    cat.kill();
    assert!(a.mesh.shared.watches.lock().is_empty());
    assert!(b.mesh.shared.watches.lock().is_empty());
}

#[tokio::test]
async fn a_later_run_ends_the_watch_on_the_earlier_one() {
    let (mut first, mut second) = (Cat::start(), Cat::start());
    let mut a = as_process(1, "a", own()).start().await;
    let mut b = as_process(2, "b", Some(first.process())).seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    b.mesh.stop();
    a.parted().await;
    let again = Setup {
        incarnation: 2,
        ..as_process(2, "b", Some(second.process()))
    };
    let mut b = again.seed(&a).start().await;
    b.linked(&[1]).await;
    a.linked(&[2]).await;
    first.kill();
    first.reap();
    second.kill();
    assert_eq!(died(&mut a).await, (NodeId(2), Incarnation(2)));
}

#[tokio::test]
async fn watches_are_bounded_and_what_is_said_makes_room() {
    let mut a = as_process(1, "a", own()).start().await;
    let watches = Arc::clone(&a.mesh.shared.watches);
    let run = |id: u64| Introduction {
        id: NodeId(id),
        ..a.me.clone()
    };
    let cats: Vec<Cat> = (0..2).map(|_| Cat::start()).collect();
    for id in 0..NODES_MAX as u64 {
        watches.watch(&run(100 + id), Some(cats[0].process()));
    }
    watches.watch(&run(99), Some(cats[1].process()));
    assert!(!watches.lock().contains_key(&NodeId(99)), "it is full");
    watches.died(&run(100), "a test").await;
    watches.watch(&run(99), Some(cats[1].process()));
    assert!(watches.lock().contains_key(&NodeId(99)) && !watches.lock().contains_key(&NodeId(100)));
    assert_eq!(died(&mut a).await.0, NodeId(100));
    watches.forget(NodeId(99));
    assert!(!watches.lock().contains_key(&NodeId(99)));
}

/// A node linked with one that is gone again; its own address refuses connections.
async fn bereaved(trust_refused: bool) -> Node {
    let mut a = Setup {
        trust_refused,
        ..setup(1, "a")
    }
    .start()
    .await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    a.mesh.set_peers(vec![b.me.clone()]);
    a
}

#[tokio::test]
async fn a_refused_connection_is_an_end_where_that_is_trusted() {
    let mut a = bereaved(true).await;
    assert_eq!(died(&mut a).await, (NodeId(2), Incarnation(1)));
}

#[tokio::test]
async fn a_refused_connection_is_no_end_otherwise() {
    let mut a = bereaved(false).await;
    a.parted().await;
    let refused = async {
        let why = |a: &Node| a.mesh.links()[0].why.clone();
        while !why(&a).contains("does not answer") {
            tokio::task::yield_now().await;
        }
    };
    within(refused).await;
    assert_alive(&mut a);
}
