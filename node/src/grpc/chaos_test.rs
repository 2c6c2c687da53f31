use squall_kernel::fault::{
    ClockFault, DiskFault, Latency, LinkFault, MessageFault, ProcessFault, Shape, Share, Wanted,
};
use squall_kernel::id::{ExchangeName, Incarnation};
use squall_kernel::keys::KeyPattern;
use squall_proto::v1::set_fault_request::Fault as Asked;
use squall_proto::v1::{CutFault, DelayFault, LossFault};
use tonic::Code;

use super::super::fake::FakeNode;
use super::*;
use crate::clock::Clock;
use crate::introspect::Wake;

fn service() -> (ChaosService<FakeNode>, Arc<EventLog>) {
    keyed(None)
}

fn keyed(key: Option<Vec<u8>>) -> (ChaosService<FakeNode>, Arc<EventLog>) {
    let (service, events, _, _) = whole(key);
    (service, events)
}

/// The service with all it is made of.
fn whole(
    key: Option<Vec<u8>>,
) -> (
    ChaosService<FakeNode>,
    Arc<EventLog>,
    Arc<crate::mesh::FaultPlane>,
    Arc<Breaches>,
) {
    let plane = Arc::new(crate::mesh::FaultPlane::new(Clock::start()));
    let events = Arc::new(EventLog::new(Incarnation(1), Wake::default()));
    let breaches = Arc::new(Breaches::default());
    let faults: Arc<dyn FaultPlane> = Arc::<crate::mesh::FaultPlane>::clone(&plane);
    let service = ChaosService::new(
        Some(faults),
        key,
        FakeNode::new(),
        Arc::clone(&events),
        Arc::clone(&breaches),
    );
    (service, events, plane, breaches)
}

fn cut(to: &str, id: &str, ttl_ms: u64) -> Request<v1::SetFaultRequest> {
    let fault = Some(Asked::Cut(CutFault { to: to.into() }));
    Request::new(v1::SetFaultRequest {
        id: id.into(),
        ttl_ms,
        by: "ann".into(),
        fault,
    })
}

fn recorded(events: &EventLog) -> Vec<(String, String)> {
    events
        .read(0)
        .events
        .into_iter()
        .map(|e| (e.kind, e.text))
        .collect()
}

async fn listed(service: &ChaosService<FakeNode>) -> Vec<v1::FaultInfo> {
    let list = service.list_faults(Request::new(v1::ListFaultsRequest {})).await;
    list.expect("a list").into_inner().faults
}

