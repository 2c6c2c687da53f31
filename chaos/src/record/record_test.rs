//! Tests of the recorder: small journals, written by the node's own journal.

use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

use squall_kernel::id::{Boot, Epoch, ExchangeId, Incarnation, LeaderEpoch, NodeId, Pid};
use squall_kernel::reason::NoReply;
use squall_kernel::time::Instant;
use squall_node::journal::{Ending, FORMAT, Fact, Journal};

use super::*;
use crate::history::{Answer, What};
use crate::invariant::{Id, Verdict, check};

const EXCHANGE: ExchangeId = ExchangeId(1);

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics here").write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn header(node: u64, started: u64) -> Header {
    Header {
        format: FORMAT,
        node: NodeId(node),
        incarnation: Incarnation(1),
        boot: Boot(1),
        started: Instant(started),
    }
}

fn journal(node: u64, started: u64, facts: &[(u64, Fact)]) -> Vec<u8> {
    recorded(node, started, |journal| {
        for (now, fact) in facts {
            journal.fact(Instant(*now), fact);
        }
    })
}

/// A journal with what `record` puts into it.
pub(super) fn recorded(node: u64, started: u64, record: impl FnOnce(&Journal)) -> Vec<u8> {
    let memory = Memory::default();
    let (journal, writer) = Journal::start_writer(memory.clone()).expect("threads start");
    journal.header(&header(node, started));
    record(&journal);
    drop(journal);
    writer.finish().expect("memory takes everything");
    let bytes = memory.0.lock().expect("no test panics here");
    bytes.clone()
}

pub(super) fn handler(node: u64) -> Pid {
    Pid::new(NodeId(node), Boot(1), 1)
}

fn passed(message: u64, by: u64) -> Fact {
    Fact::Passed {
        request: RequestKey {
            origin: NodeId(1),
            message: MessageId(message),
        },
        exchange: EXCHANGE,
        handler: handler(by),
        epoch: Epoch(1),
        leader_epoch: LeaderEpoch(0),
        signature: None,
    }
}

fn requester(tries: &[u64], ending: Ending) -> Vec<u8> {
    let request = MessageId(1);
    let mut facts = vec![(
        10,
        Fact::Begun {
            request,
            exchange: EXCHANGE,
            many: false,
        },
    )];
    facts.extend(tries.iter().map(|message| {
        let message = MessageId(*message);
        (11, Fact::Tried { request, message })
    }));
    let exchange = EXCHANGE;
    facts.push((
        900,
        Fact::Outcome {
            request,
            exchange,
            ending,
            more: false,
        },
    ));
    facts.push((950, Fact::Left));
    journal(1, 5_000, &facts)
}

fn history(journals: &[Vec<u8>]) -> Vec<Event> {
    marked(journals, &Marks::default())
}

pub(super) fn marked(journals: &[Vec<u8>], marks: &Marks) -> Vec<Event> {
    let told = journals
        .iter()
        .map(|bytes| tell(Path::new("j"), Cursor::new(bytes)).expect("a journal"));
    put_together(told.collect(), marks)
}

fn outcome_verdict(history: &[Event]) -> Verdict {
    verdict(history, 5)
}

pub(super) fn verdict(history: &[Event], number: u8) -> Verdict {
    let verdicts = check(history);
    verdicts
        .into_iter()
        .find_map(|(id, verdict)| (id == Id(number)).then_some(verdict))
        .expect("it is checked")
}

#[test]
fn clocks_are_aligned_and_tries_are_one_request() {
    let two = journal(2, 5_200, &[(100, passed(8, 2)), (150, Fact::Left)]);
    let history = history(&[two, requester(&[7, 8], Ending::Reply(handler(2)))]);
    let lines: Vec<String> = history.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "0.000000s 1 started incarnation 1",
            "0.000010s 1 request 1/1 to #1",
            "0.000011s 1 request 1/1 is tried again",
            "0.000200s 2 started incarnation 1",
            "0.000300s 2 <2.1:1> handled 1/1 of #1 epoch 1 leader epoch 0",
            "0.000350s 2 left",
            "0.000900s 1 request 1/1: reply of <2.1:1>",
            "0.000950s 1 left",
        ]
    );
    assert_eq!(outcome_verdict(&history), Verdict::Ok);
}

