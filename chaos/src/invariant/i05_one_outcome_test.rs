//! Tests of I5.

use super::super::story::{at, begun, broken, ended, handled, holds, none, outcome, reply, routed, unknown};
use super::*;
use squall_kernel::id::MessageId;

#[test]
fn one_outcome_each_holds() {
    holds(
        OneOutcome::default(),
        &[
            begun(1, 7, false),
            handled(2, 1, 7, 1, 0),
            outcome(3, 7, reply(1), false),
            begun(4, 8, false),
            outcome(5, 8, none(NoReply::Timeout), false),
            // Late, but the requester was told that it may have been carried out.
            handled(6, 1, 8, 1, 0),
            at(9, 1, What::Settled),
        ],
    );
}

fn lost(ms: u64, lost: u64) -> Event {
    at(
        ms,
        1,
        What::Lost {
            lost: NodeId(lost),
            before: Boot(2),
        },
    )
}

#[test]
fn nobody_waits_for_a_handler_that_is_known_as_lost() {
    let timeout = |ms| outcome(ms, 7, none(NoReply::Timeout), false);
    let left = [begun(1, 7, false), routed(2, 7, "", 2), lost(10, 2), timeout(700)];
    let breach = broken(OneOutcome::default(), &left);
    assert_eq!(
        breach.text,
        "request 1/7 was left to its deadline although its handler's node was lost"
    );
    let soon = [left[0].clone(), left[1].clone(), left[2].clone(), timeout(500)];
    holds(OneOutcome::default(), &soon);
    let told = outcome(700, 7, none(NoReply::Interrupted), false);
    holds(
        OneOutcome::default(),
        &[left[0].clone(), left[1].clone(), left[2].clone(), told],
    );
    // Whoever follows late hears of the end of a run when a handler of the next one has the request.
    let next_run = Pid::new(NodeId(2), Boot(2), 1);
    let mut routed_there = left[1].clone();
    if let What::Routed { handler, .. } = &mut routed_there.what {
        *handler = next_run;
    }
    holds(
        OneOutcome::default(),
        &[left[0].clone(), routed_there, left[2].clone(), left[3].clone()],
    );
    // What it was routed to never got it: it waits for another handler, or for the next owner.
    let request = RequestKey {
        origin: NodeId(1),
        message: MessageId(7),
    };
    let again = |ms| at(ms, 1, What::Retried { request });
    for ms in [5, 20] {
        let mut refused = left.to_vec();
        refused.insert(if ms < 10 { 2 } else { 3 }, again(ms));
        holds(OneOutcome::default(), &refused);
    }
    let (text, ends_by) = ("cut".to_owned(), Instant(900_000));
    let cut = at(5, 3, What::Fault { id: 1, text, ends_by });
    let also_cut = [
        left[0].clone(),
        left[1].clone(),
        cut,
        left[2].clone(),
        timeout(700),
    ];
    holds(OneOutcome::default(), &also_cut);
}

#[test]
fn under_default_several_outcomes_hold_up_to_the_last() {
    let first = [
        begun(1, 7, true),
        handled(2, 1, 7, 1, 0),
        handled(2, 2, 7, 1, 0),
        outcome(3, 7, reply(1), true),
        outcome(4, 7, reply(2), false),
    ];
    holds(OneOutcome::default(), &first);
    let mut one_more = first.to_vec();
    one_more.push(outcome(5, 7, reply(3), false));
    broken(OneOutcome::default(), &one_more);
    let twice = [first[0].clone(), first[3].clone(), outcome(4, 7, reply(1), true)];
    assert_eq!(
        broken(OneOutcome::default(), &twice).text,
        "request 1/7 has two answers of <1.1:1>"
    );
}

#[test]
fn a_second_outcome_is_a_breach() {
    let breach = broken(
        OneOutcome::default(),
        &[
            begun(1, 7, false),
            outcome(2, 7, reply(1), false),
            outcome(3, 7, none(NoReply::Timeout), false),
        ],
    );
    assert_eq!(
        breach.to_string(),
        "I5 broken: request 1/7 had ended and got one more outcome\n  \
         0.002000s 1 request 1/7: reply of <1.1:1>\n  0.003000s 1 request 1/7: timeout"
    );
}

#[test]
fn a_request_that_never_ends_is_a_breach_at_the_end_and_unknown_before() {
    let open = [begun(1, 7, false)];
    assert_eq!(unknown(OneOutcome::default(), &open), "1 requests are open");
    let breach = broken(OneOutcome::default(), &[open[0].clone(), at(2, 1, What::Settled)]);
    assert_eq!(
        breach.text,
        "requests without an outcome at the end of the run: 1, this one among them"
    );
}

#[test]
fn a_requester_that_ended_is_owed_nothing() {
    holds(
        OneOutcome::default(),
        &[
            begun(1, 6, false),
            outcome(1, 6, reply(1), false),
            begun(1, 7, false),
            ended(2, 1),
            handled(3, 2, 7, 1, 0),
            at(4, 2, What::Settled),
        ],
    );
}

#[test]
fn a_request_handled_twice_is_a_breach() {
    let breach = broken(
        OneOutcome::default(),
        &[begun(1, 7, false), handled(2, 1, 7, 1, 0), handled(3, 2, 7, 2, 0)],
    );
    assert_eq!(breach.text, "request 1/7 was handled by <1.1:1> and by <2.1:1>");
    let breach = broken(
        OneOutcome::default(),
        &[begun(1, 7, true), handled(2, 1, 7, 1, 0), handled(3, 1, 7, 2, 0)],
    );
    assert_eq!(breach.text, "request 1/7 was handled twice by <1.1:1>");
}

