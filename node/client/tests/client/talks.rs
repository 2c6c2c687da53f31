//! Chunks and questions: the client on either side of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::fake_node::{Conn, EXCHANGE, FakeNode};
use crate::handlers::{LONG, SERIAL, connected};
use bytes::Bytes;
use squall_client::{
    Answer, AttachOptions, Chunks, Delivery, Handler, Invalid, RequestError, RequestOptions, TalkError,
};
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{MessageId, NodeId};
use squall_kernel::limits::CHUNK_CREDIT_MAX;
use squall_kernel::reason::{NoReply, TalkFault};
use squall_kernel::talk::{refusal, stop};

fn long() -> RequestOptions {
    RequestOptions {
        timeout: LONG,
        ..RequestOptions::default()
    }
}

fn of(request: &Frame, kind: Kind, index: u32, count: u32, payload: &'static str) -> Frame {
    Frame {
        message: request.message,
        index,
        count,
        payload: payload.into(),
        ..Frame::new(kind)
    }
}

async fn begin(credit: u32) -> (FakeNode, Chunks, Conn, Frame) {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let request = client.request_chunked("reports", "all", credit, long());
    let (chunks, request) = tokio::join!(request, conn.request());
    assert_eq!((request.credit, request.index), (credit, 0));
    (node, chunks.unwrap(), conn, request)
}

#[tokio::test]
async fn more_is_taken_as_chunks_are_used() {
    // A106, B4
    let (_node, mut chunks, mut conn, request) = begin(4).await;
    for index in 1..=4 {
        conn.send(&of(&request, Kind::Chunk, index, 0, "part")).await;
    }
    for index in 1..=2 {
        assert_eq!(chunks.next().await.unwrap().unwrap().index, index);
    }
    let (third, credit) = tokio::join!(chunks.next(), conn.next());
    assert_eq!(third.unwrap().unwrap().index, 3);
    let credit = credit.unwrap();
    assert_eq!(
        (credit.kind, credit.message, credit.credit),
        (Kind::Credit, request.message, 2)
    );
    conn.send(&of(&request, Kind::Chunk, 5, 5, "")).await;
    conn.reply(&request, Status::Reply, b"").await;
    assert_eq!(chunks.next().await.unwrap().unwrap().index, 4);
    assert_eq!(
        chunks.next().await,
        None,
        "a bare end mark and an empty reply are no chunks"
    );
    assert_eq!(chunks.next().await, None);
}

#[tokio::test]
async fn an_answer_in_one_piece_is_one_chunk() {
    let (_node, mut chunks, mut conn, request) = begin(1).await;
    conn.reply(&request, Status::Reply, b"whole").await;
    let chunk = chunks.next().await.unwrap().unwrap();
    assert_eq!((chunk.index, &chunk.payload[..]), (1, &b"whole"[..]));
    assert_eq!(chunks.next().await, None);
}

#[tokio::test]
async fn a_stream_ends_with_its_connection() {
    let (_node, mut chunks, mut conn, request) = begin(2).await;
    conn.send(&of(&request, Kind::Chunk, 1, 0, "part")).await;
    assert!(chunks.next().await.unwrap().is_ok());
    drop(conn);
    assert_eq!(chunks.next().await, Some(Err(RequestError::Interrupted)));
    assert_eq!(chunks.next().await, None);
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_given_up() {
    let node = FakeNode::start("a", 1).await;
    // Held: with its last handle the connection goes, and whether the word is written before that is open.
    let (client, mut conn) = connected(&node).await;
    let request = client.request_chunked("reports", "all", 2, long());
    let (chunks, request) = tokio::join!(request, conn.request());
    drop(chunks.unwrap());
    let given_up = conn.next().await.unwrap();
    assert_eq!((given_up.kind, given_up.message), (Kind::Credit, request.message));
    assert_eq!(given_up.status, Status::None(NoReply::Interrupted));
}

#[tokio::test]
async fn a_credit_out_of_its_bounds_is_never_sent() {
    let node = FakeNode::start("a", 1).await;
    let (client, _conn) = connected(&node).await;
    for credit in [0, CHUNK_CREDIT_MAX + 1] {
        let refused = client.request_chunked("reports", "all", credit, long()).await;
        assert_eq!(refused.unwrap_err(), Invalid::Chunks { credit }.into());
    }
}

#[tokio::test]
async fn questions_are_answered_until_the_reply_comes() {
    // A107
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let answer = |question: Bytes| async move {
        if question == "year?" {
            Answer::Reply("2026".into())
        } else {
            Answer::Decline("no idea".into())
        }
    };
    let asking = client.request_answering("reports", "all", long(), answer);
    let node_side = async {
        let request = conn.request().await;
        assert_eq!((request.credit, request.index), (0, 1));
        let expected = [
            ("year?", Status::Reply, "2026"),
            ("why?", Status::Declined, "no idea"),
        ];
        for (number, (question, status, answer)) in (1..).zip(expected) {
            conn.send(&of(&request, Kind::Ask, number, 0, question)).await;
            let told = conn.next().await.unwrap();
            assert_eq!(
                (told.kind, told.message, told.index),
                (Kind::Tell, request.message, number)
            );
            assert_eq!((told.status, &told.payload[..]), (status, answer.as_bytes()));
        }
        conn.reply(&request, Status::Reply, b"done").await;
    };
    let (reply, ()) = tokio::join!(asking, node_side);
    assert_eq!(&reply.unwrap().payload[..], b"done");
}

/// Sends three chunks, or asks, and says what became of it.
struct Teller(Arc<Mutex<Vec<TalkError>>>);

impl Handler for Teller {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        if delivery.payload == "ask" {
            return match delivery.ask("year?").await {
                Ok(year) => Answer::Reply(year),
                Err(error) => Answer::Decline(error.to_string()),
            };
        }
        let mut sender = delivery.chunks().unwrap();
        for part in ["one", "two", "three"] {
            if let Err(error) = sender.send(part).await {
                self.0.lock().unwrap().push(error);
                return Answer::Decline("nobody there".into());
            }
        }
        Answer::Reply(Bytes::new())
    }
}

