//! The client as a requester, against a fake node that speaks the real frames.

use std::time::Duration;

use crate::fake_node::{Conn, EXCHANGE, FakeNode};
use bytes::Bytes;
use squall_client::{
    Client, CommandError, ConnectError, ConnectOptions, Declaration, Invalid, RequestError, RequestOptions,
};
use squall_kernel::frame::{Frame, Kind, Status};
use squall_kernel::id::{ExchangeId, ExchangeName, Revision};
use squall_kernel::message::{ClientMessage, NodeMessage, ProposeResult};
use squall_kernel::reason::{ClientFault, NoReply, Refusal, SentAway};
use squall_kernel::registry::{Outcome, Refused, Strategy};

const LONG: Duration = Duration::from_secs(60);

fn patient() -> RequestOptions {
    RequestOptions {
        timeout: LONG,
        ..RequestOptions::default()
    }
}

async fn connected(node: &FakeNode) -> (Client, Conn) {
    let options = ConnectOptions {
        connect_within: LONG,
        dial_within: LONG,
        silence: LONG,
        ..ConnectOptions::new([node.addr()])
    };
    let (client, conn) = tokio::join!(Client::connect(options), node.accept_client());
    (client.unwrap(), conn)
}

#[tokio::test]
async fn every_status_becomes_its_outcome() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let table = [
        (Status::Declined, RequestError::Declined("sold out".into())),
        (Status::None(NoReply::Timeout), RequestError::Timeout),
        (Status::None(NoReply::NoResponders), RequestError::NoResponders),
        (Status::None(NoReply::Rejected), RequestError::Rejected),
        (Status::None(NoReply::Interrupted), RequestError::Interrupted),
        (
            Status::None(NoReply::NoQuorum),
            RequestError::Unavailable(NoReply::NoQuorum),
        ),
    ];
    for (status, expected) in table {
        let asked = client.request("users", "x", patient());
        let answered = async {
            let request = conn.request().await;
            assert_eq!(
                (request.exchange, request.payload.as_ref()),
                (EXCHANGE, b"x".as_ref())
            );
            conn.reply(&request, status, b"sold out").await;
        };
        let (outcome, ()) = tokio::join!(asked, answered);
        assert_eq!(outcome.unwrap_err(), expected);
    }
    assert_eq!(conn.lookups, 1, "the name is looked up once");
}

#[tokio::test]
async fn a_reply_carries_payload_and_tag_and_large_payloads_arrive_whole() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let payload = Bytes::from(vec![42; 100_000]);
    let options = RequestOptions {
        request_tag: Bytes::from_static(b"t1"),
        service_tag: Bytes::from_static(b"eu"),
        ..patient()
    };
    let answered = async {
        let request = conn.request().await;
        assert_eq!(request.payload.len(), 100_000);
        assert_eq!(
            (request.tags.request.as_ref(), request.tags.service.as_ref()),
            (&b"t1"[..], &b"eu"[..])
        );
        assert!(request.left_ms > 0);
        conn.reply(&request, Status::Reply, b"yes").await;
    };
    let (reply, ()) = tokio::join!(client.request("users", payload, options), answered);
    let reply = reply.unwrap();
    assert_eq!(
        (reply.payload.as_ref(), reply.request_tag.as_ref()),
        (&b"yes"[..], &b"t1"[..])
    );
}

#[tokio::test]
async fn what_no_node_would_take_is_refused_before_it_is_sent() {
    let node = FakeNode::start("a", 1).await;
    let (client, _conn) = connected(&node).await;
    let long_tag = RequestOptions {
        request_tag: Bytes::from(vec![b'x'; 256]),
        ..patient()
    };
    let no_time = RequestOptions {
        timeout: Duration::ZERO,
        ..patient()
    };
    let huge = vec![0; squall_kernel::limits::PAYLOAD_BYTES_MAX + 1];
    assert!(matches!(
        client.request("a b", "", patient()).await,
        Err(RequestError::Invalid(Invalid::Name(_)))
    ));
    assert!(matches!(
        client.request("a", "", long_tag).await,
        Err(RequestError::Invalid(Invalid::Tag { len: 256, .. }))
    ));
    assert!(matches!(
        client.request("a", "", no_time).await,
        Err(RequestError::Invalid(Invalid::Timeout { ms: 0 }))
    ));
    assert!(matches!(
        client.request("a", huge, patient()).await,
        Err(RequestError::Invalid(Invalid::Payload { .. }))
    ));
}

