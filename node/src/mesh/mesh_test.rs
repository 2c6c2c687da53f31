//! Tests of whole meshes: discovery, founding, clients, order and completeness under broken connections.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::BytesMut;
use squall_kernel::fault::{FaultKind, LinkFault};
use squall_kernel::handshake::{Dialler, Nonce, Step, read};
use squall_kernel::id::{LinkSeq, Tenure};
use squall_kernel::spread::mix;
use squall_kernel::time::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fixture::*;
use super::*;
use crate::clock::Clock;

#[tokio::test]
async fn one_seed_is_enough_for_a_full_mesh() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    let mut c = setup(3, "c").seed(&a).start().await;
    a.linked(&[2, 3]).await;
    b.linked(&[1, 3]).await;
    c.linked(&[1, 2]).await;
    let heartbeat = PeerMessage::Goodbye { tenure: Tenure(4) };
    b.mesh.send_control(NodeId(3), &heartbeat).unwrap();
    let got = c.event(|event| match event {
        MeshEvent::Control {
            from,
            incarnation,
            message,
        } => Some((from, incarnation, message)),
        _ => None,
    });
    assert_eq!(got.await, (NodeId(2), Incarnation(1), heartbeat));
    c.send(1, 99).unwrap();
    assert_eq!(a.message().await, 99);
    let links = c.mesh.links();
    let states: Vec<_> = links
        .iter()
        .map(|link| (link.name.as_str(), link.state, link.why.as_str()))
        .collect();
    assert_eq!(states, [("a", LinkState::Up, ""), ("b", LinkState::Up, "")]);
    assert!(c.mesh.heard(NodeId(2)).is_some() && c.mesh.is_connected(NodeId(2)));
    assert_eq!(c.mesh.seeds()[0].node, Some(NodeId(1)));
}

#[tokio::test]
async fn a_peer_that_the_registry_drops_is_forgotten() {
    let mut a = setup(1, "a").start().await;
    let b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    a.mesh.set_peers(vec![]);
    assert_eq!(a.mesh.links().len(), 1, "the registry never had it");
    a.mesh.set_peers(vec![a.me.clone(), b.me.clone()]);
    a.mesh.set_peers(vec![a.me.clone()]);
    assert_eq!(a.send(2, 1), Err(SendError::Unknown(NodeId(2))));
}

#[tokio::test]
async fn nodes_that_found_two_clusters_part() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    a.mesh.set_cluster(ClusterId(1));
    b.mesh.set_cluster(ClusterId(2));
    assert_eq!(
        (a.refused().await.0, b.refused().await.0),
        (Refusal::Cluster, Refusal::Cluster)
    );
}

#[tokio::test]
async fn links_survive_the_founding_of_their_cluster() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    for n in 1..=100 {
        a.send(2, n).unwrap();
        if n == 50 {
            a.mesh.set_cluster(ClusterId(1));
            b.mesh.set_cluster(ClusterId(1));
        }
    }
    for n in 1..=100 {
        assert_eq!(b.message().await, n);
    }
}

