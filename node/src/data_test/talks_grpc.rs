//! Chunks and questions over the gRPC session.

use std::sync::atomic::Ordering::Relaxed;

use squall_kernel::limits::PAYLOAD_BYTES_MAX;
use squall_kernel::registry::Strategy;
use squall_proto::v1;
use squall_proto::v1::client_action::Action;
use squall_proto::v1::server_event::Event;
use tonic::Code;

use super::cluster::Cluster;
use super::grpc_session::{Talk, attach, call, connect};

struct Pair {
    cluster: Cluster,
    handler: Talk,
    requester: Talk,
}

async fn pair() -> Pair {
    let mut cluster = Cluster::new(2);
    cluster.declare("reports", Strategy::RoundRobin);
    let (mut serving, mut asking) = (connect(&cluster, 1).await, connect(&cluster, 0).await);
    let (mut handler, mut requester) = (Talk::open(&mut serving).await, Talk::open(&mut asking).await);
    let _opened = (handler.next().await, requester.next().await);
    handler.say(vec![attach(1, "reports")]).await;
    loop {
        if matches!(handler.next().await, Event::System(_)) {
            break;
        }
    }
    Pair {
        cluster,
        handler,
        requester,
    }
}

fn chunk(delivery: u64, index: u32, last: bool) -> Action {
    Action::SendChunk(v1::SendChunk {
        delivery,
        index,
        last,
        payload: format!("part {index}").into(),
    })
}

fn reply(delivery: u64) -> Action {
    Action::Reply(v1::Reply {
        delivery,
        ..Default::default()
    })
}

impl Pair {
    async fn request(&mut self, id: u64, chunk_credit: u32) -> u64 {
        let call = v1::RequestCall {
            chunk_credit,
            answers_questions: true,
            ..call(id, "reports")
        };
        self.requester.say(vec![Action::Request(call)]).await;
        match self.handler.next().await {
            Event::Delivery(delivery) => {
                assert_eq!(delivery.chunk_credit, chunk_credit);
                delivery.delivery
            }
            other => panic!("{other:?}"),
        }
    }

    /// What the handler is told was refused of which delivery.
    async fn told(&mut self) -> (u64, v1::TalkFault) {
        match self.handler.next().await {
            Event::TalkRefused(told) => (told.delivery, told.fault()),
            other => panic!("{other:?}"),
        }
    }

    /// What the requester is told was refused of which request.
    async fn requester_told(&mut self) -> (u64, v1::TalkFault) {
        match self.requester.next().await {
            Event::TalkRefused(told) => (told.id, told.fault()),
            other => panic!("{other:?}"),
        }
    }

    async fn outcome(&mut self) -> v1::OutcomeKind {
        match self.requester.next().await {
            Event::Outcome(outcome) => outcome.kind(),
            other => panic!("{other:?}"),
        }
    }
}

/// A106, A107.
#[tokio::test]
async fn chunks_are_paced_and_questions_are_answered() {
    // A106, A107
    let mut pair = pair().await;
    let delivery = pair.request(3, 1).await;
    let question = v1::AskBack {
        delivery,
        number: 1,
        payload: "which year?".into(),
    };
    pair.handler.say(vec![Action::AskBack(question)]).await;
    let Event::Question(question) = pair.requester.next().await else {
        panic!("no question")
    };
    assert_eq!(
        (question.id, question.number, &question.payload[..]),
        (3, 1, &b"which year?"[..])
    );
    let answer = v1::AnswerQuestion {
        id: 3,
        number: 1,
        payload: "2026".into(),
        ..Default::default()
    };
    pair.requester
        .say(vec![
            Action::AnswerQuestion(answer.clone()),
            Action::AnswerQuestion(answer),
        ])
        .await;
    let Event::QuestionAnswered(answered) = pair.handler.next().await else {
        panic!("no answer")
    };
    assert_eq!(
        (answered.delivery, &answered.payload[..]),
        (delivery, &b"2026"[..])
    );
    let Event::TalkRefused(refused) = pair.requester.next().await else {
        panic!("answered twice")
    };
    assert_eq!((refused.id, refused.fault()), (3, v1::TalkFault::NoSuchQuestion));

    pair.handler.say(vec![chunk(delivery, 1, false)]).await;
    let Event::Chunk(first) = pair.requester.next().await else {
        panic!("no chunk")
    };
    assert_eq!((first.id, first.index, first.count), (3, 1, 0));
    let more = v1::TakeChunks { id: 3, chunks: 1 };
    pair.requester.say(vec![Action::TakeChunks(more)]).await;
    let Event::MoreChunks(more) = pair.handler.next().await else {
        panic!("no credit")
    };
    assert_eq!((more.delivery, more.chunks), (delivery, 1));
    pair.handler
        .say(vec![chunk(delivery, 2, true), reply(delivery)])
        .await;
    let Event::Chunk(last) = pair.requester.next().await else {
        panic!("no chunk")
    };
    assert_eq!((last.index, last.count), (2, 2));
    assert_eq!(pair.outcome().await, v1::OutcomeKind::Reply);
    pair.handler.say(vec![reply(delivery)]).await;
    let Event::TalkRefused(refused) = pair.handler.next().await else {
        panic!("a second reply")
    };
    assert_eq!(
        (refused.delivery, refused.fault()),
        (delivery, v1::TalkFault::Over)
    );
}

