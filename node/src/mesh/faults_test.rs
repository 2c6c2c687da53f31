//! Tests of faults on links that carry frames.

use squall_kernel::fault::{FaultKind, Latency, LinkFault, Shape, Share};
use squall_kernel::id::Tenure;
use squall_kernel::promises::VotersAt;
use squall_kernel::time::Span;

use super::fixture::*;
use super::*;
use crate::clock::Clock;

#[tokio::test]
async fn a_cut_holds_frames_back_and_its_end_lets_them_go() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    let cut = a
        .faults
        .set(
            "x",
            FaultKind::link(name("b"), LinkFault::Cut),
            Span::from_ms(3_600_000),
            "test",
        )
        .unwrap();
    for n in 1..=10 {
        a.send(2, n).unwrap();
    }
    // The other direction is not cut; when its frame has come, those held back have not.
    b.send(1, 77).unwrap();
    assert_eq!(a.message().await, 77);
    assert!(b.got.try_recv().is_err());
    assert_eq!(
        a.mesh.links()[0].fault.as_ref().map(|f| f.0.as_str()),
        Some("cut to b")
    );
    assert!(a.mesh.links()[0].queue_bytes > 0);
    assert_eq!(a.faults.clear("x").map(|fault| fault.id), Some(cut.id));
    for n in 1..=10 {
        assert_eq!(b.message().await, n);
    }
    assert_eq!(a.mesh.links()[0].connects, 1, "the connection stood all the time");
}

#[tokio::test]
async fn a_cut_ends_by_itself() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    a.faults
        .set(
            "",
            FaultKind::link(name("b"), LinkFault::Cut),
            Span::from_ms(20),
            "test",
        )
        .unwrap();
    a.send(2, 1).unwrap();
    assert_eq!(b.message().await, 1);
    assert_eq!(a.faults.list(), []);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_fault_to_end_is_told_also_when_another_one_looks_first() {
    let faults = FaultPlane::new(Clock::start());
    let mut changes = faults.changes();
    let cut = FaultKind::link(name("b"), LinkFault::Cut);
    faults.set("", cut, Span::from_ms(20), "test").unwrap();
    faults.changed(&mut changes).await;
    tokio::time::advance(std::time::Duration::from_millis(30)).await;
    // A watcher of the node, or a new frame on another link.
    assert_eq!(faults.list(), []);
    let told = faults.changed(&mut changes);
    let told = tokio::time::timeout(std::time::Duration::from_secs(3600), told).await;
    assert!(told.is_ok(), "nobody told that the cut has ended");
}

#[tokio::test]
async fn a_delay_keeps_order_and_touches_every_frame() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    let latency = Latency {
        time: Span::from_ms(20),
        jitter: Span::from_ms(20),
        shape: Shape::Normal,
    };
    let kind = FaultKind::link(name("b"), LinkFault::Delay(latency));
    a.faults.set("d", kind, Span::from_ms(3_600_000), "test").unwrap();
    for n in 1..=50 {
        a.send(2, n).unwrap();
        tokio::task::yield_now().await;
    }
    for n in 1..=50 {
        assert_eq!(b.message().await, n);
    }
    assert!(a.faults.list()[0].touched >= 50);
}

#[tokio::test]
async fn a_loss_keeps_order_loses_nothing_and_touches_what_waits() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    let kind = FaultKind::link(name("b"), LinkFault::Loss(Share::from_percent(5)));
    a.faults.set("l", kind, Span::from_ms(3_600_000), "test").unwrap();
    for n in 1..=200 {
        a.send(2, n).unwrap();
        tokio::task::yield_now().await;
    }
    for n in 1..=200 {
        assert_eq!(b.message().await, n);
    }
    let fault = &a.faults.list()[0];
    assert_eq!(fault.kind.to_string(), "loss 5% to b");
}