/// Moves the time, which stands still, and lets those run who waited for it.
async fn later(ms: u64) {
    tokio::task::yield_now().await;
    tokio::time::advance(Duration::from_millis(ms)).await;
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_lives_for_thirty_seconds_unless_told_otherwise_and_its_end_is_on_record() {
    let (service, events) = service();
    let set = service
        .set_fault(cut("b", "", 0))
        .await
        .expect("set")
        .into_inner()
        .fault
        .expect("a fault");
    assert_eq!(
        (set.what.as_str(), set.left_ms, set.by.as_str()),
        ("cut a -> b", 30_000, "ann")
    );
    assert_eq!(listed(&service).await, [set]);
    later(30_010).await;
    assert_eq!(listed(&service).await, []);
    let texts = [
        "cut a -> b for 30 s, asked for by ann",
        "ended by itself: cut a -> b",
    ];
    let kinds = ["fault-set", "fault-ended"];
    let expected = kinds
        .into_iter()
        .map(str::to_owned)
        .zip(texts.into_iter().map(str::to_owned));
    assert_eq!(recorded(&events), expected.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_replaced_fault_ends_when_its_successor_does() {
    let (service, events) = service();
    service.set_fault(cut("b", "f", 1000)).await.expect("set");
    service.set_fault(cut("b", "f", 5000)).await.expect("replaced");
    later(2000).await;
    assert_eq!(recorded(&events).len(), 2);
    later(3100).await;
    assert_eq!(recorded(&events).last().expect("an event").0, "fault-ended");
}

#[tokio::test(start_paused = true)]
async fn a_cleared_fault_is_gone_and_a_second_clear_says_so() {
    let (service, events) = service();
    service.set_fault(cut("b", "f", 0)).await.expect("set");
    let clear = || Request::new(v1::ClearFaultRequest { id: "f".into() });
    service.clear_fault(clear()).await.expect("cleared");
    let error = service.clear_fault(clear()).await.expect_err("gone");
    assert_eq!(
        (error.code(), error.message()),
        (Code::NotFound, "there is no active fault 'f'")
    );
    later(60_000).await;
    let kinds: Vec<_> = recorded(&events).into_iter().map(|e| e.0).collect();
    assert_eq!(kinds, ["fault-set", "fault-cleared"]);
}

#[tokio::test(start_paused = true)]
async fn halt_clears_everything() {
    let (service, events) = service();
    service.set_fault(cut("b", "f", 0)).await.expect("set");
    service.set_fault(cut("b", "g", 0)).await.expect("set");
    let halted = service
        .halt(Request::new(v1::HaltRequest {
            by: "bob".into(),
            ..Default::default()
        }))
        .await
        .expect("halted");
    assert_eq!(halted.into_inner().cleared, 2);
    assert_eq!(listed(&service).await, []);
    assert_eq!(
        recorded(&events).last().expect("an event").1,
        "2 faults cleared by bob"
    );
}

#[tokio::test(start_paused = true)]
async fn a_halt_that_locks_takes_no_faults_until_somebody_says_why_again() {
    let (service, events) = service();
    let halt = v1::HaltRequest {
        by: "bob".into(),
        lock: true,
        reason: "customers".into(),
    };
    service.halt(Request::new(halt)).await.expect("halted");
    let refused = service
        .set_fault(cut("b", "f", 0))
        .await
        .expect_err("it is locked");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        refused.message(),
        "halted by bob (customers): no new faults until `squall chaos unlock --reason …`"
    );
    let unlock = |reason: &str| {
        service.unlock(Request::new(v1::UnlockRequest {
            by: "ann".into(),
            reason: reason.into(),
        }))
    };
    let refused = unlock(" ").await.expect_err("a reason is wanted");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        unlock("all well")
            .await
            .expect("unlocked")
            .into_inner()
            .was_locked
    );
    assert!(
        !unlock("again")
            .await
            .expect("nothing to do")
            .into_inner()
            .was_locked
    );
    service.set_fault(cut("b", "f", 0)).await.expect("set");
    let texts: Vec<_> = recorded(&events).into_iter().map(|e| e.1).collect();
    assert_eq!(
        texts[..2],
        [
            "0 faults cleared by bob, no new ones until unlocked",
            "new faults are taken again, by ann: all well"
        ]
    );
}

/// The metrics read it there.
#[tokio::test]
async fn the_lock_is_the_nodes_own_and_holds_until_it_is_unlocked() {
    let (service, _, plane, _) = whole(None);
    assert_eq!(plane.locked(), None);
    let halt = |lock| {
        service.halt(Request::new(v1::HaltRequest {
            by: "bob".into(),
            lock,
            reason: "customers".into(),
        }))
    };
    halt(true).await.expect("halted");
    let lock = FaultLock {
        by: "bob".into(),
        reason: "customers".into(),
    };
    assert_eq!(plane.locked(), Some(lock.clone()));
    halt(false).await.expect("halted again");
    assert_eq!(
        plane.locked(),
        Some(lock),
        "a halt without a lock unlocks nothing"
    );
    let told = service.list_faults(Request::new(v1::ListFaultsRequest {})).await;
    let told = told.expect("a list").into_inner().lock.expect("it is locked");
    assert_eq!((told.by.as_str(), told.reason.as_str()), ("bob", "customers"));
    let unlock = v1::UnlockRequest {
        by: "ann".into(),
        reason: "all well".into(),
    };
    service.unlock(Request::new(unlock)).await.expect("unlocked");
    assert_eq!(plane.locked(), None);
}

fn told_of(breaches: &Breaches) -> u64 {
    breaches.read().values().sum()
}

fn breach(invariant: &str, text: &str) -> Request<v1::ReportBreachRequest> {
    Request::new(v1::ReportBreachRequest {
        invariant: invariant.into(),
        text: text.into(),
    })
}

#[tokio::test]
async fn a_breach_is_counted_and_stands_in_the_timeline_also_while_no_faults_are_taken() {
    let (service, events, _, breaches) = whole(None);
    let halt = v1::HaltRequest {
        lock: true,
        ..Default::default()
    };
    service.halt(Request::new(halt)).await.expect("halted");
    for text in ["two owners", "and again"] {
        service.report_breach(breach("I1", text)).await.expect("told");
    }
    service.report_breach(breach("I13", "")).await.expect("told");
    let counted: Vec<_> = breaches
        .read()
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(invariant, count)| (invariant.to_string(), count))
        .collect();
    assert_eq!(counted, [("I1".into(), 2), ("I13".into(), 1)]);
    let event = events.read(0).events.remove(1);
    assert_eq!(
        (event.kind.as_str(), event.subject.as_str(), event.text.as_str()),
        ("invariant-broken", "I1", "two owners")
    );
    assert_eq!(event.severity(), Severity::Alert);
    assert_eq!(events.counted()[&("invariant-broken", "alert")], 3);
}