#[tokio::test]
async fn an_unknown_exchange_is_unavailable_by_name() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    tokio::select! {
        outcome = client.request("unknown", "x", patient()) => {
            assert_eq!(outcome.unwrap_err(), RequestError::Unavailable(NoReply::UnknownExchange));
        }
        _ = conn.next() => panic!("nothing is sent to an unknown exchange"),
    }
}

#[tokio::test]
async fn an_exchange_declared_anew_is_looked_up_anew() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let answered = async {
        let first = conn.request().await;
        conn.reply(&first, Status::Reply, b"").await;
        conn.exchange = ExchangeId(8);
        let stale = conn.request().await;
        assert_eq!(stale.exchange, EXCHANGE);
        conn.reply(&stale, Status::None(NoReply::UnknownExchange), b"")
            .await;
        let fresh = conn.request().await;
        assert_eq!(fresh.exchange, ExchangeId(8));
        conn.reply(&fresh, Status::Reply, b"new").await;
    };
    let asked = async {
        client.request("users", "x", patient()).await.unwrap();
        client.request("users", "x", patient()).await.unwrap()
    };
    let (reply, ()) = tokio::join!(asked, answered);
    assert_eq!(reply.payload.as_ref(), b"new");
}

#[tokio::test]
async fn a_sent_request_is_interrupted_and_an_unsent_one_goes_to_the_next_connection() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let sent = client.request("users", "sent", patient());
    let answered = async {
        let request = conn.request().await;
        assert_eq!(request.payload.as_ref(), b"sent");
        drop(conn);
    };
    let (outcome, ()) = tokio::join!(sent, answered);
    assert_eq!(outcome.unwrap_err(), RequestError::Interrupted);
    let unsent = client.request("users", "unsent", patient());
    let answered = async {
        let mut conn = node.accept_client().await;
        let request = conn.request().await;
        assert_eq!(request.payload.as_ref(), b"unsent");
        conn.reply(&request, Status::Reply, b"done").await;
        conn
    };
    let (outcome, _conn) = tokio::join!(unsent, answered);
    assert_eq!(outcome.unwrap().payload.as_ref(), b"done");
}

#[tokio::test]
async fn without_a_node_a_request_that_was_never_sent_is_unavailable() {
    let node = FakeNode::start("a", 1).await;
    let (client, conn) = connected(&node).await;
    drop((node, conn));
    let options = RequestOptions {
        timeout: Duration::from_millis(300),
        ..RequestOptions::default()
    };
    // The first may be written before the broken connection is noticed; the second finds none.
    let _either = client.request("users", "x", options.clone()).await.unwrap_err();
    let outcome = client.request("users", "x", options).await.unwrap_err();
    assert_eq!(outcome, RequestError::Unavailable(NoReply::Unreachable));
}

#[tokio::test]
async fn the_client_fails_over_to_a_member_it_has_only_learned_of() {
    let mut a = FakeNode::start("a", 1).await;
    let b = FakeNode::start("b", 2).await;
    a.members = vec![b.me.clone()];
    let (client, conn) = connected(&a).await;
    assert_eq!(client.node().unwrap().name.as_str(), "a");
    drop((a, conn));
    let mut conn = b.accept_client().await;
    let answered = async {
        let request = conn.request().await;
        conn.reply(&request, Status::Reply, b"from b").await;
    };
    let (reply, ()) = tokio::join!(client.request("users", "x", patient()), answered);
    assert_eq!(reply.unwrap().payload.as_ref(), b"from b");
    assert_eq!(client.node().unwrap().name.as_str(), "b");
}

