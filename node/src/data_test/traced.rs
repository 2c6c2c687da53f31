//! Traces over several nodes: one tree a message whatever its pattern, nothing without its parent, copies that point to their
//! publish.

use std::collections::BTreeMap;

use bytes::Bytes;
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::SpanData;
use squall_kernel::frame::Status;
use squall_kernel::id::NodeName;
use squall_kernel::message::Settlement;
use squall_kernel::publishing::Confirm;
use squall_kernel::registry::{Command, Pattern, Settings, Strategy};
use squall_kernel::tasks::Retry;
use tokio::sync::mpsc::Receiver;

use super::cluster::{Cluster, Log, name, quiet, reply};
use super::talks;
use super::tasks::{Worker, declare, submit};
use crate::router::{Publish, Request, Said};
use crate::telemetry::Share;
use crate::telemetry::logging::overheard;

/// What was told, after everything that can happen has.
pub(super) async fn told(spans: &mut Receiver<SpanData>) -> Vec<SpanData> {
    quiet().await;
    std::iter::from_fn(|| spans.try_recv().ok()).collect()
}

pub(super) fn value(span: &SpanData, key: &str) -> String {
    let found = span.attributes.iter().find(|a| a.key.as_str() == key);
    found.map(|a| a.value.to_string()).unwrap_or_default()
}

/// Names from the root down to each span of that name: `publish news > fan out news`. Every parent must be there.
pub(super) fn ways(spans: &[SpanData], to: &str) -> Vec<String> {
    let by_id: BTreeMap<_, _> = spans
        .iter()
        .map(|span| (span.span_context.span_id().to_bytes(), span))
        .collect();
    let way = |span: &SpanData| {
        let (mut names, mut at) = (vec![span.name.to_string()], span);
        while at.parent_span_id != SpanId::INVALID {
            let parent = by_id.get(&at.parent_span_id.to_bytes());
            at = parent.unwrap_or_else(|| panic!("{} has no parent among {names:?}", at.name));
            assert_eq!(at.span_context.trace_id(), span.span_context.trace_id());
            names.push(at.name.to_string());
        }
        names.reverse();
        names.join(" > ")
    };
    let mut ways: Vec<String> = spans.iter().filter(|span| span.name == to).map(way).collect();
    ways.sort();
    ways
}

#[tokio::test(start_paused = true)]
async fn a_request_is_one_trace_from_its_requester_to_the_reply() {
    let (mut cluster, mut spans) = Cluster::traced(&["x"; 3], Share::ALL);
    let log = Log::default();
    let orders = cluster.declare("orders", Strategy::RoundRobin);
    cluster.attach(1, "orders", log.handler("one"));
    quiet().await;
    told(&mut spans).await;
    assert_eq!(reply(&cluster.request(2, orders, "x").await), "one");
    let spans = told(&mut spans).await;
    // The handler's own span is one of `tracing`, which nobody listens to here: its context goes through.
    assert_eq!(ways(&spans, "reply"), ["request orders > route orders > reply"]);
    let route = spans
        .iter()
        .find(|span| span.name == "route orders")
        .expect("routed");
    for (key, expected) in [
        ("squall.strategy", "round-robin"),
        ("squall.epoch", "1"),
        ("squall.candidates", "1"),
    ] {
        assert_eq!(value(route, key), expected, "{key}");
    }
}

/// A106, A107: what is said beside request and reply is in the trace, also where it came to nothing.
#[tokio::test(start_paused = true)]
async fn chunks_and_questions_are_below_the_handler_that_sends_them() {
    let (mut cluster, mut spans) = Cluster::traced(&["x"; 3], Share::ALL);
    let reports = cluster.declare("reports", Strategy::RoundRobin);
    talks::attach(&cluster, 2, "reports");
    quiet().await;
    told(&mut spans).await;
    let ask = |text: &'static str| {
        let request = Request::new(reports, Bytes::from_static(text.as_bytes()));
        talks::Requester::ask(&cluster, 1, request)
    };
    let mut stream = ask("3");
    stream.take(3);
    let (chunks, end) = stream.by_now().await;
    assert_eq!((chunks, end.map(|end| end.status)), (3, Some(Status::Reply)));
    let mut talk = ask("how many?");
    assert!(matches!(talk.next().await, Said::Question { number: 1, .. }));
    let router = &cluster.planes[1].router;
    router
        .tell(&talk.id, 1, Status::Reply, Bytes::from_static(b"two"))
        .unwrap();
    assert!(matches!(talk.next().await, Said::End(_)));
    let mut silent = ask("are you there?");
    assert!(matches!(silent.next().await, Said::Question { number: 1, .. }));
    router.give_up(&silent.id);
    let spans = told(&mut spans).await;
    assert_eq!(
        ways(&spans, "chunks reports"),
        ["request reports > route reports > chunks reports"]
    );
    assert_eq!(
        ways(&spans, "question reports"),
        ["request reports > route reports > question reports"; 2]
    );
    let of = |name: &'static str, key: &'static str| {
        let named = spans.iter().filter(move |span| span.name == name);
        named.map(move |span| value(span, key)).collect::<Vec<_>>()
    };
    assert_eq!(of("chunks reports", "squall.chunks"), ["3"]);
    assert_eq!(of("chunks reports", "error.type"), [""]);
    assert_eq!(of("question reports", "squall.outcome"), ["reply", ""]);
    assert_eq!(of("question reports", "error.type"), ["", "interrupted"]);
}