async fn serving() -> (
    FakeNode,
    squall_client::Attachment,
    Conn,
    Arc<Mutex<Vec<TalkError>>>,
) {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let errors = Arc::<Mutex<Vec<TalkError>>>::default();
    let options = AttachOptions {
        wait: LONG,
        ..AttachOptions::default()
    };
    let handler = Teller(Arc::clone(&errors));
    let (attachment, _) = tokio::join!(client.attach("reports", options, handler), conn.attach(SERIAL));
    (node, attachment.unwrap(), conn, errors)
}

fn delivery(number: u64, credit: u32, payload: &'static str) -> Frame {
    Frame {
        exchange: EXCHANGE,
        origin: NodeId(2),
        message: MessageId(number),
        to: SERIAL,
        left_ms: 60_000,
        credit,
        payload: payload.into(),
        ..Frame::new(Kind::Deliver)
    }
}

fn to_handler(delivery: &Frame, frame: Frame) -> Frame {
    Frame {
        origin: delivery.origin,
        message: delivery.message,
        to: SERIAL,
        ..frame
    }
}

#[tokio::test]
async fn a_handler_waits_for_credit_and_its_last_chunk_is_marked() {
    let (_node, _attachment, mut conn, _) = serving().await;
    let delivery = delivery(1, 2, "chunks");
    conn.send(&delivery).await;
    for index in 1..=2 {
        let chunk = conn.next().await.unwrap();
        assert_eq!((chunk.kind, chunk.index, chunk.count), (Kind::Chunk, index, 0));
        assert_eq!(
            (chunk.message, chunk.origin, chunk.from.serial),
            (MessageId(1), NodeId(2), SERIAL)
        );
    }
    let more = Frame {
        credit: 1,
        ..Frame::new(Kind::Credit)
    };
    conn.send(&to_handler(&delivery, more)).await;
    let third = conn.next().await.unwrap();
    assert_eq!((third.index, &third.payload[..]), (3, &b"three"[..]));
    let mark = conn.next().await.unwrap();
    assert_eq!((mark.index, mark.count, mark.payload.len()), (4, 4, 0));
    assert_eq!(conn.answer().await.status, Status::Reply);
}

#[tokio::test]
async fn a_handler_is_told_that_nobody_takes_its_chunks() {
    let (_node, _attachment, mut conn, errors) = serving().await;
    let gone = delivery(1, 1, "chunks");
    conn.send(&gone).await;
    let chunk = conn.next().await.unwrap();
    conn.send(&to_handler(&gone, stop(NoReply::Timeout, None))).await;
    assert_eq!(conn.answer().await.status, Status::Declined);
    let broken = delivery(2, 1, "chunks");
    conn.send(&broken).await;
    let refused = refusal(&conn.next().await.unwrap(), TalkFault::Fenced);
    conn.send(&refused).await;
    assert_eq!(conn.answer().await.status, Status::Declined);
    assert_eq!(chunk.index, 1);
    let errors = errors.lock().unwrap().clone();
    let expected = [TalkFault::Over, TalkFault::Fenced].map(TalkError::Refused);
    assert_eq!(errors, expected);
}

#[tokio::test]
async fn a_handler_asks_and_takes_the_answer_or_the_refusal() {
    let (_node, _attachment, mut conn, _) = serving().await;
    let told = Frame {
        index: 1,
        payload: "2026".into(),
        ..Frame::new(Kind::Tell)
    };
    for (number, refused) in [(1, false), (2, true)] {
        let delivery = delivery(number, 0, "ask");
        conn.send(&delivery).await;
        let question = conn.next().await.unwrap();
        assert_eq!(
            (question.kind, question.index, &question.payload[..]),
            (Kind::Ask, 1, &b"year?"[..])
        );
        let back = if refused {
            refusal(&question, TalkFault::NoQuestions)
        } else {
            to_handler(&delivery, told.clone())
        };
        conn.send(&back).await;
        let answer = conn.answer().await;
        let expected = if refused {
            (Status::Declined, TalkFault::NoQuestions.as_str())
        } else {
            (Status::Reply, "2026")
        };
        assert_eq!(
            (answer.status, &answer.payload[..]),
            (expected.0, expected.1.as_bytes())
        );
    }
}

#[tokio::test]
async fn a_handler_does_not_wait_past_the_deadline() {
    let (_node, _attachment, mut conn, errors) = serving().await;
    let short = Frame {
        left_ms: 1000,
        ..delivery(1, 1, "chunks")
    };
    conn.send(&short).await;
    assert_eq!(conn.next().await.unwrap().kind, Kind::Chunk);
    let answer = tokio::time::timeout(Duration::from_secs(30), conn.answer())
        .await
        .unwrap();
    assert_eq!(answer.status, Status::Declined);
    assert_eq!(*errors.lock().unwrap(), [TalkError::Timeout]);
}