#[test]
fn a_request_that_two_handlers_took_by_two_tries_is_found() {
    let two = journal(2, 5_000, &[(100, passed(7, 2))]);
    let three = journal(3, 5_000, &[(200, passed(8, 3))]);
    let history = history(&[requester(&[7, 8], Ending::Reply(handler(3))), two, three]);
    let Verdict::Fail(breach) = outcome_verdict(&history) else {
        panic!("it was handled twice");
    };
    assert_eq!(breach.text, "request 1/1 was handled by <2.1:1> and by <3.1:1>");
}

#[test]
fn what_did_not_fit_into_the_mailbox_took_no_effect() {
    let given_back = Fact::GivenBack {
        request: RequestKey {
            origin: NodeId(1),
            message: MessageId(7),
        },
        handler: handler(2),
    };
    let two = journal(2, 5_000, &[(100, passed(7, 2)), (101, given_back)]);
    let rejected = history(&[requester(&[7], Ending::None(NoReply::Rejected)), two.clone()]);
    assert_eq!(outcome_verdict(&rejected), Verdict::Ok);
    let back = rejected.iter().find(|e| matches!(e.what, What::GivenBack { .. }));
    assert_eq!(
        back.map(ToString::to_string).as_deref(),
        Some("0.000101s 2 <2.1:1> has given 1/1 back")
    );
    // Another one may have it now, and no third one.
    let others = |also: &[u64]| {
        let mut journals = vec![requester(&[7, 8, 9], Ending::Reply(handler(3))), two.clone()];
        journals.extend(
            also.iter()
                .map(|by| journal(*by, 5_000, &[(200, passed(5 + by, *by))])),
        );
        outcome_verdict(&history(&journals))
    };
    assert_eq!(others(&[3]), Verdict::Ok);
    assert!(matches!(others(&[3, 4]), Verdict::Fail(_)));
}

#[test]
fn what_a_node_with_a_skewed_clock_tells_is_put_where_it_was() {
    let lines = [
        r#"{"header":{"format":5,"node":2,"incarnation":1,"boot":1,"started":5000}}"#,
        r#"{"now":100,"fact":{"Leads":{"exchange":1,"handler":{"node":2,"serial":1},"leader_epoch":1,"until":400}}}"#,
        r#"{"now":3000,"passed":2000,"fact":{"Leads":{"exchange":1,"handler":{"node":2,"serial":1},"leader_epoch":1,"until":3400}}}"#,
        r#"{"now":3500,"passed":2500,"fact":{"Leads":{"exchange":1,"handler":{"node":2,"serial":1},"leader_epoch":1,"until":3400}}}"#,
        r#"{"now":3600,"passed":2600,"fact":"Left"}"#,
    ];
    let numbered = lines
        .iter()
        .zip(1..)
        .map(|(line, n)| format!("{{\"n\":{n},{}\n", &line[1..]));
    let history = history(&[numbered.collect::<String>().into_bytes()]);
    let led: Vec<(u64, u64)> = history
        .iter()
        .filter_map(|event| match event.what {
            What::Leads { until, .. } => Some((event.at.0, until.0)),
            _ => None,
        })
        .collect();
    assert_eq!(led, [(100, 400), (2_000, 2_400), (2_500, 2_400)]);
    assert_eq!(history.last().map(|event| event.at), Some(Instant(2_600)));
}

/// A journal of these lines, numbered.
fn numbered(lines: &[&str]) -> Vec<u8> {
    let lines = lines.iter().zip(1..);
    let lines = lines.map(|(line, n)| format!("{{\"n\":{n},{}\n", &line[1..]));
    lines.collect::<String>().into_bytes()
}