#[tokio::test]
async fn a_wrong_cookie_is_told_at_once() {
    let node = FakeNode::start("a", 1).await.with_cookie(b"right");
    let options = ConnectOptions {
        cookie: Some(b"wrong".to_vec()),
        connect_within: LONG,
        ..ConnectOptions::new([node.addr()])
    };
    let (client, refused) = tokio::join!(Client::connect(options), node.accept());
    assert!(refused.is_none());
    let error = client.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Refused {
                refusal: Refusal::Cookie,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_at_the_addresses_is_told_with_all_of_them() {
    let gone = FakeNode::start("a", 1).await.addr();
    let options = ConnectOptions {
        connect_within: Duration::from_millis(300),
        ..ConnectOptions::new([gone.clone()])
    };
    let error = Client::connect(options).await.unwrap_err();
    assert!(error.to_string().contains(&gone), "{error}");
    assert_eq!(
        Client::connect(ConnectOptions::new([""; 0])).await.unwrap_err(),
        ConnectError::NoAddress
    );
}

#[tokio::test]
async fn a_silent_node_is_left() {
    let node = FakeNode::start("a", 1).await;
    let ms = Duration::from_millis;
    let options = ConnectOptions {
        keepalive: ms(20),
        silence: ms(200),
        ..ConnectOptions::new([node.addr()])
    };
    let (client, _silent) = tokio::join!(Client::connect(options), node.accept_client());
    let client = client.unwrap();
    let mut second = node.accept_client().await;
    let answered = async {
        let request = second.request().await;
        second.reply(&request, Status::Reply, b"").await;
    };
    let (reply, ()) = tokio::join!(client.request("users", "x", patient()), answered);
    reply.unwrap();
}

#[tokio::test]
async fn a_leaving_node_still_answers_and_gets_nothing_new() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let old = client.request("users", "old", patient());
    let rest = async {
        let request = conn.request().await;
        let why = SentAway::Leaving;
        conn.tell(&NodeMessage::Leaving { why }).await;
        let answered = async {
            let mut second = node.accept_client().await;
            let new = second.request().await;
            assert_eq!(new.payload.as_ref(), b"new");
            second.reply(&new, Status::Reply, b"second").await;
        };
        let asked = async {
            conn.reply(&request, Status::Reply, b"first").await;
            assert_eq!(conn.next().await, None, "the client goes and asks nothing more");
            client.request("users", "new", patient()).await
        };
        tokio::join!(asked, answered).0
    };
    let (old, new) = tokio::join!(old, rest);
    assert_eq!(
        (old.unwrap().payload.as_ref(), new.unwrap().payload.as_ref()),
        (&b"first"[..], &b"second"[..])
    );
}

#[tokio::test]
async fn replies_of_all_handlers_come_with_their_numbers_until_all_have_answered() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let numbered = |request: &Frame, index, status, payload: &'static [u8]| Frame {
        status,
        message: request.message,
        index,
        count: 3,
        payload: Bytes::from_static(payload),
        ..Frame::new(Kind::Reply)
    };
    let answered = async {
        let request = conn.request().await;
        conn.send(&numbered(&request, 2, Status::Reply, b"two")).await;
        conn.send(&numbered(&request, 1, Status::Declined, b"not me"))
            .await;
        conn.send(&numbered(&request, 3, Status::None(NoReply::Interrupted), b""))
            .await;
    };
    let (replies, ()) = tokio::join!(client.request_many("stock", "?", patient()), answered);
    let mut replies = replies.unwrap();
    let first = replies.next().await.unwrap().unwrap();
    assert_eq!(
        (first.index, first.count, first.payload.as_ref()),
        (2, 3, &b"two"[..])
    );
    assert_eq!(
        replies.next().await,
        Some(Err(RequestError::Declined("not me".into())))
    );
    assert_eq!(replies.next().await, Some(Err(RequestError::Interrupted)));
    assert_eq!(replies.next().await, None);
}

