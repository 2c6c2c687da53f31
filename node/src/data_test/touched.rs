//! Messages that were not drawn and that something happens to: each is told of from its beginning, wherever on its way it happened.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::SpanData;
use squall_client::handler::{Answer, Delivery, Handler};
use squall_kernel::fault::{FaultKind, MessageFault, ProcessFault, Share as Part, Wanted};
use squall_kernel::frame::Status;
use squall_kernel::id::{ExchangeName, Pid};
use squall_kernel::message::Settlement;
use squall_kernel::registry::{Pattern, Settings, Strategy};
use squall_kernel::time::Span;

use super::cluster::{Cluster, asked, name, quiet, reply};
use super::tasks::{Worker, declare, submit};
use super::traced::{told, value, ways};
use crate::handlers::HandlerTags;
use crate::telemetry::Share;

const TTL: Span = Span::from_ms(60_000);

/// Answers as its function says, after so long.
struct Says(fn(&Delivery) -> Answer, Duration);

impl Handler for Says {
    async fn handle(&mut self, delivery: Delivery) -> Answer {
        tokio::time::sleep(self.1).await;
        (self.0)(&delivery)
    }
}

fn attach(cluster: &Cluster, n: usize, exchange: &str, says: fn(&Delivery) -> Answer) -> Pid {
    attach_slow(cluster, n, exchange, says, Duration::ZERO)
}

fn attach_slow(
    cluster: &Cluster,
    n: usize,
    exchange: &str,
    says: fn(&Delivery) -> Answer,
    by: Duration,
) -> Pid {
    let handlers = &cluster.planes[n].handlers;
    let attached = handlers.attach_embedded(&name(exchange), HandlerTags::default(), Says(says, by));
    attached.unwrap()
}

/// Messages of that exchange are late at their owner, node 0.
fn delay(cluster: &Cluster, exchange: &str) {
    let of = Wanted {
        exchange: name(exchange),
        key: None,
        share: Part::ALL,
    };
    let by = Span::from_ms(20);
    let what = MessageFault::Delay { by };
    set(cluster, 0, FaultKind::Message { of, what });
}

fn set(cluster: &Cluster, n: usize, kind: FaultKind) {
    let faults = &cluster.planes[n].context.faults;
    faults.set("x", kind, TTL, "test").unwrap();
}

fn the_one<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    let mut named = spans.iter().filter(|span| span.name == name);
    let found = named.next().unwrap_or_else(|| panic!("no {name} in {spans:?}"));
    assert!(named.next().is_none(), "{name} is told of once");
    found
}

#[tokio::test(start_paused = true)]
async fn a_request_that_a_fault_touched_at_its_middleware_is_kept() {
    let (mut cluster, mut spans) = Cluster::traced(&["x"; 3], Share::NONE);
    cluster.declare("guard", Strategy::RoundRobin);
    let settings = Settings {
        middleware: vec![ExchangeName::new("guard").unwrap()],
        ..Settings::default()
    };
    let orders = cluster.declare_pattern("orders", Pattern::RequestResponse, settings);
    attach(&cluster, 1, "guard", |_| Answer::Pass);
    attach(&cluster, 1, "orders", |_| {
        Answer::Reply(Bytes::from_static(b"yes"))
    });
    quiet().await;
    told(&mut spans).await;
    delay(&cluster, "guard");
    assert_eq!(reply(&cluster.request(2, orders, "x").await), "yes");
    let spans = told(&mut spans).await;
    assert_eq!(
        ways(&spans, "delayed by fault"),
        ["request orders > delayed by fault"]
    );
    assert_eq!(value(the_one(&spans, "request orders"), "squall.kept"), "fault");
}

