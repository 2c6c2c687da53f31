//! The client as a service, against a fake node that speaks the real frames.

use std::time::Duration;

use crate::fake_node::{Conn, EXCHANGE, FakeNode};
use bytes::Bytes;
use squall_client::{
    Answer, AttachError, AttachOptions, Attachment, Client, ConnectOptions, Delivery, Ended, Handler, Notice,
    NoticeKind, Supervision,
};
use squall_kernel::frame::{Frame, Kind, Status, Tags};
use squall_kernel::id::{Counter, Epoch, LeaderEpoch, MessageId, NodeId, Pid};
use squall_kernel::message::{ClientMessage, NodeMessage, Server, System, SystemMessage, parse};
use squall_kernel::reason::{ClientFault, DetachReason, NoReply};
use tokio::sync::mpsc;

/// Process 5 of the node's first run.
pub(crate) const SERIAL: u64 = (1 << 32) | 5;
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Answers what it is told to, and passes on its notices.
pub(crate) struct Parrot {
    pub(crate) notices: mpsc::Sender<Notice>,
}

impl Handler for Parrot {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        match delivery.payload.as_ref() {
            b"decline" => Answer::Decline("no".into()),
            b"panic" => panic!("asked to"),
            b"tags" => Answer::Reply([delivery.connection_tag, delivery.request_tag].concat().into()),
            _ => Answer::Reply(delivery.payload),
        }
    }

    fn notice(&mut self, notice: Notice) {
        self.notices.try_send(notice).unwrap();
    }
}

pub(crate) struct Scene {
    pub(crate) node: FakeNode,
    pub(crate) client: Client,
    pub(crate) conn: Conn,
    pub(crate) attachment: Attachment,
    pub(crate) notices: mpsc::Receiver<Notice>,
}

pub(crate) async fn connected(node: &FakeNode) -> (Client, Conn) {
    let options = ConnectOptions {
        connect_within: LONG,
        dial_within: LONG,
        silence: LONG,
        ..ConnectOptions::new([node.addr()])
    };
    let (client, conn) = tokio::join!(Client::connect(options), node.accept_client());
    (client.unwrap(), conn)
}

pub(crate) async fn attached() -> Scene {
    attached_under(Supervision::default()).await
}

async fn attached_under(supervision: Supervision) -> Scene {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let (sender, notices) = mpsc::channel(16);
    let options = AttachOptions {
        service_tag: "eu".into(),
        connection_tag: "left ".into(),
        wait: LONG,
        supervision,
        ..AttachOptions::default()
    };
    let (attachment, pid) = tokio::join!(
        client.attach("orders", options, Parrot { notices: sender }),
        conn.attach(SERIAL)
    );
    assert_eq!(pid.node, NodeId(1));
    Scene {
        node,
        client,
        conn,
        attachment: attachment.unwrap(),
        notices,
    }
}

fn delivery(serial: u64, epoch: u64, payload: &'static [u8]) -> Frame {
    Frame {
        exchange: EXCHANGE,
        epoch: Epoch(epoch),
        leader_epoch: LeaderEpoch(2),
        message: MessageId(77),
        origin: NodeId(3),
        to: serial,
        from: Pid {
            node: NodeId(3),
            serial: 12,
        },
        tags: Tags {
            request: Bytes::from_static(b"tag"),
            ..Tags::default()
        },
        payload: Bytes::from_static(payload),
        ..Frame::new(Kind::Deliver)
    }
}

#[tokio::test]
async fn a_delivery_is_answered_with_its_identity_and_epochs() {
    let mut scene = attached().await;
    assert_eq!(scene.attachment.pid().as_deref(), Some("<a.5>"));
    scene.conn.send(&delivery(SERIAL, 4, b"hello")).await;
    let answer = scene.conn.answer().await;
    assert_eq!(
        (answer.status, answer.payload.as_ref()),
        (Status::Reply, &b"hello"[..])
    );
    assert_eq!(
        (answer.message, answer.origin, answer.epoch),
        (MessageId(77), NodeId(3), Epoch(4))
    );
    assert_eq!((answer.to, answer.from.serial), (12, SERIAL));
    assert_eq!(answer.tags.request.as_ref(), b"tag");
    scene.conn.send(&delivery(SERIAL, 4, b"decline")).await;
    let answer = scene.conn.answer().await;
    assert_eq!(
        (answer.status, answer.payload.as_ref()),
        (Status::Declined, &b"no"[..])
    );
}

/// A26, A28: what came through which attachment, and whose request it is.
#[tokio::test]
async fn a26_a_delivery_has_the_connection_tag_of_its_attachment() {
    let mut scene = attached().await;
    scene.conn.send(&delivery(SERIAL, 1, b"tags")).await;
    assert_eq!(&scene.conn.answer().await.payload[..], b"left tag");
}

