//! Each rule of a talk, and who breaks it.

use super::*;
use crate::id::NodeId;
use crate::limits::QUESTIONS_MAX;

pub(super) const HANDLER: Speaker = Speaker {
    handler: Pid {
        node: NodeId(2),
        serial: 7,
    },
    epoch: Epoch(3),
    leader_epoch: LeaderEpoch(1),
};

pub(super) fn takes(credit: u32) -> RequesterEnd {
    let mut end = RequesterEnd::new(Terms {
        credit,
        questions: true,
    });
    end.sent(Epoch(3));
    end
}

#[test]
fn chunks_come_in_order_and_within_the_credit() {
    // A106: a gap, a repetition and a chunk too many are each named.
    let mut end = takes(2);
    assert_eq!(end.chunk(HANDLER, 2, 0, 1), Err(TalkFault::Gap));
    assert!(end.chunk(HANDLER, 1, 0, 1).is_ok_and(|taken| taken.give));
    assert_eq!(end.chunk(HANDLER, 1, 0, 1), Err(TalkFault::Repeated));
    assert_eq!(end.chunk(HANDLER, 2, 5, 1), Err(TalkFault::WrongCount));
    assert!(end.chunk(HANDLER, 2, 0, 1).is_ok());
    assert_eq!(end.chunk(HANDLER, 3, 0, 1), Err(TalkFault::BeyondCredit));
    assert_eq!(end.reply(HANDLER), Err(TalkFault::Incomplete));
    let mark = end.chunk(HANDLER, 3, 3, 0);
    assert!(
        mark.is_ok_and(|taken| !taken.give),
        "the bare end mark costs no credit"
    );
    assert_eq!(end.chunk(HANDLER, 4, 0, 1), Err(TalkFault::AfterLast));
    assert_eq!(end.reply(HANDLER), Ok(()));
}

#[test]
fn the_handlers_node_lets_nothing_through_that_breaks_the_rules() {
    let broken = |index, count, len| HandlerEnd::new(1).chunk(index, count, len).unwrap_err();
    assert_eq!(broken(2, 0, 1), TalkFault::Gap);
    assert_eq!(broken(0, 0, 1), TalkFault::Repeated);
    assert_eq!(broken(1, 2, 1), TalkFault::WrongCount);
    assert_eq!(broken(1, 0, CHUNK_BYTES_MAX + 1), TalkFault::TooLarge);
    let plain = HandlerEnd::new(0).chunk(1, 0, 1);
    assert_eq!(plain, Err(TalkFault::BeyondCredit), "nobody asked for chunks");
    let mut end = HandlerEnd::new(1);
    assert!(end.chunk(1, 0, 1).is_ok());
    assert_eq!(end.chunk(2, 0, 1), Err(TalkFault::BeyondCredit));
    assert_eq!(end.chunk(2, 2, 0), Err(TalkFault::BeyondCredit), "it is over");
}

#[test]
fn credit_is_bounded_and_its_abuse_named() {
    // B4
    let terms = |credit| Terms {
        credit,
        questions: false,
    };
    assert_eq!(terms(CHUNK_CREDIT_MAX).check(), Ok(()));
    assert_eq!(terms(CHUNK_CREDIT_MAX + 1).check(), Err(TalkFault::CreditAbuse));
    let mut end = takes(CHUNK_CREDIT_MAX - 1);
    assert_eq!(end.credit(0, 0), Err(TalkFault::CreditAbuse));
    assert_eq!(end.credit(2, 0), Err(TalkFault::CreditAbuse));
    assert_eq!(
        end.credit(1, 1),
        Err(TalkFault::CreditAbuse),
        "what it was not handed counts"
    );
    assert_eq!(end.credit(u32::MAX, 1), Err(TalkFault::CreditAbuse));
    assert_eq!(end.credit(1, 0), Ok(None));
    assert_eq!(
        takes(0).credit(1, 0),
        Err(TalkFault::CreditAbuse),
        "it takes no chunks"
    );
    let mut handler = HandlerEnd::new(CHUNK_CREDIT_MAX);
    assert_eq!(handler.credit(1), Err(TalkFault::CreditAbuse));
}

#[test]
fn credit_given_early_is_told_as_soon_as_the_handler_is_known() {
    let mut end = takes(1);
    assert_eq!(end.credit(3, 0), Ok(None));
    assert_eq!(end.chunk(HANDLER, 1, 0, 1).map(|taken| taken.credit), Ok(3));
    assert_eq!(end.credit(1, 0), Ok(Some((HANDLER.handler, 1))));
    assert_eq!(end.outstanding(), 4);
}

#[test]
fn another_handler_and_an_epoch_that_is_over_are_fenced() {
    let mut end = takes(4);
    let stale = Speaker {
        epoch: Epoch(2),
        ..HANDLER
    };
    let newer = Speaker {
        epoch: Epoch(4),
        leader_epoch: LeaderEpoch(2),
        ..HANDLER
    };
    assert_eq!(end.chunk(stale, 1, 0, 1), Err(TalkFault::Fenced));
    assert!(!end.has_begun());
    assert!(end.chunk(newer, 1, 0, 1).is_ok());
    assert_eq!(end.chunk(HANDLER, 2, 0, 1), Err(TalkFault::Fenced));
    assert_eq!(end.question(HANDLER, 1, 1), Err(TalkFault::Fenced));
    assert_eq!(end.reply(HANDLER), Err(TalkFault::Fenced));
    assert!(end.chunk(newer, 2, 2, 1).is_ok(), "nothing changed by it");
}

#[test]
fn one_question_at_a_time_and_a_bounded_number() {
    // A107
    let mut handler = HandlerEnd::new(0);
    let mut requester = takes(0);
    for number in 1..=QUESTIONS_MAX {
        assert_eq!(handler.next_question(1), Ok(number));
        assert_eq!(handler.next_question(1), Err(TalkFault::QuestionOpen));
        assert_eq!(requester.question(HANDLER, number, 1), Ok(0));
        assert_eq!(
            requester.question(HANDLER, number + 1, 1),
            Err(TalkFault::QuestionOpen)
        );
        assert_eq!(requester.answer(number + 1, 1), Err(TalkFault::NoSuchQuestion));
        assert_eq!(requester.answer(number, 1), Ok(HANDLER));
        assert_eq!(requester.answer(number, 1), Err(TalkFault::NoSuchQuestion));
        assert_eq!(handler.answer(number), Ok(()));
        assert_eq!(handler.answer(number), Err(TalkFault::NoSuchQuestion));
    }
    assert_eq!(handler.next_question(1), Err(TalkFault::TooManyQuestions));
    assert_eq!(
        requester.question(HANDLER, QUESTIONS_MAX + 1, 1),
        Err(TalkFault::TooManyQuestions)
    );
    let mut deaf = RequesterEnd::new(Terms::default());
    assert_eq!(deaf.question(HANDLER, 1, 1), Err(TalkFault::NoQuestions));
}

#[test]
fn a_refusal_goes_back_and_says_why() {
    let chunk = Frame {
        index: 4,
        from: HANDLER.handler,
        ..Frame::new(Kind::Chunk)
    };
    for fault in TalkFault::ALL {
        let back = refusal(&chunk, *fault);
        assert_eq!((back.kind, back.index, back.to), (Kind::Chunk, 4, 7));
        assert_eq!(fault_of(&back), *fault);
    }
    assert_eq!(fault_of(&stop(NoReply::Timeout, None)), TalkFault::Over);
}