#[test]
fn what_was_said_to_be_undelivered_must_not_be_handled() {
    let told = outcome(3, 7, none(NoReply::Moved), false);
    let breach = broken(
        OneOutcome::default(),
        &[begun(1, 7, false), handled(2, 1, 7, 1, 0), told.clone()],
    );
    assert_eq!(
        breach.text,
        "request 1/7 was handled, and its requester was told: unavailable: moved"
    );
    broken(
        OneOutcome::default(),
        &[begun(1, 7, false), told, handled(4, 1, 7, 1, 0)],
    );
}

fn talk(ms: u64, node: u64, what: TalkEvent) -> Event {
    let (request, exchange) = (super::super::story::request(7), ExchangeId(1));
    at(
        ms,
        node,
        What::Talk {
            request,
            exchange,
            what,
        },
    )
}

fn given(ms: u64, by: u64, index: u32, count: u32) -> Event {
    let handler = super::super::story::handler(by);
    let wrote = Some(index);
    talk(
        ms,
        1,
        TalkEvent::Given {
            handler,
            index,
            count,
            wrote,
        },
    )
}

/// A request whose requester takes two chunks, and its handler on node 2, which sends that many.
fn talking(sent: u32) -> Vec<Event> {
    let mut story = vec![
        begun(1, 7, false),
        talk(1, 1, TalkEvent::Takes { credit: 2 }),
        handled(2, 2, 7, 1, 0),
    ];
    let handler = super::super::story::handler(2);
    story.extend((1..=sent).map(|index| {
        let mark = false;
        talk(3, 2, TalkEvent::Said { handler, index, mark })
    }));
    story
}

#[test]
fn chunks_in_order_up_to_the_last_and_then_the_reply_hold() {
    let mut story = talking(2);
    story.extend([
        given(4, 2, 1, 0),
        given(5, 2, 2, 2),
        outcome(6, 7, reply(2), false),
    ]);
    holds(OneOutcome::default(), &story);
}

#[test]
fn chunks_that_are_missing_strange_late_or_too_many_are_breaches() {
    let said = |story: &[Event]| broken(OneOutcome::default(), story).text;
    let with = |more: &[Event]| [talking(2), more.to_vec()].concat();
    let text = said(&with(&[given(4, 2, 2, 2)]));
    assert_eq!(text, "request 1/7: chunk 2 came after chunk 0");
    let text = said(&with(&[given(4, 2, 1, 0), given(5, 3, 2, 2)]));
    assert_eq!(text, "request 1/7: <2.1:1> answers it, and <3.1:1> as well");
    let text = said(&with(&[given(4, 2, 1, 0), outcome(5, 7, reply(2), false)]));
    assert_eq!(text, "request 1/7: it has a reply and no last chunk, after 1");
    let text = said(&with(&[
        outcome(4, 7, none(NoReply::Timeout), false),
        given(5, 2, 1, 0),
    ]));
    assert_eq!(text, "request 1/7 had ended, and more of its answer was given");
    let request = super::super::story::request(7);
    let again = at(5, 1, What::Retried { request });
    let text = said(&with(&[given(4, 2, 1, 0), again]));
    assert_eq!(text, "request 1/7 was sent again although its answer had begun");
    assert_eq!(said(&talking(3)), "request 1/7: 3 chunks were sent, 2 are taken");
}

#[test]
fn a_question_is_open_until_it_is_answered() {
    let handler = super::super::story::handler(2);
    let asked = |ms, number| talk(ms, 1, TalkEvent::Asked { handler, number });
    let answered = |ms, number, wrote| {
        talk(
            ms,
            2,
            TalkEvent::Answered {
                handler,
                number,
                wrote,
            },
        )
    };
    let with = |more: &[Event]| [talking(0), more.to_vec()].concat();
    let end = outcome(9, 7, reply(2), false);
    let good = [
        asked(3, 1),
        answered(4, 1, 1),
        asked(5, 2),
        answered(6, 2, 2),
        end,
    ];
    holds(OneOutcome::default(), &with(&good));
    broken(OneOutcome::default(), &with(&[asked(3, 1), asked(5, 2)]));
    broken(OneOutcome::default(), &with(&[asked(3, 1), answered(4, 1, 2)]));
}

#[test]
fn what_is_under_way_is_not_held_against_a_run_that_goes_on_for_as_long_as_somebody_may_wait() {
    let mut check = OneOutcome::default();
    let so_far = |check: &mut OneOutcome, events: &[Event]| {
        for event in events {
            check.see(event).expect("nothing is broken");
        }
        check.so_far()
    };
    let first = [
        begun(1, 7, false),
        outcome(3, 7, reply(1), false),
        begun(4, 8, false),
    ];
    assert_eq!(so_far(&mut check, &first), Verdict::Ok);
    assert_eq!(check.end(), Verdict::Unknown("1 requests are open".into()));
    let later = [begun(60_005, 9, false)];
    let why = "1 requests are open since more than 60 s".to_owned();
    assert_eq!(so_far(&mut check, &later), Verdict::Unknown(why));
}