#[tokio::test]
async fn what_is_no_breach_is_refused_and_not_counted() {
    let (service, events, _, breaches) = whole(None);
    let long = "x".repeat(BREACH_TEXT_BYTES_MAX + 1);
    for (told, field) in [
        (breach("everything", "broken"), "invariant: "),
        (breach("I100", "broken"), "invariant: "),
        (breach("I1", "a\u{1b}[31mb"), "text: "),
        (breach("I1", &long), "text: 1025 bytes, at most 1024"),
    ] {
        let refused = service.report_breach(told).await.expect_err("it is none");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with(field), "{}", refused.message());
    }
    let as_long = breach("I1", &long[1..]);
    service.report_breach(as_long).await.expect("as long as may be");
    assert_eq!((told_of(&breaches), recorded(&events).len()), (1, 1));
}

#[tokio::test]
async fn breaches_are_told_by_whoever_may_set_faults() {
    let (service, events, _, breaches) = whole(Some(b"key".to_vec()));
    let told = service.report_breach(breach("I1", "two owners")).await;
    assert_eq!(told.expect_err("no key").code(), Code::Unauthenticated);
    assert_eq!((told_of(&breaches), recorded(&events).len()), (0, 0));
    let mut with_key = breach("I1", "two owners");
    let value = tonic::metadata::MetadataValue::from_bytes(b"key");
    with_key.metadata_mut().insert_bin(CHAOS_KEY_METADATA, value);
    service.report_breach(with_key).await.expect("it has the key");
    assert_eq!(told_of(&breaches), 1);
    let events = Arc::new(EventLog::new(Incarnation(1), Wake::default()));
    let off = ChaosService::new(None, None, FakeNode::new(), events, Arc::clone(&breaches));
    let told = off.report_breach(breach("I1", "two owners")).await;
    assert_eq!(told.expect_err("no --chaos").code(), Code::Unimplemented);
    assert_eq!(told_of(&breaches), 1);
}

#[tokio::test]
async fn whoever_has_not_the_key_may_look_and_no_more() {
    let (service, events) = keyed(Some(b"key".to_vec()));
    let shown = |key: &'static [u8]| {
        let mut request = cut("b", "f", 0);
        let value = tonic::metadata::MetadataValue::from_bytes(key);
        request.metadata_mut().insert_bin(CHAOS_KEY_METADATA, value);
        request
    };
    for wrong in [
        cut("b", "f", 0),
        shown(b"kex"),
        shown(b"ke"),
        shown(b"keyy"),
        shown(b""),
    ] {
        let refused = service.set_fault(wrong).await.expect_err("it has not the key");
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    let halt = Request::new(v1::HaltRequest::default());
    assert_eq!(
        service.halt(halt).await.expect_err("no key").code(),
        Code::Unauthenticated
    );
    assert_eq!(listed(&service).await, []);
    service.set_fault(shown(b"key")).await.expect("it has it");
    assert_eq!((listed(&service).await.len(), recorded(&events).len()), (1, 1));
}