#[tokio::test]
async fn a_stale_owner_is_fenced_also_after_a_reconnect() {
    let mut scene = attached().await;
    scene.conn.send(&delivery(SERIAL, 4, b"new")).await;
    scene.conn.answer().await;
    scene.conn.send(&delivery(SERIAL, 3, b"stale")).await;
    assert_eq!(scene.conn.answer().await.status, Status::None(NoReply::Fenced));
    drop(scene.conn);
    let mut conn = scene.node.accept_client().await;
    conn.attach(9).await;
    conn.send(&delivery(9, 3, b"stale")).await;
    assert_eq!(conn.answer().await.status, Status::None(NoReply::Fenced));
    let counts = scene.attachment.counts();
    assert_eq!((counts.fenced, counts.replied, counts.attached), (2, 1, 2));
}

#[tokio::test]
async fn a_panic_fails_one_request_and_the_handler_goes_on() {
    let mut scene = attached().await;
    scene.conn.send(&delivery(SERIAL, 1, b"panic")).await;
    let answer = scene.conn.answer().await;
    assert_eq!(
        (answer.status, &answer.payload[..]),
        (Status::None(NoReply::Failed), &b"asked to"[..])
    );
    scene.conn.send(&delivery(SERIAL, 1, b"fine")).await;
    assert_eq!(scene.conn.answer().await.status, Status::Reply);
    assert_eq!(scene.attachment.counts().panicked, 1);
}

/// One panic too many, and the handler is detached and stays so; what waits for it goes elsewhere.
#[tokio::test]
async fn a_handler_that_panics_too_often_is_detached_for_good() {
    let once = Supervision {
        restarts: 1,
        ..Supervision::default()
    };
    let mut scene = attached_under(once).await;
    for payload in [&b"panic"[..], b"panic", b"waits"] {
        scene.conn.send(&delivery(SERIAL, 1, payload)).await;
    }
    for _ in 0..2 {
        assert_eq!(scene.conn.answer().await.status, Status::None(NoReply::Failed));
    }
    let mut told = Vec::new();
    while told.len() < 2 {
        let frame = scene.conn.next().await.expect("a frame comes");
        match frame.kind {
            Kind::Reply => {
                assert_eq!(frame.status, Status::None(NoReply::Unreachable), "not handled");
                told.push("given back");
            }
            _ => {
                if let ClientMessage::Detach { handler, reason } = parse(&frame.payload).unwrap() {
                    assert_eq!((handler, reason), (SERIAL, DetachReason::Panicked));
                    told.push("detached");
                }
            }
        }
    }
    let ended = scene.attachment.ended().await;
    assert_eq!(ended, Ended::Detached(DetachReason::Panicked));
    assert_eq!(scene.attachment.counts().panicked, 2);
}

#[tokio::test]
async fn a_delivery_to_nobody_is_turned_away() {
    let mut scene = attached().await;
    scene.conn.send(&delivery(4711, 1, b"?")).await;
    assert_eq!(
        scene.conn.answer().await.status,
        Status::None(NoReply::Unreachable)
    );
}

#[tokio::test]
async fn more_deliveries_than_credit_are_rejected() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let (go, gate) = mpsc::channel(1);
    let options = AttachOptions {
        credit: 1,
        ..AttachOptions::default()
    };
    let (attachment, _) = tokio::join!(
        client.attach("orders", options, Gated { gate }),
        conn.attach(SERIAL)
    );
    let attachment = attachment.unwrap();
    conn.send(&delivery(SERIAL, 1, b"first")).await;
    conn.send(&delivery(SERIAL, 1, b"second")).await;
    assert_eq!(conn.answer().await.status, Status::None(NoReply::Rejected));
    go.send(()).await.unwrap();
    assert_eq!(conn.answer().await.payload.as_ref(), b"first");
    drop(attachment);
}

/// Answers when it may.
struct Gated {
    gate: mpsc::Receiver<()>,
}

impl Handler for Gated {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        self.gate.recv().await;
        Answer::Reply(delivery.payload)
    }
}

fn system(epoch: u64, counter: u64, what: System) -> NodeMessage {
    let message = SystemMessage {
        exchange: EXCHANGE,
        epoch: Epoch(epoch),
        counter: Counter(counter),
        what,
    };
    NodeMessage::System {
        handler: SERIAL,
        message,
    }
}

