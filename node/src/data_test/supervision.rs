//! Handlers that panic, that are done, and that leave: what becomes of their requests, and of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use squall_client::handler::{Answer, Delivery, Handler, Restart, Supervision};
use squall_kernel::frame::{Status, TraceContext};
use squall_kernel::id::{ExchangeId, Pid};
use squall_kernel::reason::DetachReason;
use squall_kernel::registry::Strategy;
use squall_kernel::time::Span;

use super::cluster::{Cluster, Log, asked, name, quiet, reply};
use crate::handlers::HandlerTags;
use crate::router::Request;
use crate::telemetry::logging::overheard;

/// Counts its requests since it began, panics when told to, and is done after `most`.
struct Counter {
    since_restart: u32,
    most: u32,
    restarts: Arc<AtomicU32>,
    panics_on_restart: bool,
}

impl Handler for Counter {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        self.since_restart += 1;
        if &delivery.payload[..] == b"panic" {
            panic!("at request {}", self.since_restart);
        }
        if &delivery.payload[..] == b"slow" {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Answer::Reply(self.since_restart.to_string().into())
    }

    fn restarted(&mut self) {
        self.since_restart = 0;
        self.restarts.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics_on_restart, "no restart");
    }

    fn is_done(&self) -> bool {
        self.since_restart >= self.most
    }
}

struct Rig {
    cluster: Cluster,
    exchange: ExchangeId,
    restarts: Arc<AtomicU32>,
}

impl Rig {
    fn new() -> Self {
        let mut cluster = Cluster::new(2);
        let exchange = cluster.declare("orders", Strategy::RoundRobin);
        Self {
            cluster,
            exchange,
            restarts: Arc::default(),
        }
    }

    async fn attach(&self, supervision: Supervision, most: u32, panics_on_restart: bool) -> Pid {
        let handler = Counter {
            since_restart: 0,
            most,
            restarts: Arc::clone(&self.restarts),
            panics_on_restart,
        };
        let handlers = &self.cluster.planes[0].handlers;
        let attached =
            handlers.attach_supervised(&name("orders"), HandlerTags::default(), supervision, handler);
        quiet().await;
        attached.unwrap()
    }

    async fn ask(&self, payload: &'static str) -> String {
        let outcome = self.cluster.request(1, self.exchange, payload).await;
        quiet().await;
        if outcome.status == Status::Reply {
            reply(&outcome).to_owned()
        } else {
            outcome.reason()
        }
    }

    /// Of the handler's node: kind and text of what the timeline has.
    fn timeline(&self) -> Vec<(String, String)> {
        let events = self.cluster.events[0].read(0).events;
        events.into_iter().map(|event| (event.kind, event.text)).collect()
    }

    fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }
}

fn policy(restart: Restart, restarts: u32) -> Supervision {
    Supervision {
        restart,
        restarts,
        within: Span::from_ms(1000),
    }
}

/// A panic ends its request with its words, the handler begins anew, and the timeline has it.
#[tokio::test(start_paused = true)]
async fn a_panic_fails_its_request_restarts_its_handler_and_is_in_the_timeline() {
    let rig = Rig::new();
    let pid = rig.attach(policy(Restart::Permanent, 3), u32::MAX, false).await;
    assert_eq!(rig.ask("x").await, "1");
    assert_eq!(rig.ask("panic").await, "failed: at request 2");
    assert_eq!(rig.ask("x").await, "1", "it began anew");
    assert_eq!(rig.restarts(), 1);
    let who = rig.cluster.planes[0].context.pid_text(pid);
    let expected = format!("handler {who} panicked: at request 2");
    assert_eq!(rig.timeline(), [("handler-panicked".to_owned(), expected)]);
}

/// Of the panic, and of the end that follows from it.
#[tokio::test(start_paused = true)]
async fn what_is_logged_of_a_panic_names_the_trace_of_its_request() {
    let heard = overheard();
    let rig = Rig::new();
    rig.attach(policy(Restart::Permanent, 0), u32::MAX, false).await;
    let trace = TraceContext {
        trace_id: [0xab; 16],
        span_id: [1; 8],
        sampled: false,
    };
    let request = Request {
        trace,
        ..asked(rig.exchange, "panic")
    };
    rig.cluster.planes[1].router.request(request).await;
    quiet().await;
    let trace = format!("trace_id={} ", "ab".repeat(16));
    let lines = heard.take();
    for what in ["panicked: at request 1", "is detached for good"] {
        let line = lines.iter().find(|line| line.contains(what));
        assert!(
            line.is_some_and(|line| line.starts_with(&trace)),
            "{what}: {lines:?}"
        );
    }
}