#[tokio::test]
async fn what_is_wrong_with_a_fault_is_named() {
    let (service, _) = service();
    let delay = |delay_us| {
        let fault = Some(Asked::Delay(DelayFault {
            to: "b".into(),
            delay_us,
            ..DelayFault::default()
        }));
        Request::new(v1::SetFaultRequest {
            fault,
            ..Default::default()
        })
    };
    let loss = |share_ppm| {
        let fault = Some(Asked::Loss(LossFault {
            to: "b".into(),
            share_ppm,
        }));
        Request::new(v1::SetFaultRequest {
            fault,
            ..Default::default()
        })
    };
    let table = [
        (cut("zoe", "", 0), Code::NotFound, "there is no node 'zoe'"),
        (
            cut("a", "", 0),
            Code::InvalidArgument,
            "to: 'a' is this node itself",
        ),
        (cut("", "", 0), Code::InvalidArgument, "to: the node name needs"),
        (
            cut("b", "", 3_600_001),
            Code::InvalidArgument,
            "ttl_ms: 3600001 ms, at most 3600000",
        ),
        (
            cut("b", "\u{1b}[2J", 0),
            Code::InvalidArgument,
            "id: control character '\\u{1b}'",
        ),
        (
            cut("b", &"x".repeat(65), 0),
            Code::InvalidArgument,
            "the id and the author",
        ),
        (
            delay(u64::MAX),
            Code::InvalidArgument,
            "a delay with its jitter is at most",
        ),
        (
            loss(0),
            Code::InvalidArgument,
            "loss takes more than 0% and at most 100%, not 0%",
        ),
        (
            loss(1_200_000),
            Code::InvalidArgument,
            "loss takes more than 0% and at most 100%, not 120%",
        ),
        (
            Request::new(v1::SetFaultRequest::default()),
            Code::InvalidArgument,
            "fault: no fault was given",
        ),
    ];
    for (request, code, words) in table {
        let error = service.set_fault(request).await.expect_err(words);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().starts_with(words), "{error}");
    }
}

#[test]
fn a_fault_in_words_has_both_ends_and_its_times() {
    let name = |n| NodeName::new(n).expect("a name");
    let kind = |fault| FaultKind::link(name("b"), fault);
    let delay = |jitter, shape| {
        let time = Span(200_000);
        kind(LinkFault::Delay(Latency { time, jitter, shape }))
    };
    for (kind, words) in [
        (delay(Span::ZERO, Shape::Uniform), "delay a -> b 200ms"),
        (delay(Span(1500), Shape::Uniform), "delay a -> b 200ms ±1500us"),
        (
            delay(Span(1500), Shape::Normal),
            "delay a -> b 200ms ±1500us normal",
        ),
        (kind(LinkFault::Cut), "cut a -> b"),
        (kind(LinkFault::Reset(Span::ZERO)), "reset a -> b"),
        (kind(LinkFault::Rate(64_000)), "rate a -> b 64kB/s"),
    ] {
        assert_eq!(what(&name("a"), &kind), words);
    }
    let loss = kind(LinkFault::Loss(Share::from_percent(5)));
    assert_eq!(what(&name("a"), &loss), "loss a -> b 5%");
}

fn ask(fault: Asked) -> Request<v1::SetFaultRequest> {
    Request::new(v1::SetFaultRequest {
        fault: Some(fault),
        ..Default::default()
    })
}

fn clock(what: Option<v1::clock_fault::What>) -> Asked {
    Asked::Clock(v1::ClockFault { what })
}

fn disk(kind: v1::DiskFaultKind, by_us: u64) -> Asked {
    let kind = kind.into();
    Asked::Disk(v1::DiskFault { kind, by_us })
}

fn process(exchange: &str, kind: v1::ProcessFaultKind, by_us: u64) -> Asked {
    Asked::Process(v1::ProcessFault {
        exchange: exchange.into(),
        kind: kind.into(),
        by_us,
    })
}

fn message(key: &str, share_ppm: u32, kind: v1::MessageFaultKind, by_us: u64) -> Asked {
    Asked::Message(v1::MessageFault {
        exchange: "orders".into(),
        key: key.into(),
        share_ppm,
        kind: kind.into(),
        by_us,
    })
}

