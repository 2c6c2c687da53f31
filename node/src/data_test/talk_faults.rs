//! Chunks, credit, questions and answers that break the rules: each is named to the one who sent it, counted, and nobody
//! else notices.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use squall_kernel::frame::{Frame, Kind, Status, Tags};
use squall_kernel::id::{Epoch, ExchangeId, MessageId, NodeId, Pid};
use squall_kernel::limits::{CHUNK_BYTES_MAX, CHUNK_CREDIT_MAX};
use squall_kernel::reason::{NoReply, TalkFault};
use squall_kernel::registry::Strategy;
use squall_kernel::talk::{Terms, fault_of};

use super::cluster::{Cluster, asked, node, none, quiet};
use super::sessions::Client;
use super::talks::{Requester, attach};
use crate::router::Said;

/// A requester and a handler that say whatever the test wants, each at a node of its own.
struct Pair {
    cluster: Cluster,
    exchange: ExchangeId,
    handler: Client,
    requester: Client,
}

async fn pair(credit: u32) -> (Pair, Frame) {
    let mut cluster = Cluster::new(3);
    let exchange = cluster.declare("reports", Strategy::RoundRobin);
    let (mut handler, requester) = (Client::connect(&cluster, 1), Client::connect(&cluster, 2));
    handler.attach("reports", 0).await;
    quiet().await;
    let mut pair = Pair {
        cluster,
        exchange,
        handler,
        requester,
    };
    pair.request(5, credit, true).await;
    let delivery = pair.handler.data().await;
    assert_eq!((delivery.kind, delivery.credit), (Kind::Deliver, credit));
    (pair, delivery)
}

impl Pair {
    async fn request(&self, id: u64, credit: u32, questions: bool) {
        let frame = Frame {
            exchange: self.exchange,
            message: MessageId(id),
            left_ms: 2000,
            credit,
            index: questions.into(),
            payload: Bytes::from_static(b"question"),
            ..Frame::new(Kind::Request)
        };
        self.requester.frames.send(frame).await.unwrap();
    }

    async fn speak(&self, delivery: &Frame, kind: Kind, index: u32, count: u32, payload: Bytes) {
        let frame = Frame {
            message: delivery.message,
            origin: delivery.origin,
            from: Pid {
                node: NodeId(0),
                serial: delivery.to,
            },
            index,
            count,
            payload,
            ..Frame::new(kind)
        };
        self.handler.frames.send(frame).await.unwrap();
    }

    async fn chunk(&self, delivery: &Frame, index: u32, count: u32) {
        self.speak(delivery, Kind::Chunk, index, count, "part".into())
            .await;
    }

    /// The handler is told what it did wrong; the requester, that its response is interrupted.
    async fn broken(&mut self, expected: TalkFault) {
        let told = self.handler.data().await;
        assert_eq!(told.status, none(NoReply::Rejected));
        assert_eq!(fault_of(&told), expected);
        let outcome = self.outcome().await;
        assert_eq!(outcome.status, none(NoReply::Interrupted));
        assert!(self.faults(1) > 0, "{expected} is counted");
        self.another_is_served().await;
    }

    /// Chunks are passed over.
    async fn outcome(&mut self) -> Frame {
        loop {
            let frame = self.requester.data().await;
            if frame.kind == Kind::Reply {
                return frame;
            }
        }
    }

    async fn another_is_served(&mut self) {
        self.requester.request(77, self.exchange).await;
        let next = self.handler.data().await;
        assert_eq!(next.kind, Kind::Deliver);
        self.handler.answer(&next, Status::Reply).await;
        let outcome = self.outcome().await;
        assert_eq!((outcome.message, outcome.status), (MessageId(77), Status::Reply));
    }

    fn faults(&self, n: usize) -> u64 {
        self.cluster.planes[n]
            .context
            .wire
            .tally
            .talk_faults
            .load(Relaxed)
    }