#[tokio::test]
async fn what_breaks_the_rules_is_refused_by_name() {
    let mut pair = pair().await;
    let delivery = pair.request(3, 1).await;
    pair.handler
        .say(vec![chunk(delivery, 1, false), chunk(delivery, 2, false)])
        .await;
    let Event::TalkRefused(refused) = pair.handler.next().await else {
        panic!("beyond the credit")
    };
    assert_eq!(
        (refused.delivery, refused.fault()),
        (delivery, v1::TalkFault::BeyondCredit)
    );
    assert!(matches!(pair.requester.next().await, Event::Chunk(_)));
    assert_eq!(pair.outcome().await, v1::OutcomeKind::Interrupted);

    let delivery = pair.request(4, 1).await;
    pair.handler.say(vec![chunk(delivery, 1, false)]).await;
    assert!(matches!(pair.requester.next().await, Event::Chunk(_)));
    pair.requester
        .say(vec![Action::GiveUp(v1::GiveUp { id: 4 })])
        .await;
    assert_eq!(pair.outcome().await, v1::OutcomeKind::Interrupted);
    let Event::TalkRefused(stopped) = pair.handler.next().await else {
        panic!("the handler is told")
    };
    assert_eq!(
        (stopped.delivery, stopped.fault()),
        (delivery, v1::TalkFault::Over)
    );
}

/// Told by the delivery, as everything else that is refused of a response.
#[tokio::test]
async fn a_reply_that_is_not_taken_is_refused_by_its_delivery() {
    let mut pair = pair().await;
    let delivery = pair.request(3, 2).await;
    pair.handler
        .say(vec![chunk(delivery, 1, false), reply(delivery)])
        .await;
    assert!(matches!(pair.requester.next().await, Event::Chunk(_)));
    assert_eq!(pair.outcome().await, v1::OutcomeKind::Interrupted);
    assert_eq!(
        pair.told().await,
        (delivery, v1::TalkFault::Incomplete),
        "before the last chunk"
    );

    let call = v1::RequestCall {
        timeout_ms: 50,
        ..call(4, "reports")
    };
    pair.requester.say(vec![Action::Request(call)]).await;
    let Event::Delivery(late) = pair.handler.next().await else {
        panic!("no delivery")
    };
    assert_eq!(pair.outcome().await, v1::OutcomeKind::Timeout);
    pair.handler.say(vec![reply(late.delivery)]).await;
    assert_eq!(
        pair.told().await,
        (late.delivery, v1::TalkFault::Over),
        "after its time"
    );
}

#[tokio::test]
async fn chunks_are_not_taken_of_a_request_that_has_none() {
    let mut pair = pair().await;
    let take = |id| Action::TakeChunks(v1::TakeChunks { id, chunks: 1 });
    pair.requester.say(vec![take(99)]).await;
    assert_eq!(pair.requester_told().await, (99, v1::TalkFault::Over), "unknown");
    pair.requester
        .say(vec![Action::Request(call(4, "reports")), take(4)])
        .await;
    assert_eq!(
        pair.requester_told().await,
        (4, v1::TalkFault::Over),
        "in one piece"
    );
    let Event::Delivery(plain) = pair.handler.next().await else {
        panic!("no delivery")
    };
    pair.handler.say(vec![reply(plain.delivery)]).await;
    assert_eq!(pair.outcome().await, v1::OutcomeKind::Reply, "which goes on");
    let delivery = pair.request(5, 1).await;
    pair.handler
        .say(vec![chunk(delivery, 1, true), reply(delivery)])
        .await;
    assert!(matches!(pair.requester.next().await, Event::Chunk(_)));
    assert_eq!(pair.outcome().await, v1::OutcomeKind::Reply);
    pair.requester.say(vec![take(5)]).await;
    assert_eq!(pair.requester_told().await, (5, v1::TalkFault::Over), "ended");
    let tally = &pair.cluster.planes[0].context.wire.tally;
    assert_eq!(tally.talk_faults.load(Relaxed), 3, "counted");
}

#[tokio::test]
async fn an_answer_above_every_bound_is_refused_and_the_question_stays_open() {
    let mut pair = pair().await;
    let delivery = pair.request(3, 1).await;
    let question = v1::AskBack {
        delivery,
        number: 1,
        payload: "which year?".into(),
    };
    pair.handler.say(vec![Action::AskBack(question)]).await;
    assert!(matches!(pair.requester.next().await, Event::Question(_)));
    let answer = |payload| {
        Action::AnswerQuestion(v1::AnswerQuestion {
            id: 3,
            number: 1,
            payload,
            ..Default::default()
        })
    };
    pair.requester
        .say(vec![answer(vec![0; PAYLOAD_BYTES_MAX + 1].into())])
        .await;
    assert_eq!(pair.requester_told().await, (3, v1::TalkFault::TooLarge));
    pair.requester.say(vec![answer("2026".into())]).await;
    assert!(matches!(pair.handler.next().await, Event::QuestionAnswered(it) if !it.declined));
}

#[tokio::test]
async fn a_call_without_a_session_has_no_chunks() {
    let cluster = Cluster::new(1);
    let mut client = connect(&cluster, 0).await;
    let wanted = v1::RequestCall {
        chunk_credit: 1,
        ..call(1, "reports")
    };
    let refused = client.request(wanted).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}