/// The message is touched after the routing: a root, and nothing of what went before.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_sent_on_is_called_as_it_was_sent_and_kept_where_it_was_touched_before() {
    let (mut cluster, mut spans) = Cluster::traced(&["x"; 3], Share::NONE);
    let front = cluster.declare("front", Strategy::RoundRobin);
    cluster.declare("orders", Strategy::RoundRobin);
    attach(&cluster, 1, "front", |_| {
        Answer::Redirect(ExchangeName::new("orders").unwrap())
    });
    attach(&cluster, 1, "orders", |_| {
        Answer::Reply(Bytes::from_static(b"yes"))
    });
    quiet().await;
    told(&mut spans).await;
    delay(&cluster, "front");
    assert_eq!(reply(&cluster.request(2, front, "x").await), "yes");
    let spans = told(&mut spans).await;
    let root = the_one(&spans, "request front");
    assert_eq!(value(root, "messaging.destination.name"), "front");
    assert_eq!(value(root, "squall.answered_by"), "orders");
    assert_eq!(value(root, "squall.kept"), "fault");
    ways(&spans, "delayed by fault");
}

#[tokio::test(start_paused = true)]
async fn of_many_copies_one_that_was_touched_is_enough() {
    let (mut cluster, mut spans) = Cluster::traced(&["x"; 3], Share::NONE);
    let all = cluster.declare("all", Strategy::Default);
    attach(&cluster, 1, "all", |_| Answer::Reply(Bytes::from_static(b"soon")));
    let late = Duration::from_millis(500);
    attach_slow(
        &cluster,
        2,
        "all",
        |_| Answer::Reply(Bytes::from_static(b"late")),
        late,
    );
    quiet().await;
    told(&mut spans).await;
    let what = ProcessFault::Slow {
        by: Span::from_ms(20),
    };
    let exchange = name("all");
    set(&cluster, 1, FaultKind::Process { exchange, what });
    quiet().await;
    let mut outcomes = cluster.planes[0].router.request_all(asked(all, "x"));
    for word in ["soon", "late"] {
        assert_eq!(outcomes.recv().await.unwrap().payload, word);
    }
    let spans = told(&mut spans).await;
    assert_eq!(ways(&spans, "slowed by fault"), ["request all > slowed by fault"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_a_fault_touches_is_told_of_from_there_on() {
    let (mut cluster, mut spans) = Cluster::traced(&["x"; 3], Share::NONE);
    let exchange = declare(&mut cluster, Settings::default());
    let worker = Worker::attach(&cluster, 2, 1);
    quiet().await;
    delay(&cluster, "mails");
    submit(&cluster, 1, exchange, "first").await;
    quiet().await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    quiet().await;
    worker.say(&cluster, 0, Settlement::Confirm).await;
    let spans = told(&mut spans).await;
    assert_eq!(ways(&spans, "delayed by fault"), ["task > delayed by fault"]);
    assert_eq!(ways(&spans, "work mails"), ["task > work mails"]);
    assert_eq!(the_one(&spans, "task").parent_span_id, SpanId::INVALID);
}

/// It was slow, for its exchange had no owner for a while: its trace says so, and leads to the failover.
#[tokio::test(start_paused = true)]
async fn a_request_that_waited_for_the_next_owner_is_kept_and_points_to_the_failover() {
    let (mut cluster, mut spans) = Cluster::traced(&["x"; 3], Share::NONE);
    let orders = cluster.declare("orders", Strategy::RoundRobin);
    attach(&cluster, 1, "orders", |_| {
        Answer::Reply(Bytes::from_static(b"yes"))
    });
    quiet().await;
    told(&mut spans).await;
    cluster.kill(0);
    let plane = Arc::clone(&cluster.planes[2]);
    let asking = tokio::spawn(async move { plane.router.request(asked(orders, "x")).await });
    quiet().await;
    assert!(!asking.is_finished(), "nobody owns it");
    cluster.declare_lost(0);
    let outcome = asking.await.unwrap();
    assert_eq!(outcome.status, Status::Reply, "{}", outcome.reason());
    let spans = told(&mut spans).await;
    assert_eq!(ways(&spans, "wait orders"), ["request orders > wait orders"]);
    let root = the_one(&spans, "request orders");
    assert_eq!(value(root, "squall.kept"), "waited");
    assert_eq!(value(root, "squall.lost"), "a#1");
    assert_eq!(value(root, "squall.owner"), "b");
    let failover = the_one(&spans, "first good reply").span_context.trace_id();
    let links = &root.links.links;
    assert!(links.iter().any(|link| link.span_context.trace_id() == failover));
}