#[tokio::test(start_paused = true)]
async fn faults_on_the_node_its_handlers_and_messages_are_set_and_read_as_people_say_them() {
    use v1::clock_fault::What::{SkewPpm, StepMs};
    use v1::{DiskFaultKind as Disk, MessageFaultKind as Message, ProcessFaultKind as Process};
    let (service, _) = service();
    let table = [
        (clock(Some(SkewPpm(5000))), "clock of a +5000ppm"),
        (clock(Some(StepMs(-2000))), "clock of a stepped by -2000ms"),
        (disk(Disk::Slow, 50_000), "disk of a slow by 50ms"),
        (disk(Disk::Full, 0), "disk of a full"),
        (disk(Disk::Torn, 0), "disk of a torn"),
        (disk(Disk::LostTail, 0), "disk of a lost-tail"),
        (Asked::Burn(v1::BurnFault { threads: 1 }), "burn a 1 thread"),
        (
            process("orders", Process::Kill, 0),
            "handlers of orders on a killed",
        ),
        (
            process("orders", Process::Suspend, 0),
            "handlers of orders on a suspended",
        ),
        (
            process("orders", Process::Slow, 1500),
            "handlers of orders on a slow by 1500us",
        ),
        (
            process("orders", Process::Panic, 0),
            "handlers of orders on a panic",
        ),
        (
            process("orders", Process::Fill, 0),
            "handlers of orders on a full",
        ),
        (
            message("news.*", 100_000, Message::Drop, 0),
            "message orders news.* 10% dropped",
        ),
        (
            message("", 1_000_000, Message::Delay, 20_000),
            "message orders 100% delayed by 20ms",
        ),
        (
            message("", 10_000, Message::Duplicate, 0),
            "message orders 1% doubled",
        ),
    ];
    for (fault, words) in table {
        let set = service.set_fault(ask(fault)).await.expect(words).into_inner();
        assert_eq!(set.fault.expect("a fault").what, words);
    }
    assert_eq!(listed(&service).await.len(), 15);
}

#[tokio::test]
async fn what_is_wrong_with_a_fault_on_the_node_is_named() {
    use v1::{DiskFaultKind as Disk, MessageFaultKind as Message, ProcessFaultKind as Process};
    let (service, _) = service();
    let table = [
        (clock(None), "what: none was given"),
        (disk(Disk::Unspecified, 0), "kind: none was given"),
        (disk(Disk::Slow, 0), "a sync takes longer by more than nothing"),
        (
            Asked::Burn(v1::BurnFault { threads: 300 }),
            "1 to 64 threads spin, not 255",
        ),
        (
            process("nothing", Process::Kill, 0),
            "there is no exchange 'nothing'",
        ),
        (process("", Process::Kill, 0), "exchange: "),
        (process("orders", Process::Unspecified, 0), "kind: none was given"),
        (message("a..b", 1, Message::Drop, 0), "key: "),
        (message("", 0, Message::Drop, 0), "drop takes more than 0%"),
    ];
    for (fault, words) in table {
        let error = service.set_fault(ask(fault)).await.expect_err(words);
        assert!(error.message().starts_with(words), "{error}");
    }
}

#[test]
fn a_fault_on_the_node_names_it() {
    let node = NodeName::new("a").expect("a name");
    let exchange = ExchangeName::new("orders").expect("a name");
    let of = Wanted {
        exchange: exchange.clone(),
        key: Some(KeyPattern::new("news.*").expect("a pattern")),
        share: Share::ALL,
    };
    for (kind, words) in [
        (FaultKind::Clock(ClockFault::Skew { ppm: -7 }), "clock of a -7ppm"),
        (FaultKind::Disk(DiskFault::Full), "disk of a full"),
        (FaultKind::Burn { threads: 2 }, "burn a 2 threads"),
        (
            FaultKind::Process {
                exchange,
                what: ProcessFault::Fill,
            },
            "handlers of orders on a full",
        ),
        (
            FaultKind::Message {
                of,
                what: MessageFault::Drop,
            },
            "message orders news.* 100% dropped",
        ),
    ] {
        assert_eq!(what(&node, &kind), words);
    }
}