#[tokio::test]
async fn notices_name_nodes_and_stale_ones_are_dropped() {
    let mut scene = attached().await;
    let me = Pid {
        node: NodeId(1),
        serial: SERIAL,
    };
    let server = || Server {
        pid: me,
        service_tag: "eu".into(),
    };
    let leader = |leader_epoch| System::Leader {
        leader: Some(me),
        leader_epoch,
        servers: vec![server()].into(),
    };
    scene.conn.tell(&system(2, 3, leader(LeaderEpoch(4)))).await;
    scene.conn.tell(&system(1, 9, System::SlaveUp(server()))).await;
    scene.conn.tell(&system(2, 3, System::SlaveUp(server()))).await;
    let down = System::SlaveDown {
        pid: Pid {
            node: NodeId(0xbeef),
            serial: (1 << 32) | 8,
        },
        reason: DetachReason::NodeLost,
    };
    scene.conn.tell(&system(2, 4, down)).await;
    // The unknown node makes the client ask for the members, which the connection answers by itself.
    let told = async {
        (
            scene.notices.recv().await.unwrap(),
            scene.notices.recv().await.unwrap(),
        )
    };
    let (first, second) = tokio::select! {
        told = told => told,
        frame = scene.conn.next() => panic!("unexpected {frame:?}"),
    };
    let NoticeKind::Leader {
        leader, you, servers, ..
    } = first.what
    else {
        panic!("not $leader: {first:?}")
    };
    assert_eq!((leader.as_deref(), you), (Some("<a.5>"), true));
    assert_eq!(
        (servers[0].node.as_str(), servers[0].service_tag.as_str()),
        ("a", "eu")
    );
    assert_eq!(second.counter, Counter(4));
    assert_eq!(
        second.what,
        NoticeKind::SlaveDown {
            pid: "<beef.1:8>".into(),
            reason: "node lost".into()
        }
    );
}

#[tokio::test]
async fn a_handler_detached_by_its_exchange_attaches_again_when_it_is_back() {
    let mut scene = attached().await;
    scene
        .conn
        .tell(&NodeMessage::Detached {
            handler: SERIAL,
            reason: DetachReason::ExchangeDeleted,
        })
        .await;
    let ClientMessage::Attach { call, .. } = scene.conn.message().await else {
        panic!("not an attachment")
    };
    scene
        .conn
        .tell(&NodeMessage::Refused {
            call,
            reason: "unknown exchange".into(),
            fault: Some(ClientFault::NotThere),
        })
        .await;
    scene.conn.attach(6).await;
    scene.conn.send(&delivery(6, 1, b"back")).await;
    assert_eq!(scene.conn.answer().await.payload.as_ref(), b"back");
}

#[tokio::test]
async fn an_exchange_that_stays_unknown_ends_the_attachment_with_the_reason() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let (notices, _) = mpsc::channel(1);
    let options = AttachOptions {
        wait: Duration::from_millis(100),
        ..AttachOptions::default()
    };
    let refusing = async {
        while let Some(frame) = conn.next().await {
            if let Ok(ClientMessage::Attach { call, .. }) = squall_kernel::message::parse(&frame.payload) {
                conn.tell(&NodeMessage::Refused {
                    call,
                    reason: "unknown exchange".into(),
                    fault: Some(ClientFault::NotThere),
                })
                .await;
            }
        }
    };
    tokio::select! {
        result = client.attach("orders", options, Parrot { notices }) => {
            assert_eq!(result.unwrap_err(), AttachError::Ended(Ended::Unavailable("unknown exchange".into())));
        }
        () = refusing => panic!("the client left"),
    }
}

/// What would be refused again is not tried again.
#[tokio::test]
async fn an_exchange_of_another_pattern_ends_the_attachment_at_once() {
    let node = FakeNode::start("a", 1).await;
    let (client, mut conn) = connected(&node).await;
    let (notices, _) = mpsc::channel(1);
    let options = AttachOptions {
        wait: LONG,
        ..AttachOptions::default()
    };
    let refuse = async {
        let ClientMessage::Attach { call, .. } = conn.message().await else {
            panic!("not an attachment")
        };
        conn.tell(&NodeMessage::Refused {
            call,
            reason: "it has tasks".into(),
            fault: Some(ClientFault::WrongPattern),
        })
        .await;
    };
    let (attached, ()) = tokio::join!(client.attach("orders", options, Parrot { notices }), refuse);
    let error = attached.unwrap_err();
    assert_eq!(error, AttachError::Ended(Ended::Refused("it has tasks".into())));
    assert_eq!(error.to_string(), "it has tasks");
}

#[tokio::test]
async fn dropping_and_detaching_both_tell_the_node() {
    let mut scene = attached().await;
    drop(scene.attachment);
    assert_eq!(
        scene.conn.message().await,
        ClientMessage::Detach {
            handler: SERIAL,
            reason: DetachReason::Asked,
        }
    );
    let (notices, _) = mpsc::channel(1);
    let (attachment, _) = tokio::join!(
        scene
            .client
            .attach("orders", AttachOptions::default(), Parrot { notices }),
        scene.conn.attach(6)
    );
    let (message, ()) = tokio::join!(scene.conn.message(), attachment.unwrap().detach());
    assert_eq!(
        message,
        ClientMessage::Detach {
            handler: 6,
            reason: DetachReason::Asked,
        }
    );
    let (end, ()) = tokio::join!(scene.conn.next(), scene.client.close());
    assert_eq!(end, None, "a closed client leaves");
}