    async fn say(&self, kind: Kind, frame: Frame) {
        let frame = Frame {
            message: MessageId(5),
            kind,
            ..frame
        };
        self.requester.frames.send(frame).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_a_repetition_and_a_wrong_count_end_the_request_of_their_handler() {
    for (chunks, expected) in [
        (&[(2, 0)][..], TalkFault::Gap),
        (&[(1, 0), (3, 0)], TalkFault::Gap),
        (&[(1, 0), (1, 0)], TalkFault::Repeated),
        (&[(1, 9)], TalkFault::WrongCount),
        (&[(1, 1), (2, 0)], TalkFault::AfterLast),
    ] {
        let (mut pair, delivery) = pair(4).await;
        for (index, count) in chunks {
            pair.chunk(&delivery, *index, *count).await;
        }
        pair.broken(expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_beyond_the_credit_ends_the_request_of_its_handler() {
    // B4
    for credit in [0, 2] {
        let (mut pair, delivery) = pair(credit).await;
        for index in 1..=credit + 1 {
            pair.chunk(&delivery, index, 0).await;
        }
        pair.broken(TalkFault::BeyondCredit).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_too_large_ends_the_request_of_its_handler() {
    let (mut pair, delivery) = pair(4).await;
    let large = Bytes::from(vec![0; CHUNK_BYTES_MAX + 1]);
    pair.speak(&delivery, Kind::Chunk, 1, 0, large).await;
    pair.broken(TalkFault::TooLarge).await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_before_the_last_chunk_is_an_interruption() {
    let (mut pair, delivery) = pair(4).await;
    pair.chunk(&delivery, 1, 0).await;
    pair.handler.answer(&delivery, Status::Reply).await;
    let told = pair.handler.data().await;
    assert_eq!(fault_of(&told), TalkFault::Incomplete);
    assert_eq!(pair.outcome().await.status, none(NoReply::Interrupted));
    assert!(pair.faults(2) > 0);
    pair.another_is_served().await;
}

#[tokio::test(start_paused = true)]
async fn replies_and_chunks_to_what_is_unknown_or_finished_are_refused() {
    let (mut pair, delivery) = pair(4).await;
    let unknown = Frame {
        message: MessageId(123),
        ..delivery.clone()
    };
    pair.chunk(&unknown, 1, 0).await;
    let told = pair.handler.data().await;
    assert_eq!((told.message, fault_of(&told)), (MessageId(123), TalkFault::Over));
    pair.handler.answer(&unknown, Status::Reply).await;
    let told = pair.handler.data().await;
    assert_eq!((told.message, fault_of(&told)), (MessageId(123), TalkFault::Over));
    pair.handler.answer(&delivery, Status::Reply).await;
    assert_eq!(pair.outcome().await.status, Status::Reply);
    for _ in 0..2 {
        pair.handler.answer(&delivery, Status::Reply).await;
        let told = pair.handler.data().await;
        assert_eq!(fault_of(&told), TalkFault::Over, "a second reply");
    }
    pair.chunk(&delivery, 1, 0).await;
    assert_eq!(fault_of(&pair.handler.data().await), TalkFault::Over);
    let late = &pair.cluster.planes[1].context.wire.tally.late_replies;
    assert_eq!((late.load(Relaxed), pair.faults(1)), (3, 2));
    pair.another_is_served().await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_comes_after_the_deadline_is_refused_to_its_handler() {
    let (mut pair, delivery) = pair(0).await;
    assert_eq!(pair.outcome().await.status, none(NoReply::Timeout));
    pair.handler.answer(&delivery, Status::Reply).await;
    let told = pair.handler.data().await;
    assert_eq!((told.to, fault_of(&told)), (delivery.to, TalkFault::Over));
    let late = &pair.cluster.planes[2].context.wire.tally.late_replies;
    assert_eq!(late.load(Relaxed), 1);
    pair.another_is_served().await;
}

#[tokio::test(start_paused = true)]
async fn questions_out_of_turn_are_refused_and_nothing_else() {
    let (mut pair, delivery) = pair(0).await;
    let ask = |number| (Kind::Ask, number, 0, Bytes::from_static(b"why?"));
    let refused = [
        (2, TalkFault::QuestionOrder),
        (1, TalkFault::QuestionOpen),
        (2, TalkFault::QuestionOpen),
    ];
    for (number, expected) in refused {
        let (kind, index, count, payload) = ask(number);
        pair.speak(&delivery, kind, index, count, payload).await;
        if expected == TalkFault::QuestionOrder {
            let (kind, index, count, payload) = ask(1);
            pair.speak(&delivery, kind, index, count, payload).await;
        }
        let told = pair.handler.data().await;
        assert_eq!(
            (told.kind, told.index, fault_of(&told)),
            (Kind::Ask, number, expected)
        );
    }
    let question = pair.requester.data().await;
    assert_eq!((question.kind, question.index, question.to), (Kind::Ask, 1, 0));
    let tell = |index| Frame {
        index,
        payload: "because".into(),
        ..Frame::new(Kind::Tell)
    };
    pair.say(Kind::Tell, tell(3)).await;
    let told = pair.requester.data().await;
    assert_eq!(
        (told.kind, fault_of(&told)),
        (Kind::Tell, TalkFault::NoSuchQuestion)
    );
    pair.say(Kind::Tell, tell(1)).await;
    let answer = pair.handler.data().await;
    assert_eq!(
        (answer.kind, answer.index, &answer.payload[..]),
        (Kind::Tell, 1, &b"because"[..])
    );
    pair.say(Kind::Tell, tell(1)).await;
    assert_eq!(
        fault_of(&pair.requester.data().await),
        TalkFault::NoSuchQuestion,
        "twice"
    );
    assert_eq!((pair.faults(1), pair.faults(2)), (3, 2));
    pair.handler.answer(&delivery, Status::Reply).await;
    assert_eq!(pair.outcome().await.status, Status::Reply);
}

#[tokio::test(start_paused = true)]
async fn credit_abuse_ends_the_request_of_its_requester() {
    // B4
    for more in [0, CHUNK_CREDIT_MAX, u32::MAX] {
        let (mut pair, delivery) = pair(2).await;
        pair.chunk(&delivery, 1, 0).await;
        assert_eq!(pair.requester.data().await.kind, Kind::Chunk);
        let credit = Frame {
            credit: more,
            ..Frame::new(Kind::Credit)
        };
        pair.say(Kind::Credit, credit).await;
        let mut told = [pair.requester.data().await, pair.requester.data().await];
        told.sort_by_key(|frame| frame.kind as u8);
        assert_eq!(told[0].status, Status::Declined);
        assert_eq!(&told[0].payload[..], TalkFault::CreditAbuse.as_str().as_bytes());
        assert_eq!(fault_of(&told[1]), TalkFault::CreditAbuse);
        let stop = pair.handler.data().await;
        assert_eq!(
            (stop.kind, stop.status),
            (Kind::Credit, none(NoReply::Interrupted))
        );
        assert_eq!(pair.faults(2), 1);
        pair.handler.answer(&delivery, Status::Reply).await;
        pair.another_is_served().await;
    }
}

#[tokio::test(start_paused = true)]
async fn credit_above_the_bound_is_declined_at_once_and_so_are_many_handlers() {
    let (mut pair, _delivery) = pair(1).await;
    pair.request(6, CHUNK_CREDIT_MAX + 1, false).await;
    let outcome = pair.outcome().await;
    assert_eq!(
        (outcome.message, outcome.status),
        (MessageId(6), Status::Declined)
    );
    let all = pair.cluster.declare("poll", Strategy::Default);
    let router = &pair.cluster.planes[0].router;
    let terms = Terms {
        credit: 1,
        questions: false,
    };
    let (_, mut heard) = router.converse(asked(all, "x"), terms);
    let Some(Said::End(end)) = heard.recv().await else {
        panic!("no end")
    };
    assert!(end.reason().contains("default"), "{}", end.reason());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_ends_its_streams_on_both_sides() {
    let (pair, delivery) = pair(2).await;
    pair.chunk(&delivery, 1, 0).await;
    quiet().await;
    let Pair {
        mut handler,
        requester,
        cluster,
        ..
    } = pair;
    drop(requester);
    let stop = handler.data().await;
    assert_eq!(
        (stop.kind, stop.status),
        (Kind::Credit, none(NoReply::Interrupted))
    );
    assert_eq!(cluster.planes[2].router.open(), 0);
    drop(handler);
    quiet().await;
    assert_eq!(cluster.planes[1].context.talks.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_goes_in_mid_stream_interrupts_it_once() {
    // I5
    let (pair, delivery) = pair(2).await;
    pair.chunk(&delivery, 1, 0).await;
    quiet().await;
    let Pair {
        handler,
        mut requester,
        cluster,
        ..
    } = pair;
    drop(handler);
    assert_eq!(requester.data().await.kind, Kind::Chunk);
    let outcome = requester.data().await;
    assert_eq!(
        (outcome.kind, outcome.status),
        (Kind::Reply, none(NoReply::Interrupted))
    );
    assert_eq!(cluster.planes[1].context.talks.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fenced_handler_is_told_and_the_stream_goes_on() {
    let mut cluster = Cluster::new(3);
    let exchange = cluster.declare("reports", Strategy::RoundRobin);
    let (pid, _) = attach(&cluster, 2, "reports");
    quiet().await;
    let mut requester = Requester::ask(&cluster, 1, asked(exchange, "3"));
    assert_eq!(requester.by_now().await, (2, None));
    let epoch = cluster.registry.exchanges[&exchange].epoch;
    // The only request of that node.
    let message = MessageId((1 << 44) + 1);
    let from_handler = |kind, epoch, from| Frame {
        exchange,
        message,
        origin: node(1),
        epoch,
        from,
        index: 3,
        payload: Bytes::from_static(b"stale"),
        tags: Tags::default(),
        ..Frame::new(kind)
    };
    let other = Pid {
        node: node(0),
        serial: pid.serial + 1,
    };
    for (kind, epoch, from) in [
        (Kind::Chunk, Epoch(epoch.0 - 1), pid),
        (Kind::Chunk, epoch, other),
        (Kind::Reply, epoch, other),
    ] {
        cluster.swallow(2);
        cluster.swallow(0);
        let frame = from_handler(kind, epoch, from);
        cluster.planes[1].frame(
            from.node,
            Frame {
                index: if kind == Kind::Reply { 0 } else { 3 },
                ..frame
            },
        );
        cluster.heal();
        let told = cluster.net.swallowed.lock().unwrap().pop().expect("it is told");
        assert_eq!((told.1, told.2.to), (from.node, from.serial));
        assert_eq!(fault_of(&told.2), TalkFault::Fenced, "{kind:?}");
    }
    let tally = &cluster.planes[1].context.wire.tally;
    assert_eq!(
        (tally.talk_faults.load(Relaxed), tally.late_replies.load(Relaxed)),
        (2, 1)
    );
    requester.take(4);
    let (chunks, end) = requester.by_now().await;
    assert_eq!((chunks, end.unwrap().status), (1, Status::Reply));
}