/// What a slow clock shows takes longer: who goes by it believes in its leases for longer, and that is what I4 has to find.
#[test]
fn leases_of_a_node_with_a_skewed_clock_end_when_it_shows_that() {
    let leads = |until: u64| {
        let handler = r#""handler":{"node":2,"serial":1},"leader_epoch":1"#;
        format!(r#""fact":{{"Leads":{{"exchange":1,{handler},"until":{until}}}}}}}"#)
    };
    let lines = [
        r#"{"header":{"format":6,"node":2,"incarnation":1,"boot":1,"started":5000}}"#.to_owned(),
        format!(
            r#"{{"now":1000,"passed":2000,"faster_ppm":-500000,{}"#,
            leads(1_400)
        ),
        // Right again: nothing is said of the leader by this line itself.
        r#"{"now":1100,"passed":2200,"fact":{"Holds":{"place":"p","count":1,"bound":2}}}"#.to_owned(),
        format!(
            r#"{{"now":1200,"passed":2300,"faster_ppm":500000,{}"#,
            leads(1_500)
        ),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let history = history(&[numbered(&lines)]);
    let led = history.iter().filter_map(|event| match event.what {
        What::Leads { until, .. } => Some((event.at.0, until.0)),
        _ => None,
    });
    assert_eq!(
        led.collect::<Vec<_>>(),
        [(2_000, 2_800), (2_200, 2_500), (2_300, 2_434), (2_300, 2_500)]
    );
}

/// A fault's own end is on no clock that a fault touches.
#[test]
fn a_fault_ends_on_time_whatever_the_nodes_clock_shows() {
    let lines = [
        r#"{"header":{"format":6,"node":2,"incarnation":1,"boot":1,"started":5000}}"#,
        r#"{"now":9000,"passed":2000,"fact":{"Fault":{"id":"f","text":"cut","ends":4000}}}"#,
        r#"{"now":10000,"passed":3000,"fact":{"FaultOver":{"id":"f"}}}"#,
    ];
    let history = history(&[numbered(&lines)]);
    let ends = history.iter().find_map(|event| match event.what {
        What::Fault { ends_by, .. } => Some(ends_by),
        _ => None,
    });
    assert_eq!(ends, Some(Instant(4_000)));
}

#[test]
fn a_node_without_a_word_of_its_end_was_killed() {
    let history = history(&[journal(2, 5_000, &[(100, passed(7, 2))])]);
    let last = history.last().expect("it ended");
    assert_eq!(
        (last.at, &last.what),
        (Instant(100), &What::Ended { graceful: false })
    );
}

#[test]
fn a_journal_that_cannot_be_judged_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.jsonl");
    let error_for = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("room");
        let error = history_of(&[&path]).expect_err("no history").to_string();
        error
            .split("a.jsonl: ")
            .nth(1)
            .expect("the file is named")
            .to_owned()
    };
    let numbered = String::from_utf8(journal(2, 5_000, &[(100, Fact::Left)])).expect("JSON");
    let (_, second) = numbered.split_once('\n').expect("two lines");
    assert_eq!(
        error_for(second.as_bytes()),
        "the journal has a gap at line 1: number 1 is missing before it"
    );
    // Of a journal without numbers, as earlier versions wrote them, nobody can tell that.
    let whole = numbered.replace("{\"n\":1,", "{").replace("{\"n\":2,", "{");
    let whole = whole.into_bytes();
    let first = whole.iter().position(|byte| *byte == b'\n').expect("two lines") + 1;
    assert_eq!(
        error_for(&whole[first..]),
        "it does not begin with a header that names its node"
    );
    assert_eq!(
        error_for(&[&whole[..first], b"{\"broken\":\"too slow\"}\n"].concat()),
        "the recording ended before the run did: too slow"
    );
    assert!(error_for(&[b"nonsense\n", &whole[..]].concat()).starts_with("line 1 is not a journal's"));
    let later = String::from_utf8(whole).expect("JSON").replacen(
        &format!("\"format\":{FORMAT}"),
        &format!("\"format\":{}", FORMAT + 1),
        1,
    );
    assert!(error_for(format!("{later}{{}}\n").as_bytes()).contains("written by a later version"));
}

#[test]
fn endings_become_answers() {
    let history = history(&[requester(&[7], Ending::None(NoReply::Timeout))]);
    let outcome = history.iter().find_map(|event| match event.what {
        What::Outcome { outcome, .. } => Some(outcome),
        _ => None,
    });
    assert!(matches!(outcome, Some(Answer::None(ended)) if ended.0 == NoReply::Timeout));
}
