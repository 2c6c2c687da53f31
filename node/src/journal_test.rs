//! Tests of the journal: what is recorded replays equal, and what is not a journal is named.

use std::io::Cursor;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use squall_kernel::exchange::{Choice, Exchange, ExchangeConfig, ExchangeInput, RequestKey};
use squall_kernel::id::{Boot, Epoch, ExchangeId, MessageId, NodeId, Pid};
use squall_kernel::registry::Strategy;
use squall_kernel::time::Span;

use super::*;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics here").write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn recorded() -> String {
    recorded_after(|_| ())
}

fn recorded_after(before: impl FnOnce(&Journal)) -> String {
    let out = Shared::default();
    let (journal, writer) = Journal::start_writer(out.clone()).expect("threads start");
    before(&journal);
    let config = ExchangeConfig {
        awaited: Vec::new(),
        id: ExchangeId(1),
        strategy: Strategy::RoundRobin,
        epoch: Epoch(1),
        leader: None,
        leader_gone: false,
        settle: Span::from_ms(100),
        promise: Span::from_ms(120),
    };
    journal.start(MachineKind::Exchange, "1@1", Instant(0), &config);
    let mut exchange = Exchange::new(Instant(0), config);
    let handler = |n| Pid::new(NodeId(3), Boot(1), n);
    let mut inputs: Vec<ExchangeInput> = (1..3)
        .map(|n| ExchangeInput::Attach {
            bound: Vec::new(),
            returned: None,
            handler: handler(n),
            service_tag: "eu".into(),
        })
        .collect();
    inputs.extend((1..6).map(|n| ExchangeInput::Request {
        key: Bytes::new(),
        choice: Choice::None,
        request: RequestKey {
            origin: NodeId(u64::MAX),
            message: MessageId(n),
        },
        epoch: Epoch(1),
        service_tag: Bytes::from_static(b"eu"),
        deadline: Instant(1_000),
        lease_until: Instant(1_000),
    }));
    for (now, input) in (1..).zip(&inputs) {
        let mut effects = Vec::new();
        exchange.step(Instant(now), input, &mut effects);
        journal.step(MachineKind::Exchange, "1@1", Instant(now), input, &effects);
    }
    drop(journal);
    writer.finish().expect("memory takes everything");
    let bytes = out.0.lock().expect("no test panics here").clone();
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

#[test]
fn a_replay_gives_the_recorded_effects() {
    let report = Replay::default().run(Cursor::new(recorded())).expect("a journal");
    assert_eq!(
        report,
        ReplayReport {
            lines: 8,
            machines: 1,
            steps: 7,
            ..ReplayReport::default()
        }
    );
}

#[test]
fn the_first_difference_is_named_by_its_line() {
    let text = recorded().replacen("\"count\":1", "\"count\":2", 1);
    let difference = Replay::default()
        .run(Cursor::new(text))
        .expect("a journal")
        .difference;
    let difference = difference.expect("one effect was changed");
    assert_eq!(
        (difference.line, difference.machine.as_str()),
        (4, "exchange 1@1")
    );
    assert!(difference.recorded.contains("count: 2") && difference.replayed.contains("count: 1"));
}

#[test]
fn a_last_line_cut_off_by_a_kill_is_told() {
    let mut text = recorded();
    text.truncate(text.len() - 20);
    let report = Replay::default().run(Cursor::new(text)).expect("a journal");
    assert!(report.torn && report.steps == 6);
}

#[test]
fn garbage_is_named_by_its_line() {
    let text = format!("{}garbage\n{{}}\n", recorded());
    let error = Replay::default()
        .run(Cursor::new(text))
        .expect_err("garbage is no journal");
    assert!(matches!(error, ReplayError::Garbled { line: 9, .. }), "{error}");
}

/// Both readers, on a journal without those of its lines, from 0.
fn without(text: &str, gone: std::ops::Range<usize>) -> [Option<String>; 2] {
    let kept = text.lines().enumerate().filter(|(n, _)| !gone.contains(n));
    let text: String = kept.map(|(_, line)| format!("{line}\n")).collect();
    let replayed = Replay::default().run(Cursor::new(&text)).err();
    let read = read(Cursor::new(&text), |_| ()).err();
    [replayed, read].map(|error| error.map(|e| e.to_string()))
}

#[test]
fn lines_cut_out_are_named_wherever_they_were() {
    let text = recorded();
    let table = [
        (
            0..1,
            "the journal has a gap at line 1: number 1 is missing before it",
        ),
        // Requests that had no effect on what follows would replay equal.
        (
            5..6,
            "the journal has a gap at line 6: number 6 is missing before it",
        ),
        (
            3..6,
            "the journal has a gap at line 4: numbers 4 to 6 are missing before it",
        ),
    ];
    for (gone, words) in table {
        assert_eq!(
            without(&text, gone),
            [Some(words.to_owned()), Some(words.to_owned())]
        );
    }
    assert_eq!(without(&text, 8..9), [None, None], "nothing was cut");
    let doubled = format!("{text}{}\n", text.lines().last().expect("lines"));
    let error = Replay::default()
        .run(Cursor::new(doubled))
        .expect_err("a line twice");
    assert!(
        error
            .to_string()
            .contains("it is number 8, and number 9 belongs here"),
        "{error}"
    );
}

#[test]
fn a_journal_without_numbers_is_read_as_before() {
    let old: String = recorded()
        .lines()
        .map(|line| format!("{{{}\n", line.split_once(',').expect("a number first").1))
        .collect();
    let report = Replay::default().run(Cursor::new(&old)).expect("a journal");
    assert_eq!((report.lines, report.steps), (8, 7));
    let mixed = old + "{\"n\":9,\"broken\":\"x\"}\n";
    assert!(Replay::default().run(Cursor::new(mixed)).is_ok());
}

struct Stuck(std::sync::mpsc::Receiver<()>, Shared);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _released = self.0.recv();
        self.1.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_journal_that_cannot_keep_up_says_so_and_never_blocks() {
    let (release, stuck) = std::sync::mpsc::channel();
    let out = Shared::default();
    let (journal, writer) = Journal::start_writer(Stuck(stuck, out.clone())).expect("threads start");
    let mut recorded = 0;
    while !journal.is_broken() {
        journal.step::<_, ()>(MachineKind::Core, "n", Instant(recorded), &(), &[]);
        recorded += 1;
        assert!(recorded < 10_000_000, "a bound is a bound");
    }
    drop(release);
    drop(journal);
    writer.finish().expect("memory takes everything");
    let text = String::from_utf8(out.0.lock().expect("no test panics here").clone()).expect("UTF-8");
    assert!(text.lines().last().is_some_and(|line| line.contains("broken")));
}

#[test]
fn the_writer_ends_although_a_recorder_lives_on() {
    let out = Shared::default();
    let (journal, writer) = Journal::start_writer(out.clone()).expect("threads start");
    journal.step::<u8, u8>(MachineKind::Core, "core", Instant(1), &1, &[2]);
    writer.finish().expect("memory takes it");
    journal.step::<u8, u8>(MachineKind::Core, "core", Instant(2), &3, &[4]);
    assert!(!journal.is_broken(), "what comes after the end is no failure");
}

#[test]
fn who_recorded_and_what_happened_besides_are_read_and_not_replayed() {
    let header = Header {
        format: FORMAT,
        node: NodeId(u64::MAX),
        incarnation: squall_kernel::id::Incarnation(7),
        boot: Boot(2),
        started: Instant(3),
    };
    let fact = Fact::Late {
        message: MessageId(9),
    };
    let text = recorded_after(|journal| {
        journal.header(&header);
        journal.fact(Instant(5), &fact);
    });
    let report = Replay::default().run(Cursor::new(&text)).expect("a journal");
    assert_eq!((report.lines, report.steps, report.difference), (10, 7, None));
    let mut entries = Vec::new();
    let end = read(Cursor::new(&text), |entry| entries.push(entry)).expect("a journal");
    assert_eq!(end, JournalEnd::default());
    assert_eq!(entries.len(), 10);
    let (shown, passed) = (Instant(5), Instant(5));
    let now = When {
        shown,
        passed,
        faster_ppm: 0,
    };
    assert_eq!(entries[..2], [Entry::Header(header), Entry::Fact { now, fact }]);
    assert!(matches!(&entries[2], Entry::ExchangeStart { id, .. } if id == "1@1"));
    let cut = &text[..text.len() - 20];
    let end = read(Cursor::new(cut), |_| ()).expect("a journal");
    assert!(end.torn && end.broken.is_none());
    let later = text.replacen(
        &format!("\"format\":{FORMAT}"),
        &format!("\"format\":{}", FORMAT + 1),
        1,
    );
    let error = read(Cursor::new(later), |_| ())
        .expect_err("unknown layout")
        .to_string();
    assert!(error.contains("later version"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn of_a_skewed_clock_it_says_what_had_really_passed() {
    let clock = Clock::start();
    clock.skew(500_000);
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    let fact = Fact::Late {
        message: MessageId(9),
    };
    let now = clock.now();
    let text = recorded_after(|journal| journal.clone().by(clock.clone()).fact(now, &fact));
    let first = text.lines().next().expect("a line");
    let start = r#"{"n":1,"now":3000000,"passed":2000000,"faster_ppm":500000,"fact":"#;
    assert!(first.starts_with(start), "{first}");
    let mut entries = Vec::new();
    read(Cursor::new(&text), |entry| entries.push(entry)).expect("a journal");
    let (shown, passed) = (Instant(3_000_000), Instant(2_000_000));
    let now = When {
        shown,
        passed,
        faster_ppm: 500_000,
    };
    assert_eq!(entries[0], Entry::Fact { now, fact });
}