#[tokio::test]
async fn a_dial_under_a_cut_waits_for_its_end() {
    let mut a = setup(1, "a").start().await;
    a.faults
        .set(
            "x",
            FaultKind::link(name("b"), LinkFault::Cut),
            Span::from_ms(3_600_000),
            "test",
        )
        .unwrap();
    let mut b = setup(2, "b").start().await;
    a.mesh.set_peers(vec![b.me.clone()]);
    // As long as the cut holds, b cannot finish its own dial either: a's answers do not get through.
    b.mesh.set_peers(vec![a.me.clone()]);
    assert_eq!(a.send(2, 1), Err(SendError::Down));
    a.faults.halt();
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    a.send(2, 1).unwrap();
    assert_eq!(b.message().await, 1);
}

#[tokio::test]
async fn a_full_queue_says_so_at_once() {
    let mut a = setup(1, "a").start().await;
    let _b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    a.faults
        .set(
            "",
            FaultKind::link(name("b"), LinkFault::Cut),
            Span::from_ms(3_600_000),
            "test",
        )
        .unwrap();
    let big = request(1, 4 * 1024 * 1024);
    let sent = (0..20)
        .map(|_| a.mesh.send(NodeId(2), 7, &big))
        .take_while(Result::is_ok)
        .count();
    assert_eq!((sent, a.mesh.send(NodeId(2), 7, &big)), (7, Err(SendError::Full)));
    // The other lanes have room of their own.
    let heartbeat = PeerMessage::HeartbeatAck {
        sent_at: Instant(0),
        tenure: Tenure(1),
        promise: Span::ZERO,
        voters: VotersAt::default(),
        ended: false,
    };
    a.mesh.send_control(NodeId(2), &heartbeat).unwrap();
}

/// A link on which a fault acts while so many frames go; how many connections its three lanes have had by then.
async fn sent_under(what: LinkFault, frames: u64) -> u64 {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    let kind = FaultKind::link(name("b"), what);
    a.faults.set("f", kind, Span::from_ms(3_600_000), "test").unwrap();
    for n in 1..=frames {
        a.send(2, n).unwrap();
        tokio::task::yield_now().await;
    }
    for n in 1..=frames {
        assert_eq!(b.message().await, n, "{what:?}");
    }
    assert!(a.faults.list()[0].touched > 0, "{what:?}");
    connections(&a)
}

fn connections(a: &Node) -> u64 {
    let peers = a.mesh.shared.peers.load();
    let lanes = peers.values().flat_map(|peer| &peer.lanes);
    lanes
        .map(|lane| lane.connects.load(std::sync::atomic::Ordering::Relaxed))
        .sum()
}

#[tokio::test]
async fn what_is_changed_or_doubled_is_caught_and_nothing_is_lost_or_taken_twice() {
    for what in [
        LinkFault::Corrupt(Share::from_percent(30)),
        LinkFault::Duplicate(Share::from_percent(30)),
    ] {
        assert!(sent_under(what, 40).await > 3, "{what:?}: the link is made anew");
    }
}

#[tokio::test]
async fn a_link_that_breaks_again_and_again_carries_everything_once() {
    for what in [LinkFault::Limit(4_000), LinkFault::Reset(Span::from_ms(20))] {
        assert!(sent_under(what, 100).await > 3, "{what:?}");
    }
}

#[tokio::test]
async fn a_link_that_stalls_or_trickles_or_lets_some_be_overtaken_stands() {
    let (share, by) = (Share::from_percent(20), Span::from_ms(5));
    for what in [
        LinkFault::Slice(3),
        LinkFault::Rate(200_000),
        LinkFault::Clog(Span::from_ms(20)),
        LinkFault::Reorder { share, by },
    ] {
        assert_eq!(
            sent_under(what, 50).await,
            3,
            "{what:?}: the connections stood all the time"
        );
    }
}

#[tokio::test]
async fn a_reset_breaks_a_link_to_which_nothing_is_written() {
    let mut a = setup(1, "a").start().await;
    let _b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    let kind = FaultKind::link(name("b"), LinkFault::Reset(Span::ZERO));
    a.faults.set("f", kind, Span::from_ms(3_600_000), "test").unwrap();
    a.linked(&[2]).await;
    assert_eq!(connections(&a), 6);
}