/// One restart too many within the time, and it is detached and stays so.
#[tokio::test(start_paused = true)]
async fn too_many_restarts_within_the_time_detach_a_handler_for_good() {
    let rig = Rig::new();
    rig.attach(policy(Restart::Permanent, 2), u32::MAX, false).await;
    for _ in 0..2 {
        assert!(rig.ask("panic").await.starts_with("failed"));
    }
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    for _ in 0..3 {
        assert!(
            rig.ask("panic").await.starts_with("failed"),
            "the first two are forgotten"
        );
    }
    assert_eq!(rig.ask("x").await, "no responders");
    assert_eq!(rig.restarts(), 4);
    let last = rig.timeline().pop().unwrap();
    assert_eq!(last.0, "handler-exited");
    assert!(last.1.ends_with("is detached for good: panicked"), "{}", last.1);
    assert!(rig.cluster.planes[0].handlers.attached().is_empty());
}

/// What a handler is done with is up to its policy.
#[tokio::test(start_paused = true)]
async fn a_handler_that_is_done_goes_or_begins_anew_by_its_policy() {
    for (restart, then) in [
        (Restart::Permanent, "1"),
        (Restart::Transient, "no responders"),
        (Restart::Temporary, "no responders"),
    ] {
        let rig = Rig::new();
        rig.attach(policy(restart, 5), 2, false).await;
        assert_eq!((rig.ask("x").await, rig.ask("x").await), ("1".into(), "2".into()));
        assert_eq!(rig.ask("x").await, then, "{restart:?}");
    }
    let rig = Rig::new();
    rig.attach(policy(Restart::Temporary, 5), u32::MAX, false).await;
    assert_eq!(rig.ask("panic").await, "failed: at request 1");
    assert_eq!(rig.ask("x").await, "no responders");
}

/// A panic while it is restarted counts as one more, and does not go round for ever.
#[tokio::test(start_paused = true)]
async fn a_handler_that_cannot_be_restarted_is_detached() {
    let rig = Rig::new();
    rig.attach(policy(Restart::Permanent, 4), u32::MAX, true).await;
    assert_eq!(rig.ask("panic").await, "failed: at request 1");
    assert_eq!(rig.restarts(), 4);
    assert_eq!(rig.ask("x").await, "no responders");
}

/// What waits in the mailbox of a handler that is given up was not handled, and goes to another one.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_handler_that_is_given_up_goes_to_another_one() {
    let rig = Rig::new();
    rig.attach(policy(Restart::Temporary, 0), u32::MAX, false).await;
    let (plane, exchange) = (Arc::clone(&rig.cluster.planes[1]), rig.exchange);
    let outcomes = tokio::spawn(async move {
        let all =
            ["slow", "panic", "x", "x", "x"].map(|payload| plane.router.request(asked(exchange, payload)));
        futures::future::join_all(all).await
    });
    quiet().await;
    let log = Log::default();
    rig.cluster.attach(1, "orders", log.handler("other"));
    let outcomes = outcomes.await.unwrap();
    let words: Vec<String> = outcomes
        .iter()
        .map(|outcome| match outcome.status {
            Status::Reply => reply(outcome).to_owned(),
            _ => outcome.reason(),
        })
        .collect();
    assert_eq!(words, ["1", "failed: at request 2", "other", "other", "other"]);
    assert_eq!(log.count("other"), 3, "each once");
}

/// A handler that leaves finishes what it was given, and gets nothing new.
#[tokio::test(start_paused = true)]
async fn a_detached_handler_finishes_what_was_delivered_and_gets_nothing_new() {
    let rig = Rig::new();
    let pid = rig.attach(Supervision::default(), u32::MAX, false).await;
    let log = Log::default();
    let all = ["slow", "x", "x"].map(|payload| {
        let plane = Arc::clone(&rig.cluster.planes[1]);
        let request = asked(rig.exchange, payload);
        tokio::spawn(async move { plane.router.request(request).await })
    });
    quiet().await;
    rig.cluster.planes[0]
        .handlers
        .detach(pid.serial, DetachReason::Asked);
    rig.cluster.attach(1, "orders", log.handler("other"));
    quiet().await;
    assert_eq!(rig.ask("new").await, "other");
    let mut words = Vec::new();
    for one in all {
        words.push(reply(&one.await.unwrap()).to_owned());
    }
    assert_eq!(words, ["1", "2", "3"]);
    assert_eq!(log.count("other"), 1);
}