#[tokio::test(start_paused = true)]
async fn a_publish_through_a_proxy_is_one_trace_and_each_copy_points_to_it() {
    let (mut cluster, mut spans) = Cluster::traced(&["x", "y", "y"], Share::ALL);
    let news = cluster.declare_pattern("news", Pattern::PublishSubscribe, Settings::default());
    cluster.apply(&Command::SetProxy {
        exchange: name("news"),
        node: NodeName::new("b").unwrap(),
        on: true,
    });
    let mut subscriptions = Vec::new();
    for n in [0, 1, 2, 2] {
        let pubsub = &cluster.planes[n].pubsub;
        let subscribed = pubsub.subscribe_embedded(&name("news"), "tag", &["k"]).await;
        subscriptions.push(subscribed.unwrap());
    }
    for _ in 0..20 {
        quiet().await;
    }
    told(&mut spans).await;
    let head = Publish {
        confirm: Confirm::Received,
        ..Publish::default()
    };
    let publish = Request::publish(news, Bytes::from_static(b"k"), Bytes::from_static(b"x"), head);
    cluster.planes[0].router.request(publish).await;
    for subscription in &mut subscriptions {
        assert!(subscription.try_next().is_some());
    }
    let spans = told(&mut spans).await;
    assert_eq!(
        ways(&spans, "fan out news"),
        [
            "publish news > fan out news",
            "publish news > fan out news > fan out news",
            "publish news > fan out news > fan out news > fan out news",
        ]
    );
    let mut roles: Vec<String> = spans
        .iter()
        .filter(|span| span.name == "fan out news")
        .map(|span| {
            format!(
                "{} {} {}",
                value(span, "squall.role"),
                value(span, "squall.nodes"),
                value(span, "squall.subscribers")
            )
        })
        .collect();
    roles.sort();
    assert_eq!(roles, ["owner 1 1", "proxy 1 1", "subscribers 0 2"]);
    let publish = spans
        .iter()
        .find(|span| span.name == "publish news")
        .expect("told");
    let copies: Vec<&SpanData> = spans.iter().filter(|span| span.name == "deliver news").collect();
    assert_eq!(copies.len(), 4);
    for copy in copies {
        assert_eq!(copy.parent_span_id, SpanId::INVALID, "a trace of its own");
        let to = &copy.links.links[0].span_context;
        assert_eq!(to.trace_id(), publish.span_context.trace_id());
        assert_ne!(copy.span_context.trace_id(), to.trace_id());
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_at_a_task_is_below_its_submit() {
    let (mut cluster, mut spans) = Cluster::traced(&["x"; 3], Share::ALL);
    let exchange = declare(&mut cluster, Settings::default());
    let worker = Worker::attach(&cluster, 2, 1);
    quiet().await;
    submit(&cluster, 1, exchange, "first").await;
    quiet().await;
    worker.say(&cluster, 0, back(Retry::AtOnce)).await;
    worker.say(&cluster, 1, Settlement::Confirm).await;
    let spans = told(&mut spans).await;
    assert_eq!(ways(&spans, "work mails"), ["submit mails > work mails"; 2]);
    let attempts: Vec<[String; 3]> = spans
        .iter()
        .filter(|span| span.name == "work mails")
        .map(|span| ["squall.attempt", "squall.outcome", "error.type"].map(|key| value(span, key)))
        .collect();
    assert_eq!(
        attempts,
        [["1", "given back", "given back"], ["2", "confirmed", ""]]
    );
}

/// A task that was not drawn: what goes well is not told of.
#[tokio::test(start_paused = true)]
async fn of_a_task_that_was_not_drawn_failed_attempts_and_its_death_are_kept() {
    let heard = overheard();
    let (mut cluster, mut spans) = Cluster::traced(&["x"; 3], Share::NONE);
    let settings = Settings {
        attempts: Some(2),
        ..Settings::default()
    };
    let exchange = declare(&mut cluster, settings);
    let worker = Worker::attach(&cluster, 2, 1);
    quiet().await;
    for payload in ["dies", "goes well"] {
        submit(&cluster, 1, exchange, payload).await;
    }
    quiet().await;
    worker.say(&cluster, 0, back(Retry::AtOnce)).await;
    worker.say(&cluster, 1, back(Retry::AtOnce)).await;
    worker.say(&cluster, 2, Settlement::Confirm).await;
    let given: Vec<String> = worker.given().into_iter().map(|(payload, ..)| payload).collect();
    assert_eq!(given.last().map(String::as_str), Some("goes well"), "{given:?}");
    let spans = told(&mut spans).await;
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(
        names.iter().filter(|name| **name == "work mails").count(),
        2,
        "{names:?}"
    );
    assert_eq!(
        names.iter().filter(|name| **name == "dead letter mails").count(),
        1,
        "{names:?}"
    );
    assert_eq!(names.len(), 3, "{names:?}");
    for span in &spans {
        assert_eq!(span.parent_span_id, SpanId::INVALID, "nobody tells of its submit");
        assert_eq!(span.span_context.trace_id(), spans[0].span_context.trace_id());
        assert_eq!(value(span, "squall.kept"), "failed");
    }
    let lines = heard.take();
    let trace = format!("trace_id={}  INFO dead letter", spans[0].span_context.trace_id());
    assert!(
        lines.iter().any(|line| line.starts_with(&trace)),
        "{trace}: {lines:?}"
    );
}

fn back(retry: Retry) -> Settlement {
    Settlement::GiveBack {
        said: "cannot".into(),
        retry,
    }
}
