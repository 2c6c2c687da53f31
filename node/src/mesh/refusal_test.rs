//! Tests of who is turned away at the door, and what both sides are told.

use bytes::BytesMut;
use squall_kernel::handshake::{Dialler, Facts, Nonce, Purpose};
use squall_kernel::id::LinkSeq;
use squall_kernel::message::HandshakeMessage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fixture::*;
use super::*;

#[tokio::test]
async fn a_wrong_cookie_shows_on_both_sides() {
    let mut a = setup(1, "a").start().await;
    let mut b = Setup {
        cookie: b"other",
        ..setup(2, "b")
    }
    .seed(&a)
    .start()
    .await;
    let (at_a, at_b) = (a.refused().await, b.refused().await);
    assert_eq!((at_a.0, &at_a), (Refusal::Cookie, &at_b));
    assert!(
        at_a.1.contains("node 'b' at") && at_a.1.contains("use the same --cookie-file"),
        "{}",
        at_a.1
    );
    assert!(b.mesh.seeds()[0].why.starts_with("wrong cookie: "));
    assert_eq!((a.mesh.links().len(), b.mesh.links().len()), (0, 0));
}

#[tokio::test]
async fn another_cluster_shows_on_both_sides() {
    let mut a = Setup {
        cluster: Some(1),
        ..setup(1, "a")
    }
    .start()
    .await;
    let mut b = Setup {
        cluster: Some(2),
        ..setup(2, "b")
    }
    .seed(&a)
    .start()
    .await;
    let (at_a, at_b) = (a.refused().await, b.refused().await);
    assert_eq!((at_a.0, &at_a), (Refusal::Cluster, &at_b));
}

#[tokio::test]
async fn the_same_name_twice_shows_on_both_sides() {
    let mut a = setup(1, "a").start().await;
    let mut b = setup(2, "b").seed(&a).start().await;
    a.linked(&[2]).await;
    b.linked(&[1]).await;
    let mut other = setup(3, "b").seed(&a).start().await;
    let (at_a, at_other) = (a.refused().await, other.refused().await);
    assert_eq!((at_a.0, &at_a), (Refusal::NameTaken, &at_other));
}

/// The listener's answer to raw bytes, and the refusal it counted.
async fn answer_to(bytes: &[u8]) -> (Option<HandshakeMessage>, Refusal) {
    let mut a = setup(1, "a").start().await;
    let mut stream = TcpStream::connect(&a.me.mesh_addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = BytesMut::new();
    while within(stream.read_buf(&mut answer)).await.unwrap_or(0) > 0 {}
    let frame = Frame::decode(&mut answer, 4096).unwrap();
    let message = frame.map(|(_, frame)| squall_kernel::handshake::read(&frame.payload).unwrap());
    (message, a.refused().await.0)
}

fn told(answer: &Option<HandshakeMessage>) -> Option<Refusal> {
    match answer {
        Some(HandshakeMessage::Refused { refusal, .. }) => Some(*refusal),
        _ => None,
    }
}

#[tokio::test]
async fn garbage_is_counted_and_closed() {
    let (answer, refusal) = answer_to(b"POST / HTTP/1.1\r\n\r\n").await;
    assert_eq!((answer, refusal), (None, Refusal::Garbage));
    // A length that could be ours, and nothing else that is.
    let mut bytes = vec![200, 0, 0, 0];
    bytes.resize(204, 9);
    let (answer, refusal) = answer_to(&bytes).await;
    assert_eq!(
        (told(&answer), refusal),
        (Some(Refusal::Garbage), Refusal::Garbage)
    );
}

#[tokio::test]
async fn an_oversized_first_frame_is_refused_before_it_is_read() {
    let (answer, refusal) = answer_to(&(1024 * 1024_u32).to_le_bytes()).await;
    assert_eq!(
        (told(&answer), refusal),
        (Some(Refusal::Garbage), Refusal::Garbage)
    );
}

#[tokio::test]
async fn another_version_is_refused_with_a_reason() {
    let me = setup(9, "z").start().await.me.clone();
    let facts = Facts {
        me: &me,
        process: None,
        cluster: None,
        initialized: false,
        cookie: COOKIE,
        live: &[],
    };
    let HandshakeMessage::Hello(mut hello) = Dialler::node(&facts, Purpose::Seed, Nonce::default()).hello()
    else {
        panic!("a hello comes first")
    };
    hello.version = 99;
    let mut bytes = BytesMut::new();
    control(&HandshakeMessage::Hello(hello)).encode(LinkSeq(0), &mut bytes);
    let (answer, refusal) = answer_to(&bytes).await;
    assert_eq!(
        (told(&answer), refusal),
        (Some(Refusal::Version), Refusal::Version)
    );
}

#[tokio::test(start_paused = true)]
async fn silence_is_refused_in_time() {
    let (answer, refusal) = answer_to(b"").await;
    assert_eq!((told(&answer), refusal), (Some(Refusal::Slow), Refusal::Slow));
}
