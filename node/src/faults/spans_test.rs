//! Which spans faults and the messages that they hold tell, and until when.

use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::SpanData;
use squall_kernel::fault::{Latency, LinkFault, ProcessFault, Shape, TTL_DEFAULT};
use squall_kernel::frame::{Frame, Kind, TraceContext};
use squall_kernel::id::{ExchangeName, NodeName};
use tokio::sync::mpsc::Receiver;

use super::*;
use crate::telemetry::batch::Batcher;
use crate::telemetry::{Sampling, Share, SpanSink};

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a good name")
}

fn on_link(what: LinkFault) -> FaultKind {
    FaultKind::link(name("b"), what)
}

fn delay() -> FaultKind {
    let latency = Latency {
        time: Span::from_ms(5),
        jitter: Span::ZERO,
        shape: Shape::default(),
    };
    on_link(LinkFault::Delay(latency))
}

/// The faults of node a, and the spans that they tell.
fn plane() -> (FaultPlane, Receiver<SpanData>) {
    let (batcher, told) = Batcher::caught();
    let spans = FaultSpans::of(name("a"), SpanSink::to(&batcher, Sampling::of(Share::NONE, true)));
    (FaultPlane::new(Clock::start()).traced(spans), told)
}

fn trace(number: u8) -> TraceContext {
    TraceContext {
        trace_id: [number; 16],
        span_id: [number; 8],
        sampled: true,
    }
}

/// All that was told so far: the names, each with whose child it is.
fn names(told: &mut Receiver<SpanData>) -> Vec<(String, SpanId)> {
    std::iter::from_fn(|| told.try_recv().ok())
        .map(|span| (span.name.into_owned(), span.parent_span_id))
        .collect()
}

fn set(faults: &FaultPlane, id: &str, kind: FaultKind) {
    faults.set(id, kind, TTL_DEFAULT, "").expect("set");
}

#[test]
fn what_is_held_by_several_faults_says_when_each_of_them_let_go() {
    let (faults, mut told) = plane();
    let to = name("b");
    set(&faults, "cut", on_link(LinkFault::Cut));
    let mut held = faults.touched(&to, 7, || vec![trace(1), trace(2)]);
    assert_eq!(names(&mut told), [], "nobody has let go");
    set(&faults, "delay", delay());
    faults.touched_anew(&to, 7, &mut held);
    assert_eq!(names(&mut told), []);
    faults.clear("cut").expect("it acted");
    faults.touched_anew(&to, 7, &mut held);
    let id = |number: u8| SpanId::from_bytes([number; 8]);
    let of = |name: &str, number| (name.to_owned(), id(number));
    assert_eq!(
        names(&mut told),
        [
            of("fault cut a -> b", 0),
            of("held back by fault", 1),
            of("held back by fault", 2)
        ]
    );
    drop(held);
    assert_eq!(
        names(&mut told),
        [of("delayed by fault", 1), of("delayed by fault", 2)]
    );
}

#[test]
fn nothing_is_looked_at_where_no_fault_touches_it_or_nobody_takes_spans() {
    let (faults, mut told) = plane();
    set(&faults, "delay", delay());
    let untouched = faults.touched(&name("c"), 7, || unreachable!("no fault on that link"));
    drop(untouched);
    assert_eq!(names(&mut told), []);
    let silent = FaultPlane::new(Clock::start());
    set(&silent, "delay", delay());
    drop(silent.touched(&name("b"), 7, || unreachable!("nobody takes spans")));
}

/// Its submit was told of by now, or never will be.
#[test]
fn a_task_that_was_not_drawn_begins_a_tree_of_its_own_where_a_fault_touches_it() {
    let (faults, mut told) = plane();
    let exchange = ExchangeName::new("mails").expect("a good name");
    let what = ProcessFault::Slow {
        by: squall_kernel::time::Span::from_ms(1),
    };
    let of = exchange.clone();
    set(&faults, "slow", FaultKind::Process { exchange: of, what });
    let mut task = Frame {
        trace: TraceContext {
            sampled: false,
            ..trace(1)
        },
        ..Frame::new(Kind::Task)
    };
    drop(faults.touch_handlers(&exchange, &mut task, |is| is == what));
    let spans: Vec<SpanData> = std::iter::from_fn(|| told.try_recv().ok()).collect();
    let [root, slowed] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    assert_eq!(
        (root.name.as_ref(), root.parent_span_id),
        ("task", SpanId::INVALID)
    );
    assert_eq!(
        root.span_context.trace_id().to_bytes(),
        trace(1).trace_id,
        "its own trace"
    );
    assert_eq!(slowed.name, "slowed by fault");
    assert_eq!(slowed.parent_span_id, root.span_context.span_id());
    assert_eq!(task.trace.span_id, root.span_context.span_id().to_bytes());
    assert!(task.trace.sampled, "its attempt is told of below");
}

#[test]
fn a_delivery_that_is_touched_is_traced_from_then_on_and_one_without_a_trace_is_counted_alone() {
    let (faults, mut told) = plane();
    let exchange = ExchangeName::new("orders").expect("a good name");
    let what = ProcessFault::Fill;
    let of = exchange.clone();
    set(&faults, "full", FaultKind::Process { exchange: of, what });
    let unsampled = TraceContext {
        sampled: false,
        ..trace(1)
    };
    for (trace, sampled) in [
        (unsampled, true),
        (trace(2), true),
        (TraceContext::default(), false),
    ] {
        let mut frame = Frame {
            trace,
            ..Frame::new(Kind::Deliver)
        };
        drop(faults.touch_handlers(&exchange, &mut frame, |is| is == what));
        assert_eq!(frame.trace.sampled, sampled);
    }
    let refused = |of| ("refused by fault".to_owned(), SpanId::from_bytes([of; 8]));
    assert_eq!(names(&mut told), [refused(1), refused(2)]);
    assert_eq!(faults.list()[0].touched, 3);
    assert_eq!(faults.halt().len(), 1);
    let spans: Vec<SpanData> = std::iter::from_fn(|| told.try_recv().ok()).collect();
    let value = |key: &str| {
        let found = spans[0].attributes.iter().find(|a| a.key.as_str() == key);
        found.map(|a| a.value.to_string()).unwrap_or_default()
    };
    assert_eq!(
        (value("chaos.ended"), value("chaos.touched")),
        ("halted".into(), "3".into())
    );
}