#[tokio::test]
async fn a_single_request_takes_the_first_reply_and_passes_over_who_declined() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let answered = async {
        let request = conn.request().await;
        let numbered = |index, status| Frame {
            status,
            message: request.message,
            index,
            count: 2,
            ..Frame::new(Kind::Reply)
        };
        conn.send(&numbered(1, Status::Declined)).await;
        conn.send(&numbered(2, Status::Reply)).await;
    };
    let (reply, ()) = tokio::join!(client.request("stock", "?", patient()), answered);
    assert_eq!(reply.unwrap().index, 2);
}

async fn proposed(conn: &mut Conn, result: ProposeResult) {
    let ClientMessage::Propose { call, .. } = conn.message().await else {
        panic!("not a proposal")
    };
    conn.tell(&NodeMessage::Proposed { call, result }).await;
}

#[tokio::test]
async fn a_declaration_is_proposed_until_the_cluster_has_decided() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let declaration = || Declaration::new(ExchangeName::new("users").unwrap(), Strategy::RoundRobin);
    let answered = async {
        proposed(&mut conn, ProposeResult::NotLeader { leader: None }).await;
        proposed(
            &mut conn,
            ProposeResult::Failed {
                reason: "no quorum".into(),
            },
        )
        .await;
        proposed(
            &mut conn,
            ProposeResult::Committed {
                outcome: Outcome::Done,
                revision: Revision(5),
            },
        )
        .await;
    };
    let (declared, ()) = tokio::join!(client.declare(declaration(), LONG), answered);
    let declared = declared.unwrap();
    assert_eq!((declared.created, declared.revision), (true, Revision(5)));

    let refused = Refused::UnknownExchange("users".into());
    let answered = proposed(
        &mut conn,
        ProposeResult::Committed {
            outcome: Outcome::Refused(refused.clone()),
            revision: Revision(6),
        },
    );
    let (deleted, ()) = tokio::join!(client.delete("users", LONG), answered);
    assert_eq!(deleted.unwrap_err(), CommandError::Refused(refused));

    let answered = proposed(
        &mut conn,
        ProposeResult::Unknown {
            reason: "leader lost".into(),
        },
    );
    let (deleted, ()) = tokio::join!(client.delete("users", LONG), answered);
    assert_eq!(
        deleted.unwrap_err(),
        CommandError::Unknown("leader lost".into()),
        "a deletion is not repeated blindly"
    );

    let answered = proposed(&mut conn, ProposeResult::NoQuorum);
    let (declared, ()) = tokio::join!(client.declare(declaration(), LONG), answered);
    assert!(
        matches!(&declared, Err(CommandError::Unavailable(why)) if why.starts_with("no quorum: ")),
        "asked once, and no more: {declared:?}"
    );
    let refused = async {
        let ClientMessage::Propose { call, .. } = conn.message().await else {
            panic!("not a proposal")
        };
        let reason = "line 1: no such function".to_owned();
        let fault = Some(ClientFault::Malformed);
        conn.tell(&NodeMessage::Refused { call, reason, fault }).await;
    };
    let (declared, ()) = tokio::join!(client.declare(declaration(), LONG), refused);
    assert_eq!(
        declared.unwrap_err(),
        CommandError::Malformed("line 1: no such function".into()),
        "the next node would find the same"
    );
}

#[tokio::test]
async fn garbage_from_a_node_ends_the_connection_not_the_client() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    conn.send(&Frame {
        payload: Bytes::from_static(b"\xff\xff\xff"),
        ..Frame::new(Kind::Control)
    })
    .await;
    let mut second = node.accept_client().await;
    let answered = async {
        let request = second.request().await;
        second.reply(&request, Status::Reply, b"").await;
    };
    let (reply, ()) = tokio::join!(client.request("users", "x", patient()), answered);
    reply.unwrap();
}