/// Waits until a peer has named its cluster; no lane may break meanwhile.
async fn named(node: &mut Node, peer: u64) -> ClusterId {
    node.event(|event| match event {
        MeshEvent::Belongs { node, cluster } if node == NodeId(peer) => Some(cluster),
        MeshEvent::Broken { why, .. } => panic!("{why}"),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_cluster_is_named_on_links_that_stand_and_on_later_ones() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    a.mesh.set_cluster(ClusterId(1));
    assert_eq!(named(&mut b, 1).await, ClusterId(1));
    assert_eq!(b.mesh.cluster_of(NodeId(1)), Some(ClusterId(1)));
    assert_eq!(a.mesh.cluster_of(NodeId(2)), None);
    b.mesh.set_cluster(ClusterId(1));
    assert_eq!(named(&mut a, 2).await, ClusterId(1));
    let mut c = setup(3, "c").seed(&a).start().await;
    assert_eq!(named(&mut c, 1).await, ClusterId(1));
    assert_eq!(named(&mut c, 2).await, ClusterId(1));
}

#[tokio::test]
async fn a_cluster_founded_while_links_are_greeted_is_named_to_all() {
    let mut a = setup(1, "a").start().await;
    let mut others = Vec::new();
    for (id, name) in [(2, "b"), (3, "c"), (4, "d"), (5, "e")] {
        others.push(setup(id, name).seed(&a).start().await);
    }
    // Somewhere in the middle of the greetings.
    a.linked(&[2]).await;
    a.mesh.set_cluster(ClusterId(1));
    for other in &mut others {
        assert_eq!(named(other, 1).await, ClusterId(1));
    }
}

#[tokio::test]
async fn http_is_handed_on_untouched() {
    let mut a = setup(1, "a").start().await;
    for said in ["PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\n", "HEAD / HTTP/1.1\r\n"] {
        let (first, rest) = said.as_bytes().split_at(2);
        let mut stream = TcpStream::connect(&a.me.mesh_addr).await.unwrap();
        stream.write_all(first).await.unwrap();
        stream.write_all(rest).await.unwrap();
        let mut taken = within(a.http.recv()).await.unwrap();
        let mut bytes = vec![0; said.len()];
        within(taken.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(bytes, said.as_bytes());
    }
}

#[tokio::test]
async fn a_client_talks_both_ways_and_is_no_peer() {
    let mut a = setup(1, "a").start().await;
    let mut stream = TcpStream::connect(&a.me.mesh_addr).await.unwrap();
    let mut dialler = Dialler::client("tester", Nonce::default());
    let mut buffer = BytesMut::new();
    let mut say = Some(dialler.hello());
    while let Some(message) = say.take() {
        let mut bytes = BytesMut::new();
        control(&message).encode(LinkSeq(0), &mut bytes);
        stream.write_all(&bytes).await.unwrap();
        let frame = next_frame(&mut stream, &mut buffer).await;
        let answer = read(&frame.payload).unwrap();
        if let Step::Send(message) = dialler.step(COOKIE, &[], answer) {
            say = Some(message);
        }
    }
    let mut client = within(a.clients.recv()).await.unwrap();
    assert_eq!(client.name, "tester");
    let mut bytes = BytesMut::new();
    request(5, 10).encode(LinkSeq(1), &mut bytes);
    stream.write_all(&bytes).await.unwrap();
    let (_, frame) = within(client.reader.next()).await.unwrap().unwrap();
    assert_eq!(frame, request(5, 10));
    for n in 0..200 {
        client.writer.put(&request(n, 20_000)).unwrap();
    }
    tokio::spawn(client.writer.close());
    for n in 0..200 {
        assert_eq!(next_frame(&mut stream, &mut buffer).await.message.0, n);
    }
    assert_eq!(a.mesh.links().len(), 0);
}

async fn next_frame(stream: &mut TcpStream, buffer: &mut BytesMut) -> Frame {
    loop {
        if let Some((_, frame)) = Frame::decode(buffer, 1 << 20).unwrap() {
            return frame;
        }
        assert!(within(stream.read_buf(buffer)).await.unwrap() > 0, "closed");
    }
}

/// A proxy in front of `to` that cuts every connection after some bytes, `cuts` times in all.
async fn cutter(listener: TcpListener, to: String, cuts: Arc<AtomicUsize>) {
    let mut count: u64 = 0;
    loop {
        let (mut from, _) = listener.accept().await.unwrap();
        let Ok(mut onward) = TcpStream::connect(&to).await else {
            continue;
        };
        count += 1;
        let (cuts, budget) = (Arc::clone(&cuts), 20_000 + mix(count) % 100_000);
        tokio::spawn(async move {
            let (mut from_read, mut from_write) = from.split();
            let (mut to_read, mut to_write) = onward.split();
            let mut limited = (&mut from_read).take(budget);
            tokio::select! {
                _ = tokio::io::copy(&mut limited, &mut to_write) => {}
                _ = tokio::io::copy(&mut to_read, &mut from_write) => {}
            }
            if cuts.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_err() {
                // No cuts left: everything goes through from here on.
                let _ended = tokio::io::copy_bidirectional(&mut from, &mut onward).await;
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_when_connections_break_in_mid_stream() {
    let (front, back) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let (told, on) = (
        front.local_addr().unwrap().to_string(),
        back.local_addr().unwrap().to_string(),
    );
    drop(back);
    let cuts = Arc::new(AtomicUsize::new(20));
    tokio::spawn(cutter(front, on.clone(), Arc::clone(&cuts)));
    let mut b = Setup {
        told: Some(told),
        on: Some(on),
        ..setup(2, "b")
    }
    .start()
    .await;
    let mut a = setup(1, "a").seed(&b).start().await;
    a.linked(&[2]).await;
    let total = 10_000;
    let mesh = Arc::clone(&a.mesh);
    let sender = tokio::spawn(async move {
        for n in 1..=total {
            let len = if n % 500 == 0 { 20_000 } else { 100 };
            while mesh.send(NodeId(2), 7, &request(n, len)) == Err(SendError::Full) {
                tokio::task::yield_now().await;
            }
        }
    });
    for n in 1..=total {
        assert_eq!(b.message().await, n);
    }
    within(sender).await.unwrap();
    assert!(
        cuts.load(SeqCst) < 15,
        "connections broke: {} cuts are left",
        cuts.load(SeqCst)
    );
    assert!(a.got.try_recv().is_err(), "nothing came back");
}

#[tokio::test]
async fn a_new_run_of_the_peer_gives_frames_back() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    let on = b.me.mesh_addr.clone();
    a.faults
        .set(
            "",
            FaultKind::link(name("b"), LinkFault::Cut),
            Span::from_ms(3_600_000),
            "test",
        )
        .unwrap();
    a.send(2, 1).unwrap();
    b.mesh.stop();
    drop(b);
    a.parted().await;
    a.send(2, 2).unwrap();
    let mut again = Setup {
        incarnation: 2,
        on: Some(on),
        ..setup(2, "b")
    }
    .seed(&a)
    .start()
    .await;
    a.faults.halt();
    let mut lost = a.lost().await;
    lost.unwritten.splice(0..0, lost.written.drain(..));
    assert_eq!(
        (lost.to, lost.unwritten),
        (NodeId(2), vec![request(1, 100), request(2, 100)])
    );
    again.linked(&[1]).await;
    within(async {
        while a.send(2, 3).is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(again.message().await, 3);
    assert_eq!(a.mesh.incarnation(NodeId(2)), Some(Incarnation(2)));
}

#[tokio::test]
async fn links_to_a_node_that_ends_break_once() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    // Its control plane has ended, and its mesh has not yet.
    b.events.close();
    let word = PeerMessage::Goodbye { tenure: Tenure(4) };
    a.mesh.send_control(NodeId(2), &word).unwrap();
    // Long enough for a link that is closed to be dialled again.
    let mut c = setup(3, "c").seed(&a).start().await;
    c.linked(&[1, 2]).await;
    b.mesh.stop();
    let mut again = Vec::new();
    let mut left = vec![0, 1, 2];
    a.event(|event| {
        match event {
            MeshEvent::Connected { node, lane, .. } if node.id == NodeId(2) => again.push(lane),
            MeshEvent::Broken { node, lane, .. } if node.id == NodeId(2) => left.retain(|l| *l != lane),
            _ => {}
        }
        left.is_empty().then_some(())
    })
    .await;
    assert_eq!(again, [0; 0]);
}

#[tokio::test]
async fn a_seed_without_a_port_is_an_error() {
    let faults = Arc::new(FaultPlane::new(Clock::start()));
    let node = setup(1, "a").start().await;
    let config = MeshConfig {
        me: node.me.clone(),
        cookie: vec![],
        seeds: vec!["somewhere".into()],
        cluster: None,
        control: Handle::current(),
        data: Handle::current(),
        faults,
        times: MeshTimes::default(),
        process: None,
        trust_refused: false,
    };
    let (events, http, clients) = (mpsc::channel(1).0, mpsc::channel(1).0, mpsc::channel(1).0);
    let out = MeshOut {
        sink: Arc::new(Sink(mpsc::channel(1).0)),
        events,
        http,
        clients,
    };
    assert_eq!(
        Mesh::start(config, vec![], out).err(),
        Some(MeshError::Seed("somewhere".into()))
    );
}

/// One of a megabyte after the other: in all nearly twice what a lane holds, in fewer frames than are acknowledged at once.
#[tokio::test]
async fn large_frames_are_acknowledged_by_their_bytes() {
    let mut b = Setup {
        ack: Some(LONG),
        ..setup(2, "b")
    }
    .start()
    .await;
    let mut a = setup(1, "a").seed(&b).start().await;
    a.linked(&[2]).await;
    for n in 1..=60 {
        assert_eq!(
            a.mesh.send(NodeId(2), 7, &request(n, 1 << 20)),
            Ok(()),
            "frame {n}"
        );
        assert_eq!(b.message().await, n);
    }
}
